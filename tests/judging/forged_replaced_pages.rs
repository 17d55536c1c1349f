//! Machines on which a page of an image in smss was replaced, wherever that page is: the same page has the same answer, and a page that
//! cannot be had leaves it open and says where it is.

use crate::forged_pages::{Complaints, Read, read};
use ntmem::Verdict;
use ntmem::checks::{Judgement, Outcome};
use ntmem_forge::{Behind, Build, ImageEdit, Needs, Paged, PagingFile, Scenario, Tampered};

const BUILDS: [Build; 4] = [Build::W7_7601, Build::W10_14393, Build::W10_19045, Build::W11_26100];
/// The page with the headers, and the one with the entry point, which is all code.
const PAGES: [Tampered; 4] = [Tampered::SmssHeaders, Tampered::SmssEntry, Tampered::NtdllHeaders, Tampered::NtdllEntry];

fn code(read: &Read) -> &Outcome {
    read.findings.of("SMSS-018").find(|outcome| outcome.pid == Some(348)).unwrap()
}

fn ways(build: Build) -> impl Iterator<Item = Behind> {
    Behind::ALL.into_iter().filter(move |what| what.is_in(build))
}

/// Whether the page of smss that is edited is in a page file, or its packed bytes are.
fn is_away(what: Behind) -> bool {
    matches!(what, Behind::PageFile | Behind::SwapFile | Behind::StorePageFile)
}

#[test]
fn a_replaced_page_wherever_it_is() {
    let mut all = Complaints::default();
    for build in BUILDS {
        for what in ways(build) {
            for wrong in PAGES {
                // All of them on one build, and of the others the first and the last.
                if build != Build::W10_19045 && matches!(wrong, Tampered::SmssEntry | Tampered::NtdllHeaders) {
                    continue;
                }
                let name = format!("{build:?} {what:?} {wrong:?}");
                let forged = Scenario::clean(build).tampered(wrong).behind(what).forge();
                for (given, read) in
                    [("with files", read(&forged, &forged.paging_files)), ("without", read(&forged, &[]))]
                {
                    let name = format!("{name} {given}");
                    let outcome = code(&read);
                    all.says(outcome.outcome == Judgement::Unknown, &name, outcome);
                    all.says(read.findings.verdict != Verdict::Clean, &name, "is clean");
                    let counts: Vec<String> =
                        read.findings.violations().filter(|found| found.counts()).map(ToString::to_string).collect();
                    all.says(counts.is_empty(), &name, format_args!("{counts:#?}"));
                    let reason = outcome.reason.as_deref().unwrap_or_default();
                    let place = match (is_away(what), given) {
                        (true, "without") => "--pagefile",
                        (true, _) => "page file ",
                        (false, _) => "",
                    };
                    all.says(reason.contains(place), &name, format_args!("does not say {place}: {reason}"));
                }
            }
        }
    }
}

/// A few bytes of code: a hook. It is found wherever the page is, and where that cannot be had nothing passes for it.
#[test]
fn a_hook_wherever_it_is() {
    let mut all = Complaints::default();
    for build in [Build::W7_7601, Build::W10_19045, Build::W11_26100] {
        for what in ways(build).filter(|what| what.needs() != Needs::Disk) {
            let name = format!("{build:?} {what:?}");
            let mut scenario = Scenario::clean(build);
            scenario.entries = true;
            let user = scenario.process(348).user.as_mut().unwrap();
            let bytes = vec![0xe9, 0x11, 0x22, 0x33, 0x44];
            user.edits = vec![ImageEdit { module: 1, page: 0x1000, at: 0x340, bytes, state: Paged::Present }];
            let forged = scenario.behind(what).forge();
            let whole = read(&forged, &forged.paging_files);
            let outcome = code(&whole);
            all.says(outcome.counts(), &name, outcome);
            let observed = outcome.observed.as_deref().unwrap_or_default();
            all.says(observed.contains("e911223344"), &name, observed);
            all.says(!is_away(what) || observed.contains("page file"), &name, observed);
            let without = read(&forged, &[]);
            let outcome = code(&without);
            let expected = if is_away(what) { Judgement::Unknown } else { Judgement::Violation };
            all.says(outcome.outcome == expected, &name, outcome);
        }
    }
}

/// Entry pages of images at several bases, none of which is wrong: addresses that the loader wrote are no difference, in headers neither.
#[test]
fn images_at_several_bases() {
    let mut all = Complaints::default();
    for build in Build::ALL {
        let mut clean = Scenario::clean(build).with_paging();
        clean.entries = true;
        for (name, scenario) in
            [("with sections", clean), ("without", Scenario { entries: true, ..Scenario::clean(build) })]
        {
            let forged = scenario.forge();
            let (name, read) = (format!("{build:?} {name}"), read(&forged, &forged.paging_files));
            for id in ["SMSS-018", "SYS-11"] {
                for outcome in read.findings.of(id) {
                    let may_be = matches!(outcome.outcome, Judgement::Pass | Judgement::NotApplicable);
                    all.says(may_be, &name, outcome);
                }
            }
        }
    }
}

/// An entry of the page table that names another prototype entry than the section's.
#[test]
fn a_prototype_entry_of_its_own() {
    let mut all = Complaints::default();
    for build in BUILDS {
        for state in [Paged::Prototype, Paged::PrototypeTransition] {
            let mut scenario = Scenario::clean(build).tampered(Tampered::SmssEntry).behind(Behind::Transition);
            scenario.process(348).user.as_mut().unwrap().edits[0].state = state;
            let forged = scenario.forge();
            let (name, read) = (format!("{build:?} {state:?}"), read(&forged, &[]));
            let outcome = code(&read);
            all.says(outcome.outcome == Judgement::Unknown, &name, outcome);
            all.says(
                read.findings.verdict == Verdict::Inconclusive,
                &name,
                format_args!("{:?}", read.findings.verdict),
            );
        }
    }
}

/// The page of a file that was copied later, or of another machine: nothing is concluded from what it has there.
#[test]
fn a_page_file_of_another_time() {
    let mut all = Complaints::default();
    for build in BUILDS {
        let forged = Scenario::clean(build).tampered(Tampered::SmssEntry).behind(Behind::PageFile).forge();
        let mut files = forged.paging_files.clone();
        for file in files.iter_mut().filter(|file| file.kind == PagingFile::Page) {
            for page in file.pages.values_mut().filter(|page| page[..8] == [0x90; 8]) {
                **page = [0; 4096];
            }
        }
        let (name, read) = (format!("{build:?}"), read(&forged, &files));
        all.honest(&name, &read);
        all.says(code(&read).outcome == Judgement::Unknown, &name, code(&read));
    }
}

//! Page files that were copied at another time than memory, or are another machine's: page tables in them that are somebody else's by
//! now are no proof of anything, and what is lost with a page of smss or csrss is told in the first lines.

use crate::common::forged::Opened;
use crate::forged_pages::{Complaints, read};
use ntmem::checks::Judgement;
use ntmem::report::{FindingsOptions, Report, TextStyle, findings};
use ntmem::{PageFile, Picture, System, Verdict, check_smss};
use ntmem_forge::{Behind, Build, Forged, Scenario, SwapFile, Tampered, TruthPlace};

const BUILDS: [Build; 4] = [Build::W7_7601, Build::W10_14393, Build::W10_19045, Build::W11_26100];

/// Every page of the files holds what the page so far behind it held.
fn shifted(files: &[SwapFile], by: usize) -> Vec<SwapFile> {
    let mut files = files.to_vec();
    for file in &mut files {
        let mut pages: Vec<_> = file.pages.values().cloned().collect();
        if !pages.is_empty() {
            let by = by % pages.len();
            pages.rotate_left(by);
        }
        for (to, from) in file.pages.values_mut().zip(pages) {
            *to = from;
        }
    }
    files
}

/// Every page of the files holds one entry, over and over.
fn filled(files: &[SwapFile], entry: u64) -> Vec<SwapFile> {
    let mut files = files.to_vec();
    for page in files.iter_mut().flat_map(|file| file.pages.values_mut()) {
        for word in page.as_chunks_mut::<8>().0 {
            *word = entry.to_le_bytes();
        }
    }
    files
}

/// Each page table that is in a page file holds what one of another process does.
#[test]
fn tables_that_were_given_to_others() {
    let mut all = Complaints::default();
    for build in BUILDS {
        let forged = Scenario::clean(build).behind(Behind::TablesPageFile).forge();
        for by in 1..10 {
            let read = read(&forged, &shifted(&forged.paging_files, by));
            let counts: Vec<String> =
                read.findings.violations().filter(|v| v.counts()).map(ToString::to_string).collect();
            all.says(counts.is_empty(), &format!("{build:?} by {by}"), format_args!("{counts:#?}"));
        }
    }
}

/// Files in which nothing is what it should be and nothing could be checked: no word of theirs counts, and that is said.
#[test]
fn tables_of_another_machine() {
    let mut all = Complaints::default();
    for build in BUILDS {
        let forged = Scenario::clean(build).behind(Behind::TablesPageFile).forge();
        for entry in [0x20_0867, 0x867, 0x8000_0000_0100_0867, 0x2000_0012_0000_0080, u64::MAX] {
            let (name, read) = (format!("{build:?} {entry:#x}"), read(&forged, &filled(&forged.paging_files, entry)));
            all.honest(&name, &read);
            let told = read.warnings.iter().any(|warning| warning.contains("nothing in it could be checked"));
            all.says(told, &name, format_args!("not told: {:#?}", read.warnings));
        }
    }
}

/// What a table out of a page file leads to is no violation by itself, and no machine is clean by it. A PEB that has the image base that
/// the kernel knows is the process's own, and what it leads to counts.
#[test]
fn what_is_wrong_behind_a_table() {
    let mut all = Complaints::default();
    for build in BUILDS {
        for (wrong, id) in [(Tampered::SmssPath, "SMSS-003"), (Tampered::SmssCommand, "SMSS-005")] {
            let forged = Scenario::clean(build).tampered(wrong).behind(Behind::TablesPageFile).forge();
            let (name, whole) = (format!("{build:?} {wrong:?}"), read(&forged, &forged.paging_files));
            all.whole(&name, &whole);
            all.outcome(&name, &whole, id, Judgement::Violation);
            let scenario = Scenario::clean(build).tampered(wrong).tampered(Tampered::SmssBase);
            let forged = scenario.behind(Behind::TablesPageFile).forge();
            let (name, read) = (format!("{name}, another base"), read(&forged, &forged.paging_files));
            let found = read.findings.of(id).next().unwrap();
            let why = found.reason.clone().unwrap_or_default();
            let told = found.outcome == Judgement::Unknown && found.decides;
            all.says(told && why.contains("came from page file 0 at 0x"), &name, found);
            // The section's base and the ranges are in memory, and no image is mapped there: that takes no page table.
            all.outcome(&name, &read, "SMSS-017", Judgement::Violation);
            all.verdict(&name, &read, Verdict::Violations);
        }
    }
}

/// The verdict's first lines, in the whole report and in the brief one.
fn first_lines(forged: &Forged, files: &[SwapFile]) -> [(Verdict, String); 2] {
    let folder = tempfile::tempdir().unwrap();
    let files = files.iter().filter(|file| file.number == 0).map(|file| {
        let path = folder.path().join(file.kind.name());
        file.write(&path).unwrap();
        PageFile::open(path).unwrap()
    });
    let opened = Opened::new(forged);
    let kernel = opened.kernel().with_page_files(files.collect());
    let system = System::read(&kernel).unwrap();
    let checked = check_smss(&system);
    let verdict = checked.verdict;
    let mut report = Report::new(system);
    report.checks.push(checked);
    let picture = Picture::new(&report.system);
    [false, true].map(|brief| {
        let text = findings(&report, &picture, FindingsOptions { brief }).text(&TextStyle::default());
        (verdict, text.lines().take(if brief { 40 } else { 8 }).collect::<Vec<_>>().join("\n"))
    })
}

/// Parameters whose page reads as zeros are lost: nobody is clean by them, and the process is named.
#[test]
fn parameters_of_zeros() {
    let mut all = Complaints::default();
    for build in BUILDS {
        for (pid, wrong) in [(348, Tampered::SmssCommand), (452, Tampered::CsrssCommand)] {
            let forged = Scenario::clean(build).tampered(wrong).behind(Behind::PageFile).forge();
            let mut files = forged.paging_files.clone();
            let peb = forged.truth.process(pid).unwrap().peb;
            let own = forged.truth.pages.iter().filter(|page| page.pid == Some(pid) && Some(page.address) != peb);
            for page in own {
                if let TruthPlace::PageFile { number, index } = page.place {
                    files[number as usize].pages.insert(index, Box::new([0; 4096]));
                }
            }
            for (verdict, text) in first_lines(&forged, &files) {
                let name = format!("{build:?} {wrong:?}");
                let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
                let named = words.contains(&format!("not read of pid {pid} ")) && words.contains("the command line");
                all.says(named, &name, &text);
                let plain = verdict == Verdict::Clean && !words.contains("but for what could not be read of");
                all.says(!plain, &name, format_args!("clean, and no more: {text}"));
            }
        }
    }
}

/// What is in a page file that was not given is named, with the file that has it.
#[test]
fn what_is_away_is_in_the_first_lines() {
    let mut all = Complaints::default();
    for build in BUILDS {
        let forged = Scenario::clean(build).behind(Behind::PageFile).forge();
        for (_, text) in first_lines(&forged, &[]) {
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            for pid in [348, 452] {
                all.says(words.contains(&format!("not read of pid {pid} ")), &format!("{build:?}"), &text);
            }
            all.says(words.contains("pagefile.sys"), &format!("{build:?}"), &text);
        }
    }
}

/// A finding says where in which file its bytes are, the store's too.
#[test]
fn evidence_names_the_place_in_a_file() {
    let mut all = Complaints::default();
    for build in [Build::W10_14393, Build::W10_19045, Build::W11_26100] {
        for (what, words) in [
            (Behind::PageFile, "page file 0 at 0x"),
            (Behind::Store, "compressed store"),
            (Behind::StorePageFile, "compressed store, in page file 0 at 0x"),
        ] {
            let forged = Scenario::clean(build).tampered(Tampered::SmssCommand).behind(what).forge();
            let read = read(&forged, &forged.paging_files);
            let found = read.findings.of("SMSS-005").next().unwrap();
            let from = found.evidence.iter().find_map(|evidence| evidence.from).map(|from| from.to_string());
            let from = from.unwrap_or_default();
            let right = if words.ends_with("0x") { from.starts_with(words) } else { from == words };
            all.says(right, &format!("{build:?} {what:?}"), &from);
            // And what supplied the page of the text that the field leads to.
            let value = found.evidence.iter().find_map(|evidence| evidence.data?.from).map(|from| from.to_string());
            let value = value.unwrap_or_default();
            let right = if words.ends_with("0x") { value.starts_with(words) } else { value == words };
            all.says(right, &format!("{build:?} {what:?} data"), &value);
        }
    }
}

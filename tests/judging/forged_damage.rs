//! One bad page costs one thing: every used page of machines, one at a time, zeroed, set to 0xff, or replaced by another page.

use crate::common::edited::Edited;
use crate::common::forged::Opened;
use crate::common::judged::Judged;
use ntmem_forge::variants::Impostor;
use ntmem_forge::{Build, Forged, Scenario, Unlinked};
use std::collections::BTreeMap;

const BUILDS: [Build; 3] = [Build::W7_7601, Build::W10_19045, Build::W11_26100];
const PAGE: usize = 4096;

/// What a page becomes.
#[derive(Clone, Copy, Debug)]
enum Into {
    Zeros,
    Ones,
    /// Another page of the machine, so many used pages further on.
    Another(usize),
}

fn damaged(forged: &Forged, frames: &[usize], n: usize, into: Into) -> Vec<u8> {
    let mut image = forged.image.clone();
    let at = frames[n] * PAGE;
    match into {
        Into::Zeros => image[at..at + PAGE].fill(0),
        Into::Ones => image[at..at + PAGE].fill(0xff),
        Into::Another(step) => {
            let from = frames[(n + step) % frames.len()] * PAGE;
            image[at..at + PAGE].copy_from_slice(&forged.image[from..from + PAGE]);
        }
    }
    image
}

/// What one sweep gave: verdicts by how often, and the lines of those that are of interest.
#[derive(Default)]
struct Sweep {
    verdicts: BTreeMap<&'static str, usize>,
    lines: Vec<String>,
    by_rule: BTreeMap<String, usize>,
}

/// Goes over every `step`-th page from `first` on. `odd`: which verdicts are of interest.
fn sweep(name: &str, scenario: &Scenario, first: usize, step: usize, scan: bool, odd: fn(&Judged) -> bool) -> Sweep {
    let forged = scenario.forge();
    let store = &Opened::with_bytes(&forged, vec![0; 0x10_0000]).store;
    let frames: Vec<usize> = forged.memory.frames().map(|(n, _)| n as usize).collect();
    let mut sweep = Sweep::default();
    for n in (first..frames.len()).step_by(step) {
        for into in [Into::Zeros, Into::Ones, Into::Another(1), Into::Another(97)] {
            let judged = Judged::new(store, damaged(&forged, &frames, n, into), scan);
            *sweep.verdicts.entry(judged.word()).or_default() += 1;
            if odd(&judged) {
                for counted in &judged.counted {
                    *sweep.by_rule.entry(counted.rule.clone()).or_default() += 1;
                }
                let why = judged.verdict.as_ref().err().cloned().unwrap_or_else(|| judged.words_with_unknown());
                let (at, word) = (frames[n] * PAGE, judged.word());
                sweep.lines.push(format!("{name} {at:#x} {into:?} scan {scan}: {word} {why}"));
            }
        }
    }
    sweep
}

fn hidden_second_master(build: Build) -> Scenario {
    let mut hidden = Scenario::clean(build).with_impostor(Impostor::Late);
    let fake = hidden.process(3636);
    (fake.linked, fake.unlinked) = (false, Unlinked::Alone);
    hidden
}

#[test]
fn one_bad_page_of_a_clean_machine_accuses_nobody() {
    for (n, build) in BUILDS.into_iter().enumerate() {
        let found = sweep(&format!("{build:?}"), &Scenario::clean(build), n, 41, false, Judged::accuses);
        assert!(found.lines.is_empty(), "{:#?}", found.lines);
    }
}

/// A page of another kind lies where the table does that maps ntdll.dll in smss.exe or csrss.exe: what its bytes happen to say of pages
/// accuses nobody.
#[test]
fn a_page_of_another_kind_in_the_place_of_a_page_table() {
    for build in BUILDS {
        let edited = Edited::new(&Scenario::clean(build));
        let store = &Opened::with_bytes(&edited.forged, vec![0; 0x10_0000]).store;
        let (root, library) = (edited.forged.truth.dtb, Edited::library(build));
        let thread = edited.threads(348)[0];
        let handles = edited.get(edited.process(452).eprocess, "_EPROCESS", "ObjectTable");
        let code = edited.get(handles, "_HANDLE_TABLE", "TableCode") & !7;
        for (what, from) in [
            ("a thread", edited.physical(root, thread)),
            ("handles", edited.physical(root, code)),
            ("a table of the kernel", edited.entry(root, thread).unwrap()),
            ("a directory of the kernel", root),
            ("the headers of an image", edited.physical(edited.process(348).dtb, library)),
        ] {
            let from = from as usize / PAGE * PAGE;
            for pid in [348, 452] {
                let mut bytes = edited.bytes.clone();
                let table = edited.entry(edited.process(pid).dtb, library).unwrap() as usize / PAGE * PAGE;
                bytes.copy_within(from..from + PAGE, table);
                let judged = Judged::new(store, bytes, false);
                assert!(!judged.accuses(), "{build:?} {what} {pid}: {}", judged.words());
            }
        }
    }
}

/// The kernel's path of wininit.exe is that of another program, and its name and the file of its image are not: the page with the path may
/// be another's. It is told, and nobody is accused.
#[test]
fn a_path_against_name_and_file() {
    for build in BUILDS {
        let mut edited = Edited::new(&Scenario::clean(build));
        let pid = edited.named("wininit.exe");
        let process = edited.process(pid);
        let other = process.path.as_ref().unwrap().replace("wininit.exe", "spoolsv.exe");
        let name = edited.get(process.eprocess, "_EPROCESS", "SeAuditProcessCreationInfo.ImageFileName");
        let buffer = edited.pointer(name + 8);
        edited.write(buffer, &other.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>());
        let opened = Opened::with_bytes(&edited.forged, vec![0; 0x10_0000]);
        let judged = Judged::new(&opened.store, edited.bytes.clone(), false);
        assert_eq!(judged.word(), "inconclusive", "{build:?}: {}", judged.words());
        let told = |(_, of, why): &(String, Option<u64>, String)| *of == Some(pid) && why.contains("contradicted");
        // By one rule.
        let rules: Vec<&str> =
            judged.unknown.iter().filter(|one| told(one)).map(|(rule, _, _)| rule.as_str()).collect();
        assert_eq!(rules, ["SYS-16"], "{build:?}: {:?}", judged.unknown);
    }
}

#[test]
#[ignore = "long: `cargo test --test judging -- --ignored --nocapture every_page`"]
fn every_page_of_clean_machines() {
    let step = std::env::var("NTMEM_STEP").ok().and_then(|step| step.parse().ok()).unwrap_or(1);
    let mut lines = Vec::new();
    for build in BUILDS {
        for scan in [false, true] {
            let found = sweep(&format!("{build:?}"), &Scenario::clean(build), 0, step, scan, |judged| {
                judged.accuses() || judged.verdict.is_err()
            });
            println!("{build:?} scan {scan}: {:?}, violations by rule {:?}", found.verdicts, found.by_rule);
            lines.extend(found.lines);
        }
    }
    lines.iter().for_each(|line| println!("{line}"));
    assert!(!lines.iter().any(|line| line.contains(": violations")));
}

/// Whatever page is bad: a machine with a second master in no list is never clean, and where it is not accused the second master is named.
fn sweep_of_hidden(build: Build, first: usize, step: usize, scan: bool) -> Vec<String> {
    let hidden = hidden_second_master(build);
    let suspect = hidden.forge().truth.process(3636).unwrap().eprocess;
    let found = sweep(&format!("{build:?}"), &hidden, first, step, scan, |judged| !judged.accuses());
    println!("{build:?} scan {scan}: {:?}", found.verdicts);
    let named = |line: &String| line.contains(&format!("{suspect:#018x}")) || line.contains("3636");
    found
        .lines
        .into_iter()
        .filter(|line| !line.contains(": no result") && (line.contains(": clean") || !named(line)))
        .collect()
}

#[test]
fn one_bad_page_of_a_machine_with_a_hidden_second_master_excuses_nobody() {
    for (n, build) in BUILDS.into_iter().enumerate() {
        let lines = sweep_of_hidden(build, n, 41, false);
        assert!(lines.is_empty(), "{lines:#?}");
    }
}

#[test]
#[ignore = "long: `cargo test --test judging -- --ignored --nocapture every_page`"]
fn every_page_of_a_machine_with_a_hidden_second_master() {
    let step = std::env::var("NTMEM_STEP").ok().and_then(|step| step.parse().ok()).unwrap_or(1);
    let mut lines = Vec::new();
    for build in BUILDS {
        for scan in [false, true] {
            lines.extend(sweep_of_hidden(build, 0, step, scan));
        }
    }
    assert!(lines.is_empty(), "{lines:#?}");
}

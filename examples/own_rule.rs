//! A rule and a baseline of one's own beside those of the library.
//!
//! `cargo run --release --example own_rule [IMAGE [SYMBOLS]]`; without an argument, on the bundled sample.

use ntmem::checks::core::{Children, CoreProcess, Count, InSession, LOCAL_SYSTEM, StartedBy};
use ntmem::checks::rules::{parent, path, user};
use ntmem::checks::{About, Baseline, Case, Outcome, Rule, Severity, check_with};
use ntmem::symbols::SymbolStore;
use ntmem::{MemoryImage, System};
use std::borrow::Cow;

/// A rule is a static: what it says of itself, and the function that judges.
static NAMED_IN_TEMP: Rule = Rule {
    id: "OWN-001",
    title: "nothing runs from a folder named Temp",
    wrong: "a program runs from a folder named Temp",
    core: false,
    attack: &["T1036"],
    about: About {
        what: "No kernel path of a running process has a folder named Temp in it.",
        why: "Droppers unpack there, since everybody may write there.",
        benign: "Installers do so too: low.",
        source: "The author's own experience.",
    },
    judge: |case, rule| vec![named_in_temp(case, rule)],
};

fn named_in_temp(case: &Case<'_>, rule: &Rule) -> Outcome {
    let outcome = Outcome::new(rule, None).expected("no such process");
    let running = || case.processes().filter(|process| !process.has_exited());
    let in_temp = |path: &String| path.split('\\').any(|part| part.eq_ignore_ascii_case("temp"));
    if let Some(process) = running().find(|process| process.path.value().is_some_and(in_temp)) {
        let path = process.path.value().cloned();
        return outcome.observed(path.as_deref().unwrap_or("?")).seen(process, "path", path).violation(Severity::Low);
    }
    // Nothing was seen. That is a pass only where everything was looked at.
    if let Some(part) = case.part_reason() {
        return outcome.unknown("the whole process list", part);
    }
    match running().find_map(|process| process.path.absent()) {
        Some(absent) => outcome.unknown("the path of every process", absent),
        None => outcome.observed("none").pass(),
    }
}

/// What is normal for another process of Windows, as data.
static SERVICES: CoreProcess = CoreProcess {
    name: "services.exe",
    path: "\\System32\\services.exe",
    parent: StartedBy::Process("wininit.exe"),
    count: Count::One,
    user: LOCAL_SYSTEM,
    session: InSession::Zero,
    command_line: None,
    start: None,
    protection: &[(9600, 0x61)],
    dynamic_code_disabled: None,
    critical: false,
    base_priority: None,
    most_threads: None,
    modules: None,
    modules_of_builds: &[],
    children: Children::NONE,
};

/// The library's rules read what is normal from it; they get ids of their own.
static PARENT: Rule =
    Rule { id: "SVC-001", title: "parent is wininit.exe", wrong: "parent is not wininit.exe", ..parent::PARENT };
static PATH: Rule = Rule { id: "SVC-002", wrong: "image is not System32\\services.exe", ..path::KERNEL_PATH };
static USER: Rule = Rule { id: "SVC-003", ..user::USER };

static SERVICES_BASELINE: Baseline = Baseline {
    name: "services",
    title: "services.exe",
    process: &SERVICES,
    look_into: &[],
    rules: Cow::Borrowed(&[&PARENT, &PATH, &USER]),
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/samples");
    let mut arguments = std::env::args().skip(1);
    let image = arguments.next().unwrap_or_else(|| format!("{samples}/suspicious.raw"));
    let symbols = arguments.next().unwrap_or_else(|| format!("{samples}/symbols"));

    let image = MemoryImage::open(&image)?;
    let kernel = image.locate_kernel(&SymbolStore::new().directory(symbols))?;
    let system = System::read(&kernel)?;

    let smss = Baseline::named("smss").ok_or("there is such a baseline")?.clone().with(&NAMED_IN_TEMP);
    for findings in check_with(&system, &[&smss, &SERVICES_BASELINE]) {
        println!("{}: {:?}", findings.check, findings.verdict);
        let own = |outcome: &&Outcome| outcome.id.starts_with("OWN-") || outcome.id.starts_with("SVC-");
        for outcome in findings.outcomes.iter().filter(own) {
            println!("  {outcome}");
        }
    }
    Ok(())
}

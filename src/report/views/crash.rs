//! What a triage dump says, and what layouts came to that were held against it.

use crate::kernel::{CrashDriver, CrashFacts, FieldResult, SelfTest};
use crate::report::page::{Blocks as _, Facts, Page, Tone};

/// What a triage dump says.
#[must_use]
pub fn crash(of: &CrashFacts) -> Page {
    let mut facts = Facts::new(0, 13);
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            facts.add(Tone::Head.say(name), value);
        }
    };
    line("image", Some("kernel triage dump: one crash, and no memory of the machine".to_owned()));
    line("machine", Some(format!("{}, {} processors", of.machine, of.processors)));
    line("build", Some(of.build.to_string()));
    line("lab", of.lab.clone());
    line("kernel base", of.kernel_base.map(|at| at.to_string()));
    let parameters: Vec<String> = of.parameters.iter().map(ToString::to_string).collect();
    line("stop code", Some(format!("{} ({})", of.stop_code, parameters.join(", "))));
    line("started", of.boot.map(|time| time.to_string()));
    line("crashed", of.captured.map(|time| time.to_string()));
    line("page tables", of.dtb.map(|at| at.to_string()));
    line("process", of.process.map(|at| at.to_string()));
    line("thread", of.thread.map(|at| at.to_string()));
    let driver = |driver: &CrashDriver| format!("{} {:#x} bytes {}", driver.base, driver.size, driver.name);
    for (word, drivers) in [("drivers", &of.drivers), ("unloaded", &of.unloaded)] {
        for (number, each) in drivers.iter().enumerate() {
            line(if number == 0 { word } else { "" }, Some(driver(each)));
        }
    }
    let mut page = Page::new("Crash");
    page.facts(facts);
    page
}

/// What a self-test of layouts came to: what is contradicted first.
#[must_use]
pub fn self_test(test: &SelfTest) -> Page {
    let counts = [FieldResult::Consistent, FieldResult::Contradicted, FieldResult::CannotTell]
        .map(|result| format!("{} {result}", test.count(result)));
    let mut page = Page::new("Self-test");
    page.heading(1, format!("layouts of build {}: {}", test.build, counts.join(", ")));
    page.paragraph((2, 4), test.layouts.to_string());
    let mut checks: Vec<_> = test.checks.iter().collect();
    checks.sort_by_key(|check| check.result != FieldResult::Contradicted);
    let mut facts = Facts::new(2, 13);
    for check in checks {
        let tone = if check.result == FieldResult::Contradicted { Tone::Bad } else { Tone::Faint };
        facts.add(tone.say(check.result.to_string()), format!("{} {}", check.field, check.seen));
    }
    page.facts(facts);
    page
}

//! What a triage dump says, and what layouts came to that were held against it.

use crate::kernel::{CrashDriver, CrashFacts, CrashObjects, FieldResult, SelfTest};
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
    if let Some(objects) = &of.objects {
        of_objects(objects, &mut line);
    }
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

/// The process and the thread, field by field.
fn of_objects(of: &CrashObjects, line: &mut dyn FnMut(&str, Option<String>)) {
    let text = |name: &str, value: Option<String>| value.map(|value| format!("{name} {value}"));
    let join = |parts: Vec<Option<String>>| {
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    };
    line(
        "ran",
        join(vec![
            of.name.clone(),
            text("pid", of.pid.map(|pid| pid.to_string())),
            text("ppid", of.ppid.map(|ppid| ppid.to_string())),
            text("created", of.created.map(|time| time.to_string())),
            of.threads.map(|threads| format!("{threads} threads")),
            text("protection", of.protection.map(|level| level.to_string())),
        ]),
    );
    line(
        "in",
        join(vec![
            text("thread", of.tid.map(|tid| tid.to_string())),
            text("of pid", of.owner.map(|owner| owner.to_string())),
            text("created", of.thread_created.map(|time| time.to_string())),
            text("started at", of.start.or(of.win32_start).map(|at| at.to_string())),
        ]),
    );
    let doubt = if of.contradicted > 0 { "; the dump contradicts them: `ntmem selftest`" } else { "" };
    line("layouts", Some(format!("{}{doubt}", of.layouts)));
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

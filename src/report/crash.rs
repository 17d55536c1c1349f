//! What a triage dump says, as a document and as text.

use super::{Palette, wrap};
use crate::Shown;
use crate::kernel::{CrashDriver, CrashFacts, FieldResult, SelfTest, TriageDump};
use serde::Serialize;
use std::fmt::{self, Write};

/// The document of a triage dump: the members that every document has, and `crash`.
#[derive(Clone, Debug, Serialize)]
pub struct CrashDocument {
    schema: u32,
    generator: String,
    warnings: Vec<String>,
    image: Kind,
    /// What the dump says.
    pub crash: CrashFacts,
}

#[derive(Clone, Debug, Serialize)]
struct Kind {
    format: &'static str,
}

impl CrashDocument {
    /// The document of this dump.
    #[must_use]
    pub fn new(dump: &TriageDump) -> Self {
        Self {
            schema: super::document::SCHEMA,
            generator: format!("ntmem {}", env!("CARGO_PKG_VERSION")),
            warnings: vec![
                "image: a triage dump holds no memory of the machine: no process can be listed or judged".to_owned(),
            ],
            image: Kind { format: "crash_dump_triage" },
            crash: dump.facts(),
        }
    }
}

/// Writes what a triage dump says.
///
/// # Errors
/// `out` fails.
pub fn crash(out: &mut impl Write, facts: &CrashFacts, palette: &Palette) -> fmt::Result {
    /// Columns that the names take.
    const NAMES: usize = 13;
    let mut line = |name: &str, value: &str| {
        let mut lines = String::new();
        wrap(&mut lines, &Shown(value).to_string(), NAMES, NAMES)?;
        write!(out, "{} {}", palette.head.paint(format!("{name:<12}")), lines.trim_start())
    };
    line("image", "kernel triage dump: one crash, and no memory of the machine")?;
    line("machine", &format!("{}, {} processors", facts.machine, facts.processors))?;
    line("build", &facts.build.to_string())?;
    let mut known = |name: &str, value: Option<String>| value.map_or(Ok(()), |value| line(name, &value));
    known("lab", facts.lab.clone())?;
    known("kernel base", facts.kernel_base.map(|at| at.to_string()))?;
    let parameters: Vec<String> = facts.parameters.iter().map(ToString::to_string).collect();
    known("stop code", Some(format!("{} ({})", facts.stop_code, parameters.join(", "))))?;
    known("started", facts.boot.map(|time| time.to_string()))?;
    known("crashed", facts.captured.map(|time| time.to_string()))?;
    known("page tables", facts.dtb.map(|at| at.to_string()))?;
    known("process", facts.process.map(|at| at.to_string()))?;
    known("thread", facts.thread.map(|at| at.to_string()))?;
    let of = |driver: &CrashDriver| format!("{} {:#x} bytes {}", driver.base, driver.size, driver.name);
    for (number, driver) in facts.drivers.iter().enumerate() {
        known(if number == 0 { "drivers" } else { "" }, Some(of(driver)))?;
    }
    for (number, driver) in facts.unloaded.iter().enumerate() {
        known(if number == 0 { "unloaded" } else { "" }, Some(of(driver)))?;
    }
    Ok(())
}

/// Writes what a self-test of layouts came to: what is contradicted first.
///
/// # Errors
/// `out` fails.
pub fn self_test(out: &mut impl Write, test: &SelfTest, palette: &Palette) -> fmt::Result {
    let counts = [FieldResult::Consistent, FieldResult::Contradicted, FieldResult::CannotTell]
        .map(|result| format!("{} {result}", test.count(result)));
    writeln!(out, "{}", palette.head.paint(format!("layouts of build {}: {}", test.build, counts.join(", "))))?;
    wrap(out, &Shown(&test.layouts).to_string(), 2, 4)?;
    let mut checks: Vec<_> = test.checks.iter().collect();
    checks.sort_by_key(|check| check.result != FieldResult::Contradicted);
    for check in checks {
        let word = format!("{:<12}", check.result.to_string());
        let style = if check.result == FieldResult::Contradicted { palette.bad } else { palette.faint };
        writeln!(out, "  {} {} {}", style.paint(word), check.field, Shown(&check.seen))?;
    }
    Ok(())
}

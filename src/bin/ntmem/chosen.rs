//! The process that arguments name.

use crate::exit::{NotThere, Usage};
use ntmem::report::{Report, Which};

/// Position of the process in the list of the report.
///
/// # Errors
/// There is none, or there are several.
pub fn position(which: &Which, report: &Report, scanned: bool) -> anyhow::Result<usize> {
    match which.find(&report.system).as_slice() {
        [at] => Ok(*at),
        [] => Err(NotThere(nothing(which, scanned)).into()),
        several => Err(ambiguous(which, several, report).into()),
    }
}

/// That there is no such process.
pub fn nothing(which: &Which, scanned: bool) -> String {
    let more = if scanned { "" } else { "; --scan finds more, exited and unlinked ones" };
    format!("there is no process with {which} (`ntmem pslist IMAGE` lists those there are{more})")
}

/// That there are several, and which.
fn ambiguous(which: &Which, several: &[usize], report: &Report) -> Usage {
    let of = several.iter().filter_map(|&at| report.system.processes.items.get(at)).map(|process| {
        let text = |value: Option<String>| value.unwrap_or_else(|| "?".to_owned());
        let exited = if process.has_exited() { ", exited" } else { "" };
        format!(
            "pid {} at {}{exited}",
            text(process.pid.value().map(u64::to_string)),
            text(process.eprocess.value().map(ToString::to_string))
        )
    });
    let of: Vec<String> = of.collect();
    Usage(format!("{} processes have {which}: {}. Name one by its pid or address", several.len(), of.join("; ")))
}

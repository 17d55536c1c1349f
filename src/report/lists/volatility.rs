//! Volatility 3's `windows.pslist`, `pstree`, `psscan`, `cmdline` and `getsids`, as `-r json`, `-r jsonl` and `-r csv` print them.

use super::Listed;
use super::table::{Row, number, reading, text, time, truth};
use crate::process::Source;
use crate::{Process, Reading, VirtualAddress};

/// Whether a row is one of these.
pub(super) fn is_its(row: &Row) -> bool {
    let has = |names: &[&str]| names.iter().all(|name| row.contains_key(*name));
    has(&["PID", "PPID", "ImageFileName"]) || has(&["PID", "Args"]) || has(&["PID", "SID"])
}

/// The place where the processes of a file were found, by the plug-in in the file's name: the columns of `pslist`, `pstree` and `psscan`
/// are the same.
pub(super) fn place(file: &str) -> Option<Source> {
    let name = file.rsplit(['/', '\\']).next().unwrap_or(file).to_ascii_lowercase();
    match (name.contains("psscan"), name.contains("pslist") || name.contains("pstree")) {
        (true, false) => Some(Source::PoolScan),
        (false, true) => Some(Source::ActiveList),
        _ => None,
    }
}

/// What the rows say.
pub(super) fn read(rows: &[Row]) -> Listed {
    let mut listed = Listed::default();
    for row in rows {
        let Some(pid) = number(row, "PID") else { continue };
        if row.contains_key("ImageFileName") {
            listed.processes.push(process(row, pid));
        } else if let Some(sid) = text(row, "SID").filter(|sid| sid.starts_with("S-1-")) {
            listed.sids.entry(pid).or_default().push(sid);
        } else if let Some(line) = text(row, "Args").filter(|line| !is_a_complaint(line)) {
            listed.command_lines.insert(pid, line);
        }
    }
    listed
}

/// `cmdline` says in place of a command line what kept it from being read.
fn is_a_complaint(line: &str) -> bool {
    line.starts_with("Required memory at 0x") || line.starts_with("Process ") && line.contains("Required memory at 0x")
}

fn process(row: &Row, pid: u64) -> Process {
    Process {
        pid: Reading::Value(pid),
        ppid: reading(number(row, "PPID")),
        name: reading(text(row, "ImageFileName")),
        // `psscan` can print where it lies in physical memory under the same name.
        eprocess: reading(number(row, "Offset(V)").map(VirtualAddress).filter(|at| at.is_kernel())),
        created: reading(time(row, "CreateTime")),
        exited: time(row, "ExitTime").map_or(Reading::Nothing, Reading::Value),
        session: number(row, "SessionId")
            .and_then(|id| u32::try_from(id).ok())
            .map_or(Reading::Nothing, Reading::Value),
        threads: reading(number(row, "Threads").and_then(|count| u32::try_from(count).ok())),
        handles: reading(number(row, "Handles").and_then(|count| u32::try_from(count).ok())),
        wow64: reading(truth(row, "Wow64")),
        // `pstree` has three more: SeAuditProcessCreationInfo and the PEB's.
        path: reading(text(row, "Audit")),
        command_line: reading(text(row, "Cmd").filter(|line| !is_a_complaint(line))),
        peb_path: reading(text(row, "Path").filter(|path| !is_a_complaint(path))),
        ..Process::default()
    }
}

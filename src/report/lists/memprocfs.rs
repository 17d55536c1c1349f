//! MemProcFS' `forensic/csv/process.csv`.

use super::Listed;
use super::table::{Row, named_user, number, reading, text, time, truth};
use crate::{PhysicalAddress, Process, Reading, VirtualAddress};

/// Whether a row is one of these.
pub(super) fn is_its(row: &Row) -> bool {
    ["PID", "PPID", "ShortName", "KernelPath", "UserPath"].iter().all(|name| row.contains_key(*name))
}

/// An empty cell is a zero in the kernel: `m_fc_proc.c` prints the exit time of every process, and nothing for zero.
pub(super) const TOLD: &[&str] = &["exited"];

/// What the rows say. The user is a name there, and a name is no SID.
pub(super) fn read(rows: &[Row]) -> Listed {
    let processes = rows.iter().filter_map(|row| {
        Some(Process {
            pid: Reading::Value(number(row, "PID")?),
            ppid: reading(number(row, "PPID")),
            name: reading(text(row, "ShortName")),
            created: reading(time(row, "CreateTime")),
            exited: time(row, "ExitTime").map_or(Reading::Nothing, Reading::Value),
            wow64: reading(truth(row, "Wow64")),
            eprocess: reading(number(row, "EPROCESS").map(VirtualAddress).filter(|at| at.is_kernel())),
            peb: reading(number(row, "PEB").filter(|at| *at != 0).map(VirtualAddress)),
            dtb: reading(number(row, "DTB").filter(|at| *at != 0).map(PhysicalAddress)),
            path: reading(text(row, "KernelPath")),
            peb_path: reading(text(row, "UserPath")),
            command_line: reading(text(row, "CommandLine")),
            user: named_user(row, "User"),
            ..Process::default()
        })
    });
    Listed { processes: processes.collect(), ..Listed::default() }
}

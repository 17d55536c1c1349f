//! Velociraptor's rows of `pslist()`, as its artifacts give them.

use super::Listed;
use super::table::{Row, named_user, number, reading, text, time, truth};
use crate::{Process, Reading};
use serde_json::Value;

/// Whether a row is one of these.
pub(super) fn is_its(row: &Row) -> bool {
    ["Pid", "Ppid", "Name"].iter().all(|name| row.contains_key(*name))
}

/// What the rows say. They are of a running machine: who is in them runs.
pub(super) fn read(rows: &[Row]) -> Listed {
    let processes = rows.iter().filter_map(|row| {
        let sid = match row.get("TokenInfo") {
            Some(Value::Object(token)) => token.get("SID").and_then(Value::as_str).map(str::to_owned),
            // `pslist()` itself has the user of the token there (GetTokenUser), not the owner of what it makes.
            _ => text(row, "OwnerSid"),
        };
        Some(Process {
            pid: Reading::Value(number(row, "Pid")?),
            ppid: reading(number(row, "Ppid")),
            name: reading(text(row, "Name")),
            created: reading(time(row, "CreateTime").or_else(|| time(row, "StartTime"))),
            threads: reading(number(row, "Threads").and_then(|count| u32::try_from(count).ok())),
            wow64: reading(truth(row, "IsWow64").or_else(|| truth(row, "Wow64"))),
            path: reading(text(row, "Exe")),
            command_line: reading(text(row, "CommandLine")),
            user: sid.filter(|sid| sid.starts_with("S-1-")).map_or_else(|| named_user(row, "Username"), Reading::Value),
            ..Process::default()
        })
    });
    Listed { processes: processes.collect(), ..Listed::default() }
}

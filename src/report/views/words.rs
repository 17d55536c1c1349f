//! Words that several views use.

pub(super) use crate::report::page::short;
use crate::report::page::{Cell, Words};
use crate::{Process, Reading, Timestamp};
use std::fmt::Display;

/// A time.
pub(super) fn time(reading: &Reading<Timestamp>) -> Cell {
    match reading {
        Reading::Value(at) => Cell::time(*at),
        other => other.into(),
    }
}

/// A value, `-` for none, `?` for what is not known.
pub(super) fn brief<T: Display>(reading: &Reading<T>) -> String {
    match reading {
        Reading::Value(value) => value.to_string(),
        Reading::Nothing => "-".to_owned(),
        Reading::Absent(_) => "?".to_owned(),
    }
}

/// `smss.exe (348)`
pub(super) fn named(process: &Process) -> String {
    format!("{} ({})", brief(&process.name), brief(&process.pid))
}

/// The value, `none`, or why it is not known.
pub(super) fn known<T: Display>(reading: &Reading<T>) -> Words {
    match reading {
        Reading::Value(value) => value.to_string().into(),
        Reading::Nothing => "none".into(),
        Reading::Absent(absent) => format!("unknown ({absent})").into(),
    }
}

/// Bytes in the largest unit that divides well.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{} KiB", bytes / 1024),
        0x10_0000..0x4000_0000 => format!("{} MiB", bytes >> 20),
        _ => format!("{}.{} GiB", bytes >> 30, (bytes >> 20 & 0x3ff).saturating_mul(10) / 1024),
    }
}

/// `1 process`, `2 processes`
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A process's integrity level in a word ([MS-DTYP] 2.4.2.4), or its SID.
pub(super) fn integrity(sid: &str) -> String {
    match sid {
        "S-1-16-0" => "untrusted",
        "S-1-16-4096" => "low",
        "S-1-16-8192" => "medium",
        "S-1-16-8448" => "medium+",
        "S-1-16-12288" => "high",
        "S-1-16-16384" => "system",
        "S-1-16-20480" => "protected",
        other => other,
    }
    .to_owned()
}

/// `HKLM\SYSTEM\ControlSet001\Control\Session Manager\SubSystems`
pub(super) fn short_key(key: &str) -> String {
    const MACHINE: &str = "\\REGISTRY\\MACHINE\\";
    let start = key.get(..MACHINE.len()).filter(|start| start.eq_ignore_ascii_case(MACHINE));
    start.and(key.get(MACHINE.len()..)).map_or_else(|| key.to_owned(), |rest| format!("HKLM\\{rest}"))
}

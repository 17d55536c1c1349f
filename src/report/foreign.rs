//! Process lists of other tools, brought into the form of our own.

use crate::system::System;
use crate::{Absent, Process, Reading, Warning};
use std::collections::BTreeMap;

/// Core names, for lists that print names without `.exe`.
const CORE: [&str; 9] =
    ["smss", "csrss", "wininit", "winlogon", "services", "lsass", "svchost", "explorer", "CExecSvc"];

/// Other tools leave out what they did not read, and repeat what they found twice.
pub(super) fn adopt(system: &mut System) {
    system.processes.items.iter_mut().for_each(|row| distrust(row, &[]));
    join(system);
}

/// Joins the rows that are one process, and drops those without a pid.
pub(super) fn join(system: &mut System) {
    let mut warnings = Vec::new();
    let items = std::mem::take(&mut system.processes.items);
    let all = items.len();
    let mut rows: Vec<Process> = Vec::new();
    let mut by_pid: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    let mut repeated = 0_usize;
    for mut row in items {
        let Some(pid) = row.pid.value().copied().filter(|pid| *pid != 0) else { continue };
        tidy(&mut row);
        let same = by_pid.entry(pid).or_default();
        let before = same.iter().copied().find(|&at| rows.get(at).is_some_and(|before| before.is_same_process(&row)));
        if let Some(before) = before.and_then(|at| rows.get_mut(at)) {
            repeated = repeated.saturating_add(1);
            let sources = std::mem::take(&mut row.sources);
            before.fill_from(row);
            let new: Vec<_> = sources.into_iter().filter(|source| !before.sources.contains(source)).collect();
            before.sources.extend(new);
        } else {
            same.push(rows.len());
            rows.push(row);
        }
    }
    let dropped = all.saturating_sub(rows.len()).saturating_sub(repeated);
    if dropped > 0 {
        warnings.push(Warning::new("processes", format!("{dropped} rows without a pid, or with pid 0, are left out")));
    }
    if repeated > 0 {
        warnings.push(Warning::new("processes", format!("{repeated} rows repeat a process and are joined with it")));
    }
    if complete_names(&mut rows) {
        warnings.push(Warning::new("processes", "names are printed without .exe, which is taken as left out"));
    }
    system.processes.items = rows;
    system.processes.in_foreign_order = true;
    system.warnings.extend(warnings);
}

fn not_there() -> Absent {
    Absent::not_collected("not in the document")
}

/// Null means that nobody read it, not that there is none; but for the fields of which the tool that made the list is known to tell
/// when there is none.
pub(super) fn distrust(row: &mut Process, told: &[&str]) {
    let runs = row.threads.value().is_some_and(|threads| *threads > 0);
    let told: Vec<&str> = told.iter().copied().chain(runs.then_some("exited")).collect();
    row.distrust_nothing(&not_there(), &told);
}

/// Blank means that nobody read it; and what tools print as one list is taken apart.
fn tidy(row: &mut Process) {
    let reason = not_there();
    for text in
        [&mut row.name, &mut row.path, &mut row.peb_path, &mut row.command_line, &mut row.user, &mut row.integrity]
    {
        if text.value().is_some_and(|text| matches!(text.trim(), "" | "-" | "N/A")) {
            *text = Reading::Absent(reason.clone());
        }
    }
    // Tools print user, groups and label of a token as one list.
    if let Reading::Value(groups) = &mut row.groups {
        if row.integrity.value().is_none()
            && let Some(label) = groups.iter().find(|sid| sid.starts_with("S-1-16-"))
        {
            row.integrity = Reading::Value(label.clone());
        }
        groups.retain(|sid| !sid.starts_with("S-1-16-") && row.user.value() != Some(sid));
    }
    for list in [&mut row.groups, &mut row.modules, &mut row.environment] {
        if list.value().is_some_and(Vec::is_empty) {
            *list = Reading::Absent(reason.clone());
        }
    }
}

/// Appends `.exe` to core names where no name has it, as in what PowerShell prints.
fn complete_names(rows: &mut [Process]) -> bool {
    let is_core = |name: &str| CORE.iter().any(|core| core.eq_ignore_ascii_case(name));
    let names = || rows.iter().filter_map(|row| row.name.value());
    let complete = names().any(|name| name.to_ascii_lowercase().ends_with(".exe"));
    if complete || names().filter(|name| is_core(name)).count() < 2 {
        return false;
    }
    for row in rows {
        if let Reading::Value(name) = &mut row.name
            && is_core(name)
        {
            name.push_str(".exe");
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(pid: u64, name: &str) -> Process {
        Process { pid: Reading::Value(pid), name: Reading::Value(name.into()), ..Process::default() }
    }

    fn adopted(items: Vec<Process>) -> System {
        let mut system = System::default();
        system.processes.items = items;
        adopt(&mut system);
        system
    }

    #[test]
    fn rows_of_one_process_are_joined_and_fill_each_other() {
        let path = Process { path: Reading::Value("\\x".into()), ..row(4, "System") };
        let system = adopted(vec![row(4, "System"), row(0, "Idle"), Process::default(), path]);
        assert_eq!(system.processes.items.len(), 1);
        assert_eq!(system.processes.items[0].path.value().map(String::as_str), Some("\\x"));
        assert_eq!(system.warnings.len(), 2);
    }

    #[test]
    fn label_and_user_leave_the_groups() {
        // As vol3 windows.getsids prints them for smss.exe of W11-22000.
        let sids = ["S-1-5-18", "S-1-5-32-544", "S-1-1-0", "S-1-5-11", "S-1-16-16384"].map(str::to_owned).to_vec();
        let smss = Process {
            groups: Reading::Value(sids),
            user: Reading::Value("S-1-5-18".into()),
            path: Reading::Value("-".into()),
            ..row(376, "smss.exe")
        };
        let system = adopted(vec![smss]);
        let smss = &system.processes.items[0];
        assert_eq!(smss.integrity.value().map(String::as_str), Some("S-1-16-16384"));
        assert_eq!(smss.groups.value().map(Vec::len), Some(3));
        assert!(smss.path.absent().is_some());
    }

    #[test]
    fn names_without_extension() {
        let names = |items| -> Vec<String> {
            adopted(items).processes.items.into_iter().filter_map(|row| row.name.value().cloned()).collect()
        };
        assert_eq!(
            names(vec![row(4, "System"), row(8, "smss"), row(12, "csrss")]),
            ["System", "smss.exe", "csrss.exe"]
        );
        assert_eq!(names(vec![row(8, "smss"), row(12, "csrss.exe")]), ["smss", "csrss.exe"]);
    }
}

//! Process lists as other tools print them.

mod memprocfs;
mod seen_by;
mod table;
mod velociraptor;
mod volatility;

use super::{Report, foreign};
use crate::process::Source;
use crate::{Absent, Process, Reading, System, Warning};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use table::Row;

/// Why a file is no report and no list.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// It is neither JSON nor CSV of a tool that is known.
    #[error(
        "{name} is no process list that is known: {why}. Known are the documents of ntmem, Volatility 3's JSON or CSV of \
         windows.pslist, pstree, psscan, cmdline and getsids, MemProcFS' process.csv, and Velociraptor's rows of pslist()"
    )]
    Unknown {
        /// The file.
        name: String,
        /// What is in the way.
        why: String,
    },
    /// None of the files lists processes.
    #[error("none of the files lists processes: give a list of pslist, pstree or psscan with what is beside it")]
    NoList,
}

/// What the rows of one tool say: processes, and what is said of processes that others list.
#[derive(Debug, Default)]
struct Listed {
    processes: Vec<Process>,
    /// By pid.
    command_lines: BTreeMap<u64, String>,
    /// By pid: the user's SID first, then the groups.
    sids: BTreeMap<u64, Vec<String>>,
}

/// What is known of the rows of one tool.
struct Tool {
    name: &'static str,
    /// Whether rows like this one are its.
    is_its: fn(&Row) -> bool,
    /// The column of the process's id.
    id: &'static str,
    /// What the rows say.
    read: fn(&[Row]) -> Listed,
    /// Members of a process of which the tool tells when there is none: an empty column is not one that nobody read.
    told: &'static [&'static str],
    /// By the name of a file, the place where the processes in it were found, if names tell that.
    place: fn(&str) -> Option<Source>,
}

static TOOLS: [Tool; 3] = [
    Tool {
        name: "Volatility 3",
        is_its: volatility::is_its,
        id: "PID",
        read: volatility::read,
        told: &[],
        place: volatility::place,
    },
    Tool {
        name: "MemProcFS",
        is_its: memprocfs::is_its,
        id: "PID",
        read: memprocfs::read,
        told: memprocfs::TOLD,
        place: |_| None,
    },
    Tool {
        name: "Velociraptor",
        is_its: velociraptor::is_its,
        id: "Pid",
        read: velociraptor::read,
        told: &[],
        place: |_| None,
    },
];

/// Characters of a file that an error repeats.
const QUOTED: usize = 200;

/// SIDs of groups, labels and capabilities, which no token has as its user; `*` stands for what follows. (Microsoft, "Security
/// identifiers": well-known SIDs.)
const OF_GROUPS: [&str; 23] = [
    "S-1-1-*",
    "S-1-2-*",
    "S-1-3-*",
    "S-1-15-*",
    "S-1-16-*",
    "S-1-18-*",
    "S-1-5-1",
    "S-1-5-2",
    "S-1-5-3",
    "S-1-5-4",
    "S-1-5-5-*",
    "S-1-5-6",
    "S-1-5-8",
    "S-1-5-9",
    "S-1-5-11",
    "S-1-5-12",
    "S-1-5-13",
    "S-1-5-14",
    "S-1-5-15",
    "S-1-5-32-*",
    "S-1-5-64-*",
    "S-1-5-113",
    "S-1-5-114",
];
/// Groups of a domain or a machine by the last number: domain admins to key admins, RAS servers.
const GROUP_NUMBERS: [std::ops::RangeInclusive<u32>; 2] = [512..=527, 553..=553];

/// Reads a report of ntmem, or lists of processes that other tools printed, with what is beside them. Names are for messages.
///
/// # Errors
/// A file is of no form that is known, or none lists processes.
pub fn read_lists(files: &[(String, Vec<u8>)]) -> Result<Report, ListError> {
    if let [(name, bytes)] = files
        && looks_like_document(bytes)
    {
        let unknown = |error: serde_json::Error| ListError::Unknown { name: name.clone(), why: error.to_string() };
        return serde_json::from_slice(bytes).map_err(unknown);
    }
    let mut all = Listed::default();
    let (mut warnings, mut tools, mut places) = (Vec::new(), Vec::new(), seen_by::Places::default());
    for (name, bytes) in files {
        let unknown = |why: String| ListError::Unknown { name: name.clone(), why };
        let rows = table::rows(bytes).map_err(unknown)?;
        let first = rows.first().ok_or_else(|| unknown("it has no rows".to_owned()))?;
        let tool = TOOLS.iter().find(|tool| (tool.is_its)(first));
        let tool = tool.ok_or_else(|| unknown(format!("its columns are {}", columns(first))))?;
        if !tools.contains(&tool.name) {
            tools.push(tool.name);
        }
        warnings.extend(without_id(name, &rows, tool.id));
        let mut listed = (tool.read)(&rows);
        listed.processes.iter_mut().for_each(|row| foreign::distrust(row, tool.told));
        places.add(name, (tool.place)(name), &mut listed.processes);
        all.processes.extend(listed.processes);
        all.command_lines.extend(listed.command_lines);
        all.sids.extend(listed.sids);
    }
    if all.processes.is_empty() {
        return Err(ListError::NoList);
    }
    let mut system = System::default();
    system.processes.items = all.joined();
    system.warnings = warnings;
    places.compare(&mut system);
    foreign::join(&mut system);
    Ok(Report { generator: None, saved_by: Some(tools.join(", ")), ..Report::new(system) })
}

/// The names of the columns, as far as an error can say them.
fn columns(row: &Row) -> String {
    let names = row.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}...", names.get(..end).unwrap_or_default()),
        None => names,
    }
}

/// Rows whose process id is none: they are left out, and that is told.
fn without_id(name: &str, rows: &[Row], column: &str) -> Option<Warning> {
    let mut left_out = rows.iter().filter(|row| table::number(row, column).is_none());
    let first = left_out.next()?.get(column).map_or_else(|| "nothing".to_owned(), Value::to_string);
    let count = left_out.count().saturating_add(1);
    let first: String = first.chars().take(40).collect();
    let message = format!("{name}: {count} rows are left out whose {column} is no process id (the first has {first})");
    Some(Warning::new("processes", message))
}

/// Whether a SID is one that a token cannot have as its user.
fn is_of_group(sid: &str) -> bool {
    let known = OF_GROUPS.iter().any(|known| match known.strip_suffix('*') {
        Some(start) => sid.starts_with(start),
        None => sid == *known,
    });
    let number = sid.strip_prefix("S-1-5-21-").and_then(|rest| rest.rsplit_once('-')?.1.parse::<u32>().ok());
    known || number.is_some_and(|number| GROUP_NUMBERS.iter().any(|range| range.contains(&number)))
}

/// Whether it is one JSON object that has a member of a report.
fn looks_like_document(bytes: &[u8]) -> bool {
    let Ok(Value::Object(members)) = serde_json::from_slice(bytes) else { return false };
    ["schema", "generator", "image", "kernel", "system", "processes"].iter().any(|member| members.contains_key(*member))
        || members.is_empty()
}

impl Listed {
    /// The processes with what other lists say of them. Of a pid that several had nobody knows whose it is.
    fn joined(self) -> Vec<Process> {
        // Two lists of one machine have each process twice.
        let mut owners: BTreeMap<u64, BTreeSet<seen_by::Identity>> = BTreeMap::new();
        for process in &self.processes {
            if let Some(pid) = process.pid.value() {
                owners.entry(*pid).or_default().insert(seen_by::identity(process));
            }
        }
        let alone = |pid: &u64| owners.get(pid).is_some_and(|owners| owners.len() == 1);
        // A token begins with its user. Rows that were sorted do not tell which SID that was, whichever is the first.
        let sorted = self.sids.values().filter_map(|sids| sids.first()).find(|sid| is_of_group(sid));
        let mut processes = self.processes;
        for process in &mut processes {
            let Some(pid) = process.pid.value().filter(|pid| alone(pid)) else { continue };
            if let Some(line) = self.command_lines.get(pid).filter(|_| process.command_line.value().is_none()) {
                process.command_line = Reading::Value(line.clone());
            }
            let Some(sids) = self.sids.get(pid) else { continue };
            if let Some(group) = sorted {
                let why = format!(
                    "the SIDs are not in the order of a token: {group}, which is a group's, is the first of one"
                );
                process.user = Reading::Absent(Absent::unparsable(why));
                process.groups = Reading::Value(sids.iter().filter(|sid| is_of_group(sid)).cloned().collect());
            } else if let Some((user, groups)) = sids.split_first() {
                process.user = Reading::Value(user.clone());
                process.groups = Reading::Value(groups.to_vec());
            }
        }
        processes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check_smss;

    fn read(files: &[&str]) -> Result<Report, String> {
        named(&files.iter().map(|text| ("list", *text)).collect::<Vec<_>>())
    }

    fn named(files: &[(&str, &str)]) -> Result<Report, String> {
        let files: Vec<_> = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
        read_lists(&files).map_err(|error| error.to_string())
    }

    /// As `vol -r json windows.pslist` prints it.
    const PSLIST: &str = r#"[
 {"CreateTime": "2022-07-18T23:09:54+00:00", "ExitTime": null, "File output": "Disabled", "Handles": null,
  "ImageFileName": "System", "Offset(V)": 255085713117248, "PID": 4, "PPID": 0, "SessionId": null, "Threads": 152,
  "Wow64": false, "__children": []},
 {"CreateTime": "2022-07-18T23:09:54+00:00", "ExitTime": null, "File output": "Disabled", "Handles": null,
  "ImageFileName": "smss.exe", "Offset(V)": 255085723521088, "PID": 376, "PPID": 4, "SessionId": null, "Threads": 2,
  "Wow64": false, "__children": []}]"#;

    #[test]
    fn volatility_and_what_is_beside_it() {
        let command = r#"[{"Args": "\\SystemRoot\\System32\\smss.exe", "PID": 376, "Process": "smss.exe", "__children": []},
            {"Args": null, "PID": 4, "Process": "System", "__children": []}]"#;
        let sids = r#"[{"Name": "Local System", "PID": 376, "Process": "smss.exe", "SID": "S-1-5-18", "__children": []},
            {"Name": "Administrators", "PID": 376, "Process": "smss.exe", "SID": "S-1-5-32-544", "__children": []},
            {"Name": "System Mandatory Level", "PID": 376, "Process": "smss.exe", "SID": "S-1-16-16384", "__children": []}]"#;
        let report = read(&[PSLIST, command, sids]).unwrap();
        let [system, smss] = report.system.processes.items.as_slice() else { panic!("two processes") };
        assert_eq!(system.name.value().map(String::as_str), Some("System"));
        assert_eq!(system.created.value().unwrap().to_string(), "2022-07-18T23:09:54.0000000Z");
        assert!(system.session.absent().is_some() && system.command_line.absent().is_some());
        assert_eq!(smss.command_line.value().map(String::as_str), Some(r"\SystemRoot\System32\smss.exe"));
        assert_eq!(smss.user.value().map(String::as_str), Some("S-1-5-18"));
        assert_eq!(smss.integrity.value().map(String::as_str), Some("S-1-16-16384"));
        assert_eq!(smss.groups.value().map(Vec::as_slice), Some(&["S-1-5-32-544".to_owned()][..]));
        assert!(check_smss(&report.system).of("SMSS-001").any(|outcome| outcome.pid == Some(376)));
    }

    /// Rows that were sorted do not tell who the user is.
    #[test]
    fn sids_in_another_order() {
        let row = |pid: u64, sid: &str| format!(r#"{{"Name": "x", "PID": {pid}, "Process": "x", "SID": "{sid}"}}"#);
        let of = |rows: &[(u64, &str)]| {
            let rows: Vec<String> = rows.iter().map(|(pid, sid)| row(*pid, sid)).collect();
            let report = read(&[PSLIST, &format!("[{}]", rows.join(","))]).unwrap();
            let findings = check_smss(&report.system);
            let found = findings.of("SMSS-008").find(|found| found.pid == Some(376)).unwrap().clone();
            (found.outcome, found.missing.map(|missing| missing.to_string()).unwrap_or_default())
        };
        use crate::checks::Judgement::{Pass, Unknown, Violation};
        let (system, admins, label) = ((376, "S-1-5-18"), (376, "S-1-5-32-544"), (376, "S-1-16-16384"));
        assert_eq!(of(&[system, admins, label]).0, Pass);
        assert_eq!(of(&[(376, "S-1-5-21-1-2-3-1001"), admins, label]).0, Violation);
        for sorted in [[admins, system, label], [label, system, admins], [admins, label, system]] {
            let (outcome, why) = of(&sorted);
            assert_eq!(outcome, Unknown);
            assert!(why.contains("order"), "{why}");
        }
        // By SID, the user may come first by chance: the token of another process shows it.
        let by_sid = [(4, "S-1-16-16384"), (4, "S-1-5-18"), (376, "S-1-5-18"), (376, "S-1-5-32-544")];
        assert_eq!(of(&by_sid).0, Unknown);
        assert_eq!(of(&[(376, "S-1-5-21-1-2-3-513"), (376, "S-1-5-21-1-2-3-1001")]).0, Unknown);
    }

    #[test]
    fn rows_without_an_id_are_told() {
        for pid in ["-5", "1.5", "null", "\"four\""] {
            let odd = PSLIST.replace("\"PID\": 376", &format!("\"PID\": {pid}"));
            let report = read(&[&odd]).unwrap();
            assert_eq!(report.system.processes.items.len(), 1);
            let told = &report.system.warnings[0].message;
            assert!(told.contains("1 rows are left out") && told.contains(pid.trim_matches('"')), "{told}");
        }
        assert_eq!(read(&[PSLIST]).unwrap().system.warnings, []);
    }

    /// As `vol -r json windows.pstree` prints it: children in their parents.
    #[test]
    fn a_tree_is_a_list() {
        let tree = r#"[{"Audit": null, "Cmd": null, "CreateTime": "2022-07-18T23:09:54+00:00", "ExitTime": null, "Handles": null,
            "ImageFileName": "System", "Offset(V)": 1, "PID": 4, "PPID": 0, "Path": null, "SessionId": null, "Threads": 152,
            "Wow64": false, "__children": [{"Audit": "\\Device\\HarddiskVolume3\\Windows\\System32\\smss.exe",
            "Cmd": "\\SystemRoot\\System32\\smss.exe", "CreateTime": "2022-07-18T23:09:54+00:00", "ExitTime": null, "Handles": null,
            "ImageFileName": "smss.exe", "Offset(V)": 2, "PID": 376, "PPID": 4, "Path": "\\SystemRoot\\System32\\smss.exe",
            "SessionId": null, "Threads": 2, "Wow64": false, "__children": []}]}]"#;
        let items = read(&[tree]).unwrap().system.processes.items;
        assert_eq!(
            items[1].path.value().map(String::as_str),
            Some(r"\Device\HarddiskVolume3\Windows\System32\smss.exe")
        );
        assert_eq!(items[1].peb_path.value().map(String::as_str), Some(r"\SystemRoot\System32\smss.exe"));
        assert_eq!(items[1].command_line.value().map(String::as_str), Some(r"\SystemRoot\System32\smss.exe"));
    }

    /// The header is that of `m_fc_proc.c` of MemProcFS.
    #[test]
    fn memprocfs() {
        let csv = "PID,PPID,State,ShortName,Name,IntegrityLevel,User,CreateTime,ExitTime,Wow64,EPROCESS,PEB,PEB32,DTB,UserDTB,\
                   UserPath,KernelPath,CommandLine,Flag\n\
                   4,0,0,System,System,System,SYSTEM,2022-07-18 23:09:54 UTC,,0,0xffffe80000000040,0x0,0x0,0x1ad000,0x1ad000,\
                   System,,,\n\
                   376,4,0,smss.exe,smss.exe,System,SYSTEM,2022-07-18 23:09:54 UTC,,0,0xffffe80000000080,0x1000,0x0,0x2ad000,\
                   0x2ad000,\"C:\\Windows\\System32\\smss.exe\",\"\\Device\\HarddiskVolume3\\Windows\\System32\\smss.exe\",\
                   \"\\SystemRoot\\System32\\smss.exe\",\n";
        let items = read(&[csv]).unwrap().system.processes.items;
        assert_eq!(items.len(), 2);
        assert_eq!(
            items[1].path.value().map(String::as_str),
            Some(r"\Device\HarddiskVolume3\Windows\System32\smss.exe")
        );
        assert_eq!(items[1].created.value().unwrap().to_string(), "2022-07-18T23:09:54.0000000Z");
        assert!(items[1].user.absent().is_some(), "a name is no SID");
        assert_eq!(items[1].wow64.value(), Some(&false));
    }

    /// As the artifact Windows.System.Pslist gives rows.
    #[test]
    fn velociraptor() {
        let rows = r#"{"Pid": 4, "Ppid": 0, "TokenIsElevated": true, "Name": "System", "CommandLine": "", "Exe": "", "Username": ""}
{"Pid": 376, "Ppid": 4, "TokenIsElevated": true, "Name": "smss.exe", "CommandLine": "", "Exe": "C:\\Windows\\System32\\smss.exe", "Username": "NT AUTHORITY\\SYSTEM"}"#;
        let items = read(&[rows]).unwrap().system.processes.items;
        assert_eq!(items[1].path.value().map(String::as_str), Some(r"C:\Windows\System32\smss.exe"));
        assert!(items[1].user.absent().is_some() && items[1].command_line.absent().is_some());
    }

    /// `pslist()` has the user of the token in `OwnerSid`.
    #[test]
    fn velociraptor_says_whose_the_token_is() {
        let row = |pid: u64, owner: &str| {
            format!(
                r#"{{"Pid": {pid}, "Ppid": 4, "Name": "smss.exe", "Threads": 2, "Username": "PC\\alice", "OwnerSid": "{owner}",
                    "CommandLine": "", "Exe": "C:\\Windows\\System32\\smss.exe", "CreateTime": "2026-03-20T11:25:35Z"}}"#
            )
        };
        let of = |owner: &str| {
            let report = read(&[&format!("[{}, {}]", row(468, "S-1-5-18"), row(3260, owner))]).unwrap();
            let findings = check_smss(&report.system);
            let outcome = |pid| findings.of("SMSS-008").find(|found| found.pid == Some(pid)).unwrap().clone();
            (outcome(468).outcome, outcome(3260))
        };
        use crate::checks::Judgement::{Pass, Unknown, Violation};
        let (good, bad) = of("S-1-5-21-1-2-3-1001");
        assert_eq!((good, bad.outcome), (Pass, Violation));
        let (_, unnamed) = of("");
        assert_eq!(unnamed.outcome, Unknown);
        let why = unnamed.missing.unwrap().to_string();
        assert!(why.contains("alice") && why.contains("SID"), "{why}");
    }

    /// The tool prints an exit time for who has ended, and nothing for who has not.
    #[test]
    fn memprocfs_says_who_runs() {
        let list = |exited: &str| {
            format!(
                "PID,PPID,State,ShortName,Name,IntegrityLevel,User,CreateTime,ExitTime,Wow64,EPROCESS,PEB,PEB32,DTB,UserDTB,\
                 UserPath,KernelPath,CommandLine,Flag\n\
                 4,0,0,System,System,System,SYSTEM,\"2026-03-20 11:25:35\",,0,0xffff97a9ec004060,0x0,0x0,0x6d4000,0x3f2c000,\
                 \"\",System,\"\",-\n\
                 468,4,0,smss.exe,smss.exe,System,SYSTEM,\"2026-03-20 11:25:35\",,0,0xffff97a9ec016060,0xa0,0x0,0x11b0000,0x0,\
                 \\SystemRoot\\System32\\smss.exe,\\Device\\HarddiskVolume4\\Windows\\System32\\smss.exe,,-\n\
                 3260,4,0,smss.exe,smss.exe,Medium,alice,\"2026-03-20 16:25:35\",{exited},0,0xffff97a9ec216060,0xa0,0x0,0x12b0000,\
                 0x0,C:\\x\\smss.exe,\\Device\\HarddiskVolume4\\x\\smss.exe,,-\n"
            )
        };
        let of = |exited: &str, id: &str| {
            let findings = check_smss(&read(&[&list(exited)]).unwrap().system);
            findings.of(id).map(|found| (found.outcome, found.pid)).collect::<Vec<_>>()
        };
        use crate::checks::Judgement::Violation;
        assert!(of("", "SMSS-006").iter().any(|(outcome, _)| *outcome == Violation));
        assert!(!of("\"2026-03-20 16:30:00\"", "SMSS-006").iter().any(|(outcome, _)| *outcome == Violation));
        let report = read(&[&list("")]).unwrap();
        assert_eq!(report.saved_by.as_deref(), Some("MemProcFS"));
        let user = report.system.processes.items[2].user.absent().unwrap().to_string();
        assert!(user.contains("alice") && user.contains("SID"), "{user}");
    }

    /// Rows as `windows.psscan` has them; `windows.pslist` of the same image lacks the last.
    const PSSCAN: &str = r#"[
 {"CreateTime": "2022-07-18T23:09:54+00:00", "ExitTime": null, "File output": "Disabled", "Handles": null,
  "ImageFileName": "smss.exe", "Offset(V)": 255085723521088, "PID": 376, "PPID": 4, "SessionId": null, "Threads": 2,
  "Wow64": false, "__children": []},
 {"CreateTime": "2022-07-18T22:09:54+00:00", "ExitTime": "2022-07-18T22:19:54+00:00", "File output": "Disabled", "Handles": null,
  "ImageFileName": "gone.exe", "Offset(V)": 255085723521888, "PID": 900, "PPID": 4, "SessionId": 0, "Threads": 0,
  "Wow64": false, "__children": []},
 {"CreateTime": "2022-07-18T23:09:58+00:00", "ExitTime": null, "File output": "Disabled", "Handles": null,
  "ImageFileName": "svchost.exe", "Offset(V)": 255085723529088, "PID": 804, "PPID": 620, "SessionId": 0, "Threads": 9,
  "Wow64": false, "__children": []}]"#;

    #[test]
    fn who_is_in_psscan_alone_is_told() {
        use crate::checks::Judgement::Unknown;
        let scanned = named(&[("windows.pslist.json", PSLIST), ("windows.psscan.json", PSSCAN)]).unwrap();
        let findings = check_smss(&scanned.system);
        let of = |pid| findings.of("SMSS-021").find(|found| found.pid == Some(pid));
        let hidden = of(804).unwrap();
        let why = hidden.missing.as_ref().unwrap().to_string();
        assert!(hidden.outcome == Unknown && hidden.is_in_the_way() && why.contains("svchost.exe (804)"), "{why}");
        assert!(of(900).is_none() && of(376).is_none(), "who has ended, and who is in both");
        assert_eq!(findings.verdict, crate::Verdict::Inconclusive);
        // Who is in both is one process, found in both ways.
        let smss = scanned.system.processes.items.iter().filter(|process| process.pid.value() == Some(&376));
        let sources: Vec<_> = smss.map(|process| process.sources.clone()).collect();
        assert_eq!(sources, [[Source::ActiveList, Source::PoolScan]]);
        // Files whose names do not tell: it is told all the same.
        let joined = named(&[("a.json", PSLIST), ("b.json", PSSCAN)]).unwrap();
        let told = joined.system.warnings.iter().find(|warning| warning.message.starts_with("b.json")).unwrap();
        assert!(told.message.contains("svchost.exe (804)") && !told.message.contains("gone.exe"), "{}", told.message);
        let same = named(&[("a.json", PSLIST), ("b.json", PSLIST)]).unwrap();
        assert_eq!(same.system.warnings.len(), 1, "that rows are joined");
        // What is beside two lists is of the processes in both.
        let line =
            r#"[{"Args": "\\SystemRoot\\System32\\smss.exe", "PID": 376, "Process": "smss.exe", "__children": []}]"#;
        let all = named(&[("pslist.json", PSLIST), ("psscan.json", PSSCAN), ("cmdline.json", line)]).unwrap();
        let smss = all.system.processes.items.iter().find(|process| process.pid.value() == Some(&376)).unwrap();
        assert_eq!(smss.command_line.value().map(String::as_str), Some(r"\SystemRoot\System32\smss.exe"));
        assert_eq!(all.saved_by.as_deref(), Some("Volatility 3"));
    }

    #[test]
    fn an_image_in_the_place_of_a_list_is_no_long_error() {
        let mut image = vec![b'x'; 1 << 20];
        image[900_000] = b'\n';
        for bytes in [image.clone(), {
            image[100] = 0;
            image
        }] {
            let is_binary = bytes.contains(&0);
            let error = read_lists(&[("mem.raw".to_owned(), bytes)]).unwrap_err().to_string();
            assert!(error.len() < 1000 && error.contains("without --report") == is_binary, "{error}");
        }
    }

    #[test]
    fn what_is_no_list_is_said() {
        for (text, words) in [
            ("", "no rows"),
            ("[]", "no rows"),
            ("[1, 2]", "no rows"),
            ("hello", "no rows"),
            ("a,b\n1,2\n", "its columns are a, b"),
            (r#"[{"a": 1}]"#, "its columns are a"),
            ("{", "JSON"),
            (r#"{"processes": {"items": [{"pid": "four"}]}}"#, "line 1"),
        ] {
            let error = read(&[text]).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
        let only_sids = r#"[{"Name": "x", "PID": 4, "Process": "System", "SID": "S-1-5-18"}]"#;
        assert!(read(&[only_sids]).unwrap_err().contains("none of the files lists processes"));
    }
}

//! The smss checks over what other tools printed about real machines. What must come out is taken from the tables in the
//! listings' README, which is read here; nothing of the listings is in this repository.

use crate::common;
use ntmem::checks::{Judgement, Severity, check_smss};
use ntmem::{Findings, Outcome, Report, System, Verdict};
use serde_json::{Value, json};
use std::path::PathBuf;

fn listings() -> Option<PathBuf> {
    Some(common::material("listings")?.join("listings"))
}

/// The listing in the form that `--report` reads, declared whole unless `end` says otherwise.
fn document(directory: &std::path::Path, id: &str, end: Option<&str>) -> Value {
    let text = std::fs::read_to_string(directory.join(format!("{id}.json"))).unwrap();
    let listing: Value = serde_json::from_str(&text).unwrap();
    let row = |row: &Value| {
        let mut new = json!({});
        for (ours, theirs) in [
            ("pid", "pid"),
            ("ppid", "ppid"),
            ("name", "name"),
            ("created", "created"),
            ("exited", "exited"),
            ("session", "session"),
            ("threads", "threads"),
            ("handles", "handles"),
            ("wow64", "wow64"),
            ("path", "path_kernel"),
            ("peb_path", "path_peb"),
            ("command_line", "cmdline"),
            ("user", "user_sid"),
        ] {
            new[ours] = row[theirs].clone();
        }
        new["groups"] = listing["smss_groups"][row["pid"].to_string()].clone();
        new
    };
    let items: Vec<Value> = listing["processes"].as_array().unwrap().iter().map(row).collect();
    json!({ "schema": 1, "kernel": { "build": listing["build"] }, "processes": { "end": end, "items": items } })
}

fn judge(document: &Value) -> Findings {
    check_smss(&system(document))
}

fn system(document: &Value) -> System {
    serde_json::from_value::<Report>(document.clone()).unwrap().system
}

fn items(document: &mut Value) -> &mut Vec<Value> {
    document["processes"]["items"].as_array_mut().unwrap()
}

fn row(document: &mut Value, pid: u64) -> &mut Value {
    items(document).iter_mut().find(|row| row["pid"] == pid).unwrap()
}

/// The outcome for the process, or for the machine.
fn outcome<'a>(findings: &'a Findings, id: &'a str, pid: Option<u64>) -> &'a Outcome {
    findings.of(id).find(|outcome| outcome.pid == pid).unwrap_or_else(|| panic!("no {id} for {pid:?}"))
}

fn counting(findings: &Findings) -> Vec<String> {
    findings.outcomes.iter().filter(|outcome| outcome.counts()).map(ToString::to_string).collect()
}

/// The rows of the table below this heading, as cells.
fn table(readme: &str, heading: &str) -> Vec<Vec<String>> {
    readme
        .lines()
        .skip_while(|line| *line != heading)
        .skip_while(|line| !line.starts_with("|--"))
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

/// Asserts one cell of the README, `pass ...`, `unknown ...` or `VIOLATION ...`, of the named column.
fn assert_cell(id: &str, column: &str, cell: &str, findings: &Findings, master: Option<u64>) {
    let expected = match cell.split([' ', ',']).next().unwrap() {
        "pass" => Judgement::Pass,
        "unknown" => Judgement::Unknown,
        "VIOLATION" => Judgement::Violation,
        other => panic!("{id}: the README says {other} about {column}"),
    };
    let is = |rule: &str, pid: Option<u64>, expected: Judgement| {
        let outcome = outcome(findings, rule, pid);
        assert_eq!(outcome.outcome, expected, "{id}, {column} is {cell:?}: {outcome}");
    };
    match column {
        "parent" => is("SMSS-001", master, expected),
        "path" if cell.contains("(cmdline)") => is("SMSS-005", master, expected),
        "path" => {
            is("SMSS-002", master, expected);
            if cell.contains("kernel+PEB") {
                is("SMSS-003", master, Judgement::Pass);
            } else if cell.contains("PEB unknown") || expected == Judgement::Unknown {
                is("SMSS-003", master, Judgement::Unknown);
            }
            if cell.contains("cmdline only, canonical") {
                is("SMSS-005", master, Judgement::Pass);
            }
        }
        "instances" => is("SMSS-006", None, expected),
        "user" => is("SMSS-008", master, expected),
        "start" => is("SMSS-012", master, expected),
        other => panic!("unknown column {other}"),
    }
}

fn master(document: &Value) -> Option<u64> {
    let rows = document["processes"]["items"].as_array().unwrap();
    let smss = |row: &&Value| row["name"].as_str().is_some_and(|name| name.starts_with("smss"));
    rows.iter().filter(smss).find(|row| row["ppid"] == 4 || row["ppid"].is_null()).and_then(|row| row["pid"].as_u64())
}

const COLUMNS: [&str; 5] = ["parent", "path", "instances", "user", "start"];

#[test]
fn main_listings_say_what_the_readme_says() {
    let Some(directory) = listings() else { return };
    let readme = std::fs::read_to_string(directory.join("README.md")).unwrap();
    let rows = table(&readme, "## Main");
    assert_eq!(rows.len(), 20);
    for cells in rows {
        let id = &cells[0];
        let document = document(&directory, id, Some("complete"));
        let findings = judge(&document);
        assert_eq!(counting(&findings), Vec::<String>::new(), "{id}");
        assert_eq!(findings.verdict, Verdict::Inconclusive, "{id}: no registry in a listing");
        let master = master(&document);
        for (column, cell) in COLUMNS.iter().zip(&cells[7..12]) {
            assert_cell(id, column, cell, &findings, master);
        }
        // "pass, 1 master + 1 exited child": each smss.exe is judged once.
        let children = cells[9].matches("child").count();
        assert_eq!(findings.of("SMSS-001").count(), 1 + children, "{id}: {}", cells[9]);
    }
}

#[test]
fn extra_listings_say_what_the_readme_says() {
    let Some(directory) = listings() else { return };
    let readme = std::fs::read_to_string(directory.join("README.md")).unwrap();
    for cells in table(&readme, "## Extra") {
        let document = document(&directory, &cells[0], Some("complete"));
        let findings = judge(&document);
        let master = master(&document);
        for part in cells[4].split("; ").filter(|part| !part.starts_with("csrss")) {
            let (column, cell) = part.split_once(' ').unwrap();
            assert_cell(&cells[0], column, cell, &findings, master);
        }
        assert_eq!(counting(&findings).is_empty(), cells[0] != "RAMSCAN-EXAMPLE", "{:?}", counting(&findings));
    }
}

#[test]
fn part_of_a_list_proves_no_absence() {
    let Some(directory) = listings() else { return };
    let readme = std::fs::read_to_string(directory.join("README.md")).unwrap();
    for cells in table(&readme, "## Main") {
        for end in [None, Some("broken")] {
            let findings = judge(&document(&directory, &cells[0], end));
            assert_eq!(counting(&findings), Vec::<String>::new(), "{}", cells[0]);
            for id in ["SMSS-000", "SMSS-006", "SES-01", "SES-05"] {
                assert_eq!(outcome(&findings, id, None).outcome, Judgement::Unknown, "{} {id}", cells[0]);
            }
        }
    }
}

#[test]
fn half_of_the_rows_is_no_finding_either() {
    let Some(directory) = listings() else { return };
    let readme = std::fs::read_to_string(directory.join("README.md")).unwrap();
    for cells in table(&readme, "## Main") {
        for keep in 0..2 {
            let mut document = document(&directory, &cells[0], Some("limit"));
            let mut at = 0;
            items(&mut document).retain(|_| {
                at += 1;
                at % 2 == keep
            });
            assert_eq!(counting(&judge(&document)), Vec::<String>::new(), "{}", cells[0]);
        }
    }
}

#[test]
fn sessions_share_their_creator() {
    let Some(directory) = listings() else { return };
    // Sheet 5.7.5: SES-02 passes with the shared parents 0x147c and 0x2660.
    let findings = judge(&document(&directory, "INCSES", None));
    let creators = outcome(&findings, "SES-02", None);
    assert_eq!(creators.outcome, Judgement::Pass, "{creators}");
    assert_eq!(creators.observed.as_deref(), Some("session 6: 5244; session 8: 9824"));
    let machine = system(&document(&directory, "INCSES", Some("complete")));
    let sessions = ntmem::Picture::new(&machine).sessions().to_vec();
    assert_eq!(sessions[1].kind, Some("incomplete".into()));
    let machine = system(&document(&directory, "W2012-JOAN", Some("complete")));
    let sessions = ntmem::Picture::new(&machine).sessions().to_vec();
    assert_eq!(sessions.iter().map(|session| session.id).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(sessions[1].creator_pid, Some(1420));
}

#[test]
fn a_program_of_the_user() {
    let Some(directory) = listings() else { return };
    let mut document = document(&directory, "W11-22621", Some("complete"));
    let explorer = items(&mut document).iter().find(|row| row["name"] == "explorer.exe").unwrap()["pid"].clone();
    items(&mut document).push(json!({
        "pid": 9000, "ppid": explorer, "name": "smss.exe", "session": 1, "threads": 3, "exited": null,
        "created": "2024-05-16T10:40:00Z", "user": "S-1-5-21-1942469836-708821519-518219048-1001",
    }));
    let findings = judge(&document);
    for (id, pid) in [("SMSS-001", Some(9000)), ("SMSS-006", None), ("SMSS-008", Some(9000))] {
        assert_eq!(outcome(&findings, id, pid).outcome, Judgement::Violation, "{id}");
    }
    for id in ["SMSS-001", "SMSS-008", "SMSS-012"] {
        assert_eq!(outcome(&findings, id, Some(600)).outcome, Judgement::Pass, "the real one: {id}");
    }
    assert_eq!(findings.verdict, Verdict::Violations);
    // In part of the list it is still there.
    document["processes"]["end"] = json!("broken");
    assert_eq!(outcome(&judge(&document), "SMSS-006", None).outcome, Judgement::Violation);
}

#[test]
fn a_child_that_stays() {
    let Some(directory) = listings() else { return };
    let mut document = document(&directory, "W10-15063", Some("complete"));
    let child = row(&mut document, 6920);
    child["exited"] = Value::Null;
    child["threads"] = json!(2);
    let findings = judge(&document);
    assert_eq!(outcome(&findings, "SMSS-007", Some(6920)).outcome, Judgement::Unknown, "without an image time");
    assert_eq!(counting(&findings), Vec::<String>::new());
    assert_eq!(outcome(&findings, "SMSS-006", None).outcome, Judgement::Pass);
    for (captured, severity) in [("2018-06-08T00:28:00Z", Severity::Low), ("2018-06-21T06:53:00Z", Severity::Medium)] {
        document["system"] = json!({ "captured": captured });
        let findings = judge(&document);
        let stale = outcome(&findings, "SMSS-007", Some(6920));
        assert_eq!((stale.outcome, stale.severity), (Judgement::Violation, Some(severity)));
        assert_eq!(outcome(&findings, "SMSS-006", None).outcome, Judgement::Pass, "never a second master");
        assert!(findings.violations().all(|violation| violation.severity <= Some(Severity::Medium)));
    }
    document["system"] = json!({ "captured": "2018-06-08T00:27:00Z" });
    assert_eq!(counting(&judge(&document)), Vec::<String>::new(), "36 s after its start");
}

#[test]
fn an_edited_command_line() {
    let Some(directory) = listings() else { return };
    let mut document = document(&directory, "D-S19", Some("complete"));
    row(&mut document, 300)["command_line"] = json!("C:\\Windows\\System32\\smss.exe");
    let findings = judge(&document);
    assert_eq!(outcome(&findings, "SMSS-005", Some(300)).outcome, Judgement::Violation);
    assert_eq!(outcome(&findings, "SMSS-002", Some(300)).outcome, Judgement::Pass);
}

#[test]
fn another_user() {
    let Some(directory) = listings() else { return };
    let mut document = document(&directory, "W11-22000", Some("complete"));
    row(&mut document, 376)["user"] = json!("S-1-5-20");
    let findings = judge(&document);
    assert_eq!(outcome(&findings, "SMSS-008", Some(376)).outcome, Judgement::Violation);
    assert_eq!(counting(&findings).len(), 1);
}

#[test]
fn clock_steps_and_reused_pids_are_no_findings() {
    let Some(directory) = listings() else { return };
    let joan = judge(&document(&directory, "W2012-JOAN", Some("complete")));
    assert_eq!(outcome(&joan, "SMSS-001", Some(1420)).outcome, Judgement::Pass, "older than its master");
    let flounder = judge(&document(&directory, "W7-FLOUNDER", Some("complete")));
    let creator = outcome(&flounder, "SES-03", None);
    assert_eq!(creator.outcome, Judgement::Pass, "{creator}");
    assert!(creator.observed.as_deref().unwrap().contains("384 (gone; svchost.exe has the pid now)"), "{creator}");
    // D-XP3: the image is older than smss.exe.
    let mut xp = document(&directory, "D-XP3", Some("complete"));
    xp["system"] = json!({ "captured": "2023-02-13T18:29:11Z" });
    assert_eq!(counting(&judge(&xp)), Vec::<String>::new());
}

#[test]
fn a_container_on_the_host() {
    let Some(directory) = listings() else { return };
    // Sheet 5.7.4: the container's processes of CTR among those of D-S19.
    for with_parents in [true, false] {
        let mut document = document(&directory, "D-S19", Some("complete"));
        document["system"] = json!({ "captured": "2024-09-10T09:00:00Z" });
        for (pid, ppid, name, session) in [
            (4508, 300, "smss.exe", None),
            (4524, 4508, "csrss.exe", Some(4)),
            (3752, 4508, "wininit.exe", Some(4)),
            (2488, 3752, "services.exe", Some(4)),
            (700, 3752, "lsass.exe", Some(4)),
            (4716, 2488, "CExecSvc.exe", Some(4)),
        ] {
            let ppid = if with_parents || pid == 4508 { json!(ppid) } else { Value::Null };
            items(&mut document).push(json!({
                "pid": pid, "ppid": ppid, "name": name, "session": session, "threads": 3,
                "created": "2024-09-10T06:00:00Z", "exited": null,
            }));
        }
        let findings = judge(&document);
        assert_eq!(counting(&findings), Vec::<String>::new());
        assert_eq!(outcome(&findings, "SMSS-006", None).outcome, Judgement::Pass);
        assert!(outcome(&findings, "SMSS-007", Some(4508)).guard.is_some());
        let machine = system(&document);
        let sessions = ntmem::Picture::new(&machine).sessions().to_vec();
        assert_eq!(sessions.last().unwrap().kind, Some("silo".into()));
    }
}

#[test]
fn garbage_rows_are_named_and_not_judged() {
    let Some(directory) = listings() else { return };
    let findings = judge(&document(&directory, "W11-22000", Some("complete")));
    assert_eq!(findings.passed_over.len(), 1);
    assert!(findings.passed_over[0].contains("128017663995251"));
}

#[test]
fn the_posix_subsystem_is_worth_knowing_only() {
    let Some(directory) = listings() else { return };
    let findings = judge(&document(&directory, "MEMLAB1", Some("complete")));
    let psxss = outcome(&findings, "SMSS-019", Some(376));
    assert_eq!((psxss.outcome, psxss.severity), (Judgement::Violation, Some(Severity::Info)));
}

//! What a baseline of another process takes: its data, and the rules that read them.

use super::{add, find, machine, outcome, process, text};
use crate::checks::Judgement::{NotApplicable, Pass, Violation};
use crate::checks::core::{Children, Count, InSession, LOCAL_SYSTEM, StartedBy};
use crate::checks::rules::{hardening, name, parent, path, session, start, user};
use crate::checks::{Baseline, CoreProcess, Verdict};
use crate::{Hex, Process, Reading};
use std::borrow::Cow;

static CSRSS: CoreProcess = CoreProcess {
    name: "csrss.exe",
    path: "\\System32\\csrss.exe",
    parent: StartedBy::SessionsSmss,
    count: Count::EachSession,
    user: LOCAL_SYSTEM,
    session: InSession::Any,
    command_line: None,
    start: None,
    protection: &[(9600, 0x61)],
    dynamic_code_disabled: None,
    critical: false,
    base_priority: None,
    most_threads: None,
    modules: None,
    modules_of_builds: &[],
    children: Children::NONE,
};

static BASELINE: Baseline = Baseline {
    name: "csrss",
    title: "csrss.exe",
    process: &CSRSS,
    look_into: &[],
    rules: Cow::Borrowed(&[
        &parent::PARENT,
        &path::KERNEL_PATH,
        &user::USER,
        &session::SESSION,
        &start::START,
        &hardening::PROTECTION,
        &hardening::NATIVE,
        &name::IMAGE_NAME,
    ]),
};

#[test]
fn rules_read_what_is_normal_from_the_process_they_judge() {
    let findings = BASELINE.check(&machine());
    assert_eq!(findings.verdict, Verdict::Clean, "{:#?}", findings.outcomes);
    for pid in [452, 536] {
        for rule in BASELINE.rules.iter() {
            let judged = outcome(&findings, rule.id, pid).outcome;
            assert_eq!(judged, if rule.id == "SMSS-012" { NotApplicable } else { Pass }, "{} of {pid}", rule.id);
        }
    }
}

#[test]
fn an_impostor_of_another_process_is_seen_by_the_same_rules() {
    let mut system = machine();
    let impostor = Process {
        path: text("\\Device\\HarddiskVolume3\\Users\\a\\csrss.exe"),
        user: text("S-1-5-21-1-2-3-1001"),
        protection: Reading::Value(Hex(0)),
        ..process(3260, 3000, "csrss.exe", None, 300)
    };
    add(&mut system, impostor);
    find(&mut system, 452).protection = Reading::Value(Hex(0x62));
    let findings = BASELINE.check(&system);
    for id in ["SMSS-001", "SMSS-002", "SMSS-008", "SMSS-011", "SMSS-013"] {
        assert_eq!(outcome(&findings, id, 3260).outcome, Violation, "{id}");
    }
    assert_eq!(outcome(&findings, "SMSS-013", 452).outcome, Violation);
    assert_eq!(outcome(&findings, "SMSS-013", 536).outcome, Pass);
}

//! Partial documents on which an earlier version was wrong, each with the severity that is right for one rule: what smss.exe will
//! do by these keys, and what other tools' lists prove. The answers are those of the trials' README, not ours.

use crate::common;
use ntmem::checks::{Judgement, Severity, check_smss};
use ntmem::{Outcome, Report};
use std::path::Path;

use Severity::{Critical, High, Info, Low, Medium};

/// Document, rule, and the least and the worst severity that is right; none where the rule must pass or be unknown.
type Right = (&'static str, &'static str, Option<(Severity, Severity)>);

const fn exactly(severity: Severity) -> Option<(Severity, Severity)> {
    Some((severity, severity))
}

const RIGHT: &[Right] = &[
    ("boot-nbsp", "SMR-10", exactly(Critical)),
    ("boot-ideographic", "SMR-10", exactly(High)),
    ("boot-bare-vendor", "SMR-10", exactly(Low)),
    ("boot-autofmt", "SMR-10", exactly(Medium)),
    ("boot-edrkill", "SMR-10", exactly(High)),
    ("boot-one-string", "SMR-10", exactly(Info)),
    ("boot-empty-text", "SMR-10", Some((Info, Low))),
    ("boot-defrag-native", "SMR-10", exactly(Info)),
    ("boot-smartdefragboottime", "SMR-10", exactly(Info)),
    ("boot-avgrsa", "SMR-10", exactly(Info)),
    ("boot-avgchsva", "SMR-10", exactly(Info)),
    ("boot-pgdfgsvc", "SMR-10", exactly(Info)),
    ("boot-autonat", "SMR-10", exactly(Info)),
    ("setup-poqexec", "SMR-11", exactly(High)),
    ("setup-cmdline", "SMR-10", exactly(High)),
    ("setup-cmdline", "SMR-12", exactly(Info)),
    ("known-dlls-emptied", "SMR-14", exactly(Low)),
    ("environment-path-python", "SMR-16", exactly(Info)),
    ("environment-startup-hook", "SMR-16", Some((Medium, High))),
    ("environment-clr-etw", "SMR-16", Some((Low, Medium))),
    ("environment-dotnet-etw", "SMR-16", Some((Low, Medium))),
    ("environment-profiler-path", "SMR-16", exactly(Info)),
    ("environment-profiler-clsid", "SMR-16", Some((Info, Medium))),
    ("environment-profiler-user", "SMR-16", exactly(High)),
    ("pfro-folder", "SMR-13", exactly(High)),
    ("pfro-defender-folder", "SMR-13", exactly(High)),
    ("pfro-shortname", "SMR-13", exactly(High)),
    ("pfro-to-globalroot", "SMR-13", exactly(High)),
    ("pfro-shortname-core", "SMR-13", Some((Low, High))),
    ("pfro-av-upgrade", "SMR-13", exactly(Info)),
    ("pfro-delete-listed", "SMR-13", exactly(High)),
    ("pfro-other-folder", "SMR-13", exactly(Info)),
    ("pfro-driver-uninstalled", "SMR-13", exactly(Info)),
    ("pfro-driver-guarded", "SMR-13", exactly(High)),
    ("psubst", "SMR-17", exactly(Info)),
    ("psubst-user", "SMR-17", exactly(Medium)),
    ("psubst-system", "SMR-17", exactly(Medium)),
    ("session-down", "SES-05", exactly(Info)),
    ("session-down-more", "SES-05", exactly(High)),
    ("user-by-name", "SMSS-008", None),
    ("user-sid-wrong", "SMSS-008", exactly(Critical)),
    ("ssms-root", "SMSS-020", exactly(Info)),
    ("lookalike-spss", "SMSS-020", Some((Info, Low))),
];

fn judge(folder: &Path, name: &str) -> Vec<Outcome> {
    let report: Report = serde_json::from_value(common::json(&folder.join(format!("{name}.json")))).unwrap();
    check_smss(&report.system).outcomes
}

#[test]
fn each_document_is_judged_right() {
    let Some(material) = common::material("trials") else { return };
    let folder = material.join("trials/documents");
    let mut wrong = Vec::new();
    for (name, rule, right) in RIGHT {
        let all = judge(&folder, name);
        let of_rule = || all.iter().filter(|outcome| outcome.id == *rule);
        let worst = of_rule().filter_map(|outcome| outcome.severity).max();
        // A document that lacks other keys of the rule leaves it unknown; what was found is told all the same.
        let told = || of_rule().any(|outcome| outcome.outcome == Judgement::Unknown && outcome.observed.is_some());
        let is_right = match (worst, right) {
            (None, None) => true,
            (None, Some((Info, _))) => told(),
            (Some(worst), Some((least, most))) => (*least..=*most).contains(&worst),
            _ => false,
        };
        if !is_right {
            wrong.push(format!("{name}, {rule}: {worst:?}, right is {right:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn an_account_name_is_shown_and_proves_nothing() {
    let Some(material) = common::material("trials") else { return };
    let all = judge(&material.join("trials/documents"), "user-by-name");
    let users: Vec<&Outcome> = all.iter().filter(|outcome| outcome.id == "SMSS-008").collect();
    assert!(!users.is_empty());
    for user in users {
        assert_eq!(user.outcome, Judgement::Unknown, "{user}");
        assert!(user.observed.as_deref().is_some_and(|name| name.ends_with("SYSTEM")), "{user}");
    }
}

#[test]
fn lists_of_clean_machines_have_no_violation() {
    let Some(material) = common::material("trials") else { return };
    for name in ["listing-2016", "listing-win8m3", "environment-startup-hook-none"] {
        let all = judge(&material.join("trials/documents"), name);
        let counted: Vec<&Outcome> = all.iter().filter(|outcome| outcome.counts()).collect();
        assert!(counted.is_empty(), "{name}: {counted:#?}");
    }
}

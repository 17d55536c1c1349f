//! SMR-00: which control set the next start uses.

use super::Answer;
use super::keys::Keys;
use crate::AbsentKind;
use crate::checks::rule::{About, Rule};
use crate::checks::{Judgement, Outcome, Severity};

/// SMR-00: control set resolved.
pub static RESOLVED: Rule = Rule {
    id: "SMR-00",
    title: "control set resolved",
    wrong: "control set or hive in use is not the only one",
    core: false,
    attack: &[],
    about: About {
        what: "The kernel's link SYSTEM\\CurrentControlSet and SYSTEM\\Select\\Current name one control set, which exists, Default \
               names the same one, and one hive alone answers for SYSTEM. All other SMR rules read the set that the link names, and \
               judge that of Default as well, and that of another hive.",
        why: "smss.exe reads the control set that the link names, and at the next start the one that Default does. Select can be \
               written over to lead tools to another set, and so can the list of hives. Another Default means that the last known \
               good configuration is in use.",
        benign: "A start with the last known good configuration: info.",
        source: "ReactOS base/system/smss; Microsoft documentation of HKLM\\SYSTEM\\Select.",
    },
    judge: |case, _| {
        let keys = Keys::new(case);
        let outcome = resolved(&keys);
        // What is read of the registry rests on Select alone then, which can be written over.
        let alone = keys.read.linked.is_nothing() && outcome.outcome == Judgement::Unknown;
        vec![if alone { outcome.decides() } else { outcome }]
    },
};

/// `Current` is a control set, and the default one.
fn resolved(keys: &Keys<'_>) -> Outcome {
    let mut answer = Answer::new(keys, &RESOLVED, "Current is Default");
    let select = keys.key("Select", &keys.read.select);
    let Some(set) = keys.read.control_set.value() else { return answer.judge() };
    let current = answer.number(select, "Current");
    if let (Some(linked), Some(Some(current))) = (keys.read.linked.value(), current)
        && current != u64::from(*linked)
    {
        let words = format!("the kernel's link names ControlSet{linked:03}, Current says {current}");
        answer.violation(select, "Current", Severity::High, words, "one control set");
    }
    if let Some(absent) = keys.read.linked.absent().filter(|absent| absent.kind == AbsentKind::Unparsable) {
        let words = format!("{}, which is no ControlSetNNN", absent.detail);
        answer.violation(select, "Current", Severity::High, words, "one control set");
    }
    if let Some(absent) = keys.read.linked.absent().filter(|absent| absent.kind == AbsentKind::Unreadable) {
        answer.unknown("the kernel's link CurrentControlSet", absent);
    }
    // The kernel makes it at every start.
    if keys.read.linked.is_nothing() && keys.case.system().kernel.is_some() {
        answer.unknown("the kernel's link CurrentControlSet", "not there");
    }
    // What another SOFTWARE says is judged where it is read.
    let of_system = keys.read.rivals.iter().filter(|rival| !rival.mount.ends_with("\\SOFTWARE"));
    let rivals: Vec<String> = of_system.map(|rival| rival.cmhive.to_string()).collect();
    if !rivals.is_empty() {
        let words = format!("beside the hive that is read, SYSTEM may be the one at {}", rivals.join(", "));
        answer.violation(select, "Current", Severity::High, words, "one hive for SYSTEM");
    }
    answer.pass(format!("{} ({})", set.key_name(), set.source));
    if let Some(all) = keys.read.control_sets.value() {
        let others: Vec<String> =
            all.iter().filter(|number| **number != set.number).map(|number| format!("ControlSet{number:03}")).collect();
        if !others.is_empty() {
            answer.note(format!("Not in use, and not judged: {}.", others.join(", ")));
        }
    }
    if let Some(Some(default)) = answer.number(select, "Default")
        && default != u64::from(set.number)
    {
        let words = format!("{} is in use, the default is ControlSet{default:03}", set.key_name());
        answer.violation(select, "Default", Severity::Info, words, "Current is Default");
        answer.guard("started with the last known good configuration");
    }
    if let Some(Some(failed)) = answer.number(select, "Failed")
        && failed != 0
    {
        answer.note(format!("ControlSet{failed:03} failed before."));
    }
    answer.judge()
}

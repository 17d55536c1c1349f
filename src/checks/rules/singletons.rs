//! Whether the kernel's variables lead to the objects that lists and tables have: SYS-14.

use crate::checks::case::Case;
use crate::checks::core::SYSTEM_PID;
use crate::checks::rule::{About, Rule};
use crate::checks::{Outcome, Severity, Witness};
use crate::kernel::Singletons;
use crate::{AbsentKind, Process, Reading, VirtualAddress};

/// SYS-14: what there is one of is found the same way twice.
pub static ONE_OF_EACH: Rule = Rule {
    id: "SYS-14",
    title: "System, Registry and the master hive are the same by two ways",
    wrong: "a variable of the kernel leads to another object than its lists",
    core: false,
    attack: &["T1014"],
    about: About {
        what: "PsInitialSystemProcess and the id 4 in PspCidTable lead to the process that the list has as System, CmpRegistryProcess \
               to the one called Registry that System started, and CmpMasterHive to a hive of CmpHiveListHead.",
        why: "Tools start from one of these. Who leads it to a copy shows them a machine as it was before he changed it.",
        benign: "What cannot be read, or is not in the list, is not compared.",
        source: "ReactOS ntoskrnl/ps/psmgr.c and config/cmsysini.c; Windows Internals 7th edition part 1, chapter 3; public symbols.",
    },
    judge: one_of_each,
};

fn one_of_each(case: &Case<'_>, rule: &'static Rule) -> Vec<Outcome> {
    let outcome = Outcome::new(rule, None).expected("one object by each way");
    let Some(found) = case.system.machine.singletons.value() else {
        return vec![outcome.not_applicable("The list does not say where the kernel's variables lead.")];
    };
    let Singletons { system, numbered_system, registry, master_hive, master_hive_listed, .. } = found;
    let listed = |process: Option<&Process>| process.and_then(|process| process.eprocess.value().copied());
    let of_name = || {
        case.processes().find(|process| {
            process.ppid.value() == Some(&SYSTEM_PID) && process.name.value().is_some_and(|name| name == "Registry")
        })
    };
    let ways: [(&str, &Reading<VirtualAddress>, Option<VirtualAddress>); 3] = [
        ("PsInitialSystemProcess", system, listed(case.system_process())),
        ("id 4 of PspCidTable", numbered_system, listed(case.system_process())),
        ("CmpRegistryProcess", registry, listed(of_name())),
    ];
    let mut compared = 0usize;
    let (mut wrong, mut astray) = (Vec::new(), Vec::new());
    for (name, way, listed) in ways {
        let (Some(way), Some(listed)) = (way.value(), listed) else { continue };
        compared = compared.saturating_add(1);
        if *way != listed {
            let words = format!("{name} leads to {way}, and the list has {listed}");
            // What leads to no process at all may be a page that is torn.
            let of_other = case.processes().any(|other| other.eprocess.value() == Some(way));
            if of_other { wrong.push(words) } else { astray.push(words) }
        }
    }
    if let Some(hive) = master_hive.value() {
        match master_hive_listed.known() {
            Ok(Some(true)) => compared = compared.saturating_add(1),
            Ok(Some(false)) => wrong.push(format!("CmpMasterHive leads to {hive}, which is not in the list of hives")),
            // What leads to no hive at all may be a page that is torn.
            Err(absent) if absent.kind != AbsentKind::NoSymbol => {
                astray.push(format!("CmpMasterHive leads to {hive}: {absent}"));
            }
            _ => {}
        }
    }
    let outcome = outcome.witnessed([Witness::Object, Witness::Lists]);
    if wrong.is_empty() && !astray.is_empty() {
        let why = format!("{}: nothing that is known is there, and the variable's page may be torn", astray.join("; "));
        return vec![outcome.unknown("where the kernel's variables lead", why).decides()];
    }
    vec![match (wrong.is_empty(), compared) {
        (false, _) => {
            let process = case.system_process().into_iter();
            let outcome = outcome.observed(wrong.join("; "));
            process
                .fold(outcome, |outcome, system| {
                    outcome.seen(system, "eprocess", system.eprocess.value().map(ToString::to_string))
                })
                .violation(Severity::Medium)
        }
        (true, 0) => outcome.unknown("where the kernel's variables lead", "none of them was found"),
        (true, compared) => outcome.observed(format!("{compared} agree")).pass(),
    }]
}

//! What the token is made of, and whether it is the process's own: SMSS-009, 010.

use super::core_processes::is_from_image;
use crate::checks::case::Case;
use crate::checks::core::LOCAL_SYSTEM;
use crate::checks::rule::{About, Rule};
use crate::checks::subject::{Role, Subject};
use crate::checks::words::is_sid;
use crate::checks::{Confidence, Missing, Outcome, Severity, Why, Witness};
use crate::picture::VISTA;
use crate::{AbsentKind, Process, Reading, VirtualAddress};
use std::collections::HashMap;

/// SMSS-009: token has the shape of System's.
pub static SHAPE: Rule = Rule {
    id: "SMSS-009",
    title: "token has the shape of System's",
    wrong: "token has groups, a label or a logon that System's lacks",
    core: false,
    attack: &["T1134.001"],
    about: About {
        what: "The token has none of the groups SERVICE (S-1-5-6), INTERACTIVE (S-1-5-4), console logon (S-1-2-1), \
               a logon session (S-1-5-5-x-y) or a service (S-1-5-80-...), has the integrity label System (Vista and \
               later), which IntegrityLevelIndex names, and the logon id 0x3e7.",
        why: "The master's token is a copy of System's. A Local System token that a service or a logon made \
               carries these groups: so does the one of an impostor that a service started.",
        benign: "Other groups that System's token lacks are info. A container's token has not been observed: info.",
        source: "Token listings of Windows 7, 10 and 11 with the groups S-1-5-32-544, S-1-1-0, S-1-5-11 and the label \
               alone; public listing of Windows 7 services for the contrast.",
    },
    judge: |case, rule| case.each(rule, |subject, outcome| shape(case, subject, outcome)),
};

/// SMSS-010: token is not shared.
pub static SHARED: Rule = Rule {
    id: "SMSS-010",
    title: "token is not shared",
    wrong: "token is another process's too",
    core: false,
    attack: &["T1134.001"],
    about: About {
        what: "EPROCESS.Token leads to a token, by the header of the object, that no other live process has.",
        why: "Each process has a token object of its own. Token theft by an exploit writes the address of one \
               process's token into another's EPROCESS.",
        benign: "None: a new process gets a copy of its parent's token, System's child too.",
        source: "MITRE ATT&CK T1134.001; _EPROCESS.Token (EX_FAST_REF) of public symbols; ReactOS ntoskrnl/ps/security.c \
                 (PspInitializeProcessSecurity), ntoskrnl/se/token.c (SeSubProcessToken).",
    },
    judge: |case, rule| case.each(rule, |subject, outcome| shared(case, subject, outcome)),
};

/// SYS-15: core processes have tokens of their own, of Local System.
pub static CORE_TOKENS: Rule = Rule {
    id: "SYS-15",
    title: "core processes have tokens of their own, of Local System",
    wrong: "a core process with another process's token, or of another user",
    core: false,
    attack: &["T1134.001"],
    about: About {
        what: "EPROCESS.Token of csrss.exe, wininit.exe, winlogon.exe, services.exe and lsass.exe leads to a token that no other live \
               process has, whose user is S-1-5-18, and whose IntegrityLevelIndex names an integrity label.",
        why: "They run as Local System, each with a copy of its parent's token. The address of another process's token is what an \
              exploit writes there.",
        benign: "None is known.",
        source: "MITRE ATT&CK T1134.001; ReactOS ntoskrnl/ps/security.c (PspInitializeProcessSecurity); listings of Windows 7 to 11.",
    },
    judge: core_tokens,
};

/// Processes of Windows that run as Local System.
pub(super) const OF_LOCAL_SYSTEM: [&str; 5] = ["csrss.exe", "wininit.exe", "winlogon.exe", "services.exe", "lsass.exe"];

/// The System integrity label, Vista and later.
const SYSTEM_LABEL: &str = "S-1-16-16384";
/// LUID of the Local System logon.
const SYSTEM_LOGON: u64 = 0x3e7;
/// Groups that a token gets by a logon or from the service manager; `*` ends a prefix.
const FOREIGN_GROUPS: &[&str] = &["S-1-5-6", "S-1-5-4", "S-1-2-1", "S-1-5-5-*", "S-1-5-80-*"];

fn is_foreign(sid: &str) -> bool {
    FOREIGN_GROUPS.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) => sid.starts_with(prefix),
        None => sid == *pattern,
    })
}

/// Groups, label and logon: what a token has only by a logon or from the service manager, subject cannot have.
fn shape(case: &Case<'_>, subject: &Subject<'_>, outcome: Outcome) -> Outcome {
    let process = subject.process;
    let mut wrong = Vec::new();
    let mut has: Vec<&str> = Vec::new();
    let mut missing: Vec<Missing> = Vec::new();
    match process.groups.value() {
        None => missing.push(Missing::new("the list of groups", Why::no_value(&process.groups))),
        Some(groups) => {
            wrong.extend(groups.iter().filter(|sid| is_foreign(sid)).map(|sid| format!("group {sid}")));
            has.extend((!wrong.is_empty()).then_some("groups"));
        }
    }
    match process.integrity.known() {
        Ok(Some(label)) if label == SYSTEM_LABEL => {}
        Ok(Some(label)) if !is_sid(label) => {
            missing.push(Missing::new("the SID of the integrity label", format!("given as a name: {label}")));
        }
        Ok(Some(label)) => {
            wrong.push(format!("label {label}"));
            has.push("a label");
        }
        Ok(None) => match case.build {
            Some(build) if build < VISTA => {}
            Some(_) => {
                wrong.push("no integrity label".to_owned());
                has.push("no label");
            }
            None => missing.push(Missing::new("the build, since the token has no integrity label", "not known")),
        },
        // Before Vista there are no labels to miss.
        Err(_) if case.build.is_some_and(|build| build < VISTA) => {}
        Err(absent) => missing.push(Missing::new("the integrity label", absent)),
    }
    if let Some(misnamed) = misnamed_label(process) {
        wrong.push(format!("IntegrityLevelIndex {misnamed}"));
        has.push("no label where it says");
    }
    match process.authentication_id.value() {
        Some(id) if id.0 == SYSTEM_LOGON => {}
        Some(id) => {
            wrong.push(format!("logon {id}"));
            has.push("a logon");
        }
        None => missing.push(Missing::new("the logon id", Why::no_value(&process.authentication_id))),
    }
    let groups = process.groups.value().map_or(&[][..], Vec::as_slice);
    let extra = extra_groups(case, process);
    let outcome = outcome
        .expected("System's groups, label S-1-16-16384 (Vista and later), logon 0x3e7")
        .seen_items(process, "groups", groups, &which(groups, extra.as_deref()))
        .seen(process, "integrity", process.integrity.value().cloned())
        .seen(process, "authentication_id", process.authentication_id.value().map(ToString::to_string));
    if !wrong.is_empty() {
        let outcome =
            outcome.observed(wrong.join(", ")).headed(format!("token has {}, unlike System's", has.join(" and ")));
        return if subject.role == Role::Silo {
            let guard = "the token of a container's smss.exe has not been observed yet";
            outcome.guard(guard).violation(Severity::Info)
        } else {
            outcome.violation(Severity::Medium)
        };
    }
    if let Some(missing) = missing.into_iter().next() {
        return outcome.missing(missing);
    }
    match extra {
        Some(extra) if !extra.is_empty() => outcome
            .observed(format!("groups that System's token lacks: {}", extra.join(" ")))
            .headed("token has groups, unlike System's")
            .confidence(Confidence::Medium)
            .violation(Severity::Info),
        _ => outcome.observed("the same groups, label and logon").pass(),
    }
}

/// What the token names as its integrity label and is none.
fn misnamed_label(process: &Process) -> Option<&str> {
    process.token.value().and_then(|token| token.misnamed_label.as_deref())
}

/// Positions of the groups to be shown: of those that are wrong, else of those that System's token lacks, else of all.
fn which(groups: &[String], extra: Option<&[&str]>) -> Vec<usize> {
    let of = |is: &dyn Fn(&str) -> bool| -> Vec<usize> {
        groups.iter().enumerate().filter(|(_, sid)| is(sid)).map(|(number, _)| number).collect()
    };
    let wrong = of(&is_foreign);
    let extra = of(&|sid| extra.is_some_and(|extra| extra.contains(&sid)));
    [wrong, extra].into_iter().find(|which| !which.is_empty()).unwrap_or_else(|| of(&|_| true))
}

/// Groups of the process that System's token does not have; `None` where either is not known.
fn extra_groups<'a>(case: &Case<'_>, process: &'a Process) -> Option<Vec<&'a str>> {
    let of_system = case.system_process()?.groups.value().filter(|groups| !groups.is_empty())?;
    let groups = process.groups.value()?;
    Some(groups.iter().filter(|sid| !of_system.contains(sid)).map(String::as_str).collect())
}

/// What is wrong with where `EPROCESS.Token` of a process that runs leads, in words.
fn no_token(process: &Process) -> Option<String> {
    let kind = &process.inside.value().filter(|_| process.is_live())?.token_type;
    match kind.known() {
        Ok(Some(kind)) if kind == "Token" => None,
        Ok(Some(kind)) => Some(format!("EPROCESS.Token leads to an object of type {kind}")),
        Ok(None) => Some("EPROCESS.Token is null".to_owned()),
        Err(absent) if absent.kind == AbsentKind::Unparsable => Some(absent.detail.clone()),
        Err(_) => None,
    }
}

fn token_at(process: &Process) -> Option<VirtualAddress> {
    process.token.value().map(|token| token.address).filter(|at| !at.is_null())
}

fn core_tokens(case: &Case<'_>, rule: &'static Rule) -> Vec<Outcome> {
    let expected = "a token of its own, of S-1-5-18";
    let live = || case.processes().filter(|process| !process.has_exited());
    // The first two that have each token: with any of them another one is found.
    let mut owners: HashMap<VirtualAddress, [Option<&Process>; 2]> = HashMap::new();
    for process in live() {
        let Some(token) = token_at(process) else { continue };
        let [first, second] = owners.entry(token).or_default();
        if first.is_none() {
            *first = Some(process)
        } else {
            second.get_or_insert(process);
        }
    }
    let (mut outcomes, mut judged) = (Vec::new(), 0usize);
    for process in live().filter(|process| OF_LOCAL_SYSTEM.iter().any(|name| process.is_named(name))) {
        let outcome = || Outcome::about(rule, process).expected(expected);
        if let Some(token) = token_at(process) {
            judged = judged.saturating_add(1);
            let is_other = |other: &&Process| !std::ptr::eq(*other, process);
            if let Some(other) = owners.get(&token).into_iter().flatten().copied().flatten().find(is_other) {
                let pid = other.pid.value().map_or_else(|| "?".to_owned(), u64::to_string);
                let name = other.name.value().map_or("?", String::as_str);
                let outcome = outcome().observed(format!("{token} is also the token of {name} (pid {pid})"));
                let outcome = outcome.seen(process, "token", Some(token.to_string()));
                outcomes.push(outcome.seen(other, "token", Some(token.to_string())).violation(Severity::Medium));
            }
        }
        if let Some(misnamed) = misnamed_label(process) {
            let outcome = outcome()
                .observed(format!("IntegrityLevelIndex {misnamed}"))
                .headed("a core process without its label");
            outcomes.push(outcome.seen(process, "integrity", Some(misnamed.to_owned())).violation(Severity::Medium));
        }
        if let Some(user) = process.user.value().filter(|user| is_sid(user) && *user != LOCAL_SYSTEM) {
            judged = judged.saturating_add(1);
            outcomes.push(outcome().observed(user).seen(process, "user", Some(user.clone())).violation(Severity::High));
        }
    }
    if outcomes.is_empty() {
        let outcome = Outcome::new(rule, None).witnessed([Witness::Object, Witness::Token]).expected(expected);
        outcomes.push(match judged {
            0 if is_from_image(case) => outcome.unknown("the tokens of core processes", "not read"),
            0 => outcome.not_applicable("The list does not say where the tokens of core processes are."),
            judged => outcome.observed(format!("{judged} have")).pass(),
        });
    }
    outcomes
}

fn shared(case: &Case<'_>, subject: &Subject<'_>, outcome: Outcome) -> Outcome {
    let process = subject.process;
    let outcome = outcome.expected("a token of its own");
    if let Some(wrong) = no_token(process) {
        let pointer = process.token.value().map(|token| token.address.to_string());
        return outcome.observed(wrong).seen(process, "token", pointer).violation(Severity::High);
    }
    // A header that is none may be a page that is torn.
    if let Some(Reading::Absent(absent)) = process.inside.value().map(|inside| &inside.token_type)
        && process.is_live()
        && absent.kind == AbsentKind::Unreadable
    {
        return outcome.unknown("the header of the token", absent).decides();
    }
    let Some(own) = token_at(process) else {
        return outcome.unknown("the address of the token", Why::no_value(&process.token));
    };
    let outcome = outcome.seen(process, "token", Some(own.to_string()));
    let others = || case.processes().filter(move |other| !std::ptr::eq(*other, process) && !other.has_exited());
    if let Some(other) = others().find(|other| token_at(other) == Some(own)) {
        let pid = other.pid.value().map_or_else(|| "?".to_owned(), u64::to_string);
        let name = other.name.value().map_or("?", String::as_str);
        return outcome
            .observed(format!("{own} is also the token of {name} (pid {pid})"))
            .seen(other, "token", Some(own.to_string()))
            .violation(Severity::Medium);
    }
    let unread = others().filter(|other| token_at(other).is_none()).count();
    if unread > 0 {
        return outcome.unknown("the token of every process", format!("not read for {unread} of them"));
    }
    match case.part_reason() {
        Some(part) => outcome.unknown("the whole process list", part),
        None => outcome.observed(own).pass(),
    }
}

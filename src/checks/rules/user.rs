//! Whose token the process has: SMSS-008.

use crate::checks::case::Case;
use crate::checks::core::LOCAL_SYSTEM;
use crate::checks::rule::{About, MASQUERADE, Rule};
use crate::checks::subject::Subject;
use crate::checks::words::is_sid;
use crate::checks::{Outcome, Severity, Why};

/// SMSS-008: user is Local System.
pub static USER: Rule = Rule {
    id: "SMSS-008",
    title: "user is Local System",
    wrong: "user is not Local System",
    core: true,
    attack: &["T1134", MASQUERADE],
    about: About {
        what: "The first entry of TOKEN.UserAndGroups is S-1-5-18.",
        why: "smss.exe inherits the token of System. Only a program that a user or service started has another \
               user.",
        benign: "Other tools print names of accounts, in the language of the machine, instead of SIDs: a name proves \
               nothing and is not judged.",
        source: "SANS Hunt Evil poster; token listings of Windows 7, 10 and 11.",
    },
    judge: |case, rule| case.each(rule, |subject, outcome| user(case, subject, outcome)),
};

fn user(case: &Case<'_>, subject: &Subject<'_>, outcome: Outcome) -> Outcome {
    let process = subject.process;
    let outcome = outcome.expected(match case.core.user {
        LOCAL_SYSTEM => "S-1-5-18 (Local System)",
        other => other,
    });
    let Some(user) = process.user.value() else {
        return outcome.unknown("the user of the token", Why::no_value(&process.user));
    };
    let outcome = outcome.observed(user).seen(process, "user", Some(user.clone()));
    if !is_sid(user) {
        return outcome.unknown("the SID of the user", format!("given as a name: {user}"));
    }
    if user == case.core.user { outcome.pass() } else { outcome.violation(Severity::Critical) }
}

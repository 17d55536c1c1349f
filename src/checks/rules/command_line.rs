//! The form of the command line: SMSS-005.

use crate::Reading;
use crate::checks::case::Case;
use crate::checks::missing::GONE;
use crate::checks::rule::{About, Rule};
use crate::checks::subject::{Role, Subject};
use crate::checks::words::same;
use crate::checks::{Confidence, Outcome, Severity, Why};

/// SMSS-005: form of the command line.
pub static COMMAND_LINE: Rule = Rule {
    id: "SMSS-005",
    title: "form of the command line",
    wrong: "command line has another form",
    core: false,
    attack: &["T1036"],
    about: About {
        what: "RTL_USER_PROCESS_PARAMETERS.CommandLine of the master is \\SystemRoot\\System32\\smss.exe and \
               nothing else; of a session child the same with one or two words of eight hexadecimal digits, on \
               Windows 11 also with winlogon.exe and a GUID behind them.",
        why: "The kernel gives the master no arguments; the master hands its children handles as words. A program \
               that borrows the name seldom has this form.",
        benign: "Blanks at the end are usual. The command line is gone after the exit and may be paged out: not \
               judged then. The form of a container's smss.exe has not been observed.",
        source: "Public Sysmon and EDR records of smss.exe children; listings of XP to Windows 11.",
    },
    judge: |case, rule| case.each(rule, |subject, outcome| command_line(case, subject, outcome)),
};

fn command_line(case: &Case<'_>, subject: &Subject<'_>, outcome: Outcome) -> Outcome {
    let process = subject.process;
    let Some(image) = case.core.command_line else {
        return outcome.not_applicable("Its command line differs from start to start.");
    };
    let of_child = format!("{} and one or two words of 8 hexadecimal digits", image);
    let outcome = match subject.role {
        Role::Child => outcome.expected(of_child),
        _ => outcome.expected(image),
    };
    let text = match &process.command_line {
        Reading::Value(text) if !text.is_empty() => text,
        _ if process.has_exited() => return outcome.unknown("the command line", GONE),
        // The path beside it is there, so that this memory was readable: somebody emptied it.
        Reading::Value(_) | Reading::Nothing if process.peb_path.value().is_some() => {
            return outcome.observed("empty").seen(process, "command_line", None).violation(Severity::Medium);
        }
        other => return outcome.unknown("the command line", Why::no_value(other)),
    };
    let outcome = outcome.observed(text).seen(process, "command_line", Some(text.clone()));
    let trimmed = text.trim_end_matches(' ');
    let rest =
        trimmed.get(..image.len()).filter(|start| same(start, image)).and_then(|start| trimmed.get(start.len()..));
    let (master, child) = match rest {
        Some("") => (true, false),
        Some(arguments) => (false, arguments.starts_with(' ') && is_child_form(arguments)),
        None => (false, false),
    };
    match subject.role {
        Role::Master | Role::Claimant | Role::Stranger | Role::Peer if master => outcome.pass(),
        Role::Child if child => outcome.pass(),
        Role::Silo if master || child => outcome.pass(),
        Role::Silo => outcome.unknown("the form that a container's smss.exe has", "not observed yet"),
        Role::Undetermined if master || child => outcome.unknown("the part it plays", "not known: its parent is not"),
        Role::Child if master && case.silo_unknown(process) => {
            let guard = "whether this is the smss.exe of a container is not known";
            outcome.guard(guard).confidence(Confidence::Low).violation(Severity::Info)
        }
        _ => outcome.violation(Severity::Medium),
    }
}

/// The words behind the image in a child's command line.
fn is_child_form(arguments: &str) -> bool {
    let hex = |word: &str| word.len() == 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let words: Vec<&str> = arguments.split(' ').filter(|word| !word.is_empty()).collect();
    match words.as_slice() {
        [one] => hex(one),
        [one, two] => hex(one) && hex(two),
        // Windows 11: the initial command and the id of the request.
        [one, two, command, request] => {
            hex(one)
                && hex(two)
                && same(command, "winlogon.exe")
                && request
                    .strip_prefix('{')
                    .and_then(|rest| rest.strip_suffix('}'))
                    .is_some_and(|id| id.len() == 36 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'))
        }
        _ => false,
    }
}

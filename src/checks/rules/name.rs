//! The name in the process object: SMSS-024.

use crate::Absent;
use crate::checks::paths::VolumePath;
use crate::checks::rule::{About, Rule};
use crate::checks::subject::Subject;
use crate::checks::words::same;
use crate::checks::{Outcome, Severity, Why};

/// SMSS-024: image name agrees with the path.
pub static IMAGE_NAME: Rule = Rule {
    id: "SMSS-024",
    title: "image name agrees with the path",
    wrong: "image name is not the path's",
    core: false,
    attack: &["T1036", "T1014"],
    about: About {
        what: "EPROCESS.ImageFileName is the file name of the kernel's path, cut to 14 or 15 characters.",
        why: "Both are made from one path when the process is created. Kernel code that renames a process in \
               memory mostly changes the short name alone.",
        benign: "",
        source: "_EPROCESS.ImageFileName (15 bytes) and SeAuditProcessCreationInfo of public symbols; public listings \
               with truncated names.",
    },
    judge: |case, rule| case.each(rule, names),
};

fn names(subject: &Subject<'_>, outcome: Outcome) -> Outcome {
    let process = subject.process;
    let (Some(name), Some(path)) = (process.name.value(), process.path.value()) else {
        return match process.name.value() {
            None => outcome.unknown("the image name", Why::no_value(&process.name)),
            Some(_) => outcome.unknown("the kernel's path", Why::no_value(&process.path)),
        };
    };
    let outcome = outcome.observed(name).expected(path).seen(process, "name", Some(name.clone())).seen(
        process,
        "path",
        Some(path.clone()),
    );
    let Some(read) = VolumePath::read(path) else {
        return outcome.unknown("the kernel's path", Absent::unparsable(""));
    };
    // The field holds 14 characters, or 15 where nothing ends them.
    let cut = |length: usize| read.base_name().chars().take(length).collect::<String>();
    if same(name, &cut(14)) || same(name, &cut(15)) { outcome.pass() } else { outcome.violation(Severity::Medium) }
}

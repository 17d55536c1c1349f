//! Whether the kernel says one build everywhere: SYS-06.

use crate::checks::case::Case;
use crate::checks::rule::{About, Rule};
use crate::checks::{Outcome, Severity, Witness};

/// SYS-06: one build.
pub static ONE_BUILD: Rule = Rule {
    id: "SYS-06",
    title: "one build",
    wrong: "the kernel says two builds",
    core: false,
    attack: &["T1014"],
    about: About {
        what: "The build of KUSER_SHARED_DATA, or of NtBuildNumber, is the one that NtBuildLab begins with, or up to 110 more.",
        why: "Much is excused in an older Windows, which lacks what later ones have: who writes an older number has that excused too. \
              Rules go by the later one.",
        benign: "Updates that switch features on count the build up and leave NtBuildLab: 19041 to 19045, 22621 to 22631, 26100 to \
                 26200.",
        source: "Microsoft's release information of Windows 10 and 11; NtBuildLab and NtBuildNumber of public symbols.",
    },
    judge: one_build,
};

/// How far an update that switches features on counts up at most.
const FEATURES: u32 = 110;

fn one_build(case: &Case<'_>, rule: &'static Rule) -> Vec<Outcome> {
    let outcome = Outcome::new(rule, None).witnessed([Witness::SharedData, Witness::Object]).expected("one build");
    let kernel = case.system().kernel.as_ref();
    let Some((build, lab)) = kernel.and_then(|kernel| Some((kernel.build?, kernel.lab_build()?))) else {
        let why = "The list does not have both.";
        return vec![if kernel.is_some() { outcome.unknown("both", "not read") } else { outcome.not_applicable(why) }];
    };
    let outcome = outcome.observed(format!("{build}, and NtBuildLab of {lab}"));
    vec![if build.checked_sub(lab).is_some_and(|more| more <= FEATURES) {
        outcome.pass()
    } else {
        outcome.violation(Severity::Medium)
    }]
}

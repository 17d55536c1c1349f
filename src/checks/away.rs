//! What a verdict rests on where memory could not be read: which rules could not judge, and what would let them.

use super::{Judgement, Outcome, Why};
use crate::AbsentKind;
use serde::{Deserialize, Serialize};

/// What could not be judged because its pages could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Away {
    /// The ids of the rules that could not judge, each once.
    pub rules: Vec<String>,
    /// What of the process that the verdict is about could not be read: `the PEB path`, `the command line`.
    pub of_main: Vec<String>,
    /// The pid of that process.
    pub main: Option<u64>,
    /// What would supply such pages: `--pagefile FILE (page file 0, \??\C:\pagefile.sys)`.
    pub needs: Vec<Need>,
}

/// One thing that would supply pages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Need {
    /// The thing.
    pub what: String,
    /// The ids of the rules that could judge with it, each once.
    pub rules: Vec<String>,
}

impl Away {
    /// Sums up outcomes. `None`: memory kept none from being judged. `main`: the pid of the process that the verdict is about.
    pub(super) fn of(outcomes: &[Outcome], main: Option<u64>) -> Option<Self> {
        let mut away = Self { main, ..Self::default() };
        for outcome in outcomes.iter().filter(|outcome| outcome.outcome == Judgement::Unknown) {
            let Some(missing) = &outcome.missing else { continue };
            let Why::Absent(absent) = &missing.why else { continue };
            let of_main = main.is_some() && outcome.pid == main;
            // What stands there and makes no sense keeps a rule from judging as well as a page that is away.
            if absent.kind != AbsentKind::Unreadable && !(of_main && absent.kind == AbsentKind::Unparsable) {
                continue;
            }
            add(&mut away.rules, &outcome.id);
            if of_main {
                add(&mut away.of_main, &missing.what);
            }
            if let Some(needed) = absent.remedy() {
                match away.needs.iter_mut().find(|need| need.what == needed) {
                    Some(need) => add(&mut need.rules, &outcome.id),
                    None => away.needs.push(Need { what: needed.to_owned(), rules: vec![outcome.id.clone()] }),
                }
            }
        }
        (!away.rules.is_empty()).then_some(away)
    }
}

fn add(list: &mut Vec<String>, word: &str) {
    if !list.iter().any(|known| known == word) {
        list.push(word.to_owned());
    }
}

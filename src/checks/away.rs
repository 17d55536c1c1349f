//! What a verdict rests on where memory could not be read: which rules could not judge, and what would let them.

use super::{Case, Judgement, Outcome, Why};
use crate::{Absent, AbsentKind, Process};
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
    /// What of smss.exe and csrss.exe could not be read, a process each: what is wrong with them may stand there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<NotRead>,
    /// What would supply such pages: `--pagefile FILE (page file 0, \??\C:\pagefile.sys)`.
    pub needs: Vec<Need>,
}

/// What of one process could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct NotRead {
    /// The process.
    pub pid: u64,
    /// Its name.
    pub name: String,
    /// The things, with their articles: `the PEB path`, `the command line`.
    pub what: Vec<String>,
    /// What would supply them, as far as anything could.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
}

/// The processes that are told, which all systems have.
const TOLD: [&str; 2] = ["smss.exe", "csrss.exe"];
/// Processes that are told in all: each session has two.
const MAX_TOLD: usize = 64;

impl NotRead {
    /// Of a process that is still there. `None`: all was read, or nobody tried.
    fn of(process: &Process) -> Option<Self> {
        let name = TOLD.iter().find(|name| process.is_called(name)).filter(|_| process.is_live())?;
        let mut of = Self { pid: *process.pid.value()?, name: (*name).to_owned(), ..Self::default() };
        for (what, absent) in [
            ("the PEB path", process.peb_path.absent()),
            ("the command line", process.command_line.absent()),
            ("the PEB's image base", process.image_base.absent()),
        ] {
            let Some(absent) = absent.filter(|absent| is_lost(absent)) else { continue };
            of.what.push(what.to_owned());
            if let Some(needed) = absent.remedy() {
                add(&mut of.needs, needed);
            }
        }
        (!of.what.is_empty()).then_some(of)
    }
}

/// What stands there and makes no sense is as good as a page that is away.
fn is_lost(absent: &Absent) -> bool {
    matches!(absent.kind, AbsentKind::Unreadable | AbsentKind::Unparsable)
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
    /// Sums up outcomes. `None`: all was read that they take.
    pub(super) fn of(outcomes: &[Outcome], case: &Case<'_>) -> Option<Self> {
        let main = case.main_pid();
        let processes = case.processes().filter(|process| !process.is_carved()).filter_map(NotRead::of).take(MAX_TOLD);
        let mut away = Self { main, processes: processes.collect(), ..Self::default() };
        for outcome in outcomes.iter().filter(|outcome| outcome.outcome == Judgement::Unknown) {
            let Some(missing) = &outcome.missing else { continue };
            let Why::Absent(absent) = &missing.why else { continue };
            let of_main = main.is_some() && outcome.pid == main;
            if absent.kind != AbsentKind::Unreadable && !(of_main && is_lost(absent)) {
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
        (!away.rules.is_empty() || !away.processes.is_empty()).then_some(away)
    }
}

fn add(list: &mut Vec<String>, word: &str) {
    if !list.iter().any(|known| known == word) {
        list.push(word.to_owned());
    }
}

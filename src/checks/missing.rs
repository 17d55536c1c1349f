//! What a rule would need and does not have.

use crate::{Absent, AbsentKind, Reading};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why an outcome is unknown, as data. As text, it follows "needs": `the PEB path, which was unreadable: 0x7ff...: not present`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// What is missing: one thing, with its article, or a question that begins with `whether` or `which`.
    pub what: String,
    /// Why.
    pub why: Why,
}

/// Why what belonged to a process that is over is missing: nothing brings it back.
pub(super) const GONE: &str = "gone with the process";

/// Why something is missing. In words it follows "which was": it begins with an adjective or participle, and may go on behind a colon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// A value could not be read.
    Absent(Absent),
    /// Something else: a process is not in the list, a list is a part.
    Reason(String),
}

impl Missing {
    /// `what` (with its article) is missing because of `why`.
    pub fn new(what: impl Into<String>, why: impl Into<Why>) -> Self {
        Self { what: what.into(), why: why.into() }
    }
}

impl Why {
    /// The same with particulars added at its end, in brackets.
    #[must_use]
    pub(super) fn of(self, what: &str) -> Self {
        match self {
            Self::Absent(Absent { kind, detail }) if detail.is_empty() => {
                Self::Reason(format!("{} ({what})", kind.name()))
            }
            Self::Absent(Absent { kind, detail }) => Self::Absent(Absent::new(kind, format!("{detail} ({what})"))),
            Self::Reason(reason) => Self::Reason(format!("{reason} ({what})")),
        }
    }

    /// Why a reading has no value.
    pub fn no_value<T>(reading: &Reading<T>) -> Self {
        match reading {
            Reading::Value(_) => Self::Reason("no sensible value".to_owned()),
            Reading::Nothing => Self::Reason("empty".to_owned()),
            Reading::Absent(absent) => Self::Absent(absent.clone()),
        }
    }
}

impl From<Absent> for Why {
    fn from(absent: Absent) -> Self {
        Self::Absent(absent)
    }
}

impl From<&Absent> for Why {
    fn from(absent: &Absent) -> Self {
        Self::Absent(absent.clone())
    }
}

impl From<String> for Why {
    fn from(reason: String) -> Self {
        Self::Reason(reason)
    }
}

impl From<&str> for Why {
    fn from(reason: &str) -> Self {
        Self::Reason(reason.to_owned())
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(absent) => absent.fmt(f),
            Self::Reason(reason) => f.write_str(reason),
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_question = ["whether ", "which "].iter().any(|word| self.what.starts_with(word));
        let to_know = if is_question { "to know " } else { "" };
        match &self.why {
            Why::Absent(Absent { kind: AbsentKind::NoSymbol, detail }) if !detail.is_empty() => {
                write!(f, "{to_know}{}, which the symbols in use lack: {detail}", self.what)
            }
            why => write!(f, "{to_know}{}, which was {why}", self.what),
        }
    }
}

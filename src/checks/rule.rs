//! What a rule is.

use super::{Case, Outcome};
use std::fmt;

/// One rule of a baseline: what it asks for, why, and the function that judges a system by it.
///
/// A rule is a `static` in the file that judges it, and is registered in the list of one [`Baseline`](super::Baseline). A rule
/// for another process takes a rule's judge and text over: `Rule { id: "OTHER-002", ..RULE }`.
#[derive(Clone, Copy)]
pub struct Rule {
    /// `SMSS-001`. Unique in its baseline.
    pub id: &'static str,
    /// The norm in a few words: "parent is System (4)".
    pub title: &'static str,
    /// What is wrong where the norm is not kept, in a few words: "parent is not System". Heads a violation.
    pub wrong: &'static str,
    /// Where a core rule cannot be judged for the machine or its master, the verdict is inconclusive.
    pub core: bool,
    /// ATT&CK technique ids of what a violation can mean. Ids only: names of tactics change.
    pub attack: &'static [&'static str],
    /// What an analyst has to know about it.
    pub about: About,
    /// Gives at least one outcome: for each process that the rule is about, or for the machine.
    pub judge: fn(&Case<'_>, &'static Rule) -> Vec<Outcome>,
}

/// A rule explained. Each member is one or more sentences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct About {
    /// What is compared with what, by the names of structures, fields, keys and values.
    pub what: &'static str,
    /// Why Windows does it so, or what a deviation is used for.
    pub why: &'static str,
    /// What is harmless and deviates all the same, and how the rule grades it. Empty: nothing is known.
    pub benign: &'static str,
    /// Where the fact comes from.
    pub source: &'static str,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("id", &self.id).field("title", &self.title).finish_non_exhaustive()
    }
}

pub(super) const MASQUERADE: &str = "T1036.005";
pub(super) const INJECTION: &str = "T1055";
pub(super) const BOOT: &str = "T1547.001";

/// What a rule says of itself. Not its judge.
impl serde::Serialize for Rule {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut rule = to.serialize_struct("Rule", 6)?;
        rule.serialize_field("id", self.id)?;
        rule.serialize_field("title", self.title)?;
        rule.serialize_field("wrong", self.wrong)?;
        rule.serialize_field("core", &self.core)?;
        rule.serialize_field("attack", self.attack)?;
        rule.serialize_field("about", &self.about)?;
        rule.end()
    }
}

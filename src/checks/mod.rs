//! Whether what runs is what Windows would have built. Checks are pure: they look at records, never at memory or files.
//!
//! A [`Baseline`] is what one `ntmem check` does: a [`CoreProcess`], which says what is normal for a process, and the
//! [`Rule`]s that compare. [`BASELINES`] is the one list of them. [`check_with`] judges a system by any.

mod away;
mod baseline;
mod case;
pub mod core;
mod evidence;
mod findings;
mod missing;
mod outcome;
mod paths;
mod places;
mod rule;
pub mod rules;
mod session_manager;
mod sessions;
mod subject;
#[cfg(test)]
mod tests;
mod witness;
mod words;

pub use self::core::CoreProcess;
pub use away::{Away, Need, NotRead};
pub use baseline::{BASELINES, Baseline, check_in, check_smss, check_with, rules};
pub use case::Case;
pub use evidence::{Evidence, Space};
pub use findings::{Findings, Verdict};
pub use missing::{Missing, Why};
pub use outcome::{Confidence, Judgement, Outcome, Severity};
pub use rule::{About, Rule};
pub use subject::{Role, Subject};
pub use witness::Witness;

//! What smss.exe will do at the next boot, by the registry: SMR-00 to SMR-18.

use super::scene::Scene;
use super::{Outcome, table};

/// One outcome for each rule about the Session Manager's keys.
pub(super) fn check(_scene: &Scene<'_>) -> Vec<Outcome> {
    let rules = table::RULES.iter().filter(|rule| rule.id.starts_with("SMR-"));
    rules
        .map(|rule| Outcome::new(rule.id, None).unknown("the SYSTEM hive", "not collected: registry not read yet"))
        .collect()
}

//! Whether what runs is what Windows would have built. Checks are pure: they look at records, never at memory or files.

mod cast;
mod children;
mod creators;
mod findings;
mod hardening;
mod holders;
mod identity;
mod image;
mod lookalike;
mod mapped;
mod members;
mod outcome;
mod paths;
mod ranges;
mod resemblance;
mod scene;
mod session_manager;
mod sessions;
mod stale;
mod table;
mod tally;
#[cfg(test)]
mod tests;
mod token;
mod views;

pub use findings::{Findings, Verdict};
pub use outcome::{Confidence, Evidence, Judgement, Outcome, Severity};

use crate::System;
use crate::picture::Picture;
use scene::Scene;

/// The names of the groups of checks.
pub const NAMES: &[&str] = &["smss"];

/// Runs the group of checks with this name, one of [`NAMES`].
#[must_use]
pub fn check(name: &str, system: &System) -> Option<Findings> {
    name.eq_ignore_ascii_case("smss").then(|| check_smss(system))
}

/// Judges smss.exe, the sessions it built, and the registry it reads: every rule of SMSS, SMR and SES, each with at least
/// one outcome. A rule whose input is missing is unknown, never passed.
#[must_use]
pub fn check_smss(system: &System) -> Findings {
    let picture = Picture::new(system);
    check_smss_in(&picture)
}

/// The same, of a picture that others ask too.
#[must_use]
pub fn check_smss_in(picture: &Picture<'_>) -> Findings {
    let scene = Scene::new(picture);
    let groups: [fn(&Scene<'_>) -> Vec<Outcome>; 12] = [
        identity::check,
        stale::check,
        image::check,
        mapped::check,
        holders::check,
        token::check,
        hardening::check,
        children::check,
        lookalike::check,
        views::check,
        session_manager::check,
        sessions::check,
    ];
    let outcomes = groups.iter().flat_map(|check| check(&scene)).collect();
    let master = scene.master().and_then(|master| master.process.pid.value().copied());
    let findings = Findings::new("smss", outcomes, master, scene.passed_over).in_modes(scene.modes.to_vec());
    match picture.system().kernel.as_ref().and_then(|kernel| kernel.symbols.as_deref()) {
        Some(findings::HEURISTIC) => findings.by_heuristic_layouts(),
        _ => findings,
    }
}

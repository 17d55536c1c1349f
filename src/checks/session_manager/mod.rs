//! What smss.exe will do at the next boot, by the registry: SMR-00 to SMR-18.
//!
//! The values are those of the moment when the image was taken. What smss.exe did at this boot, it did by those of then.

mod boot_entry;
mod boot_execute;
mod certificates;
mod control_set;
mod environment;
mod facts;
mod ground;
mod known_dlls;
mod modes;
mod namespace;
mod pending_renames;
mod places;
mod running;
mod sheet;
mod sub_systems;
mod windows_line;
mod windows_value;

use super::Outcome;
use super::scene::Scene;
use ground::Ground;
use sheet::Sheet;

/// At least one outcome for each rule about the Session Manager's keys.
pub(super) fn check(scene: &Scene<'_>) -> Vec<Outcome> {
    let ground = Ground::new(scene);
    let rules: [fn(&Ground<'_>) -> Outcome; 17] = [
        control_set::resolved,
        sub_systems::required,
        sub_systems::known_values,
        windows_value::program,
        windows_value::server_dlls,
        sub_systems::optional,
        sub_systems::kernel_mode,
        sub_systems::debug,
        boot_execute::boot_execute,
        boot_execute::other_lists,
        boot_execute::initial_commands,
        pending_renames::pending,
        known_dlls::known_dlls,
        certificates::app_cert_dlls,
        environment::environment,
        namespace::names,
        modes::modes,
    ];
    let mut outcomes: Vec<Outcome> = rules.iter().map(|rule| rule(&ground)).collect();
    outcomes.extend(running::against_csrss(&ground));
    outcomes
}

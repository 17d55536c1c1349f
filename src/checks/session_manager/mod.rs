//! What smss.exe will do at the next boot, by the registry: SMR-00 to SMR-18.
//!
//! The values are those of the moment when the image was taken. What smss.exe did at this boot, it did by those of then.

mod answer;
mod boot_entry;
pub(super) mod boot_execute;
mod boot_tools;
pub(super) mod certificates;
pub(super) mod control_set;
pub(super) mod environment;
mod environment_code;
mod facts;
pub(super) mod initial_command;
mod keys;
pub(super) mod known_dlls;
pub(super) mod modes;
pub(super) mod namespace;
pub(super) mod pending_renames;
pub(super) mod running;
mod security_products;
pub(super) mod sub_systems;
mod windows_line;
pub(super) mod windows_value;

use answer::Answer;

//! The rules about single processes: one rule, or one small group, a file. What is normal they read from a
//! [`CoreProcess`](super::CoreProcess).

pub mod build;
pub mod children;
pub mod code;
pub mod command_line;
pub mod core_images;
pub mod core_processes;
pub mod file;
pub mod handles;
pub mod hardening;
mod ids;
pub mod instances;
pub mod look_alike;
pub mod memory;
pub mod modules;
pub mod name;
mod pages;
pub mod parent;
pub mod path;
mod ranges;
pub(super) mod resemblance;
pub mod roots;
pub mod session;
pub mod singletons;
pub mod stale_child;
pub mod stamps;
pub mod start;
pub mod systems;
mod threads;
pub mod token;
pub mod user;
pub mod views;

/// Of rules that look at what only a running process has.
const EXITED: &str = "It has exited, and its memory with it.";

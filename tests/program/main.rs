//! The command line program.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

mod cli;
mod command_line;
mod lists;
mod next_commands;
mod page_files;
mod snapshots;
mod symbols_command;
mod workbench;

//! Views: what each command has to say, as a page. They ask the records and what follows from them, and print nothing.

mod columns;
mod crash;
mod cross_view;
mod figures;
mod filter;
mod findings;
mod hives;
mod info;
mod key;
mod memory;
mod process_tree;
mod processes;
mod rules;
mod sessions;
mod show;
mod symbols;
mod timeline;
mod words;

pub use columns::{COLUMNS, ListOptions, ProcessColumn, UnknownColumn};
pub use crash::{crash, self_test};
pub use cross_view::cross_view;
pub use figures::{bad_pids, figures};
pub use filter::ProcessFilter;
pub use findings::{FindingsOptions, failure, findings};
pub use hives::hives;
pub use info::info;
pub use key::{key, key_hint, no_key};
pub use memory::memory;
pub use process_tree::{TreeRow, process_tree, tree_rows};
pub use processes::processes;
pub use rules::{rule, rules, rules_page};
pub use sessions::sessions;
pub use show::{Part, show};
pub use symbols::symbols;
pub use timeline::{Event, events, timeline};

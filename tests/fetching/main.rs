//! Symbol files as servers have them: compressed, in archives, over HTTP.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

#[path = "../made/mod.rs"]
mod made;

mod packed_symbols;
mod symbol_server;

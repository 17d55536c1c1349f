//! Layouts and globals: symbol files, packs, the built-in table, and what an image itself gives.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../made/mod.rs"]
mod made;

mod built_in;
#[cfg(feature = "isf")]
mod collected_kernels;
#[cfg(feature = "isf")]
mod fixed_forms;
#[cfg(feature = "isf")]
mod globals;
#[cfg(feature = "isf")]
mod infer;
#[cfg(feature = "isf")]
mod layouts;
#[cfg(feature = "isf")]
mod packs;
#[cfg(feature = "isf")]
mod pdb_and_isf;
#[cfg(feature = "isf")]
mod symbol_sources;
#[cfg(feature = "isf")]
mod symbol_store;
mod symbols_made;

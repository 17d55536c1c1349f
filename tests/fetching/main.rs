//! What servers have: symbol files, compressed, in archives, over HTTP; and images.
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

#[cfg(feature = "remote-images")]
mod far_images;
mod packed_symbols;
mod server;
mod symbol_server;

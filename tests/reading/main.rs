//! Reading a machine: images, the way to the kernel, processes, registry, scans. What is read is held against what was written.
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

mod bad_input;
#[cfg(feature = "isf")]
mod containers;
#[cfg(feature = "isf")]
mod cut_images;
#[cfg(feature = "isf")]
mod damaged_blocks;
#[cfg(feature = "isf")]
mod five_levels;
#[cfg(feature = "isf")]
mod forged;
#[cfg(feature = "isf")]
mod forged_registry;
#[cfg(feature = "isf")]
mod hostile_containers;
#[cfg(feature = "isf")]
mod hostile_images;
#[cfg(feature = "isf")]
mod hostile_links;
mod inside;
#[cfg(feature = "isf")]
mod key_handles;
mod locate;
#[cfg(feature = "isf")]
mod moved_files;
#[cfg(feature = "isf")]
mod named_handles;
#[cfg(all(feature = "isf", feature = "compressed-images"))]
mod packed_images;
mod page_samples;
#[cfg(feature = "isf")]
mod places;
#[cfg(feature = "isf")]
mod real_details;
#[cfg(feature = "isf")]
mod real_process;
mod registry;
mod registry_files;
mod samples;
mod scan;
#[cfg(feature = "isf")]
mod scan_forms;
mod scanner;
#[cfg(feature = "isf")]
mod triage;

//! What the checks and the cross view say of clean, damaged and dirty machines, listings and saved reports.
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

#[cfg(feature = "isf")]
mod edits_counted;
#[cfg(feature = "isf")]
mod evidence_bytes;
#[cfg(feature = "isf")]
mod forged_budget;
#[cfg(feature = "isf")]
mod forged_carved;
#[cfg(feature = "isf")]
mod forged_cases;
#[cfg(feature = "isf")]
mod forged_contradictions;
#[cfg(feature = "isf")]
mod forged_core;
#[cfg(feature = "isf")]
mod forged_damage;
#[cfg(feature = "isf")]
mod forged_edits;
#[cfg(feature = "isf")]
mod forged_hidden_text;
#[cfg(feature = "isf")]
mod forged_hive_files;
#[cfg(feature = "isf")]
mod forged_inside;
#[cfg(feature = "isf")]
mod forged_liars;
#[cfg(feature = "isf")]
mod forged_lives;
#[cfg(feature = "isf")]
mod forged_lost_objects;
#[cfg(feature = "isf")]
mod forged_lost_values;
#[cfg(feature = "isf")]
mod forged_motion;
#[cfg(feature = "isf")]
mod forged_page_tables;
#[cfg(feature = "isf")]
mod forged_pages;
#[cfg(feature = "isf")]
mod forged_parts;
#[cfg(feature = "isf")]
mod forged_psxview;
#[cfg(feature = "isf")]
mod forged_registry_lies;
#[cfg(feature = "isf")]
mod forged_replaced_pages;
#[cfg(feature = "isf")]
mod forged_roots;
#[cfg(feature = "isf")]
mod forged_session_manager;
#[cfg(feature = "isf")]
mod forged_states;
#[cfg(feature = "isf")]
mod forged_systems;
#[cfg(feature = "isf")]
mod forged_unreadable;
mod hostile_records;
mod listings;
mod rules_page;
#[cfg(feature = "isf")]
mod saved_reports;
mod trials;
mod truth;

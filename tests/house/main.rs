//! What keeps the repository itself in order: it is read as text, and the library is not needed for it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::arithmetic_side_effects)]

mod format_details;
mod layers;
mod paths;
mod registry_words;

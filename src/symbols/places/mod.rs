//! Places where symbol files are looked for, one file each.

pub(super) mod cache;
#[cfg(feature = "symbol-server")]
mod download;
mod nt_symbol_path;
#[cfg(feature = "symbol-server")]
pub(super) mod server;
pub(super) mod store;

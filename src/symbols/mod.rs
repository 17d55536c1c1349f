//! Symbols: where they are looked for, what they say, and the typed offsets made of them. Nothing here knows of memory.

mod agree;
mod built_in;
mod error;
mod files;
mod fixed;
mod id;
pub(crate) mod layout;
mod manifest;
mod names;
mod places;
mod table;

pub use agree::disagreements;
pub use built_in::{builds, built_in};
pub use error::SymbolError;
#[cfg(feature = "isf")]
pub use files::isf;
pub use files::load;
pub use files::pack::{Pack, PackWriter, PackedKernel};
pub use files::pack_folder::Packed;
pub use files::pdb_file;
pub use fixed::{fixed, fixed_names};
pub use id::PdbInfo;
pub use layout::{Bits, Embedded, Field, First, Natural, Placed, Resolve, Stored};
pub use manifest::{FailedImage, Manifest, NeededSymbols};
pub use names::server_path;
pub use places::cache::user_folder;
#[cfg(feature = "symbol-server")]
pub use places::server::{Fetching, Server};
pub use places::store::{SymbolStore, Trust};
pub use table::{FieldInfo, SymbolSource, Symbols, TypeInfo, Wanted};

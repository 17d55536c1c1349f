//! Symbols: where they are looked for, what they say, and the typed offsets made of them. Nothing here knows of memory.

mod error;
pub(crate) mod layout;
mod store;
mod table;

pub use error::SymbolError;
pub use layout::{Bits, Embedded, Field, Natural, Stored};
pub use store::SymbolStore;
pub use table::{FieldInfo, SymbolSource, Symbols, TypeInfo, Wanted};

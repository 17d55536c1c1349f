//! The registry as it lies in memory: hives, keys, values.

mod data;
mod name;
mod record;
mod session_manager;

pub use data::{RegistryData, ValueType};
pub use record::{KeyRecord, RegistryValue};
pub use session_manager::{ControlSet, DEBUGGABLE, SessionManagerKeys};

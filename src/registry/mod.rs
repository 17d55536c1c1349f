//! The registry as it lies in memory: hives, keys, values.
//!
//! ```text
//! let registry = Registry::open(&kernel);
//! let key = registry.key(r"HKLM\SYSTEM\CurrentControlSet\Control\Session Manager")?;
//! ```
//!
//! A key or value that is not there and one that cannot be read are different answers everywhere.

mod cells;
mod data;
mod faults;
mod hive;
mod hive_file;
mod identity;
mod key;
mod lists;
mod map;
mod name;
mod node;
mod open;
mod path;
mod read_session_manager;
mod record;
pub(crate) mod scan;
mod session_manager;
mod value;
mod write;

pub use cells::CellIndex;
pub use data::{RegistryData, ValueType};
pub use faults::Listing;
pub use hive::{Hive, HiveRecord};
pub(crate) use identity::Identity;
pub use identity::Profile;
pub use key::Key;
pub use open::{HiveList, Registry};
pub use record::{KeyRecord, RegistryValue};
pub use session_manager::{ControlSet, DEBUGGABLE, RivalHive, SessionManagerKeys};
pub use value::Value;
pub use write::WrittenHive;

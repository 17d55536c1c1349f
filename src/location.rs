//! Where a value was read.

use crate::{Origin, PhysicalAddress, VirtualAddress};
use serde::{Deserialize, Serialize};

/// Where a value was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Location {
    /// C name of the structure: `_EPROCESS`.
    pub structure: String,
    /// C name of the field: `InheritedFromUniqueProcessId`.
    pub field: String,
    /// Virtual address of the field.
    pub r#virtual: Option<VirtualAddress>,
    /// Physical address of the field.
    pub physical: Option<PhysicalAddress>,
    /// What supplied the page it lies in. `None`: it is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Origin>,
}

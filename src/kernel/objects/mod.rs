//! Objects of the kernel, one file each: where its fields are, the record that is read of it, and where that was read.

pub(crate) mod cmhive;
pub(crate) mod code;
pub(crate) mod driver;
pub(crate) mod eprocess;
pub(crate) mod file_cache;
pub(crate) mod file_object;
pub(crate) mod handles;
pub(crate) mod key;
pub(crate) mod module;
pub(crate) mod object;
pub(crate) mod object_path;
pub(crate) mod peb;
pub(crate) mod processors;
pub(crate) mod prototypes;
pub(crate) mod thread;
pub(crate) mod token;
pub(crate) mod vad;
pub(crate) mod well_known;

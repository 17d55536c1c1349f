//! The commands, one file each: `Args`, and what is done with them.

pub mod check;
pub mod completions;
pub mod convert;
pub mod dump;
pub mod explain;
pub mod hives;
pub mod info;
pub mod pslist;
pub mod pstree;
pub mod psxview;
pub mod read;
pub mod registry;
pub mod selftest;
pub mod sessions;
pub mod show;
pub mod symbols;
pub mod timeline;

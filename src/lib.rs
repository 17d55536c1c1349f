#![doc = include_str!("../README.md")]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation
    )
)]

mod addr;
pub mod checks;
pub mod discover;
mod error;
pub mod image;
pub mod kernel;
mod list_end;
mod location;
mod machine;
pub mod memory;
pub mod picture;
pub mod process;
mod reading;
pub mod registry;
pub mod report;
mod shown;
mod sweep;
pub mod symbols;
mod system;
mod time;
mod warning;
#[allow(dead_code, reason = "its users, the compressed store and hibernation files, follow")]
mod xpress;

pub use addr::{Hex, PAGE_SIZE, PhysicalAddress, VirtualAddress, parse_hex};
pub use checks::{Findings, Outcome, Severity, Verdict, check_smss};
pub use error::Error;
pub use image::{ImageInfo, MemoryImage, PhysicalMemory};
pub use kernel::{Driver, DriverList, KernelInfo};
pub use list_end::ListEnd;
pub use location::Location;
pub use machine::{Clock, Machine};
pub use picture::{Creator, Mode, ModeKind, Parent, Picture, ProcessTree, Session};
pub use process::{Liveness, Process, ProcessList};
pub use reading::{Absent, AbsentKind, Reading};
pub use report::Report;
pub use shown::Shown;
pub use symbols::PdbInfo;
pub use system::{ReadOptions, System};
pub use time::{Ticks, Timestamp};
pub use warning::Warning;

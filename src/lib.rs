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
pub mod baseline;
mod drivers;
mod error;
pub mod image;
pub mod kernel;
pub mod memory;
pub mod process;
mod reading;
pub mod registry;
pub mod report;
mod sweep;
pub mod symbols;
mod system;
mod time;
mod warning;
#[allow(dead_code, reason = "its users, the compressed store and hibernation files, follow")]
mod xpress;

pub use addr::{Hex, PAGE_SIZE, PhysicalAddress, VirtualAddress, parse_hex};
pub use baseline::{Findings, Outcome, Severity, Verdict, check_smss};
pub use drivers::{Driver, DriverList};
pub use error::Error;
pub use image::{MemoryImage, PhysicalMemory};
pub use process::{Creator, Liveness, Mode, ModeKind, Parent, Process, ProcessTree, Session};
pub use reading::{Absent, AbsentKind, Reading};
pub use report::Report;
pub use system::{Clock, ImageInfo, KernelInfo, ListEnd, Machine, PdbInfo, ProcessList, ReadOptions, System};
pub use time::{Ticks, Timestamp};
pub use warning::Warning;

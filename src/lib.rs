//! ntmem
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
mod error;
pub mod image;
pub mod kernel;
pub mod memory;
pub mod process;
mod reading;
pub mod registry;
pub mod symbols;
mod system;
mod time;
mod warning;

pub use addr::{Hex, PAGE_SIZE, PhysicalAddress, VirtualAddress, parse_hex};
pub use error::Error;
pub use image::{MemoryImage, PhysicalMemory};
pub use process::{Process, Session};
pub use reading::{Absent, AbsentKind, Reading};
pub use system::{Clock, ImageInfo, KernelInfo, ListEnd, Machine, PdbInfo, ProcessList, System};
pub use time::{Ticks, Timestamp};
pub use warning::Warning;

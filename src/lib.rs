//! Offline analysis of Windows memory images: processes, sessions and tokens, the registry in memory, and whether smss.exe,
//! and what smss.exe built, is what Windows would have built.
//!
//! A [`MemoryImage`] is a file that holds physical memory. A [`Kernel`](kernel::Kernel) is found in it, with its layouts: from
//! a [`SymbolStore`](symbols::SymbolStore), or from the image itself. [`System::read`] reads everything into owned records,
//! which know nothing of the image any more. A [`Picture`] tells what follows from the records. Checks are pure functions over
//! them.
//!
//! ```
//! use ntmem::symbols::SymbolStore;
//! use ntmem::{MemoryImage, Picture, System, check_smss};
//!
//! let image = MemoryImage::open("testdata/samples/suspicious.raw")?;
//! // No symbol file is needed; one of this very kernel is better.
//! let kernel = image.locate_kernel(&SymbolStore::new().directory("testdata/samples/symbols"))?;
//! let system = System::read(&kernel)?;
//! let picture = Picture::new(&system);
//! for (depth, at) in picture.tree().walk() {
//!     let process = &system.processes.items[at];
//!     println!("{:depth$}{:?} {:?}", "", process.pid.value(), process.name.value());
//! }
//! for violation in check_smss(&system).violations() {
//!     println!("{violation}");
//! }
//! # Ok::<(), ntmem::Error>(())
//! ```
//!
//! # What values are
//!
//! A field of a record is a [`Reading`]: a value, "there is none", or [`Absent`] with the reason why it is not known. Nothing
//! that could not be read is zero, empty or fine. Every walk over a list says how it ended ([`ListEnd`]). An address says of
//! which kind it is ([`VirtualAddress`], [`PhysicalAddress`]), a time is a [`Timestamp`] in UTC.
//!
//! # Features
//!
//! - `isf` (on by default): symbol files of Volatility 3.
//! - `compressed-symbols`: `.pd_` files and zip packs of symbols.
//! - `symbol-server`: fetching PDBs, when asked to.
//! - `cli`: the program `ntmem`.
//!
//! # Hostile images
//!
//! An image may be truncated, smeared, or written by an attacker. No bytes make this crate panic, loop without bound or
//! allocate without bound; what was cut short is told.

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
mod budget;
mod carve;
pub mod checks;
pub mod discover;
mod error;
mod fetch_ahead;
#[cfg(any(feature = "symbol-server", feature = "remote-images"))]
mod http;
pub mod image;
pub mod kernel;
mod list_end;
mod location;
mod machine;
pub mod memory;
mod memory_read;
mod origin;
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
mod upcase;
mod warning;
mod words;
mod xpress;

pub use addr::{Hex, PAGE_SIZE, PhysicalAddress, VirtualAddress, parse_hex};
pub use carve::Carved;
pub use checks::{Findings, Outcome, Severity, Verdict, check_smss, check_with};
pub use error::Error;
pub use image::{ImageInfo, MemoryImage, PhysicalMemory};
pub use kernel::{Driver, DriverList, KernelInfo};
pub use list_end::ListEnd;
pub use location::{DataLocation, Location};
pub use machine::{Clock, Machine};
pub use memory::PageFile;
pub use memory_read::{FieldRead, MemoryRead, PageRead, StructureRead};
pub use origin::Origin;
pub use picture::{Creator, Mode, ModeKind, Motion, Parent, Picture, ProcessTree, Session};
pub use process::{Liveness, Process, ProcessList};
pub use reading::{Absent, AbsentKind, Reading};
pub use report::Report;
pub use shown::Shown;
pub use symbols::PdbInfo;
pub use system::{ReadOptions, System};
pub use time::{Ticks, Timestamp};
pub use warning::Warning;

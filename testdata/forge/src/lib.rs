//! The forge: writes synthetic Windows x64 physical-memory images from written-down scenarios.
//!
//! It shares no code with the reader that it tests: its structure offsets are its own tables (`tables/`), its page tables, lists and
//! strings are laid out from published descriptions, and every image comes with the facts it holds ([`Truth`]) and with symbols made
//! of the same tables (`isf`). A wrong offset in the reader therefore cannot agree with itself here.
//!
//! ```
//! use ntmem_forge::{Build, Scenario};
//!
//! let forged = Scenario::clean(Build::W10_19045).forge();
//! assert_eq!(forged.truth.process(348).map(|p| p.name_text()).as_deref(), Some("smss.exe"));
//! ```

mod btree;
pub mod builds;
mod c_source;
mod c_types;
mod cells;
pub mod clean;
pub mod container;
mod damage;
mod forge;
mod handles;
mod hive;
mod hive_file;
pub mod hive_plan;
mod isf;
mod isf_reader;
mod job;
mod json;
mod kdbg;
mod kernel_image;
mod key;
mod large;
pub mod layout;
mod lz4;
mod machine;
mod motion;
mod named;
mod object;
pub mod page_plan;
mod page_variants;
pub mod paging;
mod paging_file;
mod pe;
pub mod physical;
mod pool;
mod process;
mod pte;
pub mod relics;
pub mod rng;
pub mod samples;
pub mod scenario;
mod section;
mod session;
mod shared_data;
mod shared_pages;
mod shifted;
pub mod sid;
mod store;
pub mod swap;
mod symbols;
pub mod system_hive;
pub mod systems;
mod tampered;
mod thread;
mod time;
mod token;
pub mod truth;
mod user;
mod vad;
pub mod variants;
mod xpress;

pub use builds::Build;
pub use c_source::c_source;
pub use container::{Core, Driver, DumpType, Hibernation, Saved, StateFile, Stream};
pub use forge::Forged;
pub use hive_plan::{Data, HiveDamage, HivePlan, Key, ListKind};
pub use layout::Layout;
pub use motion::{Changes, Moments, Stage};
pub use page_plan::{Form, Held, HiveViews, PagePlan, PagingFile, PrivateCopy, StoreDamage, StorePlan, Way};
pub use page_variants::{Behind, Needs};
pub use scenario::{
    CodeView, Damage, DebuggerData, Headers, ImageEdit, JobPlan, KernelPages, KernelPlan, NamedObject, OpenKey, Paged,
    PagingPlan, Place, PoolForm, Private, Proc, Product, Relic, Remains, Scenario, SymbolPlan, TokenPlan, Unlinked,
    UserPlan,
};
pub use swap::SwapFile;
pub use tampered::Tampered;
pub use time::Time;
pub use truth::{Truth, TruthHive, TruthPage, TruthPlace, TruthProcess, TruthRelic};
pub use variants::Impostor;

//! Processes as owned records: from where the kernel keeps them, and what is in them.

pub(crate) mod allocation;
pub(crate) mod carved;
mod code;
mod compare;
mod dump;
pub(crate) mod found;
mod inside;
pub(crate) mod list;
mod liveness;
pub(crate) mod look_inside;
mod own_address;
mod read_ahead;
mod record;
mod relocated;
pub(crate) mod repeats;
pub(crate) mod root_scan;
pub(crate) mod scan;
mod source;
mod sources;
pub(crate) mod thread_scan;
pub(crate) mod unseen;
pub(crate) mod views;
pub(crate) mod witnesses;

pub use dump::{Dumped, Hole, MAX_DUMPED, dump, file_name};
pub use inside::{Holder, Inside};
pub(crate) use list::NO_PROCESS;
pub use list::{OneWay, ProcessList, Unread};
pub use liveness::Liveness;
pub(crate) use liveness::PID_END;
pub use look_inside::InsideOf;
pub use record::Process;
pub use root_scan::UnownedRoot;
pub use source::{About as AboutSource, SOURCES, Source};
pub use views::ProcessView;

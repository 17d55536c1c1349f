//! The address ranges of a process, as far as they are known.

use crate::checks::Why;
use crate::kernel::Vad;
use crate::{Absent, AbsentKind, ListEnd, Process, Reading, VirtualAddress};
use std::collections::HashMap;
use std::fmt::Display;

/// See the module.
pub(super) struct Ranges<'a> {
    /// In rising order.
    pub(super) vads: &'a [Vad],
    /// Why they may not be all; `None` where they are.
    pub(super) part: Option<String>,
    /// They are a part because the tree contradicts itself or the process, or leads nowhere. It lies in memory that is never paged out.
    pub(super) is_torn: bool,
    /// The last addresses of images, by their first, where they are known.
    ends: HashMap<VirtualAddress, VirtualAddress>,
}

impl<'a> Ranges<'a> {
    /// The ranges of a process.
    ///
    /// # Errors
    /// Why none are known, in words that follow "which was".
    pub(super) fn of(process: &'a Process) -> Result<Self, Why> {
        let inside = process.inside.value().ok_or_else(|| Why::no_value(&process.inside))?;
        let vads = inside.vads.value().ok_or_else(|| Why::no_value(&inside.vads))?;
        let unread = |vad: &&Vad| {
            [&vad.start, &vad.end].iter().any(|bound| bound.value().is_none())
                || vad.kind.value().is_none()
                || vad.executable.value().is_none()
        };
        let unread = vads.iter().filter(unread).count();
        let is_torn = unread > 0 || matches!(inside.vads_end.value(), Some(ListEnd::Cycle | ListEnd::Broken));
        let part = match inside.vads_end.value() {
            Some(ListEnd::Complete) if unread == 0 => None,
            Some(ListEnd::Complete) => Some(format!("a part: {unread} of its ranges could not be read")),
            Some(ListEnd::Cycle) => Some("a part: the walk of its tree ran into a ring".to_owned()),
            Some(ListEnd::Broken) => Some("a part: the walk of its tree broke off".to_owned()),
            Some(ListEnd::Limit) => Some("a part: the walk of its tree was stopped at its cap".to_owned()),
            None => Some(format!("perhaps a part: its end is {}", Why::no_value(&inside.vads_end))),
        };
        Ok(Self { vads, part, is_torn, ends: inside.ends_of_images() })
    }

    /// Whether the ranges of a process that runs are not known because what leads to them leads nowhere.
    pub(super) fn are_lost(process: &Process) -> bool {
        let lost = |absent: &Absent| matches!(absent.kind, AbsentKind::Unreadable | AbsentKind::Unparsable);
        !process.has_exited() && process.inside.value().is_some_and(|inside| inside.vads.absent().is_some_and(lost))
    }

    /// Whether an address in the range of an image lies behind the end of that image.
    pub(super) fn is_behind(&self, vad: &Vad, address: VirtualAddress) -> bool {
        let end = vad.start.value().and_then(|start| self.ends.get(start));
        vad.kind.value().is_some_and(|kind| kind == "image") && end.is_some_and(|end| address > *end)
    }

    /// The range that holds this address.
    pub(super) fn at(&self, address: VirtualAddress) -> Option<&'a Vad> {
        let holds = |vad: &&Vad| match (vad.start.value(), vad.end.value()) {
            (Some(start), Some(end)) => (*start..=*end).contains(&address),
            _ => false,
        };
        self.vads.iter().find(holds)
    }

    /// Whether a range begins at this address.
    pub(super) fn starts_at(&self, address: VirtualAddress) -> bool {
        self.vads.iter().any(|vad| vad.start.value() == Some(&address))
    }
}

/// A reading in words.
pub(super) fn text<T: Display>(reading: &Reading<T>) -> String {
    reading.value().map_or_else(|| "?".to_owned(), ToString::to_string)
}

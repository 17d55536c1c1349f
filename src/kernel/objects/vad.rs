//! `_MMVAD_SHORT` and `_MMVAD`: the ranges of addresses that a process has reserved, mapped or committed.

use super::file_object::{self, SectionFile};
use crate::kernel::view::View;
use crate::kernel::walk::{WalkEnd, tree};
use crate::kernel::{Eprocess, Kernel};
use crate::location::Location;
use crate::reading::record;
use crate::words::words;
use crate::{Absent, PAGE_SIZE, Reading, VirtualAddress};
use std::collections::{BTreeMap, HashSet};

words! {
    /// What a range of addresses holds.
    pub enum VadKind {
        /// An image: a program or a library, mapped as its sections say.
        Image = "image",
        /// A section that is no image: a file, or shared memory of the page file.
        Mapped = "mapped",
        /// Memory of the process alone.
        Private = "private",
    }
}

record! {
    /// One range of a process's addresses.
    pub struct Vad {
        /// First address.
        start: VirtualAddress,
        /// Last address.
        end: VirtualAddress,
        /// What it is a range of.
        kind: VadKind,
        /// `_MMVAD_FLAGS.PrivateMemory`.
        private: bool,
        /// The protection it was made with: `PAGE_READWRITE`.
        protection: String,
        /// That protection allows execution.
        executable: bool,
        /// `CommitCharge`: pages.
        commit: u64,
        /// `SizeOfImage` in the headers that are mapped at its start, in bytes. Nothing: it is no image.
        image_size: u64,
        /// `FILE_OBJECT.FileName`, relative to the volume. Nothing: no file behind it.
        file: String,
        /// Address of the `_MMVAD_SHORT`.
        address: VirtualAddress,
        ;
        /// Where the members that rules cite were read, by member name. Empty: no rule does, as it holds neither an image nor code.
        located: BTreeMap<String, Location>,
    }
}

impl Vad {
    /// Where it lies, and where one member of it, if that is told.
    pub(crate) fn at(&self, member: &str) -> (&Reading<VirtualAddress>, Option<&Location>) {
        (&self.address, self.located.get(member))
    }
}

/// The largest processes have some ten thousand ranges.
const MAX_VADS: usize = 1 << 17;
/// Bytes of file names that the ranges of one process have in all; hostile ones could all share one long name.
const MAX_NAMES: usize = 1 << 22;
/// `VadImageMap` of `_MI_VAD_TYPE`.
const IMAGE_MAP: u64 = 2;

/// The ranges in `EPROCESS.VadRoot`, in rising order, with how the walk ended.
///
/// # Errors
/// The symbols lack a structure, or the root cannot be read.
pub fn vads(process: &Eprocess<'_>) -> Result<(Vec<Vad>, WalkEnd), Absent> {
    vads_up_to(process, MAX_VADS)
}

/// The same, not more than `cap`.
///
/// # Errors
/// As [`vads`].
pub(crate) fn vads_up_to(process: &Eprocess<'_>, cap: usize) -> Result<(Vec<Vad>, WalkEnd), Absent> {
    let kernel = process.kernel();
    let layout = kernel.layouts().vad.as_ref()?;
    let root = process.view().optional(process.layout().vad_root, "_EPROCESS.VadRoot")?;
    let (nodes, end) = tree(kernel.space(), root, (layout.left.offset, layout.right.offset), cap.min(MAX_VADS));
    let (nodes, end) = prove(process, root, nodes, end);
    let mut room = MAX_NAMES;
    let mut limited = |mut vad: Vad| {
        if let Some(name) = vad.file.value() {
            match room.checked_sub(name.len()) {
                Some(left) => room = left,
                None => {
                    let why = format!("the file names of the ranges before it have {MAX_NAMES} bytes");
                    vad.file = Reading::Absent(Absent::not_collected(why));
                }
            }
        }
        vad
    };
    let vads = nodes.into_iter().map(|node| vad(kernel, node)).map(|vad| vad.map(&mut limited));
    let mut vads: Vec<Vad> = vads.collect::<Result<_, _>>()?;
    let strange = vads.iter().find(|vad| !is_possible(kernel, vad)).and_then(|vad| vad.address.value().copied());
    vads.retain(|vad| is_possible(kernel, vad));
    let end = match strange {
        Some(at) if end == WalkEnd::Complete => {
            WalkEnd::Contradicted { at, what: "the addresses that a process can have" }
        }
        _ => end,
    };
    let end = match out_of_order(&vads) {
        Some(at) if end == WalkEnd::Complete => WalkEnd::Contradicted { at, what: "the order of the ranges" },
        _ => end,
    };
    Ok((vads, end))
}

/// The nodes that prove to be of this tree: the one above each is the one that led to it. Whoever takes a range out of the tree by hand,
/// and a page that was lost, betray themselves by that, or by the number that the process has of them. Whoever puts one in by hand may
/// leave out the way back: page tables then say whether the process has what the range claims.
fn prove(
    process: &Eprocess<'_>,
    root: VirtualAddress,
    nodes: Vec<VirtualAddress>,
    end: WalkEnd,
) -> (Vec<VirtualAddress>, WalkEnd) {
    /// Marks in the low bits of a pointer: the balance, or the colour, of a node.
    const MARKS: u64 = 7;
    let kernel = process.kernel();
    let (Ok(layout), space) = (kernel.layouts().vad.as_ref(), kernel.space()) else { return (nodes, end) };
    let mut end = end;
    let mut contradicted = |at, what| {
        if end == WalkEnd::Complete {
            end = WalkEnd::Contradicted { at, what };
        }
    };
    let mut strays: HashSet<VirtualAddress> = HashSet::new();
    if let Some(parent) = layout.parent {
        for node in &nodes {
            for side in [layout.left, layout.right] {
                let Ok(child) = space.read_pointer(node.wrapping_add(side.offset)) else { continue };
                let above = space.read_u64(child.wrapping_add(parent.offset));
                if !child.is_null() && above.is_ok_and(|above| above & !MARKS != node.0) {
                    strays.insert(child);
                }
            }
        }
    }
    let mut confirmed: HashSet<VirtualAddress> = HashSet::new();
    for (at, node) in nodes.iter().enumerate().filter(|(_, node)| strays.contains(*node)).take(MAX_STRAYS) {
        let is_sure = |other: &&VirtualAddress| !strays.contains(*other);
        let before = nodes.get(..at).and_then(|before| before.iter().rev().find(is_sure));
        let after = nodes.get(at.saturating_add(1)..).and_then(|after| after.iter().find(is_sure));
        if is_in_use(process, *node, before.copied(), after.copied()) {
            confirmed.insert(*node);
        }
    }
    strays.retain(|node| !confirmed.contains(node));
    if let Some(stray) = nodes.iter().find(|node| strays.contains(*node)) {
        contradicted(*stray, "the range above it in the tree");
    }
    let (layout, view) = (process.layout(), process.view());
    let count = layout.vad_count.and_then(|field| view.get(field).ok());
    let count = count.or_else(|| layout.vad_elements.and_then(|bits| view.bits(bits).ok()));
    // A count of none beside ranges that hang together was not kept: writers of images of their own leave it out.
    let count = count.filter(|count| *count != 0);
    if count.is_some_and(|count| count != u64::try_from(nodes.len()).unwrap_or(u64::MAX)) {
        contradicted(root, "the number of ranges that the process has");
    }
    (nodes.into_iter().filter(|node| !strays.contains(node)).collect(), end)
}

/// Nodes without a way back that are held against page tables; whoever has more is not believed.
const MAX_STRAYS: usize = 64;
/// Pages of a range that are looked at for that.
const LOOKED_AT: u64 = 64;

/// Whether the process has pages where a range says, and the range lies between those before and behind it.
fn is_in_use(
    process: &Eprocess<'_>,
    node: VirtualAddress,
    before: Option<VirtualAddress>,
    after: Option<VirtualAddress>,
) -> bool {
    let kernel = process.kernel();
    let bounds = |node: VirtualAddress| {
        let vad = vad(kernel, node).ok().filter(|vad| is_possible(kernel, vad))?;
        Some((*vad.start.value()?, *vad.end.value()?))
    };
    let Some((start, end)) = bounds(node) else { return false };
    let is_behind = before.is_none_or(|before| bounds(before).is_some_and(|(_, last)| last < start));
    let is_before = after.is_none_or(|after| bounds(after).is_some_and(|(first, _)| end < first));
    let Ok(space) = process.root().map(|root| kernel.space().with_root(root)) else { return false };
    let to = end.min(start.wrapping_add(LOOKED_AT.saturating_mul(PAGE_SIZE)));
    is_behind && is_before && space.regions(start, to).next().is_some()
}

/// Whether a range ends in the user's half, and not before it begins; at address 0, where old systems give memory to those who ask for it,
/// no view of a section begins. What is not so is none: its page was lost, and zeros say that it begins there.
fn is_possible(kernel: &Kernel<'_>, vad: &Vad) -> bool {
    let (Some(start), Some(end)) = (vad.start.value(), vad.end.value()) else { return true };
    let is_blank = start.is_null() && vad.private.value() == Some(&false);
    !is_blank && start <= end && kernel.space().architecture().is_user(*end)
}

/// The first range that does not lie behind the one before it.
fn out_of_order(vads: &[Vad]) -> Option<VirtualAddress> {
    let mut last: Option<VirtualAddress> = None;
    vads.iter().find_map(|vad| {
        let (start, end) = (vad.start.value()?, vad.end.value()?);
        let wrong = start > end || last.is_some_and(|last| *start <= last);
        last = Some(*end);
        wrong.then(|| vad.address.value().copied()).flatten()
    })
}

fn vad(kernel: &Kernel<'_>, node: VirtualAddress) -> Result<Vad, Absent> {
    let layouts = kernel.layouts();
    let layout = layouts.vad.as_ref()?;
    let view = View::read(kernel.space(), node, layout.size);
    let page = |low: Result<_, Absent>, high: Option<_>| -> Result<u64, Absent> {
        let crate::symbols::Natural(low) = low?;
        let high = high.map_or(Ok(0), |field| view.get::<u8>(field))?;
        Ok((low | (u64::from(high) << 32)) << 12)
    };
    let end = page(view.get(layout.end), layout.end_high).map(|last| VirtualAddress(last | 0xfff));
    let private = view.bits(layout.private).map(|bit| bit != 0);
    let protection = view.bits(layout.protection);
    let kind = view.bits(layout.kind);
    let behind = match private {
        Ok(true) => Ok(None),
        Ok(false) => file(kernel, node),
        Err(ref absent) => Err(absent.clone()),
    };
    let is_image = kind.as_ref().is_ok_and(|kind| *kind == IMAGE_MAP);
    let mut located = BTreeMap::new();
    if is_image || protection.as_ref().is_ok_and(|protection| is_executable(*protection)) {
        located.insert("start".to_owned(), view.locate_stored(layout.start));
        located.insert("protection".to_owned(), view.locate(layout.protection.storage));
    }
    if is_image && let Ok(mapped) = layouts.mapped_vad.as_ref() {
        let name = behind.as_ref().ok().and_then(|file| file_object::name_data(kernel, file.as_ref()?.address));
        // The longer structure begins with the shorter one.
        let place = kernel.space().locate("_MMVAD", "Subsection", node.wrapping_add(mapped.subsection.offset));
        located.insert("file".to_owned(), Location { data: name, ..place });
    }
    Ok(Vad {
        start: page(view.get(layout.start), layout.start_high).map(VirtualAddress).into(),
        end: end.into(),
        kind: match (&kind, &private) {
            (Ok(IMAGE_MAP), _) => Reading::Value(VadKind::Image),
            (Ok(_), Ok(true)) => Reading::Value(VadKind::Private),
            (Ok(_), Ok(false)) => Reading::Value(VadKind::Mapped),
            (Err(absent), _) | (_, Err(absent)) => Reading::Absent(absent.clone()),
        },
        private: private.clone().into(),
        protection: protection.clone().map(protection_name).into(),
        executable: protection.map(is_executable).into(),
        commit: layout.commit.map_or_else(|| Err(Absent::no_symbol("CommitCharge")), |bits| view.bits(bits)).into(),
        image_size: if is_image { Reading::default() } else { Reading::Nothing },
        file: behind.map(|file| file.map(|file| file.name)).into(),
        address: Reading::Value(node),
        located,
    })
}

/// The file behind a range: `_MMVAD.Subsection`, `_SUBSECTION.ControlArea`, `_CONTROL_AREA.FilePointer`. `None`: the page
/// file.
fn file(kernel: &Kernel<'_>, node: VirtualAddress) -> Result<Option<SectionFile>, Absent> {
    let layouts = kernel.layouts();
    let space = kernel.space();
    let subsection = space.read_pointer(node.wrapping_add(layouts.mapped_vad.as_ref()?.subsection.offset))?;
    if subsection.is_null() {
        return Ok(None);
    }
    let control_area = space.read_pointer(subsection.wrapping_add(layouts.subsection.as_ref()?.control_area.offset))?;
    file_object::of_control_area(kernel, control_area)
}

/// Whether a value of `_MMVAD_FLAGS.Protection` allows execution: its low three bits say so.
const fn is_executable(protection: u64) -> bool {
    matches!(protection & 7, 2 | 3 | 6 | 7)
}

/// The `PAGE_*` constants (winnt.h) that a value of `_MMVAD_FLAGS.Protection` stands for (`MM_*` constants, ntosp.h order).
fn protection_name(protection: u64) -> String {
    const ACCESS: [&str; 8] = [
        "NOACCESS",
        "READONLY",
        "EXECUTE",
        "EXECUTE_READ",
        "READWRITE",
        "WRITECOPY",
        "EXECUTE_READWRITE",
        "EXECUTE_WRITECOPY",
    ];
    const WITH: [&str; 4] = ["", " | PAGE_NOCACHE", " | PAGE_GUARD", " | PAGE_WRITECOMBINE"];
    let name = |names: &[&'static str], index: u64| {
        usize::try_from(index).ok().and_then(|index| names.get(index).copied()).unwrap_or_default()
    };
    format!("PAGE_{}{}", name(&ACCESS, protection & 7), name(&WITH, (protection >> 3) & 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Volatility 3 prints the same words out of a kernel's MmProtectToValue.
    #[test]
    fn protections() {
        assert_eq!(protection_name(1), "PAGE_READONLY");
        assert_eq!(protection_name(4), "PAGE_READWRITE");
        assert_eq!(protection_name(6), "PAGE_EXECUTE_READWRITE");
        assert_eq!(protection_name(7), "PAGE_EXECUTE_WRITECOPY");
        assert_eq!(protection_name(0x14), "PAGE_READWRITE | PAGE_GUARD");
        assert!(is_executable(6) && is_executable(3) && !is_executable(4) && !is_executable(0x18));
    }
}

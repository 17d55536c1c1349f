//! Address ranges, and the files behind them and behind image sections.

use super::ground::Ground;
use super::judge::{Judgement, Tally};
use super::pointers::is_file_of;
use super::scene::Sample;
use crate::VirtualAddress;
use crate::kernel::layouts::{
    ControlAreaLayout, FileObjectLayout, MappedVadLayout, SectionLayout, SectionObjectLayout, SegmentLayout,
    SubsectionLayout, VadLayout,
};
use crate::kernel::walk::tree;
use crate::memory::AddressSpace;
use crate::symbols::{Bits, Symbols};

/// Ranges of one process that are looked at; large programs have more, and are no better proof.
const MAX_RANGES: usize = 4096;
/// Processes whose ranges are looked at.
const PROCESSES: usize = 6;

/// One range.
struct Range {
    node: VirtualAddress,
    first: u64,
    last: u64,
}

/// First and last page of a node.
fn pages(space: AddressSpace<'_>, layout: &VadLayout, node: VirtualAddress) -> Option<(u64, u64)> {
    let number = |offset: u64, size: u64| {
        let at = node.wrapping_add(offset);
        if size == 4 { space.read_u32(at).ok().map(u64::from) } else { space.read_u64(at).ok() }
    };
    let high = |field: Option<crate::symbols::Field<u8>>| match field {
        Some(field) => {
            let [high] = space.read_array(node.wrapping_add(field.offset)).ok()?;
            Some(u64::from(high) << 32)
        }
        None => Some(0),
    };
    let first = number(layout.start.offset, layout.start.size)? | high(layout.start_high)?;
    let last = number(layout.end.offset, layout.end.size)? | high(layout.end_high)?;
    (first <= last && last >> 36 == 0).then_some((first, last))
}

/// The ranges below `root` if they are in order, none upon another.
fn ranges(space: AddressSpace<'_>, layout: &VadLayout, root: VirtualAddress) -> Option<Vec<Range>> {
    if !root.is_kernel() || root.0 & 0xf != 0 {
        return None;
    }
    pages(space, layout, root)?;
    let (nodes, _) = tree(space, root, (layout.left.offset, layout.right.offset), MAX_RANGES);
    let mut ranges: Vec<Range> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let (first, last) = pages(space, layout, node)?;
        if ranges.last().is_some_and(|before| before.last >= first) {
            return None;
        }
        ranges.push(Range { node, first, last });
    }
    Some(ranges)
}

/// The nodes of the image and of the PEB of a process, if `root` leads to both.
fn landmarks(
    ground: Ground<'_, '_>,
    layout: &VadLayout,
    sample: &Sample<'_>,
    root: VirtualAddress,
) -> Option<[VirtualAddress; 2]> {
    let peb = ground.pointer(sample, ground.known.peb)?;
    let base = ground.image_base(sample)?;
    let ranges = ranges(ground.scene.space, layout, root)?;
    let find = |at: VirtualAddress| {
        let page = at.0 >> 12;
        ranges.iter().find(|range| (range.first..=range.last).contains(&page)).map(|range| range.node)
    };
    Some([find(base)?, find(peb)?])
}

/// Processes whose PEB names an image.
fn programs<'a, 'm>(ground: Ground<'a, 'm>) -> impl Iterator<Item = &'a Sample<'m>> {
    ground.others().filter(move |sample| ground.image_base(sample).is_some()).take(PROCESSES)
}

/// `VadRoot`: leads to ranges that hold the PEB and the image, by one of the forms that nodes have.
pub(super) fn vad_root(ground: Ground<'_, '_>, at: u64) -> Judgement {
    // Most places have no such pointers, and to look for images takes time.
    let is_node = |root: &VirtualAddress| root.is_kernel() && root.0 & 0xf == 0;
    if ground.others().filter_map(|sample| sample.get(at)).filter(is_node).count() < 2 {
        return Judgement::Failed;
    }
    let fits = |layout: &VadLayout| {
        Tally::of(programs(ground).map(|sample| {
            let root = sample.get::<VirtualAddress>(at)?;
            Some(landmarks(ground, layout, sample, root).is_some())
        }))
    };
    let judgements = ground.vads.iter().map(|layout| fits(layout).judge(2, 70));
    judgements.reduce(|one, other| if one == Judgement::Held { one } else { other }).unwrap_or(Judgement::Silent)
}

/// `VadImageMap` of `_MI_VAD_TYPE`.
const IMAGE_MAP: u64 = 2;
/// `MM_EXECUTE_WRITECOPY` and `MM_READWRITE`: what images and PEBs are made with.
const EXECUTE_WRITECOPY: u64 = 7;
const READWRITE: u64 = 4;

/// `_MMVAD_SHORT`: images are images and no private memory, PEBs the other way round.
pub(super) fn vad(ground: Ground<'_, '_>, layout: &VadLayout) -> Judgement {
    let Some(at) = ground.known.vad_root else { return Judgement::Silent };
    let space = ground.scene.space;
    let bits = |node: VirtualAddress, bits: Bits| {
        let at = node.wrapping_add(bits.storage.offset);
        let storage = if bits.size == 4 { space.read_u32(at).ok().map(u64::from) } else { space.read_u64(at).ok() };
        storage.map(|storage| bits.of(storage))
    };
    let flags = |node| Some([bits(node, layout.kind)?, bits(node, layout.protection)?, bits(node, layout.private)?]);
    let fits = |sample: &Sample<'_>| {
        let [image, peb] = landmarks(ground, layout, sample, sample.get::<VirtualAddress>(at)?)?;
        let right = flags(image)? == [IMAGE_MAP, EXECUTE_WRITECOPY, 0] && flags(peb)? == [0, READWRITE, 1];
        Some(right)
    };
    let tally = Tally::of(programs(ground).map(fits));
    // Nodes of this form lead nowhere.
    if tally.all() == 0 && programs(ground).next().is_some() { Judgement::Failed } else { tally.judge(2, 60) }
}

/// `_MMVAD`, `_SUBSECTION`: the range of the image leads to its file.
pub(super) fn mapped(ground: Ground<'_, '_>, symbols: &Symbols) -> Option<Judgement> {
    let mapped = MappedVadLayout::resolve(symbols).ok()?;
    let subsection = SubsectionLayout::resolve(symbols).ok()?;
    let (area, file) = (ControlAreaLayout::resolve(symbols).ok()?, FileObjectLayout::resolve(symbols).ok()?);
    let Some(at) = ground.known.vad_root else { return Some(Judgement::Silent) };
    let read = |at: VirtualAddress| ground.scene.space.read_pointer(at).ok();
    let fits = |sample: &Sample<'_>| {
        let root = sample.get::<VirtualAddress>(at)?;
        let [image, _] = ground.vads.iter().find_map(|layout| landmarks(ground, layout, sample, root))?;
        let leads = || {
            let part = read(image.wrapping_add(mapped.subsection.offset)).filter(|part| part.is_kernel())?;
            let area_at = read(part.wrapping_add(subsection.control_area.offset)).filter(|area| area.is_kernel())?;
            read(area_at.wrapping_add(area.file.offset))
        };
        match leads() {
            Some(found) => is_file_of(ground, sample, crate::kernel::fast_ref(found.0), file.name.offset),
            None => Some(false),
        }
    };
    Some(Tally::of(programs(ground).map(fits)).judge(2, 60))
}

/// `_SECTION`, or `_SECTION_OBJECT` and `_SEGMENT`, with `_CONTROL_AREA` and `_FILE_OBJECT`: the section leads to the file of the
/// image.
pub(super) fn section(ground: Ground<'_, '_>, symbols: &Symbols) -> Option<Judgement> {
    let (area, file) = (ControlAreaLayout::resolve(symbols).ok()?, FileObjectLayout::resolve(symbols).ok()?);
    let section = SectionLayout::resolve(symbols).ok();
    let object = SectionObjectLayout::resolve(symbols).ok().zip(SegmentLayout::resolve(symbols).ok());
    let Some(at) = ground.known.section else { return Some(Judgement::Silent) };
    let read = |at: VirtualAddress| ground.scene.space.read_pointer(at).ok().filter(|to| to.is_kernel());
    let fits = |sample: &Sample<'_>| {
        let at = ground.pointer(sample, Some(at))?;
        let leads = || match (&section, &object) {
            (Some(section), _) => read(at.wrapping_add(section.control_area.offset)),
            (None, Some((object, segment))) => {
                let backing = read(at.wrapping_add(object.segment.offset))?;
                read(backing.wrapping_add(segment.control_area.offset))
            }
            (None, None) => None,
        };
        match leads().and_then(|at| read(at.wrapping_add(area.file.offset))) {
            Some(found) => is_file_of(ground, sample, crate::kernel::fast_ref(found.0), file.name.offset),
            None => Some(false),
        }
    };
    Some(Tally::of(ground.others().map(fits)).judge(2, 60))
}

//! `_CMHIVE`, `_DUAL` and `_HMAP_ENTRY`, by the list of hives whose head is in the kernel's image.

use super::ground::Ground;
use super::judge::{Judgement, Tally};
use super::place::{Neighbours, Placer, Report};
use super::scene::Scene;
use crate::VirtualAddress;
use crate::discover::data::{KernelData, ListHead};
use crate::kernel::HIVE_SIGNATURE;
use crate::kernel::layouts::{DualLayout, HmapEntryLayout};
use crate::kernel::view::View;
use crate::kernel::walk::list_both_ways;
use crate::memory::AddressSpace;
use crate::symbols::{Stored, Symbols, TypeInfo};

/// Bytes of a `_CMHIVE` that are looked at: `HiveList` lies at 0xaa8 in the largest known one.
const WINDOW: u64 = 0x1000;
/// Hives that are looked at.
const MAX_HIVES: usize = 32;
/// Blocks of a hive that are looked at.
const MAX_BLOCKS: u64 = 16;

/// The hives of a list, as bytes.
pub(super) struct Hives<'m> {
    /// The list's head.
    pub head: VirtualAddress,
    /// Where the links lie in a hive.
    links: Vec<u64>,
    hives: Vec<View<'m>>,
}

impl<'m> Hives<'m> {
    /// Looks through the lists that start in the kernel's data for entries that lie in hives. The longest list is the one.
    pub fn find(scene: &Scene<'m>, data: &KernelData) -> Option<Self> {
        let mut best: Vec<(VirtualAddress, u64, Vec<VirtualAddress>)> = Vec::new();
        for ListHead { at: head, entries } in data.heads().iter().copied() {
            let Some(links) = entries.into_iter().flatten().find_map(|entry| links_in_hive(scene, entry)) else {
                continue;
            };
            let joined = list_both_ways(scene.space, head, MAX_HIVES, VirtualAddress::is_kernel);
            let is_hive =
                |entry: &VirtualAddress| signature(scene.space, entry.wrapping_sub(links)) == Some(HIVE_SIGNATURE);
            let hives: Vec<_> =
                joined.entries.iter().filter(|entry| is_hive(entry)).map(|entry| entry.wrapping_sub(links)).collect();
            if best.first().is_none_or(|(_, _, known)| known.len() < hives.len()) {
                best.clear();
            }
            if best.first().is_none_or(|(_, _, known)| known.len() == hives.len()) {
                best.push((head, links, hives));
            }
        }
        let (head, _, hives) = best.first()?.clone();
        let links = best.iter().map(|(_, links, _)| *links).collect();
        let hives = hives.into_iter().take(MAX_HIVES).map(|hive| View::read(scene.space, hive, WINDOW)).collect();
        Some(Self { head, links, hives })
    }
}

impl Hives<'_> {
    /// Whether the links of the list lie here in a hive.
    pub fn has_links(&self, at: u64) -> bool {
        self.links.contains(&at)
    }

    /// Whether versions of the format lie here: 3 to 6.
    pub fn has_versions(&self, at: u64) -> bool {
        let fits = self.hives.iter().map(|hive| Some((3..=6).contains(&get::<u32>(hive, at)?)));
        Tally::of(fits).judge(1, 75) == Judgement::Held
    }
}

impl Hives<'_> {
    /// Whether one of them has enough blocks that entries of another size cannot pass: with one or two, they can.
    pub fn are_large(&self, storage: u64) -> bool {
        self.hives.iter().any(|hive| is_large(hive, storage))
    }
}

fn is_large(hive: &View<'_>, storage: u64) -> bool {
    const BLOCKS: u32 = 4;
    get::<u32>(hive, storage).is_some_and(|length| length / 0x1000 >= BLOCKS)
}

/// The distinct forms of maps that builds have.
pub(super) fn forms(others: &[(u32, Symbols)]) -> Vec<(DualLayout, HmapEntryLayout)> {
    let mut forms: Vec<(DualLayout, HmapEntryLayout)> = Vec::new();
    for (_, symbols) in others {
        let form = DualLayout::resolve(symbols).and_then(|dual| Ok((dual, HmapEntryLayout::resolve(symbols)?)));
        if let Ok(form) = form
            && !forms.iter().any(|known| format!("{known:?}") == format!("{form:?}"))
        {
            forms.push(form);
        }
    }
    forms
}

fn signature(space: AddressSpace<'_>, at: VirtualAddress) -> Option<u32> {
    space.read_u32(at).ok()
}

/// How far behind the start of a hive this entry lies. `None`: it lies in none.
fn links_in_hive(scene: &Scene<'_>, entry: VirtualAddress) -> Option<u64> {
    let before = View::read(scene.space, entry.wrapping_sub(WINDOW), WINDOW);
    (8..WINDOW).step_by(8).find(|links| {
        let aligned = entry.wrapping_sub(*links).0 & 0xf == 0;
        aligned && WINDOW.checked_sub(*links).and_then(|at| get(&before, at)) == Some(HIVE_SIGNATURE)
    })
}

/// A value of a hive.
fn get<T: Stored>(hive: &View<'_>, offset: u64) -> Option<T> {
    T::decode(hive.bytes(offset, T::SIZE?).ok()?)
}

/// Whether the first blocks of a hive's stable storage at `storage` are those of bins, by these forms of the map.
fn leads_to_bin(
    ground: Ground<'_, '_>,
    hive: &View<'_>,
    storage: u64,
    dual: &DualLayout,
    entry: &HmapEntryLayout,
) -> Option<bool> {
    let space = ground.scene.space;
    let length: u32 = get(hive, storage.checked_add(dual.length.offset)?)?;
    let map: VirtualAddress = get(hive, storage.checked_add(dual.map.offset)?)?;
    let volatile: u32 = get(hive, storage.checked_add(dual.size)?.checked_add(dual.length.offset)?)?;
    if length == 0 || length & 0xfff != 0 || volatile & 0xfff != 0 || !map.is_kernel() {
        return Some(false);
    }
    let table = space.read_pointer(map).ok()?;
    // Where there is one table only, the directory is a field of the hive.
    let small: VirtualAddress = get(hive, storage.checked_add(dual.small_dir.offset)?)?;
    let alone = hive.address().wrapping_add(storage).wrapping_add(dual.small_dir.offset);
    if map == alone && table != small {
        return Some(false);
    }
    if !table.is_kernel() {
        return Some(false);
    }
    let registry = || ground.named("registry").next().and_then(|registry| ground.space(registry));
    let magic = |at: VirtualAddress| -> Option<bool> {
        let space = if at.is_kernel() { space } else { registry()? };
        Some(space.read_array::<4>(at).ok()? == *b"hbin")
    };
    // Each block is the first of a bin, or the one after that before it.
    let mut before: Option<VirtualAddress> = None;
    for index in 0..u64::from(length / 0x1000).min(MAX_BLOCKS) {
        let own = table.wrapping_add(index.wrapping_mul(entry.size));
        let read = |field: crate::symbols::Field<u64>| space.read_u64(own.wrapping_add(field.offset)).ok();
        let block = match (entry.block_offset, entry.permanent_bin, entry.block_address) {
            (Some(offset), Some(bin), _) => {
                let mut at = read(bin)? & !0xf;
                if let Some(temporary) = entry.temporary_bin.filter(|_| at == 0) {
                    at = read(temporary)? & !0xf;
                }
                VirtualAddress(at).wrapping_add(read(offset)?)
            }
            (_, _, Some(block)) => VirtualAddress(read(block)? & !0xf),
            _ => return Some(false),
        };
        let follows = before.is_some_and(|before| before.wrapping_add(0x1000) == block);
        if !follows && !magic(block)? {
            return Some(false);
        }
        before = Some(block);
    }
    before.map(|_| true)
}

/// Judges one form of maps, with the storage at `storage`.
fn maps(
    ground: Ground<'_, '_>,
    hives: &Hives<'_>,
    (dual, entry): &(DualLayout, HmapEntryLayout),
    storage: u64,
) -> Judgement {
    let large = hives.are_large(storage);
    let telling = hives.hives.iter().filter(|hive| !large || is_large(hive, storage));
    Tally::of(telling.map(|hive| leads_to_bin(ground, hive, storage, dual, entry))).judge(1, 60)
}

/// Fields of `_CMHIVE`, and where its storage lies.
pub(super) fn infer(
    ground: Ground<'_, '_>,
    hives: &Hives<'_>,
    neighbours: &Neighbours<'_>,
    forms: &[(DualLayout, HmapEntryLayout)],
) -> (Option<u64>, Report, TypeInfo) {
    let mut placer = Placer::new("_CMHIVE", neighbours);
    let space = ground.scene.space;
    let search = |from: u64, to: u64, step: usize, fits: &dyn Fn(&View<'_>, u64) -> Option<bool>| -> Vec<u64> {
        let held = |offset: &u64| Tally::of(hives.hives.iter().map(|hive| fits(hive, *offset))).judge(1, 75);
        (from..to).step_by(step).filter(|offset| held(offset) == Judgement::Held).collect()
    };
    placer.prove(&["Hive.Signature"], 4, &[0]);
    placer.prove(&["HiveList"], 16, &hives.links);
    let base_block = search(8, 0x200, 8, &|hive, offset| {
        let at: VirtualAddress = get(hive, offset)?;
        if !at.is_kernel() {
            return Some(false);
        }
        Some(space.read_array::<4>(at).ok()? == *b"regf")
    });
    placer.prove(&["Hive.BaseBlock"], 8, &base_block);
    let is_storage = |offset: &u64| forms.iter().any(|form| maps(ground, hives, form, *offset) == Judgement::Held);
    let storage: Vec<u64> = (0x40..0xc00).step_by(8).filter(is_storage).collect();
    let storage = placer.prove(&["Hive.Storage"], 0, &storage);
    let version = search(0x20, 0x200, 4, &|hive, offset| Some((3..=6).contains(&get::<u32>(hive, offset)?)));
    if placer.prove(&["Hive.Version"], 4, &version).is_none() {
        placer.dropped.push("Hive.Version");
    }
    let root = search(0x100, WINDOW.saturating_sub(16), 8, &|hive, offset| {
        let text = ground.scene.text(space, hive.address().wrapping_add(offset))?;
        Some(text.to_ascii_uppercase().starts_with("\\REGISTRY\\"))
    });
    placer.prove(&["HiveRootPath"], 16, &root);
    let file = search(0x100, WINDOW.saturating_sub(16), 8, &|hive, offset| {
        let text = ground.scene.text(space, hive.address().wrapping_add(offset));
        // Hives that are in no file have none.
        let text = text.filter(|text| !text.is_empty())?.to_ascii_uppercase();
        Some(["\\SYSTEMROOT\\", "\\??\\", "\\DEVICE\\"].iter().any(|start| text.starts_with(start)))
    });
    for path in [&["FileFullPath"], &["FileUserName"]] {
        // Both are names of files: each is where other builds have it, next to the other and to the root's path.
        let first = path.first().copied().unwrap_or_default();
        let beside = placer.beside(path, "HiveRootPath", 0x20);
        placer.place(first, beside, |info| file.contains(&info.offset));
    }
    let (report, info) = placer.finish();
    (storage, report, info)
}

/// `_DUAL` and `_HMAP_ENTRY` of a candidate, once the storage is known.
pub(super) fn judge(ground: Ground<'_, '_>, hives: &Hives<'_>, storage: u64, symbols: &Symbols) -> Option<Judgement> {
    let form = (DualLayout::resolve(symbols).ok()?, HmapEntryLayout::resolve(symbols).ok()?);
    Some(maps(ground, hives, &form, storage))
}

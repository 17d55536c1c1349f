//! `_HANDLE_TABLE` and its entries.

use super::ground::Ground;
use super::judge::{Judgement, Tally};
use super::scene::Sample;
use crate::VirtualAddress;
use crate::kernel::layouts::{FreeListLayout, HandleEntryLayout, HandleTableLayout};
use crate::symbols::{Bits, Symbols};

/// Processes whose handles are looked at.
const PROCESSES: usize = 16;
/// Access that no object grants: the reserved bits and those of generic rights, which are mapped before a handle is made.
const NO_ACCESS: u64 = 0xfe00_0000;

/// The handle tables of some processes.
fn tables<'a, 'm>(ground: Ground<'a, 'm>) -> impl Iterator<Item = (&'a Sample<'m>, VirtualAddress)> {
    let table = move |sample: &'a Sample<'m>| Some((sample, ground.pointer(sample, ground.known.handle_table)?));
    ground.others().filter_map(table).filter(|(_, table)| table.is_kernel()).take(PROCESSES)
}

/// The first page of entries of a table with this code.
fn first_page(ground: Ground<'_, '_>, code: u64) -> Option<[u8; 4096]> {
    let mut at = VirtualAddress(code & !7);
    for _ in 0..code & 3 {
        at = ground.scene.space.read_pointer(at).ok()?;
    }
    at.is_kernel().then(|| ground.scene.space.read_array(at).ok())?
}

/// `_HANDLE_TABLE`, `_HANDLE_TABLE_FREE_LIST`, `_HANDLE_TABLE_ENTRY`: entries that lead to headers of objects, as many as the
/// table counts.
pub(super) fn judge(ground: Ground<'_, '_>, symbols: &Symbols) -> Option<Judgement> {
    let table = HandleTableLayout::resolve(symbols).ok()?;
    let entry = HandleEntryLayout::resolve(symbols).ok()?;
    let count = match (table.count, table.free_lists) {
        (Some(count), _) => Some(count.offset),
        (None, Some(lists)) => {
            FreeListLayout::resolve(symbols).ok().map(|list| lists.offset.saturating_add(list.count.offset))
        }
        (None, None) => None,
    };
    let size = usize::try_from(entry.size).ok().filter(|size| matches!(size, 8..=64))?;
    let mut few = Tally::default();
    let mut objects = Tally::default();
    for (_, at) in tables(ground) {
        let code = ground.scene.space.read_u64(at.wrapping_add(table.code.offset)).ok();
        let Some(code) = code.filter(|code| code & 7 <= 2 && VirtualAddress(*code).is_kernel()) else {
            objects.add(Some(false));
            continue;
        };
        let Some(page) = first_page(ground, code) else { continue };
        let mut used = 0u32;
        // The first entry is the table's own.
        for bytes in page.chunks_exact(size).skip(1) {
            let Some((object, access)) = decode(&entry, bytes) else { continue };
            if bytes.iter().take(8).all(|byte| *byte == 0) || object.is_null() {
                continue;
            }
            let counts: Option<u64> = object.is_kernel().then(|| ground.scene.space.read_u64(object).ok()).flatten();
            // A free entry has a number in place of an object, or a link.
            if counts.is_none() && !object.is_kernel() {
                continue;
            }
            used = used.saturating_add(1);
            // PointerCount comes first in every header, and is small even where it counts references handed out before.
            objects.add(Some(
                object.0 & 0xf == 0
                    && access & NO_ACCESS == 0
                    && counts.is_some_and(|count| count != 0 && count >> 32 == 0),
            ));
        }
        if code & 3 == 0
            && let Some(offset) = count
        {
            let counted = ground.scene.space.read_u32(at.wrapping_add(offset)).ok();
            few.add(counted.map(|counted| counted == used));
        }
    }
    match objects.judge(4, 80) {
        Judgement::Held if count.is_some() => Some(few.judge(2, 60)),
        other => Some(other),
    }
}

/// Object and access of an entry.
fn decode(layout: &HandleEntryLayout, bytes: &[u8]) -> Option<(VirtualAddress, u64)> {
    let number = |offset: u64, size: u64| -> Option<u64> {
        let from = usize::try_from(offset).ok()?;
        let bytes = bytes.get(from..from.checked_add(usize::try_from(size).ok()?)?)?;
        let mut whole = [0u8; 8];
        for (to, from) in whole.iter_mut().zip(bytes) {
            *to = *from;
        }
        Some(u64::from_le_bytes(whole))
    };
    let of = |bits: Bits| Some(bits.of(number(bits.storage.offset, bits.size)?));
    let object = match (layout.object_bits, layout.object) {
        (Some(bits), _) => {
            let storage = number(bits.storage.offset, bits.size)?;
            let shift = u32::from(bits.position).saturating_sub(4);
            VirtualAddress(storage.cast_signed().wrapping_shr(shift).cast_unsigned() & !0xf)
        }
        (None, Some(object)) => VirtualAddress(number(object.offset, 8)? & !7),
        (None, None) => return None,
    };
    let access = match (layout.access_bits, layout.access) {
        (Some(bits), _) => of(bits)?,
        (None, Some(access)) => number(access.offset, 4)?,
        (None, None) => return None,
    };
    Some((object, access))
}

//! Lists of subkeys (`lf`, `lh`, `li`, and `ri`, a list of lists) and of values.

use super::cells::{Backing, CellIndex};
use super::faults::Faults;
use super::name::Hint;
use super::node::{Fixed, KeyNode};
use crate::Absent;
use std::collections::HashSet;

/// A key has no more subkeys, or values, than this: the largest known lists (`Classes`, component stores) have a few hundred
/// thousand, and without a cap hostile counts cost gigabytes.
const MAX_ITEMS: usize = 1 << 21;

/// One subkey as its list has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reference {
    pub cell: CellIndex,
    pub hint: Hint,
}

/// The subkeys of a key, stable ones first.
pub(super) fn subkeys(hive: &Backing<'_>, node: &KeyNode, faults: &mut Faults) -> Vec<Reference> {
    let mut references = Vec::new();
    if node.is_exit() {
        faults.push(Absent::not_collected("another hive is mounted here; its keys are found by their own path"));
        return references;
    }
    let mut seen = Seen::default();
    for (count, list, volatile) in node
        .counts
        .into_iter()
        .zip(node.lists)
        .zip([false, true])
        .map(|((count, list), volatile)| (count, list, volatile))
    {
        // What a file says of volatile subkeys is left over from when it was in memory. The kernel sets the number to zero when
        // it loads the hive; a number without a list, or without a volatile storage, means the same.
        let left_over = list == CellIndex::NIL || hive.length(CellIndex(1 << 31)) == Ok(0);
        if count == 0 || volatile && left_over {
            continue;
        }
        let before = references.len();
        walk(hive, list, &mut seen, &mut references, faults);
        let found = references.len().saturating_sub(before);
        if u32::try_from(found).ok() != Some(count) {
            faults.push(Absent::unparsable(format!(
                "cell {}: the key counts {count} subkeys, and {found} are in its list at {list}",
                node.cell.index
            )));
        }
    }
    references
}

/// What a walk over lists has met.
#[derive(Default)]
struct Seen {
    lists: HashSet<CellIndex>,
    keys: HashSet<CellIndex>,
}

/// Goes through one list, and the lists in it. A list or key that was met before is passed over: it is in two places, and
/// only the first can be right.
fn walk(hive: &Backing<'_>, top: CellIndex, seen: &mut Seen, references: &mut Vec<Reference>, faults: &mut Faults) {
    let mut stack = vec![top];
    while let Some(index) = stack.pop() {
        if !seen.lists.insert(index) {
            faults
                .push(Absent::unparsable(format!("cell {index}: this list of subkeys is in itself, or in two places")));
            continue;
        }
        let read = || {
            let cell = hive.cell(index)?;
            Ok::<_, Absent>((cell, Fixed(hive.bytes(cell, 0, 4)?)))
        };
        let (cell, head) = match read() {
            Ok(read) => read,
            Err(why) => {
                faults.push(why);
                continue;
            }
        };
        let count = u32::from(head.u16(2));
        let mut add = |cell: u32, hint: Hint, faults: &mut Faults| {
            let cell = CellIndex(cell);
            if !seen.keys.insert(cell) {
                faults.push(Absent::unparsable(format!("cell {cell}: this key is twice in a list of subkeys")));
            } else if references.len() < MAX_ITEMS {
                references.push(Reference { cell, hint });
            } else {
                faults.push(Absent::unparsable(format!("more than {MAX_ITEMS} subkeys")));
            }
        };
        match head.0.first_chunk() {
            Some(b"lf") => {
                for [a, b, c, d, hint @ ..] in hive.elements::<8>(cell, 4, count, faults) {
                    add(u32::from_le_bytes([a, b, c, d]), Hint::Start(hint), faults);
                }
            }
            Some(b"lh") => {
                for [a, b, c, d, hint @ ..] in hive.elements::<8>(cell, 4, count, faults) {
                    add(u32::from_le_bytes([a, b, c, d]), Hint::Hash(u32::from_le_bytes(hint)), faults);
                }
            }
            Some(b"li") => {
                for element in hive.elements::<4>(cell, 4, count, faults) {
                    add(u32::from_le_bytes(element), Hint::None, faults);
                }
            }
            Some(b"ri") => {
                let lists = hive.elements::<4>(cell, 4, count, faults);
                // The first of them is to be popped first.
                stack.extend(lists.into_iter().rev().map(|list| CellIndex(u32::from_le_bytes(list))));
            }
            _ => faults.push(Absent::unparsable(format!(
                "cell {index}: no list of subkeys, its signature is {:#06x}",
                head.u16(0)
            ))),
        }
    }
}

/// The cells of a key's values.
pub(super) fn values(hive: &Backing<'_>, node: &KeyNode, faults: &mut Faults) -> Vec<CellIndex> {
    if node.is_exit() || node.value_count == 0 {
        return Vec::new();
    }
    let cell = match hive.cell(node.value_list) {
        Ok(cell) => cell,
        Err(why) => {
            faults.push(why);
            return Vec::new();
        }
    };
    let cap = u32::try_from(MAX_ITEMS).unwrap_or(u32::MAX);
    if node.value_count > cap {
        faults.push(Absent::unparsable(format!("{} values; {cap} are read", node.value_count)));
    }
    let mut seen = HashSet::new();
    let mut cells = Vec::new();
    for element in hive.elements::<4>(cell, 0, node.value_count.min(cap), faults) {
        let index = CellIndex(u32::from_le_bytes(element));
        if seen.insert(index) {
            cells.push(index);
        } else {
            faults.push(Absent::unparsable(format!("cell {index}: this value is twice in a list of values")));
        }
    }
    cells
}

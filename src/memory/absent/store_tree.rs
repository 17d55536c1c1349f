//! The B+ trees of the compressed store: from a 32-bit key to a 32-bit value. Nodes are pages of kernel memory.
//!
//! A node has its number of entries (16 bits), its level and whether it is a leaf (8 bits each), from 8 on the address of the
//! leftmost child, from 0x10 on its entries: key and value of 32 bits in a leaf, key and address of a child in 16 bytes above.

use crate::VirtualAddress;
use crate::addr::PAGE_BYTES;
use crate::memory::AddressSpace;
use crate::memory::fault::StoreFault;
use std::collections::HashSet;

/// Entries that a leaf has room for.
const MAX_VALUES: usize = 0x1fe;
/// Entries that a node above the leaves has room for.
const MAX_CHILDREN: usize = 0xff;
/// Three levels hold the pages of 4 TiB. A deeper tree is a ring, or was made to keep the reader busy.
const MAX_DEPTH: usize = 8;
/// Where entries begin.
const ENTRIES: usize = 0x10;

/// Looks up `key` in the tree below `root`. `None`: the tree does not have it.
///
/// # Errors
/// A node on the way cannot be read, or is none.
pub(super) fn look_up(space: AddressSpace<'_>, root: VirtualAddress, key: u32) -> Result<Option<u32>, StoreFault> {
    let mut node = root;
    for _ in 0..MAX_DEPTH {
        if node.page_offset() != 0 || !node.is_kernel() {
            return Err(StoreFault::Torn("a tree leads to what is no page"));
        }
        let bytes: [u8; PAGE_BYTES] =
            space.read_array(node).map_err(|fault| StoreFault::of("a node of a tree", &fault))?;
        match step(&bytes, key).ok_or(StoreFault::Torn("a node of a tree contradicts itself"))? {
            Step::Value(value) => return Ok(value),
            Step::Child(child) => node = child,
        }
    }
    Err(StoreFault::Torn("a tree is too deep"))
}

/// Every value of the tree below `root`, at most `most`. What cannot be read, or is no node, is passed over.
pub(super) fn values(space: AddressSpace<'_>, root: VirtualAddress, most: usize) -> Vec<u32> {
    let mut found = Vec::new();
    let mut seen = HashSet::from([root]);
    let mut left = vec![(root, 1usize)];
    while let Some((at, depth)) = left.pop() {
        if at.page_offset() != 0 || !at.is_kernel() || found.len() >= most {
            continue;
        }
        let Ok(bytes) = space.read_array::<PAGE_BYTES>(at) else { continue };
        match node(&bytes) {
            Some(Node::Leaf(entries)) => {
                let room = most.saturating_sub(found.len());
                found.extend(entries.iter().filter_map(|entry| u32_in(entry, 4)).take(room));
            }
            Some(Node::Inner(leftmost, entries)) if depth < MAX_DEPTH => {
                let children = entries.iter().filter_map(|entry| u64_in(entry, 8)).chain([leftmost]);
                for child in children.map(VirtualAddress) {
                    // A ring, or a node below several.
                    if seen.len() <= most && seen.insert(child) {
                        left.push((child, depth.saturating_add(1)));
                    }
                }
            }
            _ => {}
        }
    }
    found
}

enum Step {
    Value(Option<u32>),
    Child(VirtualAddress),
}

/// One node.
enum Node<'n> {
    Leaf(&'n [[u8; 8]]),
    /// With the leftmost child.
    Inner(u64, &'n [[u8; 16]]),
}

fn u32_in(entry: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*entry.get(at..)?.first_chunk()?))
}

fn u64_in(entry: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*entry.get(at..)?.first_chunk()?))
}

/// Takes a node apart. `None`: it is none.
fn node(node: &[u8; PAGE_BYTES]) -> Option<Node<'_>> {
    let [low, high, _, leaf, ..] = *node;
    let count = usize::from(u16::from_le_bytes([low, high]));
    let entries = node.get(ENTRIES..)?;
    Some(if leaf != 0 {
        Node::Leaf(entries.as_chunks::<8>().0.get(..count).filter(|_| count <= MAX_VALUES)?)
    } else {
        Node::Inner(u64_in(node, 8)?, entries.as_chunks::<16>().0.get(..count).filter(|_| count <= MAX_CHILDREN)?)
    })
}

/// Searches one node. `None`: it is none.
fn step(bytes: &[u8; PAGE_BYTES], key: u32) -> Option<Step> {
    Some(match node(bytes)? {
        Node::Leaf(entries) => {
            let keys: Vec<u32> = entries.iter().filter_map(|entry| u32_in(entry, 0)).collect();
            Step::Value(match position(&keys, key)? {
                Ok(found) => Some(u32_in(entries.get(found)?, 4)?),
                Err(_) => None,
            })
        }
        Node::Inner(leftmost, entries) => {
            let keys: Vec<u32> = entries.iter().filter_map(|entry| u32_in(entry, 0)).collect();
            // The child of the last key that is not greater; left of the first, the leftmost.
            let behind = position(&keys, key)?.map_or_else(|at| at, |at| at.saturating_add(1));
            let child = match behind.checked_sub(1) {
                Some(last) => u64_in(entries.get(last)?, 8)?,
                None => leftmost,
            };
            Step::Child(VirtualAddress(child))
        }
    })
}

/// Where a key stands, or would. `None`: the keys do not rise, as those of a node do.
fn position(keys: &[u32], key: u32) -> Option<Result<usize, usize>> {
    keys.is_sorted_by(|a, b| a < b).then(|| keys.binary_search(&key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(leaf: bool, leftmost: u64, entries: &[(u32, u64)]) -> [u8; 4096] {
        let mut node = [0u8; 4096];
        node[..2].copy_from_slice(&(entries.len() as u16).to_le_bytes());
        node[3] = u8::from(leaf);
        node[8..16].copy_from_slice(&leftmost.to_le_bytes());
        for (index, (key, value)) in entries.iter().enumerate() {
            let at = ENTRIES + index * if leaf { 8 } else { 16 };
            node[at..at + 4].copy_from_slice(&key.to_le_bytes());
            if leaf {
                node[at + 4..at + 8].copy_from_slice(&(*value as u32).to_le_bytes());
            } else {
                node[at + 8..at + 16].copy_from_slice(&value.to_le_bytes());
            }
        }
        node
    }

    fn value(node: &[u8; 4096], key: u32) -> Option<Option<u32>> {
        match step(node, key)? {
            Step::Value(value) => Some(value),
            Step::Child(_) => None,
        }
    }

    #[test]
    fn leaves_have_values_and_inner_nodes_children() {
        let leaf = node(true, 0, &[(3, 30), (7, 70), (9, 90)]);
        assert_eq!(value(&leaf, 7), Some(Some(70)));
        assert_eq!(value(&leaf, 8), Some(None));
        let inner = node(false, 0x1000, &[(10, 0x2000), (20, 0x3000)]);
        for (key, child) in [(9, 0x1000), (10, 0x2000), (19, 0x2000), (20, 0x3000), (u32::MAX, 0x3000)] {
            let Some(Step::Child(VirtualAddress(found))) = step(&inner, key) else { panic!() };
            assert_eq!(found, child, "{key}");
        }
    }

    #[test]
    fn what_no_node_is() {
        assert!(value(&node(true, 0, &[(3, 30), (3, 31)]), 3).is_none(), "equal keys");
        assert!(value(&node(true, 0, &[(3, 30), (2, 20)]), 3).is_none(), "falling keys");
        let mut many = node(true, 0, &[]);
        many[..2].copy_from_slice(&0x1ffu16.to_le_bytes());
        assert!(value(&many, 0).is_none(), "more entries than there is room for");
        assert!(step(&[0xff; 4096], 0).is_none());
    }
}

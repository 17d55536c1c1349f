//! The trees of the compressed store: nodes of a page with a count, a level and a mark for leaves; keys and values of 32 bits
//! (Omar Sardar and Dimiter Andonov, "Finding Evil in Windows 10 Compressed Memory", Mandiant 2019).

use crate::machine::Machine;
use crate::physical::PAGE;
use std::collections::BTreeMap;

/// A tree that was written.
#[derive(Clone, Debug)]
pub struct Tree {
    /// Address of its root.
    pub root: u64,
    /// All its nodes.
    pub nodes: Vec<u64>,
}

impl Machine {
    /// Writes a tree with so many entries in a leaf and in an inner node.
    ///
    /// # Panics
    /// When there is nothing to write.
    pub(crate) fn forge_tree(&mut self, entries: &BTreeMap<u32, u32>, fan: (usize, usize)) -> Tree {
        let all: Vec<(u32, u32)> = entries.iter().map(|(&k, &v)| (k, v)).collect();
        let mut nodes = Vec::new();
        // First key and address of each node of the level below.
        let mut below: Vec<(u32, u64)> = Vec::new();
        for part in parts(&all, fan.0) {
            let at = self.node(part.len() as u16, 0, true, 0);
            for (n, (key, value)) in (0..).zip(part) {
                self.write_u64(at + 0x10 + n * 8, u64::from(*value) << 32 | u64::from(*key));
            }
            below.push((part[0].0, at));
            nodes.push(at);
        }
        let mut level = 1;
        while below.len() > 1 {
            let mut above = Vec::new();
            for part in parts(&below, fan.1 + 1) {
                let at = self.node(part.len() as u16 - 1, level, false, part[0].1);
                for (n, (key, child)) in (0..).zip(&part[1..]) {
                    self.write_u64(at + 0x10 + n * 16, u64::from(*key));
                    self.write_u64(at + 0x18 + n * 16, *child);
                }
                above.push((part[0].0, at));
                nodes.push(at);
            }
            below = above;
            level += 1;
        }
        Tree { root: below[0].1, nodes }
    }

    /// An empty node.
    pub(crate) fn node(&mut self, count: u16, level: u8, leaf: bool, left: u64) -> u64 {
        let at = self.big_pool(false, PAGE);
        let head = u64::from(count) | u64::from(level) << 16 | u64::from(leaf) << 24;
        self.write_u64(at, head);
        self.write_u64(at + 8, left);
        at
    }
}

/// Pieces of about `size`, none smaller than half of it.
fn parts<T>(all: &[T], size: usize) -> impl Iterator<Item = &[T]> {
    let count = all.len().div_ceil(size).max(1);
    (0..count).map(move |n| &all[all.len() * n / count..all.len() * (n + 1) / count])
}

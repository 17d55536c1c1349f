//! The tree of virtual address descriptors.

use crate::builds::Build;
use crate::machine::Machine;

/// A range of user memory that a descriptor covers.
#[derive(Clone, Debug)]
pub struct Region {
    /// First address, on a page.
    pub start: u64,
    /// Whole pages.
    pub bytes: u64,
    /// `Protection` (an index of `MmProtectToValue`: 1 read, 4 read-write, 6 execute-read-write, 7 execute-write-copy).
    pub protection: u8,
    /// The mapped file: (file object or 0, control area); none: private memory.
    pub file: Option<(u64, u64)>,
    /// Whether the file is mapped as an image.
    pub image: bool,
}

impl Machine {
    /// Creates the tree of a process and hangs it into `VadRoot`.
    pub fn forge_vads(&mut self, process: u64, mut regions: Vec<Region>) {
        regions.sort_by_key(|r| r.start);
        let nodes: Vec<u64> = regions.iter().map(|r| self.forge_vad(process, r)).collect();
        let root = process + self.offset("_EPROCESS", "VadRoot");
        let old = self.build() <= Build::W8_9200;
        let Some(top) = self.join_vads(&nodes, if old { root } else { 0 }) else { return };
        if old {
            // The table's own node is a sentinel; the tree is its right child.
            let kind = "_MM_AVL_TABLE";
            self.put(root, kind, "BalancedRoot.RightChild", top);
            self.put(root, kind, "BalancedRoot.u1.Parent", root);
            self.put(root, kind, "NodeHint", nodes[0]);
            self.put(root, kind, "NodeFreeHint", nodes[nodes.len() - 1]);
            self.put(root, kind, "NumberGenericTableElements", nodes.len() as u64);
            self.put(root, kind, "DepthOfTree", u64::from(usize::BITS - nodes.len().leading_zeros()));
        } else {
            self.write_u64(root, top);
            self.put(process, "_EPROCESS", "VadHint", nodes[0]);
            self.maybe(process, "_EPROCESS", "VadCount", nodes.len() as u64);
        }
    }

    /// Joins sorted nodes into a balanced tree and says which is on top.
    fn join_vads(&mut self, nodes: &[u64], parent: u64) -> Option<u64> {
        let middle = nodes.len() / 2;
        let &top = nodes.get(middle)?;
        let (left, right) = (self.join_vads(&nodes[..middle], top), self.join_vads(&nodes[middle + 1..], top));
        let paths = match self.build() {
            Build::W7_7601 => ["LeftChild", "RightChild", "u1.Parent"],
            Build::W8_9200 => ["VadNode.LeftChild", "VadNode.RightChild", "VadNode.u1.Parent"],
            _ => ["VadNode.Left", "VadNode.Right", "VadNode.ParentValue"],
        };
        for (path, to) in paths.into_iter().zip([left.unwrap_or(0), right.unwrap_or(0), parent]) {
            self.put(top, "_MMVAD_SHORT", path, to);
        }
        Some(top)
    }

    fn forge_vad(&mut self, process: u64, region: &Region) -> u64 {
        let short = "_MMVAD_SHORT";
        let (kind, tag) = if region.file.is_some() { ("_MMVAD", b"Vad ") } else { (short, b"VadS") };
        let node = self.pool(false, tag, self.layout.size(kind));
        let (first, last) = (region.start >> 12, (region.start + region.bytes - 1) >> 12);
        self.put(node, short, "StartingVpn", first);
        self.put(node, short, "EndingVpn", last);
        self.maybe(node, short, "StartingVpnHigh", first >> 32);
        self.maybe(node, short, "EndingVpnHigh", last >> 32);
        self.put(node, short, "u.VadFlags.Protection", u64::from(region.protection));
        let pages = region.bytes >> 12;
        let commit = if region.file.is_some() { 4 } else { pages };
        if self.build() == Build::W7_7601 {
            self.put(node, short, "u.VadFlags.CommitCharge", commit);
            self.put(node, short, "u.VadFlags.MemCommit", u64::from(region.file.is_none()));
        } else {
            self.put(node, short, "u1.VadFlags1.CommitCharge", commit);
            self.put(node, short, "u1.VadFlags1.MemCommit", u64::from(region.file.is_none()));
        }
        let Some((file, area)) = region.file else {
            self.put(node, short, "u.VadFlags.PrivateMemory", 1);
            return node;
        };
        // VadImageMap, VadNone (`_MI_VAD_TYPE`).
        self.put(node, short, "u.VadFlags.VadType", if region.image { 2 } else { 0 });
        self.put(node, kind, "Subsection", area + self.layout.size("_CONTROL_AREA"));
        self.maybe(node, kind, "VadsProcess", process);
        let segment = self.read_u64(area + self.offset("_CONTROL_AREA", "Segment"));
        let (prototypes, count) = if self.plan.pages.sections {
            let first = self.read_u64(segment + self.offset("_SEGMENT", "PrototypePte"));
            let subsection = area + self.layout.size("_CONTROL_AREA");
            let count = self.read_u64(subsection + self.offset("_SUBSECTION", "PtesInSubsection")) & 0xffff_ffff;
            // An image's subsections share an array; one of a data file has an array of its own.
            (first, if region.image { pages } else { count })
        } else {
            (segment + self.layout.size("_SEGMENT"), pages.min(16))
        };
        self.put(node, kind, "FirstPrototypePte", prototypes);
        self.put(node, kind, "LastContiguousPte", prototypes + (count - 1) * 8);
        if let Some(links) = self.layout.find(kind, "ViewLinks") {
            self.link(&[node + links.offset]);
        }
        if file != 0 {
            self.maybe(node, kind, "FileObject", file);
        }
        node
    }
}

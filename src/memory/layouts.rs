//! The kernel's structures that tell where pages are, with the C names of their fields.

use crate::VirtualAddress;
use crate::symbols::layout::layout;
use crate::symbols::{Bits, Embedded, Field, Natural};

layout! {
    /// `_MMVAD_SHORT`: one range of addresses, a node of the tree.
    pub struct VadLayout = "_MMVAD_SHORT" {
        /// Lower ranges.
        left: Field<VirtualAddress> = "VadNode.Left" | "VadNode.LeftChild" | "LeftChild",
        /// Higher ranges.
        right: Field<VirtualAddress> = "VadNode.Right" | "VadNode.RightChild" | "RightChild",
        /// The range above it in the tree, with marks in the low bits.
        parent: Option<Field<Natural>> = "VadNode.ParentValue" | "VadNode.u1.Parent" | "u1.Parent",
        /// First page number.
        start: Field<Natural> = "StartingVpn",
        /// Last page number.
        end: Field<Natural> = "EndingVpn",
        /// Bits 32 to 39 of the first page number (8.1 on).
        start_high: Option<Field<u8>> = "StartingVpnHigh",
        /// Bits 32 to 39 of the last page number (8.1 on).
        end_high: Option<Field<u8>> = "EndingVpnHigh",
        /// `_MI_VAD_TYPE`.
        kind: Bits = "u.VadFlags.VadType",
        /// Protection it was made with.
        protection: Bits = "u.VadFlags.Protection",
        /// No section behind it.
        private: Bits = "u.VadFlags.PrivateMemory",
        /// Pages committed.
        commit: Option<Bits> = "u1.VadFlags1.CommitCharge" | "u.VadFlags.CommitCharge",
    }
}

layout! {
    /// `_MMVAD`: a range with a section behind it. The short form lies at its start.
    pub struct MappedVadLayout = "_MMVAD" {
        /// First subsection.
        subsection: Field<VirtualAddress> = "Subsection",
        /// Prototype entry of the first page.
        first_prototype: Option<Field<VirtualAddress>> = "FirstPrototypePte",
        /// Last of the prototype entries that lie together with it.
        last_prototype: Option<Field<VirtualAddress>> = "LastContiguousPte",
    }
}

layout! {
    /// `_SUBSECTION`: a part of a section, with the prototype entries of its pages.
    pub struct SubsectionLayout = "_SUBSECTION" {
        /// Control area.
        control_area: Field<VirtualAddress> = "ControlArea",
        /// Prototype entry of its first page.
        base: Option<Field<VirtualAddress>> = "SubsectionBase",
        /// The part behind it.
        next: Option<Field<VirtualAddress>> = "NextSubsection",
        /// Number of its pages.
        pages: Option<Field<u32>> = "PtesInSubsection",
    }
}

layout! {
    /// `_CONTROL_AREA`: the section of one file, as data or as an image.
    pub struct ControlAreaLayout = "_CONTROL_AREA" {
        /// File, as a fast reference.
        file: Field<Natural> = "FilePointer",
    }
}

layout! {
    /// `_MMPTE_SOFTWARE`: an entry whose page is in a page file.
    pub struct SoftwarePteLayout = "_MMPTE_SOFTWARE" {
        /// Number of the page file.
        number: Bits = "PageFileLow",
        /// Number of the page in it.
        index: Bits = "PageFileHigh",
    }
}

layout! {
    /// `_MMPAGING_FILE`: one page file.
    pub struct PagingFileLayout = "_MMPAGING_FILE" {
        /// Its path.
        path: Option<Field<Embedded>> = "PageFileName",
        /// Its number.
        number: Bits = "PageFileNumber",
        /// It is the compressed store, and no file (10 on).
        store: Option<Bits> = "VirtualStorePagefile",
    }
}

layout! {
    /// `_MI_PARTITION` (10 1607 on): what the memory manager keeps of one partition.
    pub struct PartitionLayout = "_MI_PARTITION" {
        /// The visible part.
        visible: Field<Embedded> = "Vp",
    }
}

layout! {
    /// `_MI_VISIBLE_PARTITION` (10 1607 on).
    pub struct VisiblePartitionLayout = "_MI_VISIBLE_PARTITION" {
        /// How many page files there are.
        count: Field<u32> = "NumberOfPagingFiles",
        /// Pointers to them.
        files: Field<Embedded> = "PagingFile",
    }
}

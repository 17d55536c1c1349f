//! Where pages are that no hardware entry maps, as plain data.

/// Where a page is, as its page-table entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paged {
    /// In memory.
    Present,
    /// In the page file, whose bytes nobody has.
    Out,
    /// The same, at a place whose number has the bits of the mask for invalid entries.
    OutSwizzled,
    /// In memory, on the standby or modified list: a transition entry.
    Transition,
    /// Nowhere yet: zero when first touched.
    DemandZero,
    /// Shared: a prototype entry, and that is valid.
    Prototype,
    /// Shared: a prototype entry, and that is a transition entry.
    PrototypeTransition,
    /// Shared: only the address descriptor knows the prototype.
    VadPrototype,
    /// No entry at all.
    Unmapped,
    /// In a page file that the machine comes with ([`PagePlan::files`]).
    Filed(PagingFile),
    /// In the compressed store ([`PagePlan::store`]).
    Stored(Form),
    /// In a section ([`PagePlan::sections`]): how the process leads there, and what the section's own entry says.
    Section(Way, Held),
    /// The private copy of a section's page, in this state; the section itself has an older one, in memory.
    Copied(PrivateCopy),
}

/// Where the private copy of a section's page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrivateCopy {
    /// In memory.
    Present,
    /// On the standby or modified list.
    Transition,
    /// In a page file.
    Filed(PagingFile),
    /// In the compressed store.
    Stored(Form),
}

/// How a process' page-table entry leads to a page of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is valid (only where the section's entry is, too).
    Mapped,
    /// It has the address of the prototype entry.
    Named,
    /// It is zero: the address descriptor knows.
    Zero,
    /// It says that the address descriptor knows.
    LookUp,
}

/// What the prototype entry of a section's page holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// A frame in use.
    Valid,
    /// A frame on the standby or modified list.
    Transition,
    /// A place in a page file (sections without a file).
    Filed(PagingFile),
    /// A place in the virtual store (sections without a file).
    Stored(Form),
    /// The subsection: the page is only in its file.
    File,
    /// Nothing: the page was not built yet.
    NotBuilt,
    /// A second prototype entry, which leads back here: no kernel writes that.
    Ring,
}

/// A page file of the machine. Its number is its place in [`PagePlan::files`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PagingFile {
    /// `pagefile.sys`
    Page,
    /// `swapfile.sys`
    Swap,
    /// The virtual store, which has no file.
    Store,
}

impl PagingFile {
    /// The file's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Page => "pagefile.sys",
            Self::Swap => "swapfile.sys",
            Self::Store => "the virtual store",
        }
    }
}

/// How the store keeps a page. A page of zeros has no bytes at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Compressed, if that makes it smaller.
    Packed,
    /// As it is.
    Plain,
}

/// Page files, the compressed store and sections of a machine.
#[derive(Clone, Debug)]
pub struct PagePlan {
    /// Whether images and views of hives have sections with prototype entries for all their pages, as Windows keeps them. Off:
    /// control areas without any.
    pub sections: bool,
    /// Page files in the order of their numbers.
    pub files: Vec<PagingFile>,
    /// The compressed store; it needs [`PagingFile::Store`] among the files.
    pub store: Option<StorePlan>,
    /// State of the pages with prototype entries of views of data files and of sections without files.
    pub prototypes: Paged,
    /// So many pages of private memory of the first csrss ([`BULK`]) are in the compressed store.
    pub bulk: u64,
    /// What became of the views through which the process Registry has the hives.
    pub hive_views: HiveViews,
    /// The cache manager's views of hives' files, whose sections are so many bytes long at least (its arrays of views have levels by
    /// that length). None: it has none.
    pub hive_cache: Option<u64>,
    /// Whether hives say which of their pages were written to (`DirtyVector`, `UnreconciledVector`).
    pub hive_bitmaps: bool,
    /// Whether copies that tell lies stand where a reader lands that ignores the mask for invalid entries or takes the wrong page
    /// file.
    pub decoys: bool,
}

/// Where the pages of [`PagePlan::bulk`] begin, and whose they are.
pub const BULK: (u64, u64) = (452, 0x2_0000_0000);

impl Default for PagePlan {
    fn default() -> Self {
        Self {
            sections: false,
            files: Vec::new(),
            store: None,
            prototypes: Paged::Present,
            bulk: 0,
            hive_views: HiveViews::Kept,
            hive_cache: None,
            hive_bitmaps: true,
            decoys: true,
        }
    }
}

/// What became of the views through which the process Registry has the hives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HiveViews {
    /// They are there.
    Kept,
    /// Their page tables are overwritten.
    Torn,
    /// Their page tables are zero.
    Zeroed,
    /// The process' `DirectoryTableBase` leads to what is no page table.
    NoRoot,
    /// They were unmapped: no entries, no descriptors.
    Unmapped,
    /// Their page tables are overwritten, and so is the list of the section's parts.
    TornParts,
}

/// The compressed store.
#[derive(Clone, Debug)]
pub struct StorePlan {
    /// Its index among all stores (0 to 1023).
    pub index: u32,
    /// Pages of no interest in it, so that its trees have levels.
    pub filler: u32,
    /// Entries in a leaf of its trees, and in an inner node; both at least 3.
    pub fan: (usize, usize),
    /// State of the pages that hold its regions.
    pub regions: Paged,
    /// What is wrong with it.
    pub damage: Vec<StoreDamage>,
}

impl Default for StorePlan {
    fn default() -> Self {
        Self { index: 35, filler: 120, fan: (12, 4), regions: Paged::Present, damage: Vec::new() }
    }
}

/// One thing that is wrong with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreDamage {
    /// The first child of the root of the tree of stores is the root.
    GlobalLoop,
    /// The first child of the root of the tree of pages is the root.
    PagesLoop,
    /// So many inner nodes, one below the other, stand above the root of the tree of pages.
    PagesDeep(u32),
    /// Every node of the tree of pages says that it has 65,535 entries.
    Counts,
    /// All records lie in a region that there is not.
    NoRegion,
    /// All records lie at the very end of their region and lead out of it.
    OutOfRegion,
    /// All pages unpack to so many bytes (compressed ones; not 4096).
    Unpacked(usize),
    /// All records stand for others, in a ring.
    RecordRing,
    /// The second half of each page with records is overwritten.
    HalfRecords,
    /// The store's own structure is overwritten from its middle on.
    HalfStore,
    /// All entries of the tree of stores say that they are not valid.
    NotValid,
    /// The store's owner is another process.
    Owner,
    /// Every second record is the one behind it: two records have the same bytes.
    Neighbour,
    /// Every second record begins 128 bytes before its page: at the end of another's.
    Early,
}

//! Ready-made machines whose smss, csrss and SYSTEM hive lie behind one mechanism each.

use crate::builds::Build;
use crate::page_plan::{Form, Held, HiveViews, PagePlan, Paged, PagingFile, PrivateCopy, StorePlan, Way};
use crate::scenario::Scenario;

/// Behind what the PEBs and parameters of smss and csrss, headers of images and the SYSTEM hive lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Behind {
    /// Transition entries.
    Transition,
    /// Prototype entries that the page tables name.
    Named,
    /// Prototype entries that only the address descriptors know.
    Vad,
    /// As [`Behind::Vad`], and the prototype entries are in transition themselves.
    VadTransition,
    /// Subsections beyond `LastContiguousPte` of the hive's view.
    Extension,
    /// The files of hives, for the page tables of their views are overwritten.
    HiveFile,
    /// The same, for the process Registry has no page tables.
    HiveFileNoRoot,
    /// The same, for the views were unmapped.
    HiveFileUnmapped,
    /// The cache manager's views of hives' files: those of the process Registry and the lists of the sections' parts are overwritten.
    HiveCache,
    /// Subsection entries: hive and images are only in their files.
    File,
    /// `pagefile.sys`.
    PageFile,
    /// `pagefile.sys` and `swapfile.sys` by turns.
    SwapFile,
    /// Sections without a file whose prototype entries lead to page files.
    SectionPageFile,
    /// The compressed store.
    Store,
    /// The store, which keeps the pages as they are.
    StorePlain,
    /// Sections without a file whose prototype entries lead to the store.
    SectionStore,
    /// The store, whose own pages are in transition.
    StoreTransition,
    /// The store, whose own pages are in `pagefile.sys`.
    StorePageFile,
    /// Page tables in transition.
    Tables,
    /// Page tables in `pagefile.sys`.
    TablesPageFile,
}

/// What it takes to read what lies behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// The image.
    Image,
    /// The page files as well.
    PageFiles,
    /// What no image has.
    Disk,
}

impl Behind {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::Transition,
        Self::Named,
        Self::Vad,
        Self::VadTransition,
        Self::Extension,
        Self::HiveFile,
        Self::HiveFileNoRoot,
        Self::HiveFileUnmapped,
        Self::HiveCache,
        Self::File,
        Self::PageFile,
        Self::SwapFile,
        Self::SectionPageFile,
        Self::Store,
        Self::StorePlain,
        Self::SectionStore,
        Self::StoreTransition,
        Self::StorePageFile,
        Self::Tables,
        Self::TablesPageFile,
    ];

    /// Its name, as `store-page-file`.
    #[must_use]
    pub fn name(self) -> String {
        kebab(&format!("{self:?}"))
    }

    /// Whether a build has it.
    #[must_use]
    pub fn is_in(self, build: Build) -> bool {
        match self {
            Self::Extension => build.has_registry_process(),
            _ if self.of_hive_file() => build.has_registry_process(),
            Self::SwapFile => build > Build::W7_7601,
            Self::Store | Self::StorePlain | Self::SectionStore | Self::StoreTransition | Self::StorePageFile => {
                build.has_compression_process()
            }
            _ => true,
        }
    }

    /// What it takes to read it.
    #[must_use]
    pub fn needs(self) -> Needs {
        match self {
            Self::File => Needs::Disk,
            Self::PageFile | Self::SwapFile | Self::SectionPageFile | Self::StorePageFile | Self::TablesPageFile => {
                Needs::PageFiles
            }
            _ => Needs::Image,
        }
    }

    /// Whether the hive lies there, too, in this build: before 10 1803 it is paged pool, which has no sections.
    #[must_use]
    pub fn has_hive(self, build: Build) -> bool {
        let section = matches!(
            self,
            Self::Named | Self::Vad | Self::VadTransition | Self::File | Self::SectionPageFile | Self::SectionStore
        );
        build.has_registry_process() && !matches!(self, Self::SectionPageFile | Self::SectionStore) || !section
    }

    /// Whether PEBs and parameters lie there.
    #[must_use]
    pub fn has_peb(self) -> bool {
        !matches!(self, Self::File | Self::Extension) && !self.of_hive_file()
    }

    /// Whether hives are to be had of their files alone.
    #[must_use]
    pub fn of_hive_file(self) -> bool {
        matches!(self, Self::HiveFile | Self::HiveFileNoRoot | Self::HiveFileUnmapped | Self::HiveCache)
    }

    /// States of PEB, parameters and the hive's pages by turns: in a view, and in paged pool.
    fn states(self) -> (Paged, Paged, Vec<Paged>, Vec<Paged>) {
        use Paged::{Copied, Filed, Present, Section, Stored, Transition};
        let copied = |copy| vec![Copied(copy)];
        let page = Filed(PagingFile::Page);
        let by_vad = vec![
            Section(Way::Zero, Held::Valid),
            Section(Way::LookUp, Held::Transition),
            Section(Way::LookUp, Held::Valid),
            Section(Way::Zero, Held::Transition),
        ];
        match self {
            Self::Transition => (
                Transition,
                Transition,
                vec![Copied(PrivateCopy::Transition), Section(Way::Zero, Held::Transition)],
                vec![Transition],
            ),
            Self::Named => (
                Section(Way::Named, Held::Valid),
                Section(Way::Named, Held::Transition),
                vec![Section(Way::Named, Held::Valid), Section(Way::Named, Held::Transition)],
                vec![],
            ),
            Self::Vad | Self::VadTransition => {
                (Section(Way::Zero, Held::Valid), Section(Way::LookUp, Held::Transition), by_vad, vec![])
            }
            Self::Extension | Self::HiveFile | Self::HiveFileNoRoot | Self::HiveFileUnmapped | Self::HiveCache => {
                (Present, Present, by_vad, vec![])
            }
            Self::File => (Present, Present, vec![Section(Way::Zero, Held::File)], vec![]),
            Self::PageFile => (page, page, copied(PrivateCopy::Filed(PagingFile::Page)), vec![page]),
            Self::SwapFile => {
                let swap = Filed(PagingFile::Swap);
                let copies = [PagingFile::Swap, PagingFile::Page].map(|f| Copied(PrivateCopy::Filed(f)));
                (swap, page, copies.into(), vec![swap, page])
            }
            Self::SectionPageFile => (
                Section(Way::Named, Held::Filed(PagingFile::Page)),
                Section(Way::Zero, Held::Filed(PagingFile::Page)),
                vec![],
                vec![],
            ),
            Self::Store | Self::StoreTransition | Self::StorePageFile => {
                let stored = Stored(Form::Packed);
                (stored, stored, copied(PrivateCopy::Stored(Form::Packed)), vec![stored])
            }
            Self::StorePlain => {
                let stored = Stored(Form::Plain);
                (stored, stored, copied(PrivateCopy::Stored(Form::Plain)), vec![stored])
            }
            Self::SectionStore => (
                Section(Way::LookUp, Held::Stored(Form::Packed)),
                Section(Way::Named, Held::Stored(Form::Packed)),
                vec![],
                vec![],
            ),
            Self::Tables | Self::TablesPageFile => (Transition, Present, vec![], vec![]),
        }
    }
}

/// `SmssPath` as `smss-path`.
pub(crate) fn kebab(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

impl Scenario {
    /// Page files as the build usually has them, sections, room for the store, and memory for all that.
    #[must_use]
    pub fn with_paging(mut self) -> Self {
        self.memory = vec![0x1000..0x9_f000, 0x10_0000..0x200_0000];
        let store = self.build.has_compression_process();
        let mut files = vec![PagingFile::Page];
        if self.build > Build::W7_7601 {
            files.push(PagingFile::Swap);
        }
        if store {
            files.push(PagingFile::Store);
        }
        self.pages = PagePlan { sections: true, files, store: store.then(StorePlan::default), ..PagePlan::default() };
        if self.build.has_registry_process() {
            for hive in &mut self.hives {
                hive.view = Some(Vec::new());
            }
        }
        self
    }

    /// PEBs and parameters of smss and csrss, headers of their images, and the hives behind one mechanism.
    ///
    /// # Panics
    /// When the build does not have it.
    #[must_use]
    pub fn behind(self, what: Behind) -> Self {
        assert!(what.is_in(self.build), "{what:?} is not in {:?}", self.build);
        let mut plan = self.with_paging();
        let (peb, parameters, in_view, in_pool) = what.states();
        for pid in [348, 452, 536] {
            let user = plan.process(pid).user.as_mut().expect("user memory");
            (user.peb, user.parameters) = (peb, parameters);
            match what {
                Behind::Tables => user.peb_table = Paged::Transition,
                Behind::TablesPageFile => user.peb_table = Paged::Filed(PagingFile::Page),
                _ => {}
            }
            let (image, libraries) = match what {
                Behind::Transition => (Some((Way::Zero, Held::Transition)), Some((Way::Zero, Held::Transition))),
                Behind::Named => (Some((Way::Named, Held::Valid)), Some((Way::Named, Held::Transition))),
                Behind::Vad => (Some((Way::LookUp, Held::Valid)), Some((Way::Zero, Held::Transition))),
                Behind::File => (Some((Way::Zero, Held::File)), Some((Way::LookUp, Held::File))),
                _ => (None, None),
            };
            if let Some((way, held)) = image {
                user.image = Paged::Section(way, held);
            }
            for edit in &mut user.edits {
                // An edited page is the process' own.
                edit.state = match peb {
                    Paged::Section(..) => Paged::Transition,
                    other => other,
                };
            }
            if let Some((way, held)) = libraries {
                user.libraries = Paged::Section(way, held);
            }
        }
        let view = plan.build.has_registry_process();
        for hive in &mut plan.hives {
            hive.pages = if view { in_view.clone() } else { in_pool.clone() };
            if what == Behind::Extension || what == Behind::HiveFileUnmapped {
                // Every part is shorter than the one page that a reader may be lucky with.
                hive.view = Some(vec![1, 1, 2, 1, 2, 3]);
            }
        }
        plan.pages.hive_views = match what {
            Behind::HiveFile => HiveViews::Torn,
            Behind::HiveFileNoRoot => HiveViews::NoRoot,
            Behind::HiveFileUnmapped => HiveViews::Unmapped,
            Behind::HiveCache => HiveViews::TornParts,
            _ => HiveViews::Kept,
        };
        if what == Behind::HiveCache {
            // Two levels of arrays in some builds, one or none in others.
            plan.pages.hive_cache = Some(if plan.build >= Build::W11_22000 { 33 << 20 } else { 0 });
        }
        let store = plan.pages.store.as_mut();
        match what {
            Behind::VadTransition => plan.pages.prototypes = Paged::Transition,
            Behind::StoreTransition => store.expect("a store").regions = Paged::Transition,
            Behind::StorePageFile => store.expect("a store").regions = Paged::Filed(PagingFile::Page),
            _ => {}
        }
        plan
    }

    /// Five levels of page tables (LA57) and a kernel for them.
    #[must_use]
    pub fn with_five_levels(mut self) -> Self {
        self.paging.levels = 5;
        self
    }

    /// Another mask for entries that are not valid (0: the processor needs none).
    #[must_use]
    pub fn with_mask(mut self, mask: u64) -> Self {
        self.paging.invalid_pte_mask = mask;
        self
    }
}

//! Machines whose smss, csrss and SYSTEM hive lie behind page files, sections and the compressed store: what is there is read as the
//! forge wrote it, what is away is unknown with its reason, and what is wrong there is found.

use crate::common::forged::Opened;
use ntmem::checks::{Judgement, Witness};
use ntmem::registry::Registry;
use ntmem::symbols::SymbolStore;
use ntmem::{Findings, PageFile, System, Verdict, check_smss};
use ntmem_forge::hive_plan::Key;
use ntmem_forge::{
    Behind, Build, Forged, Form, Held, Needs, Paged, PagingFile, Scenario, StoreDamage, SwapFile, Tampered, TruthPlace,
    Way,
};

const BUILDS: [Build; 9] = [
    Build::W7_7601,
    Build::W8_9200,
    Build::W10_10240,
    Build::W10_14393,
    Build::W10_17134,
    Build::W10_17763,
    Build::W10_19045,
    Build::W11_22000,
    Build::W11_26100,
];

/// What was read of a machine, held against what the forge wrote.
pub struct Read {
    pub findings: Findings,
    /// What is not as it was written.
    pub wrong: Vec<String>,
    /// What of smss, csrss and the hives could not be read, with the reasons.
    pub away: Vec<String>,
    /// What was odd.
    pub warnings: Vec<String>,
}

impl Read {
    pub fn outcome(&self, id: &str) -> Judgement {
        self.findings.of(id).next().unwrap_or_else(|| panic!("no {id}")).outcome
    }
}

pub fn read(forged: &Forged, files: &[SwapFile]) -> Read {
    read_by(forged, files, true)
}

/// The same, with the kernel's symbols or without.
fn read_by(forged: &Forged, files: &[SwapFile], symbols: bool) -> Read {
    // As files in a folder, the last first: which is which is not told by the order.
    let folder = tempfile::tempdir().unwrap();
    let files = files.iter().rev().filter(|file| file.kind != PagingFile::Store).map(|file| {
        let path = folder.path().join(file.kind.name());
        file.write(&path).unwrap();
        PageFile::open(path).unwrap()
    });
    let opened = Opened::new(forged);
    let store = if symbols { &opened.store } else { &SymbolStore::new() };
    let kernel = opened.image.locate_kernel(store).unwrap().with_page_files(files.collect());
    let system = System::read(&kernel).unwrap();
    let warnings = system.warnings.iter().map(|warning| warning.message.clone()).collect();
    let mut read = Read { findings: check_smss(&system), wrong: Vec::new(), away: Vec::new(), warnings };
    read.processes(forged, &system);
    let registry = Registry::open(&kernel);
    for hive in &forged.truth.hives {
        read.key(&registry, &hive.plan.root_path, &hive.plan.root);
    }
    read
}

impl Read {
    fn processes(&mut self, forged: &Forged, system: &System) {
        for truth in forged.truth.processes.iter().filter(|p| p.in_active_list && p.peb.is_some()) {
            let name = format!("{} {}", truth.pid, truth.name_text());
            let found =
                system.processes.items.iter().find(|p| p.eprocess.value().map(|at| at.0) == Some(truth.eprocess));
            let Some(process) = found else {
                self.wrong.push(format!("{name} is not listed"));
                continue;
            };
            for (what, ours, theirs) in [
                ("peb_path", &process.peb_path, &truth.peb_path),
                ("command_line", &process.command_line, &truth.command_line),
            ] {
                match (ours.value(), ours.absent()) {
                    (Some(ours), _) if Some(ours) == theirs.as_ref() => {}
                    (_, Some(reason)) => self.away.push(format!("{name} {what}: {reason}")),
                    (ours, None) => self.wrong.push(format!("{name} {what}: {ours:?}, not {theirs:?}")),
                }
            }
        }
    }

    fn key(&mut self, registry: &Registry<'_>, path: &str, plan: &Key) {
        let key = match registry.key_or_link(path) {
            Ok(Some(key)) => key,
            Ok(None) => return self.wrong.push(format!("{path} is not there")),
            Err(reason) => return self.away.push(format!("{path}: {reason}")),
        };
        for value in &plan.values {
            let name = format!("{path} {}", value.name);
            match key.value(&value.name).map(|found| found.map(|value| value.bytes())) {
                Ok(Some(Ok(bytes))) if bytes == value.data.stored().1 => {}
                Ok(Some(Ok(bytes))) => self.wrong.push(format!("{name}: {bytes:x?}")),
                Ok(None) => self.wrong.push(format!("{name} is not there")),
                Ok(Some(Err(reason))) | Err(reason) => self.away.push(format!("{name}: {reason}")),
            }
        }
        for below in &plan.keys {
            self.key(registry, &format!("{path}\\{}", below.name), below);
        }
    }
}

/// What is not as it should be, of many machines.
#[derive(Default)]
pub struct Complaints(Vec<String>);

impl Complaints {
    pub fn says(&mut self, holds: bool, name: &str, what: impl std::fmt::Display) {
        if !holds {
            self.0.push(format!("{name}: {what}"));
        }
    }

    /// Everything was read, as it was written.
    pub fn whole(&mut self, name: &str, read: &Read) {
        self.says(read.wrong.is_empty(), name, format_args!("wrong: {:#?}", read.wrong));
        self.says(read.away.is_empty(), name, format_args!("away: {:#?}", read.away));
    }

    /// Everything was read, and nothing is wrong with it.
    pub fn clean(&mut self, name: &str, read: &Read) {
        self.whole(name, read);
        self.honest(name, read);
        self.verdict(name, read, Verdict::Clean);
    }

    /// What was read is as it was written, and no check complains.
    pub fn honest(&mut self, name: &str, read: &Read) {
        self.says(read.wrong.is_empty(), name, format_args!("wrong: {:#?}", read.wrong));
        let counts: Vec<String> = read.findings.violations().filter(|v| v.counts()).map(ToString::to_string).collect();
        self.says(counts.is_empty(), name, format_args!("{counts:#?}"));
    }

    /// The verdict is this.
    pub fn verdict(&mut self, name: &str, read: &Read, expected: Verdict) {
        let found = read.findings.verdict;
        let unknown = read.findings.outcomes.iter().filter(|outcome| outcome.outcome == Judgement::Unknown);
        let unknown: Vec<String> = unknown.map(ToString::to_string).collect();
        self.says(found == expected, name, format_args!("the verdict is {found:?}, not {expected:?}: {unknown:#?}"));
    }

    /// A check said this.
    pub fn outcome(&mut self, name: &str, read: &Read, id: &str, expected: Judgement) {
        let found = read.outcome(id);
        self.says(found == expected, name, format_args!("{id} is {found:?}, not {expected:?}"));
    }
}

impl Drop for Complaints {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.0.is_empty(), "{} complaints:\n{}", self.0.len(), self.0.join("\n"));
        }
    }
}

#[test]
fn clean_machines_are_read_whole() {
    let mut all = Complaints::default();
    for build in BUILDS {
        let ways = Behind::ALL.into_iter().filter(|b| b.is_in(build) && b.needs() != Needs::Disk && !b.of_hive_file());
        for what in ways {
            let forged = Scenario::clean(build).behind(what).forge();
            all.clean(&format!("{build:?} {what:?}"), &read(&forged, &forged.paging_files));
        }
    }
}

#[test]
fn other_masks() {
    let mut all = Complaints::default();
    for mask in [0, 1 << 47] {
        for build in [Build::W7_7601, Build::W10_19045, Build::W11_26100] {
            for what in [Behind::Transition, Behind::Vad, Behind::PageFile, Behind::SwapFile, Behind::StorePageFile] {
                if what.is_in(build) {
                    let forged = Scenario::clean(build).with_mask(mask).behind(what).forge();
                    all.clean(&format!("{build:?} {what:?} mask {mask:#x}"), &read(&forged, &forged.paging_files));
                }
            }
        }
    }
}

/// Where no symbols say which mask is set in entries that are not present, the entries do: with another mask their own pages would not be
/// read, or others in their place. Where they do not, nothing passes for it.
#[test]
fn masks_that_no_symbols_tell() {
    let mut all = Complaints::default();
    let usual = Scenario::clean(Build::W11_22621).paging.invalid_pte_mask;
    // Of the one there are no symbols that would tell, of the other the symbols have no place for it.
    for build in [Build::W10_17134, Build::W11_22621] {
        for mask in [0, usual, 1 << 47] {
            for what in Behind::ALL.into_iter().filter(|b| b.is_in(build) && b.needs() != Needs::Disk) {
                let name = format!("{build:?} {what:?} mask {mask:#x}");
                let forged = Scenario::clean(build).with_mask(mask).tampered(Tampered::SmssPath).behind(what).forge();
                let has_place = build != Build::W10_17134;
                let whole = read_by(&forged, &forged.paging_files, !has_place);
                all.says(whole.wrong.is_empty(), &name, format_args!("wrong: {:#?}", whole.wrong));
                let found = whole.outcome("SMSS-003");
                // Some dozen places in page files and the store do not tell the mask where the kernel has no variable for it.
                let few = what.name().contains("store") || what.needs() == Needs::PageFiles;
                let untold = !has_place && mask != 0 && few;
                let may_be = found == Judgement::Violation || untold && found == Judgement::Unknown;
                all.says(may_be, &name, format_args!("SMSS-003 is {found:?}"));
                // No process has the hives mapped: the entries of their files' sections tell the mask.
                if has_place && what.of_hive_file() {
                    all.outcome(&name, &whole, "SMR-10", Judgement::Pass);
                }
                let without = read_by(&forged, &[], !has_place);
                all.says(without.wrong.is_empty(), &name, format_args!("wrong without files: {:#?}", without.wrong));
                let unseen = without.outcome("SMSS-003") == Judgement::Pass;
                all.says(!unseen, &name, "passes unseen");
            }
        }
    }
}

/// Without a swap file the virtual store is number 1.
#[test]
fn a_store_of_another_number() {
    let mut all = Complaints::default();
    for build in [Build::W10_14393, Build::W10_19045, Build::W11_26100] {
        for what in [Behind::Store, Behind::StorePageFile] {
            let mut scenario = Scenario::clean(build).behind(what);
            scenario.pages.files = vec![PagingFile::Page, PagingFile::Store];
            let forged = scenario.forge();
            all.clean(&format!("{build:?} {what:?}"), &read(&forged, &forged.paging_files));
        }
    }
}

#[test]
fn five_levels() {
    let mut all = Complaints::default();
    for build in [Build::W10_19045, Build::W11_22000] {
        for what in [Behind::Transition, Behind::Vad, Behind::SwapFile, Behind::Store, Behind::TablesPageFile] {
            let forged = Scenario::clean(build).with_five_levels().behind(what).forge();
            all.clean(&format!("{build:?} {what:?}"), &read(&forged, &forged.paging_files));
        }
    }
}

/// The reason names the file that would settle it, and what lies elsewhere is read.
#[test]
fn a_page_file_that_is_not_given() {
    let mut all = Complaints::default();
    for build in BUILDS {
        for what in Behind::ALL.into_iter().filter(|b| b.is_in(build) && b.needs() == Needs::PageFiles) {
            let name = format!("{build:?} {what:?}");
            let forged = Scenario::clean(build).behind(what).forge();
            let without = read(&forged, &[]);
            all.honest(&name, &without);
            all.says(!without.away.is_empty(), &name, "nothing is away");
            // What has its page is read; what has not says where that is.
            let strange: Vec<&String> = without.away.iter().filter(|reason| !reason.contains("page file")).collect();
            all.says(strange.is_empty(), &name, format_args!("{strange:#?}"));
            for id in ["SMSS-003", "SMSS-005"] {
                all.outcome(&name, &without, id, Judgement::Unknown);
            }
            if what.has_hive(build) && !matches!(what, Behind::TablesPageFile) {
                all.outcome(&name, &without, "SMR-10", Judgement::Unknown);
                all.verdict(&name, &without, Verdict::Inconclusive);
            }
        }
    }
}

#[test]
fn pages_that_are_only_in_their_files() {
    let mut all = Complaints::default();
    for build in [Build::W10_17763, Build::W10_19045, Build::W11_26100] {
        let forged = Scenario::clean(build).behind(Behind::File).forge();
        let (name, read) = (format!("{build:?}"), read(&forged, &forged.paging_files));
        all.honest(&name, &read);
        all.outcome(&name, &read, "SMR-10", Judgement::Unknown);
        all.verdict(&name, &read, Verdict::Inconclusive);
        let named = read.away.iter().any(|reason| reason.contains(r"\Windows\System32\config\SYSTEM"));
        all.says(named, &name, format_args!("the file is not named: {:#?}", read.away));
    }
}

/// What is wrong behind a page is found there, and where the page is away nothing passes for it.
#[test]
fn what_is_wrong_behind_a_page() {
    let mut all = Complaints::default();
    for build in [Build::W7_7601, Build::W10_14393, Build::W10_17763, Build::W10_19045, Build::W11_26100] {
        for what in [Behind::Transition, Behind::Vad, Behind::PageFile, Behind::Store, Behind::StorePageFile] {
            for wrong in Tampered::ALL.into_iter().filter(|_| what.is_in(build)) {
                let name = format!("{build:?} {what:?} {wrong:?}");
                let forged = Scenario::clean(build).tampered(wrong).behind(what).forge();
                let whole = read(&forged, &forged.paging_files);
                all.whole(&name, &whole);
                // A page that was replaced may be a torn one.
                let verdict = if wrong.is_page() { Verdict::Inconclusive } else { Verdict::Violations };
                all.verdict(&name, &whole, verdict);
                if what.needs() == Needs::PageFiles {
                    let without = read(&forged, &[]);
                    all.says(without.wrong.is_empty(), &name, format_args!("wrong: {:#?}", without.wrong));
                    let id = match wrong {
                        Tampered::SetupExecute | Tampered::BootExecute => "SMR-10",
                        Tampered::Required => "SMR-01",
                        Tampered::SmssPath => "SMSS-003",
                        Tampered::SmssCommand => "SMSS-005",
                        Tampered::SmssBase => "SMSS-017",
                        Tampered::SmssHeaders | Tampered::SmssEntry | Tampered::NtdllHeaders | Tampered::NtdllEntry => {
                            "SMSS-018"
                        }
                        Tampered::CsrssCommand => continue,
                    };
                    all.says(without.outcome(id) != Judgement::Pass, &name, format_args!("{id} passes unseen"));
                }
            }
        }
    }
}

#[test]
fn damaged_stores() {
    let mut all = Complaints::default();
    use StoreDamage::{
        Counts, GlobalLoop, HalfRecords, HalfStore, NoRegion, NotValid, OutOfRegion, Owner, PagesDeep, PagesLoop,
        RecordRing, Unpacked,
    };
    for build in [Build::W10_14393, Build::W10_19045, Build::W11_26100] {
        for damage in [
            GlobalLoop,
            PagesLoop,
            PagesDeep(2),
            PagesDeep(900),
            Counts,
            NoRegion,
            OutOfRegion,
            Unpacked(4080),
            Unpacked(4112),
            RecordRing,
            HalfRecords,
            HalfStore,
            NotValid,
            Owner,
        ] {
            let mut scenario = Scenario::clean(build).behind(Behind::Store);
            scenario.pages.store.as_mut().unwrap().damage.push(damage);
            let forged = scenario.forge();
            all.honest(&format!("{build:?} {damage:?}"), &read(&forged, &forged.paging_files));
        }
        let mut scenario = Scenario::clean(build).behind(Behind::Store);
        scenario.pages.store.as_mut().unwrap().regions = Paged::Stored(Form::Packed);
        let forged = scenario.forge();
        let (name, read) = (format!("{build:?} a store in itself"), read(&forged, &forged.paging_files));
        all.honest(&name, &read);
        all.outcome(&name, &read, "SMSS-005", Judgement::Unknown);
    }
}

/// Records that lead to another page's bytes: of a page that is not packed nothing else tells it.
#[test]
fn records_of_the_same_bytes() {
    let mut all = Complaints::default();
    for build in [Build::W10_14393, Build::W10_19045, Build::W11_26100] {
        for what in [Behind::Store, Behind::StorePlain] {
            for damage in [StoreDamage::Neighbour, StoreDamage::Early] {
                let mut scenario = Scenario::clean(build).behind(what);
                scenario.pages.store.as_mut().unwrap().damage.push(damage);
                let forged = scenario.forge();
                let (name, read) = (format!("{build:?} {what:?} {damage:?}"), read(&forged, &forged.paging_files));
                all.honest(&name, &read);
                let told = read.away.iter().any(|reason| reason.contains("two records of a store have the same bytes"));
                all.says(told || damage == StoreDamage::Early, &name, format_args!("not told: {:#?}", read.away));
            }
        }
    }
}

#[test]
fn prototype_entries_that_lead_nowhere() {
    let mut all = Complaints::default();
    for build in BUILDS {
        for held in [Held::Ring, Held::NotBuilt] {
            for way in [Way::Named, Way::Zero, Way::LookUp] {
                let mut scenario = Scenario::clean(build).with_paging();
                let user = scenario.process(348).user.as_mut().unwrap();
                (user.peb, user.parameters) = (Paged::Section(way, held), Paged::Section(way, held));
                for hive in scenario.hives.iter_mut().filter(|hive| hive.view.is_some()) {
                    hive.pages = vec![Paged::Section(way, held)];
                }
                let forged = scenario.forge();
                let (name, read) = (format!("{build:?} {held:?} {way:?}"), read(&forged, &forged.paging_files));
                all.honest(&name, &read);
                all.outcome(&name, &read, "SMSS-005", Judgement::Unknown);
            }
        }
    }
}

/// The page files of a machine on which much is wrong: they are not this one's, and what they say is not said of it.
#[test]
fn page_files_of_another_machine() {
    let mut all = Complaints::default();
    for build in BUILDS {
        let what = if build == Build::W7_7601 { Behind::PageFile } else { Behind::SwapFile };
        let forged = Scenario::clean(build).behind(what).forge();
        let mut other = Scenario::clean(build).tampered(Tampered::BootExecute).tampered(Tampered::SmssCommand);
        other.seed ^= 0x00ff_00ff;
        for process in &mut other.processes {
            // As after another boot.
            if let Some(user) = &mut process.user {
                user.image_base += 0x0150_0000;
            }
        }
        let other = other.behind(what).forge();
        let (name, read) = (format!("{build:?}"), read(&forged, &other.paging_files));
        all.honest(&name, &read);
        all.outcome(&name, &read, "SMSS-005", Judgement::Unknown);
    }
}

/// Files that were copied later: pages that were given to others since are zero or noise.
#[test]
fn page_files_of_a_later_time() {
    let mut all = Complaints::default();
    for build in BUILDS {
        let forged = Scenario::clean(build).behind(Behind::PageFile).forge();
        for victim in [348, 452] {
            let process = forged.truth.process(victim).unwrap();
            for (noise, pages) in [(0u8, 1), (0xa5, 1), (0, usize::MAX)] {
                let mut files = forged.paging_files.clone();
                let own = forged.truth.pages.iter().filter(|page| page.pid == Some(victim));
                let own = own.filter(|page| pages > 1 || Some(page.address) == process.peb);
                for page in own {
                    if let TruthPlace::PageFile { number, index } = page.place {
                        files[number as usize].pages.insert(index, Box::new([noise; 4096]));
                    }
                }
                all.honest(&format!("{build:?} {victim} {noise:#x} {pages}"), &read(&forged, &files));
            }
            // The page of another process' PEB where this one's was.
            let mut files = forged.paging_files.clone();
            let page_of = |pid: u64| {
                let peb = forged.truth.process(pid).unwrap().peb;
                let page = forged.truth.pages.iter().find(|page| page.pid == Some(pid) && Some(page.address) == peb);
                match page.unwrap().place {
                    TruthPlace::PageFile { number, index } => (number as usize, index),
                    ref place => panic!("{place:?}"),
                }
            };
            let ((number, index), (from, at)) = (page_of(victim), page_of(536));
            let other = files[from].pages[&at].clone();
            files[number].pages.insert(index, other);
            all.honest(&format!("{build:?} {victim} with another's PEB"), &read(&forged, &files));
        }
    }
}

/// A cut copy is said to be cut; a copy of one page file is not taken for another.
#[test]
fn copies_that_are_not_what_they_seem() {
    let mut all = Complaints::default();
    for build in [Build::W10_14393, Build::W10_19045, Build::W11_26100] {
        let forged = Scenario::clean(build).behind(Behind::PageFile).forge();
        let other = Scenario { seed: 0x77, ..Scenario::clean(build) }.behind(Behind::PageFile).forge();
        let folder = tempfile::tempdir().unwrap();
        let copy = |name: &str, of: &Forged, bytes: Option<u64>| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            of.paging_files[0].write(&path).unwrap();
            if let Some(bytes) = bytes {
                std::fs::File::options().write(true).open(&path).unwrap().set_len(bytes).unwrap();
            }
            PageFile::open(path).unwrap()
        };
        // The last of the PEBs, which memory knows.
        let is_peb = |pid: u64, at: u64| forged.truth.process(pid).and_then(|process| process.peb) == Some(at);
        let used = forged.truth.pages.iter().filter_map(|page| match page.place {
            TruthPlace::PageFile { number: 0, index } if is_peb(page.pid?, page.address) => Some(index),
            _ => None,
        });
        let last = used.max().unwrap();
        let warned = |files: Vec<PageFile>| {
            let opened = Opened::new(&forged);
            let kernel = opened.kernel().with_page_files(files);
            let warnings: Vec<String> = kernel.warnings().iter().map(|warning| warning.message.clone()).collect();
            (warnings, kernel.page_files())
        };
        for (name, files, words, number) in [
            ("cut", vec![copy("pagefile.sys", &forged, Some(last * 4096))], "the copy is cut short", Some(0)),
            ("empty", vec![copy("a/pagefile.sys", &forged, Some(4096))], "the copy is cut short", None),
            (
                "twice",
                vec![copy("b/pagefile.sys", &forged, None), copy("b/copy.sys", &forged, None)],
                "it is another copy of page file 0",
                Some(0),
            ),
            (
                "foreign",
                vec![copy("c/right.sys", &forged, None), copy("c/pagefile.sys", &other, None)],
                "is not used: it ",
                Some(0),
            ),
            // Under another name nothing tells that it would be the swap file.
            (
                "renamed foreign",
                vec![copy("d/pagefile.sys", &forged, None), copy("d/other.bin", &other, None)],
                "d/other.bin is not used: ",
                Some(0),
            ),
        ] {
            let name = format!("{build:?} {name}");
            let (warnings, taken) = warned(files);
            all.says(warnings.iter().any(|said| said.contains(words)), &name, format_args!("{warnings:#?}"));
            let late = warnings.iter().any(|said| said.contains("at another time"));
            all.says(!late || name.ends_with("foreign"), &name, format_args!("called late: {warnings:#?}"));
            let used: Vec<u32> = taken.iter().filter(|file| file.file.is_some()).map(|file| file.number).collect();
            all.says(used == number.into_iter().collect::<Vec<u32>>(), &name, format_args!("used are {used:?}"));
        }
    }
}

/// What memory proves without a page file stays proven with one.
#[test]
fn a_page_file_takes_no_finding_away() {
    let mut all = Complaints::default();
    for build in [Build::W7_7601, Build::W10_14393, Build::W10_19045, Build::W11_26100] {
        for what in Behind::ALL.into_iter().filter(|b| b.is_in(build) && b.needs() == Needs::PageFiles) {
            for wrong in Tampered::ALL {
                let name = format!("{build:?} {what:?} {wrong:?}");
                let forged = Scenario::clean(build).tampered(wrong).behind(what).forge();
                let (without, with) = (read(&forged, &[]), read(&forged, &forged.paging_files));
                for outcome in without.findings.violations().filter(|outcome| outcome.counts()) {
                    let same = with.findings.of(&outcome.id).any(|with| with.pid == outcome.pid && with.counts());
                    all.says(same, &name, format_args!("{outcome} is gone"));
                }
            }
        }
    }
}

/// The packed bytes of the store are in a page file, and the one given is another machine's: the file is to blame, and which would help
/// is said.
#[test]
fn packed_bytes_of_another_machine() {
    let mut all = Complaints::default();
    for build in [Build::W10_14393, Build::W10_19045, Build::W11_26100] {
        let forged = Scenario::clean(build).behind(Behind::StorePageFile).forge();
        let other = Scenario { seed: 0x77, ..Scenario::clean(build) }.behind(Behind::StorePageFile).forge();
        let (name, read) = (format!("{build:?}"), read(&forged, &other.paging_files));
        all.honest(&name, &read);
        let blamed = read.away.iter().any(|reason| reason.contains("which is torn"));
        all.says(!blamed, &name, format_args!("the store is blamed: {:#?}", read.away));
        let told = read.away.iter().all(|reason| reason.contains("needs --pagefile FILE (page file 0"));
        all.says(told, &name, format_args!("not told: {:#?}", read.away));
    }
}

/// Who was not heard is no witness: of a PEB behind a table that is away the finding says that it was not read.
#[test]
fn what_was_not_read_is_no_witness() {
    let mut all = Complaints::default();
    for build in [Build::W7_7601, Build::W10_19045, Build::W11_26100] {
        let forged = Scenario::clean(build).tampered(Tampered::SmssBase).behind(Behind::TablesPageFile).forge();
        for (given, files) in [(false, &[][..]), (true, &forged.paging_files)] {
            let (name, read) = (format!("{build:?} {given}"), read(&forged, files));
            let outcome = read.findings.of("SMSS-017").find(|outcome| outcome.pid == Some(348)).unwrap();
            let peb = outcome.evidence.iter().find(|evidence| evidence.structure == "_PEB");
            let unread = peb.is_some_and(|peb| peb.unread);
            let heard = outcome.witnesses.contains(&Witness::UserMemory);
            let is_right = if given { heard == peb.is_some() } else { unread && !heard };
            all.says(outcome.counts() && is_right, &name, format_args!("{outcome:?}"));
            let others = [Witness::Object, Witness::Ranges].iter().all(|other| outcome.witnesses.contains(other));
            all.says(others, &name, format_args!("{outcome:?}"));
        }
    }
}

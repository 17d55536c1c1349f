//! Machines of which the kernel is lost: page tables wiped, files cut short, the kernel's own pages gone. What is left of their
//! processes is told, as carved, and nobody is judged clean or guilty by it.

use crate::common::edited::Edited;
use crate::common::forged::{Opened, document};
use ntmem::process::Source;
use ntmem::symbols::SymbolStore;
use ntmem::{Error, MemoryImage, ReadOptions, System, Verdict, check_smss};
use ntmem_forge::variants::Impostor;
use ntmem_forge::{Build, Forged, PoolForm, Scenario, TruthProcess, Unlinked};
use std::collections::BTreeSet;

const BUILDS: [Build; 3] = [Build::W7_7601, Build::W10_19045, Build::W11_26100];
const PAGE: usize = 4096;

/// What is lost.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lost {
    /// The top table of every process, filled with this byte.
    Roots(u8),
    /// The half of it that leads to the kernel.
    KernelHalves(u8),
    /// The same, and the pages of the kernel's image.
    KernelToo,
    /// The lowest tables that map process objects, and the object types beside them.
    PoolTables,
    /// The same, and the half of the top tables.
    AllTables,
    /// All that lies behind so many hundredths of the file.
    Behind(usize),
}

const ALL: [Lost; 8] = [
    Lost::Roots(0),
    Lost::Roots(0xff),
    Lost::KernelHalves(0),
    Lost::KernelHalves(0xff),
    Lost::KernelToo,
    Lost::Behind(95),
    Lost::Behind(80),
    Lost::Behind(50),
];

impl Lost {
    fn of(self, scenario: &Scenario) -> (Forged, Vec<u8>) {
        let edited = Edited::new(scenario);
        let truth = &edited.forged.truth;
        let mut bytes = edited.bytes.clone();
        let roots: BTreeSet<u64> = truth.processes.iter().map(|p| p.dtb & !0xfff).chain([truth.dtb]).collect();
        let mut fill = |from: u64, length: usize, byte: u8| bytes[from as usize..][..length].fill(byte);
        match self {
            Self::Roots(byte) => roots.iter().for_each(|root| fill(*root, PAGE, byte)),
            Self::KernelHalves(byte) => roots.iter().for_each(|root| fill(*root + 0x800, 0x800, byte)),
            Self::KernelToo => {
                let pages = (0..truth.kernel_size).step_by(PAGE).map(|page| truth.kernel_base + page);
                let mapped = pages
                    .filter(|page| edited.entry(truth.dtb, *page).is_some_and(|entry| edited.u64_at(entry) & 1 == 1));
                let frames: Vec<u64> = mapped.map(|page| edited.physical(truth.dtb, page)).collect();
                assert!(frames.contains(&truth.kernel_physical));
                frames.iter().for_each(|frame| fill(*frame, PAGE, 0));
                roots.iter().for_each(|root| fill(*root + 0x800, 0x800, 0));
            }
            Self::PoolTables => {
                let objects = truth.processes.iter().map(|process| process.eprocess);
                let tables: BTreeSet<u64> = objects.map(|at| edited.entry(truth.dtb, at).unwrap() & !0xfff).collect();
                tables.iter().for_each(|table| fill(*table, PAGE, 0));
            }
            Self::AllTables => {
                let pages = |process: &TruthProcess| [process.eprocess, process.eprocess + PAGE as u64];
                let tables: BTreeSet<u64> =
                    truth.processes.iter().flat_map(pages).filter_map(|at| edited.entry(truth.dtb, at)).collect();
                tables.iter().for_each(|table| fill(*table & !0xfff, PAGE, 0));
                roots.iter().for_each(|root| fill(*root + 0x800, 0x800, 0));
            }
            Self::Behind(percent) => {
                let end = bytes.len() / 100 * percent / PAGE * PAGE;
                bytes.truncate(end);
            }
        }
        (edited.forged, bytes)
    }
}

/// What was carved. `None`: a kernel is found.
fn carved(image: &MemoryImage, store: &SymbolStore) -> Option<System> {
    match image.locate_kernel(store) {
        Ok(_) => None,
        Err(Error::NoKernel(_) | Error::Symbols(_)) => Some(image.carve(store, &|_, _| ()).unwrap().read()),
        Err(error) => panic!("{error}"),
    }
}

/// Every process whose object is in the image is there, as the truth has it, and nobody else.
/// Returns how many of those that are over lack what lies in another page.
fn assert_told(who: &str, system: &System, forged: &Forged, end: u64, with_user_half: bool) -> usize {
    assert!(system.processes.is_carved(), "{who}");
    let items = &system.processes.items;
    let expected: Vec<_> = forged.truth.processes.iter().filter(|process| process.physical < end).collect();
    let mut ended_and_cut = 0;
    for truth in &expected {
        let who = format!("{who}: pid {} {}", truth.pid, truth.name_text());
        let own = items.iter().find(|own| own.eprocess.value().is_some_and(|at| at.0 == truth.eprocess));
        let own = own.unwrap_or_else(|| panic!("{who} is not carved"));
        // No thread leads to the second page of who is over, and without page tables nothing does.
        let lost = |absent: Option<&ntmem::Absent>| absent.is_some_and(|why| why.to_string().contains("page behind"));
        if truth.exited.is_some() && (lost(own.ppid.absent()) || lost(own.name.absent()) || lost(own.exited.absent())) {
            ended_and_cut += 1;
            continue;
        }
        assert_eq!(own.pid.value(), Some(&truth.pid), "{who}");
        assert_eq!(own.ppid.value(), Some(&truth.ppid), "{who}");
        assert_eq!(own.name.value().map(String::as_str), Some(truth.name_text().as_str()), "{who}");
        let text = |time: &ntmem::Timestamp| time.to_string();
        let row = serde_json::to_value(own).unwrap();
        assert_eq!(
            own.created.value().map(text),
            Some(truth.created.to_string()).filter(|_| !own.created.is_nothing()),
            "{who}"
        );
        assert_eq!(own.exited.value().map(text), truth.exited.map(|exited| exited.to_string()), "{who}");
        assert_eq!(own.dtb.value().map(|dtb| dtb.0), Some(truth.dtb & !0xfff), "{who}");
        assert_eq!(own.threads.value(), Some(&truth.threads), "{who}");
        assert_eq!(own.physical.value().map(|at| at.0), Some(truth.physical), "{who}");
        assert_eq!(own.sources, [Source::Carved], "{who}");
        if with_user_half && truth.exited.is_none() && truth.command_line.is_some() {
            assert_eq!(row["command_line"], truth.command_line.clone().unwrap(), "{who}: {}", row["absent"]);
        }
        // What the kernel's half would tell is not guessed.
        for name in ["shares_kernel", "freed", "inside"] {
            assert!(row[name].is_null() && !row["absent"][name].is_null(), "{who}: {name}");
        }
    }
    assert_eq!(items.len(), expected.len(), "{who}");
    ended_and_cut
}

#[test]
fn processes_are_carved_where_the_kernel_is_lost() {
    let mut lost_kernels = 0;
    for build in BUILDS {
        for lost in ALL {
            let (forged, bytes) = lost.of(&Scenario::clean(build));
            let end = bytes.len() as u64;
            let own = Opened::with_bytes(&forged, bytes.clone());
            // With the symbols of this very kernel, and with the table in the crate alone.
            for (symbols, store) in [("own", &own.store), ("table", &SymbolStore::new())] {
                let who = format!("{build:?} {lost:?} {symbols}");
                let image = MemoryImage::from_bytes(bytes.clone()).unwrap();
                let Some(system) = carved(&image, store) else {
                    assert!(matches!(lost, Lost::Behind(_)), "{who}: a kernel is found");
                    continue;
                };
                lost_kernels += 1;
                let with_user_half = matches!(lost, Lost::KernelHalves(_) | Lost::KernelToo);
                assert_eq!(assert_told(&who, &system, &forged, end, with_user_half), 0, "{who}");
                let findings = check_smss(&system);
                assert_eq!(findings.verdict, Verdict::Inconclusive, "{who}");
                assert_eq!(findings.violations().filter(|outcome| outcome.counts()).count(), 0, "{who}");
                let document = document(&system);
                assert!(
                    document["kernel"]["base"].is_null() && !document["kernel"]["absent"]["base"].is_null(),
                    "{who}"
                );
                if build != Build::W7_7601 && matches!(lost, Lost::Roots(_) | Lost::KernelHalves(_)) {
                    let truth = &forged.truth;
                    assert_eq!(document["kernel"]["build"], truth.build, "{who}");
                    assert_eq!(document["system"]["captured"], truth.captured.to_string(), "{who}");
                }
                // A saved document is judged alike.
                let read: ntmem::Report = serde_json::from_value(document).unwrap();
                assert_eq!(check_smss(&read.system).verdict, Verdict::Inconclusive, "{who}");
            }
        }
    }
    assert!(lost_kernels >= 30, "{lost_kernels}");
}

#[test]
fn a_carved_suspect_is_named_and_decides_that_nothing_is_clean() {
    let hidden = |build| {
        let mut hidden = Scenario::clean(build).with_impostor(Impostor::Late);
        let fake = hidden.process(3636);
        (fake.linked, fake.unlinked) = (false, Unlinked::Alone);
        hidden
    };
    for build in BUILDS {
        for lost in [Lost::Roots(0), Lost::KernelHalves(0xff), Lost::KernelToo] {
            for (name, scenario) in
                [("all", Scenario::clean(build).with_impostor(Impostor::All)), ("hidden", hidden(build))]
            {
                let (forged, bytes) = lost.of(&scenario);
                let opened = Opened::with_bytes(&forged, bytes);
                let system = carved(&opened.image, &opened.store).unwrap();
                let findings = check_smss(&system);
                let who = format!("{build:?} {lost:?} {name}");
                assert_eq!(findings.verdict, Verdict::Inconclusive, "{who}");
                let one_master: Vec<_> = findings.of("SMSS-006").collect();
                assert!(
                    one_master.iter().any(|outcome| {
                        outcome.decides && outcome.observed.as_ref().is_some_and(|observed| observed.contains("3636"))
                    }),
                    "{who}: {one_master:?}"
                );
            }
        }
    }
}

/// The kernel is there, and what maps its objects and says what they are is not: no list leads to any process.
#[test]
fn processes_are_carved_beside_a_kernel_whose_tables_are_lost() {
    for build in BUILDS {
        for (scenario, dirty) in
            [(Scenario::clean(build), false), (Scenario::clean(build).with_impostor(Impostor::All), true)]
        {
            let (forged, bytes) = Lost::PoolTables.of(&scenario);
            let opened = Opened::with_bytes(&forged, bytes);
            let kernel = opened.image.locate_kernel(&opened.store).unwrap();
            assert!(matches!(System::read(&kernel), Err(Error::NoProcesses { .. })), "{build:?}");
            let system = System::read_with(&kernel, &ReadOptions { scan: true, ..ReadOptions::default() }).unwrap();
            let pids = |of: &mut dyn Iterator<Item = u64>| of.collect::<BTreeSet<u64>>();
            let items = &system.processes.items;
            let told = pids(&mut items.iter().filter_map(|process| process.pid.value().copied()));
            assert_eq!(told, pids(&mut forged.truth.processes.iter().map(|process| process.pid)), "{build:?}");
            assert!(items.iter().all(ntmem::Process::is_carved) && !system.processes.is_carved(), "{build:?}");
            let findings = check_smss(&system);
            assert_eq!(findings.verdict, Verdict::Inconclusive, "{build:?}");
            let decided = |pid: &str| {
                findings.outcomes.iter().any(|outcome| {
                    let observed = outcome.observed.as_deref().unwrap_or_default();
                    outcome.decides && (observed.contains(pid) || outcome.pid == pid.parse().ok())
                })
            };
            assert_eq!(decided("3636"), dirty, "{build:?}: {:#?}", findings.outcomes);
        }
    }
}

/// More objects that look like processes than a list takes, of which each says that it lies elsewhere: the list ends, says so, and nothing
/// is concluded from it.
#[test]
fn more_decoys_than_a_list_takes() {
    let edited = Edited::new(&Scenario::clean(Build::W7_7601));
    let size = 0x4d0;
    let object = edited.process(348).physical as usize;
    let object = &edited.bytes[object..object + size];
    // Three objects in a page, as its pool has them.
    let pages = 12_000;
    let mut bytes = vec![0u8; pages * PAGE];
    for n in 0..pages * 3 {
        let offset = [0x60, 0x570, 0xa80][n % 3];
        let at = n / 3 * PAGE + offset;
        let own = 0xffff_fa80_0000_0000_u64 + at as u64;
        bytes[at..at + size].copy_from_slice(object);
        // `Pcb.Header.WaitListHead` at 8, `Pcb.ProfileListHead` at 0x18.
        for head in [8, 0x18] {
            for link in [head, head + 8] {
                bytes[at + link..][..8].copy_from_slice(&(own + head as u64).to_le_bytes());
            }
        }
    }
    let image = MemoryImage::from_bytes(bytes).unwrap();
    let system = carved(&image, &SymbolStore::new()).unwrap();
    // The budget for records, or the cap of a list: whichever comes first.
    assert!((1..=1 << 15).contains(&system.processes.items.len()), "{}", system.processes.items.len());
    assert_eq!(system.processes.end, Some(ntmem::ListEnd::Limit));
}

/// A machine whose process objects begin anywhere in a page, as a segment heap places them: most go on in the next page, which lies
/// elsewhere in physical memory.
fn spread(build: Build) -> Scenario {
    let mut scenario = Scenario::clean(build);
    let pids: Vec<u64> = scenario.processes.iter().map(|process| process.pid).collect();
    for (n, pid) in (0u64..).zip(pids) {
        // Behind 0xfd0 not even the page-table root is in the first page.
        scenario.pool_forms.insert(pid, PoolForm::Segment { at: (n * 0x1b0 % PAGE as u64).min(0xfd0) });
    }
    scenario
}

/// Objects that lie across two pages are joined, by a page table that is left or by the lists that lead to what is in the second page.
#[test]
fn objects_across_two_pages_are_joined() {
    for build in [Build::W10_19045, Build::W11_26100] {
        for lost in [
            Lost::KernelHalves(0),
            Lost::KernelHalves(0xff),
            Lost::Roots(0),
            Lost::Roots(0xff),
            Lost::KernelToo,
            Lost::AllTables,
        ] {
            let (forged, bytes) = lost.of(&spread(build));
            let across = forged.truth.processes.iter().filter(|process| process.eprocess & 0xfff > 0xb90).count();
            assert!(across >= 4, "{across}");
            let own = Opened::with_bytes(&forged, bytes.clone());
            for (symbols, store) in [("own", &own.store), ("table", &SymbolStore::new())] {
                let image = MemoryImage::from_bytes(bytes.clone()).unwrap();
                let system = carved(&image, store).unwrap();
                let with_user_half = matches!(lost, Lost::KernelHalves(_) | Lost::KernelToo | Lost::AllTables);
                let who = format!("{build:?} {lost:?} {symbols}");
                let cut = assert_told(&who, &system, &forged, u64::MAX, with_user_half);
                assert!(cut == 0 || lost == Lost::AllTables, "{who}: {cut}");
            }
        }
    }
}

/// Where the second page is lost, or nothing leads to it, the process is listed by what the first one has, and what it lacks is said.
#[test]
fn what_lies_in_a_lost_second_page_is_said_to_be_lost() {
    for build in [Build::W10_19045, Build::W11_26100] {
        for byte in [0, 0xff] {
            let scenario = spread(build);
            let edited = Edited::new(&scenario);
            // Of these the id is in the second page.
            let id = edited.offset("_EPROCESS", "UniqueProcessId");
            let across = edited.forged.truth.processes.iter().filter(|p| (p.eprocess & 0xfff) + id >= PAGE as u64);
            let victims: Vec<TruthProcess> = across.take(3).cloned().collect();
            assert!(!victims.is_empty());
            let (forged, mut bytes) = Lost::KernelHalves(0).of(&scenario);
            for victim in &victims {
                let next = edited.physical(forged.truth.dtb, (victim.eprocess | 0xfff) + 1) as usize;
                bytes[next..next + PAGE].fill(byte);
            }
            let own = Opened::with_bytes(&forged, bytes);
            let system = carved(&own.image, &own.store).unwrap();
            assert_eq!(system.processes.items.len(), forged.truth.processes.len(), "{build:?}");
            for victim in &victims {
                let at = |process: &&ntmem::Process| process.eprocess.value().map(|at| at.0) == Some(victim.eprocess);
                let own = system.processes.items.iter().find(at).unwrap();
                let who = format!("{build:?} {byte:#x} {}", victim.pid);
                assert_eq!(own.dtb.value().map(|dtb| dtb.0), Some(victim.dtb & !0xfff), "{who}");
                let lost =
                    |absent: Option<&ntmem::Absent>| absent.is_some_and(|why| why.to_string().contains("page behind"));
                assert!(lost(own.pid.absent()) && lost(own.name.absent()), "{who}: {:?} {:?}", own.pid, own.name);
            }
            let findings = check_smss(&system);
            assert_eq!(findings.verdict, Verdict::Inconclusive, "{build:?}");
            let told = format!("{} of the processes", victims.len());
            assert!(system.warnings.iter().any(|warning| warning.message.contains(&told)), "{build:?}");
        }
    }
}

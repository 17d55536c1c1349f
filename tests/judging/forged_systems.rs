//! Which system of an image is judged: earlier boots, page tables that somebody made, pages that are missing.
#![allow(clippy::cast_possible_truncation)]

use crate::common::forged::Opened;
use ntmem::checks::Judgement;
use ntmem::kernel::LocateOptions;
use ntmem::{Error, Findings, PhysicalAddress, ReadOptions, Severity, System, Verdict, VirtualAddress, check_smss};
use ntmem_forge::systems::{Edit, together};
use ntmem_forge::{Build, CodeView, DumpType, Forged, Layout, Scenario, Time};

pub const BUILDS: [Build; 3] = [Build::W7_7601, Build::W10_19045, Build::W11_26100];
pub const KUSER: u64 = 0xffff_f780_0000_0000;
/// smss.exe of the forge's machines.
const SMSS: u64 = 348;

pub fn read(forged: &Forged, image: Vec<u8>) -> System {
    Opened::with_bytes(forged, image).system()
}

pub fn base(system: &System) -> u64 {
    system.kernel.as_ref().unwrap().base.unwrap().0
}

fn listed(forged: &Forged) -> usize {
    forged.truth.processes.iter().filter(|process| process.in_active_list).count()
}

/// All processes are there, and the system is this one.
pub fn assert_whole(what: &str, system: &System, forged: &Forged) {
    assert_eq!(base(system), forged.truth.kernel_base, "{what}");
    assert_eq!(system.processes.items.len(), listed(forged), "{what}");
}

pub fn outcome<'f>(findings: &'f Findings, id: &str, pid: Option<u64>) -> &'f ntmem::Outcome {
    findings
        .outcomes
        .iter()
        .find(|found| found.id == id && found.pid == pid)
        .unwrap_or_else(|| panic!("no {id} of {pid:?}"))
}

fn warned(system: &System, words: &[&str]) -> bool {
    system.warnings.iter().any(|warning| words.iter().all(|word| warning.message.contains(word)))
}

/// A machine of the build in memory from 8 MiB on, started and imaged so many days after the usual one.
pub fn elsewhere(build: Build, days: i64) -> Scenario {
    let mut scenario = Scenario::clean(build);
    let day = 86_400_000;
    scenario.seed += 1;
    scenario.memory = std::iter::once(0x80_0000..0xd0_0000).collect();
    scenario.paging.system_dtb += 0x80_0000;
    scenario.paging.low_stub = None;
    scenario.kernel.base += 0x1_2340_0000;
    let later = |time: Time| time.plus_ms(days * day);
    scenario.boot = later(scenario.boot);
    scenario.captured = later(scenario.captured);
    for process in &mut scenario.processes {
        process.created = later(process.created);
        process.exited = process.exited.map(later);
    }
    scenario
}

#[test]
fn an_earlier_boot_is_not_the_machine() {
    for build in BUILDS {
        let usual = Scenario::clean(build).forge();
        for days in [-3, 3] {
            let other = elsewhere(build, days).forge();
            let (first, last) = if days < 0 { (&other, &usual) } else { (&usual, &other) };
            let mut edit = Edit { image: together(&[&usual.image, &other.image]), root: usual.truth.dtb };
            // The stub leads to the machine, to the earlier boot, nowhere.
            for stub in [Some(last), Some(first), None] {
                edit.without_stub();
                if let Some(to) = stub {
                    edit.stub(0x1000, to.truth.dtb, to.truth.kernel_base + 0x1000);
                }
                let what =
                    format!("{build:?}, {days} days, stub to {:?}", stub.map(|to| to.truth.captured.to_string()));
                let opened = Opened::with_bytes(&usual, edit.image.clone());
                let system = opened.system();
                assert_whole(&what, &system, last);
                assert_eq!(system.machine.captured.value().unwrap().0, last.truth.captured.0, "{what}");
                let kernel = system.kernel.as_ref().unwrap();
                let [rival] = kernel.others.as_slice() else { panic!("{what}: {:?}", kernel.others) };
                assert_eq!(rival.base.unwrap().0, first.truth.kernel_base, "{what}");
                assert_eq!(rival.captured.unwrap().0, first.truth.captured.0, "{what}");
                assert_eq!(rival.lacks, None, "{what}");
                assert!(rival.build.is_some() && !rival.found_by.is_empty(), "{what}");
                assert!(kernel.undecided.is_none(), "{what}");
                assert!(warned(&system, &["also a system", &rival.dtb.unwrap().to_string()]), "{what}");
                let findings = check_smss(&system);
                assert_eq!(findings.verdict, Verdict::Clean, "{what}");
                assert!(findings.beside[0].contains("--dtb"), "{what}");
                // What is printed opens the other.
                let options = LocateOptions { dtb: rival.dtb, ..LocateOptions::default() };
                let kernel = opened.image.locate_kernel_with(&opened.store, &options).unwrap();
                assert_whole(&what, &System::read(&kernel).unwrap(), first);
            }
        }
    }
}

/// Two clocks that stopped alike, or a dump whose header leads to the earlier one: nobody can tell.
#[test]
fn what_cannot_be_told_is_inconclusive() {
    let usual = Scenario::clean(Build::W10_19045).forge();
    let other = elsewhere(Build::W10_19045, 0).forge();
    let system = read(&usual, together(&[&usual.image, &other.image]));
    assert!(system.kernel.as_ref().unwrap().undecided.is_some());
    let findings = check_smss(&system);
    assert_eq!(findings.verdict, Verdict::Inconclusive);
    assert_eq!(outcome(&findings, "SYS-03", None).outcome, Judgement::Unknown);

    let (earlier, later) = (&usual, elsewhere(Build::W10_19045, 1).forge());
    let mut dump = earlier.as_crash_dump(DumpType::Full);
    // The later system's memory is one more run: first page and number of pages.
    let (runs, pages) =
        (earlier.truth.runs.len(), (earlier.truth.runs.iter().map(|run| run.end - run.start).sum::<u64>()) >> 12);
    dump[0x88] += 1;
    dump[0x90..0x98].copy_from_slice(&(pages + 0x500).to_le_bytes());
    dump[0x98 + 16 * runs..0xa0 + 16 * runs].copy_from_slice(&0x800u64.to_le_bytes());
    dump[0xa0 + 16 * runs..0xa8 + 16 * runs].copy_from_slice(&0x500u64.to_le_bytes());
    dump.extend_from_slice(&later.image[0x80_0000..0xd0_0000]);
    let system = read(earlier, dump);
    assert!(system.kernel.as_ref().unwrap().undecided.as_ref().unwrap().contains("header"));
    assert_eq!(check_smss(&system).verdict, Verdict::Inconclusive);
}

/// Without the shared page its clocks are not known, and all else is.
#[test]
fn no_shared_page() {
    for build in BUILDS {
        let forged = Scenario::clean(build).forge();
        for (how, stub) in [("zero", true), ("ones", true), ("unmapped", true), ("zero", false), ("unmapped", false)] {
            let mut edit = Edit::of(&forged);
            let (entry, page) = edit.walk(KUSER);
            match how {
                "zero" => edit.put(page, &[0; 4096]),
                "ones" => edit.put(page, &[0xff; 4096]),
                _ => edit.put_u64(entry.unwrap(), 0),
            }
            if !stub {
                edit.without_stub();
            }
            let what = format!("{build:?}, {how}, stub {stub}");
            let opened = Opened::with_bytes(&forged, edit.image);
            let system = opened.system();
            assert_whole(&what, &system, &forged);
            assert!(system.machine.captured.absent().is_some(), "{what}");
            // The registry says it too.
            assert_eq!(system.machine.root.value().map(String::as_str), Some(r"C:\Windows"), "{what}");
            assert!(warned(&system, &["KUSER_SHARED_DATA"]), "{what}");
            assert!(system.kernel.unwrap().dtb.unwrap().0 == forged.truth.dtb, "{what}");
            for options in [
                LocateOptions { dtb: Some(PhysicalAddress(forged.truth.dtb)), ..LocateOptions::default() },
                LocateOptions {
                    kernel_base: Some(VirtualAddress(forged.truth.kernel_base)),
                    ..LocateOptions::default()
                },
            ] {
                let kernel = opened.image.locate_kernel_with(&opened.store, &options).unwrap();
                assert_whole(&what, &System::read(&kernel).unwrap(), &forged);
            }
        }
    }
}

/// Without a CodeView record no PDB is named; the layouts are those of the build.
#[test]
fn no_code_view_record() {
    for build in BUILDS {
        let mut scenario = Scenario::clean(build);
        scenario.kernel.codeview = CodeView::Missing;
        let forged = scenario.forge();
        for (stub, exports) in [(true, true), (false, true), (true, false), (false, false)] {
            let mut edit = Edit::of(&forged);
            if !stub {
                edit.without_stub();
            }
            if !exports {
                // The page that has the record has the exports too, as in small kernels.
                let header = edit.physical(forged.truth.kernel_base);
                let pe = header + edit.u64_at(header + 0x3c) % (1 << 32);
                let exports = edit.u64_at(pe + 24 + 112) % (1 << 32);
                let pages = (0..6).map(|page| forged.truth.kernel_base + exports + page * 0x1000);
                pages.filter(|page| edit.maps(*page)).collect::<Vec<_>>().into_iter().for_each(|page| edit.wipe(page));
            }
            let what = format!("{build:?}, stub {stub}, exports {exports}");
            let opened = Opened::with_bytes(&forged, edit.image);
            let system = opened.system();
            assert_whole(&what, &system, &forged);
            let kernel = system.kernel.as_ref().unwrap();
            assert_eq!(kernel.pdb, None, "{what}");
            assert!(kernel.absent["pdb"].detail.contains("CodeView"), "{what}");
            assert_eq!(
                check_smss(&system).verdict,
                Verdict::Clean,
                "{what}: {}",
                check_smss(&system).outcomes.iter().filter(|o| o.counts()).map(ToString::to_string).collect::<String>()
            );
            let given = LocateOptions {
                dtb: Some(PhysicalAddress(forged.truth.dtb)),
                kernel_base: Some(VirtualAddress(forged.truth.kernel_base)),
                ..LocateOptions::default()
            };
            let kernel = opened.image.locate_kernel_with(&opened.store, &given).unwrap();
            assert_whole(&what, &System::read(&kernel).unwrap(), &forged);
        }
    }
}

/// A root that maps itself, the shared page and the kernel's image, and no pool: a loader's, or one that was trimmed.
#[test]
fn sparse_roots_cost_no_answer() {
    for build in BUILDS {
        let forged = Scenario::clean(build).forge();
        for stub in [false, true] {
            let mut edit = Edit::of(&forged);
            edit.without_stub();
            let slot = edit.self_reference();
            for _ in 0..40 {
                let at = edit.free_page(0x10_0000);
                edit.put_u64(at + slot * 8, at | 0x63);
                for shared in [0x1ef, 0x1f0] {
                    let entry = edit.u64_at(forged.truth.dtb + shared * 8);
                    edit.put_u64(at + shared * 8, entry);
                }
                if stub {
                    edit.stub(0x2000, at, forged.truth.kernel_base + 0x1000);
                }
            }
            let system = read(&forged, edit.image);
            assert_whole(&format!("{build:?}"), &system, &forged);
            assert_eq!(system.kernel.as_ref().unwrap().dtb.unwrap().0, forged.truth.dtb, "{build:?}");
            assert_eq!(check_smss(&system).verdict, Verdict::Clean, "{build:?}");
        }
    }
}

/// A copy of the kernel's first page in front of the kernel names the right PDB and leads nowhere.
#[test]
fn copies_of_the_headers_cost_no_answer() {
    let forged = Scenario::clean(Build::W10_19045).forge();
    let mut edit = Edit::of(&forged);
    edit.without_stub();
    let header = edit.physical(forged.truth.kernel_base);
    let table = edit.walk(forged.truth.kernel_base).0.unwrap() & !0xfff;
    // Another table in front of the kernel's own: every page in it is the header.
    let copy = edit.page();
    for slot in 0..512 {
        edit.put_u64(copy + slot * 8, header | 0x63);
    }
    let mut root = edit.root;
    for shift in [39, 30] {
        root = edit.u64_at(root + ((forged.truth.kernel_base >> shift) & 0x1ff) * 8) & 0x000f_ffff_ffff_f000;
    }
    let own = (forged.truth.kernel_base >> 21) & 0x1ff;
    assert_eq!(edit.u64_at(root + own * 8) & 0x000f_ffff_ffff_f000, table);
    let free = (0..own).find(|slot| edit.u64_at(root + slot * 8) == 0).expect("room in front of the kernel");
    edit.put_u64(root + free * 8, copy | 0x63);
    let system = read(&forged, edit.image);
    assert_whole("copies of headers", &system, &forged);
    assert_eq!(check_smss(&system).verdict, Verdict::Clean);
}

/// No field of its own makes a process vanish, and one that runs without page tables is told.
#[test]
fn absurd_roots() {
    for build in BUILDS {
        let forged = Scenario::clean(build).forge();
        let dtb = Layout::of(build).offset("_EPROCESS", "Pcb.DirectoryTableBase");
        for pid in [4, SMSS] {
            for value in [0, 0xdead_b000, 0xdead_beef_dead_b000] {
                let mut edit = Edit::of(&forged);
                edit.write(forged.truth.process(pid).unwrap().eprocess + dtb, &u64::to_le_bytes(value));
                let what = format!("{build:?}, pid {pid}, {value:#x}");
                let system = read(&forged, edit.image);
                assert_whole(&what, &system, &forged);
                let process = system.processes.items.iter().find(|process| process.pid.value() == Some(&pid)).unwrap();
                let findings = check_smss(&system);
                if value == 0xdead_b000 {
                    assert_eq!(process.dtb.value(), Some(&PhysicalAddress(value)), "{what}");
                } else {
                    assert!(process.dtb.absent().unwrap().detail.contains(&format!("{value:#x}")), "{what}");
                }
                if pid == 4 {
                    assert_eq!(findings.verdict, Verdict::Violations, "{what}");
                }
                let found = outcome(&findings, "SYS-02", Some(pid));
                assert_eq!(found.outcome, Judgement::Violation, "{what}");
                assert!(findings.outcomes.iter().any(|o| o.id == "SMSS-002" && o.outcome == Judgement::Pass), "{what}");
            }
        }
    }
}

/// A driver that guards a game writes over its root while it does not run: the others say what kernel there is.
#[test]
fn a_game_that_is_guarded() {
    for build in BUILDS {
        let forged = Scenario::clean(build).forge();
        let dtb = Layout::of(build).offset("_EPROCESS", "Pcb.DirectoryTableBase");
        let mut edit = Edit::of(&forged);
        let game = forged.truth.processes.iter().find(|process| process.name_text() == "notepad.exe").unwrap();
        edit.write(game.eprocess + dtb, &0x1f_ffff_ffff_f000u64.to_le_bytes());
        let findings = check_smss(&read(&forged, edit.image));
        assert_eq!(outcome(&findings, "SYS-01", None).outcome, Judgement::Pass, "{build:?}");
        assert_eq!(outcome(&findings, "SYS-02", Some(game.pid)).severity, Some(Severity::Info), "{build:?}");
        assert_eq!(findings.verdict, Verdict::Clean, "{build:?}");
    }
}

/// An id that is not its own hides a process from whoever asks by id, and accuses another.
#[test]
fn ids_that_are_not_their_own() {
    for build in [Build::W7_7601, Build::W10_19045, Build::W11_26100] {
        let forged = Scenario::clean(build).forge();
        let layout = Layout::of(build);
        let field = layout.offset("_EPROCESS", "UniqueProcessId");
        let smss = forged.truth.process(SMSS).unwrap().eprocess;
        for pid in [0, 4, SMSS + 1, u64::MAX] {
            let mut edit = Edit::of(&forged);
            edit.write(smss + field, &pid.to_le_bytes());
            let what = format!("{build:?}, pid {pid:#x}");
            let findings = check_smss(&read(&forged, edit.image));
            let bad = |found: &&ntmem::Outcome| found.outcome == Judgement::Violation;
            let told: Vec<_> = findings.of("SMSS-021").filter(bad).collect();
            assert_eq!(told.len(), 1, "{what}");
            assert_eq!(told[0].pid, Some(pid), "{what}");
            let words = told[0].observed.as_deref().unwrap();
            assert!(words.contains(&format!("{pid:#x}")) || words.contains("System's"), "{what}: {words}");
            let named = ["SMSS-019", "SYS-13", "SYS-14"];
            assert!(!findings.outcomes.iter().any(|found| bad(&found) && named.contains(&&*found.id)), "{what}");
        }
    }
}

/// Page tables that show smss.exe as it was, while all processes see it as it is.
#[test]
fn decoy_views() {
    for build in [Build::W81_9600, Build::W10_19045, Build::W11_26100] {
        let forged = Scenario::clean(build).forge();
        let layout = Layout::of(build);
        let (protection, dtb) =
            (layout.offset("_EPROCESS", "Protection"), layout.offset("_EPROCESS", "Pcb.DirectoryTableBase"));
        let smss = forged.truth.process(SMSS).unwrap().eprocess;
        let own = forged.truth.process(4).unwrap().eprocess;
        for how in ["stub", "second stub", "root"] {
            let mut edit = Edit::of(&forged);
            let at = (how == "root").then(|| edit.free_page(0x10_0000));
            if how == "root" {
                edit.without_stub();
            }
            let root = edit.decoy(smss + protection, at);
            edit.write(own + dtb, &root.to_le_bytes());
            match how {
                "stub" => edit.put_u64(0x10a0, root),
                "second stub" => edit.stub(0x2000, root, forged.truth.kernel_base + 0x1000),
                _ => {}
            }
            edit.write(smss + protection, &[0]);
            let what = format!("{build:?}, {how}");
            let system = read(&forged, edit.image.clone());
            assert_whole(&what, &system, &forged);
            assert!(warned(&system, &["other tables than"]), "{what}: {:?}", system.warnings);
            let findings = check_smss(&system);
            assert_eq!(findings.verdict, Verdict::Violations, "{what}");
            let view = outcome(&findings, "SYS-01", None);
            assert_eq!((view.outcome, view.severity), (Judgement::Violation, Some(Severity::High)), "{what}");
            let alone = |pid: u64| {
                system
                    .processes
                    .items
                    .iter()
                    .find(|p| p.pid.value() == Some(&pid))
                    .unwrap()
                    .shares_kernel
                    .value()
                    .copied()
            };
            assert_eq!((alone(4), alone(SMSS)), (Some(false), Some(true)), "{what}");
        }
    }
}

/// One process with another kernel half may be anything: it is told, and the verdict waits for it.
#[test]
fn one_process_with_another_view() {
    let forged = Scenario::clean(Build::W10_19045).forge();
    let dtb = Layout::of(Build::W10_19045).offset("_EPROCESS", "Pcb.DirectoryTableBase");
    let mut edit = Edit::of(&forged);
    let smss = forged.truth.process(SMSS).unwrap();
    edit.root = smss.dtb;
    let root = edit.decoy(smss.eprocess, None);
    edit.root = forged.truth.dtb;
    edit.write(smss.eprocess + dtb, &root.to_le_bytes());
    let system = read(&forged, edit.image);
    assert_whole("one of them", &system, &forged);
    let findings = check_smss(&system);
    assert_eq!(outcome(&findings, "SYS-01", None).outcome, Judgement::Unknown);
    assert_eq!(findings.verdict, Verdict::Inconclusive);
}

/// All processes of a clean machine share the kernel half, and nothing else is told.
#[test]
fn clean_machines() {
    for build in Build::ALL {
        let forged = Scenario::clean(build).forge();
        let system = read(&forged, forged.image.clone());
        let kernel = system.kernel.as_ref().unwrap();
        assert!(kernel.others.is_empty() && kernel.undecided.is_none(), "{build:?}");
        assert_eq!(system.warnings, [], "{build:?}");
        for process in system.processes.items.iter().filter(|process| process.is_live()) {
            assert_eq!(process.shares_kernel.value(), Some(&true), "{build:?}: {:?}", process.pid);
        }
        let findings = check_smss(&system);
        assert_eq!(outcome(&findings, "SYS-01", None).outcome, Judgement::Pass, "{build:?}");
        assert_eq!(outcome(&findings, "SYS-03", None).outcome, Judgement::Pass, "{build:?}");
        assert!(findings.of("SYS-02").all(|found| found.outcome == Judgement::Pass), "{build:?}");
    }
}

/// Five levels of page tables, of which each process has the fourth for itself: what all share hangs one level lower.
#[test]
fn five_levels_with_a_fourth_of_its_own() {
    for build in [Build::W10_19045, Build::W11_26100] {
        let forged = Scenario::clean(build).forge();
        let mut edit = Edit::of(&forged);
        let (slot, field) = (edit.self_reference(), Layout::of(build).offset("_EPROCESS", "Pcb.DirectoryTableBase"));
        for process in forged.truth.processes.iter().filter(|process| process.exited.is_none()) {
            let top = edit.page();
            let user = edit.page();
            for (at, to) in [(511, process.dtb | 0x63), (0, user | 0x67), (slot, top | 0x63)] {
                edit.put_u64(top + at * 8, to);
            }
            for at in 0..256 {
                let entry = edit.u64_at(process.dtb + at * 8);
                edit.put_u64(user + at * 8, entry);
            }
            edit.put_u64(process.dtb + slot * 8, 0);
            edit.write(process.eprocess + field, &top.to_le_bytes());
            if process.pid == 4 {
                edit.put_u64(0x10a0, top);
            }
        }
        let opened = Opened::with_bytes(&forged, edit.image);
        let kernel = opened.kernel();
        assert_eq!(kernel.space().architecture().name, "la57", "{build:?}");
        for scan in [false, true] {
            let system = System::read_with(&kernel, &ReadOptions { scan, ..ReadOptions::default() }).unwrap();
            assert_whole(&format!("{build:?}"), &system, &forged);
            let findings = check_smss(&system);
            assert_eq!(outcome(&findings, "SYS-01", None).outcome, Judgement::Pass, "{build:?}");
            let open: Vec<String> = findings.unknown().map(ToString::to_string).collect();
            assert_eq!(findings.verdict, Verdict::Clean, "{build:?}, scan {scan}: {open:#?}");
            if scan {
                assert_eq!(outcome(&findings, "SYS-05", None).outcome, Judgement::Pass, "{build:?}");
            }
        }
    }
}

/// What a failure advises works on this very image.
#[test]
fn advice_that_works() {
    let forged = Scenario::clean(Build::W10_19045).forge();
    let opened = Opened::new(&forged);
    let wrong = LocateOptions { dtb: Some(PhysicalAddress(0x5000)), ..LocateOptions::default() };
    let Err(Error::NoKernel(failure)) = opened.image.locate_kernel_with(&opened.store, &wrong) else { panic!() };
    let text = failure.to_string();
    let advised = text.split("--dtb ").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
    let advised = u64::from_str_radix(advised.trim_start_matches("0x"), 16).unwrap();
    assert_eq!(advised, forged.truth.dtb, "{text}");
    let right = LocateOptions { dtb: Some(PhysicalAddress(advised)), ..LocateOptions::default() };
    opened.image.locate_kernel_with(&opened.store, &right).unwrap();
}

/// Writes the clock of the shared page: `SystemTime` is at 0x14, its high part twice (`_KSYSTEM_TIME`, ntddk.h).
pub fn set_clock(edit: &mut Edit, root: u64, time: u64) {
    let own = std::mem::replace(&mut edit.root, root);
    let page = edit.physical(KUSER);
    edit.root = own;
    let [low, high] = [time as u32, (time >> 32) as u32].map(u32::to_le_bytes);
    edit.put(page + 0x14, &[low, high, high].concat());
}

/// Whoever sets the clock of an earlier boot's shared page on has it judged, but not without a word.
#[test]
fn a_clock_alone_does_not_prove_who_ran_last() {
    for build in BUILDS {
        let usual = Scenario::clean(build).forge();
        let earlier = elsewhere(build, -3).forge();
        for stub in [Some(&usual), Some(&earlier), None] {
            let mut edit = Edit { image: together(&[&usual.image, &earlier.image]), root: usual.truth.dtb };
            edit.without_stub();
            if let Some(to) = stub {
                edit.stub(0x1000, to.truth.dtb, to.truth.kernel_base + 0x1000);
            }
            set_clock(&mut edit, earlier.truth.dtb, usual.truth.captured.0 + 36_000_000_000);
            let system = read(&usual, edit.image);
            let why = system.kernel.as_ref().unwrap().undecided.clone().expect("it cannot be told");
            assert!(why.contains("not stopped"), "{why}");
            assert_eq!(check_smss(&system).verdict, Verdict::Inconclusive, "{build:?}");
        }
    }
}

/// Without the shared page of one system or of both, what was made in each tells which ran last.
#[test]
fn stamps_tell_who_ran_last_where_clocks_are_gone() {
    for build in BUILDS {
        let usual = Scenario::clean(build).forge();
        for days in [-3, 3] {
            let other = elsewhere(build, days).forge();
            let (first, last) = if days < 0 { (&other, &usual) } else { (&usual, &other) };
            for gone in [vec![first], vec![last], vec![first, last]] {
                let mut edit = Edit { image: together(&[&usual.image, &other.image]), root: usual.truth.dtb };
                edit.without_stub();
                for system in gone {
                    edit.root = system.truth.dtb;
                    edit.wipe(KUSER);
                }
                let system = read(&usual, edit.image);
                let what = format!("{build:?}, {days} days");
                assert_whole(&what, &system, last);
                let kernel = system.kernel.as_ref().unwrap();
                assert_eq!(kernel.undecided, None, "{what}");
                assert_eq!(kernel.others.len(), 1, "{what}");
                assert!(!kernel.found_by.as_ref().unwrap().contains("by hand"), "{what}: {:?}", kernel.found_by);
                assert_ne!(check_smss(&system).verdict, Verdict::Violations, "{what}");
            }
        }
    }
}

/// Of a large image a quick look takes the first 16 MiB, and says so; `--scan` finds the other system behind them.
#[test]
fn a_system_behind_the_quick_look() {
    let build = Build::W10_19045;
    let usual = Scenario::clean(build).forge();
    let mut scenario = elsewhere(build, 2);
    let up = 0x480_0000 - 0x80_0000;
    scenario.memory = std::iter::once(0x480_0000..0x4d0_0000).collect();
    scenario.paging.system_dtb += up;
    let later = scenario.forge();
    let path = std::env::temp_dir().join(format!("ntmem-behind-{}.raw", std::process::id()));
    std::fs::write(&path, together(&[&usual.image, &later.image])).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(600 << 20).unwrap();
    let image = ntmem::MemoryImage::open(&path).unwrap();
    let store = Opened::new(&usual).store;
    let quick = System::read(&image.locate_kernel(&store).unwrap()).unwrap();
    assert_whole("quick", &quick, &usual);
    assert_eq!(quick.kernel.as_ref().unwrap().others_searched, Some(false));
    let findings = check_smss(&quick);
    assert!(outcome(&findings, "SYS-03", None).observed.as_ref().unwrap().contains("16 MiB"));
    let options = LocateOptions { thorough: true, ..LocateOptions::default() };
    let thorough = System::read(&image.locate_kernel_with(&store, &options).unwrap()).unwrap();
    assert_whole("thorough", &thorough, &later);
    assert_eq!(thorough.kernel.as_ref().unwrap().others_searched, Some(true));
    assert_eq!(thorough.kernel.as_ref().unwrap().others.len(), 1);
    drop(image);
    let _ = std::fs::remove_file(&path);
}

/// What the two stamps of one process's creation say of it: `CreateTime` and `CreateInterruptTime` (8.1 on).
#[test]
fn two_stamps_of_one_creation() {
    let hours = 2 * 3_600_000;
    for build in [Build::W10_17763, Build::W10_19045, Build::W11_26100] {
        let judged = |change: &dyn Fn(&mut Scenario)| {
            let mut scenario = Scenario::clean(build);
            change(&mut scenario);
            let forged = scenario.forge();
            check_smss(&read(&forged, forged.image.clone()))
        };
        let clean = judged(&|_| ());
        assert_eq!(outcome(&clean, "SYS-04", None).outcome, Judgement::Pass, "{build:?}");
        assert_eq!(clean.verdict, Verdict::Clean, "{build:?}");
        // It came late, and its creation time was written over; the other way round.
        let dressed = judged(&|scenario| {
            scenario.interrupt_ahead.insert(SMSS, hours);
        });
        let odd = outcome(&dressed, "SYS-04", Some(SMSS));
        assert_eq!(odd.severity, Some(Severity::Low), "{build:?}");
        assert!(odd.observed.as_ref().unwrap().contains("-7200.000 s"), "{build:?}: {:?}", odd.observed);
        assert_eq!(outcome(&dressed, "SMSS-012", Some(SMSS)).severity, Some(Severity::High), "{build:?}");
        let aged = judged(&|scenario| {
            let smss = scenario.process(SMSS);
            smss.created = smss.created.plus_ms(hours);
            scenario.interrupt_ahead.insert(SMSS, -hours);
        });
        assert_eq!(outcome(&aged, "SYS-04", Some(SMSS)).outcome, Judgement::Violation, "{build:?}");
        assert_eq!(outcome(&aged, "SMSS-012", Some(SMSS)).severity, Some(Severity::High), "{build:?}");
        // A clock that was set, at any moment and by any amount, is none of theirs.
        for seconds in [9 * 3600, -9 * 3600, 40, -7] {
            let stepped = judged(&|scenario| *scenario = scenario.clone().with_clock_step(seconds));
            assert_eq!(outcome(&stepped, "SYS-04", None).outcome, Judgement::Pass, "{build:?}, {seconds} s");
            // Between System and smss.exe: only interrupt time tells how far they are apart.
            let early = judged(&|scenario| {
                let started = scenario.process(SMSS).created;
                for process in scenario.processes.iter_mut().filter(|process| process.created >= started) {
                    process.created = process.created.plus_ms(seconds * 1000);
                    scenario.interrupt_ahead.insert(process.pid, -seconds * 1000);
                }
            });
            assert_eq!(outcome(&early, "SYS-04", None).outcome, Judgement::Pass, "{build:?}, {seconds} s");
            assert_eq!(outcome(&early, "SMSS-012", Some(SMSS)).outcome, Judgement::Pass, "{build:?}, {seconds} s");
        }
    }
    let old = Scenario::clean(Build::W8_9200).forge();
    let findings = check_smss(&read(&old, old.image.clone()));
    assert_eq!(outcome(&findings, "SYS-04", None).outcome, Judgement::NotApplicable);
}

//! The search of physical memory on forged machines: every form in which a process object is allocated, and what is left of
//! those that are over.

use crate::common::forged::Opened;
use ntmem::{Process, ReadOptions, Reading, System, Verdict, check_smss};
use ntmem_forge::relics::ended;
use ntmem_forge::{Build, Damage, Forged, Layout, PoolForm, Relic, Remains, Scenario};

const ODD: u64 = 804;

fn scan(forged: &Forged) -> System {
    let opened = Opened::new(forged);
    System::read_with(&opened.kernel(), &ReadOptions { scan: true, ..ReadOptions::default() }).unwrap()
}

fn at(system: &System, address: u64) -> Option<&Process> {
    system.processes.items.iter().find(|p| p.eprocess.value().is_some_and(|own| own.0 == address))
}

fn has(process: &Process, source: &str) -> bool {
    process.sources.iter().any(|own| own == source)
}

fn roomy(build: Build) -> Scenario {
    let mut scenario = Scenario::clean(build);
    scenario.memory = vec![0x1000..0x9_f000, 0x10_0000..0x400_0000];
    scenario
}

/// Hides a process from every list, and has its object in this form.
fn hidden(build: Build, form: PoolForm) -> Forged {
    let mut scenario = roomy(build);
    let process = scenario.process(ODD);
    (process.linked, process.in_cid_table, process.session) = (false, false, None);
    scenario.pool_forms.insert(ODD, form);
    scenario.forge()
}

fn assert_found(forged: &Forged, what: &str) {
    let truth = forged.truth.process(ODD).unwrap();
    let system = scan(forged);
    let process = at(&system, truth.eprocess).unwrap_or_else(|| panic!("{what}: not found"));
    assert!(has(process, "pool_scan"), "{what}: {:?}", process.sources);
    assert!(has(process, "thread_scan"), "{what}: {:?}", process.sources);
    assert_eq!(process.pid.value(), Some(&ODD), "{what}");
    assert_eq!(process.physical.value().map(|at| at.0), Some(truth.physical), "{what}");
    assert_eq!(process.freed, Reading::Value(false), "{what}");
    assert_eq!(system.processes.items.len(), forged.truth.processes.len(), "{what}");
}

#[test]
fn small_blocks_with_any_optional_headers() {
    for build in [Build::W7_7601, Build::W81_9600, Build::W10_19045, Build::W11_26100] {
        for mask in [0, 1, 2, 3, 4, 7, 8, 0xc, 0x13, 0x1f] {
            assert_found(&hidden(build, PoolForm::Headers(mask)), &format!("{build:?} headers {mask:#x}"));
        }
    }
}

#[test]
fn pages_of_its_own_another_tag_and_a_segment_heap() {
    for build in [Build::W7_7601, Build::W10_17763, Build::W10_19045, Build::W11_22621] {
        assert_found(&hidden(build, PoolForm::Big), &format!("{build:?} big"));
        assert_found(&hidden(build, PoolForm::Tag(*b"Wrng")), &format!("{build:?} tag"));
        // From the first place in a page to the last, where nearly all of the object is in the next frame.
        for place in [0, 0x10, 0x30, 0x7f0, 0xa80, 0xc00, 0xe80, 0xfd0, 0xfe0, 0xff0] {
            let forged = hidden(build, PoolForm::Segment { at: place });
            assert_eq!(forged.truth.process(ODD).unwrap().eprocess & 0xfff, place);
            assert_found(&forged, &format!("{build:?} at {place:#x} of a page"));
        }
    }
}

#[test]
fn what_shows_no_sign_of_a_process_is_found_by_its_threads() {
    for build in [Build::W7_7601, Build::W10_19045, Build::W11_26100] {
        let mut scenario = roomy(build);
        let process = scenario.process(ODD);
        (process.linked, process.in_cid_table, process.session) = (false, false, None);
        scenario.pool_forms.insert(ODD, PoolForm::Tag(*b"Wrng"));
        scenario.damage.push(Damage::Field { pid: ODD, path: "Pcb.Header.Type", value: 0 });
        let forged = scenario.forge();
        let system = scan(&forged);
        let process = at(&system, forged.truth.process(ODD).unwrap().eprocess).unwrap();
        assert_eq!(process.sources, ["thread_scan", "root_scan"], "{build:?}");
        let view = system.processes.views.iter().find(|view| view.source == "thread_scan").unwrap();
        let running = forged.truth.processes.iter().filter(|p| p.threads > 0).count();
        assert_eq!(view.processes.value(), Some(&(running as u64)), "{build:?}");
    }
}

fn with_relic(build: Build, form: PoolForm, remains: Remains) -> Forged {
    let mut scenario = roomy(build);
    let process = ended(scenario.process(ODD), 0x5550);
    scenario.relics.push(Relic { process, form, remains });
    scenario.forge()
}

#[test]
fn what_was_freed_is_shown_as_freed() {
    let segment = PoolForm::Segment { at: 0x840 };
    for build in [Build::W7_7601, Build::W10_17763, Build::W10_19045, Build::W11_22621] {
        for (form, remains) in [
            (PoolForm::Block, Remains::Freed),
            (PoolForm::Block, Remains::HalfOverwritten),
            (PoolForm::Big, Remains::Freed),
            (PoolForm::Big, Remains::Unmapped),
            (PoolForm::Big, Remains::HalfOverwritten),
            (segment, Remains::Freed),
            (segment, Remains::HalfOverwritten),
            (segment, Remains::Unmapped),
            // Its end lies in another frame, which is not found any more.
            (PoolForm::Segment { at: 0xa00 }, Remains::Unmapped),
        ] {
            let what = format!("{build:?} {form:?} {remains:?}");
            let forged = with_relic(build, form, remains);
            let truth = &forged.truth.relics[0].process;
            let system = scan(&forged);
            let process = at(&system, truth.eprocess).unwrap_or_else(|| panic!("{what}: not found"));
            assert_eq!(process.freed, Reading::Value(true), "{what}");
            assert_eq!(process.sources, ["pool_scan"], "{what}");
            assert_eq!(process.pid.value(), Some(&0x5550), "{what}");
            assert!(!process.is_live(), "{what}: {:?}", process.liveness());
            assert_eq!(system.processes.items.len(), forged.truth.processes.len() + 1, "{what}");
            let others =
                system.processes.items.iter().filter(|p| !has(p, "pool_scan") || p.pid.value() != Some(&0x5550));
            assert!(others.into_iter().all(|p| p.freed == Reading::Value(false)), "{what}");
        }
    }
}

#[test]
fn a_free_block_tells_where_pools_mark_them() {
    for (build, freed) in [(Build::W7_7601, true), (Build::W10_17763, true), (Build::W10_19045, false)] {
        let forged = with_relic(build, PoolForm::Block, Remains::FreeBlock);
        let system = scan(&forged);
        let process = at(&system, forged.truth.relics[0].process.eprocess).unwrap();
        assert_eq!(process.freed, Reading::Value(freed), "{build:?}");
        assert!(!process.is_live());
    }
}

#[test]
fn decoys_are_no_processes_and_copies_are_one() {
    for build in [Build::W7_7601, Build::W10_19045, Build::W11_22621] {
        for (form, remains, more) in [
            (PoolForm::Block, Remains::OtherContent, 0),
            (PoolForm::Big, Remains::OtherContent, 0),
            (PoolForm::Block, Remains::Copy, 1),
            (PoolForm::Tag(*b"Decy"), Remains::Whole, 1),
        ] {
            let forged = with_relic(build, form, remains);
            let system = scan(&forged);
            let what = format!("{build:?} {form:?} {remains:?}");
            assert_eq!(system.processes.items.len(), forged.truth.processes.len() + more, "{what}");
            let found = at(&system, forged.truth.relics[0].process.eprocess);
            assert_eq!(found.is_some(), more == 1, "{what}");
            if let Some(process) = found {
                assert_eq!(process.physical.value().map(|at| at.0), Some(forged.truth.relics[0].process.physical));
            }
        }
    }
}

#[test]
fn one_pid_in_several_objects() {
    let mut scenario = roomy(Build::W10_19045);
    let model = scenario.process(ODD).clone();
    for n in 0..3i64 {
        let mut process = ended(&model, ODD);
        process.created = process.created.plus_ms(-n * 1000 - 1000);
        scenario.relics.push(Relic { process, form: PoolForm::Block, remains: Remains::Whole });
    }
    let forged = scenario.forge();
    let system = scan(&forged);
    let same: Vec<_> = system.processes.items.iter().filter(|p| p.pid.value() == Some(&ODD)).collect();
    assert_eq!(same.len(), 4);
    assert_eq!(same.iter().filter(|p| p.is_live()).count(), 1);
    for relic in &forged.truth.relics {
        let process = at(&system, relic.process.eprocess).unwrap();
        assert_eq!(process.created.value().map(|at| at.0), Some(relic.process.created.0));
        assert!(process.has_exited() && process.freed == Reading::Value(false));
    }
}

#[test]
fn what_is_left_of_others_makes_no_clean_machine_dirty() {
    for build in [Build::W7_7601, Build::W10_19045, Build::W11_22621] {
        let system = scan(&roomy(build).with_relics(48).forge());
        assert!(system.processes.items.len() > 40, "{build:?}");
        let findings = check_smss(&system);
        let violations: Vec<String> = findings.violations().map(ToString::to_string).collect();
        assert_eq!(findings.verdict, Verdict::Clean, "{build:?}: {violations:#?}");
    }
}

/// What a freed object, or one of an earlier boot, leads to is another's by now: its handle table is that of a csrss.exe, which may
/// open smss.exe.
#[test]
fn handles_of_others_are_not_those_of_what_is_past() {
    let builds = [Build::W7_7601, Build::W10_19045, Build::W11_22621];
    let remains = [(Remains::Freed, 0), (Remains::Whole, -1_000_000_000)];
    for (build, (remains, earlier)) in builds.into_iter().flat_map(|build| remains.map(|remains| (build, remains))) {
        let mut scenario = roomy(build);
        scenario.process(452).opens.push((348, 0x1f_ffff));
        let mut process = ended(scenario.process(ODD), 0x5550);
        process.created = process.created.plus_ms(earlier);
        scenario.relics.push(Relic { process, form: PoolForm::Block, remains });
        let mut forged = scenario.forge();
        let field = Layout::of(build).offset("_EPROCESS", "ObjectTable");
        let place = |physical: u64| usize::try_from(physical + field).unwrap();
        let table = place(forged.truth.process(452).unwrap().physical);
        let stale = place(forged.truth.relics[0].process.physical);
        forged.image.copy_within(table..table + 8, stale);
        let findings = check_smss(&scan(&forged));
        let violations: Vec<String> = findings.violations().map(ToString::to_string).collect();
        assert_eq!(findings.verdict, Verdict::Clean, "{build:?}: {violations:#?}");
    }
}

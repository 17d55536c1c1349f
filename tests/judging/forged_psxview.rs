//! The cross view of forged machines: every process is found where it was put and nowhere else, and what hides is told from what is
//! over, in the making, or lost by a torn list.

use crate::common::forged::Opened;
use ntmem::picture::{Explanation, Picture, Sighting};
use ntmem::process::Source;
use ntmem::{Creator, ListEnd, ReadOptions, Severity, System, check_smss};
use ntmem_forge::{
    Build, Damage, Forged, Impostor, JobPlan, Place, Scenario, TruthProcess, Unlinked, variants::UNMAPPED,
};

/// What finds a process by its object or its handle, and not by a list that the truth knows.
const OTHER: [&str; 4] = ["handles", "pool_scan", "thread_scan", "root_scan"];
/// The impostor's pid.
const HIDDEN: u64 = 3636;

fn read(forged: &Forged, scan: bool) -> System {
    let opened = Opened::new(forged);
    let kernel = opened.kernel();
    System::read_with(&kernel, &ReadOptions { scan, ..ReadOptions::default() }).unwrap()
}

fn cross_view(system: &System) -> Vec<Sighting> {
    Picture::new(system).cross_view().to_vec()
}

fn of(system: &System, process: &TruthProcess) -> Option<Sighting> {
    cross_view(system).into_iter().find(|seen| seen.eprocess.map(|at| at.0) == Some(process.eprocess))
}

fn lists(sighting: &Sighting) -> Vec<String> {
    let names = sighting.sources.iter().map(Source::to_string);
    let mut lists: Vec<String> = names.filter(|own| !OTHER.contains(&own.as_str())).collect();
    lists.sort_unstable();
    lists
}

/// Every process is where the truth has it, once, and those of which `hidden` is true are told to hide, and no others.
fn assert_seen(name: &str, forged: &Forged, scan: bool, hidden: impl Fn(&TruthProcess) -> bool) -> System {
    let system = read(forged, scan);
    assert_eq!(cross_view(&system).len(), system.processes.items.len(), "{name}");
    assert!(system.processes.items.len() <= forged.truth.processes.len(), "{name}: more than there are");
    for process in &forged.truth.processes {
        let who = format!("{name}, scan {scan}: {} {}", process.pid, process.name_text());
        let mut held = process.sources.clone();
        held.sort_unstable();
        match of(&system, process) {
            Some(sighting) => {
                assert_eq!(lists(&sighting), held, "{who}");
                assert_eq!(sighting.hidden, hidden(process), "{who}: {sighting:?}");
                assert_eq!(scan, sighting.sources.contains(&Source::PoolScan), "{who}");
            }
            None => assert!(held.is_empty() && !scan, "{who} is not found"),
        }
    }
    system
}

fn explanation(system: &System, forged: &Forged, pid: u64) -> Option<Explanation> {
    of(system, forged.truth.process(pid).unwrap()).map(|sighting| sighting.explanation)
}

#[test]
fn nothing_hides_on_clean_machines() {
    for build in Build::ALL {
        let mut machine = Scenario::clean(build).with_exited_session_children().with_reused_ids();
        (machine.on_processors, machine.processors) = (vec![2260, 4], 3);
        (machine.ring_heads, machine.idle_process) = (true, true);
        for (name, scenario) in [("clean", Scenario::clean(build)), ("busy", machine)] {
            let forged = scenario.forge();
            for scan in [false, true] {
                let system = assert_seen(&format!("{build:?} {name}"), &forged, scan, |_| false);
                for (process, sighting) in system.processes.items.iter().zip(cross_view(&system)) {
                    let expected =
                        if process.has_exited() { Explanation::ExitedReferenced } else { Explanation::Listed };
                    assert_eq!(sighting.explanation, expected, "{build:?} {name}: {sighting:?}");
                }
                let odd: Vec<_> =
                    check_smss(&system).of("SMSS-021").filter(|of| of.severity.is_some()).cloned().collect();
                assert_eq!(odd, [], "{build:?} {name}");
                for view in &system.processes.views {
                    // The address of `HandleTableListHead` in 26100 is not known to the forge.
                    let lacks = build == Build::W11_26100 && view.source == Source::HandleTables;
                    let end = (!lacks).then_some(&ListEnd::Complete);
                    assert_eq!(view.end.value(), end, "{build:?} {name}: {view:?}");
                }
            }
        }
    }
}

/// Off the active list, and off everything but one place each; a second smss.exe, and the real one.
#[test]
fn one_forgotten_place_is_enough() {
    let places = [Place::ThreadIds, Place::MmList, Place::SessionList, Place::HandleTables, Place::JobList];
    for build in Build::ALL {
        for (n, place) in places.into_iter().enumerate() {
            if build == Build::W11_26100 && place == Place::HandleTables {
                continue;
            }
            let unlinked = if n % 2 == 0 { Unlinked::Kept } else { Unlinked::Alone };
            let mut scenario = Scenario::clean(build).with_impostor(Impostor::All);
            scenario.jobs = vec![JobPlan { id: 4400, silo_session: None }, JobPlan { id: 4404, silo_session: None }];
            // The hidden one's job is known by the chain of jobs alone.
            scenario.process(HIDDEN).job = Some(4404);
            scenario.process(3012).job = Some(4400);
            let forged = scenario.with_hidden(HIDDEN, unlinked, &[place]).forge();
            for scan in [false, true] {
                let name = format!("{build:?} {place:?} {unlinked:?}");
                let system = assert_seen(&name, &forged, scan, |process| process.pid == HIDDEN);
                assert_eq!(explanation(&system, &forged, HIDDEN), Some(Explanation::Unlinked), "{name}");
                let findings = check_smss(&system);
                let found = findings.of("SMSS-021").find(|found| found.pid == Some(HIDDEN)).unwrap();
                assert_eq!(found.severity, Some(Severity::High), "{name}: {found}");
                // The evidence is where it can be looked at again.
                let links = found.evidence.iter().find(|seen| seen.field == "ActiveProcessLinks").unwrap();
                let lies = system.processes.items.iter().find(|process| process.pid.value() == Some(&HIDDEN)).unwrap();
                assert!(links.r#virtual > lies.eprocess.value().copied() && links.physical.is_some(), "{name}");
                let word = if unlinked == Unlinked::Kept { "bypassed" } else { "alone" };
                assert_eq!(links.value.as_deref(), Some(word), "{name}");
            }
        }
    }
}

#[test]
fn only_its_object_is_left() {
    for build in Build::ALL {
        for pid in [HIDDEN, 348] {
            let scenario = Scenario::clean(build).with_impostor(Impostor::Late).with_hidden(pid, Unlinked::Kept, &[]);
            let forged = scenario.forge();
            let name = format!("{build:?} {pid}");
            let without = assert_seen(&name, &forged, false, |process| process.pid == pid);
            assert_eq!(explanation(&without, &forged, pid), None, "{name}");
            let system = assert_seen(&name, &forged, true, |process| process.pid == pid);
            assert_eq!(explanation(&system, &forged, pid), Some(Explanation::Unlinked), "{name}");
            let findings = check_smss(&system);
            let found = findings.of("SMSS-021").find(|found| found.pid == Some(pid)).unwrap();
            assert_eq!(found.severity, Some(Severity::High), "{name}: {found}");
            // One of the two is one too many, whichever hides.
            assert!(findings.of("SMSS-006").any(ntmem::Outcome::counts), "{name}");
        }
    }
}

/// In no list and no table, and one of its threads runs on a processor.
#[test]
fn a_thread_that_runs_leads_to_its_process() {
    for build in Build::ALL {
        let mut scenario =
            Scenario::clean(build).with_impostor(Impostor::All).with_hidden(HIDDEN, Unlinked::Alone, &[]);
        scenario.on_processors = vec![2260, HIDDEN];
        let system = read(&scenario.forge(), false);
        let hidden: Vec<_> = cross_view(&system).into_iter().filter(|sighting| sighting.hidden).collect();
        assert_eq!(hidden.len(), 1, "{build:?}");
        assert_eq!((hidden[0].pid, &hidden[0].sources[..]), (Some(HIDDEN), &[Source::Threads][..]), "{build:?}");
    }
}

/// A handle of System's or of a csrss.exe's, without a scan; anybody's, with one.
#[test]
fn a_handle_leads_to_its_process() {
    for build in [Build::W7_7601, Build::W10_19045, Build::W11_26100] {
        for (holder, by_default) in [(4, true), (452, true), (2260, false)] {
            let mut scenario =
                Scenario::clean(build).with_impostor(Impostor::All).with_hidden(HIDDEN, Unlinked::Kept, &[]);
            scenario.process(holder).opens.push((HIDDEN, 0x1f_ffff));
            let forged = scenario.forge();
            let system = read(&forged, false);
            let found = of(&system, forged.truth.process(HIDDEN).unwrap());
            assert_eq!(found.map(|seen| seen.sources), by_default.then_some(vec![Source::Handles]));
            let system = read(&forged, true);
            let found = of(&system, forged.truth.process(HIDDEN).unwrap()).unwrap();
            assert!(found.sources.contains(&Source::Handles), "{build:?} {holder}: {found:?}");
        }
    }
}

#[test]
fn taken_out_of_one_direction() {
    for build in Build::ALL {
        for (place, word) in [(Place::Forward, "backward"), (Place::Backward, "forward")] {
            let mut scenario = Scenario::clean(build).with_impostor(Impostor::All);
            scenario.process(HIDDEN).absent_from = vec![place];
            let forged = scenario.forge();
            let system = assert_seen(&format!("{build:?} {place:?}"), &forged, false, |process| process.pid == HIDDEN);
            let seen = of(&system, forged.truth.process(HIDDEN).unwrap()).unwrap();
            assert_eq!(seen.explanation, Explanation::HalfLinked, "{build:?}");
            assert!(seen.why.contains(word), "{}", seen.why);
            assert!(check_smss(&system).of("SMSS-021").any(|found| found.pid == Some(HIDDEN) && found.counts()));
        }
    }
}

/// A list that is torn, loops without its head, or has lost its head explains what it does not reach; but not what its neighbours
/// are linked past.
#[test]
fn torn_lists_are_no_hiding_places() {
    for build in [Build::W7_7601, Build::W10_19045, Build::W11_26100] {
        let cases: [(&str, Vec<Damage>); 4] = [
            ("torn", vec![Damage::TornFlink { pid: 528, to: UNMAPPED }, Damage::TornBlink { pid: 528, to: UNMAPPED }]),
            (
                "torn at two places",
                vec![Damage::TornFlink { pid: 452, to: UNMAPPED }, Damage::TornBlink { pid: 616, to: UNMAPPED }],
            ),
            ("cycle", vec![Damage::ListCycle { from: 616, to: 452 }]),
            ("no head", vec![Damage::ListHead { flink: UNMAPPED, blink: UNMAPPED }]),
        ];
        for (name, damage) in cases {
            let name = format!("{build:?} {name}");
            let mut clean = Scenario::clean(build);
            clean.damage = damage.clone();
            let system = read(&clean.forge(), false);
            assert_ne!(system.processes.end, Some(ListEnd::Complete), "{name}");
            assert!(cross_view(&system).iter().all(|seen| !seen.hidden), "{name}: {:?}", cross_view(&system));
            let unreached = cross_view(&system).into_iter().filter(|seen| !seen.sources.contains(&Source::ActiveList));
            for seen in unreached.filter(|seen| seen.exited.is_none()) {
                assert_eq!(seen.explanation, Explanation::Torn, "{name}: {seen:?}");
            }
            for unlinked in [Unlinked::Kept, Unlinked::Alone] {
                let mut dirty = Scenario::clean(build).with_impostor(Impostor::All);
                dirty.damage = damage.clone();
                dirty.process(HIDDEN).linked = false;
                dirty.process(HIDDEN).unlinked = unlinked;
                // Between two that the damage spares.
                let hidden = dirty.processes.pop().unwrap();
                let at = dirty.processes.iter().position(|process| process.pid == 2260).unwrap();
                dirty.processes.insert(at, hidden);
                let forged = dirty.forge();
                let system = read(&forged, false);
                assert_eq!(explanation(&system, &forged, HIDDEN), Some(Explanation::Unlinked), "{name} {unlinked:?}");
                let findings = check_smss(&system);
                assert!(findings.of("SMSS-021").any(|found| found.pid == Some(HIDDEN) && found.counts()), "{name}");
            }
        }
    }
}

#[test]
fn what_is_just_being_made_does_not_hide() {
    for build in Build::ALL {
        let forged = Scenario::clean(build).with_process_in_the_making().with_young_session_child().forge();
        for scan in [false, true] {
            let system = read(&forged, scan);
            assert!(cross_view(&system).iter().all(|seen| !seen.hidden), "{build:?}");
            let made = explanation(&system, &forged, 4100);
            assert_eq!(made, scan.then_some(Explanation::BeingCreated), "{build:?}");
            assert_eq!(explanation(&system, &forged, 3300), Some(Explanation::Listed), "{build:?}");
            assert!(!check_smss(&system).of("SMSS-021").any(ntmem::Outcome::counts), "{build:?}");
        }
    }
}

/// Over and off the lists, with the object not reused; and a pid that two objects have.
#[test]
fn exited_ones_and_pids_used_twice() {
    for build in Build::ALL {
        let mut scenario = Scenario::clean(build).with_exited_session_children();
        for pid in [444, 520] {
            scenario.process(pid).linked = false;
        }
        // The creator's pid, given to another since, and the copy of a pid that runs.
        let mut scenario = scenario.with_reused_ids().with_impostor(Impostor::Path);
        scenario.process(HIDDEN).in_cid_table = false;
        scenario.process(HIDDEN).pid = 348;
        let forged = scenario.forge();
        let system = assert_seen(&format!("{build:?}"), &forged, true, |_| false);
        let mut exited: Vec<_> = cross_view(&system)
            .iter()
            .filter(|seen| seen.explanation == Explanation::Exited)
            .map(|seen| seen.pid)
            .collect();
        exited.sort_unstable();
        assert_eq!(exited, [Some(444), Some(520)], "{build:?}");
        for pid in [348, 444, 520] {
            assert_eq!(cross_view(&system).iter().filter(|seen| seen.pid == Some(pid)).count(), 2, "{build:?} {pid}");
        }
        // The children that built the sessions are named, though others have their pids now.
        for (id, pid) in [(0, 444), (1, 520)] {
            let picture = Picture::new(&system);
            let session = picture.sessions().iter().find(|session| session.id == id).unwrap();
            assert_eq!((session.creator_pid, session.creator), (Some(pid), Some(Creator::Exited)), "{build:?}");
            let child = forged.truth.processes.iter().find(|process| process.pid == pid).unwrap();
            assert_eq!(session.creator_eprocess.map(|at| at.0), Some(child.eprocess), "{build:?}");
            assert_eq!(session.creator_name.as_deref(), Some("smss.exe"), "{build:?}");
        }
    }
}

/// Off the list, and its own fields say that it is over: its threads say that it is not.
#[test]
fn fields_that_say_that_it_is_over() {
    for build in Build::ALL {
        let mut scenario = Scenario::clean(build).with_impostor(Impostor::All).with_unlinked(HIDDEN);
        let over = scenario.process(HIDDEN).created.plus_ms(1000);
        scenario.damage.push(Damage::Field { pid: HIDDEN, path: "ExitTime", value: over.0 });
        scenario.damage.push(Damage::Field { pid: HIDDEN, path: "ActiveThreads", value: 0 });
        let forged = scenario.forge();
        let system = read(&forged, false);
        assert_eq!(explanation(&system, &forged, HIDDEN), Some(Explanation::Unlinked), "{build:?}");
        assert!(
            check_smss(&system).of("SMSS-021").any(|found| found.pid == Some(HIDDEN) && found.counts()),
            "{build:?}"
        );
    }
}

#[test]
fn bundled_samples() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/samples");
    let store = ntmem::symbols::SymbolStore::new().directory(folder.join("symbols"));
    for name in ["clean.raw", "suspicious.raw"] {
        let image = ntmem::MemoryImage::open(folder.join(name)).unwrap();
        let kernel = image.locate_kernel(&store).unwrap();
        for scan in [false, true] {
            let system = System::read_with(&kernel, &ReadOptions { scan, ..ReadOptions::default() }).unwrap();
            assert!(cross_view(&system).len() > 15);
            for seen in cross_view(&system) {
                let usual = [Explanation::Listed, Explanation::ExitedReferenced];
                assert!(usual.contains(&seen.explanation), "{name}: {seen:?}");
            }
        }
    }
}

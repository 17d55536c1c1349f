//! Page-table roots and who owns them: a process that nothing else shows has one, and a process that was given another one than it runs
//! with leaves its own without an owner.

use crate::common::edited::Edited;
use ntmem::checks::Judgement;
use ntmem::picture::Explanation;
use ntmem::process::Source;
use ntmem::{Findings, Outcome, Picture, Severity, System, Verdict, check_smss};
use ntmem_forge::scenario::Unlinked;
use ntmem_forge::systems::Edit;
use ntmem_forge::{Build, Damage, Impostor, Scenario};

const BUILDS: [Build; 4] = [Build::W7_7601, Build::W10_17763, Build::W10_19045, Build::W11_26100];
/// The hidden process.
const HIDDEN: u64 = 3636;

fn owned(findings: &Findings) -> &Outcome {
    findings.of("SYS-05").next().unwrap()
}

/// In no list, no table and no handle; its threads have no ids, and its list heads are cleared: no search for objects or threads takes
/// it for one.
fn without_a_trace(build: Build) -> Scenario {
    let mut scenario = Scenario::clean(build).with_impostor(Impostor::Late).with_hidden(HIDDEN, Unlinked::Null, &[]);
    let field = |path| Damage::Field { pid: HIDDEN, path, value: 0 };
    for head in ["Pcb.Header.WaitListHead", "Pcb.ProfileListHead"] {
        for link in ["Flink", "Blink"] {
            scenario.damage.push(field(Box::leak(format!("{head}.{link}").into_boxed_str())));
        }
    }
    scenario.damage.push(Damage::ThreadField { pid: HIDDEN, path: "Cid.UniqueThread", value: 0 });
    scenario
}

#[test]
fn a_clean_machine_owns_all_its_roots() {
    for build in Build::ALL {
        let mut scenario = Scenario::clean(build).with_relics(12).with_exited_session_children();
        scenario.memory = vec![0x1000..0x9_f000, 0x10_0000..0x400_0000];
        let edited = Edited::new(&scenario);
        let plain = edited.system(false);
        assert_eq!(plain.processes.unowned_roots, None, "{build:?}");
        assert_eq!(owned(&check_smss(&plain)).outcome, Judgement::NotApplicable, "{build:?}");
        let system = edited.system(true);
        assert_eq!(system.processes.unowned_roots.as_deref(), Some(&[][..]), "{build:?}");
        assert_eq!(owned(&check_smss(&system)).outcome, Judgement::Pass, "{build:?}");
        for process in system.processes.items.iter().filter(|process| process.is_live()) {
            assert!(process.sources.contains(&Source::RootScan), "{build:?}: {:?}", process.pid);
        }
    }
}

#[test]
fn its_root_betrays_a_process_that_nothing_else_shows() {
    for build in BUILDS {
        let edited = Edited::new(&without_a_trace(build));
        let eprocess = edited.process(HIDDEN).eprocess;
        let system = edited.system(true);
        let picture = Picture::new(&system);
        let seen = picture.cross_view().iter().find(|seen| seen.eprocess.map(|at| at.0) == Some(eprocess));
        let seen = seen.unwrap_or_else(|| panic!("{build:?}: not found"));
        assert_eq!((seen.sources.as_slice(), seen.explanation), (&[Source::RootScan][..], Explanation::Unlinked));
        let findings = check_smss(&system);
        assert!(findings.of("SMSS-021").any(|found| found.severity == Some(Severity::High)), "{build:?}");
        assert_eq!(owned(&findings).outcome, Judgement::Pass, "{build:?}: its owner was found");
    }
}

/// Its object is gone too: the tables are told, and a process that ended may have left them.
#[test]
fn a_root_without_an_object_is_told() {
    for build in BUILDS {
        let scenario = without_a_trace(build);
        let forged = scenario.forge();
        let (hidden, mut edited) = (forged.truth.process(HIDDEN).unwrap().clone(), Edited::new(&scenario));
        edited.write(hidden.eprocess, &[0; 0x600]);
        let system = edited.system(true);
        let [root] = system.processes.unowned_roots.as_deref().unwrap() else { panic!("{build:?}") };
        assert_eq!((root.root.0, root.like), (hidden.dtb, None), "{build:?}");
        assert!(root.user_entries > 0, "{build:?}");
        let findings = check_smss(&system);
        assert_eq!(owned(&findings).severity, Some(Severity::Info), "{build:?}");
        assert!(owned(&findings).observed.as_ref().unwrap().contains(&root.root.to_string()), "{build:?}");
        // Nothing of user memory hangs on it any more.
        let at = usize::try_from(hidden.dtb).unwrap();
        edited.bytes[at..at + 0x800].fill(0);
        let findings = check_smss(&edited.system(true));
        assert_eq!(owned(&findings).outcome, Judgement::Pass, "{build:?}");
    }
}

fn with_roots(build: Build, pid: u64, page: u64, change: impl FnOnce(&mut Edit)) -> System {
    let forged = Scenario::clean(build).forge();
    let mut edited = Edited::new(&Scenario::clean(build));
    let mut edit = Edit { image: std::mem::take(&mut edited.bytes), root: forged.truth.process(pid).unwrap().dtb };
    let root = edit.decoy(page, None);
    change(&mut edit);
    edited.bytes = edit.image;
    edited.put_in(pid, "Pcb.DirectoryTableBase", root);
    edited.system(true)
}

/// A process is given a root that shows a page of it as it was: the one that it runs with has no owner, and maps its memory.
#[test]
fn a_process_with_two_roots() {
    for build in BUILDS {
        let system = with_roots(build, 452, Edited::library(build), |_| ());
        let root = &system.processes.unowned_roots.as_ref().unwrap()[0];
        assert_eq!(root.like, Some(452), "{build:?}");
        let findings = check_smss(&system);
        assert_eq!((owned(&findings).outcome, findings.verdict), (Judgement::Unknown, Verdict::Inconclusive));
    }
}

/// The pages of the user half that are mapped by present entries: address, and place in the image.
fn user_pages(edit: &Edit) -> Vec<(u64, usize)> {
    let mut tables = vec![(edit.root, 0u64)];
    for (shift, slots) in [(39, 256), (30, 512), (21, 512), (12, 512)] {
        let entries = tables
            .into_iter()
            .flat_map(|(table, va)| (0..slots).map(move |slot| (edit.u64_at(table + slot * 8), va | slot << shift)));
        let present = entries.filter(|(entry, _)| entry & 1 == 1 && (shift == 12 || entry & 0x80 == 0));
        tables = present.map(|(entry, va)| (entry & 0x000f_ffff_ffff_f000, va)).collect();
    }
    tables.into_iter().map(|(at, va)| (va, usize::try_from(at).unwrap())).collect()
}

/// The same for the process Registry: its decoy has the hive as it was.
#[test]
fn a_registry_with_two_roots() {
    for build in BUILDS.into_iter().filter(|build| *build >= Build::W10_17763) {
        let text: Vec<u8> = "autocheck autochk *".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let forged = Scenario::clean(build).forge();
        let registry = forged.truth.processes.iter().find(|process| process.name_text() == "Registry").unwrap();
        let (pid, edit) = (registry.pid, Edit { image: forged.image.clone(), root: registry.dtb });
        let has = |at: &usize| edit.image[*at..*at + 0x1000].windows(text.len()).any(|bytes| bytes == text);
        let page = user_pages(&edit).into_iter().find(|(_, at)| has(at));
        let Some((page, _)) = page else { panic!("{build:?}: no page of Registry has BootExecute") };
        let system = with_roots(build, pid, page, |edit| {
            let at = usize::try_from(edit.physical(page)).unwrap();
            let within = edit.image[at..at + 0x1000].windows(text.len()).position(|bytes| bytes == text).unwrap();
            edit.image[at + within + 30] = b'e';
        });
        let root = &system.processes.unowned_roots.as_ref().unwrap()[0];
        assert_eq!(root.like, Some(pid), "{build:?}");
        assert_eq!(check_smss(&system).verdict, Verdict::Inconclusive, "{build:?}");
    }
}

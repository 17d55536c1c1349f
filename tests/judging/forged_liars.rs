//! Processes in no list whose own values tell another story: over, freed, of an earlier boot, being made, no process at all. They run:
//! a search of memory finds their threads, and nothing that is written over in the process changes that.

use crate::common::forged::Opened;
use ntmem::picture::{Explanation, Sighting};
use ntmem::{ReadOptions, Severity, System, Verdict, check_smss};
use ntmem_forge::{Build, Damage, Forged, Impostor, Scenario, Unlinked};

/// The impostor's pid.
const HIDDEN: u64 = 3636;
const BUILDS: [Build; 4] = [Build::W7_7601, Build::W10_17763, Build::W10_19045, Build::W11_22621];
/// 2100-01-01.
const FUTURE: u64 = 157_469_184_000_000_000;
/// 2001-01-01.
const PAST: u64 = 126_227_808_000_000_000;

fn scan(forged: &Forged, bytes: Vec<u8>) -> System {
    let opened = Opened::with_bytes(forged, bytes);
    System::read_with(&opened.kernel(), &ReadOptions { scan: true, ..ReadOptions::default() }).unwrap()
}

/// In no list and no table, with these values written over.
fn forged(build: Build, fields: &[(&'static str, u64)]) -> Forged {
    let mut scenario = Scenario::clean(build).with_impostor(Impostor::Late).with_hidden(HIDDEN, Unlinked::Alone, &[]);
    scenario.memory = vec![0x1000..0x9_f000, 0x10_0000..0x400_0000];
    for &(path, value) in fields {
        scenario.damage.push(Damage::Field { pid: HIDDEN, path, value });
    }
    scenario.forge()
}

fn assert_hidden(what: &str, forged: &Forged, system: &System) {
    let eprocess = forged.truth.process(HIDDEN).unwrap().eprocess;
    let picture = ntmem::Picture::new(system);
    let seen: Vec<&Sighting> =
        picture.cross_view().iter().filter(|seen| seen.eprocess.map(|at| at.0) == Some(eprocess)).collect();
    let [seen] = seen[..] else { panic!("{what}: not found once") };
    assert_eq!(seen.explanation, Explanation::Unlinked, "{what}: {seen:?}");
    assert!(seen.sources.contains(&ntmem::process::Source::ThreadScan), "{what}: {seen:?}");
    assert_eq!(picture.cross_view().iter().filter(|seen| seen.hidden).count(), 1, "{what}");
    let findings = check_smss(system);
    assert_eq!(findings.verdict, Verdict::Violations, "{what}");
    assert!(findings.of("SMSS-021").any(|found| found.severity == Some(Severity::High)), "{what}");
}

#[test]
fn what_its_fields_say_does_not_hide_it() {
    let cases: [(&str, &[(&'static str, u64)]); 8] = [
        ("over", &[("ExitTime", PAST + 77), ("ActiveThreads", 0)]),
        ("over in the future", &[("ExitTime", FUTURE), ("ActiveThreads", 0)]),
        ("of an earlier boot", &[("CreateTime", PAST)]),
        ("of the future", &[("CreateTime", FUTURE)]),
        ("the idle process", &[("UniqueProcessId", 0)]),
        ("no pid and no time", &[("UniqueProcessId", 3), ("CreateTime", 1)]),
        ("the idle process, made by nobody", &[("UniqueProcessId", 0), ("CreateTime", 0)]),
        ("another kind of object", &[("Pcb.Header.Type", 0), ("ExitTime", PAST)]),
    ];
    for build in BUILDS {
        for (name, fields) in cases {
            let forged = forged(build, fields);
            let bytes = forged.image.clone();
            assert_hidden(&format!("{build:?} {name}"), &forged, &scan(&forged, bytes));
        }
    }
}

/// The type index in front of the object says that it was freed.
#[test]
fn what_its_header_says_does_not_hide_it() {
    for build in BUILDS {
        let forged = forged(build, &[]);
        let mut bytes = forged.image.clone();
        let index = usize::try_from(forged.truth.process(HIDDEN).unwrap().physical).unwrap() - 0x30 + 0x18;
        bytes[index] = 1;
        assert_hidden(&format!("{build:?}"), &forged, &scan(&forged, bytes));
    }
}

/// It has the ids, the name and the time of the real one.
#[test]
fn another_processs_identity_does_not_hide_it() {
    for build in BUILDS {
        let created = Scenario::clean(build).process(348).created.0;
        let fields = [("UniqueProcessId", 348), ("InheritedFromUniqueProcessId", 4), ("CreateTime", created)];
        let forged = forged(build, &fields);
        let system = scan(&forged, forged.image.clone());
        assert_hidden(&format!("{build:?}"), &forged, &system);
        let findings = check_smss(&system);
        assert!(findings.of("SMSS-006").any(|found| found.severity == Some(Severity::High)), "{build:?}: two masters");
    }
}

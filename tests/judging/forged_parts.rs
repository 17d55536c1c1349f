//! A second system that is there in part. It never hides a whole one. Where it may be the one that ran last, nobody can tell, and the
//! verdict waits; where it was of an earlier time, or cannot have been running, it is told and changes nothing.

use super::forged_systems::{BUILDS, KUSER, assert_whole, base, elsewhere, outcome, read, set_clock};
use ntmem::checks::Judgement;
use ntmem::{Verdict, check_smss};
use ntmem_forge::systems::{Edit, together};
use ntmem_forge::{Forged, Layout, Scenario};

/// What is missing of the second system.
type Lack = (&'static str, fn(&mut Edit, &Forged));

/// Whether it may have been running when the image was taken cannot be told.
const UNCLEAR: [Lack; 3] = [
    ("System's page is not mapped", |edit, part| {
        let entry = edit.walk(part.truth.process(4).unwrap().eprocess).0.unwrap();
        edit.put_u64(entry, 0);
    }),
    ("the kernel's image is wiped", wipe_kernel),
    ("the kernel's image is not mapped", |edit, part| {
        for at in kernel_pages(part) {
            if edit.maps(at) {
                let entry = edit.walk(at).0.unwrap();
                edit.put_u64(entry, 0);
            }
        }
    }),
];

fn kernel_pages(forged: &Forged) -> impl Iterator<Item = u64> + use<> {
    let base = forged.truth.kernel_base;
    (0..forged.truth.kernel_size >> 12).map(move |page| base + (page << 12))
}

fn wipe_kernel(edit: &mut Edit, forged: &Forged) {
    kernel_pages(forged).for_each(|at| {
        if edit.maps(at) {
            edit.wipe(at);
        }
    });
}

/// Both kernel's variable and its list lead to where System lay, and nothing is there: a machine that runs needs it.
#[test]
fn a_system_without_its_first_process_was_not_running() {
    for build in BUILDS {
        let usual = Scenario::clean(build).forge();
        for days in [-5, 5] {
            let part = elsewhere(build, days).forge();
            let mut edit = Edit { image: together(&[&usual.image, &part.image]), root: part.truth.dtb };
            edit.wipe(part.truth.process(4).unwrap().eprocess);
            edit.without_stub();
            for stub in [false, true] {
                if stub {
                    edit.stub(0x2000, part.truth.dtb, part.truth.kernel_base + 0x1000);
                }
                let what = format!("{build:?}, {days} days, stub {stub}");
                let system = read(&usual, edit.image.clone());
                assert_whole(&what, &system, &usual);
                let rival = &system.kernel.as_ref().unwrap().others[0];
                assert!(rival.lacks.as_ref().unwrap().contains("System"), "{what}: {rival}");
                assert!(system.warnings.iter().any(|warning| warning.message.contains("also a system")), "{what}");
                assert_eq!(check_smss(&system).verdict, Verdict::Clean, "{what}");
            }
        }
    }
}

#[test]
fn a_part_with_a_later_clock_may_have_run_last() {
    for build in BUILDS {
        let usual = Scenario::clean(build).forge();
        for (name, lack) in UNCLEAR {
            let lack_of_system = name.starts_with("System");
            for days in [-5, 5] {
                let part = elsewhere(build, days).forge();
                let mut edit = Edit { image: together(&[&usual.image, &part.image]), root: part.truth.dtb };
                lack(&mut edit, &part);
                edit.without_stub();
                let what = format!("{build:?}, {name}, {days} days");
                let system = read(&usual, edit.image);
                assert_whole(&what, &system, &usual);
                assert_eq!(system.kernel.as_ref().unwrap().others.len(), 1, "{what}");
                let undecided = &system.kernel.as_ref().unwrap().undecided;
                let findings = check_smss(&system);
                // A clock can be written over: page tables of a whole machine count without it.
                if days < 0 && lack_of_system {
                    assert_eq!((undecided, findings.verdict), (&None, Verdict::Clean), "{what}");
                    continue;
                }
                let word = if days < 0 { "may be what ran" } else { "later clock" };
                assert!(undecided.as_ref().is_some_and(|why| why.contains(word)), "{what}: {undecided:?}");
                assert_eq!(outcome(&findings, "SYS-03", None).outcome, Judgement::Unknown, "{what}");
                assert_eq!(findings.verdict, Verdict::Inconclusive, "{what}");
            }
        }
    }
}

/// Nothing is left of the second one but its tables: it is told, and nothing says that it was the later one.
#[test]
fn tables_without_kernel_and_clock_are_told() {
    for build in BUILDS {
        let usual = Scenario::clean(build).forge();
        let part = elsewhere(build, 5).forge();
        let mut edit = Edit { image: together(&[&usual.image, &part.image]), root: part.truth.dtb };
        wipe_kernel(&mut edit, &part);
        edit.wipe(KUSER);
        edit.without_stub();
        let system = read(&usual, edit.image);
        let what = format!("{build:?}");
        assert_whole(&what, &system, &usual);
        let [other] = system.kernel.as_ref().unwrap().others.as_slice() else { panic!("{what}") };
        assert!(other.base.is_none() && other.captured.is_none(), "{what}: {other}");
        assert!(system.warnings.iter().any(|warning| warning.message.contains("no kernel was found")), "{what}");
        assert_eq!(check_smss(&system).verdict, Verdict::Clean, "{what}");
    }
}

/// Where the clock of the whole one is gone, the stamps of what it made are its last sign of life.
#[test]
fn a_part_against_a_system_without_a_clock() {
    for build in BUILDS {
        let usual = Scenario::clean(build).forge();
        for days in [-5, 5] {
            let part = elsewhere(build, days).forge();
            let mut edit = Edit { image: together(&[&usual.image, &part.image]), root: part.truth.dtb };
            wipe_kernel(&mut edit, &part);
            edit.without_stub();
            edit.root = usual.truth.dtb;
            edit.wipe(KUSER);
            let system = read(&usual, edit.image);
            assert_eq!(base(&system), usual.truth.kernel_base, "{build:?}");
            let undecided = &system.kernel.as_ref().unwrap().undecided;
            let word = if days < 0 { "may be what ran" } else { "later clock" };
            assert!(undecided.as_ref().is_some_and(|why| why.contains(word)), "{build:?}, {days} days: {undecided:?}");
        }
    }
}

/// Whoever takes the root out of the last system's System does not make the earlier one the machine that ran.
#[test]
fn a_later_system_whose_first_process_names_no_root() {
    for build in BUILDS {
        let usual = Scenario::clean(build).forge();
        let later = elsewhere(build, 3).forge();
        let dtb = Layout::of(build).offset("_EPROCESS", "Pcb.DirectoryTableBase");
        let mut edit = Edit { image: together(&[&usual.image, &later.image]), root: later.truth.dtb };
        edit.write(later.truth.process(4).unwrap().eprocess + dtb, &[0; 8]);
        edit.without_stub();
        let system = read(&usual, edit.image);
        assert_eq!(base(&system), later.truth.kernel_base, "{build:?}");
        assert_eq!(check_smss(&system).verdict, Verdict::Violations, "{build:?}");
    }
}

/// The last system's clock is set back to before its own start: its stamps are of a time after the other had stopped.
#[test]
fn a_later_system_whose_clock_was_set_back() {
    for build in BUILDS {
        let usual = Scenario::clean(build).forge();
        let later = elsewhere(build, 3).forge();
        let mut edit = Edit { image: together(&[&usual.image, &later.image]), root: later.truth.dtb };
        edit.without_stub();
        set_clock(&mut edit, later.truth.dtb, usual.truth.captured.0 - 36_000_000_000);
        let system = read(&usual, edit.image);
        let kernel = system.kernel.as_ref().unwrap();
        assert_eq!(kernel.others.len(), 1, "{build:?}");
        assert!(kernel.undecided.as_ref().is_some_and(|why| why.contains("not stopped")), "{build:?}");
        assert_eq!(check_smss(&system).verdict, Verdict::Inconclusive, "{build:?}");
    }
}

/// Its symbols and its clock are taken away; its stamps are there.
#[test]
fn a_later_system_without_clock_and_symbols() {
    for build in BUILDS {
        let usual = Scenario::clean(build).forge();
        let later = elsewhere(build, 3).forge();
        let mut edit = Edit { image: together(&[&usual.image, &later.image]), root: later.truth.dtb };
        edit.without_stub();
        edit.wipe(KUSER);
        let at = later.image.windows(4).rposition(|bytes| bytes == b"RSDS").unwrap() as u64;
        edit.put(at & !0xfff, &[0; 0x1000]);
        let system = read(&usual, edit.image);
        let kernel = system.kernel.as_ref().unwrap();
        assert_eq!(kernel.others.len(), 1, "{build:?}");
        assert!(
            base(&system) == later.truth.kernel_base || check_smss(&system).verdict == Verdict::Inconclusive,
            "{build:?}: {:?}",
            kernel.others
        );
    }
}

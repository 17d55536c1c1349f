//! Machines that ran on while their memory was copied: what has merely happened meanwhile accuses nobody, and excuses nobody.

use crate::common::forged::Opened;
use crate::common::judged::Judged;
use ntmem_forge::variants::Impostor;
use ntmem_forge::{Build, Changes, Damage, Moments, Paged, Scenario, Stage, Unlinked};
use std::collections::BTreeMap;

const BUILDS: [Build; 3] = [Build::W7_7601, Build::W10_19045, Build::W11_26100];
const MIB: u64 = 1 << 20;

/// The ways in which two moments become one image, with a name each. `dense`: many of each.
fn smears(moments: &Moments, dense: bool) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let seeds = if dense { 12 } else { 2 };
    for percent in if dense { vec![1, 5, 30, 50, 70] } else { vec![1, 5] } {
        for seed in 0..seeds {
            all.push((format!("{percent} % of pages, seed {seed}"), moments.share(percent, 77 + seed)));
        }
    }
    let end = moments.before.image.len() as u64;
    let steps = if dense { 16 } else { 4 };
    for n in 1..steps {
        let at = end / steps * n;
        all.push((format!("torn at {at:#x}"), moments.torn_at(at)));
        all.push((format!("torn below {at:#x}"), moments.torn_below(at)));
    }
    for (passes, early) in [(2, 1), (3, 1), (3, 2), (4, 3)] {
        all.push((format!("{passes} passes, {early} early"), moments.passes(passes, early)));
    }
    all
}

fn opened(moments: &Moments) -> Opened {
    Opened::with_bytes(&moments.before, vec![0; 0x10_0000])
}

/// What came of many smears of one machine.
#[derive(Default)]
struct Smeared {
    cases: usize,
    /// A line for each that was accused.
    accused: Vec<String>,
    /// Facts of processes that are the same at both moments: how many there are, and those that were not read as they are.
    facts: usize,
    lost: Vec<String>,
}

impl Smeared {
    fn of(name: &str, scenario: &Scenario, minutes: i64, dense: bool, scan: bool) -> Self {
        Self::with(name, &scenario.moments(minutes, |_| ()), minutes, dense, scan)
    }

    fn with(name: &str, moments: &Moments, minutes: i64, dense: bool, scan: bool) -> Self {
        let store = &opened(moments).store;
        let mut smeared = Self::default();
        for (smear, bytes) in smears(moments, dense) {
            smeared.cases += 1;
            let name = format!("{name}, {minutes} min, scan {scan}, {smear}");
            let judged = Judged::new(store, bytes, scan);
            if judged.accuses() {
                smeared.accused.push(format!("{name}: {}", judged.words()));
            }
            smeared.compare(&name, moments, judged.system.as_ref());
        }
        smeared
    }

    fn compare(&mut self, name: &str, moments: &Moments, system: Option<&ntmem::System>) {
        let truth = moments.before.truth.processes.iter();
        for truth in truth.filter(|process| process.in_active_list && !moments.touched.contains(&process.pid)) {
            let items = system.map_or(&[][..], |system| system.processes.items.as_slice());
            let own = items.iter().find(|own| own.eprocess.value().is_some_and(|at| at.0 == truth.eprocess));
            let text = |reading: Option<&ntmem::Reading<String>>| reading.and_then(|text| text.value().cloned());
            let number = |reading: Option<&ntmem::Reading<u64>>| reading.and_then(|n| n.value().map(u64::to_string));
            for (fact, read, is) in [
                ("pid", number(own.map(|own| &own.pid)), Some(truth.pid.to_string())),
                ("ppid", number(own.map(|own| &own.ppid)), Some(truth.ppid.to_string())),
                ("name", text(own.map(|own| &own.name)), Some(truth.name_text())),
                ("path", text(own.map(|own| &own.path)), truth.path.clone()),
                ("PEB path", text(own.map(|own| &own.peb_path)), truth.peb_path.clone()),
                ("command line", text(own.map(|own| &own.command_line)), truth.command_line.clone()),
            ] {
                // Of an exited process no PEB is left, and of a minimal one there is no path.
                if is.as_ref().is_none_or(|is| fact == "path" && !is.starts_with('\\'))
                    || !truth.peb_readable && matches!(fact, "PEB path" | "command line")
                {
                    continue;
                }
                self.facts += 1;
                if read != is {
                    self.lost.push(format!("{name}: {fact} of {}: {read:?}, not {is:?}", truth.pid));
                }
            }
        }
    }

    fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.facts += other.facts;
        self.accused.extend(other.accused);
        self.lost.extend(other.lost);
    }
}

/// Both moments by themselves are clean machines, and lie at the same places.
#[test]
fn two_moments_of_one_machine() {
    for build in BUILDS {
        let moments = Scenario::clean(build).moments(3, |_| ());
        let frames = |forged: &ntmem_forge::Forged| forged.memory.frames().map(|(n, _)| n).collect::<Vec<_>>();
        assert_eq!(frames(&moments.before), frames(&moments.after), "{build:?}");
        let opened = opened(&moments);
        for (name, forged) in [("before", &moments.before), ("after", &moments.after)] {
            let judged = Judged::new(&opened.store, forged.image.clone(), true);
            assert!(!judged.accuses(), "{build:?} {name}: {}", judged.words());
            let system = judged.system.unwrap();
            for truth in &moments.before.truth.processes {
                let own = forged.truth.process(truth.pid).unwrap();
                assert_eq!(own.eprocess, truth.eprocess, "{build:?} {name}: {}", truth.pid);
                let listed = system.processes.items.iter().any(|p| p.pid.value() == Some(&truth.pid));
                assert_eq!(listed, own.in_active_list || listed, "{build:?} {name}: {}", truth.pid);
            }
        }
    }
}

/// The ways in which imagers copy: from the bottom up, from the top down, in passes; and a page here and there. `many_smears` has more of
/// each, and up to 70 % of the pages.
#[test]
fn a_clean_machine_in_motion_is_not_accused() {
    let mut all = Smeared::default();
    for build in BUILDS {
        for minutes in [3, 12] {
            all.add(Smeared::of(&format!("{build:?}"), &Scenario::clean(build), minutes, false, minutes == 12));
        }
    }
    assert!(all.accused.is_empty(), "{:#?}", all.accused);
    assert!(all.lost.is_empty() && all.facts > 1000, "{:#?}", all.lost);
}

/// Machines on which little happens meanwhile: one process is born, or one or two end.
fn of_few_changes(dense: bool) -> Smeared {
    let mut all = Smeared::default();
    for build in BUILDS {
        for (born, ending) in [(1, 0), (0, 1), (1, 1), (0, 2)] {
            let moments = Scenario::clean(build).moments_with(3, Changes { born, ending, moving: 0 }, |_| ());
            let name = format!("{build:?}, {born} born, {ending} ended");
            for scan in [false, true] {
                all.add(Smeared::with(&name, &moments, 3, dense, scan));
            }
        }
    }
    all
}

#[test]
#[ignore = "long: `cargo test --test judging -- --ignored --nocapture many_smears`"]
fn many_smears_of_few_changes() {
    let Smeared { cases, accused, facts, lost } = of_few_changes(true);
    accused.iter().chain(lost.iter().take(20)).for_each(|line| println!("{line}"));
    println!("{} of {cases} clean machines accused, {} of {facts} facts lost", accused.len(), lost.len());
    assert!(accused.is_empty() && lost.is_empty());
}

/// Half of the pages are from the later moment, among them the one with the object of a process that has ended, and not those with its
/// id and its threads: all in the object and in front of it says that it is over.
#[test]
fn who_is_over_throughout_is_not_hidden() {
    let moments = Scenario::clean(Build::W11_26100).moments(3, |_| ());
    let store = &opened(&moments).store;
    for scan in [false, true] {
        let judged = Judged::new(store, moments.share(50, 77 + 1), scan);
        assert!(!judged.accuses(), "{}", judged.words());
        let named = judged.unknown.iter().any(|(rule, pid, _)| rule == "SMSS-021" && *pid == Some(2468));
        assert!(named && judged.word() == "inconclusive", "{:?}", judged.unknown);
    }
}

/// Everything, listed by rule. Long.
#[test]
#[ignore = "long: `cargo test --test judging -- --ignored --nocapture many_smears`"]
fn many_smears_of_clean_machines() {
    let mut all = Smeared::default();
    for build in BUILDS {
        for scan in [false, true] {
            for minutes in [1, 3, 12, 45] {
                all.add(Smeared::of(&format!("{build:?}"), &Scenario::clean(build), minutes, true, scan));
            }
        }
    }
    let Smeared { cases, accused: lines, facts, lost } = all;
    let mut by_rule: BTreeMap<String, usize> = BTreeMap::new();
    for line in &lines {
        println!("{line}");
        for rule in line.split(" | ").filter_map(|part| part.split(' ').find(|w| w.starts_with('S') && w.contains('-')))
        {
            *by_rule.entry(rule.to_owned()).or_default() += 1;
        }
    }
    println!("{} of {cases} clean machines accused; by rule {by_rule:?}", lines.len());
    lost.iter().take(20).for_each(|line| println!("{line}"));
    println!("{} of {facts} untouched facts lost", lost.len());
    assert!(lines.is_empty() && lost.is_empty());
}

/// Machines on which something is wrong at both moments, or from the later one on, with the suspect's pid.
fn dirty(build: Build) -> Vec<(&'static str, Moments, u64)> {
    let hidden = |scenario: Scenario| {
        let mut hidden = scenario.with_impostor(Impostor::Late);
        let fake = hidden.process(3636);
        (fake.linked, fake.unlinked) = (false, Unlinked::Alone);
        hidden
    };
    let clean = || Scenario::clean(build);
    let taken_off = |later: &mut Scenario| {
        let fake = later.process(3012);
        (fake.linked, fake.unlinked) = (false, Unlinked::Alone);
    };
    vec![
        ("impostor", clean().with_impostor(Impostor::All).moments(3, |_| ()), 3636),
        ("late copy", clean().with_impostor(Impostor::Late).moments(3, |_| ()), 3636),
        ("hidden second master", hidden(clean()).moments(3, |_| ()), 3636),
        ("hollowed", clean().with_hollowed_smss().moments(3, |_| ()), 348),
        ("hidden in both", clean().with_unlinked(3012).moments(3, |_| ()), 3012),
        ("hidden while it was copied", clean().moments(3, taken_off), 3012),
    ]
}

/// What became of dirty machines: `missed` are those that are clean, or say nothing of the suspect.
fn missed(build: Build, dense: bool, scan: bool) -> (usize, Vec<String>) {
    let (mut cases, mut lines) = (0, Vec::new());
    for (name, moments, suspect) in dirty(build) {
        let store = &opened(&moments).store;
        for (smear, bytes) in smears(&moments, dense) {
            cases += 1;
            let judged = Judged::new(store, bytes, scan);
            let named = judged.counted.iter().any(|counted| counted.pid == Some(suspect))
                || judged.unknown.iter().any(|(_, _, why)| why.contains(&suspect.to_string()))
                || name == "hidden while it was copied";
            if judged.verdict == Ok(ntmem::Verdict::Clean) && name != "hidden while it was copied" || !named {
                lines.push(format!("{build:?} {name} scan {scan} {smear}: {} {}", judged.word(), judged.words()));
            }
        }
    }
    (cases, lines)
}

#[test]
fn a_dirty_machine_in_motion_is_not_excused() {
    let mut lines = Vec::new();
    for build in BUILDS {
        lines.extend(missed(build, false, false).1);
    }
    assert!(lines.is_empty(), "{}: {lines:#?}", lines.len());
}

#[test]
#[ignore = "long: `cargo test --test judging -- --ignored --nocapture many_smears`"]
fn many_smears_of_dirty_machines() {
    let (mut cases, mut lines) = (0, Vec::new());
    for build in BUILDS {
        for scan in [false, true] {
            let (some, found) = missed(build, true, scan);
            cases += some;
            lines.extend(found);
        }
    }
    lines.iter().for_each(|line| println!("{line}"));
    println!("{} of {cases} dirty machines missed", lines.len());
    assert!(lines.is_empty());
}

/// A process that is over in the later moment only is used, so that the stages are not forgotten.
#[test]
fn stages_are_what_they_say() {
    let moments = Scenario::clean(Build::W10_19045).moments(3, |later| {
        assert!(later.processes.iter().any(|process| matches!(process.stage, Stage::Over { referenced: true, .. })));
    });
    let (before, after) = (moments.before.truth.process(2412).unwrap(), moments.after.truth.process(2412).unwrap());
    assert!(before.exited.is_none() && after.exited.is_some());
    assert!(moments.torn_at(8 * MIB) == moments.before.image);
}

/// A second master that is in no list, and whose object cannot be read: the threads and the handle table that lead to it are enough not to
/// call the machine clean, and the place is named.
#[test]
fn what_sources_lead_to_and_cannot_be_read_is_named() {
    for build in BUILDS {
        let mut hidden = Scenario::clean(build).with_impostor(Impostor::Late);
        let fake = hidden.process(3636);
        (fake.linked, fake.unlinked) = (false, Unlinked::Alone);
        let whole = hidden.forge();
        let address = format!("{:#018x}", whole.truth.process(3636).unwrap().eprocess);
        let there = Judged::new(&Opened::new(&whole).store, whole.image.clone(), false);
        assert!(there.accuses(), "{build:?}: {}", there.words());
        for damage in [Damage::EprocessHole { pid: 3636 }, Damage::EprocessPage { pid: 3636, state: Paged::Out }] {
            let mut scenario = hidden.clone();
            scenario.damage.push(damage);
            let forged = scenario.forge();
            let judged = Judged::new(&Opened::new(&forged).store, forged.image.clone(), false);
            assert_ne!(judged.word(), "clean", "{build:?}");
            for rule in ["SMSS-006", "SMSS-020", "SMSS-021"] {
                let named = judged.unknown.iter().any(|(id, _, why)| id == rule && why.contains(&address));
                assert!(named, "{build:?} {rule}: {address} is not in {:?}", judged.unknown);
            }
        }
        // The clean machine names none.
        let clean = Scenario::clean(build).forge();
        let system = Judged::new(&Opened::new(&clean).store, clean.image.clone(), true).system.unwrap();
        assert!(system.processes.unread.is_empty(), "{build:?}: {:?}", system.processes.unread);
    }
}

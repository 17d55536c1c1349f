//! What thousands of processes share is told of as many as there is room for, and what matters most is read all the same.

use crate::common::forged::{Opened, document};
use ntmem::{ReadOptions, System, Verdict, check_smss};
use ntmem_forge::{Build, Scenario};

/// Processes with one token of many long SIDs. Each of them would take a megabyte of a document.
const SHARERS: u64 = 700;
const SIDS: u32 = 1000;
/// What a document of it may take: the budget, which counts more than the document does.
const MOST: usize = 384 << 20;

fn crowded(build: Build) -> Scenario {
    let mut scenario = Scenario::clean(build);
    scenario.memory = vec![0x1000..0x9_f000, 0x10_0000..0x600_0000];
    let path = format!("{}\\system32\\notepad.exe", scenario.system_root);
    let created = scenario.captured.plus_ms(-600_000);
    let mut owner = scenario.program(20_000, 2260, &path, created, Some(1));
    let long = (0..13).map(|_| "-4294967290").collect::<String>();
    owner.token.groups = (0..SIDS).map(|n| format!("S-1-5-21{long}-{n}")).collect();
    owner.user = None;
    let sharer = |n: u64| {
        let mut sharer = owner.clone();
        sharer.pid = 20_000 + 8 * n;
        sharer.shares_token_of = Some(20_000);
        sharer
    };
    let sharers: Vec<_> = (1..=SHARERS).map(sharer).collect();
    scenario.processes.push(owner);
    scenario.processes.extend(sharers);
    scenario
}

#[test]
fn a_token_that_many_share() {
    for build in [Build::W7_7601, Build::W10_19045] {
        let forged = crowded(build).forge();
        let opened = Opened::new(&forged);
        for scan in [false, true] {
            let options = ReadOptions { scan, ..ReadOptions::default() };
            let system = System::read_with(&opened.kernel(), &options).unwrap();
            // Everybody is listed, and the processes that Windows needs are told whole.
            let listed = system.processes.items.len();
            assert!(listed as u64 > SHARERS + 10, "{build:?}: {listed}");
            for process in system.processes.items.iter().filter(|process| process.is_called("smss.exe")) {
                assert!(process.groups.value().is_some() && process.inside.value().is_some(), "{build:?}");
            }
            let told = |of: fn(&ntmem::Process) -> bool| system.processes.items.iter().filter(|row| of(row)).count();
            assert!(told(|row| row.groups.value().is_some_and(|groups| groups.len() > 100)) > 10, "{build:?}");
            assert!(told(|row| row.groups.absent().is_some()) > 10, "{build:?}: not all of them have room");
            let of_budget = system.warnings.iter().filter(|warning| warning.about == "budget").count();
            assert_eq!(of_budget, 1, "{build:?}: one warning");
            assert_eq!(check_smss(&system).verdict, Verdict::Inconclusive, "{build:?}");
            assert!(document(&system).to_string().len() < MOST, "{build:?}");
        }
    }
    // The same processes, each with a token like others': no budget is met.
    let mut plain = crowded(Build::W10_19045);
    plain.process(20_000).token.groups.truncate(12);
    let system = Opened::new(&plain.forge()).system();
    assert!(system.warnings.iter().all(|warning| warning.about != "budget"));
    assert_eq!(check_smss(&system).verdict, Verdict::Clean);
}

/// A value longer than any that Windows writes there.
#[test]
fn a_value_that_is_too_long() {
    let mut scenario = Scenario::clean(Build::W10_19045);
    scenario.memory = vec![0x1000..0x9_f000, 0x10_0000..0x400_0000];
    let texts = vec!["autocheck autochk *"; 120_000];
    scenario.session_manager("").multi("BootExecute", &texts);
    let system = Opened::new(&scenario.forge()).system();
    let key = system.session_manager.session_manager.value().unwrap();
    let value = &key.values.value().unwrap()["BootExecute"];
    assert!(value.data.absent().is_some_and(|absent| absent.to_string().starts_with("not collected")));
    assert!(key.values.value().unwrap().len() > 3, "the others are read");
    assert_eq!(system.warnings.iter().filter(|warning| warning.about == "budget").count(), 1);
    assert_eq!(check_smss(&system).verdict, Verdict::Inconclusive);
}

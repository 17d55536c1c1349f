//! Records that make no sense, or contradict each other: the checks answer, and never panic.

use ntmem::process::Source;
use ntmem::{
    Absent, KernelInfo, ListEnd, Process, ProcessTree, Reading, Report, System, Timestamp, check_smss, report,
};
use proptest::prelude::*;

fn reading<T: Clone + std::fmt::Debug + 'static>(
    value: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Reading<T>> {
    prop_oneof![
        6 => value.prop_map(Reading::Value),
        1 => Just(Reading::Nothing),
        1 => Just(Reading::Absent(Absent::unreadable("0x1000"))),
    ]
    .boxed()
}

fn name() -> BoxedStrategy<String> {
    prop_oneof![
        6 => prop::sample::select(vec![
            "System", "Registry", "smss.exe", "csrss.exe", "wininit.exe", "winlogon.exe", "services.exe", "svchost.exe",
            "CExecSvc.exe", "smsss.exe", "explorer.exe", "s\u{202e}exe.ssm", "\\xd1mss.exe",
        ])
        .prop_map(str::to_owned),
        1 => "\\PC{0,14}",
        1 => any::<String>(),
    ]
    .boxed()
}

fn path() -> BoxedStrategy<String> {
    prop_oneof![
        name().prop_map(|name| format!("\\Device\\HarddiskVolume3\\Windows\\System32\\{name}")),
        name().prop_map(|name| format!("\\SystemRoot\\System32\\{name} 00000001")),
        "[\\\\?:A-Za-z%.{} \u{e9}\u{17f}]{0,30}",
        any::<String>(),
    ]
    .boxed()
}

fn pid() -> BoxedStrategy<u64> {
    // A few numbers, so that they meet: rings, reused pids, doubles.
    prop_oneof![8 => (0_u64..12).prop_map(|n| n * 4), 1 => any::<u64>()].boxed()
}

fn time() -> BoxedStrategy<Timestamp> {
    let plausible = (0_u64..200).prop_map(|second| Timestamp(133_000_000_000_000_000 + second * 10_000_000));
    prop_oneof![8 => plausible, 1 => (0..=Timestamp::MAX.0).prop_map(Timestamp)].boxed()
}

prop_compose! {
    fn process()(
        pid in reading(pid()),
        ppid in reading(pid()),
        name in reading(name()),
        created in reading(time()),
        exited in prop_oneof![3 => Just(Reading::Nothing), 1 => reading(time())],
        session in prop_oneof![1 => Just(Reading::Nothing), 3 => reading(0_u32..4)],
        threads in reading(prop_oneof![0_u32..4, any::<u32>()]),
        path in reading(path()),
        peb_path in reading(path()),
        command_line in reading(path()),
        user in reading(prop_oneof![Just("S-1-5-18".to_owned()), any::<String>()]),
        linked in any::<bool>(),
    ) -> Process {
        let sources = if linked { vec![Source::ActiveList] } else { vec![Source::PoolScan] };
        let mut process = Process::default();
        (process.pid, process.ppid, process.name, process.session) = (pid, ppid, name, session);
        (process.created, process.exited, process.threads) = (created, exited, threads);
        (process.path, process.peb_path, process.command_line) = (path, peb_path, command_line);
        (process.user, process.sources) = (user, sources);
        process
    }
}

prop_compose! {
    fn system()(
        items in prop::collection::vec(process(), 0..24),
        end in prop::option::of(prop::sample::select(vec![ListEnd::Complete, ListEnd::Broken])),
        build in prop::option::of(prop::sample::select(vec![2600, 7601, 9600, 19045, 26100])),
        captured in reading(time()),
        root in reading(path()),
    ) -> System {
        let (mut system, mut kernel) = (System::default(), KernelInfo::default());
        kernel.build = build;
        system.kernel = Some(kernel);
        (system.processes.end, system.processes.items) = (end, items);
        system.machine.captured = captured;
        system.machine.root = root;
        system
    }
}

proptest! {
    #[test]
    fn every_tree_has_each_process_once(items in prop::collection::vec(process(), 0..40)) {
        let tree = ProcessTree::new(&items);
        let mut seen: Vec<usize> = tree.walk().map(|(_, at)| at).collect();
        let walked = seen.len();
        seen.sort_unstable();
        seen.dedup();
        prop_assert_eq!(seen.len(), walked);
        let again = |at: usize| items[..at].iter().any(|before| before.is_same_process(&items[at]));
        prop_assert_eq!(walked, (0..items.len()).filter(|at| !again(*at)).count());
    }

    #[test]
    fn checks_answer_and_a_saved_report_gives_the_same_answer(system in system()) {
        let findings = check_smss(&system);
        prop_assert!(findings.of("SMSS-001").next().is_some());
        for outcome in &findings.outcomes {
            prop_assert_eq!(outcome.severity.is_some(), findings.violations().any(|violation| violation == outcome));
        }
        let saved = serde_json::to_string(&Report::new(system.clone())).unwrap();
        let back: Report = serde_json::from_str(&saved).unwrap();
        prop_assert_eq!(&back.system, &system);
        prop_assert_eq!(check_smss(&back.system), findings);
    }

    #[test]
    fn another_tools_document_is_taken_in(system in system()) {
        let mut report = Report::new(system);
        report.generator = None;
        let saved = serde_json::to_string(&report).unwrap();
        let back: Report = serde_json::from_str(&saved).unwrap();
        let mut checked = back.clone();
        checked.checks.push(check_smss(&back.system));
        let picture = ntmem::Picture::new(&back.system);
        let pages = [
            report::processes(&picture, &report::ListOptions::default()),
            report::process_tree(&picture),
            report::sessions(&picture),
            report::findings(&checked, &picture, report::FindingsOptions::default()),
        ];
        let mut text: String =
            pages.iter().map(|page| page.text(&report::TextStyle::default()) + &page.csv(&[], &[], true)).collect();
        text.push_str(&report::html("all", &pages));
        let harmful = text.contains(['\u{202e}', '\u{1b}']);
        prop_assert!(!harmful, "{}", text);
    }
}

/// Time that this thread has run for, in nanoseconds; waiting for a processor does not count. `None`: this system does not say.
fn time_on_processor() -> Option<u64> {
    std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}

/// Rows with the name of a core process and a session each are judged in time that grows as they do. Returns how long it took.
fn judge_rows(rows: u64) -> Option<u64> {
    let rows: Vec<_> = (0..rows)
        .map(|row| {
            let name = ["smss.exe", "csrss.exe", "winlogon.exe"][(row % 3) as usize];
            serde_json::json!({ "pid": 8 + row * 4, "ppid": 4 + row * 4, "name": name, "threads": 2, "session": row / 2 })
        })
        .collect();
    let document = serde_json::json!({ "schema": 1, "processes": { "end": "complete", "items": rows } });
    let report: ntmem::report::Report = serde_json::from_value(document).unwrap();
    let begun = time_on_processor();
    let findings = ntmem::check_smss(&report.system);
    let ended = time_on_processor();
    assert!(findings.violations().count() > 0);
    Some(ended? - begun?)
}

#[test]
fn long_lists() {
    let (few, many) = (judge_rows(6_000), judge_rows(48_000));
    if let (Some(few), Some(many)) = (few, many) {
        // Eight times the rows: eight times the work and a little more, not sixty-four times.
        assert!(many / few.max(1) < 24, "{few} ns, {many} ns");
        println!("{few} ns, {many} ns");
    }
}

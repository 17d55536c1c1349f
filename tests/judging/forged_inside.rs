//! What was put into smss.exe, or taken from it, in forged images: SMSS-016, 017, 018, 022, 028.

use crate::common::forged::Opened;
use ntmem::checks::{Confidence, Judgement};
use ntmem::{Findings, Outcome, Severity, check_smss};
use ntmem_forge::scenario::Damage;
use ntmem_forge::variants::UNMAPPED;
use ntmem_forge::{Build, Private, Scenario};

const MASTER: u64 = 348;
const BUILDS: [Build; 4] = [Build::W7_7601, Build::W10_14393, Build::W10_19045, Build::W11_26100];
const INSIDE: [&str; 5] = ["SMSS-016", "SMSS-017", "SMSS-018", "SMSS-022", "SMSS-028"];

fn judged(scenario: &Scenario) -> Findings {
    check_smss(&Opened::new(&scenario.forge()).system())
}

fn outcome<'a>(findings: &'a Findings, id: &'a str) -> &'a Outcome {
    findings.of(id).find(|outcome| outcome.pid == Some(MASTER)).unwrap()
}

/// Each with what `id` says of the master.
fn assert_says(name: &str, scenario: &Scenario, expected: &[(&str, Judgement, Option<Severity>)]) {
    let findings = judged(scenario);
    for (id, judgement, severity) in expected {
        let found = outcome(&findings, id);
        assert_eq!((found.outcome, found.severity), (*judgement, *severity), "{:?} {name}: {found}", scenario.build);
    }
}

#[test]
fn a_clean_smss_passes_on_every_build() {
    for build in Build::ALL {
        let findings = judged(&Scenario::clean(build));
        for id in INSIDE {
            let found = outcome(&findings, id);
            assert_eq!(found.outcome, Judgement::Pass, "{build:?}: {found}");
        }
        assert_eq!(outcome(&findings, "SMSS-017").confidence, Some(Confidence::High), "{build:?}");
    }
}

#[test]
fn what_was_put_into_it() {
    use Judgement::{Pass, Violation};
    for build in BUILDS {
        let hollowed = Scenario::clean(build).with_hollowed_smss();
        let (critical, high) = (Some(Severity::Critical), Some(Severity::High));
        assert_says("hollowed", &hollowed, &[("SMSS-017", Violation, critical), ("SMSS-018", Violation, high)]);

        // Unmapped and filled again at the same place: both bases agree.
        let mut replaced = Scenario::clean(build);
        let user = replaced.process(MASTER).user.as_mut().unwrap();
        let base = user.image_base;
        user.image_base = 0x1_4000_0000;
        let piece = Private { start: base, bytes: vec![0x90; 0x3000], protection: 6 };
        user.private.push(piece);
        replaced.process(MASTER).section_base = Some(base);
        assert_says("replaced", &replaced, &[("SMSS-017", Violation, critical), ("SMSS-018", Violation, high)]);

        // A library that is in no loader list.
        let mut injected = Scenario::clean(build);
        injected.process(MASTER).user.as_mut().unwrap().unlisted = vec!["C:\\Windows\\Temp\\x.dll".into()];
        assert_says("injected", &injected, &[("SMSS-016", Violation, high), ("SMSS-017", Pass, None)]);

        let private = |protection| {
            let mut scenario = Scenario::clean(build);
            let piece = Private { start: 0x1_5000_0000, bytes: vec![0x90; 0x3000], protection };
            scenario.process(MASTER).user.as_mut().unwrap().private.push(piece);
            scenario
        };
        assert_says("code", &private(6), &[("SMSS-018", Violation, high), ("SMSS-017", Pass, None)]);
        assert_says("data", &private(4), &[("SMSS-018", Pass, None)]);
        let mut thread = private(4);
        thread.process(MASTER).thread_starts = vec![0x1_5000_1000];
        assert_says("thread", &thread, &[("SMSS-018", Violation, high), ("SMSS-016", Pass, None)]);
        let mut stale = Scenario::clean(build);
        stale.process(MASTER).thread_starts = vec![0x1_5000_1000];
        assert_says("a start where nothing is", &stale, &[("SMSS-018", Violation, Some(Severity::Low))]);
    }
}

#[test]
fn who_holds_handles_to_it() {
    use Judgement::{Pass, Violation};
    for build in BUILDS {
        // Explorer of the user, lsass of Local System, a service with PROCESS_QUERY_LIMITED_INFORMATION.
        for (pid, access, judgement, severity) in [
            (2260, 0x1f_ffff, Violation, Some(Severity::Medium)),
            (2260, 0x20, Violation, Some(Severity::Medium)),
            (2260, 0x1410, Pass, None),
            (684, 0x1f_ffff, Violation, Some(Severity::Info)),
            (804, 0x1000, Pass, None),
        ] {
            let mut scenario = Scenario::clean(build);
            scenario.process(pid).opens.push((MASTER, access));
            assert_says(&format!("{pid} with {access:#x}"), &scenario, &[("SMSS-022", judgement, severity)]);
        }
        let mut closed = Scenario::clean(build);
        closed.process(MASTER).opens.clear();
        assert_says("no handle to csrss", &closed, &[("SMSS-028", Violation, Some(Severity::Info))]);
        let mut debugged = Scenario::clean(build);
        debugged.damage.push(Damage::Field { pid: MASTER, path: "DebugPort", value: 0xffff_b000_0000_1230 });
        assert_says("debugged", &debugged, &[("SMSS-022", Violation, Some(Severity::Medium))]);
    }
}

#[test]
fn what_cannot_be_read_is_unknown() {
    use Judgement::Unknown;
    for build in BUILDS {
        let root = if build == Build::W7_7601 { "VadRoot.BalancedRoot.RightChild" } else { "VadRoot" };
        for (name, path, ids) in [
            ("no tree of ranges", root, &["SMSS-016", "SMSS-017", "SMSS-018"][..]),
            ("no list of threads", "ThreadListHead.Flink", &["SMSS-018"]),
            ("no handle table", "ObjectTable", &["SMSS-022", "SMSS-028"]),
        ] {
            let mut scenario = Scenario::clean(build);
            scenario.damage.push(Damage::Field { pid: MASTER, path, value: UNMAPPED });
            let expected: Vec<_> = ids.iter().map(|id| (*id, Unknown, None)).collect();
            assert_says(name, &scenario, &expected);
        }
    }
}

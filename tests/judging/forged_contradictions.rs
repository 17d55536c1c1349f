//! Fields that say something of a process, its token, its threads or its memory which another structure contradicts: by true offsets,
//! each with the machine beside it on which it is as Windows has it.

use crate::common::edited::{Edited, NO_EXECUTE};
use crate::forged_edits::{BUILDS, CSRSS, MASTER, RANGE, USERS, assert_found, clean, judged, with_range};
use ntmem::{Severity, Verdict};
use ntmem_forge::{Build, Private, Scenario};

use Severity::{High, Info, Low, Medium};

const SYSTEM: u64 = 4;
const LSASS: u64 = 684;
const SVCHOST: u64 = 804;
/// Present, and for user mode.
const PAGE: u64 = 5;
/// `SizeOfImage` of every program of the forge; its last page is data.
const IMAGE_BYTES: u64 = 0x2_6000;

fn guarded(build: Build) -> Severity {
    if build >= Build::W81_9600 { High } else { Medium }
}

#[test]
fn a_thread_that_names_another_process() {
    for build in BUILDS {
        for (pid, id) in [(MASTER, "SMSS-018"), (CSRSS, "SYS-11")] {
            let naming = |other: u64| {
                let mut edited = clean(build);
                let thread = edited.threads(pid)[1];
                edited.put(thread, "_ETHREAD", "Cid.UniqueProcess", other);
                edited
            };
            assert_found(&format!("{build:?} {pid}"), &naming(USERS), id, pid, Medium);
            // It names nobody: its page may have been lost.
            for nobody in [0, 0x1_0000] {
                assert_eq!(judged(&naming(nobody)).verdict, Verdict::Clean, "{build:?} {pid}");
            }
        }
    }
}

#[test]
fn no_active_threads_and_threads_that_wait() {
    for build in BUILDS {
        for (pid, id) in [(MASTER, "SMSS-029"), (CSRSS, "SYS-07")] {
            let mut edited = clean(build);
            edited.put_in(pid, "ActiveThreads", 0);
            assert_found(&format!("{build:?} {pid}"), &edited, id, pid, High);
            // One more or less is of the moment.
            let mut fewer = clean(build);
            fewer.put_in(pid, "ActiveThreads", 1);
            assert_eq!(judged(&fewer).verdict, Verdict::Clean, "{build:?} {pid}");
        }
    }
}

#[test]
fn marked_as_a_process_of_the_kernel() {
    for build in BUILDS {
        if !clean(build).has("_EPROCESS", "Minimal") {
            continue;
        }
        for pid in [MASTER, CSRSS, USERS] {
            let mut edited = clean(build);
            edited.put_in(pid, "Minimal", 1);
            assert_found(&format!("{build:?} {pid}"), &edited, "SYS-13", pid, Medium);
        }
    }
}

#[test]
fn the_memory_map_of_another() {
    for build in BUILDS {
        let root = if build == Build::W7_7601 { "VadRoot.BalancedRoot.RightChild" } else { "VadRoot.Root" };
        let mut edited = clean(build);
        let theirs = edited.get(edited.process(LSASS).eprocess, "_EPROCESS", root);
        edited.put_in(CSRSS, root, theirs);
        let findings = judged(&edited);
        assert_ne!(findings.verdict, Verdict::Clean, "{build:?}");
        assert!(findings.of("SYS-16").any(|outcome| outcome.pid == Some(CSRSS)), "{build:?}");
        let count = "VadCount";
        if edited.has("_EPROCESS", count) {
            let ranges = edited.get(edited.process(LSASS).eprocess, "_EPROCESS", count);
            edited.put_in(CSRSS, count, ranges);
            assert_found(&format!("{build:?} with its count"), &edited, "SYS-16", CSRSS, High);
        }
    }
}

#[test]
fn what_a_protected_process_may_load() {
    let levels = ["SignatureLevel", "SectionSignatureLevel"];
    for build in [Build::W81_9600, Build::W10_17763, Build::W10_19045, Build::W11_26100] {
        // As public lists of protected processes have them.
        let usual = || {
            let mut edited = clean(build);
            let alike: Vec<u64> =
                edited.forged.truth.processes.iter().filter(|p| p.protection == Some(0x61)).map(|p| p.pid).collect();
            assert!(alike.len() > 3, "{alike:?}");
            for pid in alike {
                edited.put_in(pid, levels[0], 0x3e);
                edited.put_in(pid, levels[1], 0x0c);
            }
            edited
        };
        assert_eq!(judged(&usual()).verdict, Verdict::Clean, "{build:?}");
        for (pid, id) in [(MASTER, "SMSS-013"), (CSRSS, "SES-06")] {
            for field in levels {
                for value in [0, 6] {
                    let mut edited = usual();
                    edited.put_in(pid, field, value);
                    assert_found(&format!("{build:?} {field} {value}"), &edited, id, pid, Medium);
                }
            }
        }
        let mut better = usual();
        better.put_in(MASTER, levels[1], 0x0e);
        assert_eq!(judged(&better).verdict, Verdict::Clean, "{build:?}");
    }
}

#[test]
fn a_label_that_is_none() {
    for build in BUILDS {
        for (pid, id) in [(MASTER, "SMSS-009"), (LSASS, "SYS-15")] {
            for index in [1, 40] {
                let mut edited = clean(build);
                let token = edited.process(pid).token;
                edited.put(token, "_TOKEN", "IntegrityLevelIndex", index);
                assert_found(&format!("{build:?} {pid} {index}"), &edited, id, pid, Medium);
            }
        }
    }
}

#[test]
fn marks_and_places_that_others_contradict() {
    for build in BUILDS {
        let mut edited = clean(build);
        edited.put_in(CSRSS, "BreakOnTermination", 0);
        assert_found(&format!("{build:?} critical"), &edited, "SYS-07", CSRSS, Low);
        let mut edited = clean(build);
        let token = edited.process(MASTER).token;
        edited.put(token, "_TOKEN", "SessionId", 1);
        assert_found(&format!("{build:?} the token's session"), &edited, "SMSS-011", MASTER, Medium);
        // All stamps of a csrss.exe, and not its place in the list.
        let mut late = clean(build);
        let (made, by) = (late.process(CSRSS).created.0, 3 * 3600 * 10_000_000);
        late.put_in(CSRSS, "CreateTime", made + by);
        if late.has("_EPROCESS", "CreateInterruptTime") {
            let object = late.process(CSRSS).eprocess;
            let since = late.get(object, "_EPROCESS", "CreateInterruptTime");
            late.put_in(CSRSS, "CreateInterruptTime", since + by);
        }
        for thread in late.threads(CSRSS) {
            let made = late.get(thread, "_ETHREAD", "CreateTime");
            late.put(thread, "_ETHREAD", "CreateTime", made + by);
        }
        assert_found(&format!("{build:?} stamps"), &late, "SYS-07", CSRSS, High);
    }
}

/// The pid of the process that built a session was given to another between csrss.exe and winlogon.exe: one of the two has no such parent.
#[test]
fn a_session_built_by_what_came_in_between() {
    for build in BUILDS {
        let mut edited = clean(build);
        let wininit = edited.named("wininit.exe");
        let in_session = |name: &str| {
            let all = &edited.forged.truth.processes;
            all.iter().find(|p| p.name_text() == name && p.session == Some(1) && p.exited.is_none()).unwrap().pid
        };
        let built = [in_session("csrss.exe"), in_session("winlogon.exe")];
        for pid in built {
            edited.put_in(pid, "InheritedFromUniqueProcessId", wininit);
        }
        let findings = judged(&edited);
        assert_eq!(findings.verdict, Verdict::Violations, "{build:?}");
        let worst = findings.of("SES-03").filter_map(|outcome| outcome.severity).max();
        assert_eq!(worst, Some(High), "{build:?}");
    }
}

#[test]
fn who_holds_the_system_process() {
    for build in BUILDS {
        let holding = |who: u64, access: u32| {
            let mut scenario = Scenario::clean(build);
            scenario.process(who).opens.push((SYSTEM, access));
            Edited::new(&scenario)
        };
        let worst = if build >= Build::W81_9600 { Medium } else { Low };
        for access in [0x1f_ffff, 0x20, 0x40] {
            assert_found(&format!("{build:?} {access:#x}"), &holding(USERS, access), "SYS-12", SYSTEM, worst);
        }
        for (who, access) in [(USERS, 0x1410), (SVCHOST, 0x1f_ffff)] {
            assert_eq!(judged(&holding(who, access)).verdict, Verdict::Clean, "{build:?} {who}");
        }
    }
}

/// Code where the headers of an image have none.
#[test]
fn code_between_the_code_of_an_image() {
    for build in BUILDS {
        for (pid, id, worst) in [(MASTER, "SMSS-018", High), (CSRSS, "SYS-11", guarded(build))] {
            let mapped = |offset: u64| {
                let mut edited = with_range(build, pid);
                let root = edited.process(pid).dtb;
                let frame = edited.physical(root, RANGE);
                let at = edited.process(pid).image_base.unwrap() + offset;
                edited.edit_entry(pid, at, |_| frame | PAGE);
                edited
            };
            for offset in [IMAGE_BYTES - 0x1000, IMAGE_BYTES - 0x2000] {
                assert_found(&format!("{build:?} {offset:#x}"), &mapped(offset), id, pid, worst);
            }
            // Where its code is.
            assert_eq!(judged(&mapped(0x2000)).verdict, Verdict::Clean, "{build:?}");
            let mut data = mapped(IMAGE_BYTES - 0x1000);
            let at = data.process(pid).image_base.unwrap() + IMAGE_BYTES - 0x1000;
            data.edit_entry(pid, at, |entry| entry | NO_EXECUTE);
            assert_eq!(judged(&data).verdict, Verdict::Clean, "{build:?}");
        }
    }
}

/// The headers of an image that nobody else has: the section has them too.
#[test]
fn patched_headers_of_a_programs_own_image() {
    for build in BUILDS {
        // Two csrss.exe have two bases in the forge, which their headers say.
        for (pid, id, worst, as_made) in [(MASTER, "SMSS-018", Medium, None), (CSRSS, "SYS-11", Low, Some(Info))] {
            if pid == CSRSS && build < Build::W81_9600 {
                continue;
            }
            let copied = |patch: &[u8]| {
                let mut scenario = Scenario::clean(build);
                scenario.pages.sections = true;
                let piece = Private { start: RANGE, bytes: vec![0x90; 0x3000], protection: 4 };
                scenario.process(pid).user.as_mut().unwrap().private.push(piece);
                let mut edited = Edited::new(&scenario);
                let base = edited.process(pid).image_base.unwrap();
                let at = edited.copy_page(pid, base, RANGE);
                edited.bytes[at + 0x20..at + 0x20 + patch.len()].copy_from_slice(patch);
                edited
            };
            assert_found(&format!("{build:?} {pid}"), &copied(&[0xcc; 16]), id, pid, worst);
            let findings = judged(&copied(&[]));
            assert_eq!(findings.verdict, Verdict::Clean, "{build:?}");
            let found = findings.of(id).filter_map(|outcome| outcome.severity).max();
            assert_eq!(found, as_made, "{build:?}");
        }
    }
}

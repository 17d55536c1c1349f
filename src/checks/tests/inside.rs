//! What is mapped into smss.exe, where its threads start, and who holds handles to it.

use super::{
    CHILD, HEAP, IMAGE, MASTER, NTDLL, add, at, find, gone, holder, impostor, list, master, outcome, smss, text,
    thread, vad, with, within,
};
use crate::checks::Judgement::{NotApplicable, Pass, Unknown, Violation};
use crate::checks::{Confidence, Severity};
use crate::{Absent, Hex, ImageInfo, KernelInfo, ListEnd, PhysicalAddress, Process, Reading, System, VirtualAddress};

fn vads(system: &mut System) -> &mut Vec<crate::kernel::Vad> {
    list(&mut within(system, MASTER).vads)
}

#[test]
fn all_that_is_inside_is_as_it_should_be() {
    let clean = with(|_| {});
    for (id, confidence) in
        [("SMSS-016", Confidence::High), ("SMSS-017", Confidence::High), ("SMSS-018", Confidence::High)]
    {
        let found = outcome(&clean, id, MASTER);
        assert_eq!((found.outcome, found.confidence), (Pass, Some(confidence)), "{found}");
    }
    for id in ["SMSS-022", "SMSS-028"] {
        assert_eq!(outcome(&clean, id, MASTER).outcome, Pass, "{id}");
    }
}

#[test]
fn nothing_passes_on_part_of_the_memory_map() {
    let spoils: [fn(&mut System); 5] = [
        |s| within(s, MASTER).vads_end = Reading::Value(ListEnd::Broken),
        |s| within(s, MASTER).vads_end = gone(),
        |s| within(s, MASTER).vads = gone(),
        |s| vads(s)[0].kind = gone(),
        |s| master(s).inside = Reading::default(),
    ];
    for spoil in spoils {
        let findings = with(spoil);
        for id in ["SMSS-016", "SMSS-017", "SMSS-018"] {
            assert_eq!(outcome(&findings, id, MASTER).outcome, Unknown, "{}", outcome(&findings, id, MASTER));
        }
    }
    // What is seen in it is said.
    let findings = with(|s| {
        vads(s)[1] = vad(IMAGE, "private", "PAGE_EXECUTE_READWRITE", None);
        vads(s).push(vad(0x7ffb_0000_0000, "image", "PAGE_EXECUTE_WRITECOPY", Some("\\Temp\\x.dll")));
        within(s, MASTER).vads_end = Reading::Value(ListEnd::Broken);
    });
    for id in ["SMSS-016", "SMSS-017", "SMSS-018"] {
        assert_eq!(outcome(&findings, id, MASTER).outcome, Violation, "{id}");
    }
}

#[test]
fn what_stands_at_the_image_base() {
    type Case = (fn(&mut System), crate::checks::Judgement);
    let cases: [Case; 8] = [
        // NtUnmapViewOfSection, then memory at the same address: both bases agree.
        (|s| vads(s)[1] = vad(IMAGE, "private", "PAGE_EXECUTE_READWRITE", None), Violation),
        (|s| vads(s)[1] = vad(IMAGE, "mapped", "PAGE_READWRITE", None), Violation),
        (|s| vads(s)[1].file = text("\\Windows\\System32\\svchost.exe"), Violation),
        (|s| vads(s)[1].start = Reading::Value(VirtualAddress(IMAGE - 0x1000)), Violation),
        (|s| vads(s).clear(), Violation),
        (|s| vads(s)[1].file = gone(), Unknown),
        (|s| vads(s)[1].file = Reading::Nothing, Unknown),
        // The kernel's path is lost: the file's name is enough.
        (|s| master(s).path = gone(), Pass),
    ];
    for (number, (change, expected)) in cases.into_iter().enumerate() {
        let findings = with(change);
        let found = outcome(&findings, "SMSS-017", MASTER);
        assert_eq!(found.outcome, expected, "{number}: {found}");
        assert!(expected != Violation || found.severity == Some(Severity::Critical));
    }
    // The PEB is paged out, and still the section's place holds something else.
    let findings = with(|s| {
        master(s).image_base = gone();
        vads(s)[1] = vad(IMAGE, "private", "PAGE_READWRITE", None);
    });
    assert_eq!(outcome(&findings, "SMSS-017", MASTER).outcome, Violation);
    let findings = with(|s| master(s).image_base = gone());
    assert_eq!(outcome(&findings, "SMSS-017", MASTER).outcome, Unknown);
    // A program of another place and the same name is not hollowed: its path has a check of its own.
    let findings = with(|s| {
        let file = "\\Users\\a\\AppData\\Local\\smss.exe";
        master(s).path = text(&format!("\\Device\\HarddiskVolume3{file}"));
        vads(s)[1].file = text(file);
    });
    assert_eq!(outcome(&findings, "SMSS-017", MASTER).outcome, Pass);
    assert_eq!(outcome(&findings, "SMSS-016", MASTER).outcome, Violation);
}

#[test]
fn modules_by_map_and_by_list() {
    // Taken out of the lists, it is still mapped.
    let hidden =
        with(|s| vads(s).push(vad(0x7ffb_0000_0000, "image", "PAGE_EXECUTE_WRITECOPY", Some("\\Temp\\x.dll"))));
    let found = outcome(&hidden, "SMSS-016", MASTER);
    assert_eq!(found.severity, Some(Severity::High));
    assert!(found.evidence.iter().any(|seen| seen.object.is_some() && seen.value.as_deref() == Some("\\Temp\\x.dll")));
    // The lists are paged out: the map alone is judged, and that is said.
    let alone = with(|s| master(s).modules = gone());
    let found = outcome(&alone, "SMSS-016", MASTER);
    assert_eq!((found.outcome, found.confidence), (Pass, Some(Confidence::Medium)));
    assert!(found.reason.as_deref().unwrap().starts_with("The memory map alone was judged"));
    // Files that are only read, such as those of languages, are no modules.
    let data =
        with(|s| vads(s).push(vad(0x2_0000, "mapped", "PAGE_READONLY", Some("\\Windows\\System32\\l_intl.nls"))));
    assert_eq!(outcome(&data, "SMSS-016", MASTER).outcome, Pass);
    let api_set = |build| {
        with(move |s| {
            s.kernel = Some(KernelInfo { build: Some(build), arch: Some("x64".into()), ..KernelInfo::default() });
            let file = Some("\\Windows\\System32\\apisetschema.dll");
            vads(s).push(vad(0x4_0000, "image", "PAGE_EXECUTE_WRITECOPY", file));
        })
    };
    assert_eq!(outcome(&api_set(7601), "SMSS-016", MASTER).outcome, Pass);
    assert_eq!(outcome(&api_set(19045), "SMSS-016", MASTER).outcome, Violation);
}

#[test]
fn where_threads_start() {
    let starting =
        |start, win32_start| with(move |s| list(&mut within(s, MASTER).threads)[2] = thread(360, start, win32_start));
    let fine = NTDLL + 0x1000;
    for (start, win32_start, expected) in [
        (fine, fine, Pass),
        (fine, HEAP + 0x10, Violation),
        (HEAP + 0x10, fine, Violation),
        // Its code has gone since, or the address never was one.
        (fine, 0x6666_0000, Unknown),
        (0x6666_0000, fine, Unknown),
        (0xffff_f800_1234_0000, fine, Unknown),
        (fine, 0, Unknown),
    ] {
        let findings = starting(start, win32_start);
        assert_eq!(outcome(&findings, "SMSS-018", MASTER).outcome, expected, "{start:x} {win32_start:x}");
    }
    let other = with(|s| {
        vads(s).push(vad(0x7ffb_0000_0000, "image", "PAGE_EXECUTE_WRITECOPY", Some("\\Temp\\x.dll")));
        list(&mut within(s, MASTER).threads)[2] = thread(360, fine, 0x7ffb_0000_1000);
    });
    let words = outcome(&other, "SMSS-018", MASTER).observed.clone().unwrap();
    assert_eq!(words, "thread 360 starts at 0x00007ffb00001000, in \\Temp\\x.dll");
    // One that has ended says nothing; one that is counted and not listed may be hidden.
    let ended = with(|s| {
        let mut ended = thread(364, HEAP, HEAP);
        ended.terminated = Reading::Value(true);
        list(&mut within(s, MASTER).threads).push(ended);
    });
    assert_eq!(outcome(&ended, "SMSS-018", MASTER).outcome, Pass);
    let hidden = with(|s| drop(list(&mut within(s, MASTER).threads).pop()));
    assert_eq!(outcome(&hidden, "SMSS-018", MASTER).outcome, Unknown);
    // Before Vista the field is a message's id as often as an address.
    let xp = with(|s| {
        s.kernel = Some(KernelInfo { build: Some(3790), arch: Some("x64".into()), ..KernelInfo::default() });
        list(&mut within(s, MASTER).threads)[2] = thread(360, fine, HEAP + 0x10);
    });
    assert_eq!(outcome(&xp, "SMSS-018", MASTER).outcome, Pass);
}

#[test]
fn code_that_came_from_no_file() {
    let with_range = |kind: &'static str, protection: &'static str| {
        with(move |s| vads(s).push(vad(0x2_0000_0000, kind, protection, None)))
    };
    for protection in ["PAGE_EXECUTE_READWRITE", "PAGE_EXECUTE_READ", "PAGE_EXECUTE"] {
        let findings = with_range("private", protection);
        assert_eq!(outcome(&findings, "SMSS-018", MASTER).severity, Some(Severity::High), "{protection}");
    }
    assert_eq!(outcome(&with_range("private", "PAGE_READWRITE"), "SMSS-018", MASTER).outcome, Pass);
    assert_eq!(outcome(&with_range("mapped", "PAGE_EXECUTE_READ"), "SMSS-018", MASTER).severity, Some(Severity::High));
    // Without page tables, ranges alone are one witness; so are tables of a machine that forbids no page to be executed, and a part.
    let one_witness: [fn(&mut crate::process::Inside); 3] = [
        |inside| inside.code = Reading::default(),
        |inside| inside.no_execute = Reading::Value(false),
        |inside| inside.code_end = Reading::Value(ListEnd::Broken),
    ];
    for spoil in one_witness {
        let findings = with(|s| spoil(within(s, MASTER)));
        let found = outcome(&findings, "SMSS-018", MASTER);
        assert_eq!((found.outcome, found.confidence), (Pass, Some(Confidence::Medium)), "{found}");
    }
    let both = with(|s| master(s).dynamic_code_disabled = Reading::Value(false));
    assert_eq!(outcome(&both, "SMSS-018", MASTER).confidence, Some(Confidence::High));
}

#[test]
fn the_file_that_is_mapped_and_the_sections() {
    let findings = with(|s| vads(s)[1].file = text("\\Temp\\clean.exe"));
    assert_eq!(outcome(&findings, "SMSS-004", MASTER).severity, Some(Severity::High));
}

#[test]
fn holders_by_who_they_are() {
    let held = |change: fn(&mut System), pid, name: &'static str, access| {
        with(move |s| {
            change(s);
            list(&mut within(s, MASTER).held_by).push(holder(pid, name, access));
        })
    };
    let severity = |findings: &crate::checks::tests::Findings| outcome(findings, "SMSS-022", MASTER).severity;
    // PROCESS_QUERY_INFORMATION and PROCESS_VM_READ change nothing; PROCESS_VM_WRITE, PROCESS_CREATE_THREAD do.
    assert_eq!(severity(&held(|_| {}, 3000, "explorer.exe", 0x410)), None);
    for access in [0x20, 0x2, 0x1f_ffff] {
        assert_eq!(severity(&held(|_| {}, 3000, "explorer.exe", access)), Some(Severity::Medium), "{access:x}");
    }
    for (pid, name) in [(452, "csrss.exe"), (660, "lsass.exe")] {
        let findings = held(|_| {}, pid, name, 0x1f_ffff);
        assert_eq!(severity(&findings), Some(Severity::Info), "{name}");
        assert!(outcome(&findings, "SMSS-022", MASTER).guard.is_some());
    }
    // A known name from elsewhere is the name only, and so is one of another user.
    let moved = |s: &mut System| find(s, 660).path = text("\\Device\\HarddiskVolume3\\Temp\\lsass.exe");
    assert_eq!(severity(&held(moved, 660, "lsass.exe", 0x1f_ffff)), Some(Severity::Medium));
    let defender = |s: &mut System, directory: &str| {
        let path = format!("\\Device\\HarddiskVolume3\\{directory}\\MsMpEng.exe");
        add(s, Process { path: text(&path), ..crate::checks::tests::process(2800, 640, "MsMpEng.exe", Some(0), 30) });
    };
    let installed = with(|s| {
        defender(s, "ProgramData\\Microsoft\\Windows Defender\\Platform\\4.18.24090.11-0");
        list(&mut within(s, MASTER).held_by).push(holder(2800, "MsMpEng.exe", 0x1f_ffff));
    });
    assert_eq!(severity(&installed), Some(Severity::Info));
    let dropped = with(|s| {
        defender(s, "ProgramData\\x");
        list(&mut within(s, MASTER).held_by).push(holder(2800, "MsMpEng.exe", 0x1f_ffff));
    });
    assert_eq!(severity(&dropped), Some(Severity::Medium));
    // The worst decides, beside a core process too.
    let both = with(|s| {
        let held = list(&mut within(s, MASTER).held_by);
        held.extend([holder(660, "lsass.exe", 0x1f_ffff), holder(9999, "gone.exe", 0x20)]);
    });
    assert_eq!(severity(&both), Some(Severity::Medium));
    // The master has a handle to each child that it made; another smss.exe has none to make.
    let child = with(|s| {
        add(s, smss(4400, MASTER, Some(2), 3990, CHILD));
        list(&mut within(s, 4400).held_by).push(holder(MASTER, "smss.exe", 0x1f_ffff));
    });
    assert_eq!(outcome(&child, "SMSS-022", 4400).outcome, Pass);
    let fake = with(|s| {
        add(s, impostor(3260, 3000));
        list(&mut within(s, MASTER).held_by).push(holder(3260, "smss.exe", 0x1f_ffff));
    });
    assert_eq!(severity(&fake), Some(Severity::Medium));
    let debugged = with(|s| master(s).debug_port = Reading::Value(VirtualAddress(1)));
    assert_eq!(severity(&debugged), Some(Severity::Medium));
}

#[test]
fn what_it_holds_itself() {
    let holding = |pid: u64, access| {
        with(move |s| {
            let handle = crate::kernel::Handle {
                value: Reading::Value(0x120),
                kind: text("Process"),
                access: Reading::Value(Hex(access)),
                object: find(s, pid).eprocess.clone(),
                pid: Reading::Value(pid),
                ..Default::default()
            };
            list(&mut within(s, MASTER).handles).push(handle);
        })
    };
    // lsass.exe, to be read; to be asked for its exit code only; winlogon.exe, which smss.exe starts.
    for (pid, access, severity) in [(660, 0x410, Some(Severity::Info)), (660, 0x10_1000, None), (600, 0x1f_ffff, None)]
    {
        assert_eq!(outcome(&holding(pid, access), "SMSS-022", MASTER).severity, severity, "{pid} {access:x}");
    }
}

#[test]
fn handles_that_cannot_all_be_read() {
    let spoils: [fn(&mut System); 4] = [
        |s| within(s, MASTER).held_by = gone(),
        |s| list(&mut within(s, MASTER).held_by)[1].access = gone(),
        |s| master(s).debug_port = gone(),
        |s| s.processes.end = Some(ListEnd::Broken),
    ];
    for spoil in spoils {
        assert_eq!(outcome(&with(spoil), "SMSS-022", MASTER).outcome, Unknown);
    }
    let closed = |s: &mut System| {
        let handles = list(&mut within(s, MASTER).handles);
        handles[0].object = Reading::Value(VirtualAddress(0xffff_8000_0000_7000));
        handles[0].pid = Reading::Value(660);
    };
    let findings = with(closed);
    assert_eq!(outcome(&findings, "SMSS-028", MASTER).severity, Some(Severity::Info));
    let findings = with(|s| {
        closed(s);
        list(&mut within(s, MASTER).handles)[0].object = gone();
    });
    assert_eq!(outcome(&findings, "SMSS-028", MASTER).outcome, Unknown);
    let findings = with(|s| s.processes.items.retain(|p| p.pid != Reading::Value(452)));
    assert_eq!(outcome(&findings, "SMSS-028", MASTER).outcome, Unknown);
    let over = with(|s| {
        master(s).exited = at(3000);
        master(s).threads = Reading::Value(0);
        within(s, MASTER).held_by = Reading::Value(vec![holder(3000, "explorer.exe", Hex(0x1f_ffff).0)]);
    });
    assert_eq!(outcome(&over, "SMSS-028", MASTER).outcome, NotApplicable);
}

/// Threads bear the id of their process too: another one in the process object is not its own.
#[test]
fn an_id_that_the_threads_do_not_bear() {
    let number = |system: &mut System, pid: u64, of_threads: u64| {
        let own = find(system, pid).eprocess.clone();
        for thread in list(&mut within(system, pid).threads) {
            (thread.pid, thread.owner) = (Reading::Value(of_threads), own.clone());
        }
    };
    let told = |change: &dyn Fn(&mut System)| {
        let findings = with(|system| {
            number(system, MASTER, MASTER);
            let child = smss(900, MASTER, Some(5), 60, "x");
            add(system, Process { eprocess: Reading::Value(VirtualAddress(0xffff_8000_1234_0000)), ..child });
            number(system, 900, 900);
            change(system);
        });
        let told = findings.of("SMSS-021").find(|found| found.outcome == Violation);
        told.map(|found| (found.pid, found.severity, found.observed.clone().unwrap_or_default()))
    };
    assert_eq!(told(&|_| ()), None);
    for pid in [8, 0, 4] {
        let found = told(&|system| master(system).pid = Reading::Value(pid)).unwrap();
        assert_eq!((found.0, found.1), (Some(pid), Some(Severity::High)), "{pid}");
        assert!(found.2.contains(&format!("bear {MASTER}")), "{pid}: {}", found.2);
    }
    // Where the threads of nobody bear the id of their process, the field was not understood.
    let nobody = told(&|system| {
        number(system, MASTER, 0x1_0000);
        number(system, 900, 0x1_0000);
    });
    assert_eq!(nobody, None);
}

#[test]
fn a_handle_is_shown_in_the_table_of_who_holds_it() {
    let findings = with(|system| {
        let mut held = holder(3000, "explorer.exe", 0x1f_ffff);
        held.eprocess = find(system, 3000).eprocess.clone();
        list(&mut within(system, MASTER).held_by).push(held);
    });
    let found = outcome(&findings, "SMSS-022", MASTER);
    assert_eq!(found.outcome, Violation, "{found}");
    let entry = found.evidence.iter().find(|evidence| evidence.structure == "_HANDLE_TABLE_ENTRY").unwrap();
    assert_eq!(entry.pid, Some(3000));
}

/// Roots of their own, and an image that holds memory up to 2 GiB.
fn with_roots(system: &mut System) {
    for (number, process) in system.processes.items.iter_mut().enumerate() {
        process.dtb = Reading::Value(PhysicalAddress(0x1000_0000 + (number as u64 * 0x5000)));
    }
    let runs = vec![
        (PhysicalAddress(0x1000), PhysicalAddress(0x9_f000)),
        (PhysicalAddress(0x10_0000), PhysicalAddress(0x8000_0000)),
    ];
    system.image = Some(ImageInfo { runs, ..ImageInfo::default() });
}

#[test]
fn a_root_that_two_processes_have_tells_of_neither() {
    let (root, other) = (PhysicalAddress(0x1234_5000), 452);
    let clean = with(with_roots);
    assert!(clean.of("SYS-02").all(|found| found.outcome == Pass));
    let share = |system: &mut System| {
        with_roots(system);
        // Flag bits are none of the root.
        master(system).dtb = Reading::Value(PhysicalAddress(root.0 | 3));
        find(system, other).dtb = Reading::Value(root);
    };
    let shared = with(share);
    let found = shared.of("SYS-02").find(|found| found.outcome == Unknown).unwrap();
    assert!(found.decides && found.missing.is_some(), "{found}");
    assert_eq!(shared.verdict, crate::Verdict::Inconclusive);
    // Who has no threads left has no root either: it may be another's by now.
    let ended = with(|system| {
        share(system);
        find(system, other).threads = Reading::Value(0);
        find(system, other).exited = at(40);
    });
    assert!(ended.of("SYS-02").all(|found| found.outcome == Pass));
}

#[test]
fn a_root_behind_the_memory_of_the_machine() {
    let beyond = |pids: &[u64]| {
        with(|system| {
            with_roots(system);
            for pid in pids {
                find(system, *pid).dtb = Reading::Value(PhysicalAddress(0xdead_beef_0000 + pid * 0x1000));
            }
        })
    };
    let told = |pids: &[u64]| -> Vec<(Option<u64>, Option<Severity>)> {
        let findings = beyond(pids);
        findings
            .of("SYS-02")
            .filter(|found| found.outcome == Violation)
            .map(|found| (found.pid, found.severity))
            .collect()
    };
    assert_eq!(told(&[4]), [(Some(4), Some(Severity::Medium))]);
    assert_eq!(told(&[3000]), [(Some(3000), Some(Severity::Info))]);
    assert_eq!(told(&[4, 3000]), [(Some(4), Some(Severity::Medium))], "of several the image lacks the tables");
    let all: Vec<u64> = with_pids();
    assert_eq!(told(&all), [], "an image that was cut off");
}

fn with_pids() -> Vec<u64> {
    super::machine().processes.items.iter().filter_map(|process| process.pid.value().copied()).collect()
}

#[test]
fn what_makes_no_sense_in_the_master_is_named_with_what_is_away() {
    let findings = with(|system| {
        master(system).peb_path =
            Reading::Absent(Absent::unparsable("_EPROCESS.Peb is null, and the process runs an image"));
    });
    let away = findings.away.unwrap();
    assert_eq!(away.main, Some(MASTER));
    assert!(away.of_main.iter().any(|what| what.contains("PEB")), "{:?}", away.of_main);
    // Of another process it is no page that is away.
    let other = with(|system| find(system, 3000).peb_path = Reading::Absent(Absent::unparsable("x")));
    assert!(other.away.is_none_or(|away| away.of_main.is_empty()));
}

//! One edit of a clean machine's memory at a time, of what a check reads: each is found by a second witness. The same machine without
//! the edit is clean, on every build.

use crate::common::edited::{Edited, NO_EXECUTE, WRITE};
use crate::common::forged::Opened;
use ntmem::checks::{Confidence, Judgement};
use ntmem::{AbsentKind, Findings, Outcome, Severity, Verdict, check_smss};
use ntmem_forge::{Build, Private, Scenario};

use Severity::{High, Info, Low, Medium};

pub const MASTER: u64 = 348;
pub const CSRSS: u64 = 452;
pub const WINLOGON: u64 = 616;
pub const USERS: u64 = 2260;
pub const BUILDS: [Build; 5] = [Build::W7_7601, Build::W10_14393, Build::W10_17763, Build::W10_19045, Build::W11_26100];
/// Where a private range that can be written to lies in `with_range`.
pub const RANGE: u64 = 0x1_5000_0000;

pub fn judged(edited: &Edited) -> Findings {
    check_smss(&edited.system(false))
}

pub fn of<'a>(findings: &'a Findings, id: &str, pid: Option<u64>) -> &'a Outcome {
    let found = findings.outcomes.iter().find(|outcome| outcome.id == id && outcome.pid == pid);
    found.unwrap_or_else(|| panic!("no {id} for {pid:?}"))
}

/// The edit makes this rule say so of this process, and nothing counts beside it but what is in `besides`.
pub fn assert_found(name: &str, edited: &Edited, id: &str, pid: u64, worst: Severity) {
    let findings = judged(edited);
    let found = of(&findings, id, Some(pid));
    assert_eq!((found.outcome, found.severity), (Judgement::Violation, Some(worst)), "{name}: {found}");
    assert!(!found.evidence.is_empty(), "{name}: {found}");
    let verdict = if worst > Info { Verdict::Violations } else { Verdict::Clean };
    assert_eq!(findings.verdict, verdict, "{name}");
}

/// A clean machine in which a process has a private range for data.
pub fn with_range(build: Build, pid: u64) -> Edited {
    let mut scenario = Scenario::clean(build);
    let piece = Private { start: RANGE, bytes: vec![0x90; 0x3000], protection: 4 };
    scenario.process(pid).user.as_mut().unwrap().private.push(piece);
    Edited::new(&scenario)
}

pub fn clean(build: Build) -> Edited {
    Edited::new(&Scenario::clean(build))
}

#[test]
fn a_clean_machine_shows_nothing_of_it() {
    for build in Build::ALL {
        for scan in [false, true] {
            let findings = check_smss(&clean(build).system(scan));
            assert_eq!(findings.verdict, Verdict::Clean, "{build:?}");
            for id in ["SMSS-002", "SMSS-004", "SMSS-010", "SMSS-011", "SMSS-016", "SMSS-018", "SMSS-022"] {
                assert_eq!(of(&findings, id, Some(MASTER)).outcome, Judgement::Pass, "{build:?} {id}");
            }
            for id in ["SYS-11", "SYS-12", "SYS-13"] {
                assert_eq!(of(&findings, id, None).outcome, Judgement::Pass, "{build:?} {id}");
            }
            // Page tables and VADs were both read.
            assert_eq!(of(&findings, "SMSS-018", Some(MASTER)).confidence, Some(Confidence::High), "{build:?}");
            assert_eq!(of(&findings, "SYS-11", None).confidence, Some(Confidence::High), "{build:?}");
        }
        // Memory for data alone changes nothing.
        let findings = judged(&with_range(build, MASTER));
        assert_eq!(of(&findings, "SMSS-018", Some(MASTER)).outcome, Judgement::Pass, "{build:?}");
    }
}

/// VADs say how a range was made; the processor goes by page tables.
#[test]
fn code_that_only_page_tables_show() {
    for build in BUILDS {
        let mut executable = with_range(build, MASTER);
        executable.edit_entry(MASTER, RANGE + 0x1000, |entry| entry & !NO_EXECUTE);
        assert_found("executable in a range for data", &executable, "SMSS-018", MASTER, High);

        // In no range: next to the PEB, where the same page table has room.
        let mut nowhere = with_range(build, MASTER);
        let peb = nowhere.process(MASTER).peb.unwrap();
        let frame = nowhere.physical(nowhere.process(MASTER).dtb, RANGE);
        let free = (1..0x80).map(|n| peb + n * 0x1000).find(|va| {
            let entry = nowhere.entry(nowhere.process(MASTER).dtb, *va);
            entry.is_some_and(|entry| nowhere.u64_at(entry) == 0)
        });
        let free = if build == Build::W7_7601 { RANGE + 0x10_0000 } else { free.unwrap() };
        nowhere.edit_entry(MASTER, free, |_| frame | 0x65);
        assert_found("executable in no range", &nowhere, "SMSS-018", MASTER, High);

        // On its way out of memory, and back as soon as it is run.
        let mut trimmed = with_range(build, MASTER);
        trimmed.edit_entry(MASTER, RANGE, |entry| (entry & 0x000f_ffff_ffff_f000) | 1 << 11 | 6 << 5);
        assert_found("executable and trimmed", &trimmed, "SMSS-018", MASTER, High);

        let guarded = if build >= Build::W81_9600 { High } else { Medium };
        for (pid, worst) in [(CSRSS, guarded), (WINLOGON, Medium)] {
            let mut other = with_range(build, pid);
            other.edit_entry(pid, RANGE, |entry| entry & !NO_EXECUTE);
            assert_found("in another core process", &other, "SYS-11", pid, worst);
        }
    }
}

/// A range that was put into the tree by hand, without a way back to the one above it.
#[test]
fn a_range_that_does_not_lead_back() {
    for build in BUILDS {
        let stray = |protection: u64, change: &dyn Fn(&mut Edited)| {
            let mut edited = with_range(build, MASTER);
            let system = edited.system(false);
            let vads = system.process(MASTER).unwrap().inside.value().unwrap().vads.value().unwrap();
            let vad = vads.iter().find(|vad| vad.start.value().map(|at| at.0) == Some(RANGE)).unwrap();
            let node = vad.address.value().unwrap().0;
            let parent = if build == Build::W7_7601 { "u1.Parent" } else { "VadNode.ParentValue" };
            edited.put(node, "_MMVAD_SHORT", parent, 0);
            edited.put(node, "_MMVAD_SHORT", "u.VadFlags.Protection", protection);
            change(&mut edited);
            edited
        };
        let executable = |edited: &mut Edited| {
            edited.edit_entry(MASTER, RANGE + 0x1000, |entry| entry & !NO_EXECUTE);
        };
        assert_found("made executable", &stray(6, &executable), "SMSS-018", MASTER, High);
        assert_found("made for data", &stray(4, &executable), "SMSS-018", MASTER, High);
        // As it was, it is a range like others.
        let findings = judged(&stray(4, &|_| ()));
        assert_eq!(of(&findings, "SMSS-018", Some(MASTER)).outcome, Judgement::Pass, "{build:?}");
        // Nothing is there: it may be another process's, or its page was lost. (The tree of Windows 7 is taken as it is.)
        if build == Build::W7_7601 {
            continue;
        }
        let lost = stray(6, &|edited| {
            for page in 0..3 {
                edited.edit_entry(MASTER, RANGE + page * 0x1000, |_| 0);
            }
        });
        let findings = judged(&lost);
        assert_eq!(of(&findings, "SMSS-018", Some(MASTER)).outcome, Judgement::Unknown, "{build:?}");
    }
}

/// An image that was replaced, in a range that says that it is for data, and with the file's own base in the PEB again.
#[test]
fn a_replaced_image_that_is_said_to_be_data() {
    for build in BUILDS {
        let mut scenario = Scenario::clean(build).with_hollowed_smss();
        let smss = scenario.process(MASTER);
        let base = smss.section_base.unwrap();
        let user = smss.user.as_mut().unwrap();
        user.image_base = base;
        user.private[0].protection = 4;
        let mut hollowed = Edited::new(&scenario);
        hollowed.edit_entry(MASTER, RANGE + 0x1000, |entry| entry & !NO_EXECUTE);
        assert_found("a replaced image", &hollowed, "SMSS-018", MASTER, High);
    }
}

#[test]
fn pages_of_images() {
    for build in BUILDS {
        let base = |edited: &Edited| edited.process(MASTER).image_base.unwrap();
        let mut writable = clean(build);
        let at = base(&writable);
        writable.edit_entry(MASTER, at, |entry| (entry | WRITE) & !NO_EXECUTE);
        assert_found("its image writable and executable", &writable, "SMSS-018", MASTER, High);

        // A private copy of the first page of ntdll.dll: a few bytes of it, and with code in it.
        for (bytes, execute, worst) in [(5usize, true, Some(Medium)), (3000, true, None), (5, false, Some(Info))] {
            let mut patched = with_range(build, MASTER);
            let library = Edited::library(build);
            let to = patched.copy_page(MASTER, library, RANGE + 0x2000);
            for byte in &mut patched.bytes[to + 0x200..to + 0x200 + bytes] {
                *byte ^= 0xcc;
            }
            patched.edit_entry(MASTER, library, |entry| if execute { entry & !NO_EXECUTE } else { entry });
            let name = format!("{bytes} bytes of ntdll.dll, {execute}");
            match worst {
                Some(worst) => assert_found(&name, &patched, "SMSS-018", MASTER, worst),
                // Another page: somebody put it there, or memory was copied in motion.
                None => {
                    let findings = judged(&patched);
                    let found = of(&findings, "SMSS-018", Some(MASTER));
                    assert_eq!(found.outcome, Judgement::Unknown, "{name}: {found}");
                    assert!(found.to_string().contains("ntdll.dll"), "{name}: {found}");
                    assert_eq!(findings.verdict, Verdict::Inconclusive, "{name}");
                }
            }
        }
    }
}

#[test]
fn a_range_that_claims_a_file_mapped_elsewhere() {
    for build in BUILDS {
        let mut claims = with_range(build, MASTER);
        let system = claims.system(false);
        let master = system.process(MASTER).unwrap();
        let vads = master.inside.value().unwrap().vads.value().unwrap();
        let node = |start: u64| {
            let vad = vads.iter().find(|vad| vad.start.value().map(|at| at.0) == Some(start)).unwrap();
            vad.address.value().unwrap().0
        };
        let (range, library) = (node(RANGE), node(Edited::library(build)));
        let subsection = claims.get(library, "_MMVAD", "Subsection");
        claims.put(range, "_MMVAD_SHORT", "u.VadFlags.PrivateMemory", 0);
        claims.put(range, "_MMVAD_SHORT", "u.VadFlags.VadType", 2);
        // The node is a short one: what lies behind it belongs to the next block of the pool, as where an attacker does not care.
        claims.put(range, "_MMVAD", "Subsection", subsection);
        assert_found("the same file twice", &claims, "SMSS-016", MASTER, High);
    }
}

#[test]
fn threads_have_three_lists_and_a_state() {
    for build in BUILDS {
        let start = |edited: &mut Edited| {
            let thread = edited.threads(MASTER)[1];
            for field in ["StartAddress", "Win32StartAddress"] {
                edited.put(thread, "_ETHREAD", field, RANGE + 0x10);
            }
            thread
        };
        let mut ended = with_range(build, MASTER);
        let thread = start(&mut ended);
        ended.put(thread, "_ETHREAD", "Terminated", 1);
        assert_found("a flag that the state contradicts", &ended, "SMSS-018", MASTER, High);

        let counted = |edited: &mut Edited| edited.put_in(MASTER, "ActiveThreads", 1);
        let mut unlinked = with_range(build, MASTER);
        let thread = start(&mut unlinked);
        unlinked.unlink(thread + unlinked.offset("_ETHREAD", "ThreadListEntry"));
        counted(&mut unlinked);
        assert_found("off the list of the process", &unlinked, "SMSS-018", MASTER, High);
        unlinked.unlink(thread + unlinked.offset("_ETHREAD", "Tcb.ThreadListEntry"));
        assert_found("off both lists", &unlinked, "SMSS-018", MASTER, High);

        // It starts where it should, and is hidden all the same.
        let mut hidden = clean(build);
        let thread = hidden.threads(MASTER)[1];
        hidden.unlink(thread + hidden.offset("_ETHREAD", "ThreadListEntry"));
        counted(&mut hidden);
        assert_found("hidden, with a good start", &hidden, "SMSS-018", MASTER, Medium);

        let mut nowhere = clean(build);
        let thread = nowhere.threads(MASTER)[1];
        nowhere.put(thread, "_ETHREAD", "StartAddress", 0x1e00_0000_1000);
        assert_found("a thread that waits and started nowhere", &nowhere, "SMSS-018", MASTER, Low);
        // One that was never scheduled may have been taken down half way.
        nowhere.put(thread, "_ETHREAD", "Tcb.State", 0);
        assert_eq!(of(&judged(&nowhere), "SMSS-018", Some(MASTER)).outcome, Judgement::Unknown);
    }
}

/// A thread that every list and table has lost is met by a search of memory.
#[test]
fn a_thread_in_no_list_is_found_by_scanning() {
    for build in [Build::W7_7601, Build::W10_19045, Build::W11_26100] {
        let mut scenario = Scenario::clean(build);
        scenario.process(MASTER).absent_from.push(ntmem_forge::Place::ThreadIds);
        let mut edited = Edited::new(&scenario);
        let thread = edited.threads(MASTER)[1];
        for list in ["ThreadListEntry", "Tcb.ThreadListEntry"] {
            edited.unlink(thread + edited.offset("_ETHREAD", list));
        }
        edited.put_in(MASTER, "ActiveThreads", 1);
        let plain = check_smss(&edited.system(false));
        assert_eq!(of(&plain, "SMSS-018", Some(MASTER)).outcome, Judgement::Pass, "{build:?}");
        let scanned = check_smss(&edited.system(true));
        assert_eq!(of(&scanned, "SMSS-018", Some(MASTER)).severity, Some(Medium), "{build:?}");
    }
}

#[test]
fn callbacks_and_debug_ports() {
    for build in BUILDS.into_iter().filter(|build| *build != Build::W11_26100) {
        let mut watched = clean(build);
        watched.put_in(MASTER, "Pcb.InstrumentationCallback", RANGE);
        assert_found("an instrumentation callback", &watched, "SMSS-022", MASTER, Medium);
        let mut watched = clean(build);
        watched.put_in(CSRSS, "Pcb.InstrumentationCallback", RANGE);
        assert_found("one of csrss.exe", &watched, "SYS-12", CSRSS, Low);
        let mut debugged = clean(build);
        debugged.put_in(WINLOGON, "DebugPort", 0xffff_b000_0000_1230);
        assert_found("a debugged winlogon.exe", &debugged, "SYS-12", WINLOGON, Medium);
    }
    // The symbols of this build do not say where it is: it is said, and no more.
    let findings = judged(&clean(Build::W11_26100));
    assert_eq!(of(&findings, "SMSS-022", Some(MASTER)).confidence, Some(Confidence::Medium));
}

#[test]
fn each_right_that_gives_control() {
    for build in [Build::W7_7601, Build::W10_19045] {
        let holding = |pid: u64, access: u32| {
            let mut scenario = Scenario::clean(build);
            scenario.process(pid).opens.push((MASTER, access));
            Edited::new(&scenario)
        };
        for access in [0x2, 0x8, 0x20, 0x40, 0x80, 0x200, 0x4_0000, 0x8_0000] {
            assert_found(&format!("{access:#x}"), &holding(USERS, access), "SMSS-022", MASTER, Medium);
        }
        assert_found("suspend", &holding(USERS, 0x800), "SMSS-022", MASTER, Low);
        for harmless in [0x1410, 0x10_1000, 0x1000] {
            let findings = judged(&holding(USERS, harmless));
            assert_eq!(of(&findings, "SMSS-022", Some(MASTER)).outcome, Judgement::Pass, "{harmless:#x}");
        }
    }
    // To a thread. (Where handles have the object in whole bytes, the forge's table is edited otherwise.)
    for (access, worst) in
        [(0x10, Some(Medium)), (0x2, Some(Medium)), (0x4_0000, Some(Medium)), (0x1f_ffff, Some(Medium)), (0x40, None)]
    {
        let mut scenario = Scenario::clean(Build::W10_19045);
        scenario.process(USERS).opens.push((MASTER, access));
        let mut edited = Edited::new(&scenario);
        let (process, thread) = (edited.process(MASTER).eprocess, edited.threads(MASTER)[0]);
        edited.move_handles(USERS, process, thread);
        let findings = judged(&edited);
        let found = of(&findings, "SMSS-022", Some(MASTER));
        assert_eq!(found.severity, worst, "{access:#x}: {found}");
    }
}

#[test]
fn protection_by_type_and_signer() {
    for build in [Build::W81_9600, Build::W10_19045, Build::W11_22621] {
        for (level, worst) in [(0x60, High), (0x68, High), (0x01, Medium), (0x31, Medium), (0x72, Info)] {
            let mut edited = clean(build);
            edited.put_in(MASTER, "Protection.Level", level);
            assert_found(&format!("{level:#x}"), &edited, "SMSS-013", MASTER, worst);
            let mut edited = clean(build);
            edited.put_in(CSRSS, "Protection.Level", level);
            assert_found(&format!("csrss.exe {level:#x}"), &edited, "SES-06", CSRSS, worst);
        }
    }
}

#[test]
fn the_file_has_three_witnesses() {
    const VOLUME: &str = "\\Device\\HarddiskVolume3";
    let right = "\\Windows\\System32\\smss.exe";
    for build in BUILDS {
        for (path, id, worst) in [
            (format!("\\Device\\HarddiskVolume9{right}"), "SMSS-004", Medium),
            (format!("\\Device\\ImDisk0{right}"), "SMSS-004", Medium),
            (format!("\\??\\C:{right}"), "SMSS-002", Low),
            ("\\SystemRoot\\System32\\smss.exe".to_owned(), "SMSS-002", Low),
            (right.to_owned(), "SMSS-002", Low),
        ] {
            let mut edited = clean(build);
            // The text lies behind the structure, and the new one has room in a page that nobody else needs.
            let info =
                edited.get(edited.process(MASTER).eprocess, "_EPROCESS", "SeAuditProcessCreationInfo.ImageFileName");
            let text: Vec<u8> = path.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let room = VOLUME.len() * 2 + right.len() * 2;
            assert!(text.len() <= room + 2, "{path}");
            let buffer = edited.get(info, "_UNICODE_STRING", "Buffer");
            edited.write(buffer, &text);
            edited.put(info, "_UNICODE_STRING", "Length", u64::try_from(text.len()).unwrap());
            assert_found(&path, &edited, id, MASTER, worst);
        }
        let file = |edited: &Edited| {
            let section = edited.get(edited.process(MASTER).eprocess, "_EPROCESS", "SectionObject");
            (section, edited.system(false).process(MASTER).unwrap().section_file.value().unwrap().address.0)
        };
        let mut nothing = clean(build);
        nothing.put_in(MASTER, "SectionObject", 0);
        if nothing.has("_EPROCESS", "ImageFilePointer") {
            assert_found("no section", &nothing, "SMSS-004", MASTER, Low);
            let mut nothing = clean(build);
            nothing.put_in(MASTER, "ImageFilePointer", 0);
            assert_found("no file", &nothing, "SMSS-004", MASTER, Low);
            // Another process's file.
            let mut other = clean(build);
            let theirs = other.get(other.process(CSRSS).eprocess, "_EPROCESS", "ImageFilePointer");
            other.put_in(MASTER, "ImageFilePointer", theirs);
            assert_found("two files", &other, "SMSS-004", MASTER, High);
        } else {
            assert_found("no section", &nothing, "SMSS-004", MASTER, Low);
        }
        let mut nowhere = clean(build);
        let (_, object) = file(&nowhere);
        for value in [0, 0xffff_8000_1234_5000] {
            nowhere.put(object, "_FILE_OBJECT", "DeviceObject", value);
            if nowhere.has("_EPROCESS", "ImageFilePointer") {
                let image = nowhere.get(nowhere.process(MASTER).eprocess, "_EPROCESS", "ImageFilePointer");
                nowhere.put(image, "_FILE_OBJECT", "DeviceObject", value);
            }
            let findings = judged(&nowhere);
            assert_eq!(of(&findings, "SMSS-004", Some(MASTER)).outcome, Judgement::Unknown, "{build:?}");
            assert_eq!(findings.verdict, Verdict::Inconclusive, "{build:?}");
        }
        let mut transacted = clean(build);
        let (section, object) = file(&transacted);
        transacted.put(object, "_FILE_OBJECT", "FileObjectExtension", section);
        assert_eq!(of(&judged(&transacted), "SMSS-004", Some(MASTER)).outcome, Judgement::Unknown, "{build:?}");
    }
}

/// A guest whose Windows is on a share of its host has all of it there.
#[test]
fn one_process_from_a_share_of_the_host() {
    for build in BUILDS {
        let mut scenario = Scenario::clean(build);
        let share = "\\Device\\vmsmb\\VSMB-{dcc079ae-60ba-4d07-847c-3493609c0870}\\os";
        scenario.process(MASTER).path = Some(format!("{share}\\Windows\\System32\\smss.exe"));
        assert_found("a share of the host", &Edited::new(&scenario), "SMSS-002", MASTER, Low);
    }
}

#[test]
fn pointers_that_lead_nowhere() {
    const NOWHERE: u64 = 0xffff_8000_0000_0000;
    for build in BUILDS {
        let mut session = clean(build);
        session.put_in(MASTER, "Session", NOWHERE);
        assert_found("a session", &session, "SMSS-011", MASTER, High);
        for token in [NOWHERE | 0xf, 0] {
            let mut edited = clean(build);
            edited.put_in(MASTER, "Token", token);
            assert_found(&format!("a token at {token:#x}"), &edited, "SMSS-010", MASTER, High);
        }
        // Another kind of object.
        let mut edited = clean(build);
        let process = edited.process(CSRSS).eprocess;
        edited.put_in(MASTER, "Token", process);
        assert_found("a process for a token", &edited, "SMSS-010", MASTER, High);
    }
}

#[test]
fn names_of_the_kernels_own_processes() {
    for build in [Build::W10_19045, Build::W11_22621] {
        for name in ["Registry", "MemCompression", "Secure System"] {
            let mut scenario = Scenario::clean(build);
            scenario.process(USERS).name = name.as_bytes().to_vec();
            scenario.process(USERS).ppid = 4;
            assert_found(name, &Edited::new(&scenario), "SYS-13", USERS, Medium);
        }
    }
    // The name means nothing yet.
    let mut scenario = Scenario::clean(Build::W7_7601);
    scenario.process(USERS).name = b"Registry".to_vec();
    let system = Opened::new(&scenario.forge()).system();
    assert_eq!(of(&check_smss(&system), "SYS-13", None).outcome, Judgement::Pass);
}

/// A PEB pointer that was taken away, and a PEB whose fields lead out of user memory: what a PEB says is not there, with the reason,
/// and the verdict names it.
#[test]
fn a_peb_that_is_none() {
    for build in BUILDS {
        let mut null = clean(build);
        null.put_in(MASTER, "Peb", 0);
        let mut edited = vec![("null", null)];
        for field in ["ImageBaseAddress", "ProcessParameters", "Ldr"] {
            let mut astray = clean(build);
            let (root, peb) = (astray.process(MASTER).dtb, astray.process(MASTER).peb.unwrap());
            let at = astray.physical(root, peb + astray.offset("_PEB", field));
            astray.put_u64_at(at, 0xffff_8000_1234_5000);
            edited.push((field, astray));
        }
        for (what, edited) in edited {
            let system = edited.system(false);
            let process = system.processes.items.iter().find(|process| process.pid.value() == Some(&MASTER)).unwrap();
            let absent = [process.peb_path.absent(), process.command_line.absent(), process.image_base.absent()];
            for absent in absent {
                assert_eq!(absent.map(|absent| absent.kind), Some(AbsentKind::Unparsable), "{build:?}: {what}");
            }
            let findings = check_smss(&system);
            assert_eq!(of(&findings, "SMSS-003", Some(MASTER)).outcome, Judgement::Unknown, "{build:?}: {what}");
            let away = findings.away.unwrap_or_else(|| panic!("{build:?}: {what}: nothing is said to be away"));
            assert!(!away.of_main.is_empty(), "{build:?}: {what}");
        }
    }
}

/// The address of another process's token, which is what exploits write.
#[test]
fn tokens_of_others() {
    for build in BUILDS {
        let stolen = |to: u64, from: u64| {
            let mut edited = clean(build);
            let token = edited.process(from).token;
            edited.put_in(to, "Token", token | 7);
            edited
        };
        assert_found("System's in smss.exe", &stolen(MASTER, 4), "SMSS-010", MASTER, Medium);
        assert_found("System's in csrss.exe", &stolen(CSRSS, 4), "SYS-15", CSRSS, Medium);
        assert_found("a user's in winlogon.exe", &stolen(WINLOGON, USERS), "SYS-15", WINLOGON, Medium);
        let findings = judged(&clean(build));
        assert_eq!(of(&findings, "SYS-15", None).outcome, Judgement::Pass, "{build:?}");
    }
}

/// An older build excuses what an older Windows lacks: the kernel's other words for its build are held against it.
#[test]
fn a_build_that_was_written_over() {
    // ntddk.h: KUSER_SHARED_DATA.NtBuildNumber at 0x260.
    const BUILD: u64 = 0xffff_f780_0000_0260;
    for build in [Build::W10_17763, Build::W10_19045, Build::W11_26100] {
        let mut edited = clean(build);
        edited.write(BUILD, &9200u32.to_le_bytes());
        if let Some(number) = edited.global("NtBuildNumber") {
            edited.write(number, &0xf000_23f0u32.to_le_bytes());
        }
        edited.put_in(MASTER, "Protection.Level", 0);
        let findings = judged(&edited);
        assert_eq!(of(&findings, "SYS-06", None).severity, Some(Medium), "{build:?}");
        assert_eq!(of(&findings, "SMSS-013", Some(MASTER)).severity, Some(High), "{build:?}");
        assert_eq!(of(&judged(&clean(build)), "SYS-06", None).outcome, Judgement::Pass, "{build:?}");
    }
}

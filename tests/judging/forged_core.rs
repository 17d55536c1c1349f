//! What was put into csrss.exe, wininit.exe and winlogon.exe, and into smss.exe where one field hides it: by true offsets, each with the
//! clean machine beside it.

use crate::common::edited::{Edited, NO_EXECUTE};
use crate::forged_edits::{BUILDS, CSRSS, MASTER, RANGE, USERS, WINLOGON, assert_found, clean, judged, of, with_range};
use ntmem::checks::Judgement;
use ntmem::{Severity, Verdict, check_smss};
use ntmem_forge::{Build, Private, Scenario};

use Severity::{High, Info, Low, Medium};

const LSASS: u64 = 684;
const SVCHOST: u64 = 804;
/// Where every process has `KUSER_SHARED_DATA`.
const SHARED: u64 = 0x7ffe_0000;
/// Present, and for user mode.
const PAGE: u64 = 5;
const TABLE: u64 = 0x67;

/// How bad code in csrss.exe is: from 8.1 on it is protected.
fn in_csrss(build: Build) -> Severity {
    if build >= Build::W81_9600 { High } else { Medium }
}

/// A clean machine that was planned otherwise.
fn planned(build: Build, change: impl FnOnce(&mut Scenario)) -> Edited {
    let mut scenario = Scenario::clean(build);
    change(&mut scenario);
    Edited::new(&scenario)
}

/// The node of the range of a process that begins there, and its last address.
fn node(edited: &Edited, pid: u64, start: u64) -> (u64, u64) {
    let system = edited.system(false);
    let vads = system.process(pid).unwrap().inside.value().unwrap().vads.value().unwrap();
    let vad = vads.iter().find(|vad| vad.start.value().map(|at| at.0) == Some(start)).unwrap();
    (vad.address.value().unwrap().0, vad.end.value().unwrap().0)
}

#[test]
fn another_file_behind_the_image() {
    for build in BUILDS {
        let mut renamed = clean(build);
        let object = renamed.system(false).process(CSRSS).unwrap().section_file.value().unwrap().address.0;
        let name: Vec<u8> = "\\Users\\alice\\csrss.exe".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let text = object + renamed.offset("_FILE_OBJECT", "FileName");
        let buffer = renamed.get(text, "_UNICODE_STRING", "Buffer");
        renamed.write(buffer, &name);
        renamed.put(text, "_UNICODE_STRING", "Length", u64::try_from(name.len()).unwrap());
        assert_found("the file of the section", &renamed, "SYS-16", CSRSS, High);

        let mut other = clean(build);
        if other.has("_EPROCESS", "ImageFilePointer") {
            let theirs = other.get(other.process(USERS).eprocess, "_EPROCESS", "ImageFilePointer");
            other.put_in(CSRSS, "ImageFilePointer", theirs);
            assert_found("ImageFilePointer", &other, "SYS-16", CSRSS, High);
        }
        let peb = planned(build, |scenario| {
            scenario.process(WINLOGON).user.as_mut().unwrap().path = "C:\\Users\\alice\\winlogon.exe".into();
        });
        assert_found("the PEB's path", &peb, "SYS-16", WINLOGON, High);
        let moved = planned(build, |scenario| {
            let path = scenario.process(WINLOGON).path.as_mut().unwrap();
            *path = path.to_lowercase().replace("\\windows\\system32", "\\programdata");
        });
        assert_found("the kernel's path", &moved, "SYS-16", WINLOGON, High);
        assert_eq!(of(&judged(&clean(build)), "SYS-16", None).outcome, Judgement::Pass, "{build:?}");
    }
}

#[test]
fn libraries_from_where_users_write() {
    for build in BUILDS {
        let with = |pid: u64, file: &str| {
            planned(build, |scenario| scenario.process(pid).user.as_mut().unwrap().unlisted = vec![file.into()])
        };
        let evil = "C:\\Users\\alice\\evil.dll";
        assert_found("in csrss.exe", &with(CSRSS, evil), "SYS-16", CSRSS, in_csrss(build));
        assert_found("in winlogon.exe", &with(WINLOGON, evil), "SYS-16", WINLOGON, Medium);
        // What vendors install, winlogon.exe loads.
        assert_found("of a vendor's data", &with(WINLOGON, "C:\\ProgramData\\V\\hook.dll"), "SYS-16", WINLOGON, Info);
        for file in
            ["C:\\Program Files\\Vendor\\hook.dll", "C:\\Windows\\System32\\input.dll", "C:\\Windows\\WinSxS\\a\\b.dll"]
        {
            let findings = judged(&with(WINLOGON, file));
            assert_eq!(of(&findings, "SYS-16", None).outcome, Judgement::Pass, "{build:?} {file}");
            assert_eq!(findings.verdict, Verdict::Clean, "{build:?} {file}");
        }
        let findings = judged(&with(CSRSS, "C:\\Windows\\WinSxS\\a\\b.dll"));
        assert_eq!(findings.verdict, Verdict::Clean, "{build:?}");
    }
}

#[test]
fn threads_of_core_processes() {
    for build in BUILDS {
        for (pid, worst) in [(CSRSS, in_csrss(build)), (WINLOGON, Medium)] {
            for fields in [&["Win32StartAddress"][..], &["StartAddress", "Win32StartAddress"]] {
                let mut edited = with_range(build, pid);
                let thread = edited.threads(pid)[0];
                for field in fields {
                    edited.put(thread, "_ETHREAD", field, RANGE + 0x10);
                }
                assert_found("a thread in memory for data", &edited, "SYS-11", pid, worst);
            }
            let mut hidden = clean(build);
            let thread = hidden.threads(pid)[0];
            hidden.unlink(thread + hidden.offset("_ETHREAD", "ThreadListEntry"));
            assert_found("a thread off the list", &hidden, "SYS-11", pid, Medium);
            // Of what was unloaded, or made by the kernel.
            for at in [0x1e00_0000_1000, 0xffff_f800_0000_1000] {
                let mut edited = clean(build);
                let thread = edited.threads(pid)[0];
                edited.put(thread, "_ETHREAD", "StartAddress", at);
                assert_found(&format!("a thread from {at:#x}"), &edited, "SYS-11", pid, Info);
            }
        }
    }
}

#[test]
fn handles_to_core_processes() {
    for build in BUILDS {
        let holding = |holder: u64, target: u64, access: u32| {
            planned(build, |scenario| scenario.process(holder).opens.push((target, access)))
        };
        let protected = build >= Build::W81_9600;
        let worst = if protected { Medium } else { Low };
        assert_found("of csrss.exe", &holding(USERS, CSRSS, 0x1f_ffff), "SYS-12", CSRSS, worst);
        assert_found("of winlogon.exe", &holding(USERS, WINLOGON, 0x20), "SYS-12", WINLOGON, Low);
        assert_found("to suspend it", &holding(USERS, CSRSS, 0x800), "SYS-12", CSRSS, Info);
        for (holder, target, access) in [
            (LSASS, CSRSS, 0x1f_ffff),
            (SVCHOST, WINLOGON, 0x1f_ffff),
            (USERS, CSRSS, 0x1410),
            (CSRSS, WINLOGON, 0x1f_ffff),
        ] {
            let findings = judged(&holding(holder, target, access));
            let found = of(&findings, "SYS-12", None);
            assert_eq!(found.outcome, Judgement::Pass, "{build:?} {holder} {target}: {found}");
        }
        // A service may have got it before there was a protection.
        assert_eq!(judged(&holding(SVCHOST, CSRSS, 0x1f_ffff)).verdict, Verdict::Clean, "{build:?}");
    }
}

/// What mapping a section of the page file into a process leaves.
#[test]
fn a_section_that_is_executable() {
    for build in BUILDS {
        for (pid, id, worst) in
            [(MASTER, "SMSS-018", High), (CSRSS, "SYS-11", in_csrss(build)), (WINLOGON, "SYS-11", Medium)]
        {
            let mut edited = with_range(build, pid);
            let (node, _) = node(&edited, pid, RANGE);
            edited.put(node, "_MMVAD_SHORT", "u.VadFlags.PrivateMemory", 0);
            edited.put(node, "_MMVAD_SHORT", "u.VadFlags.Protection", 3);
            edited.put(node, "_MMVAD", "Subsection", 0);
            edited.edit_entry(pid, RANGE, |entry| entry & !NO_EXECUTE);
            assert_found("an executable section", &edited, id, pid, worst);
        }
    }
}

#[test]
fn code_in_the_shared_page() {
    for build in BUILDS {
        for (pid, id) in [(MASTER, "SMSS-018"), (CSRSS, "SYS-11")] {
            let mut edited = clean(build);
            edited.edit_entry(pid, SHARED, |entry| entry & !NO_EXECUTE);
            if build >= Build::W81_9600 {
                assert_found("the shared page", &edited, id, pid, High);
            } else {
                // Older versions may not forbid it.
                assert_eq!(judged(&edited).verdict, Verdict::Clean, "{build:?}");
            }
        }
    }
}

/// The range of an image is as long as one field of it says; the image is not.
#[test]
fn code_behind_the_end_of_an_image() {
    for build in BUILDS {
        for (pid, id, library, worst) in [
            (MASTER, "SMSS-018", false, High),
            (MASTER, "SMSS-018", true, High),
            (CSRSS, "SYS-11", true, in_csrss(build)),
        ] {
            let longer = |with_code: bool| {
                let mut edited = with_range(build, pid);
                let base = if library { Edited::library(build) } else { edited.process(pid).image_base.unwrap() };
                let (node, end) = node(&edited, pid, base);
                let high = edited.has("_MMVAD_SHORT", "EndingVpnHigh");
                let last = (end >> 12) + 8;
                edited.put(node, "_MMVAD_SHORT", "EndingVpn", if high { last & 0xffff_ffff } else { last });
                let frame = edited.physical(edited.process(pid).dtb, RANGE);
                if with_code {
                    edited.edit_entry(pid, end + 0x1001, |_| frame | PAGE);
                }
                (edited, end)
            };
            let (mut edited, end) = longer(true);
            assert_found("code behind the image", &edited, id, pid, worst);
            let thread = edited.threads(pid)[0];
            for field in ["StartAddress", "Win32StartAddress"] {
                edited.put(thread, "_ETHREAD", field, end + 0x1010);
            }
            let findings = judged(&edited);
            let found = of(&findings, id, Some(pid));
            assert!(found.to_string().contains("behind the end of"), "{build:?}: {found}");
            assert!(found.to_string().contains("thread"), "{build:?}: {found}");
            // A longer range alone runs nothing.
            assert_eq!(judged(&longer(false).0).verdict, Verdict::Clean, "{build:?}");
        }
    }
}

#[test]
fn modules_that_are_elsewhere() {
    for build in BUILDS {
        let edit = |field: &str, value: u64| {
            let mut edited = with_range(build, MASTER);
            let system = edited.system(false);
            let inside = system.process(MASTER).unwrap().inside.value().unwrap();
            let entry = inside.loaded.value().unwrap()[1].entry.value().unwrap().0;
            let at = entry + edited.offset("_LDR_DATA_TABLE_ENTRY", field);
            let physical = edited.physical(edited.process(MASTER).dtb, at);
            edited.put_u64_at(physical, value);
            edited
        };
        assert_found("its place", &edit("DllBase", RANGE), "SMSS-016", MASTER, Medium);
        assert_found("its entry", &edit("EntryPoint", RANGE + 0x100), "SMSS-016", MASTER, Medium);
        // ntdll.dll has none.
        let none = edit("EntryPoint", 0);
        assert_eq!(judged(&none).verdict, Verdict::Clean, "{build:?}");
    }
}

/// Where the kernel's half is kept from user mode, that runs on a table of its own (KVA shadow).
#[test]
fn the_table_of_user_mode() {
    let field = "Pcb.UserDirectoryTableBase";
    for build in BUILDS {
        if !clean(build).has("_EPROCESS", field) {
            continue;
        }
        for (pid, id) in [(MASTER, "SMSS-018"), (CSRSS, "SYS-11")] {
            let shadow = |change: &dyn Fn(&mut Edited, [u64; 5])| {
                let mut edited = planned(build, |scenario| {
                    let piece = Private { start: RANGE, bytes: vec![0x90; 0x5000], protection: 4 };
                    scenario.process(pid).user.as_mut().unwrap().private.push(piece);
                });
                let root = edited.process(pid).dtb;
                let frames = [0, 1, 2, 3, 4].map(|n| edited.physical(root, RANGE + n * 0x1000));
                let (from, to) = (usize::try_from(root).unwrap(), usize::try_from(frames[0]).unwrap());
                edited.bytes.copy_within(from..from + 0x1000, to);
                edited.put_in(pid, field, frames[0] | 1);
                change(&mut edited, frames);
                edited
            };
            let more = shadow(&|edited, [top, a, b, c, code]| {
                for (entry, value) in [(top + 0xc0 * 8, a | TABLE), (a, b | TABLE), (b, c | TABLE), (c, code | PAGE)] {
                    if entry & 0xfff == 0 {
                        edited.bytes[usize::try_from(entry).unwrap()..][..0x1000].fill(0);
                    }
                    edited.put_u64_at(entry, value);
                }
            });
            let worst = if pid == MASTER { High } else { in_csrss(build) };
            assert_found("a page that user mode alone has", &more, id, pid, worst);
            let same = shadow(&|_, _| ());
            assert_eq!(judged(&same).verdict, Verdict::Clean, "{build:?}");
            // The kernel forbids to execute user memory through its own.
            let forbidden = shadow(&|edited, [top, ..]| {
                for slot in 0..256 {
                    let entry = edited.u64_at(top + slot * 8);
                    edited.put_u64_at(top + slot * 8, entry & !NO_EXECUTE);
                }
            });
            assert_eq!(judged(&forbidden).verdict, Verdict::Clean, "{build:?}");
            let mut mark = clean(build);
            mark.put_in(pid, field, 1);
            assert_eq!(judged(&mark).verdict, Verdict::Clean, "{build:?}");
        }
    }
}

/// A job object is made in two pages; the processes that a container is there for are not.
#[test]
fn a_container_that_nobody_lives_in() {
    const SMSS: u64 = 4508;
    for build in [Build::W10_17763, Build::W10_19045, Build::W11_22621] {
        let whole = Scenario::clean(build).with_silo();
        assert_eq!(check_smss(&Edited::new(&whole).system(false)).verdict, Verdict::Clean, "{build:?}");
        let mut alone = Scenario::clean(build).with_silo();
        alone.processes.retain(|process| process.job.is_none() || process.pid == SMSS);
        let findings = judged(&Edited::new(&alone));
        let found = of(&findings, "SMSS-007", Some(SMSS));
        assert!(found.counts(), "{build:?}: {found}");
    }
}

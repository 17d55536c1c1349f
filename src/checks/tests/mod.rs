//! One machine written down by hand, and what becomes of it.

mod adversary;
mod another_process;
mod inside;
mod registry;
mod registry_as_read;
mod registry_situations;
mod rules;
mod situations;

use super::{Findings, Outcome, check_smss};
use crate::kernel::{Handle, SectionFile, Thread, Token, Vad};
use crate::process::Source;
use crate::process::{Holder, Inside};
use crate::{Absent, Hex, KernelInfo, ListEnd, Process, ProcessList, Reading, System, Timestamp, VirtualAddress};

const MASTER: u64 = 348;
/// The command line and PEB path of the master.
const SMSS_COMMAND: &str = "\\SystemRoot\\System32\\smss.exe";
const BOOT: u64 = 133_900_000_000_000_000;

fn at(second: u64) -> Reading<Timestamp> {
    Reading::Value(Timestamp(BOOT + second * 10_000_000))
}

fn text(value: &str) -> Reading<String> {
    Reading::Value(value.to_owned())
}

fn gone<T>() -> Reading<T> {
    Reading::Absent(Absent::unreadable("0xfffff80000001000: not present"))
}

/// A process of System in session 0 or none, running from System32.
fn process(pid: u64, ppid: u64, name: &str, session: Option<u32>, second: u64) -> Process {
    let path = format!("\\Device\\HarddiskVolume3\\Windows\\System32\\{name}");
    Process {
        pid: Reading::Value(pid),
        ppid: Reading::Value(ppid),
        name: text(&name.chars().take(14).collect::<String>()),
        created: at(second),
        exited: Reading::Nothing,
        session: session.map_or(Reading::Nothing, Reading::Value),
        wow64: Reading::Value(false),
        threads: Reading::Value(3),
        path: text(&path),
        peb_path: text(&format!("C:\\Windows\\system32\\{name}")),
        command_line: text(name),
        user: text("S-1-5-18"),
        groups: Reading::Value(["S-1-5-32-544", "S-1-1-0", "S-1-5-11"].map(str::to_owned).to_vec()),
        integrity: text("S-1-16-16384"),
        authentication_id: Reading::Value(Hex(0x3e7)),
        token_session: Reading::Value(session.unwrap_or(0)),
        token: Reading::Value(Token { address: VirtualAddress(0xffff_9000_0000_0000 + pid), ..Token::default() }),
        protection: Reading::Value(Hex(0)),
        critical: Reading::Value(false),
        base_priority: Reading::Value(8),
        debug_port: Reading::Nothing,
        instrumentation: Reading::Nothing,
        win32_process: Reading::Nothing,
        silo: Reading::Nothing,
        minimal: Reading::Value(false),
        eprocess: Reading::Value(VirtualAddress(0xffff_8000_0000_0000 + (pid << 12))),
        sources: vec![Source::ActiveList, Source::PoolScan],
        ..Process::default()
    }
}

const IMAGE: u64 = 0x7ff6_0000_0000;
const NTDLL: u64 = 0x7ffb_5a00_0000;
const HEAP: u64 = 0x1_5000_0000;

fn vad(start: u64, kind: &str, protection: &str, file: Option<&str>) -> Vad {
    Vad {
        start: Reading::Value(VirtualAddress(start)),
        end: Reading::Value(VirtualAddress(start + 0x2_5fff)),
        kind: Reading::Value(kind.into()),
        private: Reading::Value(kind == "private"),
        protection: text(protection),
        executable: Reading::Value(protection.contains("EXECUTE")),
        file: file.map_or(Reading::Nothing, text),
        address: Reading::Value(VirtualAddress(0xffff_b000_0000_0000 + (start >> 12))),
        ..Vad::default()
    }
}

fn thread(tid: u64, start: u64, win32_start: u64) -> Thread {
    Thread {
        tid: Reading::Value(tid),
        start: Reading::Value(VirtualAddress(start)),
        win32_start: Reading::Value(VirtualAddress(win32_start)),
        terminated: Reading::Value(false),
        ..Thread::default()
    }
}

fn holder(pid: u64, name: &str, access: u64) -> Holder {
    Holder {
        pid: Reading::Value(pid),
        name: text(name),
        value: Reading::Value(0x2c),
        access: Reading::Value(Hex(access)),
        thread: Reading::Nothing,
        ..Holder::default()
    }
}

/// What is in smss.exe: its image and ntdll, a heap, threads that start in either, a handle to csrss.exe (pid 452).
fn inside() -> Inside {
    let image = |start, file| vad(start, "image", "PAGE_EXECUTE_WRITECOPY", Some(file));
    let csrss = Handle {
        value: Reading::Value(0x98),
        kind: text("Process"),
        access: Reading::Value(Hex(0x1f_ffff)),
        object: Reading::Value(VirtualAddress(0xffff_8000_0000_0000 + (452 << 12))),
        pid: Reading::Value(452),
        ..Handle::default()
    };
    Inside {
        vads: Reading::Value(vec![
            vad(HEAP, "private", "PAGE_READWRITE", None),
            image(IMAGE, "\\Windows\\System32\\smss.exe"),
            image(NTDLL, "\\Windows\\System32\\ntdll.dll"),
        ]),
        vads_end: Reading::Value(ListEnd::Complete),
        code: Reading::Value(Vec::new()),
        code_pages: Reading::Value(40),
        no_execute: Reading::Value(true),
        code_end: Reading::Value(ListEnd::Complete),
        altered: Reading::Value(Vec::new()),
        private_executable: Reading::Value(false),
        threads: Reading::Value(vec![
            thread(352, NTDLL + 0x1000, IMAGE + 0x1000),
            thread(356, NTDLL + 0x1000, NTDLL + 0x2000),
            thread(360, NTDLL + 0x1000, IMAGE + 0x3000),
        ]),
        threads_end: Reading::Value(ListEnd::Complete),
        handles: Reading::Value(vec![csrss]),
        handle_count: Reading::Value(53),
        handles_end: Reading::Value(ListEnd::Complete),
        held_by: Reading::Value(vec![holder(4, "System", 0x1f_ffff), holder(800, "svchost.exe", 0x1000)]),
        held_by_end: Reading::Value(ListEnd::Complete),
        ..Inside::default()
    }
}

/// What is in the process with this pid, to be changed.
fn within(system: &mut System, pid: u64) -> &mut Inside {
    match &mut find(system, pid).inside {
        Reading::Value(inside) => inside,
        other => panic!("{other:?}"),
    }
}

fn list<T>(reading: &mut Reading<Vec<T>>) -> &mut Vec<T> {
    match reading {
        Reading::Value(list) => list,
        _ => panic!("no list"),
    }
}

fn smss(pid: u64, ppid: u64, session: Option<u32>, second: u64, command: &str) -> Process {
    Process {
        peb_path: text(SMSS_COMMAND),
        command_line: text(command),
        modules: Reading::Value(vec![SMSS_COMMAND.into(), "C:\\Windows\\SYSTEM32\\ntdll.dll".into()]),
        image_base: Reading::Value(VirtualAddress(0x7ff6_0000_0000)),
        section_base: Reading::Value(VirtualAddress(0x7ff6_0000_0000)),
        section_file: Reading::Value(SectionFile {
            address: VirtualAddress(0xffff_a000_0000_1000),
            name: "\\Windows\\System32\\smss.exe".into(),
            delete_pending: false,
            transaction: Some(false),
            ..SectionFile::default()
        }),
        protection: Reading::Value(Hex(0x61)),
        critical: Reading::Value(true),
        dynamic_code_disabled: Reading::Value(true),
        base_priority: Reading::Value(11),
        inside: Reading::Value(inside()),
        ..process(pid, ppid, "smss.exe", session, second)
    }
}

/// Windows 10 22H2, as the fact sheet describes it.
fn machine() -> System {
    let system = Process { path: Reading::Nothing, ..process(4, 0, "System", None, 16) };
    let registry =
        Process { minimal: Reading::Value(true), path: text("Registry"), ..process(100, 4, "Registry", None, 1) };
    let guarded = |process| Process { protection: Reading::Value(Hex(0x61)), ..process };
    let explorer = Process {
        path: text("\\Device\\HarddiskVolume3\\Windows\\explorer.exe"),
        user: text("S-1-5-21-1-2-3-1001"),
        ..process(3000, 2900, "explorer.exe", Some(1), 90)
    };
    let mut system = System {
        kernel: Some(KernelInfo { build: Some(19045), arch: Some("x64".into()), ..KernelInfo::default() }),
        processes: ProcessList {
            end: Some(ListEnd::Complete),
            items: vec![
                system,
                registry,
                smss(MASTER, 4, None, 16, SMSS_COMMAND),
                guarded(process(452, 444, "csrss.exe", Some(0), 20)),
                guarded(process(528, 444, "wininit.exe", Some(0), 20)),
                guarded(process(536, 520, "csrss.exe", Some(1), 21)),
                process(600, 520, "winlogon.exe", Some(1), 21),
                process(640, 528, "services.exe", Some(0), 21),
                process(660, 528, "lsass.exe", Some(0), 21),
                process(800, 640, "svchost.exe", Some(0), 22),
                explorer,
            ],
            ..ProcessList::default()
        },
        ..System::default()
    };
    system.machine.root = text("C:\\Windows");
    system.machine.captured = at(4000);
    system
}

fn with(change: impl FnOnce(&mut System)) -> Findings {
    let mut system = machine();
    change(&mut system);
    check_smss(&system)
}

fn find(system: &mut System, pid: u64) -> &mut Process {
    system.processes.items.iter_mut().find(|process| process.pid == Reading::Value(pid)).unwrap()
}

fn master(system: &mut System) -> &mut Process {
    find(system, MASTER)
}

fn add(system: &mut System, process: Process) {
    system.processes.items.push(process);
}

/// The same program, started by the user.
fn impostor(pid: u64, ppid: u64) -> Process {
    Process {
        path: text("\\Device\\HarddiskVolume3\\Users\\a\\AppData\\Local\\smss.exe"),
        user: text("S-1-5-21-1-2-3-1001"),
        ..process(pid, ppid, "smss.exe", Some(1), 300)
    }
}

fn outcome<'a>(findings: &'a Findings, id: &'a str, pid: impl Into<Option<u64>>) -> &'a Outcome {
    let pid = pid.into();
    findings.of(id).find(|outcome| outcome.pid == pid).unwrap_or_else(|| panic!("no {id} for {pid:?}"))
}

const CHILD: &str = "\\SystemRoot\\System32\\smss.exe 000000c0 00000074 ";

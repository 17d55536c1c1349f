//! One machine written down by hand, and what becomes of it.

mod registry;
mod registry_situations;
mod rules;
mod situations;

use super::{Findings, Outcome, check_smss, table};
use crate::process::{SectionFile, Token};
use crate::{Absent, Hex, KernelInfo, ListEnd, Process, ProcessList, Reading, System, Timestamp, VirtualAddress};

const MASTER: u64 = 348;
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
        win32_process: Reading::Nothing,
        silo: Reading::Nothing,
        minimal: Reading::Value(false),
        sources: vec!["active_list".into(), "pool_scan".into()],
        ..Process::default()
    }
}

fn smss(pid: u64, ppid: u64, session: Option<u32>, second: u64, command: &str) -> Process {
    Process {
        peb_path: text(table::SMSS_COMMAND),
        command_line: text(command),
        modules: Reading::Value(vec![table::SMSS_COMMAND.into(), "C:\\Windows\\SYSTEM32\\ntdll.dll".into()]),
        image_base: Reading::Value(VirtualAddress(0x7ff6_0000_0000)),
        section_base: Reading::Value(VirtualAddress(0x7ff6_0000_0000)),
        section_file: Reading::Value(SectionFile {
            address: VirtualAddress(0xffff_a000_0000_1000),
            name: "\\Windows\\System32\\smss.exe".into(),
            delete_pending: false,
            transaction: Some(false),
        }),
        protection: Reading::Value(Hex(0x61)),
        critical: Reading::Value(true),
        dynamic_code_disabled: Reading::Value(true),
        base_priority: Reading::Value(11),
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
                smss(MASTER, 4, None, 16, table::SMSS_COMMAND),
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

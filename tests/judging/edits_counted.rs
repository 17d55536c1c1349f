//! What somebody with kernel write did to a machine, one lie at a time, and what is said of it: the table in `docs/threat-model.md` is
//! counted from this list. What nobody sees stands in it too, with the reason.

use crate::common::edited::{Edited, NO_EXECUTE, WRITE};
use ntmem::checks::Judgement;
use ntmem::{Findings, Outcome, Severity, Verdict, check_smss};
use ntmem_forge::hive_plan::Data;
use ntmem_forge::scenario::Unlinked;
use ntmem_forge::systems::Edit;
use ntmem_forge::{Build, Damage, Place, Private, Scenario};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

const BUILDS: [Build; 3] = [Build::W7_7601, Build::W10_19045, Build::W11_26100];
const MASTER: u64 = 348;
const CSRSS: u64 = 452;
const USERS: u64 = 2260;
const REGISTRY: u64 = 100;
/// A program of a user that somebody hides.
const HIDDEN: u64 = 3636;
/// A range for data in smss.exe.
const RANGE: u64 = 0x1_5000_0000;
const NOWHERE: u64 = 0xffff_8000_0000_0000;

/// `None`: the build has nothing of the kind.
type Make = Box<dyn Fn(Build) -> Option<Edited>>;

/// One lie.
struct Lie {
    kind: &'static str,
    name: String,
    make: Make,
    /// Why nothing in memory contradicts it. `None`: something does.
    silent: Option<&'static str>,
}

#[derive(Default)]
struct Lies(Vec<Lie>);

impl Lies {
    fn add(&mut self, kind: &'static str, name: impl Into<String>, make: impl Fn(Build) -> Option<Edited> + 'static) {
        self.0.push(Lie { kind, name: name.into(), make: Box::new(make), silent: None });
    }

    fn silent(
        &mut self,
        kind: &'static str,
        name: &str,
        why: &'static str,
        make: impl Fn(Build) -> Option<Edited> + 'static,
    ) {
        self.add(kind, name, make);
        self.0.last_mut().unwrap().silent = Some(why);
    }

    /// A change of a clean machine in which smss.exe has a range for data.
    fn edit(&mut self, kind: &'static str, name: impl Into<String>, change: impl Fn(&mut Edited) + 'static) {
        self.add(kind, name, move |build| {
            let mut edited = with_range(build);
            change(&mut edited);
            Some(edited)
        });
    }

    /// The same, of a field that not every build has.
    fn field(&mut self, kind: &'static str, pid: u64, path: &'static str, value: u64) {
        self.add(kind, format!("pid {pid}: {path} = {value:#x}"), move |build| {
            let mut edited = with_range(build);
            edited.has("_EPROCESS", path).then(|| edited.put_in(pid, path, value))?;
            Some(edited)
        });
    }

    /// A change of the plan of a machine.
    fn plan(&mut self, kind: &'static str, name: &str, change: impl Fn(&mut Scenario) + 'static) {
        self.add(kind, name, move |build| {
            let mut scenario = Scenario::clean(build);
            change(&mut scenario);
            Some(Edited::new(&scenario))
        });
    }
}

fn with_range(build: Build) -> Edited {
    let mut scenario = Scenario::clean(build);
    let piece = Private { start: RANGE, bytes: vec![0x90; 0x3000], protection: 4 };
    scenario.process(MASTER).user.as_mut().unwrap().private.push(piece);
    Edited::new(&scenario)
}

/// A user's program that is hidden from all lists but these.
fn hide(scenario: &mut Scenario, left: &[Place]) {
    let path = format!("{}\\system32\\notepad.exe", scenario.system_root);
    let hidden = scenario.program(HIDDEN, USERS, &path, scenario.captured.plus_ms(-5_400_000), Some(1));
    scenario.processes.push(hidden);
    *scenario = scenario.clone().with_hidden(HIDDEN, Unlinked::Null, left);
}

fn of_hidden(path: &'static str, value: u64) -> Damage {
    Damage::Field { pid: HIDDEN, path, value }
}

fn of_its_threads(path: &'static str, value: u64) -> Damage {
    Damage::ThreadField { pid: HIDDEN, path, value }
}

fn without_heads(scenario: &mut Scenario) {
    for head in ["Pcb.Header.WaitListHead.Flink", "Pcb.Header.WaitListHead.Blink"] {
        scenario.damage.push(of_hidden(head, 0));
    }
    for head in ["Pcb.ProfileListHead.Flink", "Pcb.ProfileListHead.Blink"] {
        scenario.damage.push(of_hidden(head, 0));
    }
    scenario.damage.push(of_its_threads("Cid.UniqueThread", 0));
}

/// Makes the edits of one kind of lie for an image.
type Damages = fn(&Scenario) -> Vec<Damage>;

fn hidden_processes(all: &mut Lies) {
    const KIND: &str = "a process in no list";
    all.plan(KIND, "off the active list", |s| hide(s, &[Place::ThreadIds, Place::SessionList, Place::MmList]));
    all.plan(KIND, "known by threads' ids alone", |s| hide(s, &[Place::ThreadIds]));
    all.plan(KIND, "known by its session's list alone", |s| hide(s, &[Place::SessionList]));
    all.plan(KIND, "known by nothing", |s| hide(s, &[]));
    let lies: [(&str, Damages); 9] = [
        ("just made", |s| vec![of_hidden("CreateTime", s.captured.plus_ms(-30_000).0)]),
        ("made after the image", |s| vec![of_hidden("CreateTime", s.captured.plus_ms(1_800_000).0)]),
        ("of an earlier boot", |s| vec![of_hidden("CreateTime", s.boot.plus_ms(-86_400_000).0)]),
        ("over", |s| vec![of_hidden("ExitTime", s.captured.plus_ms(-30_000).0), of_hidden("ActiveThreads", 0)]),
        ("its threads flagged as ended", |_| vec![of_its_threads("Terminated", 1)]),
        ("freed", |_| vec![Damage::HeadersFreed { pid: HIDDEN }]),
        ("its threads name System", |_| vec![Damage::ThreadOwner { pid: HIDDEN, path: "Tcb.Process", owner: 4 }]),
        ("another kind of object", |_| vec![of_hidden("Pcb.Header.Type", 0)]),
        ("without an id", |_| vec![of_hidden("UniqueProcessId", 0)]),
    ];
    for (name, lie) in lies {
        all.plan(KIND, &format!("known by nothing, and {name}"), move |s| {
            hide(s, &[]);
            let damage = lie(s);
            s.damage.extend(damage);
        });
    }
    all.plan(KIND, "known by nothing, without heads of lists and ids of threads", |s| {
        hide(s, &[]);
        without_heads(s);
    });
    all.add(KIND, "known by nothing, its object wiped", |build| {
        let mut scenario = Scenario::clean(build);
        hide(&mut scenario, &[]);
        without_heads(&mut scenario);
        let mut edited = Edited::new(&scenario);
        let at = edited.process(HIDDEN).eprocess;
        edited.write(at, &[0; 0x600]);
        Some(edited)
    });
    all.silent(
        KIND,
        "known by nothing, its object wiped, its root not leading to itself",
        "nothing of it is left that a running process needs but code and page tables, which nobody names",
        |build| {
            let mut scenario = Scenario::clean(build);
            hide(&mut scenario, &[]);
            without_heads(&mut scenario);
            let mut edited = Edited::new(&scenario);
            let (at, root) = (edited.process(HIDDEN).eprocess, edited.process(HIDDEN).dtb);
            edited.write(at, &[0; 0x600]);
            for slot in 256..512 {
                if edited.u64_at(root + slot * 8) & 0x000f_ffff_ffff_f000 == root {
                    edited.put_u64_at(root + slot * 8, 0);
                }
            }
            Some(edited)
        },
    );
}

fn stamps(all: &mut Lies) {
    const KIND: &str = "stamps and states";
    let late = |s: &mut Scenario, ms: i64| {
        let made = s.boot.plus_ms(ms);
        s.process(MASTER).created = made;
    };
    all.plan(KIND, "started two hours late", move |s| late(s, 7_200_000));
    all.plan(KIND, "started two hours late, CreateTime of the boot", move |s| {
        late(s, 7_200_000);
        let early = s.process(4).created.plus_ms(100);
        s.damage.push(Damage::Field { pid: MASTER, path: "CreateTime", value: early.0 });
    });
    all.plan(KIND, "CreateTime of two hours later", |s| {
        let value = s.boot.plus_ms(7_200_000).0;
        s.damage.push(Damage::Field { pid: MASTER, path: "CreateTime", value });
    });
    all.plan(KIND, "an exit time", |s| {
        let value = s.captured.plus_ms(-30_000).0;
        s.damage.push(Damage::Field { pid: MASTER, path: "ExitTime", value });
    });
    for pid in [MASTER, CSRSS] {
        all.edit(KIND, format!("pid {pid}: no active threads"), move |e| e.put_in(pid, "ActiveThreads", 0));
    }
    all.silent(
        KIND,
        "started two hours late, all stamps of the boot",
        "every stamp that the kernel keeps of the start was written over, its threads' and interrupt time's among them",
        move |build| {
            let mut scenario = Scenario::clean(build);
            let (honest, boot) = (scenario.process(MASTER).created, scenario.boot);
            late(&mut scenario, 7_200_000);
            scenario.damage.push(Damage::ThreadField { pid: MASTER, path: "CreateTime", value: honest.0 });
            let mut edited = Edited::new(&scenario);
            edited.put_in(MASTER, "CreateTime", honest.0);
            if edited.has("_EPROCESS", "CreateInterruptTime") {
                edited.put_in(MASTER, "CreateInterruptTime", honest.0 - boot.0);
            }
            Some(edited)
        },
    );
}

fn code(all: &mut Lies) {
    const KIND: &str = "code in smss.exe";
    all.edit(KIND, "executable in a range for data", |e| {
        e.edit_entry(MASTER, RANGE + 0x1000, |entry| entry & !NO_EXECUTE);
    });
    all.edit(KIND, "executable and on its way out of memory", |e| {
        e.edit_entry(MASTER, RANGE, |entry| (entry & 0x000f_ffff_ffff_f000) | 1 << 11 | 6 << 5);
    });
    all.edit(KIND, "executable in no range", |e| {
        let frame = e.physical(e.process(MASTER).dtb, RANGE);
        e.edit_entry(MASTER, RANGE + 0x10_0000, |_| frame | 0x65);
    });
    all.edit(KIND, "a page of its image writable and executable", |e| {
        let at = e.process(MASTER).image_base.unwrap();
        e.edit_entry(MASTER, at, |entry| (entry | WRITE) & !NO_EXECUTE);
    });
    for offset in [0x2_4000, 0x2_5000] {
        all.edit(KIND, format!("executable in its image at {offset:#x}, where that has no code"), move |e| {
            let frame = e.physical(e.process(MASTER).dtb, RANGE);
            let at = e.process(MASTER).image_base.unwrap() + offset;
            e.edit_entry(MASTER, at, |_| frame | 5);
        });
    }
    all.add(KIND, "executable in the table of user mode alone", |build| {
        const FIELD: &str = "Pcb.UserDirectoryTableBase";
        let mut edited = with_range(build);
        edited.has("_EPROCESS", FIELD).then_some(())?;
        let root = edited.process(MASTER).dtb;
        let [top, table, page] = [0, 1, 2].map(|n| edited.physical(root, RANGE + n * 0x1000));
        let (from, to) = (usize::try_from(root).unwrap(), usize::try_from(top).unwrap());
        edited.bytes.copy_within(from..from + 0x1000, to);
        edited.bytes[usize::try_from(table).unwrap()..][..0x1000].fill(0);
        // One table for all levels below the top one.
        edited.put_u64_at(top + 0xc0 * 8, table | 0x67);
        edited.put_u64_at(table, table | 0x67);
        edited.put_u64_at(table + 8, page | 5);
        edited.put_in(MASTER, FIELD, top | 1);
        Some(edited)
    });
    let patched = |build: Build, sections: bool| {
        let mut scenario = Scenario::clean(build);
        scenario.pages.sections = sections;
        let piece = Private { start: RANGE, bytes: vec![0x90; 0x3000], protection: 4 };
        scenario.process(MASTER).user.as_mut().unwrap().private.push(piece);
        let mut edited = Edited::new(&scenario);
        let base = edited.process(MASTER).image_base.unwrap();
        let to = edited.copy_page(MASTER, base, RANGE);
        edited.bytes[to + 0x20..to + 0x30].fill(0xcc);
        Some(edited)
    };
    all.add(KIND, "sixteen bytes of its own headers, in a copy", move |build| patched(build, true));
    all.silent(
        KIND,
        "sixteen bytes of its own headers, where memory has nothing of the section",
        "no other process has the image, and what the section has of it is not in memory",
        move |build| patched(build, false),
    );
    for (bytes, name) in [(5usize, "five bytes of ntdll.dll"), (3000, "most of a page of ntdll.dll")] {
        all.add(KIND, format!("{name}, in a copy of its own"), move |build| {
            let mut edited = with_range(build);
            let library = Edited::library(build);
            let to = edited.copy_page(MASTER, library, RANGE + 0x2000);
            edited.bytes[to + 0x200..to + 0x200 + bytes].iter_mut().for_each(|byte| *byte ^= 0xcc);
            edited.edit_entry(MASTER, library, |entry| entry & !NO_EXECUTE);
            Some(edited)
        });
    }
    all.silent(
        KIND,
        "five bytes of ntdll.dll, in the frame that all processes share",
        "all mappings and the section have the same frame: what the file holds is not in memory",
        |build| {
            let mut edited = with_range(build);
            let at = usize::try_from(edited.physical(edited.process(MASTER).dtb, Edited::library(build))).unwrap();
            edited.bytes[at + 0x200..at + 0x205].iter_mut().for_each(|byte| *byte ^= 0xcc);
            Some(edited)
        },
    );
}

fn threads(all: &mut Lies) {
    const KIND: &str = "threads of smss.exe";
    let start = |e: &mut Edited| {
        let thread = e.threads(MASTER)[1];
        for field in ["StartAddress", "Win32StartAddress"] {
            e.put(thread, "_ETHREAD", field, RANGE + 0x10);
        }
        thread
    };
    all.edit(KIND, "one that starts in a range for data", move |e| {
        start(e);
    });
    all.edit(KIND, "the same, flagged as ended", move |e| {
        let thread = start(e);
        e.put(thread, "_ETHREAD", "Terminated", 1);
    });
    all.edit(KIND, "the same, off the list of the process", move |e| {
        let thread = start(e);
        e.unlink(thread + e.offset("_ETHREAD", "ThreadListEntry"));
        e.put_in(MASTER, "ActiveThreads", 1);
    });
    all.edit(KIND, "the same, off both lists", move |e| {
        let thread = start(e);
        for list in ["ThreadListEntry", "Tcb.ThreadListEntry"] {
            e.unlink(thread + e.offset("_ETHREAD", list));
        }
        e.put_in(MASTER, "ActiveThreads", 1);
    });
    all.add(KIND, "off both lists and the table of ids", |build| {
        let mut scenario = Scenario::clean(build);
        scenario.process(MASTER).absent_from.push(Place::ThreadIds);
        let mut edited = Edited::new(&scenario);
        let thread = edited.threads(MASTER)[1];
        for list in ["ThreadListEntry", "Tcb.ThreadListEntry"] {
            edited.unlink(thread + edited.offset("_ETHREAD", list));
        }
        edited.put_in(MASTER, "ActiveThreads", 1);
        Some(edited)
    });
    for pid in [MASTER, CSRSS] {
        all.edit(KIND, format!("pid {pid}: one that names another process"), move |e| {
            let thread = e.threads(pid)[1];
            e.put(thread, "_ETHREAD", "Cid.UniqueProcess", USERS);
        });
    }
    all.edit(KIND, "one that started nowhere", |e| {
        let thread = e.threads(MASTER)[1];
        e.put(thread, "_ETHREAD", "StartAddress", 0x1e00_0000_1000);
    });
    all.silent(
        KIND,
        "one that runs in a range for data, both addresses of its start in the image",
        "two fields of one object; stacks and registers are not read",
        |build| {
            let mut edited = with_range(build);
            let (thread, base) = (edited.threads(MASTER)[1], edited.process(MASTER).image_base.unwrap());
            for field in ["StartAddress", "Win32StartAddress"] {
                edited.put(thread, "_ETHREAD", field, base + 0x1000);
            }
            Some(edited)
        },
    );
}

fn hands(all: &mut Lies) {
    const HANDLES: &str = "handles to smss.exe and its threads";
    for access in [0x2, 0x8, 0x20, 0x40, 0x80, 0x200, 0x800, 0x4_0000, 0x8_0000] {
        all.plan(HANDLES, &format!("a user's, {access:#x}"), move |s| s.process(USERS).opens.push((MASTER, access)));
    }
    for access in [0x20, 0x40, 0x1f_ffff] {
        all.plan("handles to System", &format!("a user's, {access:#x}"), move |s| {
            s.process(USERS).opens.push((4, access))
        });
    }
    const WATCH: &str = "debugger, instrumentation";
    all.field(WATCH, MASTER, "Pcb.InstrumentationCallback", RANGE);
    all.field(WATCH, CSRSS, "Pcb.InstrumentationCallback", RANGE);
    all.field(WATCH, MASTER, "DebugPort", 0xffff_b000_0000_1230);
    const PROTECTION: &str = "protection";
    for (pid, level) in [(MASTER, 0), (MASTER, 0x60), (MASTER, 0x01), (MASTER, 0x31), (CSRSS, 0), (CSRSS, 0x60)] {
        all.field(PROTECTION, pid, "Protection.Level", level);
    }
}

/// Writes another path over that of `SeAuditProcessCreationInfo`, which has room for it.
fn write_path(edited: &mut Edited, path: &str) {
    let own = edited.process(MASTER).eprocess;
    let info = edited.get(own, "_EPROCESS", "SeAuditProcessCreationInfo.ImageFileName");
    let text: Vec<u8> = path.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let buffer = edited.get(info, "_UNICODE_STRING", "Buffer");
    edited.write(buffer, &text);
    edited.put(info, "_UNICODE_STRING", "Length", u64::try_from(text.len()).unwrap());
}

fn file(all: &mut Lies) {
    const KIND: &str = "path and file";
    for path in ["\\Device\\HarddiskVolume9", "\\Device\\ImDisk0", "\\??\\C:"] {
        let path = format!("{path}\\Windows\\System32\\smss.exe");
        all.edit(KIND, path.clone(), move |e| write_path(e, &path));
    }
    all.edit(KIND, "\\SystemRoot\\System32\\smss.exe", |e| write_path(e, "\\SystemRoot\\System32\\smss.exe"));
    all.edit(KIND, "no section", |e| e.put_in(MASTER, "SectionObject", 0));
    all.field(KIND, MASTER, "ImageFilePointer", 0);
    all.add(KIND, "another process's file", |build| {
        let mut edited = with_range(build);
        edited.has("_EPROCESS", "ImageFilePointer").then_some(())?;
        let theirs = edited.get(edited.process(CSRSS).eprocess, "_EPROCESS", "ImageFilePointer");
        edited.put_in(MASTER, "ImageFilePointer", theirs);
        Some(edited)
    });
    all.edit(KIND, "in a transaction", |e| {
        let object = e.system(false).process(MASTER).unwrap().section_file.value().unwrap().address.0;
        e.put(object, "_FILE_OBJECT", "FileObjectExtension", object);
    });
}

fn identity(all: &mut Lies) {
    const KIND: &str = "token, session, ids, names";
    for pid in [MASTER, CSRSS] {
        all.edit(KIND, format!("System's very token in pid {pid}"), move |e| {
            let token = e.process(4).token;
            e.put_in(pid, "Token", token | 7);
        });
    }
    all.edit(KIND, "a user's token in csrss.exe", |e| {
        let token = e.process(USERS).token;
        e.put_in(CSRSS, "Token", token | 7);
    });
    for (pid, index) in [(MASTER, 1), (MASTER, 40), (CSRSS, 1)] {
        all.edit(KIND, format!("pid {pid}: label {index} of the token"), move |e| {
            let token = e.process(pid).token;
            e.put(token, "_TOKEN", "IntegrityLevelIndex", index);
        });
    }
    for pid in [MASTER, CSRSS] {
        all.field(KIND, pid, "Minimal", 1);
    }
    all.silent(
        KIND,
        "csrss.exe and wininit.exe name a program as their parent that came later",
        "the process that made them is gone, and Windows gives its id to others: so it is on one machine of eight",
        |build| {
            let mut edited = with_range(build);
            let wininit = edited.named("wininit.exe");
            for pid in [CSRSS, wininit] {
                edited.put_in(pid, "InheritedFromUniqueProcessId", USERS);
            }
            Some(edited)
        },
    );
    all.field(KIND, MASTER, "Session", NOWHERE);
    all.field(KIND, MASTER, "Token", NOWHERE | 0xf);
    all.edit(KIND, "a process for a token", |e| {
        let process = e.process(CSRSS).eprocess;
        e.put_in(MASTER, "Token", process);
    });
    all.edit(KIND, "a user's token", |e| {
        let token = e.process(USERS).token;
        e.put_in(MASTER, "Token", token | 7);
    });
    for pid in [0, 4, MASTER + 1, u64::MAX] {
        all.field(KIND, MASTER, "UniqueProcessId", pid);
    }
    for name in ["Registry", "MemCompression", "smss.exe"] {
        all.add(KIND, format!("a user's program called {name}"), move |build| {
            (name == "smss.exe" || build >= Build::W10_19045).then_some(())?;
            let mut scenario = Scenario::clean(build);
            scenario.process(USERS).name = name.as_bytes().to_vec();
            scenario.process(USERS).ppid = 4;
            Some(Edited::new(&scenario))
        });
    }
}

/// Gives a process, or the stub, page tables that show a page of it as it was.
fn decoy(edited: &mut Edited, of: u64, page: u64) -> u64 {
    let mut edit = Edit { image: std::mem::take(&mut edited.bytes), root: of };
    let root = edit.decoy(page, None);
    edited.bytes = edit.image;
    root
}

fn tables(all: &mut Lies) {
    const KIND: &str = "page tables made to mislead";
    for how in ["System's root", "System's root and the low stub's"] {
        all.add(KIND, how, move |build| {
            let mut edited = with_range(build);
            edited.has("_EPROCESS", "Protection.Level").then_some(())?;
            let page = edited.process(MASTER).eprocess + edited.offset("_EPROCESS", "Protection.Level");
            let system = edited.forged.truth.dtb;
            let root = decoy(&mut edited, system, page);
            edited.put_in(4, "Pcb.DirectoryTableBase", root);
            if how.contains("stub") {
                edited.put_u64_at(0x10a0, root);
            }
            edited.put_in(MASTER, "Protection.Level", 0);
            Some(edited)
        });
    }
    all.edit(KIND, "one process's root, another kernel half", |e| {
        let (dtb, page) = (e.process(MASTER).dtb, e.process(MASTER).eprocess);
        let root = decoy(e, dtb, page);
        e.put_in(MASTER, "Pcb.DirectoryTableBase", root);
    });
    all.add(KIND, "one process's root, a page of its own as it was", |build| {
        let mut edited = with_range(build);
        let dtb = edited.process(CSRSS).dtb;
        let root = decoy(&mut edited, dtb, Edited::library(build));
        edited.put_in(CSRSS, "Pcb.DirectoryTableBase", root);
        Some(edited)
    });
    for root in [0u64, 0xdead_b000] {
        all.field(KIND, MASTER, "Pcb.DirectoryTableBase", root);
        all.field(KIND, 4, "Pcb.DirectoryTableBase", root);
    }
    all.edit(KIND, "another process's root", |e| {
        let root = e.process(CSRSS).dtb;
        e.put_in(MASTER, "Pcb.DirectoryTableBase", root);
    });
}

fn registry(all: &mut Lies) {
    const KIND: &str = "hives and control sets";
    let two = |build: Build| {
        let mut scenario = Scenario::clean(build);
        let decoy = scenario.system_hive().clone();
        let mut scenario = scenario.with_lojax();
        scenario.hives.insert(0, decoy);
        Edited::new(&scenario)
    };
    all.add(KIND, "two hives for SYSTEM", move |build| Some(two(build)));
    all.add(KIND, "the same, the true one's signature spoilt", move |build| {
        let mut edited = two(build);
        let at = edited.forged.truth.hives[1].cmhive;
        edited.put(at, "_CMHIVE", "Hive.Signature", 0);
        Some(edited)
    });
    all.add(KIND, "the same, the true one's path spoilt", move |build| {
        let mut edited = two(build);
        let at = edited.forged.truth.hives[1].cmhive + edited.offset("_CMHIVE", "HiveRootPath");
        edited.put(at, "_UNICODE_STRING", "Length", 0x1a);
        Some(edited)
    });
    all.add(KIND, "Select says another set than the link", |build| {
        let mut scenario = Scenario::clean(build);
        let mut clean = scenario.system_hive().root.at("ControlSet001").clone();
        clean.name = "ControlSet002".into();
        let mut scenario = scenario.with_lojax();
        scenario.system_hive().root.keys.push(clean);
        scenario.system_hive().root.at("Select").dword("Current", 2);
        Some(Edited::new(&scenario))
    });
    all.add(KIND, "the next start uses another set", |build| {
        let mut scenario = Scenario::clean(build).with_second_control_set();
        scenario.system_hive().root.at("Select").dword("Default", 2);
        Some(Edited::new(&scenario))
    });
    for (variable, pid) in [("CmpRegistryProcess", REGISTRY), ("CmpMasterHive", 0)] {
        all.add(KIND, format!("{variable} leads to another object"), move |build| {
            let mut edited = with_range(build);
            let at = edited.global(variable)?;
            let other =
                if pid == 0 { edited.forged.truth.hives[0].cmhive + 0x10 } else { edited.process(CSRSS).eprocess };
            (edited.pointer(at) != 0).then(|| edited.write(at, &other.to_le_bytes()))?;
            Some(edited)
        });
    }
    all.add(KIND, "the true hive off the list, a clean one in its place", move |build| {
        let mut edited = two(build);
        let at = edited.forged.truth.hives[1].cmhive + edited.offset("_CMHIVE", "HiveList");
        edited.unlink(at);
        Some(edited)
    });
    all.add(KIND, "the true hive in the list, with none of its names", move |build| {
        let mut edited = two(build);
        let hive = edited.forged.truth.hives[1].cmhive;
        for name in ["HiveRootPath", "FileFullPath", "FileUserName"] {
            let at = hive + edited.offset("_CMHIVE", name);
            edited.put(at, "_UNICODE_STRING", "Length", 0);
        }
        Some(edited)
    });
}

fn texts(all: &mut Lies) {
    const KIND: &str = "texts in the Session Manager's keys";
    for (path, name) in [
        ("SubSystems", "Windows\0x"),
        ("Environment", "ComSpec\0x"),
        ("KnownDLLs", "kernel32\0x"),
        ("", "BootExecute\0x"),
    ] {
        all.plan(KIND, &format!("{path}\\{name:?}"), move |s| {
            s.session_manager(path).sz(name, "x");
        });
    }
    for (path, name, text) in
        [("SubSystems", "Debug", ""), ("Environment", "ComSpec", "%SystemRoot%\\system32\\cmd.exe")]
    {
        all.plan(KIND, &format!("{name} behind a NUL"), move |s| {
            let bytes = format!("{text}\0evil\0").encode_utf16().flat_map(u16::to_le_bytes).collect();
            s.session_manager(path).set(name, Data::Raw(2, bytes));
        });
    }
    for line in [
        "autocheck autochk.exe.exe *",
        "debug autocheck autochk *",
        "autocheck \"autochk\" *",
        "autocheck autochk\u{a0}*",
    ] {
        all.plan(KIND, line, move |s| {
            s.session_manager("").multi("BootExecute", &[line]);
        });
    }
    all.plan(KIND, "a second SubSystems", |s| {
        let second = s.session_manager("SubSystems").clone();
        s.session_manager("").keys.push(second);
    });
    all.plan(KIND, "FileRenameOperations", |s| {
        s.session_manager("FileRenameOperations").multi("1", &["\\??\\C:\\Windows\\System32\\ntdll.dll"]);
    });
}

fn lies() -> Vec<Lie> {
    let mut all = Lies::default();
    for add in [hidden_processes, stamps, code, threads, hands, file, identity, tables, registry, texts] {
        add(&mut all);
    }
    all.0
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Seen {
    Found,
    Told,
    Silent,
}

/// What is said of an image, and was not said of the clean one.
fn seen(findings: &Findings, clean: &Findings) -> Seen {
    if findings.verdict == Verdict::Violations {
        return Seen::Found;
    }
    let said = |outcome: &&Outcome| {
        let is_info = outcome.outcome == Judgement::Violation && outcome.severity == Some(Severity::Info);
        let is_unknown = outcome.outcome == Judgement::Unknown;
        let as_before = |other: &Outcome| {
            (&other.id, other.outcome, other.pid, other.severity)
                == (&outcome.id, outcome.outcome, outcome.pid, outcome.severity)
        };
        (is_info || is_unknown) && !clean.outcomes.iter().any(as_before)
    };
    if findings.verdict == Verdict::Inconclusive || findings.outcomes.iter().any(|outcome| said(&outcome)) {
        Seen::Told
    } else {
        Seen::Silent
    }
}

/// What stands around the table.
const BEGIN: &str = "<!-- counted -->\n";
const END: &str = "<!-- to here -->\n";

#[derive(Default)]
struct Counts {
    tried: u32,
    plain: u32,
    by_scan: u32,
    told: u32,
    silent: u32,
}

#[test]
fn the_table_of_the_threat_model_is_counted() {
    let mut kinds: Vec<&'static str> = Vec::new();
    let mut counts: BTreeMap<&'static str, Counts> = BTreeMap::new();
    let mut wrong = Vec::new();
    let lies = lies();
    for build in BUILDS {
        let clean = [false, true].map(|scan| check_smss(&with_range(build).system(scan)));
        for lie in &lies {
            let Some(edited) = (lie.make)(build) else { continue };
            let plain = seen(&check_smss(&edited.system(false)), &clean[0]);
            let scanned = if plain == Seen::Found { plain } else { seen(&check_smss(&edited.system(true)), &clean[1]) };
            if !kinds.contains(&lie.kind) {
                kinds.push(lie.kind);
            }
            let count = counts.entry(lie.kind).or_default();
            count.tried += 1;
            match (plain, scanned) {
                (Seen::Found, _) => count.plain += 1,
                (_, Seen::Found) => count.by_scan += 1,
                (Seen::Told, _) | (_, Seen::Told) => count.told += 1,
                (Seen::Silent, Seen::Silent) => count.silent += 1,
            }
            if (scanned == Seen::Silent && plain == Seen::Silent) != lie.silent.is_some() {
                wrong.push(format!("{build:?}, {}: {}: plain {plain:?}, scanned {scanned:?}", lie.kind, lie.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let mut table = String::from(
        "| kind | tried | found plain | found only with `--scan` | told | silent |\n|---|---:|---:|---:|---:|---:|\n",
    );
    let cell = |count: u32| if count == 0 { String::new() } else { format!("{count} ") };
    for kind in kinds {
        let Counts { tried, plain, by_scan, told, silent } = &counts[kind];
        let cells = [*tried, *plain, *by_scan, *told, *silent].map(|count| format!(" {}|", cell(count))).concat();
        let _ = writeln!(table, "| {kind} |{cells}");
    }
    table.push_str("\nSilent, and why:\n\n");
    for lie in &lies {
        if let Some(why) = lie.silent {
            let _ = writeln!(table, "- {}: {}: {why}.", lie.kind, lie.name);
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/threat-model.md");
    let page = std::fs::read_to_string(&file).unwrap().replace("\r\n", "\n");
    let (before, rest) = page.split_once(BEGIN).expect("the page has a place for the table");
    let (found, after) = rest.split_once(END).expect("the page has an end of the table");
    if std::env::var_os("NTMEM_WRITE").is_some() {
        std::fs::write(&file, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    assert!(found == table, "docs/threat-model.md is old; NTMEM_WRITE=1 writes it anew:\n{table}");
}

//! Objects of which a part was lost, that changed places, or that are gone while others lead to them: clean machines are not accused for
//! it, and what may have been there is named.

use crate::common::edited::Edited;
use crate::common::forged::Opened;
use crate::common::judged::Judged;
use ntmem_forge::variants::Impostor;
use ntmem_forge::{Build, Place, Scenario, Unlinked};

const BUILDS: [Build; 3] = [Build::W7_7601, Build::W10_19045, Build::W11_26100];
const PAGE: usize = 4096;
const SECTOR: usize = 512;
const MASTER: u64 = 348;
const SECOND: u64 = 3636;

/// Lines of what failed, all of them.
#[derive(Default)]
struct Failed(Vec<String>);

impl Failed {
    fn unless(&mut self, right: bool, line: impl FnOnce() -> String) {
        if !right {
            self.0.push(line());
        }
    }

    fn nothing(self) {
        assert!(self.0.is_empty(), "{}: {:#?}", self.0.len(), self.0);
    }
}

/// Judges many edits of one machine.
struct Edits {
    edited: Edited,
    opened: Opened,
}

impl Edits {
    fn new(scenario: &Scenario) -> Self {
        let edited = Edited::new(scenario);
        let opened = Opened::with_bytes(&edited.forged, vec![0; 0x10_0000]);
        Self { edited, opened }
    }

    fn judged(&self, scan: bool, edit: impl FnOnce(&mut Vec<u8>)) -> Judged {
        let mut bytes = self.edited.bytes.clone();
        edit(&mut bytes);
        Judged::new(&self.opened.store, bytes, scan)
    }

    /// Where the object of a process lies in the image.
    fn object(&self, pid: u64) -> usize {
        self.edited.physical(self.edited.forged.truth.dtb, self.edited.process(pid).eprocess) as usize
    }

    fn running(&self) -> Vec<u64> {
        self.edited.forged.truth.processes.iter().filter(|p| p.exited.is_none()).map(|p| p.pid).collect()
    }
}

/// A sector of a process object, or the rest of its page, is zeros or ones.
#[test]
fn a_part_of_a_process() {
    let mut failed = Failed::default();
    for build in BUILDS {
        let edits = Edits::new(&Scenario::clean(build));
        for pid in edits.running() {
            let object = edits.object(pid);
            let end = (object / PAGE + 1) * PAGE;
            let sectors = (object / SECTOR * SECTOR..end).step_by(SECTOR);
            let parts = sectors.flat_map(|from| [(from, from + SECTOR), (from, end)]).filter(|part| part.0 >= object);
            for (from, to) in parts {
                for byte in [0, 0xff] {
                    let judged = edits.judged(false, |bytes| bytes[from..to].fill(byte));
                    let name =
                        format!("{build:?}: {:#x} bytes of {byte:#x} at {:#x} of {pid}", to - from, from - object);
                    failed.unless(!judged.accuses(), || format!("{name}: {}", judged.words()));
                }
            }
        }
    }
    failed.nothing();
}

/// The same of a process on which something is wrong: it is told, or left open.
#[test]
fn a_part_of_a_hollowed_master() {
    for build in BUILDS {
        let edits = Edits::new(&Scenario::clean(build).with_hollowed_smss());
        let object = edits.object(MASTER);
        let end = (object / PAGE + 1) * PAGE;
        for from in (object.next_multiple_of(SECTOR)..end).step_by(SECTOR) {
            let judged = edits.judged(false, |bytes| bytes[from..from + SECTOR].fill(0));
            assert_ne!(judged.word(), "clean", "{build:?}: {:#x}", from - object);
        }
    }
}

/// The pages of two processes changed places, or one is a copy of the other: neither object is where it says that it is.
#[test]
fn processes_that_changed_places() {
    let mut failed = Failed::default();
    for build in BUILDS {
        let edits = Edits::new(&Scenario::clean(build));
        // The page of a process has other objects too, files among them, and on Windows 7 many: what these say of images (SYS-16) and of
        // handles is not the question here.
        let is_of_processes = |judged: &Judged| {
            let of_lists = |rule: &str| ["SMSS-006", "SMSS-021", "SES-05"].contains(&rule);
            let of_processes = |rule: &str| if build > Build::W7_7601 { rule != "SYS-16" } else { of_lists(rule) };
            judged.counted.iter().any(|counted| of_processes(&counted.rule))
        };
        let pids = edits.running();
        for (n, one) in pids.iter().enumerate() {
            for (m, other) in pids.iter().enumerate().filter(|(m, _)| *m != n) {
                let (a, b) = (edits.object(*one) / PAGE * PAGE, edits.object(*other) / PAGE * PAGE);
                if a == b {
                    continue;
                }
                let name = format!("{build:?}: {one} and {other}");
                if m == n + 1 || m > n && (n + m) % 5 == 0 {
                    let judged = edits.judged(false, |bytes| {
                        let page: Vec<u8> = bytes[a..a + PAGE].to_vec();
                        bytes.copy_within(b..b + PAGE, a);
                        bytes[b..b + PAGE].copy_from_slice(&page);
                    });
                    failed.unless(!is_of_processes(&judged), || format!("{name} swapped: {}", judged.words()));
                    failed.unless(judged.word() != "clean", || format!("{name} swapped: clean"));
                }
                if m == n + 1 {
                    let judged = edits.judged(false, |bytes| bytes.copy_within(b..b + PAGE, a));
                    failed.unless(!is_of_processes(&judged), || format!("{name} copied: {}", judged.words()));
                }
            }
        }
    }
    failed.nothing();
}

/// The pages of two threads changed places: neither says whose it is.
#[test]
fn threads_that_changed_places() {
    let mut failed = Failed::default();
    for build in [Build::W10_19045, Build::W11_26100] {
        let edits = Edits::new(&Scenario::clean(build));
        let root = edits.edited.forged.truth.dtb;
        let page = |thread: u64| edits.edited.physical(root, thread) as usize / PAGE * PAGE;
        for (one, other) in [(MASTER, 664), (MASTER, 452), (452, 684), (616, 1104)] {
            for thread in edits.edited.threads(one).into_iter().take(2) {
                let (a, b) = (page(thread), page(edits.edited.threads(other)[0]));
                let judged = edits.judged(false, |bytes| {
                    let page: Vec<u8> = bytes[a..a + PAGE].to_vec();
                    bytes.copy_within(b..b + PAGE, a);
                    bytes[b..b + PAGE].copy_from_slice(&page);
                });
                failed.unless(!judged.accuses(), || format!("{build:?}: {one} and {other}: {}", judged.words()));
            }
        }
    }
    failed.nothing();
}

/// The name of the master's file has the length of another one's: what it says is no name.
#[test]
fn a_name_of_another_length() {
    for build in BUILDS {
        let mut edits = Edits::new(&Scenario::clean(build));
        let edited = &mut edits.edited;
        let name = edited.get(edited.process(MASTER).eprocess, "_EPROCESS", "SeAuditProcessCreationInfo.ImageFileName");
        let length = edited.pointer(name) & 0xffff;
        edited.write(name, &(length as u16 - 8).to_le_bytes());
        let judged = edits.judged(false, |_| ());
        assert!(!judged.accuses(), "{build:?}: {}", judged.words());
        let path = judged.system.unwrap().process(MASTER).unwrap().path.clone();
        assert!(path.absent().is_some_and(|absent| absent.detail.contains("exe")), "{build:?}: {path:?}");
    }
}

/// Another page lies where the structure of session 1 does: its id is not believed.
#[test]
fn a_session_that_is_another_page() {
    for build in BUILDS {
        let edits = Edits::new(&Scenario::clean(build));
        let edited = &edits.edited;
        let shell = edited.named("explorer.exe");
        let session = edited.get(edited.process(shell).eprocess, "_EPROCESS", "Session");
        let roots = [edited.forged.truth.dtb, edited.process(shell).dtb];
        let entry = roots.iter().find_map(|root| edited.entry(*root, session)).unwrap();
        let session = (edited.u64_at(entry) & 0x000f_ffff_ffff_f000) as usize;
        let frames: Vec<usize> = edited.forged.memory.frames().map(|(n, _)| n as usize * PAGE).collect();
        for from in frames.iter().step_by(frames.len() / 60).filter(|from| **from != session) {
            let judged = edits.judged(false, |bytes| bytes.copy_within(*from..*from + PAGE, session));
            assert!(!judged.accuses(), "{build:?}: the page at {from:#x}: {}", judged.words());
        }
    }
}

/// One bit of an entry of System's top table, or a sector of it: nothing can be read through it, which shows no other kernel.
#[test]
fn a_top_table_that_leads_nowhere() {
    for build in BUILDS {
        let edits = Edits::new(&Scenario::clean(build));
        let truth = &edits.edited.forged.truth;
        let root = truth.dtb as usize;
        let named = |judged: &Judged| {
            judged.unknown.iter().any(|(rule, _, why)| rule == "SYS-01" && why.contains("pid 4"))
                || judged.verdict.is_err()
                || judged.word() == "clean"
        };
        for at in [truth.kernel_base, edits.edited.process(4).eprocess, 0xffff_f780_0000_0000] {
            let entry = root + (at >> 39 & 511) as usize * 8;
            for bit in [13, 17, 20, 40] {
                let judged = edits.judged(false, |bytes| bytes[entry + bit / 8] ^= 1 << (bit % 8));
                let name = format!("{build:?}: bit {bit} of the entry for {at:#x}: {}", judged.word());
                assert!(!judged.accuses(), "{name}: {}", judged.words());
                assert!(named(&judged), "{name}: {:?}", judged.unknown);
            }
            let sector = entry / SECTOR * SECTOR;
            let judged = edits.judged(false, |bytes| bytes[sector..sector + SECTOR].fill(0xff));
            assert!(!judged.accuses(), "{build:?}: the sector with {at:#x}: {}", judged.words());
        }
    }
}

/// A second smss.exe in no list, whose object is zeros or another's bytes: one link of the memory manager's list, or its threads in memory,
/// are enough not to call the machine clean, and the place is named.
#[test]
fn what_was_written_over_is_named() {
    let mut failed = Failed::default();
    for build in BUILDS {
        let hidden = |left: &[Place]| {
            Scenario::clean(build).with_impostor(Impostor::Late).with_hidden(SECOND, Unlinked::Null, left)
        };
        for (left, scan, by) in [(&[Place::MmList][..], false, "mm_list"), (&[], true, "thread_scan")] {
            let edits = Edits::new(&hidden(left));
            let (object, address) = (edits.object(SECOND), edits.edited.process(SECOND).eprocess);
            for byte in [0, 0x5a, 0xff] {
                let judged = edits.judged(scan, |bytes| bytes[object - 0x40..object + 0x900].fill(byte));
                let name = format!("{build:?} {by} {byte:#x}");
                failed.unless(judged.word() != "clean", || format!("{name}: clean"));
                for rule in ["SMSS-006", "SMSS-020", "SMSS-021"] {
                    let named = judged.unknown.iter().any(|(id, _, why)| {
                        id == rule && why.contains(&format!("{address:#018x}")) && why.contains(by)
                    });
                    failed.unless(named || judged.accuses(), || format!("{name} {rule}: {:?}", judged.unknown));
                }
            }
        }
    }
    failed.nothing();
}

//! Tables, lists and names that lead to one another, so that a small image seems to hold without end: time and memory stay
//! bounded.

use crate::common::forged::Opened;
use ntmem::{Error, ListEnd, System};
use ntmem_forge::{Build, Forged, Scenario};
use std::sync::atomic::Ordering;

const FRAME: u64 = 0x000f_ffff_ffff_f000;
/// How often memory may be asked for bytes: three times what the worst of these takes, and a fraction of what each of them takes
/// without bounds (the shared page tables alone have 2^27 entries).
const MOST: u64 = 10_000_000;

/// A forged image under a knife.
struct Bytes {
    forged: Forged,
    bytes: Vec<u8>,
}

impl Bytes {
    fn new(scenario: &Scenario) -> Self {
        let forged = scenario.forge();
        let bytes = forged.image.clone();
        Self { forged, bytes }
    }

    fn get(&self, at: u64) -> u64 {
        u64::from_le_bytes(self.bytes[at as usize..][..8].try_into().unwrap())
    }

    fn put(&mut self, at: u64, value: u64) {
        self.bytes[at as usize..][..8].copy_from_slice(&value.to_le_bytes());
    }

    /// A new page of zeros.
    fn page(&mut self) -> u64 {
        let at = self.bytes.len() as u64;
        self.bytes.resize(self.bytes.len() + 4096, 0);
        at
    }

    /// Where a page of 4 KiB lies.
    fn physical(&self, root: u64, at: u64) -> u64 {
        let table = [39, 30, 21, 12].iter().fold(root, |table, shift| {
            let entry = self.get((table & FRAME) + ((at >> shift) & 0x1ff) * 8);
            assert_eq!(entry & 1, 1, "{at:#x} is mapped");
            entry
        });
        (table & FRAME) + (at & 0xfff)
    }

    /// Maps `pages` new pages at a free place of every address space. Returns its address and theirs.
    fn map(&mut self, slots: std::ops::Range<u64>, pages: u64) -> (u64, Vec<u64>) {
        let roots: Vec<u64> = self.forged.truth.processes.iter().map(|process| process.dtb & FRAME).collect();
        let slot = slots.into_iter().find(|slot| roots.iter().all(|root| self.get(root + slot * 8) == 0)).unwrap();
        let (pointers, directory) = (self.page(), self.page());
        self.put(pointers, directory | 7);
        let frames = (0..pages)
            .map(|page| {
                if page % 512 == 0 {
                    let table = self.page();
                    self.put(directory + page / 512 * 8, table | 7);
                }
                let table = self.get(directory + page / 512 * 8) & FRAME;
                let frame = self.page();
                self.put(table + page % 512 * 8, frame | 7);
                frame
            })
            .collect();
        roots.iter().for_each(|root| self.put(root + slot * 8, pointers | 7));
        (if slot < 256 { slot << 39 } else { (0xffff << 48) | (slot << 39) }, frames)
    }

    /// Reads it all, with bounded work.
    fn read(self) -> Result<System, Error> {
        let (opened, asked) = Opened::counted(&self.forged, self.bytes);
        let system = opened.image.locate_kernel(&opened.store).and_then(|kernel| System::read(&kernel));
        let asked = asked.load(Ordering::Relaxed);
        assert!(asked < MOST, "memory was asked {asked} times");
        system
    }
}

fn without_stub() -> Scenario {
    let mut scenario = Scenario::clean(Build::W10_19045);
    scenario.paging.low_stub = None;
    scenario
}

/// All of the region where system images lie leads to one table, of nothing or of one page.
#[test]
fn page_tables_that_are_shared() {
    let clean = Bytes::new(&without_stub());
    let (root, base) = (clean.forged.truth.dtb, clean.forged.truth.kernel_base);
    assert!(clean.read().is_ok());
    // Nothing; the page with the kernel's headers; the same as large pages.
    for kind in 0..3 {
        let mut bytes = Bytes::new(&without_stub());
        let headers = bytes.physical(root, base);
        let (directory, table) = (bytes.page(), bytes.page());
        let pointers = bytes.get(root + 0x1f0 * 8) & FRAME;
        for slot in 0..512 {
            bytes.put(pointers + slot * 8, directory | 3);
            bytes.put(directory + slot * 8, if kind == 2 { 0x20_0083 } else { table | 3 });
            bytes.put(table + slot * 8, if kind == 0 { 0 } else { headers | 3 });
        }
        let _ = bytes.read();
    }
}

/// Four thousand modules share one name of 64 KiB, in every process.
#[test]
fn modules_with_one_long_name() {
    let mut bytes = Bytes::new(&Scenario::clean(Build::W10_19045));
    let (at, frames) = bytes.map(0x80..0xff, 160);
    let place = |address: u64| frames[((address - at) / 4096) as usize] + (address - at) % 4096;
    for word in 0..0x1_0000 / 8 {
        bytes.put(place(at + word * 8), 0x4e2d_4e2d_4e2d_4e2d);
    }
    let smss = bytes.forged.truth.process(348).unwrap().clone();
    let ldr = bytes.get(bytes.physical(smss.dtb, smss.peb.unwrap() + 0x18));
    for module in 0..4090u64 {
        let entry = at + 0x1_0000 + module * 0x80;
        bytes.put(place(entry), if module == 4089 { ldr + 0x10 } else { entry + 0x80 });
        // FullDllName: Length and MaximumLength, Buffer.
        bytes.put(place(entry + 0x48), 0xfffe_fffe);
        bytes.put(place(entry + 0x50), at);
    }
    let first = bytes.physical(smss.dtb, ldr + 0x10);
    bytes.put(first, at + 0x1_0000);
    let system = bytes.read().unwrap();
    let smss = system.processes.items.iter().find(|process| process.pid.value() == Some(&348)).unwrap();
    assert!(smss.modules.absent().unwrap().detail.len() < 1000);
}

/// csrss.exe holds two million handles to smss.exe, by one page of a handle table that is mapped everywhere.
#[test]
fn handle_tables_of_one_page() {
    let mut bytes = Bytes::new(&Scenario::clean(Build::W10_19045));
    let csrss = bytes.forged.truth.process(452).unwrap().clone();
    let smss = bytes.forged.truth.process(348).unwrap().eprocess - 0x30;
    let (at, frames) = bytes.map(0x100..0x1ef, 512 + 512 * 32);
    // _EPROCESS.ObjectTable of this build, _HANDLE_TABLE.TableCode.
    let table = bytes.get(csrss.physical + 0x570);
    let code = bytes.physical(bytes.forged.truth.dtb, table) + 8;
    bytes.put(code, at | 2);
    for middle in 0..32u64 {
        bytes.put(frames[0] + middle * 8, at + (middle + 1) * 4096);
        for page in 0..512 {
            bytes.put(frames[middle as usize + 1] + page * 8, at + (512 + middle * 512 + page) * 4096);
        }
    }
    for page in &frames[512..] {
        for entry in 0..256 {
            bytes.put(page + entry * 16, (smss << 16) | 0x1_0001);
            bytes.put(page + entry * 16 + 8, 0x1f_ffff);
        }
    }
    let system = bytes.read().unwrap();
    let csrss = system.processes.items.iter().find(|process| process.pid.value() == Some(&452)).unwrap();
    let inside = csrss.inside.value().unwrap();
    assert!(inside.handles.value().unwrap().len() <= 1 << 16);
    assert_eq!(inside.handles_end.value(), Some(&ListEnd::Limit));
}

/// A list with an entry every 32 bytes: each could be a process, since its neighbours point back to it, in a session whose list is the
/// rest of the same links.
#[test]
fn processes_every_few_bytes() {
    const FRAMES: u64 = 160;
    let mut bytes = Bytes::new(&Scenario::clean(Build::W10_19045));
    let (at, frames) = bytes.map(0x100..0x1ef, FRAMES);
    let place = |address: u64| frames[((address - at) / 4096) as usize] + (address - at) % 4096;
    let first = at + 0x1008;
    let count = (FRAMES * 4096 - 0x2000) / 32;
    for index in 0..count {
        let entry = first + index * 32;
        let next = if index + 1 == count { bytes.forged.globals["PsActiveProcessHead"] } else { entry + 32 };
        bytes.put(place(entry), next);
        bytes.put(place(entry + 8), entry - 32);
        // What stands before the next entry: its pid.
        bytes.put(place(entry + 24), 0x1000 + index * 4);
    }
    let last = bytes.forged.truth.processes.iter().rfind(|process| process.in_active_list).unwrap().physical;
    bytes.put(last + 0x448, first);
    let system = bytes.read().unwrap();
    assert!(system.processes.items.len() > 10_000, "the list was followed: {}", system.processes.items.len());
    assert!(system.warnings.len() <= 1001);
}

/// An object across two pages, of which the first is lost and the page-table root with it: the rest is read.
#[test]
fn a_process_of_which_half_is_lost() {
    const LINKS: u64 = 0x448;
    let mut bytes = Bytes::new(&Scenario::clean(Build::W10_19045));
    let (at, frames) = bytes.map(0x100..0x1ef, 2);
    let process = bytes.forged.truth.process(2260).unwrap().clone();
    // Its pid, at 0x440, is the first that lies in the second page.
    let moved = at + 0x1000 - 0x440;
    for offset in (0..0xa40).step_by(8) {
        let value = bytes.get(process.physical + offset);
        let place = moved + offset - at;
        bytes.put(frames[(place / 4096) as usize] + place % 4096, value);
    }
    let root = bytes.forged.truth.dtb;
    let (next, before) = (bytes.get(process.physical + LINKS), bytes.get(process.physical + LINKS + 8));
    let (backward, forward) = (bytes.physical(root, next) + 8, bytes.physical(root, before));
    bytes.put(backward, moved + LINKS);
    bytes.put(forward, moved + LINKS);
    let pointers = bytes.get(root + ((at >> 39) & 0x1ff) * 8) & FRAME;
    let directory = bytes.get(pointers) & FRAME;
    let table = bytes.get(directory) & FRAME;
    bytes.put(table, 0);
    let system = bytes.read().unwrap();
    let found =
        system.processes.items.iter().find(|found| found.eprocess.value().is_some_and(|found| found.0 == moved));
    let found = found.unwrap();
    assert_eq!((found.pid.value(), found.ppid.value()), (Some(&2260), Some(&process.ppid)));
    assert_eq!(found.user.value(), Some(&process.user));
    assert!(found.dtb.absent().is_some() && found.command_line.absent().is_some());
    assert_eq!(system.processes.end, Some(ListEnd::Complete));
}

//! Layouts held against a triage dump: the way for somebody with a kernel that is not known to see whether the layouts in use are
//! right, and to show where they are not.
//!
//! Each field is checked against something independent in the same dump: its header, the block for debuggers, the other structure.

use super::crash_objects::CrashObjects;
use super::layouts::Layouts;
use super::triage::{TriageDump, number};
use crate::Timestamp;
use crate::discover::ladder::same_kernel;
use crate::symbols::{SymbolError, SymbolStore, Symbols};
use crate::words::words;
use crate::{Hex, VirtualAddress};
use serde::Serialize;

words! {
    /// How one field came out.
    pub enum FieldResult {
        /// What stands there is what the field has.
        Consistent = "consistent",
        /// It is not.
        Contradicted = "contradicted",
        /// The dump does not tell, or the layout lacks the field.
        CannotTell = "cannot tell",
    }
}

/// One field, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FieldCheck {
    /// Structure and field.
    pub field: String,
    /// How it came out.
    pub result: FieldResult,
    /// What was seen.
    pub seen: String,
}

/// All checks of one dump.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SelfTest {
    /// Build of the dump.
    pub build: u32,
    /// Where the layouts came from.
    pub layouts: String,
    /// The fields.
    pub checks: Vec<FieldCheck>,
    /// The crashing process and thread, as these layouts read them.
    pub objects: CrashObjects,
}

/// System's pid on every version.
const SYSTEM: u64 = 4;
/// Bits of a page-table root that are no address (PCID).
const FLAGS: u64 = 0xfff;
/// A machine's clock may have been set since a process started: a day, in units of 100 ns.
const DAY: u64 = 864_000_000_000;

impl SelfTest {
    /// Holds the layouts that the store has for the dump's build against it; of several updates of one build, those that fit best.
    ///
    /// # Errors
    /// The table cannot be asked. `None`: it has no kernel of this build.
    pub fn run(dump: &TriageDump, store: &SymbolStore) -> Result<Option<Self>, SymbolError> {
        let facts = dump.facts();
        if facts.machine != "x64" {
            return Ok(None);
        }
        let wanted = Layouts::wanted();
        let by_hand = store.by_hand(&wanted).filter_map(Result::ok).map(|symbols| {
            let file = symbols.file.as_ref().map_or_else(String::new, |file| file.display().to_string());
            (file, symbols)
        });
        let mut candidates: Vec<(String, Symbols)> = by_hand.collect();
        if candidates.is_empty() {
            let builds = store.builds(&wanted, |build| same_kernel(build, facts.build))?;
            candidates.extend(builds.into_iter().map(|(kernel, symbols)| {
                (format!("built-in table, build {}: {}", kernel.build.unwrap_or(0), kernel.source), symbols)
            }));
        }
        let tested = candidates.into_iter().map(|(layouts, symbols)| {
            let checks = Checks { dump, symbols: &symbols, all: Vec::new() }.run(
                facts.boot,
                facts.captured,
                facts.dtb.map(|dtb| dtb.0),
            );
            let contradicted = checks.iter().filter(|check| check.result == FieldResult::Contradicted).count();
            let objects = CrashObjects::read(dump, &symbols, &layouts, contradicted);
            Self { build: facts.build, layouts, checks, objects }
        });
        Ok(tested.min_by_key(|test| (test.count(FieldResult::Contradicted), test.count(FieldResult::CannotTell))))
    }

    /// How many fields came out so.
    #[must_use]
    pub fn count(&self, result: FieldResult) -> usize {
        self.checks.iter().filter(|check| check.result == result).count()
    }
}

struct Checks<'d> {
    dump: &'d TriageDump,
    symbols: &'d Symbols,
    all: Vec<FieldCheck>,
}

impl Checks<'_> {
    fn offset(&self, structure: &str, path: &str) -> Option<usize> {
        usize::try_from(self.symbols.field(structure, path).ok()?.offset).ok()
    }

    fn process(&self, path: &str) -> Option<u64> {
        number(self.dump.process()?, self.offset("_EPROCESS", path)?)
    }

    fn thread(&self, path: &str) -> Option<u64> {
        number(self.dump.thread()?, self.offset("_ETHREAD", path)?)
    }

    /// A 16-bit number of the block for debuggers.
    fn said(&self, offset: usize) -> Option<u64> {
        let bytes: [u8; 2] = *self.dump.debugger_block()?.get(offset..)?.first_chunk()?;
        Some(u16::from_le_bytes(bytes).into()).filter(|number| *number != 0)
    }

    fn add(&mut self, field: &str, seen: Option<u64>, fits: impl FnOnce(u64) -> Option<bool>) {
        let result = match seen.and_then(fits) {
            Some(true) => FieldResult::Consistent,
            Some(false) => FieldResult::Contradicted,
            None => FieldResult::CannotTell,
        };
        let seen = seen.map_or_else(|| "not there".to_owned(), |seen| Hex(seen).to_string());
        self.all.push(FieldCheck { field: field.to_owned(), result, seen });
    }

    fn run(mut self, boot: Option<Timestamp>, captured: Option<Timestamp>, dtb: Option<u64>) -> Vec<FieldCheck> {
        self.sizes();
        let at = self.dump.process_address();
        let pid = self.process("UniqueProcessId");
        let is_system = pid == Some(SYSTEM);
        let owner = self.thread("Cid.UniqueProcess");
        // An idle thread runs in System's address space and is none of its threads.
        self.add("_EPROCESS.UniqueProcessId", pid, |pid| Some(pid == SYSTEM || owner? == pid));
        let name = self.process("ImageFileName");
        self.add("_EPROCESS.ImageFileName", name, |name| {
            let text: Vec<u8> = name.to_le_bytes().into_iter().take_while(|byte| *byte != 0).collect();
            Some(!text.is_empty() && text.iter().all(|byte| matches!(byte, b' '..=b'~')))
        });
        let in_time = |time: u64| {
            let (boot, captured) = (boot?.0, captured?.0);
            Some(time >= boot.saturating_sub(DAY) && time <= captured.saturating_add(DAY))
        };
        self.add("_EPROCESS.CreateTime", self.process("CreateTime"), in_time);
        self.add("_EPROCESS.Pcb.DirectoryTableBase", self.process("Pcb.DirectoryTableBase"), |own| {
            Some(own & !FLAGS == dtb? & !FLAGS)
        });
        let head = self.dump.active_head();
        let links = self.offset("_EPROCESS", "ActiveProcessLinks");
        let before = links.and_then(|at| number(self.dump.process()?, at.checked_add(8)?));
        self.add("_EPROCESS.ActiveProcessLinks", before, |before| {
            Some(if is_system { Some(before) == head } else { VirtualAddress(before).is_kernel() })
        });
        self.threads();
        for path in ["Token", "ObjectTable", "SeAuditProcessCreationInfo.ImageFileName"] {
            self.add(&format!("_EPROCESS.{path}"), self.process(path), |at| Some(VirtualAddress(at).is_kernel()));
        }
        self.add("_EPROCESS.Peb", self.process("Peb"), |peb| {
            let user = peb & FLAGS == 0 && !VirtualAddress(peb).is_kernel();
            Some(if is_system { peb == 0 } else { user })
        });
        self.add("_EPROCESS.Session", self.process("Session"), |at| {
            Some(if is_system { at == 0 } else { at == 0 || VirtualAddress(at).is_kernel() })
        });
        let low = |number: u64| number & 0xffff_ffff;
        self.add("_EPROCESS.ActiveThreads", self.process("ActiveThreads").map(low), |threads| {
            Some((1..=100_000).contains(&threads))
        });
        self.add("_EPROCESS.ExitTime", self.process("ExitTime"), |time| Some(time == 0 || in_time(time)?));
        self.add("_EPROCESS.Protection", self.process("Protection.Level").map(|level| level & 0xff), |level| {
            // Type 0 to 2, signer 0 to 8 (_PS_PROTECTION).
            Some(if is_system { matches!(level, 0x62 | 0x72) } else { level & 7 <= 2 && level >> 4 <= 8 })
        });
        let idle = owner == Some(0);
        self.add("_ETHREAD.Cid.UniqueProcess", owner, |owner| Some(owner == 0 || Some(owner) == pid));
        self.add("_ETHREAD.Tcb.Process", self.thread("Tcb.Process"), |own| {
            if idle { Some(VirtualAddress(own).is_kernel()) } else { Some(own == at?.0) }
        });
        self.add("_ETHREAD.Tcb.ApcState.Process", self.thread("Tcb.ApcState.Process"), |own| Some(own == at?.0));
        self.add("_ETHREAD.CreateTime", self.thread("CreateTime"), |time| if idle { None } else { in_time(time) });
        self.add("_ETHREAD.StartAddress", self.thread("StartAddress"), |at| (!idle).then_some(at != 0));
        self.all
    }

    /// Sizes and offsets that the block for debuggers names.
    fn sizes(&mut self) {
        let size = |symbols: &Symbols, name: &str| symbols.size_of(name).ok();
        for (name, offset) in [("_EPROCESS", 0x2a8), ("_ETHREAD", 0x2c0)] {
            let said = self.said(offset);
            let known = size(self.symbols, name);
            // Updates of one build differ in size: what lies within is judged field by field.
            self.add(&format!("{name} size"), said, |said| (known? == said).then_some(true));
        }
        for (field, structure, path, offset) in [
            ("_EPROCESS.Peb offset", "_EPROCESS", "Peb", 0x2aa),
            ("_EPROCESS.InheritedFromUniqueProcessId offset", "_EPROCESS", "InheritedFromUniqueProcessId", 0x2ac),
            ("_EPROCESS.Pcb.DirectoryTableBase offset", "_EPROCESS", "Pcb.DirectoryTableBase", 0x2ae),
            ("_ETHREAD.Tcb.Teb offset", "_ETHREAD", "Tcb.Teb", 0x29a),
            ("_ETHREAD.Tcb.ApcState.Process offset", "_ETHREAD", "Tcb.ApcState.Process", 0x2a0),
        ] {
            let (said, known) = (self.said(offset), self.offset(structure, path));
            self.add(field, said, |said| Some(u64::try_from(known?).ok()? == said));
        }
    }

    /// The process's list of threads and the thread's links in it.
    fn threads(&mut self) {
        let head = self.offset("_EPROCESS", "ThreadListHead");
        let first = head.and_then(|at| number(self.dump.process()?, at));
        let (process, thread) = (self.dump.process_address(), self.dump.thread_address());
        let links = self.offset("_ETHREAD", "ThreadListEntry");
        let own = links
            .and_then(|at| Some([number(self.dump.thread()?, at)?, number(self.dump.thread()?, at.checked_add(8)?)?]));
        let place =
            |base: Option<VirtualAddress>, offset: Option<usize>| base?.0.checked_add(u64::try_from(offset?).ok()?);
        let (head_at, own_at) = (place(process, head), place(thread, links));
        self.add("_EPROCESS.ThreadListHead", first, |first| {
            // The crashing thread is the first of it, or another one is.
            Some(
                VirtualAddress(first).is_kernel()
                    && first.is_multiple_of(8)
                    && (Some(first) == own_at || Some(first) != head_at),
            )
        });
        self.add("_ETHREAD.ThreadListEntry", own.map(|[next, _]| next), |_| {
            let [next, before] = own?;
            let kernel = [next, before].iter().all(|at| VirtualAddress(*at).is_kernel() && at.is_multiple_of(8));
            if Some(before) == head_at || Some(next) == head_at || !kernel { Some(kernel) } else { None }
        });
    }
}

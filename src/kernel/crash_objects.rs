//! The process and the thread that ran when a machine crashed, out of a triage dump.

use super::objects::eprocess::time;
use super::text;
use super::triage::{TriageDump, number};
use crate::symbols::Symbols;
use crate::{Hex, Timestamp, VirtualAddress};
use serde::Serialize;

/// What layouts make of the crashing process and thread. A member is `None` where the layouts lack its field, or it is zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CrashObjects {
    /// Whose layouts they are.
    pub layouts: String,
    /// How many checks of these layouts against the dump are contradicted: above zero, the rest of this is doubtful.
    pub contradicted: usize,
    /// `EPROCESS.UniqueProcessId`.
    pub pid: Option<u64>,
    /// `EPROCESS.InheritedFromUniqueProcessId`.
    pub ppid: Option<u64>,
    /// `EPROCESS.ImageFileName`.
    pub name: Option<String>,
    /// `EPROCESS.CreateTime`.
    pub created: Option<Timestamp>,
    /// `EPROCESS.CreateInterruptTime`, in units of 100 ns.
    pub created_interrupt: Option<u64>,
    /// `EPROCESS.ActiveThreads`.
    pub threads: Option<u64>,
    /// `EPROCESS.Protection.Level`.
    pub protection: Option<Hex>,
    /// `EPROCESS.Peb`.
    pub peb: Option<VirtualAddress>,
    /// `ETHREAD.Cid.UniqueThread`.
    pub tid: Option<u64>,
    /// `ETHREAD.Cid.UniqueProcess`: the process that the thread belongs to, 0 for an idle one.
    pub owner: Option<u64>,
    /// `ETHREAD.CreateTime`.
    pub thread_created: Option<Timestamp>,
    /// `ETHREAD.StartAddress`.
    pub start: Option<VirtualAddress>,
    /// `ETHREAD.Win32StartAddress`.
    pub win32_start: Option<VirtualAddress>,
}

impl CrashObjects {
    pub(super) fn read(dump: &TriageDump, symbols: &Symbols, layouts: &str, contradicted: usize) -> Self {
        let offset = |structure: &str, path: &str| usize::try_from(symbols.field(structure, path).ok()?.offset).ok();
        let process = |path: &str| number(dump.process()?, offset("_EPROCESS", path)?);
        let thread = |path: &str| number(dump.thread()?, offset("_ETHREAD", path)?);
        let stamp = |ticks: Option<u64>| time(Ok(ticks?)).value().copied();
        let some = |value: Option<u64>| value.filter(|value| *value != 0);
        let name = || {
            let at = offset("_EPROCESS", "ImageFileName")?;
            text::bytes_as_text(dump.process()?.get(at..at.checked_add(15)?)?)
        };
        Self {
            layouts: layouts.to_owned(),
            contradicted,
            pid: process("UniqueProcessId"),
            ppid: process("InheritedFromUniqueProcessId"),
            name: name(),
            created: stamp(process("CreateTime")),
            created_interrupt: some(process("CreateInterruptTime")),
            threads: process("ActiveThreads").map(|threads| threads & 0xffff_ffff),
            protection: process("Protection.Level").map(|level| Hex(level & 0xff)),
            peb: some(process("Peb")).map(VirtualAddress),
            tid: thread("Cid.UniqueThread"),
            owner: thread("Cid.UniqueProcess"),
            thread_created: stamp(thread("CreateTime")),
            start: some(thread("StartAddress")).map(VirtualAddress),
            win32_start: some(thread("Win32StartAddress")).map(VirtualAddress),
        }
    }
}

//! One process, whole: its record, and what was read of it alone.

use super::Part;
use crate::checks::Judgement;
use crate::kernel::{Kernel, Module, modules};
use crate::{Absent, ListEnd, Outcome, Parent, Picture, Process, Reading, System, VirtualAddress};
use serde::Serialize;
use serde::ser::SerializeStruct;
use std::borrow::Cow;
use std::fmt;

/// One process, whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Whole {
    /// Its record, with what is in it.
    pub process: Process,
    /// What became of its parent, in words.
    pub parent: String,
    /// Its children: pid and name.
    pub children: Vec<String>,
    /// Its modules, as its loader lists them.
    pub modules: Reading<Vec<Module>>,
    /// How the walk over them ended.
    pub modules_end: Reading<ListEnd>,
    /// The violations that name it, or rest on what was read in it.
    pub findings: Vec<Outcome>,
    /// The parts that a document has. Empty: all.
    pub only: Vec<Part>,
}

/// Which process of an image is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// By its pid.
    Pid(u64),
    /// By the address of its `_EPROCESS`.
    Object(VirtualAddress),
    /// By its name, upper and lower case being one.
    Name(String),
}

impl Which {
    /// A number is a pid, a hexadecimal number with `0x` an address, everything else a name.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match (text.parse(), text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))) {
            (Ok(pid), _) => Self::Pid(pid),
            (_, Some(digits)) => crate::parse_hex(digits)
                .map_or_else(|| Self::Name(text.to_owned()), |at| Self::Object(VirtualAddress(at))),
            _ => Self::Name(text.to_owned()),
        }
    }

    /// Positions of the processes that are meant.
    #[must_use]
    pub fn find(&self, system: &System) -> Vec<usize> {
        let meant = |process: &Process| match self {
            Self::Pid(pid) => process.pid.value() == Some(pid),
            Self::Object(at) => process.eprocess.value() == Some(at),
            Self::Name(name) => process.is_named(name),
        };
        system.processes.items.iter().enumerate().filter(|(_, process)| meant(process)).map(|(at, _)| at).collect()
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pid(pid) => write!(f, "pid {pid}"),
            Self::Object(at) => write!(f, "an _EPROCESS at {at}"),
            Self::Name(name) => write!(f, "the name {name}"),
        }
    }
}

impl Whole {
    /// Reads what is in the process at this position. `outcomes`: those of the checks.
    #[must_use]
    pub fn read<'o>(
        kernel: &Kernel<'_>,
        picture: &Picture<'_>,
        at: usize,
        outcomes: impl Iterator<Item = &'o Outcome>,
    ) -> Option<Self> {
        let system = picture.system();
        let process = system.processes.items.get(at)?.clone();
        let found = match process.object(kernel) {
            Some(object) => modules(&object),
            None => Err(Absent::not_collected("the address of the process is not known")),
        };
        let (modules, modules_end) = match found {
            Ok(Some((modules, end))) => (Reading::Value(modules), Reading::Value(end)),
            Ok(None) => (Reading::Nothing, Reading::Nothing),
            Err(why) => (Reading::Absent(why.clone()), Reading::Absent(why)),
        };
        let tree = picture.tree();
        let pid = process.pid.value().copied();
        let names = |outcome: &&Outcome| {
            let of = |other: Option<u64>| other.is_some() && other == pid;
            outcome.outcome == Judgement::Violation
                && (of(outcome.pid) || outcome.evidence.iter().any(|evidence| of(evidence.pid)))
        };
        Some(Self {
            parent: parent(system, &process, tree.parent(at)),
            children: tree.children(at).iter().filter_map(|&at| system.processes.items.get(at)).map(named).collect(),
            findings: outcomes.filter(names).cloned().collect(),
            process,
            modules,
            modules_end,
            only: Vec::new(),
        })
    }

    /// The same with a document that has these parts alone.
    #[must_use]
    pub fn with_only(self, only: &[Part]) -> Self {
        Self { only: only.to_vec(), ..self }
    }

    /// The record of the process, without what belongs to parts that are not asked for.
    fn record(&self) -> Cow<'_, Process> {
        if self.only.is_empty() {
            return Cow::Borrowed(&self.process);
        }
        let mut process = self.process.clone();
        process.inside = Reading::default();
        if !self.only.contains(&Part::Environment) {
            process.environment = Reading::default();
        }
        Cow::Owned(process)
    }

    /// Its members of a document.
    pub(super) fn members<S: SerializeStruct>(&self, document: &mut S) -> Result<(), S::Error> {
        fn add<S: SerializeStruct, T: Serialize>(
            document: &mut S,
            there: bool,
            name: &'static str,
            value: &T,
        ) -> Result<(), S::Error> {
            if there { document.serialize_field(name, value) } else { document.skip_field(name) }
        }
        let inside = self.process.inside.value();
        let has = |part| self.only.is_empty() || self.only.contains(&part);
        add(document, true, "process", &*self.record())?;
        add(document, has(Part::Identity), "parent", &self.parent)?;
        add(document, has(Part::Modules), "modules", &self.modules.value())?;
        add(document, has(Part::Vads), "vads", &inside.and_then(|inside| inside.vads.value()))?;
        add(document, has(Part::Threads), "threads", &inside.and_then(|inside| inside.threads.value()))?;
        add(document, has(Part::Handles), "handles", &inside.and_then(|inside| inside.handles.value()))?;
        add(document, has(Part::HeldBy), "held_by", &inside.and_then(|inside| inside.held_by.value()))?;
        add(document, has(Part::Environment), "environment", &self.process.environment.value())?;
        let privileges = self.process.token.value().map(|token| &token.privileges);
        add(document, has(Part::Token), "privileges", &privileges)?;
        add(document, has(Part::Identity), "sources", &self.process.sources)?;
        add(document, has(Part::Findings), "findings", &self.findings)
    }

    /// The module that an address lies in, or else the file that is mapped there.
    #[must_use]
    pub fn place(&self, address: VirtualAddress) -> Option<String> {
        let name = |path: &str| path.rsplit('\\').next().unwrap_or_default().to_owned();
        let module = self.modules.value().into_iter().flatten().find(|module| {
            let (Some(base), Some(size)) = (module.base.value(), module.size.value()) else { return false };
            address.0.checked_sub(base.0).is_some_and(|offset| offset < u64::from(*size))
        });
        if let Some((base, name)) = module.and_then(|module| Some((module.base.value()?, module.name.value()?))) {
            return Some(format!("{name}+{:#x}", address.0.wrapping_sub(base.0)));
        }
        let vads = self.process.inside.value()?.vads.value()?;
        let vad = vads.iter().find(|vad| match (vad.start.value(), vad.end.value()) {
            (Some(start), Some(end)) => (start.0..=end.0).contains(&address.0),
            _ => false,
        })?;
        let start = vad.start.value()?;
        Some(match &vad.file {
            Reading::Value(file) => format!("{}+{:#x} (mapped)", name(file), address.0.wrapping_sub(start.0)),
            Reading::Nothing => format!("private memory at {start}"),
            Reading::Absent(_) => format!("memory at {start}, of a file that is not known"),
        })
    }
}

fn named(process: &Process) -> String {
    let text = |reading: &Reading<String>| reading.value().cloned().unwrap_or_else(|| "?".to_owned());
    let pid = process.pid.value().map_or_else(|| "?".to_owned(), u64::to_string);
    format!("{} ({pid})", text(&process.name))
}

/// Who the parent was when the process was made.
fn parent(system: &System, process: &Process, parent: Parent) -> String {
    let at = |at: usize| system.processes.items.get(at).map_or_else(|| "?".to_owned(), named);
    match parent {
        Parent::Listed(up) => at(up),
        Parent::Exited(up) => format!("{}, which has exited", at(up)),
        Parent::Vanished(pid) => format!("pid {pid}, which is not listed any more"),
        Parent::Reused { pid, now } => format!("pid {pid}, which is gone; {} has the pid now", at(now)),
        Parent::Ring(up) => format!("{}, in a ring of parents: one of them is wrong", at(up)),
        Parent::None => "none".to_owned(),
        Parent::Unknown => match process.ppid.known() {
            Err(why) => format!("unknown ({why})"),
            _ => "unknown".to_owned(),
        },
    }
}

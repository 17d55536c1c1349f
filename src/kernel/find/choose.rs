//! Which of the systems in an image is the machine that ran: the one whose clock is the latest. What speaks for another one, and the
//! others themselves, are told.

use super::locate::{Located, Proven};
use super::proof::Grade;
use super::roots::Way;
use crate::{PhysicalAddress, Timestamp, VirtualAddress, Warning};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::fmt;

/// A system that is in the image beside the one that is told of: of an earlier boot, or made to mislead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct OtherSystem {
    /// Image base of its kernel.
    pub base: Option<VirtualAddress>,
    /// A page-table root of it, with which `--dtb` opens it.
    pub dtb: Option<PhysicalAddress>,
    /// Its build, by `KUSER_SHARED_DATA` or `NtBuildNumber`.
    pub build: Option<u32>,
    /// `KUSER_SHARED_DATA.SystemTime`: when it ran last.
    pub captured: Option<Timestamp>,
    /// When it was started, by the same page.
    pub boot: Option<Timestamp>,
    /// How it was found.
    pub found_by: String,
    /// What of it is missing. `None`: its System process can be read, and leads back to it.
    pub lacks: Option<String>,
}

impl fmt::Display for OtherSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let build = self.build.map_or_else(|| "of an unknown build".to_owned(), |build| format!("of build {build}"));
        write!(f, "a system {build}")?;
        if let Some(base) = self.base {
            write!(f, ", kernel at {base}")?;
        }
        match self.captured {
            Some(captured) => write!(f, ", which ran last at {captured}")?,
            None => f.write_str(", whose clock is not there")?,
        }
        if let Some(lacks) = &self.lacks {
            write!(f, " ({lacks})")?;
        }
        let does = if self.lacks.is_some() { "leads to it" } else { "opens it" };
        self.dtb.map_or(Ok(()), |dtb| write!(f, "; --dtb {dtb} {does}"))
    }
}

/// Two systems whose clocks stopped this close to one another, in units of 100 ns, ran last alike: one second.
const AT_ONCE: u64 = 10_000_000;
/// Other systems that are told of; there are few, or somebody made them.
pub(super) const MAX_OTHERS: usize = 16;

/// Chooses one of `found`. `given`: the root that the caller named.
///
/// # Errors
/// There is none, or not with the root that was given; then what would work, if anything does.
pub(crate) fn choose<'m>(
    found: Vec<Proven<'m>>,
    given: Option<PhysicalAddress>,
) -> Result<Located<'m>, Option<String>> {
    let mut warnings = Vec::new();
    let mut views = Vec::new();
    let mut systems = one_each(found, &mut warnings, &mut views);
    systems.sort_by_key(|system| {
        let is_given = given.is_some() && system.named.iter().any(|root| root.way == Way::Given);
        (!is_given, Reverse(system.grade), Reverse(time(system)), system.root.way, system.root.dtb)
    });
    if systems.is_empty() {
        return Err(None);
    }
    let rest = systems.split_off(1);
    let Some(first) = systems.pop() else { return Err(None) };
    let is_given = first.named.iter().any(|root| root.way == Way::Given);
    if let Some(given) = given.filter(|_| !is_given) {
        let root = first.own.unwrap_or(first.space.root());
        return Err(Some(format!(
            "{given} is no root of a Windows in this image. Without --dtb, or with --dtb {root}, the kernel at {} is found.",
            first.found.base
        )));
    }
    let undecided = if is_given { None } else { undecided(&first, &rest) };
    let mut others: Vec<OtherSystem> = rest.iter().map(other).collect();
    if let Some(more) = others.len().checked_sub(MAX_OTHERS).filter(|more| *more > 0) {
        warnings.push(Warning::new("kernel", format!("{more} further systems in this image are left out")));
        others.truncate(MAX_OTHERS);
    }
    for (other, system) in others.iter().zip(&rest) {
        let led: Vec<String> = system.named.iter().map(|root| root.way.to_string()).collect();
        let led = if led.is_empty() { String::new() } else { format!("; the {} leads to it", led.join(" and the ")) };
        warnings.push(Warning::new("kernel", format!("in this image there is also {other}{led}")));
    }
    let rivals = if is_given { Vec::new() } else { rivals(&first, &rest).map(dtb).collect() };
    let parts = if is_given { Vec::new() } else { parts(&rest).chain(views).collect() };
    let Proven { root, space, found, shared, named, .. } = first;
    let others_searched = None;
    Ok(Located {
        space,
        shared,
        found,
        way: root.way,
        named,
        others,
        undecided,
        others_searched,
        rivals,
        parts,
        warnings,
    })
}

/// Two groups of roots that lead to one kernel are two views of one system: the one that proves itself better is kept.
fn one_each<'m>(found: Vec<Proven<'m>>, warnings: &mut Vec<Warning>, views: &mut Vec<Part>) -> Vec<Proven<'m>> {
    let mut systems: Vec<Proven<'m>> = Vec::new();
    for proven in found {
        let same = |known: &Proven<'m>| {
            known.physical.is_some() && known.physical == proven.physical && known.found.base == proven.found.base
        };
        let Some(at) = systems.iter().position(same) else {
            systems.push(proven);
            continue;
        };
        let known = systems.swap_remove(at);
        warnings.push(Warning::new(
            "kernel",
            format!(
                "the roots {} and {} lead to one kernel through different tables: one of the two views may have been made to mislead",
                known.root.dtb, proven.root.dtb
            ),
        ));
        let rank = |system: &Proven<'m>| (Reverse(system.grade), system.root.way);
        let (mut kept, other) = if rank(&proven) < rank(&known) { (proven, known) } else { (known, proven) };
        if let Some(clock) = time(&other) {
            let lacks = "which leads to the same kernel through other tables";
            views.push(Part { root: dtb(&other), clock: Some(clock), lacks, is_large: true });
        }
        kept.named.extend(other.named);
        systems.push(kept);
    }
    systems
}

/// A system that is there in part and does not prove itself, so that it hides none that does. Its clock may be the later one all the
/// same: then what is missing may have been lost while memory was copied.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// A root that leads to its clock.
    pub root: PhysicalAddress,
    /// `KUSER_SHARED_DATA.SystemTime`. `None`: that page is not there.
    pub clock: Option<Timestamp>,
    /// What of it is missing.
    pub lacks: &'static str,
    /// A stub or a header leads to it, as many roots as a machine has belong to it, or it is another view of the same kernel: whatever its
    /// clock says, it may be what ran.
    pub is_large: bool,
}

impl Part {
    /// Why it cannot be told that a system that gave its last sign of life at `last` ran last. `None`: it is later than this one.
    pub(crate) fn doubt(&self, last: Option<Timestamp>) -> Option<String> {
        let Self { root, clock, lacks, is_large } = self;
        let Some(clock) = clock else {
            return is_large.then(|| {
                format!("through the root {root}, {lacks}, no clock is to be read: what that shows may be what ran")
            });
        };
        let is_later = last.is_some_and(|last| clock.0 > last.0.saturating_add(AT_ONCE));
        if is_later {
            return Some(format!("through the root {root}, {lacks}, KUSER_SHARED_DATA has a later clock, {clock}"));
        }
        is_large.then(|| {
            format!("through the root {root}, {lacks}, KUSER_SHARED_DATA stopped at {clock}: what that shows may be what ran")
        })
    }
}

/// Of the systems without a System process, those that may have run: where its object was read and is gone, they cannot have.
fn parts<'a, 'm>(rest: &'a [Proven<'m>]) -> impl Iterator<Item = Part> + use<'a, 'm> {
    let unclear = rest.iter().filter(|system| system.grade == Grade::Image && !system.is_gone);
    unclear.filter_map(|system| {
        Some(Part {
            root: dtb(system),
            clock: Some(time(system)?),
            lacks: "of whose kernel no System process can be read",
            is_large: false,
        })
    })
}

/// When a system ran last.
fn time(system: &Proven<'_>) -> Option<Timestamp> {
    system.shared.as_ref().map(|shared| shared.system_time).filter(|time| time.0 != 0)
}

/// Those that prove themselves too: whoever takes the root out of one's System must not make the other the one that ran.
fn rivals<'a, 'm>(first: &'a Proven<'m>, rest: &'a [Proven<'m>]) -> impl Iterator<Item = &'a Proven<'m>> {
    rest.iter().filter(|other| other.grade >= Grade::System && first.grade >= Grade::System)
}

/// A root that opens it.
fn dtb(system: &Proven<'_>) -> PhysicalAddress {
    system.own.unwrap_or(system.space.root())
}

/// Why it cannot be told that `first` ran last. `None`: it can.
fn undecided(first: &Proven<'_>, rest: &[Proven<'_>]) -> Option<String> {
    let rivals = || rivals(first, rest);
    let leads = |system: &Proven<'_>| system.named.iter().any(|root| matches!(root.way, Way::Hint(_)));
    if let Some(other) = rivals().find(|other| leads(other) && !leads(first)) {
        return Some(format!(
            "the kernel at {} has the later clock, and the header of the image leads to the one at {}",
            first.found.base, other.found.base
        ));
    }
    rivals().find_map(|other| {
        let (one, two) = (first.found.base, other.found.base);
        match (time(first), time(other)) {
            (Some(own), Some(others)) if own.0.abs_diff(others.0) < AT_ONCE => {
                Some(format!("the clocks of the kernels at {one} and {two} stopped at the same time, {own}"))
            }
            (Some(own), Some(others)) => (own < others)
                .then(|| format!("the kernel at {one} proves itself better, and the one at {two} has the later clock")),
            (Some(_), None) => Some(format!("the clock of the kernel at {two} is not there")),
            (None, _) => Some(format!("the clock of the kernel at {one} is not there")),
        }
    })
}

fn other(system: &Proven<'_>) -> OtherSystem {
    let lacks = match system.grade {
        Grade::Whole => None,
        Grade::System => Some("its System process names no page-table root of it".to_owned()),
        Grade::Image => Some("its System process is not there".to_owned()),
    };
    OtherSystem {
        base: Some(system.found.base),
        dtb: Some(dtb(system)),
        build: system.build,
        captured: time(system),
        boot: system.shared.as_ref().and_then(super::kuser::SharedData::boot),
        found_by: format!("{}; {}", system.root.way, system.found.how),
        lacks,
    }
}

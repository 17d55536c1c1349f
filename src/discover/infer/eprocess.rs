//! `_EPROCESS`, field by field.

use super::ground::{Ground, Known};
use super::judge::Judgement;
use super::place::{Neighbours, Placer, Report};
use super::process::Flag;
use super::scene::{Scene, WINDOW};
use super::{mapping, pointers, process, thread};
use crate::kernel::layouts::VadLayout;
use crate::symbols::{FieldInfo, Symbols, TypeInfo};

type Judge = fn(Ground<'_, '_>, u64) -> Judgement;

/// Where one field lies.
struct Place {
    /// Its names.
    paths: &'static [&'static str],
    /// Bytes it takes, and what its offset is a multiple of.
    size: u64,
    step: usize,
    judge: Judge,
    /// What others rest on.
    known: Option<fn(&mut Known) -> &mut Option<u64>>,
}

const fn place(
    paths: &'static [&'static str],
    size: u64,
    step: usize,
    judge: Judge,
    known: Option<fn(&mut Known) -> &mut Option<u64>>,
) -> Place {
    Place { paths, size, step, judge, known }
}

/// Fields that values tell, each after those that its judgement rests on.
const BY_VALUE: [Place; 24] = [
    place(&["UniqueProcessId"], 8, 8, process::pid, None),
    place(&["ActiveProcessLinks"], 16, 8, process::links, None),
    place(&["ImageFileName"], 15, 8, process::name, Some(|known| &mut known.name)),
    place(&["CreateTime"], 8, 8, process::created, Some(|known| &mut known.created)),
    place(&["Pcb.DirectoryTableBase"], 8, 8, process::dtb, Some(|known| &mut known.dtb)),
    place(&["InheritedFromUniqueProcessId"], 8, 8, process::ppid, Some(|known| &mut known.ppid)),
    place(&["Peb"], 8, 8, process::peb, Some(|known| &mut known.peb)),
    place(&["SectionBaseAddress"], 8, 8, process::section_base, Some(|known| &mut known.section_base)),
    place(&["Token"], 8, 8, pointers::token, Some(|known| &mut known.token)),
    place(&["ObjectTable"], 8, 8, pointers::handle_table, Some(|known| &mut known.handle_table)),
    place(&["Session"], 8, 8, pointers::session, Some(|known| &mut known.session)),
    place(&["SessionProcessLinks"], 16, 8, pointers::session_links, Some(|known| &mut known.session_links)),
    place(&["ThreadListHead"], 16, 8, thread::head, Some(|known| &mut known.threads_head)),
    place(&["ActiveThreads"], 4, 4, process::threads, None),
    place(
        &["SeAuditProcessCreationInfo.ImageFileName"],
        8,
        8,
        pointers::audit_name,
        Some(|known| &mut known.audit_name),
    ),
    place(&["SectionObject"], 8, 8, pointers::section, Some(|known| &mut known.section)),
    place(&["ImageFilePointer"], 8, 8, pointers::image_file, None),
    place(
        &["VadRoot.Root", "VadRoot.BalancedRoot.RightChild"],
        8,
        8,
        mapping::vad_root,
        Some(|known| &mut known.vad_root),
    ),
    place(&["Protection.Level"], 1, 1, process::protection, None),
    place(&["Pcb.BasePriority"], 1, 1, process::base_priority, None),
    place(&["Pcb.Header.Type"], 1, 4096, process::header_type, None),
    place(&["WoW64Process", "Wow64Process"], 8, 8, pointers::wow64, None),
    place(&["ExitTime"], 8, 8, process::exited, None),
    place(&["CreateInterruptTime"], 8, 8, process::created_interrupt, None),
];

/// Fields that values can only speak against: they are placed between those of the list above, or stay out.
const BY_PLACE: [Place; 16] = [
    place(&["Peb"], 8, 8, process::user_pages, Some(|known| &mut known.peb)),
    place(&["Token"], 8, 8, pointers::reference, Some(|known| &mut known.token)),
    place(&["JobLinks"], 16, 8, pointers::any_list, None),
    place(&["MmProcessLinks"], 16, 8, pointers::any_list, None),
    place(&["ThreadListHead"], 16, 8, pointers::any_list, None),
    place(&["ActiveThreads"], 4, 4, process::few, None),
    place(&["InheritedFromUniqueProcessId"], 8, 8, process::ids, Some(|known| &mut known.ppid)),
    place(&["ExitTime"], 8, 8, process::exited, None),
    place(&["WoW64Process", "Wow64Process"], 8, 8, pointers::wow64, None),
    place(&["DebugPort"], 8, 8, pointers::kernel_or_null, None),
    place(&["Win32Process"], 8, 8, pointers::kernel_or_null, None),
    place(&["Job"], 8, 8, pointers::kernel_or_null, None),
    place(&["SectionObject"], 8, 8, pointers::kernel_or_null, None),
    place(&["Pcb.Header.Size"], 1, 1, process::header_size, None),
    place(&["Pcb.Header.WaitListHead"], 16, 8, pointers::list_head, None),
    place(&["Pcb.ProfileListHead"], 16, 8, pointers::list_head, None),
];

type JudgeFlag = fn(Ground<'_, '_>, Flag) -> Judgement;

/// Flags that are placed between others.
const FLAGS: [(&[&str], JudgeFlag); 2] = [
    (&["BreakOnTermination"], process::critical),
    (&["MitigationFlagsValues.DisableDynamicCode", "DisableDynamicCode"], process::mitigation),
];

/// No `_EPROCESS` is smaller: that of XP for x64 has 0x3e0 bytes.
const SMALLEST: u64 = 0x300;

/// Fields that are empty in most processes, and how far behind the last proven one they may lie: what is further may belong to
/// another object.
const SPARSE: [(&str, u64); 2] = [("ExitTime", 0x200), ("WoW64Process", 0x80)];

/// Finds the fields of `_EPROCESS`.
pub(super) fn infer(scene: &Scene<'_>, vads: &[VadLayout], neighbours: &Neighbours<'_>) -> (Known, Report, TypeInfo) {
    let mut placer = Placer::new("_EPROCESS", neighbours);
    let mut known = Known::default();
    let limit = placer.limit().min(WINDOW).min(scene.end().filter(|end| *end > SMALLEST).unwrap_or(WINDOW));
    let mut missed: Vec<&'static str> = Vec::new();
    for field in &BY_VALUE {
        let ground = Ground { scene, known, vads, types: None };
        let held = |at: &u64| (field.judge)(ground, *at) == Judgement::Held;
        let end = match SPARSE.iter().find(|(name, _)| field.paths.contains(name)) {
            Some((_, reach)) => placer.last().saturating_add(*reach).min(limit),
            None => limit,
        };
        let found: Vec<u64> = (0..end).step_by(field.step).filter(held).collect();
        let at = placer.prove(field.paths, field.size, &found);
        if at.is_none() {
            missed.extend(field.paths.first());
        }
        if let Some(slot) = field.known {
            *slot(&mut known) = at;
        }
    }
    for field in &BY_PLACE {
        let ground = Ground { scene, known, vads, types: None };
        let Some(first) = field.paths.first().copied() else { continue };
        let again = missed.contains(&first);
        let sought = BY_VALUE.iter().any(|other| other.paths.first() == Some(&first));
        if sought && !again {
            continue;
        }
        missed.retain(|path| *path != first);
        let between = placer.between(field.paths);
        let between = between.filter(|(_, info)| (field.judge)(ground, info.offset) != Judgement::Failed);
        if let Some(slot) = field.known {
            *slot(&mut known) = between.as_ref().map(|(_, info)| info.offset);
        }
        placer.place(first, between, |_| true);
    }
    let ground = Ground { scene, known, vads, types: None };
    placer.dropped.extend(missed);
    for (paths, judge) in FLAGS {
        let Some(first) = paths.first().copied() else { continue };
        let between = placer.between(paths);
        placer.place(first, between, |info| flag(info).is_some_and(|flag| judge(ground, flag) != Judgement::Failed));
    }
    let beside = placer.beside(&["Minimal"], "Protection.Level", 8);
    placer.place("Minimal", beside, |info| {
        flag(info).is_some_and(|flag| process::minimal(ground, flag) != Judgement::Failed)
    });
    let (report, info) = placer.finish();
    (known, report, info)
}

/// One bit that lies in a number of 4 bytes.
fn flag(info: &FieldInfo) -> Option<Flag> {
    info.bits
        .filter(|(bit, length)| info.size == 4 && *length == 1 && *bit < 32)
        .map(|(bit, _)| Flag { at: info.offset, bit })
}

/// Judges one place of one field.
pub(super) fn tell(ground: Ground<'_, '_>, path: &str, at: u64) -> Judgement {
    let place = BY_VALUE.iter().chain(&BY_PLACE).find(|place| place.paths.contains(&path));
    place.map_or(Judgement::Silent, |place| (place.judge)(ground, at))
}

/// Judges the fields of a whole layout.
pub(super) fn judge(ground: Ground<'_, '_>, symbols: &Symbols) -> Vec<(&'static str, Judgement)> {
    let field =
        |paths: &[&'static str]| paths.iter().find_map(|path| Some((*path, symbols.field("_EPROCESS", path).ok()?)));
    let by_value = BY_VALUE.iter().filter_map(|place| {
        let (path, info) = field(place.paths)?;
        Some((path, (place.judge)(ground, info.offset)))
    });
    let flags = FLAGS.into_iter().filter_map(|(paths, judge)| {
        let (path, info) = field(paths)?;
        Some((path, judge(ground, flag(&info)?)))
    });
    by_value.chain(flags).collect()
}

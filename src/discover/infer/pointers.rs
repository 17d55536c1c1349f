//! What tells the fields of `_EPROCESS` that lead elsewhere.

use super::ground::{Ground, is_user_page};
use super::judge::{Judgement, Tally};
use super::scene::Sample;
use crate::VirtualAddress;
use std::collections::{BTreeMap, BTreeSet};

/// A pointer of a process.
fn pointer(sample: &Sample<'_>, at: u64) -> Option<VirtualAddress> {
    sample.get::<VirtualAddress>(at)
}

/// `Token`: a reference to what starts with the name of a token's source (`*SYSTEM*` in System's).
pub(super) fn token(ground: Ground<'_, '_>, at: u64) -> Judgement {
    let source = |sample: &Sample<'_>| -> Option<[u8; 8]> {
        let token = crate::kernel::fast_ref(sample.get::<u64>(at)?);
        if !token.is_kernel() {
            return Some([0; 8]);
        }
        ground.scene.space.read_array(token).ok()
    };
    let is_name = |name: [u8; 8]| {
        let [first, ..] = name;
        first.is_ascii_graphic() && name.iter().all(|byte| matches!(byte, 0 | b' '..=b'~'))
    };
    let all = Tally::of(ground.samples().map(|sample| source(sample).map(is_name)));
    let system = Tally::of(ground.samples().map(|sample| source(sample).map(|name| &name == b"*SYSTEM*")));
    if system.yes < 2 && all.yes > 0 { Judgement::Failed } else { all.judge(3, 75) }
}

/// A counted reference to something in the kernel's half: what `Token` is at least.
pub(super) fn reference(ground: Ground<'_, '_>, at: u64) -> Judgement {
    let fits = |sample: &Sample<'_>| Some(crate::kernel::fast_ref(sample.get::<u64>(at)?).is_kernel());
    if Tally::of(ground.samples().map(fits)).share(90) { Judgement::Silent } else { Judgement::Failed }
}

/// `ObjectTable`: a structure that names its process behind the address of its pages.
pub(super) fn handle_table(ground: Ground<'_, '_>, at: u64) -> Judgement {
    // Session processes and smss have handles from their start on; System too.
    if ground.system().and_then(|system| pointer(system, at)).is_some_and(|table| !table.is_kernel()) {
        return Judgement::Failed;
    }
    let fits = |sample: &Sample<'_>| {
        let table = pointer(sample, at)?;
        // Nothing: it has ended.
        if table.is_null() {
            return None;
        }
        if !table.is_kernel() {
            return Some(false);
        }
        let words: [u8; 0x60] = ground.scene.space.read_array(table).ok()?;
        let (words, _) = words.as_chunks::<8>();
        let number = |word: &[u8; 8]| u64::from_le_bytes(*word);
        let owner = words.iter().skip(1).position(|word| number(word) == sample.at.0);
        let code = owner.and_then(|owner| words.get(owner)).map(number);
        let page = |code: u64| code & !7 != 0 && code & 0xff8 == 0 && VirtualAddress(code).is_kernel();
        Some(code.is_some_and(|code| code & 7 <= 2 && page(code)))
    };
    Tally::of(ground.others().map(fits)).judge(2, 70)
}

/// `Session`: none in System and smss; elsewhere one of a few structures, each with an id of its own.
pub(super) fn session(ground: Ground<'_, '_>, at: u64) -> Judgement {
    if ground.system().and_then(|system| pointer(system, at)).is_some_and(|session| !session.is_null()) {
        return Judgement::Failed;
    }
    if ground.master().and_then(|master| pointer(master, at)).is_some_and(|session| !session.is_null()) {
        return Judgement::Failed;
    }
    let mut members: BTreeMap<VirtualAddress, usize> = BTreeMap::new();
    let mut ids: BTreeMap<u32, BTreeSet<VirtualAddress>> = BTreeMap::new();
    let fits = |sample: &Sample<'_>| {
        let session = pointer(sample, at)?;
        if !session.is_kernel() || session.0 & 7 != 0 {
            return Some(false);
        }
        let id = ground.session_id(sample, session)?;
        let count = members.entry(session).or_default();
        *count = count.saturating_add(1);
        ids.entry(id).or_default().insert(session);
        Some(id < 0x1_0000)
    };
    let tally = Tally::of(ground.others().map(fits));
    let shared = members.values().any(|count| *count >= 2);
    let distinct = ids.values().filter(|sessions| sessions.len() == 1).count();
    // Windows numbers sessions from 0 on, and services run in it.
    if !ids.contains_key(&0) || !shared || distinct.saturating_mul(10) < ids.len().saturating_mul(9) {
        return if ids.is_empty() && tally.no == 0 { Judgement::Silent } else { Judgement::Failed };
    }
    tally.judge(3, 50)
}

/// `SessionProcessLinks`: leads from processes to others of the same session.
pub(super) fn session_links(ground: Ground<'_, '_>, at: u64) -> Judgement {
    let Some(session) = ground.known.session else { return Judgement::Silent };
    if at == ground.scene.pid.saturating_add(8) {
        return Judgement::Failed;
    }
    let entries: BTreeMap<VirtualAddress, &Sample<'_>> =
        ground.samples().map(|sample| (sample.at.wrapping_add(at), sample)).collect();
    let fits = |sample: &Sample<'_>| {
        let own = pointer(sample, session)?;
        let next = pointer(sample, at)?;
        if own.is_null() {
            return next.is_kernel().then(|| next == sample.at.wrapping_add(at));
        }
        // The head, or a process that is no sample.
        let other = entries.get(&next)?;
        Some(next != sample.at.wrapping_add(at) && pointer(other, session) == Some(own))
    };
    Tally::of(ground.samples().map(fits)).judge(3, 90)
}

/// `SeAuditProcessCreationInfo.ImageFileName`: a counted text that is a device's path.
pub(super) fn audit_name(ground: Ground<'_, '_>, at: u64) -> Judgement {
    let fits = |sample: &Sample<'_>| {
        let name = pointer(sample, at)?;
        if name.is_null() {
            return None;
        }
        if !name.is_kernel() {
            return Some(false);
        }
        let head: [u8; 16] = ground.scene.space.read_array(name).ok()?;
        let [l0, l1, m0, m1, _, _, _, _, buffer @ ..] = head;
        let (length, room) = (u16::from_le_bytes([l0, l1]), u16::from_le_bytes([m0, m1]));
        let buffer = VirtualAddress(u64::from_le_bytes(buffer));
        // Processes without an image have an empty one.
        if length == 0 {
            return None;
        }
        if length > room || !length.is_multiple_of(2) || !buffer.is_kernel() {
            return Some(false);
        }
        let start: [u8; 16] = ground.scene.space.read_array(buffer).ok()?;
        Some(crate::kernel::text::utf16(&start) == "\\Device\\")
    };
    // Registry and its like have a bare word.
    Tally::of(ground.samples().map(fits)).judge(2, 60)
}

/// Whether the file object at `file` has the name that the kernel's path of the image ends in.
pub(super) fn is_file_of(ground: Ground<'_, '_>, sample: &Sample<'_>, file: VirtualAddress, name: u64) -> Option<bool> {
    if !file.is_kernel() {
        return Some(false);
    }
    // IO_TYPE_FILE (wdm.h), and a size in the upper half.
    if ground.scene.space.read_u32(file).ok()? & 0xffff != 5 {
        return Some(false);
    }
    let path = ground.audit_path(sample)?;
    let found = ground.scene.text(ground.scene.space, file.wrapping_add(name));
    Some(found.is_some_and(|name| name.len() > 4 && path.ends_with(&name)))
}

/// Where `FILE_OBJECT.FileName` lies in every version for x64 (wdm.h).
const FILE_NAME: u64 = 0x58;

/// `ImageFilePointer`: the file object of the image.
pub(super) fn image_file(ground: Ground<'_, '_>, at: u64) -> Judgement {
    let fits = |sample: &Sample<'_>| {
        let file = pointer(sample, at).filter(|file| !file.is_null())?;
        is_file_of(ground, sample, file, FILE_NAME)
    };
    Tally::of(ground.others().map(fits)).judge(2, 70)
}

/// `SectionObject`: leads to the file object of the image, straight or by a segment, whichever the version.
pub(super) fn section(ground: Ground<'_, '_>, at: u64) -> Judgement {
    /// Control area or segment in a section, segment's control area, control area's file: the same in all known versions.
    const IN_SECTION: u64 = 0x28;
    const AREA: u64 = 0;
    const FILE: u64 = 0x40;
    let fits = |sample: &Sample<'_>| {
        let section = pointer(sample, at).filter(|section| !section.is_null())?;
        if !section.is_kernel() {
            return Some(false);
        }
        let read = |at: VirtualAddress| ground.scene.space.read_pointer(at).ok().filter(|to| to.is_kernel());
        let file = |area: VirtualAddress| read(area.wrapping_add(FILE)).map(|file| crate::kernel::fast_ref(file.0));
        let backing = read(section.wrapping_add(IN_SECTION))?;
        let ways = [Some(backing), read(backing.wrapping_add(AREA))];
        let files = ways.into_iter().flatten().filter_map(file);
        Some(files.filter_map(|file| is_file_of(ground, sample, file, FILE_NAME)).any(|fits| fits))
    };
    Tally::of(ground.others().map(fits)).judge(2, 70)
}

/// How far from its PEB the 32-bit PEB of a process lies: as a rule in the next page.
const NEAR: u64 = 0x10_0000;

/// `WoW64Process`: nothing in System and smss; elsewhere nothing, or what leads to a 32-bit PEB: a page below 4 GiB, or near the
/// other PEB.
pub(super) fn wow64(ground: Ground<'_, '_>, at: u64) -> Judgement {
    let is_peb = |sample: &Sample<'_>, peb: u64| {
        let own = ground.known.peb.and_then(|at| pointer(sample, at)).filter(|own| !own.is_null());
        let near = own.is_some_and(|own| own.0 != peb && own.0.abs_diff(peb) < NEAR);
        is_user_page(VirtualAddress(peb)) && (peb >> 32 == 0 || near)
    };
    let mut seen = 0usize;
    let fits = |sample: &Sample<'_>| {
        let value = pointer(sample, at)?;
        if value.is_null() {
            return Some(true);
        }
        seen = seen.saturating_add(1);
        let leads = value.is_kernel() && ground.scene.space.read_u64(value).is_ok_and(|peb| is_peb(sample, peb));
        Some(is_peb(sample, value.0) || leads)
    };
    let native = [ground.system(), ground.master()].into_iter().flatten();
    let none = native.into_iter().all(|sample| pointer(sample, at).is_none_or(|value| value.is_null()));
    let tally = Tally::of(ground.others().map(fits));
    match tally.judge(2, 100) {
        Judgement::Held if !none => Judgement::Failed,
        Judgement::Held if seen == 0 => Judgement::Silent,
        other => other,
    }
}

/// A pointer to something in the kernel's half, or none; in System none.
pub(super) fn kernel_or_null(ground: Ground<'_, '_>, at: u64) -> Judgement {
    let fits = |sample: &Sample<'_>| pointer(sample, at).map(|value| value.is_null() || value.is_kernel());
    let system = ground.system().and_then(|system| pointer(system, at));
    let all = Tally::of(ground.samples().map(fits)).share(95);
    if all && system.is_none_or(VirtualAddress::is_null) { Judgement::Silent } else { Judgement::Failed }
}

/// What may be the head of a list, though it leads nowhere now.
pub(super) fn any_list(ground: Ground<'_, '_>, at: u64) -> Judgement {
    let fits = |sample: &Sample<'_>| {
        let two = [pointer(sample, at)?, pointer(sample, at.checked_add(8)?)?];
        Some(two.iter().all(|link| link.is_null() || link.is_kernel()))
    };
    if Tally::of(ground.samples().map(fits)).share(95) { Judgement::Silent } else { Judgement::Failed }
}

/// Head of a list that is empty or whole: what it leads to leads back.
pub(super) fn list_head(ground: Ground<'_, '_>, at: u64) -> Judgement {
    let fits = |sample: &Sample<'_>| {
        let head = sample.at.wrapping_add(at);
        let (next, last) = (pointer(sample, at)?, pointer(sample, at.checked_add(8)?)?);
        if !next.is_kernel() || !last.is_kernel() {
            return Some(false);
        }
        let back = ground.scene.space.read_pointer(next.wrapping_add(8)).ok()?;
        let forth = ground.scene.space.read_pointer(last).ok()?;
        Some(back == head && forth == head)
    };
    Tally::of(ground.samples().map(fits)).judge(3, 90)
}

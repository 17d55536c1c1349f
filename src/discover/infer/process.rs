//! What tells the fields of `_EPROCESS` that hold ids, names, times and numbers.

use super::ground::{Ground, is_user, is_user_page};
use super::judge::{Judgement, Tally};
use super::scene::Sample;
use crate::{PhysicalAddress, VirtualAddress};
use std::collections::BTreeSet;

/// One bit of a number of 4 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flag {
    /// Where the number lies.
    pub at: u64,
    /// The bit.
    pub bit: u8,
}

impl Flag {
    fn of(self, sample: &Sample<'_>) -> Option<bool> {
        let flags = sample.get::<u32>(self.at)?;
        Some(flags.checked_shr(u32::from(self.bit))? & 1 != 0)
    }
}

/// `UniqueProcessId`: where the scene found the list's ids.
pub(super) fn pid(ground: Ground<'_, '_>, at: u64) -> Judgement {
    (at == ground.scene.pid).into()
}

/// `ActiveProcessLinks`.
pub(super) fn links(ground: Ground<'_, '_>, at: u64) -> Judgement {
    (at == ground.scene.pid.saturating_add(8)).into()
}

/// `ImageFileName`: printable in nearly all, and in most the name of a program.
pub(super) fn name(ground: Ground<'_, '_>, at: u64) -> Judgement {
    let text = |sample: &Sample<'_>| -> Option<Option<Vec<u8>>> {
        let bytes = sample.bytes(at, 15)?;
        let text: Vec<u8> = bytes.iter().copied().take_while(|byte| *byte != 0).collect();
        Some(Some(text).filter(|text| text.iter().all(|byte| matches!(byte, b' '..=b'~'))))
    };
    let printable = Tally::of(ground.samples().map(|sample| text(sample).map(|text| text.is_some())));
    let program = |text: Option<Vec<u8>>| {
        text.is_some_and(|text| text.len() > 4 && text.to_ascii_lowercase().windows(4).any(|part| part == b".exe"))
    };
    let programs = Tally::of(ground.others().map(|sample| text(sample).map(program)));
    (printable.share(90) && programs.yes >= 2 && programs.share(50)).into()
}

/// `Pcb.DirectoryTableBase`: each process has its own, and all map the kernel at the same place.
pub(super) fn dtb(ground: Ground<'_, '_>, at: u64) -> Judgement {
    let space = ground.scene.space;
    let Ok(kernel) = space.translate(ground.scene.base) else { return Judgement::Silent };
    let mut roots = BTreeSet::new();
    let fits = |sample: &Sample<'_>| {
        let root = sample.get::<u64>(at)?;
        let own = space.with_root(PhysicalAddress(root));
        Some(root != 0 && root >> 52 == 0 && own.translate(ground.scene.base) == Ok(kernel) && roots.insert(own.root()))
    };
    // The tables of processes that have ended may be gone.
    Tally::of(ground.samples().map(fits)).judge(3, 60)
}

/// `CreateTime`: times before the image was taken, rising along the list.
pub(super) fn created(ground: Ground<'_, '_>, at: u64) -> Judgement {
    let times: Vec<u64> = ground.samples().filter_map(|sample| sample.get::<u64>(at)).collect();
    let past = Tally::of(times.iter().map(|time| Some(ground.scene.is_past(*time))));
    let rising = Tally::of(times.windows(2).map(|two| Some(two.first()? <= two.last()?)));
    let last = times.iter().max();
    // A boot takes longer than a moment: the same time everywhere is none of theirs.
    let first = times.iter().filter(|time| ground.scene.is_past(**time)).min();
    // One may always have been written over, whatever the number.
    let all_but_one = past.share(90) || past.no <= 1;
    (past.yes >= 3 && all_but_one && rising.share(60) && first < last).into()
}

/// `CreateInterruptTime`: as far from `CreateTime` in most processes, which is when the system was started. A clock that was set
/// parts them into two groups. Zero in all says nothing: not every kernel writes it.
pub(super) fn created_interrupt(ground: Ground<'_, '_>, at: u64) -> Judgement {
    /// In units of 100 ns: both are read one after the other when a process is made; no process is made earlier than this; processes
    /// of one moment tell nothing.
    const TOGETHER: u64 = 1_000_000;
    const EARLIEST: u64 = 10_000_000;
    const SPREAD: u64 = 100_000_000;
    let Some(created) = ground.known.created.filter(|created| *created != at) else { return Judgement::Silent };
    let stamps = |sample: &Sample<'_>| Some((sample.get::<u64>(created)?, sample.get::<u64>(at)?));
    let written: Vec<(u64, u64)> =
        ground.samples().filter_map(stamps).filter(|(time, since)| *time != 0 && *since != 0).collect();
    if written.len() < 3 {
        return Judgement::Silent;
    }
    let late: Vec<(u64, u64)> = written.into_iter().filter(|(_, since)| *since >= EARLIEST).collect();
    let mut starts: Vec<u64> = late.iter().filter_map(|(time, since)| time.checked_sub(*since)).collect();
    starts.sort_unstable();
    let Some(middle) = starts.get(starts.len() / 2).copied().filter(|middle| ground.scene.is_past(*middle)) else {
        return Judgement::Failed;
    };
    let fits =
        |(time, since): &(u64, u64)| time.checked_sub(*since).is_some_and(|start| start.abs_diff(middle) < TOGETHER);
    let tally = Tally::of(late.iter().map(|stamps| Some(fits(stamps))));
    let fitting = || late.iter().filter(|stamps| fits(stamps)).map(|(_, since)| *since);
    let spread = fitting().max().zip(fitting().min()).map_or(0, |(last, first)| last.saturating_sub(first));
    match tally.judge(3, 50) {
        Judgement::Held if spread < SPREAD => Judgement::Silent,
        other => other,
    }
}

/// `ExitTime`: nothing in most, and a time after that of creation in those that have ended.
pub(super) fn exited(ground: Ground<'_, '_>, at: u64) -> Judgement {
    let Some(created) = ground.known.created else { return Judgement::Silent };
    if at == created {
        return Judgement::Failed;
    }
    let fits = |sample: &Sample<'_>| {
        let (created, exited) = (sample.get::<u64>(created)?, sample.get::<u64>(at)?);
        Some(exited == 0 || (ground.scene.is_past(exited) && created <= exited))
    };
    let ended = |sample: &&Sample<'_>| sample.get::<u64>(at).is_some_and(|time| time != 0);
    let all = Tally::of(ground.samples().map(fits));
    let ended = ground.samples().filter(ended).count();
    match all.judge(2, 95) {
        Judgement::Held if ground.system().and_then(|system| system.get::<u64>(at)) != Some(0) => Judgement::Failed,
        Judgement::Held if ended == 0 => Judgement::Silent,
        other => other,
    }
}

/// `InheritedFromUniqueProcessId`: 0 in System, 4 in smss, and in many the id of another process, an older one.
pub(super) fn ppid(ground: Ground<'_, '_>, at: u64) -> Judgement {
    let parent = |sample: &Sample<'_>| sample.get::<u64>(at);
    if ground.system().and_then(parent).is_some_and(|id| id != 0) {
        return Judgement::Failed;
    }
    let is_id = |id: u64| id.is_multiple_of(4) && id <= u64::from(u32::MAX);
    let id = Tally::of(ground.samples().map(|sample| parent(sample).map(is_id)));
    if !id.share(95) {
        return Judgement::Failed;
    }
    let ids: BTreeSet<u64> = ground.samples().map(|sample| sample.pid).collect();
    let listed = Tally::of(ground.others().map(|sample| {
        let id = parent(sample)?;
        Some(id != sample.pid && id != 0 && ids.contains(&id))
    }));
    // The master may be hidden; if one of the name is listed, System has started one.
    let masters = Tally::of(ground.named("smss.exe").map(|sample| parent(sample).map(|id| id == 4)));
    let created = ground.known.created;
    let older = Tally::of(ground.others().map(|sample| {
        let id = parent(sample)?;
        let creator = ground.samples().find(|other| other.pid == id)?;
        Some(creator.get::<u64>(created?)? <= sample.get::<u64>(created?)?)
    }));
    let mastered = masters.all() == 0 || masters.yes > 0;
    // A clock that was set back, and ids that are used again, make some parents younger.
    (mastered && listed.yes >= 2 && listed.share(35) && older.share(60)).into()
}

/// Ids of processes, and 0 in System: what `InheritedFromUniqueProcessId` is at least.
pub(super) fn ids(ground: Ground<'_, '_>, at: u64) -> Judgement {
    let is_id = |id: u64| id.is_multiple_of(4) && id != 0 && id <= u64::from(u32::MAX);
    let ids = Tally::of(ground.others().map(|sample| sample.get::<u64>(at).map(is_id)));
    let system = ground.system().and_then(|system| system.get::<u64>(at)).is_none_or(|id| id == 0);
    if system && ids.share(90) { Judgement::Silent } else { Judgement::Failed }
}

/// None in System, and a page of the user half in most others: what `Peb` is at least.
pub(super) fn user_pages(ground: Ground<'_, '_>, at: u64) -> Judgement {
    let value = |sample: &Sample<'_>| sample.get::<VirtualAddress>(at);
    let fits = Tally::of(ground.others().map(|sample| value(sample).map(is_user_page)));
    let none = ground.system().and_then(value).is_none_or(VirtualAddress::is_null);
    if none && fits.share(60) { Judgement::Silent } else { Judgement::Failed }
}

/// `Peb`: none in System; elsewhere a page of the user half, with pointers where every PEB has them.
pub(super) fn peb(ground: Ground<'_, '_>, at: u64) -> Judgement {
    let value = |sample: &Sample<'_>| sample.get::<VirtualAddress>(at);
    if ground.system().and_then(value).is_some_and(|peb| !peb.is_null()) {
        return Judgement::Failed;
    }
    let pages = Tally::of(ground.others().map(|sample| value(sample).map(|peb| peb.is_null() || is_user_page(peb))));
    let readable = Tally::of(ground.others().map(|sample| {
        let [base, ldr, parameters] = ground.peb(sample, value(sample).filter(|peb| is_user_page(*peb))?)?;
        // A PEB that was not filled yet, or whose page was lost, says nothing.
        let filled = base.0 | ldr.0 | parameters.0 != 0;
        filled.then_some(is_user_page(base) && (ldr.is_null() || is_user(ldr)) && is_user(parameters))
    }));
    if pages.share(95) { readable.judge(2, 70) } else { Judgement::Failed }
}

/// `SectionBaseAddress`: where the PEB says that the image is.
pub(super) fn section_base(ground: Ground<'_, '_>, at: u64) -> Judgement {
    let value = |sample: &Sample<'_>| sample.get::<VirtualAddress>(at);
    // Most places have no such addresses, and to look for images takes time.
    if ground.others().filter_map(value).filter(|value| is_user_page(*value)).count() < 2 {
        return Judgement::Failed;
    }
    let fits = |sample: &Sample<'_>| Some(value(sample)? == ground.image_base(sample)?);
    Tally::of(ground.others().map(fits)).judge(2, 70)
}

/// `ActiveThreads`: as many as the list of threads has, in most.
pub(super) fn threads(ground: Ground<'_, '_>, at: u64) -> Judgement {
    let Some(head) = ground.known.threads_head else { return Judgement::Silent };
    // Most places have no numbers that could be it, and to follow lists takes time.
    let few = |count: &u32| (1..=crate::discover::infer::thread::MAX_THREADS).contains(count);
    let likely = ground.samples().filter_map(|sample| sample.get::<u32>(at)).filter(few);
    if likely.collect::<BTreeSet<_>>().len() < 2 {
        return Judgement::Silent;
    }
    let mut counts = BTreeSet::new();
    let fits = |sample: &Sample<'_>| {
        let listed = crate::discover::infer::thread::count(ground.scene, sample, head)?;
        let active = sample.get::<u32>(at)?;
        if usize::try_from(active) == Ok(listed) {
            counts.insert(active);
            return Some(true);
        }
        // Threads that have ended may be listed for a while.
        Some(false)
    };
    let tally = Tally::of(ground.samples().map(fits));
    if counts.len() < 2 { Judgement::Silent } else { tally.judge(3, 70) }
}

/// Numbers of threads as processes have them, where no list says how many there are.
pub(super) fn few(ground: Ground<'_, '_>, at: u64) -> Judgement {
    const MANY: u32 = 0x1_0000;
    let count = |sample: &Sample<'_>| sample.get::<u32>(at);
    let few = Tally::of(ground.samples().map(|sample| count(sample).map(|count| count < MANY)));
    let some = Tally::of(ground.samples().map(|sample| count(sample).map(|count| count != 0)));
    if few.share(95) && some.share(60) { Judgement::Silent } else { Judgement::Failed }
}

/// `Pcb.BasePriority`: that of each Windows process is public (Windows Internals, 7th edition, chapter 4).
pub(super) fn base_priority(ground: Ground<'_, '_>, at: u64) -> Judgement {
    let priority = |sample: &Sample<'_>| sample.get::<i8>(at);
    if ground.system().and_then(priority).is_some_and(|value| value != 8) {
        return Judgement::Failed;
    }
    let real = Tally::of(ground.samples().map(|sample| priority(sample).map(|value| (1..=31).contains(&value))));
    let normal = Tally::of(ground.others().map(|sample| priority(sample).map(|value| value == 8)));
    let is = |name: &'static str, value: i8| ground.named(name).any(|sample| priority(sample) == Some(value));
    (real.share(95) && is("smss.exe", 11) && is("csrss.exe", 13) && normal.yes >= 2).into()
}

/// `Protection.Level`: of the signer Windows TCB or System in System and smss, none in most.
pub(super) fn protection(ground: Ground<'_, '_>, at: u64) -> Judgement {
    let level = |sample: &Sample<'_>| sample.get::<u8>(at);
    if !ground.system().and_then(level).is_some_and(|level| matches!(level, 0x62 | 0x72)) {
        return Judgement::Failed;
    }
    let smss = ground.named("smss.exe").any(|sample| level(sample) == Some(0x61));
    let none = Tally::of(ground.others().map(|sample| level(sample).map(|level| level == 0)));
    // Type 0 to 2, audit, signer 0 to 8 (_PS_PROTECTION).
    let real = |level: u8| level & 7 <= 2 && level >> 4 <= 8;
    let real = Tally::of(ground.samples().map(|sample| level(sample).map(real)));
    (smss && none.yes >= 2 && none.share(25) && real.share(95)).into()
}

/// `BreakOnTermination`: in smss and csrss, and not in most.
pub(super) fn critical(ground: Ground<'_, '_>, flag: Flag) -> Judgement {
    let flag = |sample: &Sample<'_>| flag.of(sample);
    let smss = ground.master().and_then(flag);
    let csrss = Tally::of(ground.named("csrss.exe").map(flag));
    let clear = Tally::of(ground.others().map(|sample| flag(sample).map(|flag| !flag)));
    (smss == Some(true) && csrss.yes >= 1 && clear.yes >= 2 && clear.share(30)).into()
}

/// `Minimal`: in no process that has a PEB.
pub(super) fn minimal(ground: Ground<'_, '_>, flag: Flag) -> Judgement {
    let fits = |sample: &Sample<'_>| {
        let flag = flag.of(sample)?;
        let peb = sample.get::<VirtualAddress>(ground.known.peb?)?;
        (!peb.is_null()).then_some(!flag)
    };
    let bare = Tally::of(
        ["registry", "memcompression", "secure system"]
            .iter()
            .flat_map(|name| ground.named(name).map(|sample| flag.of(sample))),
    );
    match Tally::of(ground.others().map(fits)).judge(2, 95) {
        Judgement::Held if bare.no > bare.yes => Judgement::Failed,
        other => other,
    }
}

/// A mitigation that some programs ask for: not in System's companions, which lack it by design.
pub(super) fn mitigation(ground: Ground<'_, '_>, flag: Flag) -> Judgement {
    let flag = |sample: &Sample<'_>| flag.of(sample);
    let clear = Tally::of(ground.others().map(|sample| flag(sample).map(|flag| !flag)));
    if clear.share(60) { Judgement::Silent } else { Judgement::Failed }
}

/// `Pcb.Header.Type`: 3.
pub(super) fn header_type(ground: Ground<'_, '_>, at: u64) -> Judgement {
    let kind = |sample: &Sample<'_>| sample.get::<u8>(at).map(|kind| kind & 0x7f == crate::kernel::PROCESS_OBJECT);
    Tally::of(ground.samples().map(kind)).judge(3, 95)
}

/// `Pcb.Header.Size`: the same in all, in units of 4 bytes.
pub(super) fn header_size(ground: Ground<'_, '_>, at: u64) -> Judgement {
    let Some(own) = ground.system().and_then(|system| system.get::<u8>(at)) else { return Judgement::Silent };
    let same = Tally::of(ground.others().map(|sample| sample.get::<u8>(at).map(|size| size == own)));
    if own == 0 { Judgement::Silent } else { same.judge(2, 95) }
}

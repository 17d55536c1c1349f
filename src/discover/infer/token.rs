//! `_TOKEN`, `_OBJECT_HEADER` and `_MM_SESSION_SPACE`.

use super::ground::Ground;
use super::judge::{Judgement, Tally};
use super::scene::Sample;
use crate::VirtualAddress;
use crate::kernel::layouts::{ObjectHeaderLayout, SessionLayout, TokenLayout};
use std::collections::BTreeMap;

/// The most SIDs that a token has (documented limit of LSA: 1024 groups).
pub(super) const MAX_SIDS: u32 = 1100;
/// `TokenPrimary`.
const PRIMARY: u32 = 1;
/// S-1-5-18, as [MS-DTYP] 2.4.2.2 writes it.
pub(super) const LOCAL_SYSTEM: [u8; 12] = [1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0];
/// What labels of integrity start with: S-1-16-.
pub(super) const LABEL: [u8; 8] = [1, 1, 0, 0, 0, 0, 0, 16];
/// `SYSTEM_LUID`.
pub(super) const SYSTEM_LOGON: u64 = 0x3e7;

/// The token of a process.
pub(super) fn token(ground: Ground<'_, '_>, sample: &Sample<'_>) -> Option<VirtualAddress> {
    let token = crate::kernel::fast_ref(sample.get::<u64>(ground.known.token?)?);
    token.is_kernel().then_some(token)
}

/// `_TOKEN`: SIDs that are SIDs, the label among them where its index says, and System's user and logon.
pub(super) fn judge(ground: Ground<'_, '_>, layout: &TokenLayout) -> Judgement {
    let space = ground.scene.space;
    let fits = |sample: &Sample<'_>| -> Option<bool> {
        let token = token(ground, sample)?;
        let read = |offset: u64| space.read_u32(token.wrapping_add(offset)).ok();
        let read_long = |offset: u64| space.read_u64(token.wrapping_add(offset)).ok();
        let count = read(layout.sid_count.offset)?;
        let sids = VirtualAddress(read_long(layout.sids.offset)?);
        if count == 0 || count > MAX_SIDS || !sids.is_kernel() || read(layout.kind.offset)? != PRIMARY {
            return Some(false);
        }
        let start = |index: u32| -> Option<[u8; 8]> {
            let entry = sids.wrapping_add(u64::from(index).wrapping_mul(16));
            space.read_array(space.read_pointer(entry).ok()?).ok()
        };
        let is_sid = |sid: [u8; 8]| matches!(sid, [1, 1..=15, 0, 0, 0, 0, 0, _]);
        let last = start(count.saturating_sub(1)).is_some_and(is_sid);
        let label = match layout.integrity_index {
            Some(field) => {
                let index = read(field.offset)?;
                index == u32::MAX || (index < count && start(index) == Some(LABEL))
            }
            None => true,
        };
        let privileges = match (layout.present, layout.enabled) {
            (Some(present), Some(enabled)) => {
                let (present, enabled) = (read_long(present.offset)?, read_long(enabled.offset)?);
                present >> 37 == 0 && enabled & !present == 0
            }
            _ => true,
        };
        let session = match ground.pointer(sample, ground.known.session) {
            Some(session) => {
                ground.session_id(sample, session).is_none_or(|id| read(layout.session.offset) == Some(id))
            }
            None => true,
        };
        Some(start(0).is_some_and(is_sid) && last && label && privileges && session)
    };
    let system = ground.system().and_then(|system| {
        let token = token(ground, system)?;
        let sids = space.read_pointer(token.wrapping_add(layout.sids.offset)).ok()?;
        let user: [u8; 12] = space.read_array(space.read_pointer(sids).ok()?).ok()?;
        let logon = space.read_u64(token.wrapping_add(layout.authentication_id.offset)).ok()?;
        Some(user == LOCAL_SYSTEM && logon == SYSTEM_LOGON)
    });
    match system {
        Some(false) => Judgement::Failed,
        _ => Tally::of(ground.samples().map(fits)).judge(3, 70),
    }
}

/// `_OBJECT_HEADER`: the types in front of processes are one type, which Windows 10 mixes with the header's address.
pub(super) fn object_header(ground: Ground<'_, '_>, layout: &ObjectHeaderLayout) -> Judgement {
    let mut plain: BTreeMap<u8, usize> = BTreeMap::new();
    let mut mixed: BTreeMap<u8, usize> = BTreeMap::new();
    let mut all = 0usize;
    for sample in ground.samples() {
        let header = sample.at.wrapping_sub(layout.body.offset);
        let read: Option<[u8; 1]> = ground.scene.space.read_array(header.wrapping_add(layout.type_index.offset)).ok();
        let Some([kind]) = read else { continue };
        let [_, second, ..] = header.0.to_le_bytes();
        all = all.saturating_add(1);
        for (kinds, kind) in [(&mut plain, kind), (&mut mixed, kind ^ second)] {
            let count = kinds.entry(kind).or_default();
            *count = count.saturating_add(1);
        }
    }
    let most = plain.iter().filter(|(kind, _)| **kind != 0).chain(&mixed).map(|(_, count)| *count).max().unwrap_or(0);
    Tally { yes: most, no: all.saturating_sub(most) }.judge(3, 90)
}

/// `_MM_SESSION_SPACE`: the list of processes that its members' links come from.
pub(super) fn session(ground: Ground<'_, '_>, layout: &SessionLayout) -> Judgement {
    let (Some(session), Some(links)) = (ground.known.session, ground.known.session_links) else {
        return Judgement::Silent;
    };
    let fits = |sample: &Sample<'_>| {
        let session = sample.get::<VirtualAddress>(session).filter(|session| session.is_kernel())?;
        let head = session.wrapping_add(layout.processes.offset);
        // The first and the last of the list are those whose links lead out of the samples.
        let (next, last) = (sample.get::<VirtualAddress>(links)?, sample.get::<VirtualAddress>(links.checked_add(8)?)?);
        let inside = |to: VirtualAddress| ground.samples().any(|other| other.at.wrapping_add(links) == to);
        let is_head = |to: VirtualAddress| (!inside(to) && to.is_kernel()).then_some(to == head);
        let id = ground.session_id(sample, sample.get::<VirtualAddress>(ground.known.session?)?)?;
        let fits = is_head(next).or_else(|| is_head(last))?;
        Some(fits && id < 0x1_0000 && layout.id.offset == 8)
    };
    Tally::of(ground.samples().map(fits)).judge(2, 60)
}

//! `_TOKEN`, field by field, where it is as no known build has it.

use super::ground::Ground;
use super::judge::{Judgement, Tally};
use super::place::{Neighbours, Placer, Report};
use super::token::{LABEL, LOCAL_SYSTEM, MAX_SIDS, SYSTEM_LOGON, token};
use crate::VirtualAddress;
use crate::kernel::view::View;
use crate::memory::AddressSpace;
use crate::symbols::{Stored, TypeInfo};

/// Bytes of a token that are looked at. All that is read of known ones lies in the first 0xd8.
const WINDOW: u64 = 0x200;
/// Bytes of one `_SID_AND_ATTRIBUTES`.
const ENTRY: u64 = 16;

/// One token.
struct Seen<'m> {
    view: View<'m>,
    /// Whether it is System's.
    system: bool,
    /// The session that its process is in.
    session: Option<u32>,
}

impl Seen<'_> {
    fn get<T: Stored>(&self, offset: u64) -> Option<T> {
        T::decode(self.view.bytes(offset, T::SIZE?).ok()?)
    }
}

/// The first 8 bytes of the SID that an entry of an array of SIDs leads to. `None`: it leads to none.
fn sid(space: AddressSpace<'_>, array: VirtualAddress, index: u32) -> Option<(VirtualAddress, [u8; 8])> {
    let at = space.read_pointer(array.wrapping_add(u64::from(index).wrapping_mul(ENTRY))).ok()?;
    let start: [u8; 8] = at.is_kernel().then(|| space.read_array(at).ok())??;
    matches!(start, [1, 1..=15, 0, 0, 0, 0, 0, _]).then_some((at, start))
}

/// Number of SIDs in an array, and where the label of integrity is among them.
fn sids(space: AddressSpace<'_>, array: VirtualAddress) -> (u32, Option<u32>) {
    let mut label = None;
    for index in 0..MAX_SIDS {
        match sid(space, array, index) {
            Some((_, start)) if start == LABEL => label = Some(index),
            Some(_) => {}
            None => return (index, label),
        }
    }
    (MAX_SIDS, label)
}

/// Puts the fields of `_TOKEN`.
pub(super) fn infer(ground: Ground<'_, '_>, neighbours: &Neighbours<'_>) -> (Report, TypeInfo) {
    let space = ground.scene.space;
    let tokens: Vec<Seen<'_>> = ground
        .samples()
        .filter_map(|sample| {
            let view = View::read(space, token(ground, sample)?, WINDOW);
            let session = ground.pointer(sample, ground.known.session);
            let session = session.and_then(|session| ground.session_id(sample, session));
            Some(Seen { view, system: sample.pid == 4, session })
        })
        .collect();
    let search = |from: u64, to: u64, step: usize, fits: &dyn Fn(&Seen<'_>, u64) -> Option<bool>| -> Vec<u64> {
        let held = |offset: &u64| Tally::of(tokens.iter().map(|token| fits(token, *offset))).judge(3, 85);
        (from..to).step_by(step).filter(|offset| held(offset) == Judgement::Held).collect()
    };
    let mut placer = Placer::new("_TOKEN", neighbours);
    // The list of processes was found by these names.
    placer.prove(&["TokenSource"], 16, &[0]);
    let system = |logon: u64| tokens.iter().any(|token| token.system && token.get::<u64>(logon) == Some(SYSTEM_LOGON));
    let logon = search(8, WINDOW, 8, &|token, offset| {
        let id: u64 = token.get(offset)?;
        Some(id != 0 && id >> 32 == 0)
    });
    let logon: Vec<u64> = logon.into_iter().filter(|offset| system(*offset)).collect();
    placer.prove(&["AuthenticationId"], 8, &logon);
    let arrays = search(8, WINDOW, 8, &|token, offset| {
        let array: VirtualAddress = token.get(offset)?;
        let first = array.is_kernel().then(|| sid(space, array, 0)).flatten();
        let user = || space.read_array::<12>(first?.0).ok();
        Some(first.is_some() && (!token.system || user() == Some(LOCAL_SYSTEM)))
    });
    if let Some(array) = placer.prove(&["UserAndGroups"], 8, &arrays) {
        let all = |token: &Seen<'_>| Some(sids(space, token.get(array)?));
        let counts = search(8, array, 4, &|token, offset| Some(token.get::<u32>(offset)? == all(token)?.0));
        placer.prove(&["UserAndGroupCount"], 4, &counts);
        let labels = search(array, WINDOW, 4, &|token, offset| Some(token.get::<u32>(offset)? == all(token)?.1?));
        placer.prove(&["IntegrityLevelIndex"], 4, &labels);
        // TokenPrimary.
        let kinds = search(array, array.saturating_add(0x80), 4, &|token, offset| Some(token.get::<u32>(offset)? == 1));
        placer.prove(&["TokenType"], 4, &kinds);
    }
    let sessions = search(8, WINDOW, 4, &|token, offset| Some(token.get::<u32>(offset)? == token.session?));
    let several = tokens.iter().any(|token| token.session.is_some_and(|id| id != 0));
    if several {
        placer.prove(&["SessionId"], 4, &sessions);
    }
    for path in [&["TokenId"], &["Privileges.Present"], &["Privileges.Enabled"], &["Privileges.EnabledByDefault"]] {
        let between = placer.between(path);
        placer.place(path.first().copied().unwrap_or_default(), between, |_| true);
    }
    placer.finish()
}

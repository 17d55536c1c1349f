//! `_TOKEN`: user, groups, integrity, privileges, logon.

use crate::kernel::text::bytes_as_text;
use crate::kernel::view::View;
use crate::kernel::{Kernel, ObjectTypes, privilege_name, sid_name};
use crate::location::{DataLocation, Location};
use crate::memory::AddressSpace;
use crate::{Absent, AbsentKind, Hex, Reading, VirtualAddress};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The access token, beyond what [`Process`](crate::Process) itself names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Token {
    /// Address of the `_TOKEN` (`EPROCESS.Token` without the reference bits).
    pub address: VirtualAddress,
    /// `primary` or `impersonation`.
    pub kind: String,
    /// `TOKEN.TokenSource.SourceName`.
    pub source: String,
    /// `TOKEN.TokenId`.
    pub id: Hex,
    /// User first, then groups, each with its attributes (`SE_GROUP_*` bits).
    pub sids: Vec<SidAndAttributes>,
    /// Privileges that are present.
    pub privileges: Vec<Privilege>,
    /// What `IntegrityLevelIndex` names, where that is no integrity label. `None`: it names a label, or says that there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub misnamed_label: Option<String>,
    /// What of the above could not be read, and why.
    pub absent: BTreeMap<String, Absent>,
}

/// One SID of a token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SidAndAttributes {
    /// `S-1-...`
    pub sid: String,
    /// The well-known name, if it is one.
    pub name: Option<String>,
    /// `SE_GROUP_*` bits ([MS-DTYP], winnt.h).
    pub attributes: Hex,
}

/// One privilege of a token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Privilege {
    /// `SeDebugPrivilege`, or the bit number where it has no public name.
    pub name: String,
    /// Enabled now.
    pub enabled: bool,
    /// Enabled when the token was made.
    pub default: bool,
}

/// A token has at most 1024 groups (documented limit of LSA); this leaves room for what is not a real count.
const MAX_SIDS: u32 = 2048;
/// `SID_MAX_SUB_AUTHORITIES`.
const MAX_SUB_AUTHORITIES: u8 = 15;
/// Size of a `_SID_AND_ATTRIBUTES` on x64: a pointer, a u32, padding.
const SID_AND_ATTRIBUTES: u64 = 16;

/// What a token says.
#[derive(Clone, Debug)]
pub struct TokenReadings {
    /// SID of the user.
    pub user: Reading<String>,
    /// SIDs of the groups, without the integrity label.
    pub groups: Reading<Vec<String>>,
    /// SID of the integrity label.
    pub integrity: Reading<String>,
    /// `AuthenticationId`.
    pub authentication_id: Reading<Hex>,
    /// `SessionId`.
    pub session: Reading<u32>,
    /// The rest.
    pub token: Reading<Token>,
    /// Where these were read, by the record's field names.
    pub locations: Vec<(&'static str, Location)>,
}

impl TokenReadings {
    fn all(absent: &Absent) -> Self {
        Self {
            user: Reading::Absent(absent.clone()),
            groups: Reading::Absent(absent.clone()),
            integrity: Reading::Absent(absent.clone()),
            authentication_id: Reading::Absent(absent.clone()),
            session: Reading::Absent(absent.clone()),
            token: Reading::Absent(absent.clone()),
            locations: Vec::new(),
        }
    }

    /// Reads the token that a process holds.
    #[must_use]
    pub fn read(kernel: &Kernel<'_>, token: &Reading<VirtualAddress>) -> Self {
        match token.known() {
            Ok(Some(address)) => Self::at(kernel, *address),
            Ok(None) => Self::all(&Absent::unparsable("_EPROCESS.Token is null")),
            Err(absent) => Self::all(absent),
        }
    }

    fn at(kernel: &Kernel<'_>, address: VirtualAddress) -> Self {
        let layout = match &kernel.layouts().token {
            Ok(layout) => layout,
            Err(error) => return Self::all(&error.into()),
        };
        if let Err(absent) = is_token(kernel, address) {
            return Self::all(&absent);
        }
        let space = kernel.space();
        let view = View::read(space, address, layout.size);
        let sids = view.get(layout.sid_count).and_then(|count| Ok((count, view.get(layout.sids)?)));
        let sids = sids.and_then(|(count, array)| sids_and_attributes(space, array, count));
        // What has no user or is of neither kind is no token, and none of its other fields says anything.
        let kind: Result<u64, Absent> = view.get(layout.kind).map(|kind| kind.0 & 0xffff_ffff);
        if let Some(absent) = no_token(address, &kind, &sids) {
            return Self::all(&absent);
        }
        let sid = |index: u32| -> Result<String, Absent> {
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            let sids = sids.as_ref().map_err(Clone::clone)?;
            let sid = sids.get(index).ok_or_else(|| Absent::unparsable(format!("no SID {index} of {}", sids.len())))?;
            sid.as_ref().map(|sid| sid.sid.clone()).map_err(Clone::clone)
        };
        let index = layout.integrity_index.and_then(|field| view.get(field).ok()).filter(|index| *index != u32::MAX);
        let misnamed_label = index.and_then(|index| match sid(index) {
            Ok(label) if is_label(&label) => None,
            Ok(other) => Some(format!("{index}: {other}")),
            Err(absent) if absent.kind == AbsentKind::Unparsable => Some(format!("{index}: {}", absent.detail)),
            Err(_) => None,
        });
        let mut absent = BTreeMap::new();
        let privileges = || {
            let present = view.optional(layout.present, "_TOKEN.Privileges.Present")?;
            let enabled = view.optional(layout.enabled, "_TOKEN.Privileges.Enabled")?;
            let default = view.optional(layout.default, "_TOKEN.Privileges.EnabledByDefault")?;
            Ok(privileges(present, enabled, default))
        };
        let mut keep = |name: &str, reason: Absent| {
            absent.insert(name.to_owned(), reason);
        };
        let token = Token {
            address,
            kind: match kind {
                Ok(kind) => token_kind(kind),
                Err(reason) => {
                    keep("kind", reason);
                    String::new()
                }
            },
            source: view.bytes(layout.source.offset, 8).map_or_else(
                |reason| {
                    keep("source", reason);
                    String::new()
                },
                |name| bytes_as_text(name).unwrap_or_default().trim_end().to_owned(),
            ),
            id: Hex(view.get(layout.id).unwrap_or_else(|reason| {
                keep("id", reason);
                0
            })),
            sids: match &sids {
                Ok(sids) => {
                    if let Some(Err(reason)) = sids.iter().find(|sid| sid.is_err()) {
                        keep("sids", reason.clone());
                    }
                    sids.iter().flatten().cloned().collect()
                }
                Err(reason) => {
                    keep("sids", reason.clone());
                    Vec::new()
                }
            },
            privileges: privileges().unwrap_or_else(|reason| {
                keep("privileges", reason);
                Vec::new()
            }),
            misnamed_label,
            absent,
        };
        let locate_sid = |index: u32| self::locate_sid(space, view.get(layout.sids).ok()?, index);
        let user_location =
            Location { field: "UserAndGroups[0]".into(), data: locate_sid(0), ..view.locate(layout.sids) };
        let integrity_location = layout.integrity_index.map(|field| {
            let index = view.get(field).ok().filter(|index| *index != u32::MAX);
            ("integrity", Location { data: index.and_then(locate_sid), ..view.locate(field) })
        });
        let locations = [
            ("user", user_location),
            ("groups", view.locate(layout.sids)),
            ("authentication_id", view.locate(layout.authentication_id)),
            ("token_session", view.locate(layout.session)),
        ];
        Self {
            user: sid(0).into(),
            groups: sids.as_ref().map_err(Clone::clone).and_then(groups).into(),
            integrity: integrity(layout.integrity_index.map(|field| view.get(field)), &sids, sid),
            authentication_id: view.get(layout.authentication_id).map(Hex).into(),
            session: view.get(layout.session).into(),
            token: Reading::Value(token),
            locations: locations.into_iter().chain(integrity_location).collect(),
        }
    }
}

/// Whether the header in front of an object says that it is a token. Where the types of objects are not known, or the header cannot be
/// read, nothing speaks against it.
fn is_token(kernel: &Kernel<'_>, address: VirtualAddress) -> Result<(), Absent> {
    let Ok(types) = ObjectTypes::read(kernel) else { return Ok(()) };
    if !types.knows("Token") {
        return Ok(());
    }
    match types.header(address).and_then(|header| types.type_of(header)) {
        Ok("Token") => Ok(()),
        Ok(other) => Err(Absent::unparsable(format!("no token at {address}: its header says that it is a {other}"))),
        Err(absent) if absent.kind == AbsentKind::Unparsable => {
            Err(Absent::unparsable(format!("no token at {address}: {}", absent.detail)))
        }
        Err(_) => Ok(()),
    }
}

/// What shows in a token's own fields that it is none.
fn no_token(address: VirtualAddress, kind: &Result<u64, Absent>, sids: &Result<Sids, Absent>) -> Option<Absent> {
    let unparsable = |absent: &&Absent| absent.kind == AbsentKind::Unparsable;
    let user = match sids {
        Ok(sids) => sids.first().and_then(|user| user.as_ref().err()),
        Err(absent) => Some(absent),
    };
    let why = match kind {
        Ok(1 | 2) | Err(_) => user.filter(unparsable)?.detail.clone(),
        Ok(other) => format!("its type is {other}"),
    };
    Some(Absent::unparsable(format!("no token at {address}: {why}")))
}

/// `_TOKEN_TYPE`.
fn token_kind(kind: u64) -> String {
    match kind {
        1 => "primary".to_owned(),
        2 => "impersonation".to_owned(),
        other => format!("unknown ({other})"),
    }
}

type Sids = Vec<Result<SidAndAttributes, Absent>>;

/// Groups are what follows the user, but for the integrity label.
fn groups(sids: &Sids) -> Result<Vec<String>, Absent> {
    sids.iter()
        .skip(1)
        .map(|sid| sid.as_ref().map(|sid| sid.sid.clone()).map_err(Clone::clone))
        .filter(|sid| !sid.as_ref().is_ok_and(|sid| is_label(sid)))
        .collect()
}

fn is_label(sid: &str) -> bool {
    sid.starts_with("S-1-16-")
}

/// The label is one of the SIDs, by its index; -1 means that there is none.
fn integrity(
    index: Option<Result<u32, Absent>>,
    sids: &Result<Sids, Absent>,
    sid: impl Fn(u32) -> Result<String, Absent>,
) -> Reading<String> {
    let labelled = || sids.as_ref().ok()?.iter().flatten().find(|sid| is_label(&sid.sid)).map(|sid| sid.sid.clone());
    match index {
        Some(Ok(u32::MAX)) => Reading::Nothing,
        Some(Ok(index)) => match sid(index) {
            Ok(label) if is_label(&label) => Reading::Value(label),
            Ok(other) => labelled().map_or_else(
                || {
                    Reading::Absent(Absent::unparsable(format!(
                        "IntegrityLevelIndex {index} names {other}, which is no label"
                    )))
                },
                Reading::Value,
            ),
            Err(absent) => labelled().map_or(Reading::Absent(absent), Reading::Value),
        },
        Some(Err(absent)) => Reading::Absent(absent),
        // Before Vista there are no labels.
        None => labelled().map_or(Reading::Nothing, Reading::Value),
    }
}

/// Reads an array of `_SID_AND_ATTRIBUTES`.
fn sids_and_attributes(space: AddressSpace<'_>, array: VirtualAddress, count: u32) -> Result<Sids, Absent> {
    if count == 0 || count > MAX_SIDS {
        return Err(Absent::unparsable(format!("the token claims {count} SIDs")));
    }
    let entries = (0..u64::from(count)).map(|index| {
        let at = array.wrapping_add(index.wrapping_mul(SID_AND_ATTRIBUTES));
        let sid = read_sid(space, space.read_pointer(at)?)?;
        let attributes = Hex(u64::from(space.read_u32(at.wrapping_add(8))?));
        let name = sid_name(&sid).map(str::to_owned);
        Ok(SidAndAttributes { sid, name, attributes })
    });
    Ok(entries.collect())
}

/// Where the groups of a token lie, by their position in the list of groups, which lacks the label; `most` of them.
pub(crate) fn located_groups(kernel: &Kernel<'_>, address: VirtualAddress, most: usize) -> Vec<Location> {
    let find = || {
        let layout = kernel.layouts().token.as_ref().ok()?;
        let (space, view) = (kernel.space(), View::read(kernel.space(), address, layout.size));
        let (count, array) = (view.get(layout.sid_count).ok()?, view.get(layout.sids).ok()?);
        let sids = sids_and_attributes(space, array, count).ok()?;
        let groups =
            sids.iter().zip(0u32..).skip(1).filter(|(sid, _)| !sid.as_ref().is_ok_and(|sid| is_label(&sid.sid)));
        let place = |(_, index): (&Result<SidAndAttributes, Absent>, u32)| {
            let at = array.wrapping_add(u64::from(index).wrapping_mul(SID_AND_ATTRIBUTES));
            let place = space.locate(layout.sids.structure, "", at);
            let data = locate_sid(space, array, index);
            Location { field: format!("{}[{index}]", layout.sids.name).into(), data, ..place }
        };
        Some(groups.take(most).map(place).collect())
    };
    find().unwrap_or_default()
}

/// Where the `_SID` lies that a `_SID_AND_ATTRIBUTES` of an array leads to.
fn locate_sid(space: AddressSpace<'_>, array: VirtualAddress, index: u32) -> Option<DataLocation> {
    let entry = u64::from(index).checked_mul(SID_AND_ATTRIBUTES)?;
    let at = space.read_pointer(array.checked_add(entry)?).ok()?;
    let [_, parts]: [u8; 2] = space.read_array(at).ok()?;
    space.locate_data(at, u64::from(parts).checked_mul(4)?.checked_add(8)?)
}

/// Reads a `_SID` ([MS-DTYP] 2.4.2.2) as `S-1-...`.
fn read_sid(space: AddressSpace<'_>, at: VirtualAddress) -> Result<String, Absent> {
    let [revision, count, authority @ ..]: [u8; 8] = space.read_array(at)?;
    if revision != 1 || count > MAX_SUB_AUTHORITIES {
        return Err(Absent::unparsable(format!("no SID at {at}: revision {revision}, {count} sub-authorities")));
    }
    let authority = authority.iter().fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
    // [MS-DTYP] 2.4.2.1: an authority from 2^32 on is written in hexadecimal.
    let mut text = if authority < 1 << 32 { format!("S-1-{authority}") } else { format!("S-1-{authority:#014x}") };
    for index in 0..u64::from(count) {
        let part = space.read_u32(at.wrapping_add(8).wrapping_add(index.wrapping_mul(4)))?;
        text.push_str(&format!("-{part}"));
    }
    Ok(text)
}

/// Privileges present, by their bits.
fn privileges(present: u64, enabled: u64, default: u64) -> Vec<Privilege> {
    let has = |set: u64, bit: u32| (set >> bit) & 1 == 1;
    (0..u64::BITS)
        .filter(|bit| has(present, *bit))
        .map(|bit| Privilege { name: privilege_name(bit), enabled: has(enabled, bit), default: has(default, bit) })
        .collect()
}

//! Keys: what is in them, read from their hive when asked.

use super::cells::CellIndex;
use super::data::{RegistryData, ValueType};
use super::faults::{Faults, Listing};
use super::hive::Hive;
use super::node::KeyNode;
use super::record::{KeyRecord, RegistryValue};
use super::value::Value;
use super::{lists, name};
use crate::location::Location;
use crate::{Absent, Reading, Timestamp};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// The value that says where a link leads.
const LINK_VALUE: &str = "SymbolicLinkValue";
/// Records are nested this deep at most. Windows allows 512 levels; readers of documents that are nested so deep give up.
const MAX_RECORD_DEPTH: u32 = 32;
/// So many keys are in one record at most: half of a large SOFTWARE hive.
const MAX_RECORD_KEYS: usize = 1 << 19;

/// One key.
#[derive(Clone, Debug)]
pub struct Key<'h> {
    hive: &'h Hive<'h>,
    node: KeyNode,
    path: String,
}

impl<'h> Key<'h> {
    /// Reads the key at `index`, whose path is `parent` and its own name.
    fn read(hive: &'h Hive<'h>, index: CellIndex, parent: &str) -> Result<Self, Absent> {
        let node = KeyNode::read(&hive.backing, index)?;
        let path = format!("{parent}\\{}", node.name);
        Ok(Self { hive, node, path })
    }

    /// The root of a hive, whose path is where the hive is mounted.
    pub(super) fn root(hive: &'h Hive<'h>, index: CellIndex, path: String) -> Result<Self, Absent> {
        Ok(Self { hive, node: KeyNode::read(&hive.backing, index)?, path })
    }

    /// The whole path, from `\REGISTRY` on, in the hive's own spelling.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The name in its cell. That of a hive's root is not the name it is mounted by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.node.name
    }

    /// The hive it is in.
    #[must_use]
    pub const fn hive(&self) -> &'h Hive<'h> {
        self.hive
    }

    /// Its cell.
    #[must_use]
    pub const fn cell(&self) -> CellIndex {
        self.node.cell.index
    }

    /// True for a key that lives in memory only.
    #[must_use]
    pub const fn is_volatile(&self) -> bool {
        self.node.cell.index.is_volatile()
    }

    /// `_CM_KEY_NODE.LastWriteTime`. Nothing: zero.
    #[must_use]
    pub fn last_written(&self) -> Reading<Timestamp> {
        match self.node.last_written {
            0 => Reading::Nothing,
            ticks => {
                Timestamp::plausible(ticks).ok_or_else(|| Absent::unparsable(format!("{ticks:#x} is no time"))).into()
            }
        }
    }

    /// The class name. Nothing: it has none.
    #[must_use]
    pub fn class(&self) -> Reading<String> {
        let length = u32::from(self.node.class_length);
        if self.node.class == CellIndex::NIL || length == 0 {
            return Reading::Nothing;
        }
        let hive = &self.hive.backing;
        let read = hive.cell(self.node.class).and_then(|cell| hive.bytes(cell, 0, length));
        read.map(|bytes| crate::kernel::text::utf16(&bytes)).into()
    }

    /// Where a symbolic link leads. Nothing: the key is no link.
    #[must_use]
    pub fn link(&self) -> Reading<String> {
        if !self.node.is_link() {
            return Reading::Nothing;
        }
        let read = || {
            let value = self.value(LINK_VALUE)?.ok_or_else(|| Absent::unparsable("a link without a target"))?;
            match RegistryData::decode(ValueType::LINK, &value.bytes()?).0 {
                RegistryData::Text(target) => Ok(target),
                other => Err(Absent::unparsable(format!("a link to {other}"))),
            }
        };
        read().into()
    }

    /// Where the key's cell lies.
    #[must_use]
    pub fn location(&self) -> Option<Location> {
        let content = CellIndex(self.cell().0.wrapping_add(4));
        self.hive.backing.locate(content, "_CM_KEY_NODE", "Signature")
    }

    /// The subkeys, stable ones first.
    #[must_use]
    pub fn subkeys(&self) -> Listing<Self> {
        let mut faults = Faults::default();
        let mut keys = Vec::new();
        for reference in lists::subkeys(&self.hive.backing, &self.node, &mut faults) {
            match Self::read(self.hive, reference.cell, &self.path) {
                Ok(key) => keys.push(key),
                Err(why) => faults.push(why),
            }
        }
        Listing::new(keys, faults)
    }

    /// The subkey of this name, in upper or lower case. `None`: there is really none. A subkey that cannot be read stands in
    /// the way only if its list does not rule out that it has this name.
    ///
    /// # Errors
    /// Why it cannot be said whether there is one.
    pub fn subkey(&self, wanted: &str) -> Result<Option<Self>, Absent> {
        let mut faults = Faults::default();
        let references = lists::subkeys(&self.hive.backing, &self.node, &mut faults);
        let mut doubt = faults.into_reasons().into_iter().next();
        // Those that the list says it of first, then the others: the list's hint may be wrong.
        let (likely, unlikely): (Vec<_>, Vec<_>) =
            references.into_iter().partition(|reference| reference.hint.may_be(wanted));
        for (reference, likely) in likely.iter().map(|one| (one, true)).chain(unlikely.iter().map(|one| (one, false))) {
            match Self::read(self.hive, reference.cell, &self.path) {
                Ok(key) if name::same(key.name(), wanted) => return Ok(Some(key)),
                Ok(_) => (),
                Err(why) if likely => doubt = doubt.or(Some(why)),
                Err(_) => (),
            }
        }
        doubt.map_or(Ok(None), Err)
    }

    /// Whether more than one subkey has this name, and stands in the list in such a way that the kernel may find it.
    pub(super) fn has_twice(&self, wanted: &str) -> bool {
        let references = lists::subkeys(&self.hive.backing, &self.node, &mut Faults::default());
        let named = |cell| Self::read(self.hive, cell, &self.path).is_ok_and(|key| name::same(key.name(), wanted));
        let likely = references.iter().filter(|reference| reference.hint.may_be(wanted));
        let mut named = likely.filter(|reference| named(reference.cell));
        named.next().is_some() && named.next().is_some()
    }

    /// The values, in the hive's order.
    #[must_use]
    pub fn values(&self) -> Listing<Value<'h>> {
        let mut faults = Faults::default();
        let mut values = Vec::new();
        for cell in lists::values(&self.hive.backing, &self.node, &mut faults) {
            match Value::read(self.hive, cell) {
                Ok(value) => values.push(value),
                Err(why) => faults.push(why),
            }
        }
        Listing::new(values, faults)
    }

    /// The value of this name, in upper or lower case. `None`: there is really none.
    ///
    /// # Errors
    /// Why it cannot be said whether there is one.
    pub fn value(&self, wanted: &str) -> Result<Option<Value<'h>>, Absent> {
        let Listing { items, missing } = self.values();
        let mut doubt = missing.into_iter().next();
        for value in items {
            match value.name() {
                Ok(name) if name::same(&name, wanted) => return Ok(Some(value)),
                Ok(_) => (),
                Err(why) => doubt = doubt.or(Some(why)),
            }
        }
        doubt.map_or(Ok(None), Err)
    }

    /// The record of the key with its values and, by name, its subkeys. With a `depth` of 1, these have their values and
    /// subkeys, and so on down.
    #[must_use]
    pub fn record(&self, depth: u32) -> KeyRecord {
        self.tree(depth.min(MAX_RECORD_DEPTH), &mut Vec::new(), &mut 0)
    }

    /// `above`: the cells of the keys that this one is in.
    fn tree(&self, depth: u32, above: &mut Vec<CellIndex>, count: &mut usize) -> KeyRecord {
        let mut record = self.bare_record();
        let (values, missing) = self.value_records(&mut record);
        (record.values, record.values_missing) = (Reading::Value(values), missing);
        let Listing { items, mut missing } = self.subkeys();
        let mut keys = BTreeMap::new();
        above.push(self.cell());
        for key in items {
            *count = count.saturating_add(1);
            if above.contains(&key.cell()) {
                missing.push(Absent::unparsable(format!("cell {}: this key is below itself", key.cell())));
                continue;
            }
            if *count > MAX_RECORD_KEYS {
                missing.push(Absent::not_collected(format!("more than {MAX_RECORD_KEYS} keys")));
                break;
            }
            match keys.entry(key.name().to_owned()) {
                Entry::Vacant(place) => {
                    place.insert(match depth.checked_sub(1) {
                        Some(depth) => key.tree(depth, above, count),
                        None => key.bare_record(),
                    });
                }
                Entry::Occupied(_) => {
                    record.notes.push(format!("a second subkey {:?} at cell {}", key.name(), key.cell()));
                    record.repeated.push(key.name().to_owned());
                }
            }
        }
        above.pop();
        (record.keys, record.keys_missing) = (Reading::Value(keys), missing);
        record
    }

    /// The record of the key alone: its values and subkeys are not collected.
    pub(super) fn bare_record(&self) -> KeyRecord {
        let mut notes = Vec::new();
        if self.node.cell.free {
            notes.push(format!("cell {} is marked as free", self.cell()));
        }
        KeyRecord {
            last_written: self.last_written(),
            class: self.class(),
            link: self.link(),
            path: self.path.clone(),
            volatile: self.is_volatile(),
            location: self.location(),
            notes,
            ..KeyRecord::default()
        }
    }

    /// The records of the values whose names can be read, and why there may be more.
    fn value_records(&self, record: &mut KeyRecord) -> (BTreeMap<String, RegistryValue>, Vec<Absent>) {
        let Listing { items, mut missing } = self.values();
        let mut values: BTreeMap<String, RegistryValue> = BTreeMap::new();
        // The kernel takes the first of several values with one name.
        let mut seen = BTreeMap::new();
        for value in items {
            match value.name() {
                Ok(name) => match seen.entry(name::folded(&name)) {
                    Entry::Vacant(first) => {
                        first.insert(());
                        values.insert(name, value.record());
                    }
                    Entry::Occupied(_) => {
                        let second = value.record();
                        let data = second.data.value().map(ToString::to_string).unwrap_or_default();
                        record.notes.push(format!("a second value {name:?}: {} {data}", second.kind));
                        record.repeated.push(name);
                    }
                },
                Err(why) => missing.push(why),
            }
        }
        (values, missing)
    }
}

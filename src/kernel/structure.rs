//! A structure by name, for people: its fields as symbols describe them, with what is there.

use super::{Kernel, Layouts, text};
use crate::memory::AddressSpace;
use crate::memory_read::{FieldRead, MemoryRead, StructureRead};
use crate::symbols::{FieldInfo, SymbolError, SymbolStore, Symbols, TypeInfo, Wanted, fixed, fixed_names};
use crate::{Hex, VirtualAddress};
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

/// Structures nest this deep at most; the kernel's nest 4 deep.
const MAX_DEPTH: usize = 8;
/// Fields listed at most: `_KPRCB`, the largest structure, has some 1500 with those of what it embeds.
const MAX_FIELDS: usize = 8192;
/// A field longer than a number is shown up to this many bytes.
const SHOWN: usize = 16;
/// Structures with which others begin: name, that of the other, and what its fields are called there.
const BEGIN: [(&str, &str, &str); 4] = [
    ("_KPROCESS", "_EPROCESS", "Pcb."),
    ("_KTHREAD", "_ETHREAD", "Tcb."),
    ("_DISPATCHER_HEADER", "_EPROCESS", "Pcb.Header."),
    ("_HHIVE", "_CMHIVE", "Hive."),
];

/// Structures that are described without a symbol file, as far as they are used: of most kernels. In the order of their names.
#[must_use]
pub fn known_structures() -> BTreeSet<&'static str> {
    let begin = BEGIN.iter().map(|(name, ..)| *name);
    Layouts::wanted().types.into_iter().chain(fixed_names()).chain(begin).filter(|name| name.starts_with('_')).collect()
}

impl Kernel<'_> {
    /// What the symbols say of a structure (`_EPROCESS`): those in use, or a file of the store, where these do not hold it.
    ///
    /// # Errors
    /// No symbols describe it.
    pub fn structure_symbols(&self, name: &'static str, store: &SymbolStore) -> Result<Cow<'_, Symbols>, SymbolError> {
        let described = self.symbols.type_info(name).is_some_and(|info| !info.fields.is_empty());
        if described {
            return Ok(Cow::Borrowed(&self.symbols));
        }
        if let Some(symbols) = self.within_another(name) {
            return Ok(Cow::Owned(symbols));
        }
        if let Some(symbols) = fixed(name) {
            return Ok(Cow::Owned(symbols));
        }
        let missing = || SymbolError::NoType { name: name.to_owned() };
        let pdb = self.pdb.as_ref().ok_or_else(missing)?;
        let wanted = Wanted { types: vec![name], ..Wanted::default() };
        let found = store.find(pdb, &wanted).ok().filter(|symbols| symbols.type_info(name).is_some());
        found.map(Cow::Owned).ok_or_else(missing)
    }

    /// A structure with which another one begins, whose fields the symbols in use have under the name of that one.
    fn within_another(&self, name: &str) -> Option<Symbols> {
        let (_, outer, path) = BEGIN.iter().find(|(inner, ..)| *inner == name)?;
        let of = self.symbols.type_info(outer)?;
        let inner = |(field, info): (&String, &FieldInfo)| Some((field.strip_prefix(path)?.to_owned(), info.clone()));
        let fields: HashMap<String, FieldInfo> = of.fields.iter().filter_map(inner).collect();
        let known = fields.values().map(|field| field.offset.saturating_add(field.size.max(1))).max()?;
        // Where its size is not known, it reaches as far as the last field that is.
        let size = self.symbols.size_of(name).unwrap_or(known);
        Some(Symbols::new(self.symbols.source, None).with_type(name, TypeInfo { size, fields }))
    }
}

impl MemoryRead {
    /// Reads a structure at `at`, as these symbols describe it: its bytes, and its fields with those of the structures in it, in
    /// order of offset.
    ///
    /// # Errors
    /// The symbols lack the structure.
    pub fn of_structure(
        space: AddressSpace<'_>,
        at: VirtualAddress,
        symbols: &Symbols,
        name: &str,
    ) -> Result<Self, SymbolError> {
        let size = symbols.size_of(name)?;
        let mut read = Self::of_space(space, at, size);
        let mut structure = StructureRead { name: name.to_owned(), bytes: size, fields: Vec::new() };
        add_fields(&mut structure.fields, &read, symbols, name, (String::new(), 0), MAX_DEPTH);
        structure.fields.sort_by_key(|field| (field.offset, field.bits));
        for field in structure.fields.iter_mut().filter(|field| field.structure.as_deref() == Some("_UNICODE_STRING")) {
            field.text = text::unicode_string(space, at.wrapping_add(field.offset)).ok().flatten();
        }
        if name == "_UNICODE_STRING" {
            read.text = text::unicode_string(space, at).ok().flatten();
        }
        read.structure = Some(structure);
        Ok(read)
    }
}

/// The fields of `name`, which lies `within` the structure that was asked for: under this path, at this offset.
fn add_fields(
    fields: &mut Vec<FieldRead>,
    read: &MemoryRead,
    symbols: &Symbols,
    name: &str,
    within: (String, u64),
    depth: usize,
) {
    let Some(info) = symbols.type_info(name).filter(|_| depth > 0) else { return };
    for (field, FieldInfo { offset, size, bits, structure }) in &info.fields {
        if fields.len() >= MAX_FIELDS {
            return;
        }
        let path = format!("{}{field}", within.0);
        let offset = within.1.saturating_add(*offset);
        fields.push(FieldRead {
            offset,
            bytes: *size,
            bits: *bits,
            value: value(read, offset, *size, *bits),
            structure: structure.clone(),
            text: structure.is_none().then(|| characters(read, offset, *size)).flatten(),
            name: path.clone(),
        });
        if let Some(inner) = structure {
            add_fields(fields, read, symbols, inner, (format!("{path}."), offset), depth.saturating_sub(1));
        }
    }
}

/// The text that an array of characters holds, up to the first NUL. `None`: it is none.
fn characters(read: &MemoryRead, offset: u64, size: u64) -> Option<String> {
    let start = usize::try_from(offset).ok()?;
    let length = usize::try_from(size).ok().filter(|length| (9..=SHOWN).contains(length))?;
    let bytes: Vec<u8> = (0..length).map(|index| read.byte(start.checked_add(index)?)).collect::<Option<_>>()?;
    let text: String = bytes.iter().take_while(|byte| **byte != 0).map(|byte| char::from(*byte)).collect();
    (!text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() || c == ' ')).then_some(text)
}

/// A number of up to 8 bytes or the bits of one, or the first bytes of what is longer. `None`: not all of it was read.
fn value(read: &MemoryRead, offset: u64, size: u64, bits: Option<(u8, u8)>) -> Option<String> {
    let start = usize::try_from(offset).ok()?;
    let length = usize::try_from(size).ok()?;
    let bytes: Vec<u8> =
        (0..length.min(SHOWN)).map(|index| read.byte(start.checked_add(index)?)).collect::<Option<_>>()?;
    if size > 8 {
        let shown = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
        return Some(if length > SHOWN { format!("{shown} …") } else { shown });
    }
    let number = bytes.iter().rev().fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
    let number = bits.map_or(number, |(low, count)| {
        let mask = u64::MAX.checked_shr(u32::from(64u8.saturating_sub(count))).unwrap_or(0);
        number.checked_shr(low.into()).unwrap_or(0) & mask
    });
    (size > 0).then(|| Hex(number).to_string())
}

//! The type stream of a PDB: wanted structures, and those that they embed, out of its CodeView records.
//!
//! The `pdb` crate reads these records too, but trusts them: it recurses as deep as a record says, reserves as much memory
//! as a record says, and asserts what a damaged record breaks. A kernel's layouts need nine kinds of record, and they are
//! read here without any of that. Record layouts: `cvinfo.h` of Microsoft's published PDB sources.

use crate::symbols::{FieldInfo, TypeInfo};
use std::collections::HashMap;

/// Type indices below this one name primitive types, and have no record.
const FIRST_INDEX: u32 = 0x1000;
/// Modifiers, bit-fields and forward references on the way from a field to what it is. Real ones: 4.
const MAX_CHAIN: usize = 32;
/// Records that one list of fields is split into. Each holds up to 64 KiB; real structures fill 1.
const MAX_LISTS: usize = 64;
/// Fields of all structures together. A whole kernel has 17,000; lists that structures share could otherwise multiply.
const MAX_FIELDS: usize = 1 << 18;

const LF_MODIFIER: u16 = 0x1001;
const LF_POINTER: u16 = 0x1002;
const LF_FIELDLIST: u16 = 0x1203;
const LF_BITFIELD: u16 = 0x1205;
const LF_BCLASS: u16 = 0x1400;
const LF_VBCLASS: u16 = 0x1401;
const LF_IVBCLASS: u16 = 0x1402;
const LF_INDEX: u16 = 0x1404;
const LF_VFUNCTAB: u16 = 0x1409;
const LF_ARRAY: u16 = 0x1503;
const LF_CLASS: u16 = 0x1504;
const LF_STRUCTURE: u16 = 0x1505;
const LF_UNION: u16 = 0x1506;
const LF_ENUM: u16 = 0x1507;
const LF_MEMBER: u16 = 0x150d;
const LF_STMEMBER: u16 = 0x150e;
const LF_METHOD: u16 = 0x150f;
const LF_NESTTYPE: u16 = 0x1510;
const LF_ONEMETHOD: u16 = 0x1511;
const LF_NESTTYPEEX: u16 = 0x1512;

/// Bit of a record's properties: this is only a declaration.
const FORWARD: u16 = 0x80;

/// What compilers call a type without a name. Many types share these, so that a name cannot lead to one of them.
const UNNAMED: [&[u8]; 3] = [b"__unnamed", b"<unnamed-tag>", b"<anonymous-tag>"];

/// The type stream, with an index of where its records start and which of them define a name.
pub(super) struct TypeStream<'a> {
    bytes: &'a [u8],
    starts: Vec<u32>,
    definitions: HashMap<&'a [u8], u32>,
}

/// A structure, union or enumeration record.
struct Tagged<'a> {
    leaf: u16,
    forward: bool,
    /// Its list of fields; of an enumeration, the integer type that holds it.
    detail: u32,
    size: u64,
    name: &'a [u8],
}

/// What a field is.
#[derive(Default)]
struct Shape {
    size: u64,
    bits: Option<(u8, u8)>,
    /// Type index, for a structure or union.
    structure: Option<u32>,
}

impl<'a> TypeStream<'a> {
    /// Walks the stream once.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut header = Bytes(bytes);
        let [_version, header_size, first] = [header.u32(), header.u32(), header.u32()];
        if first != Some(FIRST_INDEX) {
            return Err(format!("its type indices start at {first:x?}, not at {FIRST_INDEX:#x}"));
        }
        let mut records = Bytes(bytes);
        header_size.and_then(|size| records.take(to_usize(size))).ok_or("its type stream ends in its header")?;
        let mut stream = Self { bytes, starts: Vec::new(), definitions: HashMap::new() };
        while !records.0.is_empty() {
            let start =
                u32::try_from(bytes.len().saturating_sub(records.0.len())).map_err(|error| error.to_string())?;
            let record = records.u16().and_then(|length| records.take(usize::from(length)));
            let record = record.ok_or_else(|| format!("its type stream ends in the record at offset {start:#x}"))?;
            let index = stream.next_index();
            stream.starts.push(start);
            if let Some(tagged) = Tagged::read(Bytes(record))
                && !tagged.forward
                && !UNNAMED.contains(&tagged.name)
            {
                stream.definitions.entry(tagged.name).or_insert(index);
            }
        }
        Ok(stream)
    }

    fn next_index(&self) -> u32 {
        u32::try_from(self.starts.len()).unwrap_or(u32::MAX).saturating_add(FIRST_INDEX)
    }

    /// The bytes of a record, from its kind on.
    fn record(&self, index: u32) -> Option<Bytes<'a>> {
        let start = *self.starts.get(to_usize(index.checked_sub(FIRST_INDEX)?))?;
        let mut rest = Bytes(self.bytes.get(to_usize(start)..)?);
        let length = rest.u16()?;
        rest.take(usize::from(length)).map(Bytes)
    }

    /// The structures of these names, and all that they embed, by name.
    pub(super) fn collect(&self, names: &[&str]) -> Result<HashMap<String, TypeInfo>, String> {
        let mut types = HashMap::new();
        let mut left = MAX_FIELDS;
        let mut todo: Vec<u32> =
            names.iter().filter_map(|name| self.definitions.get(name.as_bytes()).copied()).collect();
        while let Some(index) = todo.pop() {
            let Some(tagged) = self.record(index).and_then(Tagged::read) else { continue };
            let key = self.key(index, tagged.name);
            if tagged.leaf == LF_ENUM || types.contains_key(&key) {
                continue;
            }
            let mut info = TypeInfo { size: tagged.size, fields: HashMap::new() };
            self.fields(tagged.detail, &mut |name, offset, shape| {
                left = left.checked_sub(1)?;
                let structure = shape.structure.and_then(|index| {
                    todo.push(index);
                    Some(self.key(index, self.record(index).and_then(Tagged::read)?.name))
                });
                let field = FieldInfo { offset, size: shape.size, bits: shape.bits, structure };
                info.fields.insert(text(name), field);
                Some(())
            })
            .ok_or_else(|| format!("its record of {key} is damaged"))?;
            types.insert(key, info);
        }
        Ok(types)
    }

    /// The name of a structure if that leads to it, else its name and type index.
    fn key(&self, index: u32, name: &[u8]) -> String {
        if self.definitions.get(name) == Some(&index) { text(name) } else { format!("{}_{index:x}", text(name)) }
    }

    /// Hands every data member of a field list to `each`. `None`: the list is damaged, or `each` had enough.
    fn fields(&self, list: u32, each: &mut dyn FnMut(&'a [u8], u64, Shape) -> Option<()>) -> Option<()> {
        let mut next = (list != 0).then_some(list);
        for _ in 0..MAX_LISTS {
            let Some(list) = next.take() else { return Some(()) };
            let mut record = self.record(list)?;
            if record.u16()? != LF_FIELDLIST {
                return None;
            }
            while !record.0.is_empty() {
                let leaf = record.u16()?;
                let attributes = record.u16()?;
                let index = record.u32()?;
                match leaf {
                    LF_MEMBER => {
                        let offset = record.number()?;
                        each(record.name()?, offset, self.shape(index))?;
                    }
                    LF_STMEMBER | LF_METHOD | LF_NESTTYPE | LF_NESTTYPEEX => drop(record.name()?),
                    LF_ONEMETHOD => {
                        // Only a method that opens a slot in the table of virtual functions says which slot.
                        if matches!((attributes >> 2) & 7, 4 | 6) {
                            record.u32()?;
                        }
                        record.name()?;
                    }
                    LF_BCLASS => drop(record.number()?),
                    LF_VBCLASS | LF_IVBCLASS => {
                        record.u32()?;
                        record.number()?;
                        record.number()?;
                    }
                    LF_VFUNCTAB => (),
                    LF_INDEX => next = Some(index),
                    _ => return None,
                }
                record.skip_padding()?;
            }
        }
        next.is_none().then_some(())
    }

    /// What the type of this index is, behind `const`, bit-fields and declarations. Size 0: the stream does not say.
    fn shape(&self, mut index: u32) -> Shape {
        let mut shape = Shape::default();
        for _ in 0..MAX_CHAIN {
            if index < FIRST_INDEX {
                shape.size = primitive_size(index);
                break;
            }
            match self.step(index, &mut shape) {
                Some(next) => index = next,
                None => break,
            }
        }
        shape
    }

    /// Notes in `shape` what one record says; returns the type that it stands for, if it stands for another.
    fn step(&self, index: u32, shape: &mut Shape) -> Option<u32> {
        let mut record = self.record(index)?;
        if let Some(tagged) = Tagged::read(Bytes(record.0)) {
            if tagged.forward {
                return self.definitions.get(tagged.name).copied();
            }
            if tagged.leaf == LF_ENUM {
                return Some(tagged.detail);
            }
            shape.size = tagged.size;
            shape.structure = Some(index);
            return None;
        }
        match record.u16()? {
            LF_MODIFIER => record.u32(),
            LF_BITFIELD => {
                let underlying = record.u32()?;
                let length = record.u8()?;
                shape.bits = Some((record.u8()?, length));
                Some(underlying)
            }
            LF_POINTER => {
                record.u32()?;
                let attributes = record.u32()?;
                shape.size = match ((attributes >> 13) & 0x3f, attributes & 0x1f) {
                    (0, 0x0a) => 4,
                    (0, 0x0c) => 8,
                    (size, _) => u64::from(size),
                };
                None
            }
            LF_ARRAY => {
                record.u32()?;
                record.u32()?;
                shape.size = record.number()?;
                None
            }
            _ => None,
        }
    }
}

impl<'a> Tagged<'a> {
    /// `None`: the record is of another kind, or damaged.
    fn read(mut record: Bytes<'a>) -> Option<Self> {
        let leaf = record.u16()?;
        if !matches!(leaf, LF_CLASS | LF_STRUCTURE | LF_UNION | LF_ENUM) {
            return None;
        }
        let _count = record.u16()?;
        let forward = record.u16()? & FORWARD != 0;
        let detail = record.u32()?;
        match leaf {
            LF_CLASS | LF_STRUCTURE => drop(record.take(8)?), // derived from; shape of virtual functions
            LF_ENUM => drop(record.take(4)?),                 // its constants
            _ => (),
        }
        let size = if leaf == LF_ENUM { 0 } else { record.number()? };
        Some(Self { leaf, forward, detail, size, name: record.name()? })
    }
}

/// Size in bytes of a primitive type. Its index holds the kind of pointer in bits 8 to 11, and else the type in the low byte.
const fn primitive_size(index: u32) -> u64 {
    match (index >> 8, index & 0xff) {
        (0, 0x10 | 0x20 | 0x30 | 0x68..=0x70 | 0x7c) => 1,
        (0, 0x11 | 0x21 | 0x31 | 0x46 | 0x71..=0x73 | 0x7a) => 2,
        (0, 0x08 | 0x12 | 0x22 | 0x32 | 0x40 | 0x45 | 0x74 | 0x75 | 0x7b) => 4,
        (0, 0x13 | 0x23 | 0x33 | 0x41 | 0x76 | 0x77) => 8,
        (0, 0x42) => 10,
        (0, 0x14 | 0x24 | 0x43 | 0x78 | 0x79) => 16,
        (4, _) => 4,
        (6, _) => 8,
        _ => 0,
    }
}

/// Widens; an index that does not fit leads nowhere.
fn to_usize(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// Reads little-endian values off the front. `None`: there are too few bytes.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// A number of variable length: itself below 0x8000, else the kind of integer that follows. Sizes and offsets are never
    /// negative.
    fn number(&mut self) -> Option<u64> {
        match self.u16()? {
            small @ 0..0x8000 => Some(u64::from(small)),
            0x8000 => self.array().map(i8::from_le_bytes)?.try_into().ok(),
            0x8001 => self.array().map(i16::from_le_bytes)?.try_into().ok(),
            0x8002 => self.u16().map(u64::from),
            0x8003 => self.array().map(i32::from_le_bytes)?.try_into().ok(),
            0x8004 => self.u32().map(u64::from),
            0x8009 => self.array().map(i64::from_le_bytes)?.try_into().ok(),
            0x800a => self.array().map(u64::from_le_bytes),
            _ => None,
        }
    }

    /// A name, up to its NUL.
    fn name(&mut self) -> Option<&'a [u8]> {
        let length = self.0.iter().position(|byte| *byte == 0)?;
        let name = self.take(length)?;
        self.u8()?;
        Some(name)
    }

    /// Members of a field list start at multiples of 4; the bytes between are 0xF1 to 0xFF and say how many are left.
    fn skip_padding(&mut self) -> Option<()> {
        while let Some(byte @ 0xf0..) = self.0.first() {
            self.take(usize::from(byte & 0xf).max(1))?;
        }
        Some(())
    }
}

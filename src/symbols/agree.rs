//! Two sources of one kernel's symbols held against each other.

use super::{Symbols, Wanted};

/// What two sources both have and say differently, each with both values: `_EPROCESS.Peb: 0x550 and 0x558`. What only one of
/// them has is no disagreement.
#[must_use]
pub fn disagreements(one: &Symbols, other: &Symbols, wanted: &Wanted) -> Vec<String> {
    let sizes = wanted.types.iter().filter_map(|name| {
        let (one, other) = (one.size_of(name).ok()?, other.size_of(name).ok()?);
        (one != other).then(|| format!("size of {name}: {one:#x} and {other:#x}"))
    });
    let fields = wanted.fields.iter().filter_map(|(name, path)| {
        let (one, other) = (one.field(name, path).ok()?, other.field(name, path).ok()?);
        let bits =
            |bits: Option<(u8, u8)>| bits.map_or_else(String::new, |(at, length)| format!(" bits {at}+{length}"));
        ((one.offset, one.bits) != (other.offset, other.bits)).then(|| {
            format!("{name}.{path}: {:#x}{} and {:#x}{}", one.offset, bits(one.bits), other.offset, bits(other.bits))
        })
    });
    let globals = wanted.globals.iter().filter_map(|name| {
        let (one, other) = (one.global(name).ok()?, other.global(name).ok()?);
        (one != other).then(|| format!("{name}: base + {one:#x} and base + {other:#x}"))
    });
    sizes.chain(fields).chain(globals).collect()
}

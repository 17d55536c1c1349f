//! Which bytes of a store's regions its records claim. No two records have the same: where two do, one of them is wrong, and nothing
//! says which. A page that is not packed has no other check; one that is unpacks to its size wherever another begins.

use std::collections::BTreeMap;

/// Units of 16 bytes that a record has at most: a page that is not packed.
const MOST: u64 = 0x100;

/// The claims of one store.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// First unit, first unit behind, number of the record; in that order.
    ranges: Vec<(u64, u64, u32)>,
}

impl Claims {
    /// Of records, each with its number, its location and its size in bytes.
    pub(super) fn new(records: &BTreeMap<u32, (u32, u16)>) -> Self {
        let mut ranges: Vec<_> = records
            .iter()
            .map(|(number, (location, size))| {
                let (first, end) = units(*location, *size);
                (first, end, *number)
            })
            .filter(|(first, end, _)| first < end)
            .collect();
        ranges.sort_unstable();
        Self { ranges }
    }

    /// Whether another record than `number` has some of the bytes at a location.
    pub(super) fn dispute(&self, number: u32, location: u32, size: u16) -> bool {
        let (first, end) = units(location, size);
        let from = self.ranges.partition_point(|(start, ..)| start.saturating_add(MOST) <= first);
        let mut near = self.ranges.get(from..).unwrap_or_default().iter().take_while(|(start, ..)| *start < end);
        first < end && near.any(|(_, behind, other)| *other != number && *behind > first)
    }
}

fn units(location: u32, size: u16) -> (u64, u64) {
    let first = u64::from(location);
    let units = u64::from(size).div_ceil(16).min(MOST);
    (first, first.saturating_add(units))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_two_records() {
        let claims = Claims::new(&BTreeMap::from([(7, (0x100, 0x1000)), (8, (0x200, 0x123)), (9, (0x213, 0x40))]));
        for (number, location, size, disputed) in [
            (7, 0x100, 0x1000, false),
            (8, 0x200, 0x123, false),
            (8, 0x200, 0x131, true),
            (7, 0x0, 0x1000, false),
            (7, 0x101, 0x1000, true),
            (8, 0x100, 0x1000, true),
            (9, 0x1ff, 0x10, true),
            (9, 0x217, 0x1000, false),
            // What has no bytes has none of another's.
            (9, 0x210, 0, false),
            (9, 0x150, 0, false),
        ] {
            assert_eq!(claims.dispute(number, location, size), disputed, "{number} {location:#x} {size:#x}");
        }
    }
}

//! `_OBJECT_TYPE`, by the table of types in the kernel's image.

use super::judge::Judgement;
use super::scene::Scene;
use crate::VirtualAddress;
use crate::discover::data::KernelData;
use crate::kernel::layouts::ObjectTypeLayout;
use crate::kernel::view::View;
use crate::symbols::{FieldInfo, TypeInfo};

/// Bytes of a type that are looked at.
const WINDOW: u64 = 0x100;
/// Types that are looked at; every version has some thirty at least.
const TYPES: usize = 16;
/// So many must agree.
const LEAST: usize = 4;
/// Pairs of pointers that are followed: kernels have some thousands.
const MAX_PAIRS: usize = 1 << 18;
/// What the table starts with: its first two entries are no types.
const FIRST: u8 = 2;

/// The table of types.
#[derive(Clone, Debug)]
pub(super) struct Types {
    /// Where it lies.
    pub table: VirtualAddress,
    name: u64,
    index: Vec<u64>,
}

impl Types {
    /// Looks in the kernel's data for pointers to a type `Type` and a type `Directory`, which are the first two of every version,
    /// and in these for their numbers.
    pub fn find(scene: &Scene<'_>, data: &KernelData) -> Option<Self> {
        let leads_out = |word: &u64| data.may_point_out(*word);
        let pairs = data.places().filter_map(|(own, words)| {
            let [first, second, ..] = words else { return None };
            (first != second && leads_out(first) && leads_out(second)).then_some((own, words, *first, *second))
        });
        pairs.take(MAX_PAIRS).find_map(|(own, words, first, second)| {
            let name = name_of(scene, VirtualAddress(first), "Type")?;
            if name_of(scene, VirtualAddress(second), "Directory") != Some(name) {
                return None;
            }
            let table: Vec<_> =
                words.iter().take(TYPES).take_while(|word| leads_out(word)).map(|word| VirtualAddress(*word)).collect();
            let start = own.wrapping_sub(u64::from(FIRST).wrapping_mul(8));
            Some(Self { table: start, name, index: indexes(scene, &table, name)? })
        })
    }

    /// `_OBJECT_TYPE` by these values. `None`: more than one place has the numbers.
    pub fn layout(&self) -> Option<TypeInfo> {
        let [index] = self.index[..] else { return None };
        let field = |offset, size| FieldInfo { offset, size, bits: None, structure: None };
        let fields = [("Name".to_owned(), field(self.name, 16)), ("Index".to_owned(), field(index, 1))];
        Some(TypeInfo { size: index.saturating_add(8), fields: fields.into() })
    }

    /// Whether `_OBJECT_TYPE` is what this candidate says.
    pub fn judge(&self, layout: &ObjectTypeLayout) -> Judgement {
        (layout.name.offset == self.name && self.index.contains(&layout.index.offset)).into()
    }
}

/// Where in the type at `at` this name is.
fn name_of(scene: &Scene<'_>, at: VirtualAddress, name: &str) -> Option<u64> {
    let bytes: [u8; 0x90] = scene.space.read_array(at).ok()?;
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().zip((0u64..).step_by(8)).find_map(|(word, offset)| {
        let [low, high, ..] = *word;
        let length = usize::from(u16::from_le_bytes([low, high]));
        let fits = length == name.len().saturating_mul(2);
        (fits && scene.text(scene.space, at.wrapping_add(offset)).as_deref() == Some(name)).then_some(offset)
    })
}

/// Where the types have the numbers that their places in the table are.
fn indexes(scene: &Scene<'_>, table: &[VirtualAddress], name: u64) -> Option<Vec<u64>> {
    let types = table.iter().zip(FIRST..);
    let types: Vec<(View<'_>, u8)> = types.map(|(at, index)| (View::read(scene.space, *at, WINDOW), index)).collect();
    let is = |view: &View<'_>, offset: u64, index: u8| view.bytes(offset, 1).is_ok_and(|bytes| bytes == [index]);
    let behind = name.checked_add(16)?..WINDOW;
    let found: Vec<u64> = behind.filter(|offset| types.iter().all(|(view, index)| is(view, *offset, *index))).collect();
    (types.len() >= LEAST && !found.is_empty()).then_some(found)
}

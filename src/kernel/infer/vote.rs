//! Structures that are taken from other builds as they are: from those whose layout this image does not speak against, and of
//! these only what they agree on.

use super::judge::Judgement;
use super::place::{Neighbour, Neighbours};
use crate::symbols::{FieldInfo, Symbols, TypeInfo};
use std::collections::{BTreeSet, HashMap};

/// Structures that lie in arrays or in front of something: their size is a distance, not only a bound for reading.
const EXACT: [&str; 6] = [
    "_OBJECT_HEADER_CREATOR_INFO",
    "_OBJECT_HEADER_NAME_INFO",
    "_HANDLE_TABLE_ENTRY",
    "_DUAL",
    "_HMAP_ENTRY",
    "_KPROCESS",
];

/// Layouts of structures that prove one another, as one build has them.
type Shape = Vec<Option<FieldInfo>>;

/// The structures that one judgement is about.
pub(super) struct Ballot<'a> {
    /// Their names.
    pub structures: &'a [&'static str],
    /// Everything that is read of them.
    pub fields: &'a [(&'static str, &'static str)],
}

/// How a vote came out.
pub(super) struct Outcome {
    /// Whether the image said yes, or nothing.
    pub judgement: Judgement,
    /// Builds whose layouts held.
    pub builds: BTreeSet<u32>,
    /// The structures, with fields that were left out as these builds do not agree on them.
    pub types: Vec<(&'static str, TypeInfo, Vec<&'static str>)>,
}

impl Ballot<'_> {
    /// Judges the layouts of every build, each distinct one once. `judge` returns `None` where a build lacks a structure.
    pub fn vote(&self, neighbours: &Neighbours<'_>, judge: impl Fn(&Symbols) -> Option<Judgement>) -> Outcome {
        let mut known: Vec<(Shape, Option<Judgement>)> = Vec::new();
        let mut held: Vec<Neighbour<'_>> = Vec::new();
        let mut silent: Vec<Neighbour<'_>> = Vec::new();
        let mut failed = false;
        for neighbour in neighbours.all() {
            let shape = self.shape(neighbour.symbols);
            let judgement = match known.iter().find(|(other, _)| *other == shape) {
                Some((_, judgement)) => *judgement,
                None => {
                    let judgement = judge(neighbour.symbols);
                    known.push((shape, judgement));
                    judgement
                }
            };
            match judgement {
                Some(Judgement::Held) => held.push(*neighbour),
                Some(Judgement::Silent) => silent.push(*neighbour),
                Some(Judgement::Failed) => failed = true,
                None => {}
            }
        }
        if !held.is_empty() {
            return self.outcome(Judgement::Held, neighbours, &held, &held);
        }
        if failed || silent.is_empty() {
            return Outcome { judgement: Judgement::Failed, builds: BTreeSet::new(), types: Vec::new() };
        }
        // Nothing is proven: only what never changed, as far as is known, and was there before.
        self.outcome(Judgement::Silent, neighbours, &silent, neighbours.all())
    }

    fn shape(&self, symbols: &Symbols) -> Shape {
        let fields = self.fields.iter().filter(|(structure, _)| self.structures.contains(structure));
        fields.map(|(structure, path)| symbols.field(structure, path).ok()).collect()
    }

    /// What these builds agree on; `all` must have it.
    fn outcome(
        &self,
        judgement: Judgement,
        neighbours: &Neighbours<'_>,
        from: &[Neighbour<'_>],
        all: &[Neighbour<'_>],
    ) -> Outcome {
        let mut types = Vec::new();
        for structure in self.structures {
            let has = |one: Neighbour<'_>| one.symbols.size_of(structure).is_ok();
            // One that came or went between these builds is in this one if it is in those next to it.
            if !all.iter().all(|one| has(*one)) && !neighbours.lasting(has) {
                continue;
            }
            let all: Vec<Neighbour<'_>> = all.iter().copied().filter(|one| has(*one)).collect();
            let sizes: BTreeSet<u64> = all.iter().filter_map(|one| one.symbols.size_of(structure).ok()).collect();
            let Some(size) = sizes.last().copied() else { continue };
            if EXACT.contains(structure) && sizes.len() > 1 {
                continue;
            }
            let mut fields = HashMap::new();
            let mut left_out = Vec::new();
            for (_, path) in self.fields.iter().filter(|(of, _)| of == structure) {
                let mut places = all.iter().map(|one| one.symbols.field(structure, path).ok());
                match places.next().flatten() {
                    Some(first) if places.all(|other| other.as_ref().is_some_and(|other| same(other, &first))) => {
                        fields.insert((*path).to_owned(), FieldInfo { structure: None, ..first });
                    }
                    Some(_) => left_out.push(*path),
                    None if all.iter().any(|one| one.symbols.field(structure, path).is_ok()) => left_out.push(*path),
                    None => {}
                }
            }
            types.push((*structure, TypeInfo { size, fields }, left_out));
        }
        Outcome { judgement, builds: from.iter().map(|one| one.build).collect(), types }
    }
}

/// Whether two builds have a field at one place; what type headers call an embedded structure may differ.
fn same(one: &FieldInfo, other: &FieldInfo) -> bool {
    one.offset == other.offset && one.bits == other.bits && one.size == other.size
}

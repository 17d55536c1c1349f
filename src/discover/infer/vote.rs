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
    /// Whether the image has enough of them to tell sizes.
    pub sized: bool,
    /// Whether they may be taken unseen where they never changed, as far as is known: nothing in an image shows them.
    pub unseen: bool,
}

/// How a vote came out.
pub(super) struct Outcome {
    /// Whether the image said yes, or nothing.
    pub judgement: Judgement,
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
            return self.outcome(Judgement::Held, neighbours, &held);
        }
        if failed || silent.is_empty() || !self.unseen {
            return Outcome { judgement: Judgement::Failed, types: Vec::new() };
        }
        // Nothing is proven: only what never changed, as far as is known, and was there before.
        self.outcome(Judgement::Silent, neighbours, neighbours.all())
    }

    fn shape(&self, symbols: &Symbols) -> Shape {
        let fields = self.fields.iter().filter(|(structure, _)| self.structures.contains(structure));
        fields.map(|(structure, path)| symbols.field(structure, path).ok()).collect()
    }

    /// What these builds agree on; `all` must have it.
    fn outcome(&self, judgement: Judgement, neighbours: &Neighbours<'_>, all: &[Neighbour<'_>]) -> Outcome {
        let mut types = Vec::new();
        for structure in self.structures {
            let has = |one: Neighbour<'_>| one.symbols.size_of(structure).is_ok();
            // One that came or went between these builds is in this one if it is in those next to it.
            if !all.iter().all(|one| has(*one)) && !neighbours.lasting(has) {
                continue;
            }
            let all: Vec<Neighbour<'_>> = all.iter().copied().filter(|one| has(*one)).collect();
            // Where those that held differ, the ones next to this build decide, if they are among them and agree.
            let adjacent: Vec<Neighbour<'_>> = neighbours.adjacent();
            let among = |one: &Neighbour<'_>| all.iter().any(|other| std::ptr::eq(other.symbols, one.symbols));
            let deciding = judgement == Judgement::Held && adjacent.len() >= 2 && adjacent.iter().all(among);
            let sizes: BTreeSet<u64> = all.iter().filter_map(|one| one.symbols.size_of(structure).ok()).collect();
            let Some(mut size) = sizes.last().copied() else { continue };
            if EXACT.contains(structure) && (sizes.len() > 1 || !self.sized) {
                let near: BTreeSet<u64> =
                    adjacent.iter().filter_map(|one| one.symbols.size_of(structure).ok()).collect();
                match near.first() {
                    Some(only) if deciding && near.len() == 1 => size = *only,
                    _ => continue,
                }
            }
            let mut fields = HashMap::new();
            let mut left_out = Vec::new();
            for (_, path) in self.fields.iter().filter(|(of, _)| of == structure) {
                let place = |one: Neighbour<'_>| one.symbols.field(structure, path).ok();
                let places: Vec<FieldInfo> = all.iter().filter_map(|one| place(*one)).collect();
                let Some((first, rest)) = places.split_first() else { continue };
                let there = places.len() == all.len() || neighbours.lasting(|one| place(one).is_some());
                if there && rest.iter().all(|other| same(other, first)) {
                    fields.insert((*path).to_owned(), FieldInfo { structure: None, ..first.clone() });
                    continue;
                }
                let near: Vec<FieldInfo> = adjacent.iter().filter_map(|one| place(*one)).collect();
                match near.split_first() {
                    Some((first, rest))
                        if deciding && near.len() == adjacent.len() && rest.iter().all(|other| same(other, first)) =>
                    {
                        fields.insert((*path).to_owned(), FieldInfo { structure: None, ..first.clone() });
                    }
                    _ => left_out.push(*path),
                }
            }
            types.push((*structure, TypeInfo { size, fields }, left_out));
        }
        Outcome { judgement, types }
    }
}

/// Whether two builds have a field at one place; what type headers call an embedded structure may differ.
fn same(one: &FieldInfo, other: &FieldInfo) -> bool {
    one.offset == other.offset && one.bits == other.bits && one.size == other.size
}

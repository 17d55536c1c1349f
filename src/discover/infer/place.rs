//! Where the fields of one structure are put: what the image proves, and what lies between proven fields as it does in the
//! builds around this one.

use crate::symbols::{FieldInfo, Symbols, TypeInfo};
use std::collections::{BTreeSet, HashMap};

/// The layouts of another build.
#[derive(Clone, Copy, Debug)]
pub(super) struct Neighbour<'n> {
    /// Its number.
    pub build: u32,
    /// Its types.
    pub symbols: &'n Symbols,
}

/// The builds whose layouts are known, and the one whose are not.
#[derive(Clone, Debug)]
pub(super) struct Neighbours<'n> {
    /// The build that is looked at.
    build: u32,
    /// The others, nearest first.
    all: Vec<Neighbour<'n>>,
}

/// Fields between proven ones are placed by this many builds on each side.
const NEAREST: usize = 2;

impl<'n> Neighbours<'n> {
    /// Sorts them by how near they are.
    pub fn new(build: u32, all: &'n [(u32, Symbols)]) -> Self {
        let mut all: Vec<_> = all.iter().map(|(build, symbols)| Neighbour { build: *build, symbols }).collect();
        all.sort_by_key(|neighbour| (neighbour.build.abs_diff(build), neighbour.build));
        Self { build, all }
    }

    /// All, nearest first.
    pub fn all(&self) -> &[Neighbour<'n>] {
        &self.all
    }

    /// The ones that came before and at the same time, nearest first.
    fn older(&self) -> impl Iterator<Item = Neighbour<'n>> + '_ {
        self.all.iter().copied().filter(|neighbour| neighbour.build <= self.build)
    }

    /// The ones that came after and at the same time, nearest first.
    fn newer(&self) -> impl Iterator<Item = Neighbour<'n>> + '_ {
        self.all.iter().copied().filter(|neighbour| neighbour.build >= self.build)
    }

    /// Whether what `has` asks for was there before this build and, if later ones are known, is still: what came or went in
    /// between may be missing from it.
    pub fn lasting(&self, has: impl Fn(Neighbour<'n>) -> bool) -> bool {
        self.older().next().is_some_and(&has) && self.newer().next().is_none_or(has)
    }

    /// The ones next to it: one on each side, or the last two where there is none after it.
    pub fn adjacent(&self) -> Vec<Neighbour<'n>> {
        let mut adjacent: Vec<_> = self.older().take(1).chain(self.newer().take(1)).collect();
        if self.newer().next().is_none() {
            let last = adjacent.first().map(|one| one.build);
            adjacent.extend(self.older().find(|one| Some(one.build) != last));
        }
        adjacent
    }

    /// The nearest few on each side.
    fn nearest(&self) -> impl Iterator<Item = Neighbour<'n>> + '_ {
        self.older().take(NEAREST).chain(self.newer().take(NEAREST))
    }
}

/// A structure whose fields are being placed.
#[derive(Debug)]
pub(super) struct Placer<'p, 'n> {
    structure: &'static str,
    neighbours: &'p Neighbours<'n>,
    /// Proven fields, by all their names, and where they are.
    anchors: Vec<(&'static [&'static str], u64)>,
    fields: HashMap<String, FieldInfo>,
    /// Fields by their first name: proven where the nearest build has them, or elsewhere; placed by others; left out.
    pub proven: Vec<&'static str>,
    pub moved: Vec<&'static str>,
    pub placed: Vec<&'static str>,
    pub dropped: Vec<&'static str>,
}

impl<'p, 'n> Placer<'p, 'n> {
    /// Nothing is placed yet; the start of a structure is where it is in every build.
    pub fn new(structure: &'static str, neighbours: &'p Neighbours<'n>) -> Self {
        Self {
            structure,
            neighbours,
            anchors: Vec::new(),
            fields: HashMap::new(),
            proven: Vec::new(),
            moved: Vec::new(),
            placed: Vec::new(),
            dropped: Vec::new(),
        }
    }

    /// A field in another build, by the first of its names that it has there.
    fn in_build(&self, neighbour: Neighbour<'n>, paths: &[&'static str]) -> Option<(&'static str, FieldInfo)> {
        let found = |path: &&'static str| Some((*path, neighbour.symbols.field(self.structure, path).ok()?));
        paths.iter().find_map(found)
    }

    /// How far the proven field is that lies nearest to `offset` in another build, moved from there to here.
    fn nearest_shift(&self, neighbour: Neighbour<'n>, offset: u64) -> Option<i64> {
        let shifts = self.anchors.iter().filter_map(|(paths, here)| {
            let (_, there) = self.in_build(neighbour, paths)?;
            Some((there.offset.abs_diff(offset), shift(there.offset, *here)?))
        });
        shifts.min().map(|(_, shift)| shift)
    }

    /// No field lies behind this: where the largest of the builds around this one ends, and some more.
    pub fn limit(&self) -> u64 {
        const MORE: u64 = 0x100;
        let sizes = self.neighbours.nearest().filter_map(|one| one.symbols.size_of(self.structure).ok());
        sizes.max().unwrap_or(0).saturating_add(MORE)
    }

    /// The last of the proven fields.
    pub fn last(&self) -> u64 {
        self.anchors.iter().map(|(_, at)| *at).max().unwrap_or(0)
    }

    /// Where other builds have a field, moved like the proven field next to it.
    pub fn expected(&self, paths: &[&'static str]) -> BTreeSet<u64> {
        let place = |neighbour: &Neighbour<'n>| {
            let (_, there) = self.in_build(*neighbour, paths)?;
            there.offset.checked_add_signed(self.nearest_shift(*neighbour, there.offset).unwrap_or(0))
        };
        self.neighbours.nearest().filter_map(|neighbour| place(&neighbour)).collect()
    }

    /// Takes the one place where a field was found by value; of several, the one where other builds would have it. `size` is
    /// what it takes where no other build says.
    pub fn prove(&mut self, paths: &'static [&'static str], size: u64, found: &[u64]) -> Option<u64> {
        let expected = self.expected(paths);
        let at = match found {
            [only] => *only,
            _ => {
                let likely: Vec<u64> = found.iter().copied().filter(|at| expected.contains(at)).collect();
                match likely[..] {
                    [only] => only,
                    _ => return None,
                }
            }
        };
        let known = self.neighbours.all.iter().find_map(|neighbour| self.in_build(*neighbour, paths));
        let first = *paths.first()?;
        let (path, info) = known.map_or_else(
            || (first, FieldInfo { offset: at, size, bits: None, structure: None }),
            |(path, info)| {
                if info.offset == at { &mut self.proven } else { &mut self.moved }.push(first);
                (path, info)
            },
        );
        self.put(path, FieldInfo { offset: at, ..info });
        self.anchors.push((paths, at));
        Some(at)
    }

    /// Where a field lies between two proven ones that moved alike from other builds to here. `None`: no build places it, or
    /// two place it differently, or it may not be in this build.
    pub fn between(&self, paths: &'static [&'static str]) -> Option<(&'static str, FieldInfo)> {
        let name = self.lasting(paths)?;
        self.agreed(name, paths, |placer, neighbour, offset| {
            let mut below = Some((0, 0));
            let mut above = None;
            for (anchor, here) in &placer.anchors {
                let Some((_, there)) = placer.in_build(neighbour, anchor) else { continue };
                let shift = shift(there.offset, *here)?;
                if there.offset <= offset && below.is_none_or(|(at, _)| at <= there.offset) {
                    below = Some((there.offset, shift));
                } else if there.offset > offset && above.is_none_or(|(at, _)| at > there.offset) {
                    above = Some((there.offset, shift));
                }
            }
            let ((_, below), (_, above)) = below.zip(above)?;
            (below == above).then_some(below)
        })
    }

    /// Where a field lies that has the same distance, of at most `reach` bytes, from a proven one in the builds next to this.
    pub fn beside(
        &self,
        paths: &'static [&'static str],
        anchor: &'static str,
        reach: u64,
    ) -> Option<(&'static str, FieldInfo)> {
        let (anchor, here) = self.anchors.iter().find(|(paths, _)| paths.first() == Some(&anchor))?;
        self.lasting(paths)?;
        let both = self.neighbours.nearest().filter_map(|neighbour| {
            let (path, info) = self.in_build(neighbour, paths)?;
            let (_, there) = self.in_build(neighbour, anchor)?;
            Some((path, there.offset, info))
        });
        let mut placed = both.map(|(path, there, info)| {
            let shift = shift(there, *here)?;
            let near = info.offset.abs_diff(there) <= reach;
            let info = FieldInfo { offset: info.offset.checked_add_signed(shift)?, structure: None, ..info };
            near.then_some((path, info))
        });
        let first = placed.next()??;
        placed.all(|other| other.as_ref() == Some(&first)).then_some(first)
    }

    /// The name of a field that is there in the builds next to this one, if both call it the same.
    fn lasting(&self, paths: &[&'static str]) -> Option<&'static str> {
        let name = |neighbour| self.in_build(neighbour, paths).map(|(path, _)| path);
        let names: BTreeSet<_> =
            self.neighbours.older().take(1).chain(self.neighbours.newer().take(1)).map(name).collect();
        let lasting = self.neighbours.lasting(|neighbour| name(neighbour).is_some()) && names.len() == 1;
        names.into_iter().next().flatten().filter(|_| lasting)
    }

    /// Where a field is in the builds next to this one, if it is at one place in all of them.
    pub fn steady(&self, paths: &'static [&'static str]) -> Option<(&'static str, FieldInfo)> {
        let name = self.lasting(paths)?;
        self.agreed(name, paths, |_, _, _| Some(0))
    }

    fn agreed(
        &self,
        name: &'static str,
        paths: &[&'static str],
        shift: impl Fn(&Self, Neighbour<'n>, u64) -> Option<i64>,
    ) -> Option<(&'static str, FieldInfo)> {
        let mut placed = self.neighbours.nearest().filter_map(|neighbour| {
            let (path, info) = self.in_build(neighbour, paths).filter(|(path, _)| *path == name)?;
            let offset = info.offset.checked_add_signed(shift(self, neighbour, info.offset)?)?;
            Some((path, FieldInfo { offset, structure: None, ..info }))
        });
        let first = placed.next()?;
        placed.all(|other| other == first).then_some(first)
    }

    /// Puts a field.
    pub fn put(&mut self, path: &'static str, info: FieldInfo) {
        self.fields.insert(path.to_owned(), FieldInfo { structure: None, ..info });
    }

    /// Puts a field that others place, if there is one and it is `plausible`.
    pub fn place(
        &mut self,
        first: &'static str,
        field: Option<(&'static str, FieldInfo)>,
        plausible: impl FnOnce(&FieldInfo) -> bool,
    ) {
        match field.filter(|(_, info)| plausible(info)) {
            Some((path, info)) => {
                self.placed.push(first);
                self.put(path, info);
            }
            None => self.dropped.push(first),
        }
    }

    /// The structure. Its size is that of the nearest build, moved like its last proven field: a bound for reading.
    pub fn finish(self) -> (Report, TypeInfo) {
        let nearest = self.neighbours.all.iter().find_map(|neighbour| {
            let size = neighbour.symbols.size_of(self.structure).ok()?;
            size.checked_add_signed(self.nearest_shift(*neighbour, size)?)
        });
        let end = self.fields.values().map(|field| field.offset.saturating_add(field.size)).max().unwrap_or(0);
        let size = nearest.unwrap_or(0).max(end);
        let near = self.neighbours.all.first().map(|neighbour| neighbour.build);
        let report = Report {
            structure: self.structure,
            near,
            proven: self.proven,
            moved: self.moved,
            placed: self.placed,
            dropped: self.dropped,
        };
        (report, TypeInfo { size, fields: self.fields })
    }
}

/// How far it is from one offset to another.
fn shift(from: u64, to: u64) -> Option<i64> {
    i64::try_from(to).ok()?.checked_sub(i64::try_from(from).ok()?)
}

/// What became of a structure's fields.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub structure: &'static str,
    pub near: Option<u32>,
    pub proven: Vec<&'static str>,
    pub moved: Vec<&'static str>,
    pub placed: Vec<&'static str>,
    pub dropped: Vec<&'static str>,
}

//! What has been inferred so far, with an account of it.

use super::ground::Ground;
use super::judge::Judgement;
use super::place::{Neighbours, Report};
use super::scene::Scene;
use super::vote::Outcome;
use super::{Inferred, process};
use crate::VirtualAddress;
use crate::symbols::{SymbolSource, Symbols, TypeInfo};

/// See [`Inferred`].
pub(super) struct Work<'s, 'm> {
    scene: &'s Scene<'m>,
    done: Inferred,
    /// Structures that are as other builds have them: confirmed by the image, or as in every build.
    confirmed: Vec<&'static str>,
    unseen: Vec<&'static str>,
    /// Structures that no known layout fits.
    lost: Vec<&'static str>,
}

impl<'s, 'm> Work<'s, 'm> {
    /// Nothing but what the scene has: the head of the process list.
    pub fn new(scene: &'s Scene<'m>) -> Self {
        let symbols = Symbols::new(SymbolSource::Heuristic, None);
        let done = Inferred { symbols, notes: Vec::new(), proven: 0, placed: 0, dropped: 0 };
        let mut work = Self { scene, done, confirmed: Vec::new(), unseen: Vec::new(), lost: Vec::new() };
        work.global("PsActiveProcessHead", scene.head);
        work
    }

    /// The structures so far.
    pub const fn symbols(&self) -> &Symbols {
        &self.done.symbols
    }

    /// Everything.
    pub fn finish(mut self) -> Inferred {
        for (what, structures) in [
            ("as in other builds, confirmed by the image", self.confirmed),
            ("not confirmed, the same in every build that is known", self.unseen),
            ("left out, no known layout is confirmed by the image", self.lost),
        ] {
            if !structures.is_empty() {
                self.done.notes.push(format!("{what}: {}", structures.join(", ")));
            }
        }
        self.done
    }

    fn add(&mut self, structure: &str, info: TypeInfo) {
        let symbols = std::mem::take(&mut self.done.symbols);
        self.done.symbols = symbols.with_type(structure, info);
    }

    /// Adds a global that lies in the kernel's image.
    pub fn global(&mut self, name: &str, at: VirtualAddress) {
        let symbols = std::mem::take(&mut self.done.symbols);
        self.done.symbols = symbols.with_global(name, at.0.wrapping_sub(self.scene.base.0));
    }

    /// Adds a structure that was put together field by field.
    pub fn placed(&mut self, report: &Report, info: TypeInfo) {
        let count = |sum: &mut usize, fields: &[&str]| *sum = sum.saturating_add(fields.len());
        count(&mut self.done.proven, &report.proven);
        count(&mut self.done.proven, &report.moved);
        count(&mut self.done.placed, &report.placed);
        count(&mut self.done.dropped, &report.dropped);
        let near = report.near.map_or_else(String::new, |build| format!(" (nearest build {build})"));
        let mut note = format!(
            "{}: {} fields proven by values, {} of them elsewhere than in the nearest build{near}",
            report.structure,
            report.proven.len().saturating_add(report.moved.len()),
            report.moved.len(),
        );
        for (what, fields) in [("placed between these", &report.placed), ("left out", &report.dropped)] {
            if !fields.is_empty() {
                note.push_str(&format!("; {what}: {}", fields.join(", ")));
            }
        }
        self.done.notes.push(note);
        self.add(report.structure, info);
    }

    /// Adds a structure that values alone gave.
    pub fn found(&mut self, structure: &str, info: TypeInfo) {
        self.done.proven = self.done.proven.saturating_add(info.fields.len());
        self.done.notes.push(format!("{structure}: {} fields proven by values", info.fields.len()));
        self.add(structure, info);
    }

    /// Adds structures that were taken from other builds, but those that are there already.
    pub fn voted(&mut self, structures: &[&'static str], outcome: Outcome) {
        let Outcome { judgement, types } = outcome;
        for structure in structures {
            if self.done.symbols.size_of(structure).is_ok() {
                continue;
            }
            let Some((_, info, left_out)) = types.iter().find(|(name, ..)| name == structure) else {
                self.lost.push(structure);
                continue;
            };
            let (count, names) = match judgement {
                Judgement::Held => (&mut self.done.proven, &mut self.confirmed),
                _ => (&mut self.done.placed, &mut self.unseen),
            };
            *count = count.saturating_add(info.fields.len());
            names.push(structure);
            self.done.dropped = self.done.dropped.saturating_add(left_out.len());
            if !left_out.is_empty() {
                let left_out = left_out.join(", ");
                self.done.notes.push(format!("{structure}: left out, as builds differ: {left_out}"));
            }
            self.add(structure, info.clone());
        }
    }

    /// `_KPROCESS` has no field that is read but its size, which its dispatcher header says in units of 4 bytes, cut to 8
    /// bits: the one of the sizes in other builds, moved like the process id behind it, that has these bits.
    pub fn kprocess(&mut self, ground: Ground<'_, '_>, neighbours: &Neighbours<'_>) {
        let size_at = self.done.symbols.field("_EPROCESS", "Pcb.Header.Size").ok();
        let size = size_at.filter(|field| process::header_size(ground, field.offset) == Judgement::Held);
        let said = size.and_then(|field| ground.system()?.get::<u8>(field.offset));
        let fits = said.and_then(|said| {
            neighbours.all().iter().find_map(|neighbour| {
                let size = neighbour.symbols.size_of("_KPROCESS").ok()?;
                let id = neighbour.symbols.field("_EPROCESS", "UniqueProcessId").ok()?.offset;
                let size = ground.scene.pid.checked_sub(id.checked_sub(size)?)?;
                (size.is_multiple_of(8) && (size / 4) & 0xff == u64::from(said)).then_some(size)
            })
        });
        match fits {
            Some(size) => {
                self.done.notes.push(format!("_KPROCESS: {size:#x} bytes, as its dispatcher header says"));
                self.add("_KPROCESS", TypeInfo { size, ..TypeInfo::default() });
            }
            None => self.done.notes.push("_KPROCESS: left out, its dispatcher header does not say its size".to_owned()),
        }
    }
}

//! Where the layouts of a kernel come from, best first: files of this very kernel, the table in the crate by its PDB, the same
//! by its build number, and other builds' layouts corrected by what the image proves.

use super::exports;
use super::globals::{self, FoundGlobals};
use super::infer::{self, Confirmation};
use super::kuser::SharedData;
use super::layouts::Layouts;
use crate::image::DumpHeader;
use crate::memory::AddressSpace;
use crate::symbols::{
    PackedKernel, SymbolError, SymbolSource, SymbolStore, Symbols, Trust, built_in, disagreements as differences,
};
use crate::{Error, PdbInfo, VirtualAddress, Warning};

/// What is known of a kernel that was found.
pub(super) struct Known {
    pub symbols: Symbols,
    pub warnings: Vec<Warning>,
    /// The mask of entries that are not present, where the page tables showed it.
    pub invalid_pte_mask: Option<u64>,
}

/// A kernel of which no file is there.
#[derive(Clone, Copy)]
pub(super) struct Sought<'m, 's> {
    pub space: AddressSpace<'m>,
    pub base: VirtualAddress,
    pub header: Option<&'s DumpHeader>,
    pub shared: Option<&'s SharedData>,
}

/// Vista: what is older has little in common with the systems that are read.
const OLDEST: u32 = 6000;
/// Of eight invariants one may fail on layouts of the right build: what was tampered with fails too.
const FAILURES: usize = 8;

/// Disagreements that are named one by one; there are few, or all is wrong.
const MAX_NAMED: usize = 8;

/// What a file says of this very kernel and the table in the crate says otherwise. One of them is wrong: the file may have
/// been made to mislead.
fn disagreements(symbols: &Symbols, pdb: &PdbInfo) -> Vec<Warning> {
    let wanted = Layouts::wanted();
    if !matches!(symbols.source, SymbolSource::Pdb | SymbolSource::Isf) {
        return Vec::new();
    }
    let Ok(Some(known)) = built_in().find(pdb, &wanted) else { return Vec::new() };
    let all = differences(symbols, &known, &wanted);
    let file = symbols.file.as_ref().map_or_else(String::new, |file| file.display().to_string());
    let mut warnings: Vec<Warning> = all
        .iter()
        .take(MAX_NAMED)
        .map(|what| {
            Warning::new("symbols", format!("{file} and the built-in table disagree, the file is used: {what}"))
        })
        .collect();
    if let Some(more) = all.len().checked_sub(MAX_NAMED).filter(|more| *more > 0) {
        warnings.push(Warning::new("symbols", format!("{file} and the built-in table disagree in {more} more places")));
    }
    warnings
}

/// What is to be said of symbols of this very kernel.
pub(super) fn of_file(symbols: &Symbols, pdb: &PdbInfo) -> Vec<Warning> {
    let unusable =
        symbols.notes.iter().map(|note| Warning::new("symbols", format!("{note}; the built-in table is used")));
    unusable.chain(disagreements(symbols, pdb)).collect()
}

/// The build whose kernel an enablement package leaves in place, with another number on it.
const fn without_package(build: u32) -> u32 {
    match build {
        18363 => 18362,
        19042..=19045 => 19041,
        22631 => 22621,
        26200 => 26100,
        other => other,
    }
}

/// Layouts of a kernel of which there is no file and that is not in the table: by its build number, or corrected by what the
/// image proves, as far as the store trusts such.
///
/// # Errors
/// `missing`, with what was tried beside it.
pub(super) fn from_image(
    sought: Sought<'_, '_>,
    pdb: &PdbInfo,
    store: &SymbolStore,
    missing: SymbolError,
) -> Result<Known, Error> {
    let mut tried = Vec::new();
    let build = sought.build();
    if store.trusted() >= Trust::Build {
        match by_build(sought, store, build) {
            Ok(known) => return Ok(known.named(pdb, &missing)),
            Err(why) => tried.push(format!("built-in table: {why}")),
        }
    } else {
        tried
            .push("built-in table: no kernel of this GUID; layouts by build number are not trusted (exact)".to_owned());
    }
    if store.trusted() >= Trust::Any {
        match by_neighbours(sought, store) {
            Ok(known) => return Ok(known.named(pdb, &missing)),
            Err(why) => tried.push(format!("other builds' layouts, corrected by the image: {why}")),
        }
    } else if store.trusted() == Trust::Build {
        tried.push("other builds' layouts, corrected by the image: not trusted (build)".to_owned());
    }
    Err(match missing {
        SymbolError::Missing { needed, tried: mut places } => {
            places.extend(tried);
            SymbolError::Missing { needed, tried: places }.into()
        }
        other => other.into(),
    })
}

impl Known {
    /// The same for the kernel that the CodeView record names; a file that was named and could not be used is told, and a
    /// server that was asked in vain.
    fn named(mut self, pdb: &PdbInfo, missing: &SymbolError) -> Self {
        self.symbols.pdb = Some(pdb.clone());
        let told = match missing {
            SymbolError::Missing { tried, .. } => tried.iter().filter(|place| is_answer(place)).cloned().collect(),
            other => vec![other.to_string()],
        };
        self.warnings.splice(0..0, told.into_iter().map(|why| Warning::new("symbols", why)));
        self
    }
}

/// Whether what was tried is a server's answer.
fn is_answer(place: &str) -> bool {
    (place.starts_with("https://") || place.starts_with("http://")) && !place.contains("not asked")
}

impl Sought<'_, '_> {
    /// `NtBuildNumber` by the export, which is the kernel's own: the shared page counts enablement packages. `None`: neither
    /// can be read.
    fn build(&self) -> Option<u32> {
        let exported = exports::find(self.space, self.base, &["NtBuildNumber"]).into_values().next();
        let number = exported.and_then(|at| self.space.read_u32(at).ok());
        // 0xF: free build, 0xC: checked build.
        let own = number.filter(|number| matches!(number >> 28, 0xc | 0xf)).map(|number| number & 0xffff);
        own.or_else(|| self.shared.map(|shared| shared.build & 0xffff).filter(|build| *build != 0))
    }

    /// System's `_EPROCESS`, where the export leads.
    fn system(&self) -> Option<VirtualAddress> {
        let exported = exports::find(self.space, self.base, &["PsInitialSystemProcess"]).into_values().next();
        let system = self.space.read_pointer(exported?).ok()?;
        system.is_kernel().then_some(system)
    }

    /// The globals, given types; and System, where the export does not say it.
    fn globals(&self, types: &Symbols) -> Option<(FoundGlobals, VirtualAddress)> {
        let layouts = Layouts::resolve(types).ok()?;
        let found = globals::find(self.space, self.base, &layouts, self.header);
        let pointer = |name: &str| self.space.read_pointer(found.globals.get(name)?.address).ok();
        let first = || Some(pointer("PsActiveProcessHead")?.wrapping_sub(layouts.process.links.offset));
        let system = pointer("PsInitialSystemProcess").or_else(first)?;
        Some((found, system))
    }

    /// Takes the globals that the image tells into the symbols.
    fn complete(&self, mut symbols: Symbols, mut notes: Vec<String>) -> Result<Known, String> {
        let (found, _) = self.globals(&symbols).ok_or("the image does not tell where the list of processes starts")?;
        for (name, global) in &found.globals {
            let origins: Vec<String> = global.origins.iter().map(ToString::to_string).collect();
            notes.push(format!("{name}: {} by {}", global.address, origins.join(", ")));
            symbols = symbols.with_global(name, global.address.0.wrapping_sub(self.base.0));
        }
        if symbols.global("PsActiveProcessHead").is_err() {
            return Err("the head of the process list is not to be found in the kernel's data".into());
        }
        symbols.notes.extend(notes);
        Ok(Known { symbols, warnings: found.warnings, invalid_pte_mask: found.invalid_pte_mask })
    }
}

/// Layouts of the kernel's own build, whichever of its updates the image confirms best.
fn by_build(sought: Sought<'_, '_>, store: &SymbolStore, build: Option<u32>) -> Result<Known, String> {
    let build = build.ok_or("the build number cannot be read")?;
    let of = |build: u32| store.builds(&Layouts::wanted(), |known| known == build).map_err(|error| error.to_string());
    let (mut build, mut candidates) = (build, of(build)?);
    if candidates.is_empty() {
        // The number may be the package's.
        let own = without_package(build);
        candidates = of(own)?;
        if candidates.is_empty() {
            return Err(format!("no kernel of this GUID, and none of build {build}"));
        }
        build = own;
    }
    let exported = sought.system();
    let mut judged: Vec<(Confirmation, PackedKernel, Symbols)> = candidates
        .into_iter()
        .filter_map(|(kernel, symbols)| {
            let system = exported.or_else(|| sought.globals(&symbols).map(|(_, system)| system))?;
            Some((infer::confirm(sought.space, sought.base, system, &symbols), kernel, symbols))
        })
        .collect();
    judged.sort_by_key(|(confirmation, _, _)| {
        (confirmation.failed.len(), usize::MAX.wrapping_sub(confirmation.held.len()))
    });
    let mut judged = judged.into_iter();
    let (best, kernel, mut symbols) = judged.next().ok_or("the image does not lead to System")?;
    if best.failed.len().saturating_mul(FAILURES) > best.held.len() || best.held.is_empty() {
        return Err(format!("build {build} is in it, and the image does not confirm it: {}", best.failed.join("; ")));
    }
    let total = best.held.len().saturating_add(best.failed.len());
    let mut notes = vec![format!(
        "layouts of build {build} ({}), of which the image confirms {} of {total} that it can tell",
        kernel.source,
        best.held.len()
    )];
    // Updates of one build that the image cannot tell apart: what they have in different places is not known.
    let wanted = Layouts::wanted();
    for (_, _, types) in judged.take_while(|(other, _, _)| as_good(other, &best)) {
        for (structure, path) in &wanted.fields {
            let place = |of: &Symbols| of.field(structure, path).ok();
            if place(&symbols).is_some() && place(&symbols) != place(&types) {
                notes.push(format!("{structure}.{path}: left out, updates of build {build} differ"));
                symbols = symbols.without_field(structure, path);
            }
        }
    }
    let mut known = sought.complete(symbols, notes)?;
    known.symbols.source = SymbolSource::BuiltIn;
    if !best.failed.is_empty() {
        let failed = best.failed.join("; ");
        let message = format!(
            "layouts of build {build} are used, of which the image contradicts: {failed}. What rests on these \
             is doubtful; `ntmem symbols` says which PDB would settle it"
        );
        known.warnings.push(Warning::new("symbols", message));
    }
    Ok(known)
}

fn as_good(other: &Confirmation, best: &Confirmation) -> bool {
    (other.failed.len(), other.held.len()) == (best.failed.len(), best.held.len())
}

/// Layouts of other builds, corrected.
fn by_neighbours(sought: Sought<'_, '_>, store: &SymbolStore) -> Result<Known, String> {
    let system = sought.system().ok_or("the kernel's export PsInitialSystemProcess cannot be read")?;
    let known = store.builds(&Layouts::wanted(), |build| build >= OLDEST).map_err(|error| error.to_string())?;
    if known.is_empty() {
        return Err("there are none".into());
    }
    let others: Vec<(u32, Symbols)> =
        known.into_iter().filter_map(|(kernel, symbols)| Some((kernel.build?, symbols))).collect();
    let inferred = infer::infer(sought.space, sought.base, system, &others)
        .ok_or("the processes of this image do not show where the fields of _EPROCESS lie")?;
    let mut known = sought.complete(inferred.symbols, inferred.notes)?;
    known.symbols.source = SymbolSource::Heuristic;
    let (proven, placed, dropped) = (inferred.proven, inferred.placed, inferred.dropped);
    let message = format!(
        "this kernel is not known: layouts were worked out from the image ({proven} fields proven by their values, {placed} \
         placed between these, {dropped} left out). `ntmem symbols` says which PDB would settle them"
    );
    known.warnings.insert(0, Warning::new("symbols", message));
    Ok(known)
}

//! Where the layouts of a kernel come from, best first: files of this very kernel, the table in the crate by its PDB, the same
//! by its build number, and other builds' layouts corrected by what the image proves.

use super::data::KernelData;
use super::globals::{self, Mask};
use super::infer::{self, Confirmation, Judgement, Witness};
use crate::image::Hints;
use crate::kernel::find::exports;
use crate::kernel::find::kuser::SharedData;
use crate::kernel::layouts::Layouts;
use crate::memory::AddressSpace;
use crate::symbols::{
    FieldInfo, SymbolError, SymbolSource, SymbolStore, Symbols, Trust, built_in, disagreements as differences,
};
use crate::{Error, PdbInfo, VirtualAddress, Warning};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// What is known of a kernel that was found.
pub(crate) struct Known {
    pub symbols: Symbols,
    pub warnings: Vec<Warning>,
    /// What the image shows of the mask of entries that are not present, where no symbols of this very kernel tell it.
    pub mask: Option<Mask>,
}

/// Where a kernel is.
#[derive(Clone, Copy)]
pub(crate) struct Place<'m, 's> {
    pub space: AddressSpace<'m>,
    pub base: VirtualAddress,
    pub header: Option<&'s Hints>,
    pub shared: Option<&'s SharedData>,
}

/// A kernel of which no file is there, with what the image tells of it without any layouts.
pub(crate) struct Sought<'m, 's> {
    space: AddressSpace<'m>,
    header: Option<&'s Hints>,
    data: KernelData,
    /// Its build, by whoever says something of it, the kernel itself first.
    numbers: Vec<u32>,
    /// What layouts are held against. `None`: the image does not lead to System and the list of processes.
    witness: Option<Witness<'m>>,
}

/// Releases that are no more than a few files on top of an older one, and have its kernel: Microsoft calls them enablement
/// packages (19042 to 19045, 22631, 26200), and numbers previews and editions between these alike.
const SAME_KERNEL: [RangeInclusive<u32>; 5] =
    [18362..=18363, 19041..=19045, 20348..=20349, 22621..=22635, 26100..=26220];
/// Whether two build numbers may stand for the same kernel.
pub(crate) fn same_kernel(one: u32, other: u32) -> bool {
    one == other || SAME_KERNEL.iter().any(|range| range.contains(&one) && range.contains(&other))
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

/// Symbols of a kernel without a CodeView record, so that nothing names its PDB: of a file that the caller names, if they lead to
/// System, else as for a kernel that nobody knows.
///
/// # Errors
/// What was tried.
pub(crate) fn nameless(store: &SymbolStore, place: Place<'_, '_>) -> Result<Known, Error> {
    let mut tried = Vec::new();
    for found in store.by_hand(&Layouts::wanted()) {
        match found {
            Ok(symbols) if place.leads_to_system(&symbols) => {
                let file = symbols.file.as_ref().map_or_else(String::new, |file| file.display().to_string());
                let message = format!(
                    "the kernel names no PDB (its CodeView record is not there): {file} is used because it leads to System, and \
                     may be another build's"
                );
                let warnings = vec![Warning::new("symbols", message)];
                return Ok(Known { symbols, warnings, mask: None });
            }
            Ok(symbols) => {
                let file = symbols.file.as_ref().map_or_else(String::new, |file| file.display().to_string());
                tried.push(format!("{file}: does not lead to System in this image"));
            }
            Err(error) => tried.push(error.of_file()),
        }
    }
    let mut known = from_image(&Sought::new(place), None, store, SymbolError::Nameless { tried })?;
    let message =
        "the kernel names no PDB (its CodeView record is not there): it cannot be told which symbols are its own";
    known.warnings.insert(0, Warning::new("symbols", message));
    Ok(known)
}

/// Symbols of the kernel that the CodeView record names. The record lies in memory: whoever wrote another's name over it leads
/// to symbols that do not fit, and then the image itself is asked.
pub(crate) fn named(symbols: Symbols, pdb: &PdbInfo, store: &SymbolStore, place: Place<'_, '_>) -> Known {
    let of_file = |symbols: Symbols| {
        let unusable =
            symbols.notes.iter().map(|note| Warning::new("symbols", format!("{note}; the built-in table is used")));
        let warnings = unusable.chain(disagreements(&symbols, pdb)).collect();
        Known { symbols, warnings, mask: None }
    };
    if place.leads_to_system(&symbols) {
        return of_file(symbols);
    }
    let sought = Sought::new(place);
    if !sought.contradicts(&symbols) {
        return of_file(symbols);
    }
    let needed = Box::new(pdb.clone());
    match from_image(&sought, Some(pdb), store, SymbolError::Missing { needed, tried: Vec::new() }) {
        Ok(mut known) => {
            let message = format!(
                "the kernel says that its PDB is {} {} age {}, and the image contradicts it: other layouts are used",
                pdb.name, pdb.guid, pdb.age
            );
            known.warnings.insert(0, Warning::new("symbols", message));
            known
        }
        Err(_) => of_file(symbols),
    }
}

/// Layouts of a kernel of which there is no file and that is not in the table: by its build number, or corrected by what the
/// image proves, as far as the store trusts such.
///
/// # Errors
/// `missing`, with what was tried beside it.
pub(crate) fn from_image(
    sought: &Sought<'_, '_>,
    pdb: Option<&PdbInfo>,
    store: &SymbolStore,
    missing: SymbolError,
) -> Result<Known, Error> {
    let mut tried = Vec::new();
    let mut number = sought.numbers.first().copied();
    if store.trusted() >= Trust::Build {
        match by_build(sought, store) {
            Ok(known) => return Ok(known.named(pdb, &missing)),
            Err(why) => {
                number = why.fits.or(number);
                tried.push(format!("built-in table: {}", why.reason));
            }
        }
    } else {
        tried
            .push("built-in table: no kernel of this GUID; layouts by build number are not trusted (exact)".to_owned());
    }
    if store.trusted() >= Trust::Any {
        match by_neighbours(sought, store, number) {
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
        SymbolError::Nameless { tried: mut places } => {
            places.extend(tried);
            SymbolError::Nameless { tried: places }.into()
        }
        other => other.into(),
    })
}

impl Known {
    /// The same for the kernel that the CodeView record names; a file that was named and could not be used is told, and a
    /// server that was asked in vain.
    fn named(mut self, pdb: Option<&PdbInfo>, missing: &SymbolError) -> Self {
        self.symbols.pdb = pdb.cloned();
        let told = match missing {
            SymbolError::Nameless { tried } => tried.clone(),
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

impl Place<'_, '_> {
    /// Whether symbols lead to a process with System's id.
    fn leads_to_system(&self, symbols: &Symbols) -> bool {
        let Ok(layouts) = Layouts::resolve(symbols) else { return false };
        let process = &layouts.process;
        let pointer = |name: &str| {
            let at = self.base.wrapping_add(symbols.global(name).ok()?);
            self.space.read_pointer(at).ok()
        };
        let first = pointer("PsActiveProcessHead").map(|entry| entry.wrapping_sub(process.links.offset));
        let mut processes = pointer("PsInitialSystemProcess").into_iter().chain(first);
        processes.any(|at| self.space.read_u64(at.wrapping_add(process.pid.offset)) == Ok(4))
    }
}

impl<'m, 's> Sought<'m, 's> {
    /// Reads what the image tells of the kernel without any layouts.
    pub(crate) fn new(Place { space, base, header, shared }: Place<'m, 's>) -> Self {
        let data = KernelData::read(space, base);
        let exports = exports::find(space, base, &["NtBuildNumber", "PsInitialSystemProcess"]);
        let number = exports.get("NtBuildNumber").and_then(|at| space.read_u32(*at).ok());
        // 0xF: free build, 0xC: checked build.
        let own = number.filter(|number| matches!(number >> 28, 0xc | 0xf)).map(|number| number & 0xffff);
        let mut numbers: Vec<u32> = own.into_iter().chain(shared.map(infer::build)).collect();
        numbers.dedup();
        let exported = exports.get("PsInitialSystemProcess").and_then(|at| space.read_pointer(*at).ok());
        let witness = exported
            .into_iter()
            .chain(infer::systems(space, &data))
            .find_map(|system| Witness::find(space, &data, system));
        Self { space, header, data, numbers, witness }
    }

    /// Whether the list of processes is elsewhere than these symbols say, or is not what they say.
    fn contradicts(&self, symbols: &Symbols) -> bool {
        self.witness.as_ref().is_some_and(|witness| {
            let head = symbols.global("PsActiveProcessHead").map(|rva| self.data.base().wrapping_add(rva));
            let Confirmation { held, failed, .. } = witness.confirm(symbols);
            head.ok() != Some(witness.head()) || failed.len().saturating_mul(FAILURES) > held.len()
        })
    }

    /// Takes the globals that the image tells into the symbols.
    fn complete(&self, mut symbols: Symbols, mut notes: Vec<String>) -> Result<Known, String> {
        let layouts = Layouts::resolve(&symbols).map_err(|error| error.to_string())?;
        let found = globals::find(self.space, &self.data, &layouts, self.header);
        // Of those that are read it is said how they were found.
        let wanted = Layouts::wanted().globals;
        let mut by_origin: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (name, global) in &found.globals {
            let origins: Vec<String> = global.origins.iter().map(ToString::to_string).collect();
            if wanted.contains(name) {
                by_origin.entry(origins.join(", ")).or_default().push(name);
            }
            symbols = symbols.with_global(name, global.address.0.wrapping_sub(self.data.base().0));
        }
        notes.extend(
            by_origin.into_iter().map(|(origins, names)| format!("globals by {origins}: {}", names.join(", "))),
        );
        if symbols.global("PsActiveProcessHead").is_err() {
            return Err("the head of the process list is not to be found in the kernel's data".into());
        }
        symbols.notes.extend(notes);
        Ok(Known { symbols, warnings: found.warnings, mask: Some(found.mask) })
    }
}

/// Why no build's layouts are taken as they are.
struct NoBuild {
    reason: String,
    /// The build whose layouts the image confirms best, where that is not the one it says it is.
    fits: Option<u32>,
}

impl<T: Into<String>> From<T> for NoBuild {
    fn from(reason: T) -> Self {
        Self { reason: reason.into(), fits: None }
    }
}

/// One build's layouts, held against the image.
struct Judged {
    confirmation: Confirmation,
    build: u32,
    /// Whose word says that it is this build: the place among the numbers, behind them if it only shares its kernel with one.
    named: usize,
    source: String,
    symbols: Symbols,
}

impl Judged {
    /// The lower the better.
    fn rank(&self) -> (usize, Reverse<usize>, usize) {
        (self.confirmation.failed.len(), Reverse(self.confirmation.held.len()), self.named)
    }
}

/// Builds in the table that `choose` takes, judged: the best first, in the order of the table where they are alike.
fn judged(
    witness: &Witness<'_>,
    store: &SymbolStore,
    numbers: &[u32],
    choose: impl Fn(u32) -> bool,
) -> Result<Vec<Judged>, String> {
    let candidates = store.builds(&Layouts::wanted(), choose).map_err(|error| error.to_string())?;
    let mut known: Vec<(Vec<Option<FieldInfo>>, Confirmation)> = Vec::new();
    let mut judged: Vec<Judged> = Vec::new();
    for (kernel, symbols) in candidates {
        let Some(build) = kernel.build else { continue };
        let shape = infer::judged_shape(&symbols);
        let confirmation = match known.iter().find(|(other, _)| *other == shape) {
            Some((_, confirmation)) => confirmation.clone(),
            None => {
                let confirmation = witness.confirm(&symbols);
                known.push((shape, confirmation.clone()));
                confirmation
            }
        };
        let named = numbers.iter().position(|number| *number == build).unwrap_or(numbers.len());
        judged.push(Judged { confirmation, build, named, source: kernel.source, symbols });
    }
    judged.sort_by_key(Judged::rank);
    Ok(judged)
}

/// Layouts of the kernel's own build, whichever of its updates the image confirms best.
fn by_build(sought: &Sought<'_, '_>, store: &SymbolStore) -> Result<Known, NoBuild> {
    if sought.numbers.is_empty() {
        return Err(unnumbered(sought, store));
    }
    let numbers = sought.numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(" or ");
    let may_be = |build: u32| sought.numbers.iter().any(|number| same_kernel(*number, build));
    let witness = sought.witness.as_ref().ok_or("the image does not lead to System and the list of processes")?;
    let candidates = judged(witness, store, &sought.numbers, may_be)?;
    let mut candidates = candidates.into_iter();
    let Some(best) = candidates.next() else {
        return Err(format!("no kernel of this GUID, and none of build {numbers}").into());
    };
    let Confirmation { held, failed, .. } = &best.confirmation;
    if !failed.is_empty() {
        let fewer = |other: &Judged| {
            other.confirmation.failed.len() < failed.len() && other.confirmation.held.len() >= held.len()
        };
        // A number that was written over leads to layouts that others are better than.
        if let Some(other) = judged(witness, store, &[], |build| build >= OLDEST)?.into_iter().next().filter(fewer) {
            let reason = format!(
                "the image contradicts layouts of build {}, which it says it is: {}; those of build {} fit better",
                best.build,
                failed.join("; "),
                other.build
            );
            return Err(NoBuild { reason, fits: Some(other.build) });
        }
    }
    // A build that only shares its kernel, as far as is known, has to fit altogether.
    let few = if best.named < sought.numbers.len() { FAILURES } else { usize::MAX };
    if failed.len().saturating_mul(few) > held.len() || held.is_empty() {
        let reason = format!("build {} is in it, and the image does not confirm it: {}", best.build, failed.join("; "));
        return Err(reason.into());
    }
    let total = held.len().saturating_add(failed.len());
    let mut symbols = best.symbols.clone();
    let mut notes = vec![format!(
        "layouts of build {} ({}), of which the image confirms {} of {total} that it can tell",
        best.build,
        best.source,
        held.len()
    )];
    let others: Vec<Judged> = candidates.collect();
    let mut settled = false;
    if let Some(size) = witness.size_of("_EPROCESS").filter(|size| symbols.size_of("_EPROCESS").ok() != Some(*size)) {
        notes.push(format!(
            "the kernel says that its _EPROCESS has {size:#x} bytes, which is none of the known updates of build {}",
            best.build
        ));
        settled = true;
        symbols = field_by_field(witness, symbols, &others, best.build, &mut notes);
    }
    // Updates of one build that the image cannot tell apart: what they have in different places is not known.
    let wanted = Layouts::wanted();
    for other in others.iter().take_while(|other| other.rank() == best.rank()) {
        for (structure, path) in wanted.fields.iter().filter(|(structure, _)| !settled || *structure != "_EPROCESS") {
            let place = |of: &Symbols| of.field(structure, path).ok();
            if place(&symbols).is_some() && place(&symbols) != place(&other.symbols) {
                notes.push(format!("{structure}.{path}: left out, updates of build {} differ", best.build));
                symbols = symbols.without_field(structure, path);
            }
        }
    }
    let mut known = sought.complete(symbols, notes)?;
    known.symbols.source = SymbolSource::BuiltIn;
    if !failed.is_empty() {
        let message = format!(
            "layouts of build {} are used, of which the image contradicts: {}. What rests on these is doubtful; `ntmem symbols` \
             says which PDB would settle it",
            best.build,
            failed.join("; ")
        );
        known.warnings.push(Warning::new("symbols", message));
    }
    Ok(known)
}

/// The number is nowhere: which build's layouts the image confirms, and contradicts in nothing.
fn unnumbered(sought: &Sought<'_, '_>, store: &SymbolStore) -> NoBuild {
    let best = || judged(sought.witness.as_ref()?, store, &[], |build| build >= OLDEST).ok()?.into_iter().next();
    let whole = |best: &Judged| best.confirmation.failed.is_empty() && !best.confirmation.held.is_empty();
    NoBuild { reason: "the build number cannot be read".into(), fits: best().filter(whole).map(|best| best.build) }
}

/// An update of the build that is between the known ones: what these have in different places is where the image says, or not known.
fn field_by_field(
    witness: &Witness<'_>,
    mut symbols: Symbols,
    others: &[Judged],
    build: u32,
    notes: &mut Vec<String>,
) -> Symbols {
    const PROCESS: &str = "_EPROCESS";
    for (structure, path) in &Layouts::wanted().fields {
        if *structure != PROCESS {
            continue;
        }
        let own = symbols.field(PROCESS, path).ok();
        let mut places: Vec<FieldInfo> = own.clone().into_iter().collect();
        for other in others.iter().filter(|other| other.build == build) {
            places.extend(other.symbols.field(PROCESS, path).ok().filter(|place| !places.contains(place)));
        }
        if places.len() < 2 {
            continue;
        }
        let judged: Vec<(FieldInfo, Judgement)> = places
            .into_iter()
            .map(|place| {
                let judgement = witness.tell(&symbols, path, place.offset);
                (place, judgement)
            })
            .collect();
        let of = |wanted: Judgement| {
            judged.iter().filter(move |(_, judgement)| *judgement == wanted).map(|(place, _)| place)
        };
        let left = if of(Judgement::Held).next().is_some() { Judgement::Held } else { Judgement::Silent };
        let mut left = of(left);
        match (left.next(), left.next()) {
            (Some(place), None) => {
                if own.as_ref() != Some(place) {
                    notes.push(format!(
                        "{PROCESS}.{path}: at {:#x}, as another update of build {build} has it",
                        place.offset
                    ));
                    symbols = symbols.with_field(PROCESS, path, place.clone());
                }
            }
            _ => {
                notes.push(format!("{PROCESS}.{path}: left out, updates of build {build} differ"));
                symbols = symbols.without_field(PROCESS, path);
            }
        }
    }
    symbols
}

/// Layouts of other builds, corrected.
fn by_neighbours(sought: &Sought<'_, '_>, store: &SymbolStore, number: Option<u32>) -> Result<Known, String> {
    let witness = sought.witness.as_ref().ok_or("the image does not lead to System and the list of processes")?;
    let number = number.ok_or("the build number cannot be read")?;
    let known = store.builds(&Layouts::wanted(), |build| build >= OLDEST).map_err(|error| error.to_string())?;
    if known.is_empty() {
        return Err("there are none".into());
    }
    let others: Vec<(u32, Symbols)> =
        known.into_iter().filter_map(|(kernel, symbols)| Some((kernel.build?, symbols))).collect();
    let inferred = witness
        .infer(number, &others)
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

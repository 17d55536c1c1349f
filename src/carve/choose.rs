//! Which layouts carved processes are read by: those that a CodeView record names, that the build has, or that fit best.

use super::Carved;
use super::traces::Traces;
use crate::discover::ladder::same_kernel;
use crate::kernel::{Eprocess, Kernel, Layouts};
use crate::process::carved::Objects;
use crate::symbols::{SymbolStore, Symbols, Trust};
use crate::{Error, MemoryImage, PdbInfo, PhysicalAddress, Reading, VirtualAddress, Warning};
use std::cmp::Reverse;

/// The oldest build whose layouts are tried: that of Vista, the first with the fields that prove a process.
const OLDEST: u32 = 6000;
/// Objects that layouts are held against. Some dozens tell as well as all.
const MAX_HELD: usize = 128;

/// Whose layouts some are, and how they came to be tried.
#[derive(Clone, Debug)]
pub(super) struct Name {
    /// A CodeView record in memory names this very kernel.
    is_exact: bool,
    /// The build, where the table says it.
    build: Option<u32>,
    /// In words.
    words: String,
}

/// Layouts that may be tried, with whose they are.
pub(super) type Candidates<'m> = (Vec<Kernel<'m>>, Vec<Name>);

/// Those that CodeView records in memory name.
pub(super) fn named<'m>(image: &'m MemoryImage, store: &SymbolStore, traces: &Traces) -> Candidates<'m> {
    let wanted = Layouts::wanted();
    let of = |pdb: &PdbInfo| {
        let words = format!("layouts of {} {} age {}, by a CodeView record in memory", pdb.name, pdb.guid, pdb.age);
        Some((store.find(pdb, &wanted).ok()?, Name { is_exact: true, build: traces.one_build(), words }))
    };
    opened(image, traces.records.iter().filter_map(of))
}

/// Those that are known whatever is in memory: of files given by hand, and of builds.
///
/// # Errors
/// The table in the crate cannot be asked.
pub(super) fn known<'m>(image: &'m MemoryImage, store: &SymbolStore) -> Result<Candidates<'m>, Error> {
    let wanted = Layouts::wanted();
    let by_hand = store.by_hand(&wanted).filter_map(Result::ok).map(|symbols| {
        let file = symbols.file.as_ref().map_or_else(String::new, |file| file.display().to_string());
        (symbols, Name { is_exact: false, build: None, words: format!("layouts of the file {file}") })
    });
    let builds =
        if store.trusted() > Trust::Exact { store.builds(&wanted, |build| build >= OLDEST)? } else { Vec::new() };
    let builds = builds.into_iter().map(|(kernel, symbols)| {
        let words = format!("layouts of build {} ({})", kernel.build.unwrap_or(0), kernel.source);
        (symbols, Name { is_exact: false, build: kernel.build, words })
    });
    Ok(opened(image, by_hand.chain(builds)))
}

fn opened<'m>(image: &'m MemoryImage, all: impl Iterator<Item = (Symbols, Name)>) -> Candidates<'m> {
    all.filter_map(|(symbols, name)| Some((Kernel::without_tables(image, symbols, name.build).ok()?, name))).unzip()
}

/// One kernel's layouts, held against what they met.
struct Tried<'m> {
    kernel: Kernel<'m>,
    name: Name,
    objects: Objects,
    /// A trace in memory names the build.
    is_named: bool,
    /// Fields that have a value of their kind, over some of the objects.
    fits: usize,
}

impl Tried<'_> {
    /// The higher the better, among those that met about as many objects.
    fn rank(&self) -> (bool, bool, usize, usize) {
        (self.name.is_exact, self.is_named, self.objects.places.len(), self.fits)
    }
}

/// Takes the layouts that a trace names if they meet about as many processes as any, else those that meet most.
///
/// # Errors
/// None met any.
pub(super) fn best<'m>(
    (kernels, names): Candidates<'m>,
    found: Vec<Objects>,
    traces: &Traces,
) -> Result<Carved<'m>, Error> {
    let builds = traces.builds();
    let mut tried: Vec<Tried<'m>> = Vec::new();
    for ((kernel, name), objects) in kernels.into_iter().zip(names).zip(found) {
        if !objects.places.is_empty() {
            let is_named = name.build.is_some_and(|own| builds.iter().any(|build| same_kernel(*build, own)));
            let fits = fits(&kernel, &objects);
            tried.push(Tried { kernel, name, objects, is_named, fits });
        }
    }
    let most = tried.iter().map(|tried| tried.objects.places.len()).max().unwrap_or(0);
    // Layouts that meet half of what others meet are of another kernel: that of a guest, or of an update that is to come.
    tried.retain(|tried| tried.objects.places.len().saturating_mul(2) > most);
    // A stable sort: those of one rank stay in the order in which they were proposed.
    tried.sort_by_key(|tried| Reverse(tried.rank()));
    let mut tried = tried.into_iter();
    let Some(first) = tried.next() else { return Err(nothing(traces)) };
    let rank = first.rank();
    let alike: Vec<Tried<'m>> = tried.take_while(|other| other.rank() == rank && !first.name.is_exact).collect();
    let mut warnings = Vec::new();
    let named =
        builds.iter().copied().filter(|build| first.name.build.is_some_and(|own| same_kernel(*build, own))).max();
    let one = |build: &u32| alike.iter().all(|other| other.name.build == Some(*build));
    let build = named.or(first.name.build.filter(one));
    let mut symbols = without_differences(first.kernel.symbols().clone(), &alike);
    symbols.notes.insert(0, first.name.words.clone());
    if !first.name.is_exact {
        let how =
            if first.is_named { "what is in memory names this build" } else { "nothing in memory names the build" };
        symbols.notes.push(format!("{how}; {} processes fit these layouts", first.objects.places.len()));
        if !first.is_named {
            let words =
                format!("which kernel this was is not known: {}, which fit what was carved best", first.name.words);
            warnings.push(Warning::new("symbols", words));
        }
    }
    let image = first.kernel.image();
    let mut kernel = Kernel::without_tables(image, symbols, build)?;
    match traces.pages.as_slice() {
        [page] => kernel.with_shared_page(page.clone()),
        [] => {}
        pages => {
            let words = format!(
                "{} different shared pages lie in memory: whose clocks are the machine's is not known",
                pages.len()
            );
            warnings.push(Warning::new("kernel", words));
        }
    }
    Ok(Carved { kernel, objects: first.objects, root: None, warnings })
}

/// Leaves out what layouts that fit equally well have in different places.
fn without_differences(mut symbols: Symbols, alike: &[Tried<'_>]) -> Symbols {
    let wanted = Layouts::wanted();
    let mut left_out = Vec::new();
    for other in alike {
        for (structure, path) in &wanted.fields {
            let place = |of: &Symbols| of.field(structure, path).ok();
            let own = place(&symbols);
            if own.is_some() && own != place(other.kernel.symbols()) {
                let less = symbols.clone().without_field(structure, path);
                // Without some fields nothing is read at all; of those the objects have told.
                if Layouts::resolve(&less).is_ok() {
                    left_out.push(format!("{structure}.{path}"));
                    symbols = less;
                }
            }
        }
    }
    if !left_out.is_empty() {
        symbols
            .notes
            .push(format!("left out, for layouts that fit as well have them elsewhere: {}", left_out.join(", ")));
    }
    symbols
}

/// How many fields of the objects have a value of their kind.
fn fits(kernel: &Kernel<'_>, objects: &Objects) -> usize {
    let of = |(address, physical): (&VirtualAddress, &PhysicalAddress)| {
        let process = Eprocess::read_at(kernel, *address, Some(*physical));
        let user = |at: Reading<VirtualAddress>| at.absent().is_none() && at.value().is_none_or(|at| !at.is_kernel());
        let system = |at: Reading<VirtualAddress>| at.absent().is_none() && at.value().is_none_or(|at| at.is_kernel());
        let all = [
            user(process.peb()) && process.peb().value().is_none_or(|peb| peb.page_offset() == 0),
            system(process.token()),
            system(process.handle_table()),
            system(process.session_space()),
            system(process.section()),
            system(process.win32_process()),
            system(process.job()),
            system(process.debug_port()),
            user(process.section_base()),
            process.threads().value().is_some_and(|threads| *threads < 0x1_0000),
            process.base_priority().value().is_some_and(|priority| (0..32).contains(priority)),
            process.exited().absent().is_none(),
        ];
        all.into_iter().filter(|fits| *fits).count()
    };
    objects.places.iter().take(MAX_HELD).map(of).sum()
}

/// What is said where nothing was met.
fn nothing(traces: &Traces) -> Error {
    let known = |what: &str, list: Vec<String>| if list.is_empty() { format!("no {what}") } else { list.join(", ") };
    let records = traces.records.iter().map(|pdb| format!("{} {} age {}", pdb.name, pdb.guid, pdb.age)).collect();
    let builds = traces.builds().iter().map(|build| format!("build {build}")).collect();
    Error::NoProcesses {
        what: format!(
            "no process was met in physical memory by any layout that is known (in memory: {}; {})",
            known("CodeView record of a kernel", records),
            known("build number", builds)
        ),
        advice: "If it is an image of an x64 Windows, its kernel is one that is not known: give its symbol file with --symbols FILE"
            .to_owned(),
    }
}

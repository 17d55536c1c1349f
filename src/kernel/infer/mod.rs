//! Layouts for a kernel that is in no table: those of other builds, where the image itself confirms them, and corrected where it
//! proves that something lies elsewhere. What it neither proves nor leaves only one place for is left out.

mod eprocess;
mod ground;
mod hive;
mod judge;
mod mapping;
mod place;
mod pointers;
mod process;
mod scene;
mod table;
mod thread;
mod token;
mod token_fields;
mod types;
mod user;
mod vote;
mod work;

use super::Layouts;
use super::kuser::SharedData;
use super::layouts::{
    EprocessLayout, EthreadLayout, ObjectHeaderLayout, ObjectTypeLayout, PebLayout, SessionLayout, TokenLayout,
    VadLayout,
};
use crate::VirtualAddress;
use crate::memory::AddressSpace;
use crate::symbols::Symbols;
use ground::{Ground, Known};
use judge::Judgement;
use place::Neighbours;
use scene::Scene;
use types::Types;
use vote::Ballot;
use work::Work;

/// Layouts that an image gave.
#[derive(Clone, Debug)]
pub struct Inferred {
    /// Structures and the globals that came with them; the source is [`SymbolSource::Heuristic`](crate::symbols::SymbolSource::Heuristic).
    pub symbols: Symbols,
    /// For each structure: what of it was proven, what placed, what left out, and which builds it came from.
    pub notes: Vec<String>,
    /// Fields that values prove.
    pub proven: usize,
    /// Fields that other builds place.
    pub placed: usize,
    /// Fields that are left out.
    pub dropped: usize,
}

/// How layouts came out when they were held against an image.
#[derive(Clone, Debug, Default)]
pub struct Confirmation {
    /// What held, by structure or structure and field.
    pub held: Vec<String>,
    /// What did not.
    pub failed: Vec<String>,
    /// What nothing in the image speaks for or against.
    pub silent: Vec<String>,
}

impl Confirmation {
    /// Whether these are the layouts of this kernel, as far as its image tells: the process list and what makes processes what
    /// they are held, and nothing failed.
    #[must_use]
    pub fn is_full(&self) -> bool {
        const NEEDED: usize = 10;
        self.failed.is_empty() && self.held.len() >= NEEDED
    }

    fn add(&mut self, what: &str, judgement: Judgement) {
        match judgement {
            Judgement::Held => &mut self.held,
            Judgement::Silent => &mut self.silent,
            Judgement::Failed => &mut self.failed,
        }
        .push(what.to_owned());
    }
}

/// Holds layouts against an image: every invariant that it can be asked for. `base`: the kernel's image base; `system`: System's
/// `_EPROCESS`, which the exported `PsInitialSystemProcess` leads to.
#[must_use]
pub fn confirm(space: AddressSpace<'_>, base: VirtualAddress, system: VirtualAddress, types: &Symbols) -> Confirmation {
    let mut confirmation = Confirmation::default();
    let Some(scene) = Scene::find(space, base, system) else {
        confirmation.add("the list of processes", Judgement::Failed);
        return confirmation;
    };
    let layout = match EprocessLayout::resolve(types) {
        Ok(layout) => layout,
        Err(_) => {
            confirmation.add("_EPROCESS", Judgement::Failed);
            return confirmation;
        }
    };
    let vads: Vec<VadLayout> = VadLayout::resolve(types).into_iter().collect();
    let object_types = Types::find(&scene);
    let known = Known::from(&layout);
    let ground = Ground { scene: &scene, known, vads: &vads, types: object_types.as_ref() };
    for (path, judgement) in eprocess::judge(ground, types) {
        confirmation.add(&format!("_EPROCESS.{path}"), judgement);
    }
    let hives = hive::Hives::find(&scene);
    for structures in GROUPS {
        if let Some(judgement) = judge(ground, structures, types) {
            confirmation.add(&structures.join(", "), judgement);
        }
    }
    if let (Some(hives), Ok(layout)) = (&hives, super::layouts::CmhiveLayout::resolve(types)) {
        confirmation.add("_CMHIVE.HiveList", hives.has_links(layout.links.offset).into());
        if let Some(version) = layout.version {
            confirmation.add("_CMHIVE.Hive.Version", hives.has_versions(version.offset).into());
        }
        if let Some(judgement) = hive::judge(ground, hives, layout.storage.offset, types) {
            confirmation.add("_CMHIVE.Hive.Storage, _DUAL, _HMAP_ENTRY", judgement);
        }
    }
    confirmation
}

/// Structures that are judged together.
const GROUPS: [&[&str]; 14] = [
    &["_ETHREAD"],
    &["_OBJECT_HEADER"],
    &["_TOKEN"],
    &["_HANDLE_TABLE", "_HANDLE_TABLE_FREE_LIST", "_HANDLE_TABLE_ENTRY"],
    &["_MMVAD_SHORT"],
    &["_SECTION", "_SECTION_OBJECT", "_SEGMENT", "_CONTROL_AREA", "_FILE_OBJECT"],
    &["_MMVAD", "_SUBSECTION", "_CONTROL_AREA", "_FILE_OBJECT"],
    &["_MM_SESSION_SPACE"],
    &["_PEB"],
    &["_RTL_USER_PROCESS_PARAMETERS"],
    &["_PEB_LDR_DATA", "_LDR_DATA_TABLE_ENTRY"],
    &["_EJOB"],
    &["_OBJECT_TYPE"],
    &["_OBJECT_HEADER_CREATOR_INFO", "_OBJECT_HEADER_NAME_INFO"],
];

/// Structures that no invariant is about, and that no known build has changed since Windows XP.
const UNSEEN: [&str; 1] = ["_OBJECT_HEADER_NAME_INFO"];

/// What the image says of the structures of one group, as one build has them. `None`: that build lacks one.
fn judge(ground: Ground<'_, '_>, structures: &[&str], types: &Symbols) -> Option<Judgement> {
    match *structures.first()? {
        "_ETHREAD" => Some(thread::judge(ground, &EthreadLayout::resolve(types).ok()?)),
        "_OBJECT_HEADER" => Some(token::object_header(ground, &ObjectHeaderLayout::resolve(types).ok()?)),
        "_TOKEN" => Some(token::judge(ground, &TokenLayout::resolve(types).ok()?)),
        "_HANDLE_TABLE" => table::judge(ground, types),
        "_MMVAD_SHORT" => Some(mapping::vad(ground, &VadLayout::resolve(types).ok()?)),
        "_SECTION" => mapping::section(ground, types),
        "_MMVAD" => mapping::mapped(ground, types),
        "_MM_SESSION_SPACE" => Some(token::session(ground, &SessionLayout::resolve(types).ok()?)),
        "_PEB" => Some(user::peb(ground, &PebLayout::resolve(types).ok()?)),
        "_RTL_USER_PROCESS_PARAMETERS" => user::parameters(ground, types),
        "_PEB_LDR_DATA" => user::modules(ground, types),
        "_OBJECT_TYPE" => {
            let layout = ObjectTypeLayout::resolve(types).ok()?;
            Some(ground.types.map_or(Judgement::Silent, |found| found.judge(&layout)))
        }
        first => types.size_of(first).ok().map(|_| Judgement::Silent),
    }
}

/// Finds the layouts of a kernel that nobody knows, starting from those of other builds (build number, layouts). `base`: the
/// kernel's image base; `system`: System's `_EPROCESS`, which the exported `PsInitialSystemProcess` leads to. `None`: what a
/// list of processes needs is not there, or cannot be told from the rest.
#[must_use]
pub fn infer(
    space: AddressSpace<'_>,
    base: VirtualAddress,
    system: VirtualAddress,
    others: &[(u32, Symbols)],
) -> Option<Inferred> {
    let scene = Scene::find(space, base, system)?;
    let neighbours = Neighbours::new(build(space)?, others);
    let mut vads: Vec<VadLayout> = Vec::new();
    for (_, symbols) in others {
        if let Ok(layout) = VadLayout::resolve(symbols)
            && !vads.iter().any(|known| format!("{known:?}") == format!("{layout:?}"))
        {
            vads.push(layout);
        }
    }
    let mut work = Work::new(&scene);
    let (known, report, info) = eprocess::infer(&scene, &vads, &neighbours);
    work.placed(&report, info);
    EprocessLayout::resolve(work.symbols()).ok()?;
    let object_types = Types::find(&scene);
    let ground = Ground { scene: &scene, known, vads: &vads, types: object_types.as_ref() };
    if let Some(types) = &object_types {
        work.global("ObTypeIndexTable", types.table);
    }
    if let Some((report, info)) = thread::infer(ground, &neighbours) {
        work.placed(&report, info);
    }
    let wanted = Layouts::wanted().fields;
    for structures in GROUPS.iter().skip(1) {
        let unseen = UNSEEN.iter().any(|structure| structures.contains(structure));
        let ballot = Ballot { structures, fields: &wanted, sized: true, unseen };
        let outcome = ballot.vote(&neighbours, |symbols| judge(ground, structures, symbols));
        if structures.contains(&"_TOKEN") && outcome.judgement == Judgement::Failed {
            let (report, info) = token_fields::infer(ground, &neighbours);
            let types = Symbols::default().with_type("_TOKEN", info.clone());
            // What was put together has to stand up to what other builds' layouts did not.
            if judge(ground, structures, &types) == Some(Judgement::Held) {
                work.placed(&report, info);
                continue;
            }
        }
        let object_type = object_types.as_ref().and_then(Types::layout);
        if let Some(info) = object_type.filter(|_| structures.contains(&"_OBJECT_TYPE")) {
            work.found("_OBJECT_TYPE", info);
            continue;
        }
        work.voted(structures, outcome);
    }
    if let Some(hives) = hive::Hives::find(&scene) {
        let forms = hive::forms(others);
        let (storage, report, info) = hive::infer(ground, &hives, &neighbours, &forms);
        work.placed(&report, info);
        work.global("CmpHiveListHead", hives.head);
        if let Some(storage) = storage {
            let structures = ["_DUAL", "_HMAP_ENTRY"];
            let sized = hives.are_large(storage);
            let ballot = Ballot { structures: &structures, fields: &wanted, sized, unseen: false };
            work.voted(&structures, ballot.vote(&neighbours, |symbols| hive::judge(ground, &hives, storage, symbols)));
        }
    }
    work.kprocess(ground, &neighbours);
    Some(work.finish())
}

/// The build number by the shared page, which says only the version before Windows 10.
fn build(space: AddressSpace<'_>) -> Option<u32> {
    let shared = SharedData::read(space).ok()?;
    Some(match (shared.build & 0xffff, shared.version) {
        (0, (5, _)) => 3790,
        (0, (6, 0)) => 6002,
        (0, (6, 1)) => 7601,
        (0, (6, 2)) => 9200,
        (0, _) => 9600,
        (build, _) => build,
    })
}

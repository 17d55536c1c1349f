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

use super::data::KernelData;
use super::globals::{self, Proof};
use crate::VirtualAddress;
use crate::kernel::Layouts;
use crate::kernel::find::kuser::SharedData;
use crate::kernel::layouts::{
    CmhiveLayout, EprocessLayout, EthreadLayout, ObjectHeaderLayout, ObjectTypeLayout, PebLayout, SessionLayout,
    TokenLayout, VadLayout,
};
use crate::memory::AddressSpace;
use crate::symbols::{FieldInfo, Symbols};
use ground::{Ground, Known};
use hive::Hives;
pub(crate) use judge::Judgement;
use place::Neighbours;
use scene::Scene;
pub(crate) use scene::systems;
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

/// What of an image layouts are held against, found without any layouts and read once.
pub(crate) struct Witness<'m> {
    scene: Scene<'m>,
    types: Option<Types>,
    hives: Option<Hives<'m>>,
    /// What the debugger's block says of structures.
    proofs: Vec<Proof>,
}

/// Holds layouts against an image: every invariant that it can be asked for. `base`: the kernel's image base; `system`: System's
/// `_EPROCESS`, which the exported `PsInitialSystemProcess` leads to.
#[must_use]
pub fn confirm(space: AddressSpace<'_>, base: VirtualAddress, system: VirtualAddress, types: &Symbols) -> Confirmation {
    match Witness::find(space, &KernelData::read(space, base), system) {
        Some(witness) => witness.confirm(types),
        None => {
            let mut confirmation = Confirmation::default();
            confirmation.add("the list of processes", Judgement::Failed);
            confirmation
        }
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
    let build = build(&SharedData::read(space).ok()?);
    Witness::find(space, &KernelData::read(space, base), system)?.infer(build, others)
}

impl<'m> Witness<'m> {
    /// Looks for the processes, for the types of objects and for hives. `None`: there is no list of processes around `system`.
    pub(crate) fn find(space: AddressSpace<'m>, data: &KernelData, system: VirtualAddress) -> Option<Self> {
        let scene = Scene::find(space, data, system)?;
        let (types, hives) = (Types::find(&scene, data), Hives::find(&scene, data));
        Some(Self { scene, types, hives, proofs: globals::proofs(space, data) })
    }
}

impl Witness<'_> {
    /// `PsActiveProcessHead`.
    pub(crate) const fn head(&self) -> VirtualAddress {
        self.scene.head
    }

    /// What the debugger's block says of the size of a structure.
    pub(crate) fn size_of(&self, structure: &str) -> Option<u64> {
        self.proofs.iter().find(|proof| proof.structure == structure && proof.field.is_empty()).map(|proof| proof.value)
    }

    /// What the image says of one place of a field of `_EPROCESS`, given layouts for the rest.
    pub(crate) fn tell(&self, types: &Symbols, path: &str, at: u64) -> Judgement {
        let Ok(layout) = EprocessLayout::resolve(types) else { return Judgement::Silent };
        let proof = self.proofs.iter().find(|proof| proof.structure == "_EPROCESS" && proof.field == path);
        if let Some(proof) = proof {
            return (proof.value == at).into();
        }
        let ground = Ground { scene: &self.scene, known: Known::from(&layout), vads: &[], types: self.types.as_ref() };
        eprocess::tell(ground, path, at)
    }

    /// See [`confirm`].
    pub(crate) fn confirm(&self, types: &Symbols) -> Confirmation {
        let mut confirmation = Confirmation::default();
        let Ok(layout) = EprocessLayout::resolve(types) else {
            confirmation.add("_EPROCESS", Judgement::Failed);
            return confirmation;
        };
        let vads: Vec<VadLayout> = VadLayout::resolve(types).into_iter().collect();
        let ground =
            Ground { scene: &self.scene, known: Known::from(&layout), vads: &vads, types: self.types.as_ref() };
        for (path, judgement) in eprocess::judge(ground, types) {
            confirmation.add(&format!("_EPROCESS.{path}"), judgement);
        }
        for structures in GROUPS {
            if let Some(judgement) = judge(ground, structures, types) {
                confirmation.add(&structures.join(", "), judgement);
            }
        }
        for Proof { structure, field, value } in &self.proofs {
            let judgement = match types.field(structure, field) {
                // Serviced builds have sizes between those of the updates that are known.
                _ if field.is_empty() && types.size_of(structure).ok() == Some(*value) => Judgement::Held,
                Ok(place) if !field.is_empty() => (place.offset == *value).into(),
                _ => Judgement::Silent,
            };
            let name = if field.is_empty() { "size".to_owned() } else { (*field).to_owned() };
            confirmation.add(&format!("KdDebuggerDataBlock: {structure}.{name}"), judgement);
        }
        if let (Some(hives), Ok(layout)) = (&self.hives, CmhiveLayout::resolve(types)) {
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

    /// See [`infer`]; `build` is the number of the kernel.
    pub(crate) fn infer(&self, build: u32, others: &[(u32, Symbols)]) -> Option<Inferred> {
        let neighbours = Neighbours::new(build, others);
        let mut vads: Vec<VadLayout> = Vec::new();
        for (_, symbols) in others {
            if let Ok(layout) = VadLayout::resolve(symbols)
                && !vads.iter().any(|known| format!("{known:?}") == format!("{layout:?}"))
            {
                vads.push(layout);
            }
        }
        let mut work = Work::new(&self.scene);
        let (known, report, info) = eprocess::infer(&self.scene, &vads, &neighbours);
        work.placed(&report, info);
        EprocessLayout::resolve(work.symbols()).ok()?;
        let ground = Ground { scene: &self.scene, known, vads: &vads, types: self.types.as_ref() };
        if let Some(types) = &self.types {
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
            let object_type = self.types.as_ref().and_then(Types::layout);
            if let Some(info) = object_type.filter(|_| structures.contains(&"_OBJECT_TYPE")) {
                work.found("_OBJECT_TYPE", info);
                continue;
            }
            work.voted(structures, outcome);
        }
        if let Some(hives) = &self.hives {
            let forms = hive::forms(others);
            let (storage, report, info) = hive::infer(ground, hives, &neighbours, &forms);
            work.placed(&report, info);
            work.global("CmpHiveListHead", hives.head);
            if let Some(storage) = storage {
                let structures = ["_DUAL", "_HMAP_ENTRY"];
                let sized = hives.are_large(storage);
                let ballot = Ballot { structures: &structures, fields: &wanted, sized, unseen: false };
                let judge = |symbols: &Symbols| hive::judge(ground, hives, storage, symbols);
                work.voted(&structures, ballot.vote(&neighbours, judge));
            }
        }
        work.kprocess(ground, &neighbours);
        Some(work.finish())
    }
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

/// What a confirmation depends on: layouts that have the same of this are confirmed alike.
pub(crate) fn judged_shape(types: &Symbols) -> Vec<Option<FieldInfo>> {
    let named = |structure: &str| ["_EPROCESS", "_KPRCB", "_CMHIVE", "_DUAL", "_HMAP_ENTRY"].contains(&structure);
    let judged = |structure: &str| named(structure) || GROUPS.iter().any(|group| group.contains(&structure));
    let wanted = Layouts::wanted();
    let sizes = wanted.types.iter().filter(|structure| judged(structure)).map(|structure| {
        types.size_of(structure).ok().map(|size| FieldInfo { offset: 0, size, bits: None, structure: None })
    });
    let fields = wanted.fields.iter().filter(|(structure, _)| judged(structure));
    sizes.chain(fields.map(|(structure, path)| types.field(structure, path).ok())).collect()
}

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

/// The build number by the shared page, which says only the version before Windows 10.
pub(crate) fn build(shared: &SharedData) -> u32 {
    match (shared.build & 0xffff, shared.version) {
        (0, (5, _)) => 3790,
        (0, (6, 0)) => 6002,
        (0, (6, 1)) => 7601,
        (0, (6, 2)) => 9200,
        (0, _) => 9600,
        (build, _) => build,
    }
}

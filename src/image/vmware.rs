//! VMware: the state of a suspended machine or a snapshot (.vmss, .vmsn), and the memory in it or beside it (.vmem).
//!
//! Layout: as the public tools that read it describe it (`vmss2core`'s documentation, Volatility's `vmware` layers): groups of named tags.

use super::formats::{Format, Job, Opened, Opening, Refusal};
use super::runs::{Piece, Place, Runs};
use super::source::Source;
use super::{Hints, PhysicalRun};
use crate::{Error, PAGE_SIZE, PhysicalAddress};
use std::path::PathBuf;

/// The state file was named.
pub(super) static STATE: Format = Format {
    title: "a VMware machine's state",
    mark: |opening| is_state(&opening.source),
    job: Job::Read(|opening| {
        let state = State::read(&opening.source)?;
        if let Some(inline) = state.inline {
            return Ok(state.memory(&opening.source, inline)?.into());
        }
        let memory = opening.file().map(|path| path.with_extension("vmem"));
        let Some(path) = memory.filter(|path| path.is_file()) else {
            return Err(Refusal::Unusable(Error::NotAnImage {
                what: "this is the state of a VMware machine; its memory is in a file of the same name that ends in .vmem, and that \
                       is not beside it"
                    .into(),
                advice: "Copy the .vmem file into the same folder under the same name".into(),
            }));
        };
        let memory = super::open(&path)?;
        if let Some(odd) = state.foreign(memory.len()) {
            return Err(Refusal::Unusable(Error::NotAnImage {
                what: format!("this state of a VMware machine does not belong to the memory beside it: {odd}"),
                advice: format!("Name the memory itself: {}. It is read without the state then", path.display()),
            }));
        }
        let mut opened = state.memory(&memory, (0, memory.len()))?;
        opened.more_files.push(path);
        Ok(opened.into())
    }),
};

/// The memory file was named, and the state is beside it. Without it, the memory is a raw image that may lack a hole.
pub(super) static MEMORY: Format = Format {
    title: "a VMware machine's memory",
    mark: |opening| beside(opening).is_some(),
    job: Job::Read(|opening| {
        let (path, source) = beside(opening).ok_or_else(|| Refusal::NotThis("its state is gone".into()))?;
        let state = State::read(&source);
        let state =
            state.map_err(|_| Refusal::NotThis(format!("the state beside it ({}) is damaged", path.display())))?;
        if let Some(odd) = state.foreign(opening.source.len()) {
            let path = path.display();
            return Err(Refusal::NotThis(format!(
                "the state beside it ({path}) is another machine's or another time's: {odd}"
            )));
        }
        let mut opened = state.memory(&opening.source, (0, opening.source.len()))?;
        opened.more_files.push(path);
        Ok(opened.into())
    }),
};

fn is_state(source: &Source) -> bool {
    matches!(source.u32(0), Some(0xbed2_bed0 | 0xbad1_bad1 | 0xbed2_bed2 | 0xbed3_bed3))
}

/// The state file beside a .vmem file.
fn beside(opening: &Opening<'_>) -> Option<(PathBuf, Source)> {
    let path = opening.file().filter(|path| path.extension().is_some_and(|end| end.eq_ignore_ascii_case("vmem")))?;
    ["vmss", "vmsn"].into_iter().find_map(|end| {
        let path = path.with_extension(end);
        let source = path.is_file().then(|| Source::open(&path).ok())??;
        is_state(&source).then_some((path, source))
    })
}

/// Groups and tags of a state at most; VMware writes some hundreds of groups.
const MAX_GROUPS: u32 = 4096;
const MAX_TAGS: usize = 1 << 20;
/// Regions of memory at most.
const MAX_REGIONS: usize = 4096;
const GROUPS: u64 = 12;
const GROUP: u64 = 80;

/// What a state says of the memory.
#[derive(Default)]
struct State {
    /// First guest page, first page in the file, pages; by index.
    regions: Vec<[Option<u64>; 3]>,
    /// Where memory lies in this file, and its bytes.
    inline: Option<(u64, u64)>,
    roots: Vec<PhysicalAddress>,
    arm: bool,
}

/// A named value.
struct Tag {
    name: Vec<u8>,
    indices: Vec<u32>,
    /// Where its bytes are.
    at: u64,
    bytes: u64,
    packed: bool,
}

impl State {
    fn read(source: &Source) -> Result<Self, Refusal> {
        let wide = source.u32(0).unwrap_or(0) & 0xf != 0;
        let groups = source.u32(8).filter(|groups| *groups <= MAX_GROUPS && *groups > 0);
        let groups = groups.ok_or_else(|| Refusal::NotThis("it has no list of groups".into()))?;
        let mut state = Self::default();
        let mut found = false;
        for group in 0..groups {
            let at = GROUPS.saturating_add(u64::from(group).saturating_mul(GROUP));
            let name = source.head(at, 64);
            let name = name.split(|byte| *byte == 0).next().unwrap_or(&[]).to_vec();
            let Some(begin) = source.u64(at.saturating_add(64)) else { break };
            if name == b"memory" || name == b"cpu" || name == b"Checkpoint" {
                found |= name == b"memory";
                state.group(source, begin, wide)?;
            }
        }
        found.then_some(state).ok_or_else(|| Refusal::NotThis("it has no group named memory".into()))
    }

    fn group(&mut self, source: &Source, begin: u64, wide: bool) -> Result<(), Refusal> {
        let mut at = begin;
        for _ in 0..MAX_TAGS {
            let Some((tag, next)) = tag(source, at, wide) else { break };
            self.tag(source, &tag)?;
            at = next;
        }
        Ok(())
    }

    fn tag(&mut self, source: &Source, tag: &Tag) -> Result<(), Refusal> {
        let number = || match tag.bytes {
            4 => source.u32(tag.at).map(u64::from),
            8 => source.u64(tag.at),
            _ => None,
        };
        let column = match tag.name.as_slice() {
            b"regionPPN" => 0,
            b"regionPageNum" => 1,
            b"regionSize" => 2,
            b"Memory" | b"MainMemory" if tag.bytes >= PAGE_SIZE => {
                if tag.packed {
                    return Err(Refusal::Unusable(Error::NotAnImage {
                        what: "the memory in this VMware state is compressed in a form that nobody has described".into(),
                        advice: "Resume the machine and suspend it again with `mainMem.useNamedFile = \"TRUE\"` in its .vmx file, or \
                                 use VMware's vmss2core"
                            .into(),
                    }));
                }
                self.inline = Some((tag.at, tag.bytes));
                return Ok(());
            }
            b"CR" | b"CR64" if tag.indices.last() == Some(&3) => {
                self.roots.extend(number().filter(|root| *root != 0).map(|root| PhysicalAddress(root).page()));
                return Ok(());
            }
            b"Platform" => {
                self.arm |= number() == Some(3);
                return Ok(());
            }
            _ => return Ok(()),
        };
        let Some(index) = tag.indices.first().and_then(|index| usize::try_from(*index).ok()) else { return Ok(()) };
        if index >= MAX_REGIONS {
            return Ok(());
        }
        if self.regions.len() <= index {
            self.regions.resize(index.saturating_add(1), [None; 3]);
        }
        if let Some(value) = self.regions.get_mut(index).and_then(|region| region.get_mut(column)) {
            *value = number();
        }
        Ok(())
    }

    /// Why the state cannot be of a memory file of so many bytes. `None`: it can. A file that is shorter than its regions may have been cut.
    fn foreign(&self, bytes: u64) -> Option<String> {
        let end = |[first, page, pages]: &[Option<u64>; 3]| {
            first.and(page.zip(*pages)).map(|(page, pages)| page.saturating_add(pages))
        };
        let end = self.regions.iter().filter_map(end).max()?.saturating_mul(PAGE_SIZE);
        (end < bytes & !PAGE_SIZE.wrapping_sub(1))
            .then(|| format!("it describes {} MiB of memory, and the file has {} MiB", end >> 20, bytes >> 20))
    }

    /// The memory, which begins at an offset of a file and has some bytes there.
    fn memory(&self, source: &Source, (begin, bytes): (u64, u64)) -> Result<Opened, Refusal> {
        let region = |region: &[Option<u64>; 3]| -> Option<Piece> {
            let [Some(first), Some(page), Some(pages)] = *region else { return None };
            let run = PhysicalRun {
                start: PhysicalAddress(first.checked_mul(PAGE_SIZE)?),
                bytes: pages.checked_mul(PAGE_SIZE)?,
            };
            Some((run, Place::File(begin.checked_add(page.checked_mul(PAGE_SIZE)?)?)))
        };
        let mut pieces: Vec<Piece> = self.regions.iter().filter_map(region).collect();
        let incomplete = self.regions.len().saturating_sub(pieces.len());
        if self.regions.is_empty() {
            pieces.push((PhysicalRun { start: PhysicalAddress(0), bytes }, Place::File(begin)));
        }
        if pieces.is_empty() {
            return Err(Refusal::NotThis("the regions of its memory cannot be".into()));
        }
        let (runs, lost) = Runs::new(source.window(0, begin.saturating_add(bytes)), pieces);
        let mut opened = Opened::new("vmware", runs);
        opened.maker = Some("VMware".into());
        opened.hints =
            (!self.roots.is_empty()).then(|| Hints { roots: self.roots.clone(), ..Hints::from("VMware CPU state") });
        if self.arm {
            opened.warn("the state says that the machine is an ARM64 one".into());
        }
        let odd = (incomplete > 0).then(|| format!("the state describes {incomplete} regions of memory only in part"));
        opened.warnings_of(odd, lost);
        Ok(opened)
    }
}

/// The tag at `at`, and where the next one begins. `None`: the group is over.
fn tag(source: &Source, at: u64, wide: bool) -> Option<(Tag, u64)> {
    let [flags, length] = source.array(at)?;
    if flags == 0 && length == 0 {
        return None;
    }
    let mut at = at.checked_add(2)?;
    let name = source.copy(at, usize::from(length))?;
    at = at.checked_add(u64::from(length))?;
    let mut indices = Vec::new();
    for _ in 0..flags >> 6 {
        indices.push(source.u32(at)?);
        at = at.checked_add(4)?;
    }
    let (bytes, packed) = match flags & 0x3f {
        short @ 0..62 => (u64::from(short), false),
        long => {
            // The length in the file, the length in memory, the length of the padding, the padding.
            let (on_disk, width) = if wide { (source.u64(at)?, 8u64) } else { (u64::from(source.u32(at)?), 4) };
            at = at.checked_add(width.checked_mul(2)?)?;
            let padding = source.u16(at)?;
            at = at.checked_add(2)?.checked_add(u64::from(padding))?;
            (on_disk, long == 63)
        }
    };
    let next = at.checked_add(bytes)?;
    Some((Tag { name, indices, at, bytes, packed }, next))
}

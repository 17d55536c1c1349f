//! The state of a machine inside its disk: QEMU's `savevm`, snapshots of Proxmox and libvirt in a qcow2 file.
//!
//! Layout: QEMU `docs/interop/qcow2.txt`. Numbers are big-endian.

use super::formats::{Format, Found, Job, Opening, Refusal};
use super::source::{Bytes, Source};
use crate::{Error, Warning};

/// See the module.
pub(super) static FORMAT: Format = Format {
    title: "a qcow2 disk image",
    mark: |opening| opening.source.has(0, b"QFI\xfb") && opening.source.be_u32(4) > Some(1),
    job: Job::Read(open),
};

/// Snapshots of one disk at most.
const MAX_SNAPSHOTS: u32 = 65536;
/// Bits of an entry that are the offset of a table or cluster.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const COMPRESSED: u64 = 1 << 62;
/// A cluster that reads as zeros.
const ZERO: u64 = 1;
/// `incompatible_features` from version 3 on: data in another file; entries of 16 bytes, of which the second half is of subclusters.
const FEATURES: u64 = 72;
const EXTERNAL: u64 = 1 << 2;
const EXTENDED: u64 = 1 << 4;

fn open(opening: &Opening<'_>) -> Result<Found, Refusal> {
    let source = &opening.source;
    let not_this = |why: &str| Refusal::NotThis(why.to_owned());
    let (Some(bits), Some(count), Some(table)) = (source.be_u32(20), source.be_u32(60), source.be_u64(64)) else {
        return Err(not_this("it ends within its header"));
    };
    if !(9..=21).contains(&bits) {
        return Err(not_this("its clusters have an impossible size"));
    }
    let features = source.be_u64(FEATURES).filter(|_| source.be_u32(4) >= Some(3)).unwrap_or(0);
    if features & EXTERNAL != 0 {
        return Err(Refusal::Unusable(Error::NotAnImage {
            what: "this virtual machine's disk (qcow2) has its data in another file, and a saved state with it".into(),
            advice: "Save the running machine instead: `virsh dump --memory-only DOMAIN FILE`".into(),
        }));
    }
    if count > 0 && table >= source.len() {
        return Err(Refusal::Unusable(Error::NotAnImage {
            what: format!(
                "this virtual machine's disk (qcow2) is cut short: the list of its {count} snapshots lies behind the end of the file, at \
                 offset {table:#x}"
            ),
            advice: "Copy it again".into(),
        }));
    }
    let shift = if features & EXTENDED != 0 { 4 } else { 3 };
    let mut at = table;
    let (mut found, mut states) = (None, 0u32);
    for _ in 0..count.min(MAX_SNAPSHOTS) {
        let Some(snapshot) = Snapshot::read(source, at, (bits, shift)) else { break };
        at = snapshot.end;
        if snapshot.state.length > 0 {
            states = states.saturating_add(1);
            // They are in the order in which they were made.
            found = Some(snapshot);
        }
    }
    let Some(snapshot) = found else {
        return Err(Refusal::Unusable(Error::NotAnImage {
            what: "this is a virtual machine's disk (qcow2) without a snapshot that holds memory".into(),
            advice: "Save the running machine: `savevm` in QEMU's monitor, or `virsh dump --memory-only DOMAIN FILE`"
                .into(),
        }));
    };
    let mut warnings = Vec::new();
    if states > 1 {
        warnings.push(Warning::new(
            "image",
            format!("the disk has {states} snapshots with memory: the newest, {}, is read", snapshot.name),
        ));
    }
    Ok(Found::Inside("qcow2", Source::new(snapshot.state), warnings))
}

struct Snapshot {
    name: String,
    state: State,
    /// Where the next one stands.
    end: u64,
}

impl Snapshot {
    fn read(source: &Source, at: u64, (bits, shift): (u32, u32)) -> Option<Self> {
        let field = |offset: u64| at.checked_add(offset);
        let (l1, l1_size) = (source.be_u64(at)?, source.be_u32(field(8)?)?);
        let (id, name) = (source.be_u16(field(12)?)?, source.be_u16(field(14)?)?);
        let (short, extra) = (source.be_u32(field(32)?)?, source.be_u32(field(36)?)?);
        let length = if extra >= 8 { source.be_u64(field(40)?)? } else { u64::from(short) };
        let disk = if extra >= 16 { source.be_u64(field(48)?)? } else { source.be_u64(24)? };
        let text = at.checked_add(40)?.checked_add(u64::from(extra))?;
        let name_at = text.checked_add(u64::from(id))?;
        let end = name_at.checked_add(u64::from(name))?.checked_next_multiple_of(8)?;
        let name = String::from_utf8_lossy(&source.head(name_at, usize::from(name.min(255)))).into_owned();
        // The state lies behind the disk, at the first address that an entry of the first table begins with.
        let group = 1u64.checked_shl(bits.checked_mul(2)?.checked_sub(shift)?)?;
        let begin = disk.checked_next_multiple_of(group)?;
        let state = State { source: source.clone(), l1, l1_size, bits, shift, begin, length };
        Some(Self { name, state, end })
    }
}

/// The bytes of a state: clusters that two levels of tables lead to.
struct State {
    source: Source,
    l1: u64,
    l1_size: u32,
    /// Bytes of a cluster, as a power of two.
    bits: u32,
    /// Bytes of an entry of the second table, likewise.
    shift: u32,
    /// Where the state begins in the disk's address space.
    begin: u64,
    length: u64,
}

impl State {
    /// The offset in the file of `at` in the state (`None`: it reads as zero), and the bytes that follow it in the cluster.
    fn find(&self, at: u64) -> Option<(Option<u64>, u64)> {
        let left = self.length.checked_sub(at).filter(|left| *left > 0)?;
        let guest = self.begin.checked_add(at)?;
        let cluster = 1u64.checked_shl(self.bits)?;
        let within = guest & cluster.wrapping_sub(1);
        let left = left.min(cluster.wrapping_sub(within));
        let l2_bits = self.bits.checked_sub(self.shift)?;
        let l2_index = (guest >> self.bits) & 1u64.checked_shl(l2_bits)?.wrapping_sub(1);
        let l1_index = guest.checked_shr(self.bits.checked_add(l2_bits)?)?;
        if l1_index >= u64::from(self.l1_size) {
            return None;
        }
        let l2 = self.source.be_u64(self.l1.checked_add(l1_index.checked_mul(8)?)?)? & OFFSET;
        if l2 == 0 {
            return Some((None, left));
        }
        let entry = self.source.be_u64(l2.checked_add(l2_index.checked_shl(self.shift)?)?)?;
        if entry & COMPRESSED != 0 {
            // QEMU never compresses a state.
            return None;
        }
        let offset = entry & OFFSET;
        // Of an entry with subclusters that bit is reserved; QEMU writes a state in whole clusters.
        if offset == 0 || (entry & ZERO != 0 && self.shift == 3) {
            return Some((None, left));
        }
        Some((Some(offset.checked_add(within)?), left))
    }
}

impl Bytes for State {
    fn len(&self) -> u64 {
        self.length
    }

    fn file_offset(&self, at: u64) -> Option<u64> {
        self.source.file_offset(self.find(at)?.0?)
    }

    fn read(&self, at: u64, buf: &mut [u8]) -> usize {
        let mut done = 0usize;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let now = u64::try_from(done).ok().and_then(|done| at.checked_add(done));
            let Some((place, left)) = now.and_then(|at| self.find(at)) else { break };
            let len = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let Some(rest) = rest.get_mut(..len) else { break };
            let read = match place {
                Some(offset) => self.source.read(offset, rest),
                None => {
                    rest.fill(0);
                    len
                }
            };
            if read == 0 {
                break;
            }
            done = done.saturating_add(read);
        }
        done
    }

    fn block_offset(&self, at: u64) -> Option<u64> {
        self.source.block_offset(self.find(at)?.0?)
    }

    fn lend(&self, at: u64, len: usize) -> Option<&[u8]> {
        let (place, left) = self.find(at)?;
        self.source.lend(place?, len.min(usize::try_from(left).unwrap_or(usize::MAX)))
    }
}

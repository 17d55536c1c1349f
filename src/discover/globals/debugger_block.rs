//! `KdDebuggerDataBlock`, a `KDDEBUGGER_DATA64` (wdbgexts.h): the kernel's own list of where its variables lie, for debuggers.
//!
//! Since Windows 8 a running kernel keeps it encoded, number by number: with two secrets N and A and an address,
//! `clear = A ^ bswap(address ^ rotate_left(encoded ^ N, N))`. So two numbers' clear values differ by
//! `bswap(rotate_left(difference of the encoded ones, N))`, and one known value gives all others once the rotation is known.
//! The image base is known, and what stands beside it (tag and size) tells the rotation.

use crate::VirtualAddress;
use crate::discover::data::KernelData;
use crate::memory::AddressSpace;

/// Numbers of the block that are read: all up to the sizes of structures, which every x64 kernel has.
const WORDS: usize = 0x2c8 / 8;
/// `Header.OwnerTag`, `KDBG`, with `Header.Size` above it.
const TAG: usize = 2;
const OWNER_TAG: u64 = 0x4742_444b;
/// `KernBase`.
const KERN_BASE: usize = 3;
/// Sizes that the block has had: 0x290 (XP) to 0x3c0, and room for some more.
const SIZES: std::ops::RangeInclusive<u64> = 0x290..=0x480;
/// More blocks than this are no kernel's: there is one, and dumps may have a copy.
const MAX_BLOCKS: usize = 8;
/// Places that are tried as encoded blocks, each with every rotation: kernels' data has some thousand that look so.
const MAX_TRIALS: usize = 1 << 16;

/// Addresses in it, by offset.
const GLOBALS: [(usize, &str); 10] = [
    (0x48, "PsLoadedModuleList"),
    (0x50, "PsActiveProcessHead"),
    (0x58, "PspCidTable"),
    (0x98, "ObpRootDirectoryObject"),
    (0xa0, "ObpTypeObjectType"),
    (0xc0, "MmPfnDatabase"),
    (0x208, "NtBuildLabEx"),
    (0x218, "KiProcessorBlock"),
    (0x220, "MmUnloadedDrivers"),
    (0x270, "MmPhysicalMemoryBlock"),
];

/// Sizes of structures (without a field) and offsets of fields, by where they stand: numbers of 16 bits.
const PROOFS: [(usize, &str, &str); 8] = [
    (0x2a0, "_ETHREAD", "Tcb.ApcState.Process"),
    (0x2a8, "_EPROCESS", ""),
    (0x2aa, "_EPROCESS", "Peb"),
    (0x2ac, "_EPROCESS", "InheritedFromUniqueProcessId"),
    (0x2ae, "_EPROCESS", "Pcb.DirectoryTableBase"),
    (0x2b0, "_KPRCB", ""),
    (0x2b4, "_KPRCB", "CurrentThread"),
    (0x2c0, "_ETHREAD", ""),
];

/// What the debugger's block says of one structure (`field` is empty: its size) or field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    pub structure: &'static str,
    pub field: &'static str,
    pub value: u64,
}

/// Sizes and offsets of `_EPROCESS` that the debugger's block names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessOffsets {
    /// `SizeEProcess`: bytes.
    pub size: u16,
    /// `OffsetEprocessPeb`.
    pub peb: u16,
    /// `OffsetEprocessParentCID`: of `InheritedFromUniqueProcessId`.
    pub ppid: u16,
    /// `OffsetEprocessDirectoryTableBase`.
    pub dtb: u16,
}

/// One block, in the clear.
#[derive(Clone, Debug)]
pub(super) struct DebuggerBlock {
    pub at: VirtualAddress,
    words: Vec<u64>,
}

/// The blocks of a kernel in its data, and at `hint`.
pub(super) fn find(space: AddressSpace<'_>, data: &KernelData, hint: Option<VirtualAddress>) -> Vec<DebuggerBlock> {
    let base = data.base();
    let mut found: Vec<DebuggerBlock> = data
        .places()
        .filter_map(|(at, words)| Some((at, words.get(..WORDS)?)))
        .filter(|(_, words)| is_clear(words, base) || may_be_encoded(words))
        .take(MAX_TRIALS)
        .filter_map(|(at, words)| DebuggerBlock::decode(at, words, base))
        .take(MAX_BLOCKS)
        .collect();
    if let Some(at) = hint.filter(|hint| found.iter().all(|block| block.at != *hint)) {
        let bytes = space.read_array::<{ WORDS * 8 }>(at).ok();
        let words: Option<Vec<u64>> =
            bytes.map(|bytes| bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect());
        found.extend(words.and_then(|words| DebuggerBlock::decode(at, &words, base)));
    }
    found
}

impl DebuggerBlock {
    /// The block in `words`, as it is or encoded.
    fn decode(at: VirtualAddress, words: &[u64], base: VirtualAddress) -> Option<Self> {
        if is_clear(words, base) {
            return Some(Self { at, words: words.to_vec() });
        }
        if !may_be_encoded(words) {
            return None;
        }
        let (tag, stored_base) = (*words.get(TAG)?, *words.get(KERN_BASE)?);
        let rotation = rotation(tag ^ stored_base, base)?;
        let clear = |word: &u64| base.0 ^ (word ^ stored_base).rotate_left(rotation).swap_bytes();
        let words: Vec<u64> = words.iter().map(clear).collect();
        VirtualAddress(*words.first()?).is_kernel().then_some(Self { at, words })
    }

    /// The globals that it names and that lie in the image.
    pub(super) fn globals(&self, data: &KernelData) -> Vec<(&'static str, VirtualAddress)> {
        let named = GLOBALS.iter().filter_map(|(offset, name)| Some((*name, VirtualAddress(*self.word(*offset)?))));
        named.filter(|(_, at)| data.has(*at)).collect()
    }

    /// What it says of `_EPROCESS`. `None`: it says nothing.
    pub(super) fn process(&self) -> Option<ProcessOffsets> {
        let short = |offset: usize| self.short(offset);
        let process =
            ProcessOffsets { size: short(0x2a8)?, peb: short(0x2aa)?, ppid: short(0x2ac)?, dtb: short(0x2ae)? };
        let within = |offset: u16| offset != 0 && offset < process.size;
        [process.peb, process.ppid, process.dtb].into_iter().all(within).then_some(process)
    }

    /// All that it says of structures; nothing where it says nothing of `_EPROCESS`.
    pub(super) fn proofs(&self) -> Vec<Proof> {
        let says = |(offset, structure, field): (usize, &'static str, &'static str)| {
            let value = u64::from(self.short(offset)?);
            (value != 0).then_some(Proof { structure, field, value })
        };
        self.process().map_or_else(Vec::new, |_| PROOFS.into_iter().filter_map(says).collect())
    }

    fn short(&self, offset: usize) -> Option<u16> {
        let [a, b, c, d, e, f, g, h] = self.word(offset)?.to_le_bytes();
        let pair = [[a, b], [c, d], [e, f], [g, h]].get(offset % 8 / 2).copied()?;
        Some(u16::from_le_bytes(pair))
    }

    fn word(&self, offset: usize) -> Option<&u64> {
        self.words.get(offset / 8)
    }
}

fn is_tag(word: u64) -> bool {
    let size = word >> 32;
    word & 0xffff_ffff == OWNER_TAG && SIZES.contains(&size) && size.is_multiple_of(8)
}

fn is_clear(words: &[u64], base: VirtualAddress) -> bool {
    words.get(KERN_BASE) == Some(&base.0) && words.get(TAG).is_some_and(|tag| is_tag(*tag))
}

/// Both links of a block lead to the head of the list in which it is alone; tag and base differ in some 30 bits.
fn may_be_encoded(words: &[u64]) -> bool {
    let [one, other, tag, base, ..] = words else { return false };
    one == other && *one != 0 && (10..55).contains(&(tag ^ base).count_ones())
}

/// By how many bits the encoded numbers are rotated, if `difference` is what lies between a tag and the image base. Chance gives one
/// in 2^50 numbers a rotation that fits.
fn rotation(difference: u64, base: VirtualAddress) -> Option<u32> {
    (0..64).find(|rotation| is_tag(base.0 ^ difference.rotate_left(*rotation).swap_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: VirtualAddress = VirtualAddress(0xffff_f802_6b60_0000);
    const AT: VirtualAddress = VirtualAddress(0xffff_f802_6c20_0b20);

    /// What the kernel does to each number, step by step backwards from the published decoding.
    fn encode(clear: u64, never: u64, always: u64, flag: u64) -> u64 {
        let swapped = (clear ^ always).swap_bytes() ^ flag;
        swapped.rotate_right((never & 0xff) as u32 % 64) ^ never
    }

    fn clear() -> Vec<u64> {
        let mut words = vec![0u64; WORDS];
        words[0] = BASE.0 + 0xc0_fff0;
        words[1] = words[0];
        words[TAG] = 0x380 << 32 | OWNER_TAG;
        words[KERN_BASE] = BASE.0;
        words[0x48 / 8] = BASE.0 + 0xc2_a360;
        words[0x2a8 / 8] = 0x0028_0540_0550_0a40;
        words
    }

    #[test]
    fn an_encoded_block_is_read_without_the_secrets() {
        let secrets =
            [(0x0051_3aab_c0ff_ee07, 0xd5a4_0018_1122_3344), (0xffff_0123_4567_8940, 1), (0x80, 0), (0x3f, u64::MAX)];
        for (never, always) in secrets {
            let flag = BASE.0 + 0xc5_0d00;
            let encoded: Vec<u64> = clear().into_iter().map(|word| encode(word, never, always, flag)).collect();
            let block = DebuggerBlock::decode(AT, &encoded, BASE).unwrap();
            assert_eq!(block.words, clear(), "{never:#x} {always:#x}");
            let process = ProcessOffsets { size: 0xa40, peb: 0x550, ppid: 0x540, dtb: 0x28 };
            assert_eq!(block.process(), Some(process));
            // Another kernel's, and one with a number changed in what is known of it.
            assert!(DebuggerBlock::decode(AT, &encoded, VirtualAddress(BASE.0 + 0x20_0000)).is_none());
            let mut damaged = encoded;
            damaged[TAG] ^= 1 << 40;
            assert!(DebuggerBlock::decode(AT, &damaged, BASE).is_none());
        }
    }

    #[test]
    fn zeros_and_repeated_numbers_are_no_block() {
        for word in [0, 1, BASE.0, OWNER_TAG, u64::MAX] {
            assert!(DebuggerBlock::decode(AT, &[word; WORDS], BASE).is_none(), "{word:#x}");
        }
    }
}

//! What memory without a kernel is filled with: nothing, noise, or something else.

use super::{PhysicalMemory, runs};
use crate::{PAGE_SIZE, PhysicalAddress};

/// Pages that are looked at, spread over all memory.
const SAMPLES: u64 = 512;
/// Of 4096 random bytes, one value comes 16 times; 40 times it comes once in a million pages. 4096 bytes of a program or of text have
/// one that comes hundreds of times.
const MOST_OF_NOISE: u16 = 48;

/// What sampled pages show, in a sentence with advice. `None`: it looks like memory, or there are too few pages to tell.
pub(super) fn of(memory: &(impl PhysicalMemory + ?Sized)) -> Option<String> {
    let total: u64 = runs(memory).map(|run| run.bytes / PAGE_SIZE).sum();
    let step = (total / SAMPLES).max(1);
    let (mut zero, mut ones, mut noise, mut other) = (0u32, 0u32, 0u32, 0u32);
    for run in runs(memory) {
        let pages = run.bytes / PAGE_SIZE;
        for n in (0..pages).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
            let mut page = [0; 4096];
            let at = PhysicalAddress(run.start.0.saturating_add(n.saturating_mul(PAGE_SIZE)));
            if memory.read(at, &mut page) != page.len() {
                continue;
            }
            let count = match page {
                page if page == [0; 4096] => &mut zero,
                page if page == [0xff; 4096] => &mut ones,
                page if is_noise(&page) => &mut noise,
                _ => &mut other,
            };
            *count = count.saturating_add(1);
        }
    }
    let all = zero.saturating_add(ones).saturating_add(noise).saturating_add(other);
    // One page in a hundred may be what is left of a header.
    let few = |count: u32| count <= all / 100;
    if all < 16 {
        None
    } else if few(ones.saturating_add(noise).saturating_add(other)) {
        Some(format!(
            "Of {all} pages of it that were looked at, {zero} hold nothing but zeros: the acquisition failed (a driver was blocked, or \
                 the memory is encrypted by the processor), or it is no memory. Acquire it again"
        ))
    } else if few(zero.saturating_add(noise).saturating_add(other)) {
        Some(
            "It holds nothing but 0xff: the acquisition failed, or read a device instead of memory. Acquire it again"
                .into(),
        )
    } else if noise > 0 && few(ones.saturating_add(other)) {
        Some("Its pages look random: it is encrypted, or compressed in a way that is not known. Decrypt or unpack it first".into())
    } else {
        None
    }
}

/// Whether all byte values come about equally often.
fn is_noise(page: &[u8; 4096]) -> bool {
    let mut counts = [0u16; 256];
    for byte in page {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count = count.saturating_add(1);
        }
    }
    counts.iter().all(|count| (1..MOST_OF_NOISE).contains(count))
}

#[cfg(test)]
mod tests {
    use crate::MemoryImage;

    fn text(bytes: Vec<u8>) -> String {
        super::of(&MemoryImage::from_bytes(bytes).unwrap()).unwrap_or_default()
    }

    #[test]
    fn zeros_ones_noise_and_memory() {
        assert!(text(vec![0; 2 << 20]).contains("nothing but zeros"));
        assert!(text(vec![0xff; 2 << 20]).contains("0xff"));
        let mut state = 88_172_645_463_325_252u64;
        let noise = (0..(2 << 20) / 8).flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        assert!(text(noise.collect()).contains("random"));
        let sample = std::fs::read("testdata/samples/clean.raw").unwrap();
        assert_eq!(text(sample), "");
    }
}

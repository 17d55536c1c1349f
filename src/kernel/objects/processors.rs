//! The processors: `KiProcessorBlock`, `_KPRCB`.

use crate::VirtualAddress;
use crate::kernel::Kernel;

/// More processors than Windows runs on (32 groups of 64).
const MAX_PROCESSORS: u32 = 2048;

/// The threads that run on the processors, or are next: `KPRCB.CurrentThread`, `NextThread`. None where the symbols lack the fields.
pub(crate) fn threads(kernel: &Kernel<'_>) -> Vec<VirtualAddress> {
    let (Ok(layout), Ok(block)) = (kernel.layouts().kprcb.as_ref(), kernel.global("KiProcessorBlock")) else {
        return Vec::new();
    };
    let space = kernel.space();
    // Where the shared page does not say how many there are: as many as there are blocks, one after the other.
    let number = kernel.shared_data().map_or(MAX_PROCESSORS, |shared| shared.processors.clamp(1, MAX_PROCESSORS));
    let known = kernel.shared_data().is_some();
    let blocks = (0..u64::from(number))
        .map(|processor| space.read_pointer(block.wrapping_add(processor.wrapping_mul(8))).ok())
        .map(|block| block.filter(|block| block.is_kernel()))
        .take_while(|block| known || block.is_some())
        .flatten();
    let threads = blocks.flat_map(|block| {
        [layout.current, layout.next].map(|field| space.read_pointer(block.wrapping_add(field.offset)))
    });
    threads.flatten().filter(|thread| thread.is_kernel()).collect()
}

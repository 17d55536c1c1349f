//! The prototype entries of the sections that a process has mapped.

use crate::VirtualAddress;
use crate::kernel::Layouts;
use crate::kernel::walk::tree;
use crate::memory::AddressSpace;
use std::ops::Range;

/// The arrays of prototype entries that the ranges of the process at `process` name, as far as each lies together; of `most` ranges.
/// Entries have 8 bytes.
pub(crate) fn prototype_arrays(
    space: AddressSpace<'_>,
    layouts: &Layouts,
    process: VirtualAddress,
    most: usize,
) -> Vec<Range<VirtualAddress>> {
    let (Ok(vad), Ok(mapped), Some(root)) = (&layouts.vad, &layouts.mapped_vad, layouts.process.vad_root) else {
        return Vec::new();
    };
    let (Some(first), Some(last)) = (mapped.first_prototype, mapped.last_prototype) else { return Vec::new() };
    let Ok(root) = space.read_pointer(process.wrapping_add(root.offset)) else { return Vec::new() };
    let (nodes, _) = tree(space, root, (vad.left.offset, vad.right.offset), most);
    let of = |node: VirtualAddress| {
        // The node of a private range is shorter: what lies there is something else.
        let flags = space.read_u64(node.wrapping_add(vad.private.storage.offset)).ok()?;
        if vad.private.of(flags) != 0 {
            return None;
        }
        let field = |offset: u64| space.read_pointer(node.wrapping_add(offset)).ok().filter(|at| at.is_kernel());
        let (from, to) = (field(first.offset)?, field(last.offset)?);
        let end = to.checked_add(8)?;
        (from <= to && from.0.is_multiple_of(8) && to.0.is_multiple_of(8)).then_some(from..end)
    };
    nodes.into_iter().filter_map(of).collect()
}

//! `_CM_KEY_BODY`: what a handle to a registry key leads to, and the key's path by the blocks above it.

use crate::kernel::layouts::KeyBlockLayout;
use crate::kernel::{Kernel, text};
use crate::{Absent, VirtualAddress};

/// Levels of keys: the registry allows 512 ("Registry element size limits", Microsoft Learn), and the root.
const MAX_LEVELS: usize = 513;
/// Bytes of a key's name: 255 characters (the same page), two bytes each.
const MAX_NAME: u16 = 510;
/// Blocks read for the handles of one process: a busy svchost.exe has some thousand keys open, ten levels deep. Hostile handles could all
/// lead to one deep key.
const MAX_BLOCKS: usize = 1 << 18;
/// `_CM_NAME_CONTROL_BLOCK.NameLength` and `.Name`, x64: there in the public headers of every build from 5.2 to 22631, and symbol files that
/// were cut down lack the structure. `Compressed` is at its start: a byte up to 7, the lowest bit of four since.
const NAME_LENGTH: u64 = 0x18;
const NAME: u64 = 0x1a;
/// The key above all others.
const ROOT: &str = "REGISTRY";

/// Reads the paths of keys, with bounded work for all of them.
pub(crate) struct KeyPaths<'k> {
    kernel: &'k Kernel<'k>,
    left: usize,
}

impl<'k> KeyPaths<'k> {
    pub(crate) const fn new(kernel: &'k Kernel<'k>) -> Self {
        Self { kernel, left: MAX_BLOCKS }
    }

    /// `\REGISTRY\MACHINE\SOFTWARE` of the `_CM_KEY_BODY` at `body`, as the blocks spell it. Only blocks that lead to the root of the registry
    /// tell a path: half of one would look like another key's.
    ///
    /// # Errors
    /// The symbols lack a structure, a block cannot be read, or the blocks do not lead to the root.
    pub(crate) fn path(&mut self, body: VirtualAddress) -> Result<String, Absent> {
        let layouts = self.kernel.layouts();
        let block = layouts.key_block.as_ref()?;
        let space = self.kernel.space();
        let mut at = space.read_pointer(body.wrapping_add(layouts.key_body.as_ref()?.block.offset))?;
        let mut names = Vec::new();
        while names.len() < MAX_LEVELS {
            self.left = self.left.checked_sub(1).ok_or_else(|| {
                Absent::not_collected(format!("{MAX_BLOCKS} blocks were read for the keys of the handles before it"))
            })?;
            let (own, above) = self.level(block, at)?;
            names.push(own);
            if !above.is_null() {
                at = above;
                continue;
            }
            // Two things say that the way was right: it ends, and it ends at the key of this name.
            return match names.last() {
                Some(last) if last.eq_ignore_ascii_case(ROOT) => {
                    names.reverse();
                    Ok(format!("\\{}", names.join("\\")))
                }
                _ => Err(Absent::unparsable(format!(
                    "the key control block at {at} has none above it and is not that of \\{ROOT}"
                ))),
            };
        }
        Err(Absent::unparsable(format!(
            "the key of the object at {body} has {MAX_LEVELS} keys above it, and the registry allows no more"
        )))
    }

    /// The name of the key whose block lies at `at`, and the block of the key above.
    fn level(&self, block: &KeyBlockLayout, at: VirtualAddress) -> Result<(String, VirtualAddress), Absent> {
        let space = self.kernel.space();
        let named = space.read_pointer(at.wrapping_add(block.name.offset))?;
        if !at.is_kernel() || !named.is_kernel() {
            return Err(Absent::unparsable(format!("no key control block at {at}: its name block is at {named}")));
        }
        let [flags] = space.read_array(named)?;
        let compressed = flags & 1 != 0;
        let length = u16::from_le_bytes(space.read_array(named.wrapping_add(NAME_LENGTH))?);
        let even = compressed || length.is_multiple_of(2);
        if length == 0 || length > MAX_NAME || !even {
            return Err(Absent::unparsable(format!("name block of a key at {named}: {length} bytes")));
        }
        let mut bytes = vec![0u8; usize::from(length)];
        space.read(named.wrapping_add(NAME), &mut bytes)?;
        let own: String =
            if compressed { bytes.iter().copied().map(char::from).collect() } else { text::utf16(&bytes) };
        if own.contains(['\0', '\\', '\u{ffff}']) {
            return Err(Absent::unparsable(format!("name block of a key at {named}: {own:?} is no name")));
        }
        Ok((own, space.read_pointer(at.wrapping_add(block.parent.offset))?))
    }
}

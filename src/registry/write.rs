//! A hive written out as a file that other tools open.

use super::cells::{BLOCK, CellIndex};
use super::hive::{HEADER, Hive};
use super::node::Fixed;
use serde::{Deserialize, Serialize};
use std::io;

/// Bytes in the header of a bin (`_HBIN`).
const BIN_HEADER: usize = 0x20;
/// A storage has 31 bits of cell indexes.
const MAX_LENGTH: u32 = 0x8000_0000 - BLOCK;
/// Bytes of the file's header that its checksum covers, and where it stands behind them.
const CHECKED: usize = 0x1fc;

/// What was written, and what could not be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenHive {
    /// Length of the file.
    pub bytes: u64,
    /// Blocks of 4096 bytes, of the hive's stable storage.
    pub blocks: u32,
    /// How many of them could not be read: they are filled with zeros, but for headers of bins.
    pub unreadable_blocks: u32,
    /// Bins whose header was missing and was made anew, so that the bins behind them are found.
    pub rebuilt_bins: u32,
    /// The file's own header could not be read and was made anew.
    pub rebuilt_header: bool,
    /// The first reasons why blocks could not be read.
    pub missing: Vec<crate::Absent>,
}

type Page = [u8; BLOCK as usize];

impl Hive<'_> {
    /// Writes the hive in the form of a hive file (`regf`): its stable storage, as memory has it, behind a header that says that
    /// the file is whole. Volatile keys are not in it, as they are not in files of Windows.
    ///
    /// # Errors
    /// Writing fails; or the hive has no stable storage, or one whose length cannot be read or is no length of a hive.
    pub fn write_file(&self, to: &mut dyn io::Write) -> io::Result<WrittenHive> {
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidInput, format!("{}: {what}", self.label()));
        let length = self.backing.length(CellIndex(0)).map_err(|why| invalid(why.to_string()))?;
        let length = length.next_multiple_of(BLOCK);
        if length == 0 || length > MAX_LENGTH {
            return Err(invalid(format!("there is no file of it: its stable storage has {length:#x} bytes")));
        }
        let mut written = WrittenHive {
            bytes: u64::from(length).saturating_add(u64::from(BLOCK)),
            blocks: length / BLOCK,
            rebuilt_header: self.header.is_err(),
            ..WrittenHive::default()
        };
        to.write_all(&self.file_header(length))?;
        let mut faults = super::faults::Faults::default();
        // Where the next bin starts.
        let mut next_bin = 0;
        for at in (0..length).step_by(BLOCK as usize) {
            let read = self.page(at);
            let mut page = match read {
                Ok(page) => page,
                Err(why) => {
                    written.unreadable_blocks = written.unreadable_blocks.saturating_add(1);
                    faults.push(why);
                    [0; BLOCK as usize]
                }
            };
            if at >= next_bin {
                let size = bin_size(&page, at, length).unwrap_or_else(|| {
                    written.rebuilt_bins = written.rebuilt_bins.saturating_add(1);
                    let size = self.gap(at, length);
                    put_bin_header(&mut page, at, size);
                    size
                });
                next_bin = at.saturating_add(size);
            }
            to.write_all(&page)?;
        }
        written.missing = faults.into_reasons();
        Ok(written)
    }

    fn page(&self, at: u32) -> Result<Page, crate::Absent> {
        let mut page = [0; BLOCK as usize];
        self.backing.read(CellIndex(at), &mut page)?;
        Ok(page)
    }

    /// Bytes from `at` on up to the next block that starts with the header of a bin.
    fn gap(&self, at: u32, length: u32) -> u32 {
        let found = (at..length).step_by(BLOCK as usize).skip(1).find(|next| {
            let mut head = [0u8; BIN_HEADER];
            self.backing.read(CellIndex(*next), &mut head).is_ok() && bin_size(&head, *next, length).is_some()
        });
        found.unwrap_or(length).saturating_sub(at)
    }

    /// The first 4096 bytes of the file.
    fn file_header(&self, length: u32) -> Page {
        let mut page = [0; BLOCK as usize];
        match &self.header {
            Ok(header) => {
                for (to, from) in page.iter_mut().zip(header) {
                    *to = *from;
                }
            }
            Err(_) => {
                put(&mut page, 0, *b"regf");
                put(&mut page, 0x14, 1u32.to_le_bytes());
                put(&mut page, 0x18, self.record().version.value().copied().unwrap_or(5).to_le_bytes());
                put(&mut page, 0x24, self.root_cell().0.to_le_bytes());
                put(&mut page, 0x2c, 1u32.to_le_bytes());
            }
        }
        let header = Fixed(page.to_vec());
        // Sequence1 and Sequence2 differ in a file that was not written to its end.
        let sequence = header.u32(4).max(header.u32(8)).max(1).to_le_bytes();
        put(&mut page, 4, sequence);
        put(&mut page, 8, sequence);
        // Type: a primary file; Format: as in memory; Length.
        put(&mut page, 0x1c, 0u32.to_le_bytes());
        put(&mut page, 0x20, 1u32.to_le_bytes());
        put(&mut page, 0x28, length.to_le_bytes());
        let checked = page.get(..CHECKED).map(|bytes| bytes.as_chunks::<4>().0).unwrap_or_default();
        let sum = checked.iter().fold(0, |sum, four| sum ^ u32::from_le_bytes(*four));
        // Neither 0 nor all ones is a checksum.
        let sum = match sum {
            0 => 1,
            u32::MAX => u32::MAX - 1,
            sum => sum,
        };
        put(&mut page, CHECKED, sum.to_le_bytes());
        page
    }
}

fn put(page: &mut Page, at: usize, bytes: [u8; 4]) {
    if let Some(to) = page.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *to = bytes;
    }
}

/// The size of the bin that a block starts with. `None`: it does not start with the header of a bin at this place.
fn bin_size(block: &[u8], at: u32, length: u32) -> Option<u32> {
    let header = Fixed(block.get(..BIN_HEADER)?.to_vec());
    let size = header.u32(8);
    let sane = size != 0 && size.is_multiple_of(BLOCK) && at.checked_add(size)? <= length;
    (header.0.starts_with(b"hbin") && header.u32(4) == at && sane).then_some(size)
}

fn put_bin_header(page: &mut Page, at: u32, size: u32) {
    for (to, from) in page.iter_mut().zip([0u8; BIN_HEADER]) {
        *to = from;
    }
    put(page, 0, *b"hbin");
    put(page, 4, at.to_le_bytes());
    put(page, 8, size.to_le_bytes());
}

const _: () = assert!(HEADER <= BLOCK as usize);

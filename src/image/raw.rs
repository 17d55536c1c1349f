//! Raw images: byte n of the file is byte n of physical memory.

use super::map::{Map, RunTable};
use super::{Parsed, PhysicalRun};
use crate::{Error, PhysicalAddress};

/// A machine that runs Windows NT has more memory than this, and a file that is smaller holds no kernel.
const SMALLEST: u64 = 0x10_0000;
/// Bytes looked at to tell text from memory.
const LOOK: usize = 0x1000;

/// Takes the file as it is. The last page may be partial.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, Error> {
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let head = bytes.get(..LOOK).unwrap_or(bytes);
    if is_text(head) {
        return Err(Error::NotAnImage {
            what: "this is a text file, not a memory image".into(),
            advice: "Name the file that the acquisition tool wrote; a process list or report of another tool goes to `check --report`".into(),
        });
    }
    if length < SMALLEST {
        return Err(Error::NotAnImage {
            what: format!("this file of {length} bytes is too small to be a memory image"),
            advice: "A raw image is as long as the machine's memory: was the copy cut short?".into(),
        });
    }
    let (table, _) = RunTable::new(vec![(PhysicalRun { start: PhysicalAddress(0), bytes: length }, 0)], length);
    Ok(Parsed { format: "raw", map: Map::Runs(table), header: None, warnings: Vec::new() })
}

/// True for UTF-8 or ASCII without control characters, and for what starts with a UTF-16 mark.
fn is_text(head: &[u8]) -> bool {
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return head.iter().filter(|byte| **byte == 0).count() < head.len().div_ceil(2)
            && !head.windows(4).any(|four| four == [0; 4]);
    }
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character may be cut at the end of what is looked at.
        Err(error) if error.error_len().is_none() => {
            head.get(..error.valid_up_to()).and_then(|head| std::str::from_utf8(head).ok()).unwrap_or("")
        }
        Err(_) => return false,
    };
    !valid.is_empty() && valid.chars().all(|c| !c.is_control() || matches!(c, '\t' | '\n' | '\r'))
}

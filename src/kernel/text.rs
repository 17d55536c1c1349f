//! Text in memory: counted UTF-16, fixed arrays of bytes, environment blocks.

use crate::location::DataLocation;
use crate::memory::AddressSpace;
use crate::{Absent, VirtualAddress};

/// Reads a `_UNICODE_STRING` (x64: `Length` at 0, `MaximumLength` at 2, `Buffer` at 8) at `at`. `None`: it is empty.
///
/// # Errors
/// The structure or its buffer cannot be read, or its lengths make no sense.
pub fn unicode_string(space: AddressSpace<'_>, at: VirtualAddress) -> Result<Option<String>, Absent> {
    let head: [u8; 16] = space.read_array(at)?;
    let [l0, l1, m0, m1, _, _, _, _, buffer @ ..] = head;
    let length = u16::from_le_bytes([l0, l1]);
    let maximum = u16::from_le_bytes([m0, m1]);
    let buffer = VirtualAddress(u64::from_le_bytes(buffer));
    if length == 0 {
        return Ok(None);
    }
    if !length.is_multiple_of(2) || length > maximum || buffer.is_null() {
        return Err(Absent::unparsable(format!(
            "UNICODE_STRING at {at}: length {length}, room {maximum}, buffer {buffer}"
        )));
    }
    let mut bytes = vec![0u8; usize::from(length)];
    space.read(buffer, &mut bytes)?;
    let (units, _) = bytes.as_chunks::<2>();
    if is_lost(units) {
        return Err(Absent::unparsable(format!("UNICODE_STRING at {at}: what stands at {buffer} is no text")));
    }
    Ok(Some(utf16(&bytes)))
}

/// Whether characters are what a page that was lost has in their place, wholly or from its border on: NULs or ones. Nobody counts such
/// as a part of a text.
fn is_lost(units: &[[u8; 2]]) -> bool {
    let lost = |unit: &[u8; 2]| matches!(unit, [0, 0] | [0xff, 0xff]);
    units.first().is_some_and(lost) || units.len() > 2 && units.iter().rev().take(2).all(lost)
}

/// The same for the name of a file or an image: what has a NUL or U+FFFF in it is none. The kernel makes no such names, and pages that
/// were lost are full of one or the other.
///
/// # Errors
/// As [`unicode_string`], or the text is no name.
pub fn file_name(space: AddressSpace<'_>, at: VirtualAddress) -> Result<Option<String>, Absent> {
    let name = unicode_string(space, at)?;
    match &name {
        Some(text) if text.contains(['\0', '\u{ffff}']) => {
            Err(Absent::unparsable(format!("UNICODE_STRING at {at}: {:?}... is no name", text.chars().next())))
        }
        _ => Ok(name),
    }
}

/// The same for the path of a file as the kernel has it, which begins with a backslash: what does not, and is not of ASCII either, is noise
/// that stands in the place of a text.
///
/// # Errors
/// As [`file_name`], or the text is noise.
pub fn kernel_path(space: AddressSpace<'_>, at: VirtualAddress) -> Result<Option<String>, Absent> {
    let path = file_name(space, at)?;
    if let Some(rest) = path.as_deref().and_then(|text| cut_off(space, at, text)) {
        return Err(Absent::unparsable(format!(
            "UNICODE_STRING at {at}: its length ends in the middle of a name, which goes on with {rest:?}"
        )));
    }
    match &path {
        Some(text) if !text.starts_with('\\') && !text.is_ascii() => {
            Err(Absent::unparsable(format!("UNICODE_STRING at {at}: what it leads to is no path")))
        }
        _ => Ok(path),
    }
}

/// What follows the text of a `_UNICODE_STRING` and makes the name of a program of it, which it is not by itself: the length is not that of
/// the text that stands there.
fn cut_off(space: AddressSpace<'_>, at: VirtualAddress, text: &str) -> Option<String> {
    /// Characters of the longest rest.
    const LONGEST: usize = 24;
    let is_program = |name: &str| {
        let end = name.get(name.len().checked_sub(4)?..)?;
        [".exe", ".dll", ".sys"].iter().any(|known| end.eq_ignore_ascii_case(known)).then_some(())
    };
    if is_program(text).is_some() {
        return None;
    }
    let length = space.read_array(at).map(u16::from_le_bytes).ok()?;
    let behind = space.read_pointer(at.checked_add(8)?).ok()?.checked_add(length.into())?;
    let mut bytes = [0u8; LONGEST * 2];
    let (read, _) = space.read_some(behind, &mut bytes);
    let (units, _) = bytes.get(..read)?.as_chunks::<2>();
    let rest = units.get(..units.iter().position(|unit| *unit == [0, 0])?)?;
    let is_of_name = |unit: &[u8; 2]| {
        let [low, high] = *unit;
        high == 0 && (low.is_ascii_alphanumeric() || b"._-".contains(&low))
    };
    let rest = rest.iter().all(is_of_name).then(|| utf16(rest.as_flattened())).filter(|rest| !rest.is_empty())?;
    is_program(&format!("{text}{rest}")).map(|()| rest)
}

/// Whether what stands at `at` is no `_UNICODE_STRING` that the kernel wrote, be it a page that was lost or that of something else: an
/// empty text too has room, in whole characters, in the kernel's half.
///
/// # Errors
/// The structure cannot be read.
pub fn is_none(space: AddressSpace<'_>, at: VirtualAddress) -> Result<bool, Absent> {
    let [_, _, m0, m1, _, _, _, _, buffer @ ..] = space.read_array::<16>(at)?;
    let (maximum, buffer) = (u16::from_le_bytes([m0, m1]), VirtualAddress(u64::from_le_bytes(buffer)));
    Ok(maximum == 0 || !maximum.is_multiple_of(2) || !buffer.is_kernel())
}

/// Whether the `_UNICODE_STRING` at `at` has no text.
///
/// # Errors
/// The structure cannot be read.
pub fn is_empty(space: AddressSpace<'_>, at: VirtualAddress) -> Result<bool, Absent> {
    Ok(space.read_array(at).map(u16::from_le_bytes)? == 0)
}

/// Where the text of the `_UNICODE_STRING` at `at` lies, for evidence. `None`: it is empty, or nothing can be read there.
#[must_use]
pub fn unicode_string_data(space: AddressSpace<'_>, at: VirtualAddress) -> Option<DataLocation> {
    let length = space.read_array(at).ok().map(u16::from_le_bytes).filter(|length| *length > 0)?;
    space.locate_data(space.read_pointer(at.checked_add(8)?).ok()?, length.into())
}

/// UTF-16 as text; a lone surrogate is kept as `\uNNNN`.
#[must_use]
pub fn utf16(bytes: &[u8]) -> String {
    let (pairs, _) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|pair| u16::from_le_bytes(*pair));
    char::decode_utf16(units).fold(String::new(), |mut text, unit| {
        match unit {
            Ok(c) => text.push(c),
            Err(lone) => text.push_str(&format!("\\u{:04x}", lone.unpaired_surrogate())),
        }
        text
    })
}

/// An array of bytes that ends at its first zero, as text: what is no printable ASCII is escaped as `\xNN`. `None`: empty.
#[must_use]
pub fn bytes_as_text(bytes: &[u8]) -> Option<String> {
    let text: String = bytes.iter().take_while(|byte| **byte != 0).fold(String::new(), |mut text, byte| {
        match byte {
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
        text
    });
    Some(text).filter(|text| !text.is_empty())
}

/// An environment block is cut here: Windows itself allows 32767 characters before Vista, and real blocks have a few KiB.
const MAX_ENVIRONMENT: usize = 0x10000;

/// Reads the `NAME=value` texts of an environment block of `size` bytes (0: unknown) at `at`.
///
/// # Errors
/// Some of it cannot be read, or it does not end. Half a block would look like a whole one.
pub fn environment(space: AddressSpace<'_>, at: VirtualAddress, size: u64) -> Result<Vec<String>, Absent> {
    let known = usize::try_from(size).ok().filter(|size| (1..=MAX_ENVIRONMENT).contains(size));
    let mut bytes = vec![0u8; known.unwrap_or(MAX_ENVIRONMENT)];
    let (read, fault) = space.read_some(at, &mut bytes);
    let (pairs, _) = bytes.get(..read).unwrap_or_default().as_chunks::<2>();
    // An empty text ends the block; what lies behind it need not be there.
    let mut variables = Vec::new();
    let mut start = 0usize;
    for (index, _) in pairs.iter().enumerate().filter(|(_, pair)| **pair == [0, 0]) {
        let variable = pairs.get(start..index).unwrap_or_default();
        if variable.is_empty() {
            return Ok(variables);
        }
        variables.push(utf16(variable.as_flattened()));
        start = index.saturating_add(1);
    }
    match fault {
        Some(fault) => Err(fault.into()),
        // Its stated size ends it as well.
        None if known.is_some() && start == pairs.len() => Ok(variables),
        None => Err(Absent::unparsable(format!("the environment block at {at} does not end within {read} bytes"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_lost_pages() {
        let units = |text: &[u16]| text.iter().map(|unit| unit.to_le_bytes()).collect::<Vec<_>>();
        for lost in [&[0, 0, 0][..], &[0xffff; 9], &[0x41, 0x42, 0, 0], &[0, 0x41, 0x42]] {
            assert!(is_lost(&units(lost)), "{lost:?}");
        }
        // One NUL at the end is counted by some programs, and one within is somebody's trick.
        for text in [&[0x41, 0x42, 0][..], &[0x41, 0, 0x42], &[0x41]] {
            assert!(!is_lost(&units(text)), "{text:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_kept() {
        assert_eq!(bytes_as_text(b"smss.exe\0junk").as_deref(), Some("smss.exe"));
        assert_eq!(bytes_as_text(b"a\x01\xffb").as_deref(), Some("a\\x01\\xffb"));
        assert_eq!(bytes_as_text(b"\0abc"), None);
        assert_eq!(utf16(&[0x41, 0, 0x00, 0xd8]), "A\\ud800");
    }
}

//! What a registry value holds: its type, and its bytes decoded by that type.

use crate::kernel::text::utf16;
use std::fmt;
use std::fmt::Write as _;

/// The type of a registry value (winnt.h, `REG_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueType(pub u32);

impl ValueType {
    /// `REG_NONE`: no type.
    pub const NONE: Self = Self(0);
    /// `REG_SZ`: text.
    pub const SZ: Self = Self(1);
    /// `REG_EXPAND_SZ`: text with environment variables in it.
    pub const EXPAND_SZ: Self = Self(2);
    /// `REG_BINARY`: bytes.
    pub const BINARY: Self = Self(3);
    /// `REG_DWORD`: 32 bits, little-endian.
    pub const DWORD: Self = Self(4);
    /// `REG_DWORD_BIG_ENDIAN`: 32 bits, big-endian.
    pub const DWORD_BIG_ENDIAN: Self = Self(5);
    /// `REG_LINK`: the target of a symbolic link.
    pub const LINK: Self = Self(6);
    /// `REG_MULTI_SZ`: several texts.
    pub const MULTI_SZ: Self = Self(7);
    /// `REG_QWORD`: 64 bits, little-endian.
    pub const QWORD: Self = Self(11);

    const NAMES: [(Self, &'static str); 12] = [
        (Self::NONE, "REG_NONE"),
        (Self::SZ, "REG_SZ"),
        (Self::EXPAND_SZ, "REG_EXPAND_SZ"),
        (Self::BINARY, "REG_BINARY"),
        (Self::DWORD, "REG_DWORD"),
        (Self::DWORD_BIG_ENDIAN, "REG_DWORD_BIG_ENDIAN"),
        (Self::LINK, "REG_LINK"),
        (Self::MULTI_SZ, "REG_MULTI_SZ"),
        (Self(8), "REG_RESOURCE_LIST"),
        (Self(9), "REG_FULL_RESOURCE_DESCRIPTOR"),
        (Self(10), "REG_RESOURCE_REQUIREMENTS_LIST"),
        (Self::QWORD, "REG_QWORD"),
    ];

    /// Reads the name that [`Display`](fmt::Display) gives.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let named = Self::NAMES.iter().find(|(_, name)| *name == text).map(|(kind, _)| *kind);
        named.or_else(|| crate::parse_hex(text.strip_prefix("0x")?).and_then(|n| u32::try_from(n).ok()).map(Self))
    }
}

/// `REG_SZ`; a type without a name as `0x00000077`.
impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(kind, _)| kind == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{:#010x}", self.0),
        }
    }
}

/// The bytes of a value, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistryData {
    /// `REG_SZ`, `REG_EXPAND_SZ`, `REG_LINK`: up to the first NUL.
    Text(String),
    /// `REG_MULTI_SZ`: without the empty text that ends the list. Empty texts before it are kept, because
    /// `PendingFileRenameOperations` means something by them.
    Texts(Vec<String>),
    /// `REG_DWORD` and `REG_DWORD_BIG_ENDIAN`, of 4 bytes.
    Dword(u32),
    /// `REG_QWORD`, of 8 bytes.
    Qword(u64),
    /// Everything else, and numbers of the wrong length.
    Bytes(Vec<u8>),
}

impl RegistryData {
    /// Decodes `bytes`, and says what was odd about them.
    #[must_use]
    pub fn decode(kind: ValueType, bytes: &[u8]) -> (Self, Vec<String>) {
        let mut notes = Vec::new();
        let wrong_length = || vec![format!("{kind} with {} bytes", bytes.len())];
        let data = match kind {
            ValueType::SZ | ValueType::EXPAND_SZ | ValueType::LINK => Self::Text(text(bytes, &mut notes)),
            ValueType::MULTI_SZ => Self::Texts(texts(bytes, &mut notes)),
            ValueType::DWORD | ValueType::DWORD_BIG_ENDIAN => match <[u8; 4]>::try_from(bytes) {
                Ok(four) if kind == ValueType::DWORD => Self::Dword(u32::from_le_bytes(four)),
                Ok(four) => Self::Dword(u32::from_be_bytes(four)),
                Err(_) => return (Self::Bytes(bytes.to_vec()), wrong_length()),
            },
            ValueType::QWORD => match <[u8; 8]>::try_from(bytes) {
                Ok(eight) => Self::Qword(u64::from_le_bytes(eight)),
                Err(_) => return (Self::Bytes(bytes.to_vec()), wrong_length()),
            },
            _ => Self::Bytes(bytes.to_vec()),
        };
        (data, notes)
    }

    /// The text of a `REG_SZ`, `REG_EXPAND_SZ` or `REG_LINK`.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The texts of a `REG_MULTI_SZ`.
    #[must_use]
    pub fn as_texts(&self) -> Option<&[String]> {
        if let Self::Texts(texts) = self { Some(texts) } else { None }
    }

    /// The number of a `REG_DWORD`, `REG_DWORD_BIG_ENDIAN` or `REG_QWORD`.
    #[must_use]
    pub const fn as_number(&self) -> Option<u64> {
        match self {
            Self::Dword(number) => Some(*number as u64),
            Self::Qword(number) => Some(*number),
            Self::Text(_) | Self::Texts(_) | Self::Bytes(_) => None,
        }
    }

    /// True where there is nothing in it: no text, no texts (or only empty ones), no bytes. A number is never empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Texts(texts) => texts.iter().all(String::is_empty),
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Dword(_) | Self::Qword(_) => false,
        }
    }
}

/// Text as it is; several texts with ` | ` between them; numbers and bytes in hexadecimal.
impl fmt::Display for RegistryData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Texts(texts) => f.write_str(&texts.join(" | ")),
            Self::Dword(number) => write!(f, "{number:#010x}"),
            Self::Qword(number) => write!(f, "{number:#018x}"),
            Self::Bytes(bytes) => f.write_str(&hexadecimal(bytes)),
        }
    }
}

/// Bytes as hexadecimal digits, lower case.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len().saturating_mul(2)), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes that hexadecimal digits stand for.
pub(super) fn from_hexadecimal(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    rest.is_empty().then_some(())?;
    pairs.iter().map(|[high, low]| Some(digit(*high)?.wrapping_shl(4) | digit(*low)?)).collect()
}

/// What lies behind a text's end is quoted up to here.
const MAX_QUOTED: usize = 64;
/// Characters kept of what lies behind a text's end.
const MAX_HIDDEN: usize = 256;

/// The text behind the NUL that ends a text: smss.exe and registry editors read up to there. `None`: there is none, or the value is no
/// text.
pub(super) fn hidden_text(kind: ValueType, bytes: &[u8]) -> Option<String> {
    if !matches!(kind, ValueType::SZ | ValueType::EXPAND_SZ | ValueType::LINK) {
        return None;
    }
    let (units, _) = bytes.as_chunks::<2>();
    let end = units.iter().position(|unit| *unit == [0, 0])?;
    let behind = units.get(end..)?;
    let first = behind.iter().position(|unit| *unit != [0, 0])?;
    let behind = behind.get(first..)?;
    let behind = behind.get(..behind.len().min(MAX_HIDDEN))?;
    Some(utf16(behind.as_flattened()).trim_end_matches('\0').to_owned())
}

fn text(bytes: &[u8], notes: &mut Vec<String>) -> String {
    let (units, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        notes.push(format!("text of {} bytes, which is odd", bytes.len()));
    }
    let end = units.iter().position(|unit| *unit == [0, 0]).unwrap_or(units.len());
    let (text, behind) = units.split_at_checked(end).unwrap_or((units, &[]));
    if behind.iter().any(|unit| *unit != [0, 0]) {
        // A program that reads up to the NUL does not see it, and neither does a registry editor.
        let behind = behind.as_flattened();
        let shown = hexadecimal(behind.get(..behind.len().min(MAX_QUOTED)).unwrap_or(behind));
        notes.push(format!("{} bytes from the first NUL on: {shown}", behind.len()));
    }
    utf16(text.as_flattened())
}

fn texts(bytes: &[u8], notes: &mut Vec<String>) -> Vec<String> {
    let (units, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        notes.push(format!("texts of {} bytes, which is odd", bytes.len()));
    }
    let mut texts: Vec<String> = units
        .split_inclusive(|unit| *unit == [0, 0])
        .map(|text| utf16(text.strip_suffix(&[[0, 0]]).unwrap_or(text).as_flattened()))
        .collect();
    // The list ends with an empty text.
    texts.pop_if(|last| last.is_empty());
    if texts.iter().all(String::is_empty) {
        texts.clear();
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn types_by_their_published_numbers() {
        // winnt.h: REG_RESOURCE_REQUIREMENTS_LIST 10, REG_QWORD 11.
        for (number, name) in
            [(0, "REG_NONE"), (7, "REG_MULTI_SZ"), (10, "REG_RESOURCE_REQUIREMENTS_LIST"), (11, "REG_QWORD")]
        {
            assert_eq!(ValueType(number).to_string(), name);
            assert_eq!(ValueType::parse(name), Some(ValueType(number)));
        }
        assert_eq!(ValueType(0x77).to_string(), "0x00000077");
        assert_eq!(ValueType::parse("0x00000077"), Some(ValueType(0x77)));
    }

    #[test]
    fn several_texts() {
        let texts = |text: &str| match RegistryData::decode(ValueType::MULTI_SZ, &wide(text)) {
            (RegistryData::Texts(texts), notes) if notes.is_empty() => texts,
            other => panic!("{other:?}"),
        };
        assert_eq!(texts("a\0b\0\0"), ["a", "b"]);
        assert_eq!(texts("a\0b"), ["a", "b"]);
        // A file that PendingFileRenameOperations deletes.
        assert_eq!(texts("\\??\\C:\\x\0\0\\??\\C:\\y\0\0\0"), ["\\??\\C:\\x", "", "\\??\\C:\\y", ""]);
        for nothing in ["", "\0", "\0\0"] {
            assert!(texts(nothing).is_empty());
        }
    }

    #[test]
    fn odd_bytes_are_said_and_kept() {
        let (data, notes) = RegistryData::decode(ValueType::SZ, &wide("a\0hidden\0"));
        assert_eq!(data, RegistryData::Text("a".into()));
        assert_eq!(notes.len(), 1, "{notes:?}");
        let hidden = |kind, text: &str| hidden_text(kind, &wide(text));
        assert_eq!(hidden(ValueType::SZ, "a\0hidden\0").as_deref(), Some("hidden"));
        assert_eq!(hidden(ValueType::EXPAND_SZ, "a\0\0\0 b\0c\0\0").as_deref(), Some(" b\0c"));
        for (kind, text) in [(ValueType::SZ, "a\0\0\0"), (ValueType::SZ, "a"), (ValueType::MULTI_SZ, "a\0b\0\0")] {
            assert_eq!(hidden(kind, text), None, "{text:?}");
        }
        let (data, notes) = RegistryData::decode(ValueType::DWORD, &[1, 2, 3]);
        assert_eq!(data, RegistryData::Bytes(vec![1, 2, 3]));
        assert_eq!(notes, ["REG_DWORD with 3 bytes"]);
        assert_eq!(RegistryData::decode(ValueType::DWORD_BIG_ENDIAN, &[0, 0, 1, 2]).0, RegistryData::Dword(0x102));
        assert_eq!(from_hexadecimal(&hexadecimal(&[0, 0xff, 0x1a])), Some(vec![0, 0xff, 0x1a]));
        assert_eq!(from_hexadecimal("0g"), None);
    }
}

//! Where the bytes of a value came from.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// What supplied the page that a value lies in. In documents it is one string: `memory`, `transition`, `prototype`,
/// `page file 0`, `compressed store`, `file cache`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Memory, by a page-table entry that is present.
    #[default]
    Memory,
    /// Memory, by an entry in transition: the page had left the working set.
    Transition,
    /// Memory, by a prototype entry: the page is shared.
    Prototype,
    /// A page file, which was copied at another time than memory.
    PageFile {
        /// The number that the kernel has for it.
        number: u32,
        /// Where in the file it is, in bytes. `None`: it is not told.
        offset: Option<u64>,
    },
    /// The compressed store, which is in memory.
    CompressedStore,
    /// The compressed store, whose packed bytes are in a page file themselves.
    StoreInPageFile {
        /// The number that the kernel has for that.
        number: u32,
        /// Where in the file they are, in bytes. `None`: it is not told.
        offset: Option<u64>,
    },
    /// What memory has of a file, where the process that has it mapped has lost the page: it is the file's, and may be older than
    /// what that process had.
    FileCache,
}

impl Origin {
    /// Whether it was copied at another time than memory.
    #[must_use]
    pub const fn is_of_another_time(self) -> bool {
        matches!(self, Self::PageFile { .. } | Self::StoreInPageFile { .. })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Transition => f.write_str("transition"),
            Self::Prototype => f.write_str("prototype"),
            Self::PageFile { number, offset: None } => write!(f, "page file {number}"),
            Self::PageFile { number, offset: Some(offset) } => write!(f, "page file {number} at {offset:#x}"),
            Self::CompressedStore => f.write_str("compressed store"),
            Self::StoreInPageFile { number, offset } => {
                write!(f, "compressed store, in {}", Self::PageFile { number: *number, offset: *offset })
            }
            Self::FileCache => f.write_str("file cache"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let fixed = [Self::Memory, Self::Transition, Self::Prototype, Self::CompressedStore, Self::FileCache];
        let by_name = fixed.into_iter().find(|origin| origin.to_string() == text);
        let page_file = |text: &str| {
            let text = text.strip_prefix("page file ")?;
            let (number, offset) = match text.split_once(" at 0x") {
                Some((number, offset)) => (number, Some(u64::from_str_radix(offset, 16).ok()?)),
                None => (text, None),
            };
            Some((number.parse().ok()?, offset))
        };
        let by_file = || {
            let packed = text.strip_prefix("compressed store, in ");
            let (number, offset) = page_file(packed.unwrap_or(&text))?;
            Some(match packed {
                Some(_) => Self::StoreInPageFile { number, offset },
                None => Self::PageFile { number, offset },
            })
        };
        by_name.or_else(by_file).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no origin of a page")))
    }
}

#[cfg(test)]
mod tests {
    use super::Origin;

    /// What documents of this edition say, and what those before it said of page files.
    #[test]
    fn words_are_read_back() {
        let (number, offset) = (1, Some(0x1a4_8010));
        let all = [
            (Origin::Transition, "transition"),
            (Origin::CompressedStore, "compressed store"),
            (Origin::PageFile { number, offset }, "page file 1 at 0x1a48010"),
            (Origin::PageFile { number, offset: None }, "page file 1"),
            (Origin::StoreInPageFile { number, offset }, "compressed store, in page file 1 at 0x1a48010"),
        ];
        for (origin, words) in all {
            let read: Origin = serde_json::from_value(words.into()).unwrap();
            assert_eq!((read, origin.to_string().as_str()), (origin, words));
        }
        assert!(serde_json::from_value::<Origin>("page file one".into()).is_err());
    }
}

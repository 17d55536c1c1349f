//! `_OBJECT_HEADER`: what lies in front of every kernel object and says of which type it is.

use crate::kernel::{Direction, Kernel, list, text};
use crate::{Absent, VirtualAddress};
use std::collections::BTreeMap;

/// The types of objects that this kernel knows, and how a header names its type.
#[derive(Clone, Debug)]
pub struct ObjectTypes<'k> {
    kernel: &'k Kernel<'k>,
    table: &'k TypeTable,
}

/// What is read of the types of objects, once for a kernel.
#[derive(Clone, Debug)]
pub(crate) struct TypeTable {
    /// Names by index.
    names: BTreeMap<u8, String>,
    /// `ObHeaderCookie`, which hides the index since Windows 10.
    cookie: Option<u8>,
}

/// The first build that hides type indexes.
const HIDDEN_SINCE: u32 = 10240;
/// `InfoMask` bits of the optional headers, nearest to the object first.
const CREATOR_INFO: u8 = 1;
const NAME_INFO: u8 = 2;

impl<'k> ObjectTypes<'k> {
    /// What the index of an object becomes when its memory is given back: the entry of the table that is no type.
    pub const FREED: u8 = 1;

    /// Reads `ObTypeIndexTable` and `ObHeaderCookie`; where the symbols lack the latter, the headers of processes show its value.
    ///
    /// # Errors
    /// The symbols lack the table, nothing tells the cookie, or no type can be read.
    pub fn read(kernel: &'k Kernel<'k>) -> Result<Self, Absent> {
        let table = kernel.types.get_or_init(|| TypeTable::read(kernel)).as_ref().map_err(Clone::clone)?;
        Ok(Self { kernel, table })
    }

    /// The address of the object whose header lies at `header`.
    ///
    /// # Errors
    /// The symbols lack `_OBJECT_HEADER`.
    pub fn body(&self, header: VirtualAddress) -> Result<VirtualAddress, Absent> {
        Ok(header.wrapping_add(self.kernel.layouts().object_header.as_ref()?.body.offset))
    }

    /// The address of the header of the object at `body`.
    ///
    /// # Errors
    /// The symbols lack `_OBJECT_HEADER`.
    pub fn header(&self, body: VirtualAddress) -> Result<VirtualAddress, Absent> {
        Ok(body.wrapping_sub(self.kernel.layouts().object_header.as_ref()?.body.offset))
    }

    /// The type index that the byte `stored` in the header at `header` stands for: since Windows 10 it is mixed with
    /// the cookie and the second byte of the header's address.
    #[must_use]
    pub const fn decode(&self, header: VirtualAddress, stored: u8) -> u8 {
        match self.table.cookie {
            Some(cookie) => {
                let [_, second, ..] = header.0.to_le_bytes();
                stored ^ cookie ^ second
            }
            None => stored,
        }
    }

    /// Whether a type of this name is known.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        self.table.names.values().any(|known| known == name)
    }

    /// `_OBJECT_TYPE.Name` of an index.
    #[must_use]
    pub fn name(&self, index: u8) -> Option<&str> {
        self.table.names.get(&index).map(String::as_str)
    }

    /// The type of the object whose header lies at `header`: `Process`, `Thread`, `File` ...
    ///
    /// # Errors
    /// The header cannot be read, or names no type.
    pub fn type_of(&self, header: VirtualAddress) -> Result<&str, Absent> {
        let layout = self.kernel.layouts().object_header.as_ref()?;
        let [stored] = self.kernel.space().read_array(header.wrapping_add(layout.type_index.offset))?;
        // PointerCount and HandleCount, which come first in every build, are never all ones.
        if self.kernel.space().read_array::<16>(header)? == [0xff; 16] {
            return Err(Absent::unparsable(format!("what stands at {header} is no object header: it is all ones")));
        }
        let index = self.decode(header, stored);
        self.name(index).ok_or_else(|| {
            Absent::unparsable(format!("the object header at {header} is of type {index}, which is none"))
        })
    }

    /// The name of the object whose header lies at `header`, within its directory. `None`: it has none.
    ///
    /// # Errors
    /// The header or the name cannot be read.
    pub fn name_of(&self, header: VirtualAddress) -> Result<Option<String>, Absent> {
        name_of(self.kernel, header)
    }
}

/// See [`ObjectTypes::name_of`]: it takes no types.
pub(super) fn name_of(kernel: &Kernel<'_>, header: VirtualAddress) -> Result<Option<String>, Absent> {
    Ok(named(kernel, header)?.map(|named| named.name))
}

/// What names an object.
pub(super) struct Named {
    /// Its name in its directory.
    pub name: String,
    /// The directory; null: it is in none.
    pub directory: Result<VirtualAddress, Absent>,
}

/// What names the object whose header lies at `header`. `None`: it has no name.
pub(super) fn named(kernel: &Kernel<'_>, header: VirtualAddress) -> Result<Option<Named>, Absent> {
    let layouts = kernel.layouts();
    let layout = layouts.object_header.as_ref()?;
    let space = kernel.space();
    let [mask] = space.read_array(header.wrapping_add(layout.info_mask.offset))?;
    if mask & NAME_INFO == 0 {
        return Ok(None);
    }
    let creator = if mask & CREATOR_INFO == 0 { 0 } else { layouts.creator_info.as_ref()?.size };
    let name = layouts.name_info.as_ref()?;
    let info = header.wrapping_sub(creator).wrapping_sub(name.size);
    let directory = name.directory.ok_or_else(|| Absent::no_symbol("_OBJECT_HEADER_NAME_INFO.Directory"));
    let directory = directory.and_then(|field| Ok(space.read_pointer(info.wrapping_add(field.offset))?));
    let name = text::file_name(space, info.wrapping_add(name.name.offset))?;
    Ok(name.map(|name| Named { name, directory }))
}

impl TypeTable {
    fn read(kernel: &Kernel<'_>) -> Result<Self, Absent> {
        let layout = kernel.layouts().object_type.as_ref()?;
        let space = kernel.space();
        let table = kernel.global("ObTypeIndexTable")?;
        let name = |index: u8| {
            let address = space.read_pointer(table.wrapping_add(u64::from(index).wrapping_mul(8))).ok()?;
            let own = space.read_array::<1>(address.wrapping_add(layout.index.offset)).ok()?;
            // A type knows its index: what follows the table, and its first two entries, do not.
            (address.is_kernel() && own == [index]).then_some(())?;
            text::unicode_string(space, address.wrapping_add(layout.name.offset)).ok()?.filter(|name| is_name(name))
        };
        let names: BTreeMap<u8, String> = (0..=u8::MAX).filter_map(|index| Some((index, name(index)?))).collect();
        if names.is_empty() {
            return Err(Absent::unreadable(format!("no object type in ObTypeIndexTable at {table}")));
        }
        let cookie = match kernel.global("ObHeaderCookie") {
            Ok(at) => {
                // One byte decides for all objects; that the headers of processes name the type of processes, many say.
                let stored = space.read_array(at).map(u8::from_le_bytes);
                Some(shown_cookie(kernel, &names).map_or(stored, Ok)?)
            }
            Err(_) if kernel.build().is_ok_and(|build| build < HIDDEN_SINCE) => None,
            Err(error) => shown_cookie(kernel, &names).ok_or_else(|| Absent::from(error)).map(Some)?,
        };
        Ok(Self { names, cookie })
    }
}

/// Whether a text can be the name of a type: all are words of letters. What stands in a page that was lost is none.
fn is_name(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ') && text.contains(char::is_alphabetic)
}

/// Processes whose headers are asked for the cookie.
const MAX_ASKED: usize = 64;

/// The cookie with which the headers of processes name the type `Process`: that of more than half of them, two at least. (Whoever writes
/// over a header hides that process, not all.)
fn shown_cookie(kernel: &Kernel<'_>, names: &BTreeMap<u8, String>) -> Option<u8> {
    let (process, _) = names.iter().find(|(_, name)| *name == "Process")?;
    let layout = kernel.layouts().object_header.as_ref().ok()?;
    let head = kernel.global("PsActiveProcessHead").ok()?;
    let (entries, _) = list(kernel.space(), head, Direction::Forward, MAX_ASKED, VirtualAddress::is_kernel);
    let mut votes: BTreeMap<u8, usize> = BTreeMap::new();
    for entry in entries.iter().take(MAX_ASKED) {
        let body = entry.wrapping_sub(kernel.layouts().process.links.offset);
        let header = body.wrapping_sub(layout.body.offset);
        let Ok([stored]) = kernel.space().read_array(header.wrapping_add(layout.type_index.offset)) else { continue };
        let [_, second, ..] = header.0.to_le_bytes();
        let count = votes.entry(stored ^ second ^ process).or_default();
        *count = count.saturating_add(1);
    }
    let all: usize = votes.values().sum();
    let (cookie, most) = votes.into_iter().max_by_key(|(_, count)| *count)?;
    (most >= 2 && most > all / 2).then_some(cookie)
}

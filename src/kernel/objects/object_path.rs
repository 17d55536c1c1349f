//! Where a named object stands in the namespace of the object manager, by the directories above it.

use super::object::{ObjectTypes, named};
use crate::kernel::Kernel;
use crate::{Absent, VirtualAddress};
use std::collections::HashMap;

/// Directories above each other: Windows' own lie six deep, in a container eight.
const MAX_LEVELS: usize = 32;
/// Bytes of the path of a directory. Windows' own have fewer than a hundred; hostile ones would be kept as often as they are deep.
const MAX_PATH: usize = 1 << 12;
/// Directories read for the handles of one process.
const MAX_DIRECTORIES: usize = 1 << 12;
/// The name of the directory above all others.
const ROOT: &str = "\\";

/// Reads the paths of objects, with bounded work for all of them.
pub(crate) struct ObjectPaths<'k> {
    types: ObjectTypes<'k>,
    kernel: &'k Kernel<'k>,
    /// Paths of directories: that of the root is empty.
    known: HashMap<VirtualAddress, Result<String, Absent>>,
}

impl<'k> ObjectPaths<'k> {
    pub(crate) fn new(kernel: &'k Kernel<'k>, types: ObjectTypes<'k>) -> Self {
        Self { types, kernel, known: HashMap::new() }
    }

    /// `\Sessions\1\BaseNamedObjects\Run` of the object whose header lies at `header`. `None`: it has no name, or stands in no
    /// directory, as after its name was taken away.
    ///
    /// # Errors
    /// The symbols lack a structure, a directory cannot be read, or they do not lead to the root: half of a path would look like
    /// that of another object.
    pub(crate) fn path(&mut self, header: VirtualAddress) -> Result<Option<String>, Absent> {
        let Some(own) = named(self.kernel, header)? else { return Ok(None) };
        let directory = own.directory?;
        if directory.is_null() {
            return Ok((own.name == ROOT).then_some(own.name));
        }
        let above = self.directory(directory)?;
        Ok(Some(format!("{above}\\{}", own.name)))
    }

    /// The path of the directory at `at`, without a separator at its end.
    fn directory(&mut self, at: VirtualAddress) -> Result<String, Absent> {
        let (mut names, mut above, mut way) = (Vec::new(), at, Vec::new());
        let mut path = loop {
            if let Some(known) = self.known.get(&above) {
                break known.clone();
            }
            if way.len() >= MAX_LEVELS {
                break Err(Absent::unparsable(format!("the directory at {at} has {MAX_LEVELS} others above it")));
            }
            if self.known.len().saturating_add(way.len()) >= MAX_DIRECTORIES {
                let why = format!("{MAX_DIRECTORIES} directories were read for the handles before it");
                return Err(Absent::not_collected(why));
            }
            way.push(above);
            match self.level(above) {
                Ok((_, None)) => break Ok(String::new()),
                Ok((name, Some(next))) => {
                    names.push(name);
                    above = next;
                }
                Err(why) => break Err(why),
            }
        };
        // The nearest to the root first; that itself adds no name.
        let named = way.len().min(names.len());
        if way.len() > named {
            self.known.extend(way.pop().map(|root| (root, path.clone())));
        }
        for (directory, name) in way.into_iter().zip(names).rev() {
            path = path.and_then(|path| {
                let longer = format!("{path}\\{name}");
                if longer.len() > MAX_PATH {
                    Err(Absent::unparsable("its path is longer than any is"))
                } else {
                    Ok(longer)
                }
            });
            self.known.insert(directory, path.clone());
        }
        path
    }

    /// The name of the directory at `at`, and the one above. `None`: it is the root.
    fn level(&self, at: VirtualAddress) -> Result<(String, Option<VirtualAddress>), Absent> {
        let header = self.types.header(at)?;
        let kind = self.types.type_of(header)?;
        if kind != "Directory" {
            return Err(Absent::unparsable(format!("what leads to {at} as to a directory leads to a {kind}")));
        }
        let none = || Absent::unparsable(format!("the directory at {at} is in none, and is not the root"));
        let own = named(self.kernel, header)?.ok_or_else(none)?;
        match own.directory? {
            above if !above.is_null() => Ok((own.name, Some(above))),
            _ if own.name == ROOT => Ok((String::new(), None)),
            _ => Err(none()),
        }
    }
}

//! What can go wrong with symbols.

use super::names::{MICROSOFT, file_name, server_path};
use crate::symbols::PdbInfo;
use std::path::PathBuf;

/// Why symbols could not be had, or lack something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SymbolError {
    /// The symbols have no such structure.
    #[error("these symbols have no type {name}")]
    NoType {
        /// C name.
        name: String,
    },
    /// The symbols have no such field.
    #[error("these symbols have no field {name}")]
    NoField {
        /// Structure and field.
        name: String,
    },
    /// The symbols have no such global.
    #[error("these symbols have no global {name}")]
    NoGlobal {
        /// Its name.
        name: String,
    },
    /// A field has another size than its type needs.
    #[error("{name} has {found} bytes in these symbols, and {needed} are expected")]
    WrongSize {
        /// Structure and field.
        name: String,
        /// Bytes that the type needs.
        needed: u64,
        /// Bytes that the symbols give.
        found: u64,
    },
    /// A field is no bit-field.
    #[error("{name} is no bit-field in these symbols")]
    NotBits {
        /// Structure and field.
        name: String,
    },
    /// A symbol file could not be read.
    #[error("cannot read symbols from {}: {reason}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A symbol file belongs to another kernel.
    #[error("{} belongs to {} {} age {}, not to {} {} age {}", .file.display(), .found.name, .found.guid, .found.age, .needed.name, .needed.guid, .needed.age)]
    WrongId {
        /// The file.
        file: PathBuf,
        /// Whose symbols it has.
        found: Box<PdbInfo>,
        /// Whose symbols are needed.
        needed: Box<PdbInfo>,
    },
    /// No file with the symbols was found.
    #[error("{}", missing_text(.needed, .tried))]
    Missing {
        /// The PDB that the kernel's CodeView record names.
        needed: Box<PdbInfo>,
        /// Every place that was looked at, and what was there.
        tried: Vec<String>,
    },
    /// The kernel's CodeView record is not there, so that nothing says which symbols are its own.
    #[error("{}", nameless_text(.tried))]
    Nameless {
        /// Everything that was tried instead.
        tried: Vec<String>,
    },
}

impl SymbolError {
    /// The error of one file in a list of files: the file, then what is wrong with it.
    pub(crate) fn of_file(&self) -> String {
        match self {
            Self::File { file, reason } => format!("{}: {reason}", file.display()),
            Self::WrongId { file, found, needed } if found.guid.eq_ignore_ascii_case(&needed.guid) => {
                format!("{}: wrong age: {}", file.display(), found.age)
            }
            Self::WrongId { file, found, .. } => {
                format!("{}: wrong GUID: {}, age {}", file.display(), found.guid, found.age)
            }
            Self::Missing { tried, .. } if !tried.is_empty() => tried.join("; "),
            other => other.to_string(),
        }
    }
}

fn nameless_text(tried: &[String]) -> String {
    let mut text = "no symbols for this kernel: its CodeView record, which names its PDB, is not there, and the image does not show \
                    which layouts are its own.\nIf you know the kernel from elsewhere (its file on the disk), give its PDB or \
                    Volatility 3 symbol file with --symbols FILE: it is used if it leads to the System process."
        .to_owned();
    for place in tried {
        text.push_str("\n  tried ");
        text.push_str(place);
    }
    text
}

fn missing_text(needed: &PdbInfo, tried: &[String]) -> String {
    let PdbInfo { guid, age, .. } = needed;
    let (name, path) = (file_name(needed), server_path(needed));
    let mut text = format!(
        "no symbols for this kernel: it needs {name}, GUID {guid}, age {age}.\n\
         Fetch it where there is a network, from Microsoft's symbol server:\n  \
           {MICROSOFT}/{path}\n\
         and keep it as DIR/{path} or DIR/{name}, where DIR is a folder given with --symbols.\n\
         A Volatility 3 symbol file of the same kernel serves too: DIR/{guid}-{age}.json.xz"
    );
    if cfg!(feature = "symbol-server") {
        text.push_str("\nIf this machine may ask that server itself: --fetch");
    }
    if tried.is_empty() {
        text.push_str("\nNo place to look was given.");
    } else {
        text.push_str("\nLooked at:");
        for place in tried {
            text.push_str("\n  ");
            text.push_str(place);
        }
    }
    text
}

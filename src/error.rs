//! Errors that end the work: few, and each says what to do next.

use std::path::PathBuf;

/// Why an image could not be analysed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be opened or mapped.
    #[error("cannot open {}: {reason}", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        reason: std::io::Error,
    },
    /// The file is no memory image of a kind that can be read.
    #[error("{what}. {advice}")]
    NotAnImage {
        /// What the file is.
        what: String,
        /// What to do about it.
        advice: String,
    },
    /// The image is of a known kind, and cannot be used.
    #[error("{what}. {advice}")]
    Unsupported {
        /// What it is.
        what: String,
        /// What to do about it.
        advice: String,
    },
    /// No Windows kernel was found.
    #[error(transparent)]
    NoKernel(Box<crate::kernel::LocateFailure>),
    /// The layouts of this kernel could not be had.
    #[error(transparent)]
    Symbols(#[from] crate::symbols::SymbolError),
    /// The symbols are the kernel's, and what they point to is not there.
    #[error("{what}. {advice}")]
    NoProcesses {
        /// What was looked for.
        what: String,
        /// What to do about it.
        advice: String,
    },
}

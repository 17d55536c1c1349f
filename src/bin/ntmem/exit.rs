//! Exit statuses beside 0 and the verdicts.

/// Could not analyse.
pub const FAILED: u8 = 3;
/// What was asked for is not in the image: a registry key, a process.
pub const NOT_THERE: u8 = 4;
/// Wrong usage, as in sysexits.h.
pub const USAGE: u8 = 64;

/// The command line asks for something that there is not.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// What was asked for is not in the image.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotThere(pub String);

/// The exit status of a command that ended in this error.
pub fn code(error: &anyhow::Error) -> u8 {
    match error {
        error if error.is::<Usage>() => USAGE,
        error if error.is::<NotThere>() => NOT_THERE,
        _ => FAILED,
    }
}

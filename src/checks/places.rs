//! Where a file lies, by who can write there.

use super::paths::{SystemRoot, VolumePath};

/// Sorts of directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// System32 and below.
    System32,
    /// Elsewhere below the system root.
    SystemRoot,
    ProgramFiles,
    /// Users can write there, or in most of it.
    Writable,
    Other,
    /// It is no path.
    Unclear,
}

const WRITABLE: &[&str] = &[
    "\\Users",
    "\\Documents and Settings",
    "\\ProgramData",
    "\\PerfLogs",
    "\\$Recycle.Bin",
    "\\RECYCLER",
    "\\Temp",
    "\\Tmp",
];
const WRITABLE_IN_ROOT: &[&str] = &["\\Temp", "\\Tasks", "\\Tracing", "\\System32\\spool\\drivers\\color"];
const WRITABLE_VARIABLES: &[&str] = &[
    "%TEMP%",
    "%TMP%",
    "%USERPROFILE%",
    "%APPDATA%",
    "%LOCALAPPDATA%",
    "%PUBLIC%",
    "%PROGRAMDATA%",
    "%ALLUSERSPROFILE%",
    "%HOMEPATH%",
];
const PROGRAM_VARIABLES: &[&str] = &["%PROGRAMFILES%", "%PROGRAMFILES(X86)%", "%PROGRAMW6432%", "%COMMONPROGRAMFILES%"];
/// Short names of `Program Files` and `Program Files (x86)`.
const SHORT_NAMES: &[&str] = &["\\PROGRA~1", "\\PROGRA~2"];

fn starts_with_any(text: &str, prefixes: &[&str]) -> bool {
    let starts = |prefix: &&str| text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    prefixes.iter().any(starts)
}

/// The path, with `%SystemDrive%` taken as the volume it is.
pub(super) fn path(text: &str) -> Option<VolumePath> {
    const DRIVE: &str = "%SystemDrive%";
    let rest = text.get(..DRIVE.len()).filter(|start| start.eq_ignore_ascii_case(DRIVE)).and(text.get(DRIVE.len()..));
    VolumePath::read(rest.unwrap_or(text))
}

/// Where the file or directory `text` lies.
pub(super) fn place(root: &SystemRoot, text: &str) -> Place {
    if text.split(['\\', '/']).any(|part| part == "..") {
        return Place::Other;
    }
    if starts_with_any(text, WRITABLE_VARIABLES) {
        return Place::Writable;
    }
    if starts_with_any(text, PROGRAM_VARIABLES) {
        return Place::ProgramFiles;
    }
    let text = text.trim_end_matches('\\');
    if ["%SystemRoot%", "%windir%"].iter().any(|root| root.eq_ignore_ascii_case(text)) {
        return Place::SystemRoot;
    }
    let Some(path) = path(text) else { return Place::Unclear };
    let within = |directory: &str| root.holds(&path, directory) || root.holds_below(&path, directory);
    let below = |directory: &&str| path.is_at_or_below(directory);
    if WRITABLE_IN_ROOT.iter().any(|directory| within(directory)) || WRITABLE.iter().any(below) {
        Place::Writable
    } else if within("\\System32") {
        Place::System32
    } else if within("") {
        Place::SystemRoot
    } else if path.in_program_files() || SHORT_NAMES.iter().any(below) {
        Place::ProgramFiles
    } else {
        Place::Other
    }
}

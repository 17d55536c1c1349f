//! Where a file lies, by who can write there.

use super::paths::{SystemRoot, VolumePath, may_be};
use super::words::{same, strip};

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
/// The path, with `%SystemDrive%` taken as the volume it is.
pub(super) fn path(text: &str) -> Option<VolumePath> {
    VolumePath::read(strip(text, "%SystemDrive%").unwrap_or(text))
}

/// What a name that somebody wrote may mean: see [`VolumePath::meant`].
pub(super) fn meant(text: &str) -> Option<VolumePath> {
    VolumePath::meant(strip(text, "%SystemDrive%").unwrap_or(text))
}

/// Where the file or directory `text` lies. Short names (`PROGRA~1`) and the other name of System32 for 32-bit programs (SysNative)
/// are what they may stand for.
pub(super) fn place(root: &SystemRoot, text: &str) -> Place {
    let starts_with = |variables: &[&str]| variables.iter().any(|variable| strip(text, variable).is_some());
    if starts_with(WRITABLE_VARIABLES) {
        return Place::Writable;
    }
    if starts_with(PROGRAM_VARIABLES) {
        return Place::ProgramFiles;
    }
    let bare = text.trim_end_matches('\\');
    if ["%SystemRoot%", "%windir%"].iter().any(|root| same(root, bare)) {
        return Place::SystemRoot;
    }
    meant(text).map_or(Place::Unclear, |path| place_of(root, &path))
}

/// Where a path leads.
pub(super) fn place_of(root: &SystemRoot, path: &VolumePath) -> Place {
    if path.is_remote() {
        return Place::Other;
    }
    let found = parts(root, path);
    // Both are made by setup, before any other directory whose name begins so.
    if found.first().is_some_and(|first| ["PROGRA~1", "PROGRA~2"].iter().any(|short| same(first, short))) {
        return Place::ProgramFiles;
    }
    let in_root = |directory: &str| root.all().iter().any(|root| is_within(&found, &format!("{root}{directory}")));
    let below = |directory: &&str| is_within(&found, directory);
    if WRITABLE_IN_ROOT.iter().any(|directory| in_root(directory)) || WRITABLE.iter().any(below) {
        Place::Writable
    } else if in_root("\\System32") || in_root("\\SysNative") {
        Place::System32
    } else if in_root("") {
        Place::SystemRoot
    } else if ["\\Program Files", "\\Program Files (x86)"].iter().any(below) {
        Place::ProgramFiles
    } else {
        Place::Other
    }
}

/// The directories and the file of a path, from the root of its volume on.
pub(super) fn parts(root: &SystemRoot, path: &VolumePath) -> Vec<String> {
    let whole = root.below_volume(path);
    whole.split('\\').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Whether a path is `directory`, or below it.
pub(super) fn is_within(found: &[String], directory: &str) -> bool {
    let known: Vec<&str> = directory.split('\\').filter(|part| !part.is_empty()).collect();
    found.len() >= known.len() && found.iter().zip(known).all(|(found, known)| may_be(found, known))
}

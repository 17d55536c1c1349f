//! Paths of images, made comparable: relative to their volume, whatever the form they come in.

mod names;

use super::words::{same, strip};

/// Whether `found`, a file or directory in a path, is the one named `known`, or may be by its short name: `PROGRA~1`. NT makes a
/// short name of up to six letters of the long one, a tilde and a number, and up to three letters of its extension.
pub(super) fn may_be(found: &str, known: &str) -> bool {
    same(found, known) || is_short_for(found, known)
}

/// See [`may_be`].
pub(super) fn is_short_for(found: &str, known: &str) -> bool {
    let (stem, extension) = found.split_once('.').unwrap_or((found, ""));
    let Some((start, number)) = stem.split_once('~') else { return false };
    let (long_stem, long_extension) = known.rsplit_once('.').unwrap_or((known, ""));
    let kept = |text: &str| text.chars().filter(|c| !matches!(c, ' ' | '.')).collect::<String>();
    let is_number = !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
    let letters: String = kept(long_extension).chars().take(3).collect();
    is_number
        && (2..=6).contains(&start.chars().count())
        && strip(&kept(long_stem), start).is_some()
        && same(extension, &letters)
}

/// A path below the root of its volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VolumePath {
    /// `\Windows\System32\smss.exe`; below the system root if `in_root`.
    path: String,
    /// It was given relative to the system root.
    in_root: bool,
    /// The drive letter, where the form has one.
    drive: Option<char>,
    /// It is on a server, a shared folder or a snapshot: on no volume that this Windows runs from.
    remote: bool,
    /// `HarddiskVolume3`, where the form has a device.
    device: Option<String>,
}

/// The directory Windows runs from, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SystemRoot {
    /// `\Windows`, where known.
    known: Option<String>,
    drive: Option<char>,
}

/// Directory names that Windows was ever installed into, accepted where the root is not known.
const USUAL_ROOTS: [&str; 2] = ["\\Windows", "\\WINNT"];

impl VolumePath {
    /// The device of its volume, if the form has one.
    pub(super) fn device(&self) -> Option<&str> {
        self.device.as_deref()
    }

    /// It is on a server, a shared folder or a snapshot.
    pub(super) const fn is_remote(&self) -> bool {
        self.remote
    }

    /// The part after the last backslash.
    pub(super) fn base_name(&self) -> &str {
        self.path.rsplit('\\').next().unwrap_or(&self.path)
    }

    /// True below `\Program Files` or `\Program Files (x86)` of a local volume.
    pub(super) fn in_program_files(&self) -> bool {
        !self.in_root
            && !self.remote
            && ["\\Program Files\\", "\\Program Files (x86)\\"].iter().any(|top| strip(&self.path, top).is_some())
    }

    /// True for this directory, given relative to the volume, and below it.
    pub(super) fn is_at_or_below(&self, directory: &str) -> bool {
        self.is_below(directory) || (!self.remote && !self.in_root && same(&self.path, directory))
    }

    /// True where the path on its volume begins with this text, be it in the middle of a name.
    pub(super) fn begins_with(&self, text: &str) -> bool {
        !self.remote && !self.in_root && strip(&self.path, text).is_some()
    }

    /// True below this directory, given relative to the volume.
    pub(super) fn is_below(&self, directory: &str) -> bool {
        !self.remote && !self.in_root && strip(&self.path, directory).is_some_and(|rest| rest.starts_with('\\'))
    }
}

impl SystemRoot {
    /// From `KUSER_SHARED_DATA.NtSystemRoot`; what is no path of a drive counts as unknown.
    pub(super) fn new(root: Option<&str>) -> Self {
        let read = root.map(|root| root.trim_end_matches('\\')).and_then(VolumePath::read);
        match read {
            Some(path) if !path.in_root && !path.remote && path.path.len() > 1 => {
                Self { known: Some(path.path), drive: path.drive }
            }
            _ => Self { known: None, drive: None },
        }
    }

    /// The path below the volume, as far as that is known.
    pub(super) fn below_volume(&self, path: &VolumePath) -> String {
        let root = self.known.as_deref().unwrap_or("\\Windows");
        if path.in_root { format!("{root}{}", path.path) } else { path.path.clone() }
    }

    pub(super) const fn is_known(&self) -> bool {
        self.known.is_some()
    }

    /// Its drive letter, where known.
    pub(super) const fn drive(&self) -> Option<char> {
        self.drive
    }

    /// True in Windows PE, which runs from a memory disk with the letter X.
    pub(super) fn is_preinstallation(&self) -> bool {
        self.drive == Some('X')
    }

    /// `\Windows\System32\smss.exe`, or with the variable where the root is not known.
    pub(super) fn join(&self, below: &str) -> String {
        format!("{}{below}", self.known.as_deref().unwrap_or("%SystemRoot%"))
    }

    /// True where `path` is `below` (with its leading backslash) the root.
    pub(super) fn holds(&self, path: &VolumePath, below: &str) -> bool {
        if path.remote || matches!((path.drive, self.drive), (Some(a), Some(b)) if a != b) {
            return false;
        }
        if path.in_root {
            return same(&path.path, below);
        }
        self.all().iter().any(|root| strip(&path.path, root).is_some_and(|rest| same(rest, below)))
    }

    /// True where `path` lies anywhere below `directory` (with its leading backslash) of the root.
    pub(super) fn holds_below(&self, path: &VolumePath, directory: &str) -> bool {
        let below = |rest: &str| strip(rest, directory).is_some_and(|rest| rest.starts_with('\\'));
        !path.remote
            && if path.in_root {
                below(&path.path)
            } else {
                self.all().iter().any(|root| strip(&path.path, root).is_some_and(below))
            }
    }

    /// True where two paths are the same file, as far as their forms tell.
    pub(super) fn agree(&self, a: &VolumePath, b: &VolumePath) -> bool {
        if a.remote != b.remote || matches!((a.drive, b.drive), (Some(a), Some(b)) if a != b) {
            return false;
        }
        match (a.in_root, b.in_root) {
            (true, false) => self.holds(b, &a.path),
            (false, true) => self.holds(a, &b.path),
            _ => same(&a.path, &b.path),
        }
    }

    /// The directories that it may be, below the root of its volume.
    pub(super) fn all(&self) -> Vec<&str> {
        self.known.as_deref().map_or_else(|| USUAL_ROOTS.to_vec(), |root| vec![root])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMSS: &str = "\\System32\\smss.exe";

    fn holds(root: Option<&str>, path: &str) -> bool {
        VolumePath::read(path).is_some_and(|path| SystemRoot::new(root).holds(&path, SMSS))
    }

    #[test]
    fn forms_of_the_one_right_path() {
        for path in [
            "\\Device\\HarddiskVolume3\\Windows\\System32\\smss.exe",
            "\\Device\\HarddiskVolume1\\WINDOWS\\system32\\smss.exe",
            "\\Device\\VhdHardDisk{1f}\\Windows\\System32\\smss.exe",
            "\\Device\\HarddiskDmVolumes\\MachineDg0\\Volume1\\Windows\\System32\\smss.exe",
            "\\SystemRoot\\System32\\smss.exe",
            "%SystemRoot%\\system32\\smss.exe",
            "\\??\\C:\\Windows\\System32\\smss.exe",
            "\\??\\Volume{0a}\\Windows\\System32\\smss.exe",
            "\\??\\GLOBALROOT\\Device\\HarddiskVolume3\\Windows\\System32\\smss.exe",
            "GLOBALROOT\\SystemRoot\\System32\\smss.exe",
            "\\??\\Global\\C:\\Windows\\System32\\smss.exe",
            "\\??\\GLOBALROOT\\GLOBAL??\\C:\\Windows\\System32\\smss.exe",
            "\\??\\BootPartition\\Windows\\System32\\smss.exe",
            "\\ArcName\\multi(0)disk(0)rdisk(0)partition(3)\\Windows\\System32\\smss.exe",
            "\\Device\\Harddisk0\\Partition3\\Windows\\System32\\smss.exe",
            "\\Device\\vmsmb\\VSMB-{dcc079ae-60ba-4d07-847c-3493609c0870}\\os\\Windows\\System32\\smss.exe",
            "\\VSMB-{dcc079ae-60ba-4d07-847c-3493609c0870}\\os\\Windows\\System32\\smss.exe",
            "c:\\windows\\system32\\SMSS.EXE",
            "\\Windows\\System32\\smss.exe",
        ] {
            assert!(holds(Some("C:\\Windows"), path), "{path}");
            assert!(holds(None, path), "{path}");
        }
    }

    #[test]
    fn wrong_paths() {
        for path in [
            "\\Device\\HarddiskVolume3\\Users\\a\\Windows\\System32\\smss.exe",
            "\\Device\\HarddiskVolume3\\Windows\\smss.exe",
            "\\Device\\HarddiskVolume3\\Windows\\SysWOW64\\smss.exe",
            "\\Device\\HarddiskVolume3\\Windows\\System32\\smss.exe ",
            "\\Device\\HarddiskVolume3\\Windows\\System32\\..\\System32\\smss.exe",
            "\\Device\\HarddiskVolume3\\Windows\\System32\\\u{17f}mss.exe",
            "\\Device\\Mup\\Windows\\System32\\smss.exe",
            "\\Device\\vmsmb\\VSMB-{dcc079ae-60ba-4d07-847c-3493609c0870}\\data\\Windows\\System32\\smss.exe",
            "\\Device\\vmsmb\\VSMB-{dcc079ae-60ba-4d07-847c-3493609c0870}\\osx\\Windows\\System32\\smss.exe",
            "\\Device\\vmsmb\\os\\Windows\\System32\\smss.exe",
            "\\VSMB-{dcc079ae-60ba-4d07-847c-3493609c0870}\\Windows\\System32\\smss.exe",
            "\\\\Windows\\System32\\smss.exe",
            "\\??\\UNC\\Windows\\System32\\smss.exe",
            "\\Device\\HarddiskVolumeShadowCopy1\\Windows\\System32\\smss.exe",
            "\\Device\\Mup\\localhost\\C$\\Windows\\System32\\smss.exe",
            "\\??\\C:/Windows/System32/smss.exe",
            "\\??\\PIPE\\Windows\\System32\\smss.exe",
            "\\SystemRoot\\temp\\smss.exe",
            "\\SystemRootkit\\System32\\smss.exe",
            "D:\\Windows\\System32\\smss.exe",
            "\\Device\\HarddiskVolume3\\WINNT\\System32\\smss.exe",
        ] {
            assert!(!holds(Some("C:\\Windows"), path), "{path}");
        }
        assert!(holds(None, "\\Device\\HarddiskVolume3\\WINNT\\System32\\smss.exe"));
        assert!(holds(Some("X:\\Windows"), "\\Device\\Ramdisk{d9b257fc}\\Windows\\System32\\smss.exe"));
        assert!(!holds(Some("C:\\WINNT"), "\\Device\\HarddiskVolume3\\Windows\\System32\\smss.exe"));
    }

    #[test]
    fn short_names() {
        for (short, long) in [
            ("PROGRA~1", "Program Files"),
            ("CROWDS~1", "CrowdStrike"),
            ("CSFALC~1.EXE", "CSFalconService.exe"),
            ("system~12", "System32"),
        ] {
            assert!(may_be(short, long), "{short}");
        }
        for (other, long) in [
            ("PROGRA~", "Program Files"),
            ("PROGRA~x", "Program Files"),
            ("OTHER~1", "Other.exe"),
            ("x~1", "Program Files"),
        ] {
            assert!(!may_be(other, long), "{other}");
        }
        assert!(may_be("Program files", "Program Files"));
    }

    #[test]
    fn what_overwritten_memory_holds_is_no_path() {
        for text in ["", "smss.exe", "Registry", "\u{fffd}", "\\Dev\u{1}ce", "力▰", "\\Device\\HarddiskVolume3", "C:x"]
        {
            assert_eq!(VolumePath::read(text), None, "{text:?}");
        }
    }

    #[test]
    fn two_forms_of_one_file() {
        let root = SystemRoot::new(Some("C:\\Windows"));
        let agree = |a, b| root.agree(&VolumePath::read(a).unwrap(), &VolumePath::read(b).unwrap());
        assert!(agree("\\Device\\HarddiskVolume4\\Users\\x\\smss.exe", "C:\\Users\\x\\smss.exe"));
        assert!(agree("\\SystemRoot\\System32\\smss.exe", "\\Device\\HarddiskVolume4\\windows\\system32\\smss.exe"));
        assert!(!agree("\\SystemRoot\\System32\\smss.exe", "\\Device\\HarddiskVolume4\\Temp\\smss.exe"));
        assert_eq!(VolumePath::read("\\SystemRoot\\System32\\smss.exe").unwrap().base_name(), "smss.exe");
    }
}

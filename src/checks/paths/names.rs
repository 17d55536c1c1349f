//! Names of files, read from the root of all names on to the volume that they lead to, and what names that somebody wrote may mean.

use super::VolumePath;
use crate::checks::words::{same, strip};

/// Devices that are no local volume: what follows them is a server and a share, which could be named `Windows\System32`.
const REDIRECTORS: [&str; 6] = ["Mup", "LanmanRedirector", "WebDavRedirector", "RdpDr", "hgfs", "VBoxMiniRdr"];
/// Volumes as they were at one time: nothing runs from them, and nothing can be written to them.
const SNAPSHOT: &str = "HarddiskVolumeShadowCopy";
/// Ways into the directory of DOS names, which has drive letters, `UNC`, and links to devices.
const DOS_NAMES: [&str; 5] = ["\\??\\", "\\\\?\\", "\\\\.\\", "\\GLOBAL??\\", "\\DosDevices\\"];
/// DOS names that have no files of a volume behind them.
const NO_VOLUMES: [&str; 2] = ["PIPE", "MAILSLOT"];
/// Servers that are the machine itself.
const OWN_NAMES: [&str; 5] = ["localhost", ".", "::1", "0--1.ipv6-literal.net", "--1.ipv6-literal.net"];
/// Directories that Windows makes as links to others (junctions of Vista and later), and `ProgramData` before it had that name.
const LINKS: [(&[&str], &[&str]); 4] = [
    (&["Documents and Settings", "All Users", "Application Data"], &["ProgramData"]),
    (&["Documents and Settings"], &["Users"]),
    (&["Users", "All Users"], &["ProgramData"]),
    (&["ProgramData", "Application Data"], &["ProgramData"]),
];

/// Whether a path begins with a share of the machine that a guest runs on, as a FILE_OBJECT names it: relative to its device.
fn is_share(text: &str) -> bool {
    strip(text, "\\VSMB-{").is_some()
}

/// The files of Windows in a guest that gets them from its host over VMBus (Windows Sandbox, Application Guard, Hyper-V isolated
/// containers): `\VSMB-{GUID}\os\Windows\x`. The share `os` is the volume of that Windows; every other share is a folder of the host.
/// Gives the share, and the path on it.
fn of_host(path: &str) -> Option<(&str, &str)> {
    let guid = strip(path, "\\VSMB-{")?.find('}')?;
    let behind = "\\VSMB-{".len().checked_add(guid)?.checked_add(1)?;
    let rest = strip(path.get(behind..)?, "\\os")?;
    let share = path.get(..path.len().checked_sub(rest.len())?)?;
    rest.starts_with('\\').then_some((share, rest))
}

/// What is left of a name below the directory of DOS names: `C:\x` of `\??\C:\x`, also of that of one logon.
fn dos_name(text: &str) -> Option<&str> {
    if let Some(rest) = DOS_NAMES.iter().find_map(|prefix| strip(text, prefix)) {
        return Some(rest);
    }
    let (_session, rest) = strip(text, "\\Sessions\\")?.split_once('\\')?;
    strip(rest, "DosDevices\\")?.split_once('\\').map(|(_logon, rest)| rest)
}

/// The drive letter that a name begins with, and the rest.
fn drive_of(text: &str) -> Option<(char, &str)> {
    let mut chars = text.chars();
    let drive = chars.next().filter(char::is_ascii_alphabetic)?;
    (chars.next()? == ':').then(|| (drive.to_ascii_uppercase(), chars.as_str()))
}

/// Whether a name is `word` and a number: `Harddisk0`.
fn is_numbered(name: &str, word: &str) -> bool {
    strip(name, word).is_some_and(|number| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()))
}

fn plain(path: &str) -> VolumePath {
    VolumePath { path: path.to_owned(), in_root: false, drive: None, remote: false, device: None }
}

fn remote(text: &str) -> VolumePath {
    VolumePath { remote: true, ..plain(text) }
}

/// The path behind a device's name, with its backslash.
fn on_device(device: &str, path: &str) -> Option<VolumePath> {
    let read = VolumePath { device: Some(device.to_owned()), ..plain(path) };
    path.starts_with('\\').then(|| VolumePath { remote: strip(device, SNAPSHOT).is_some(), ..read })
}

impl VolumePath {
    /// Reads `\Device\HarddiskVolume3\Windows\x`, `\??\C:\Windows\x`, `C:\Windows\x`, `\SystemRoot\x`, `%SystemRoot%\x`,
    /// `\Windows\x`. `None`: it is no path, as what overwritten memory holds.
    pub(in crate::checks) fn read(text: &str) -> Option<Self> {
        if text.chars().any(|c| c.is_control() || c == '\u{fffd}') {
            return None;
        }
        let mut text = text;
        let mut in_dos = false;
        // Each round takes a part of the name away.
        loop {
            if let Some(rest) = dos_name(text) {
                (text, in_dos) = (rest, true);
                continue;
            }
            // `\??\GLOBALROOT\Device\x`, `GLOBALROOT\SystemRoot\x`: the rest begins at the root of all names again.
            let root = strip(text, "GLOBALROOT").or_else(|| strip(text, "\\GLOBALROOT"));
            if let Some(rest) = root.filter(|rest| rest.starts_with('\\')) {
                (text, in_dos) = (rest, false);
                continue;
            }
            // `\??\Global\C:`: the directory itself.
            match strip(text, "Global\\").filter(|_| in_dos) {
                Some(rest) => text = rest,
                None => break,
            }
        }
        for root in ["\\SystemRoot", "%SystemRoot%", "%windir%"] {
            if let Some(rest) = strip(text, root)
                && rest.starts_with('\\')
            {
                return Some(Self { in_root: true, ..plain(rest) });
            }
        }
        if strip(text, "UNC\\").is_some() || text.starts_with("\\\\") {
            return Some(remote(text));
        }
        if let Some(path) = strip(text, "\\Device\\vmsmb").or_else(|| is_share(text).then_some(text)) {
            return Some(match of_host(path) {
                Some((share, path)) => Self { device: Some(format!("vmsmb{share}")), ..plain(path) },
                None => remote(text),
            });
        }
        if let Some(rest) = strip(text, "\\Device\\") {
            return Self::of_device(text, rest);
        }
        if let Some(rest) = strip(text, "\\ArcName\\") {
            return rest.find('\\').and_then(|at| rest.get(at..)).map(plain);
        }
        if let Some((drive, path)) = drive_of(text) {
            return path.starts_with('\\').then(|| Self { drive: Some(drive), ..plain(path) });
        }
        // `\??\Volume{GUID}\x`, `\??\BootPartition\x`: a link to the device of a volume.
        if (in_dos || strip(text, "Volume{").is_some()) && !text.starts_with('\\') {
            let (link, path) = text.split_at_checked(text.find('\\')?)?;
            if NO_VOLUMES.iter().any(|name| same(name, link)) {
                return None;
            }
            return if strip(link, SNAPSHOT).is_some() { on_device(link, path) } else { Some(plain(path)) };
        }
        text.starts_with('\\').then(|| plain(text))
    }

    /// It is on a volume as that was at one time.
    pub(in crate::checks) fn is_snapshot(&self) -> bool {
        self.device().is_some_and(|device| strip(device, SNAPSHOT).is_some())
    }

    /// Of `\Device\x`, with what is behind `\Device\`.
    fn of_device(text: &str, rest: &str) -> Option<Self> {
        let (device, _) = rest.split_once('\\')?;
        if REDIRECTORS.iter().any(|name| same(name, device)) {
            return Some(remote(text));
        }
        // A dynamic disk has a group and a volume below its device: \Device\HarddiskDmVolumes\Group\Volume1\x. A disk has links
        // to its partitions: \Device\Harddisk0\Partition3\x
        let parts = match () {
            () if same(device, "HarddiskDmVolumes") => 3,
            () if is_numbered(device, "Harddisk") => 2,
            () => 1,
        };
        let volume: usize = rest.split('\\').take(parts).map(|part| part.len().saturating_add(1)).sum();
        let (device, path) = rest.split_at_checked(volume.saturating_sub(1))?;
        on_device(device, path)
    }

    /// What a name that somebody wrote may mean. NT takes some of these for other names or for none, and the programs that write
    /// them read them so: slashes, `..`, dots and blanks at the end of a name, streams, administrators' shares of the machine
    /// itself, directories that are links. It is never taken for something better than the plain form.
    pub(in crate::checks) fn meant(text: &str) -> Option<Self> {
        let whole = text.replace('/', "\\");
        let (start, rest) = if whole.starts_with("\\\\") { whole.split_at_checked(1)? } else { ("", whole.as_str()) };
        let mut single = start.to_owned();
        for c in rest.chars() {
            if c != '\\' || !single.ends_with('\\') || (!start.is_empty() && single.len() == 1) {
                single.push(c);
            }
        }
        if is_volume(single.rsplit('\\').next().unwrap_or_default()) {
            single.push('\\');
        }
        let read = Self::read(&single)?;
        let read = if read.remote { read.on_own_share(is_own).unwrap_or(read) } else { read };
        Some(read.straightened())
    }

    /// The path on the volume that an administrators' share (`C$`, `ADMIN$`) of a server has, if the server is `own`: this machine.
    pub(in crate::checks) fn on_own_share(&self, own: impl Fn(&str) -> bool) -> Option<Self> {
        let mut parts = self.path.split('\\').filter(|part| !part.is_empty()).peekable();
        if parts.next_if(|part| same(part, "Device")).is_some() {
            parts.next();
            // `\Device\Mup\;LanmanRedirector\;Z:0\server\share`
            while parts
                .next_if(|part| part.starts_with(';') || REDIRECTORS.iter().any(|name| same(name, part)))
                .is_some()
            {}
        } else {
            parts.next_if(|part| same(part, "UNC"));
        }
        parts.next().filter(|server| own(server))?;
        let share = parts.next()?.strip_suffix('$')?;
        let path: String = parts.flat_map(|part| ["\\", part]).collect();
        let mut letters = share.chars();
        match (letters.next(), letters.next()) {
            _ if same(share, "ADMIN") => Some(Self { in_root: true, ..plain(&path) }),
            (Some(drive), None) if drive.is_ascii_alphabetic() => {
                Some(Self { drive: Some(drive.to_ascii_uppercase()), ..plain(&path) })
            }
            _ => None,
        }
    }

    /// Without what a file system leaves out of a path, or reads as something else.
    fn straightened(mut self) -> Self {
        let mut parts: Vec<&str> = Vec::new();
        for part in self.path.split('\\') {
            if part == ".." {
                // Above the system root is the root of its volume, which has one more directory.
                if parts.pop().is_none() && self.in_root {
                    self.in_root = false;
                }
                continue;
            }
            // `file::$DATA` is the file, `file:name` a stream of it.
            let name = part.split(':').next().unwrap_or(part).trim_end_matches(['.', ' ']);
            if !name.is_empty() {
                parts.push(name);
            }
        }
        // A link may lead to another; each round takes a part away, or gives it a name that is none of these.
        while let Some((link, target)) = LINKS.iter().find(|(link, _)| {
            !self.in_root
                && parts.len() >= link.len()
                && parts.iter().zip(*link).all(|(part, link)| super::may_be(part, link))
        }) {
            parts.splice(..link.len(), target.iter().copied());
        }
        let path: String = parts.iter().flat_map(|part| ["\\", part]).collect();
        self.path = if path.is_empty() { "\\".to_owned() } else { path };
        self
    }
}

/// Whether a name is a volume's, without a path on it.
fn is_volume(name: &str) -> bool {
    drive_of(name).is_some_and(|(_, rest)| rest.is_empty())
        || is_numbered(name, "HarddiskVolume")
        || strip(name, "Volume{").is_some_and(|rest| rest.ends_with('}'))
}

/// Whether a server's name is the machine itself: `localhost` and the addresses of the loopback.
fn is_own(server: &str) -> bool {
    let loopback = strip(server, "127.").is_some_and(|rest| rest.bytes().all(|c| c.is_ascii_digit() || c == b'.'));
    loopback || OWN_NAMES.iter().any(|name| same(name, server))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_name_may_mean() {
        for text in [
            r"\??\C:\Windows\System32\ntdll.dll",
            r"\??\C:/Windows/System32/ntdll.dll",
            r"//?/C:/Windows/System32/ntdll.dll",
            r"\??\\C:\\Windows\System32\\ntdll.dll",
            r"\??\C:\Windows\Temp\..\System32\ntdll.dll",
            r"\??\C:\..\Windows\.\System32\ntdll.dll",
            r"\??\C:\Windows.\System32 \ntdll.dll. .",
            r"\??\C:\Windows\System32\ntdll.dll::$DATA",
            r"\??\C:\Windows\System32:$I30:$INDEX_ALLOCATION\ntdll.dll",
            r"\??\UNC\localhost\C$\Windows\System32\ntdll.dll",
            r"\??\UNC\127.0.0.1\c$\Windows\System32\ntdll.dll",
            r"\\127.1.2.3\C$\Windows\System32\ntdll.dll",
            r"\Device\Mup\;LanmanRedirector\;Z:0000\localhost\C$\Windows\System32\ntdll.dll",
            r"\Sessions\0\DosDevices\00000000-000003e7\Global\C:\Windows\System32\ntdll.dll",
        ] {
            let read = VolumePath::meant(text).unwrap();
            assert_eq!((read.path.as_str(), read.remote), (r"\Windows\System32\ntdll.dll", false), "{text}");
        }
        for (text, path) in [
            (r"\??\C:\Users\All Users\Microsoft\x", r"\ProgramData\Microsoft\x"),
            (r"\??\C:\ProgramData\Application Data\Application Data\x", r"\ProgramData\x"),
            (r"\??\C:\DOCUME~1\All Users\x", r"\ProgramData\x"),
            (r"\??\C:\Documents and Settings\All Users\Application Data\x", r"\ProgramData\x"),
            (r"\SystemRoot\System32\..\..\Users\x", r"\Users\x"),
            (r"\??\D:\", r"\"),
            (r"\??\D:", r"\"),
            (r"\Device\HarddiskVolume7", r"\"),
        ] {
            let read = VolumePath::meant(text).unwrap();
            assert_eq!((read.path.as_str(), read.in_root), (path, false), "{text}");
        }
        for text in [
            r"\??\UNC\files\C$\Windows\x",
            r"\??\UNC\localhost\share\Windows\x",
            r"\\?\HarddiskVolumeShadowCopy3\Windows\x",
            r"\??\GLOBALROOT\Device\HarddiskVolumeShadowCopy3\Windows\x",
        ] {
            assert!(VolumePath::meant(text).is_some_and(|read| read.remote), "{text}");
        }
        let admin = VolumePath::meant(r"\\localhost\ADMIN$\System32\x").unwrap();
        assert_eq!((admin.path.as_str(), admin.in_root), (r"\System32\x", true));
        let long = format!(r"{}C:\Windows\x", r"\??\GLOBALROOT".repeat(5000) + r"\??\");
        assert_eq!(VolumePath::meant(&long).map(|read| read.path), Some(r"\Windows\x".to_owned()));
    }
}

//! Paths of keys, and where hives are mounted.

use super::name::same;

/// How the roots that programs name are called by the kernel.
const ROOTS: [(&str, &str); 12] = [
    ("HKEY_LOCAL_MACHINE", r"REGISTRY\MACHINE"),
    ("HKLM", r"REGISTRY\MACHINE"),
    ("HKLM:", r"REGISTRY\MACHINE"),
    ("HKEY_USERS", r"REGISTRY\USER"),
    ("HKU", r"REGISTRY\USER"),
    ("HKU:", r"REGISTRY\USER"),
    ("HKEY_CLASSES_ROOT", r"REGISTRY\MACHINE\SOFTWARE\Classes"),
    ("HKCR", r"REGISTRY\MACHINE\SOFTWARE\Classes"),
    ("HKEY_CURRENT_CONFIG", r"REGISTRY\MACHINE\SYSTEM\CurrentControlSet\Hardware Profiles\Current"),
    ("HKCC", r"REGISTRY\MACHINE\SYSTEM\CurrentControlSet\Hardware Profiles\Current"),
    ("REGISTRY", "REGISTRY"),
    ("COMPUTER", ""),
];

/// The parts of a path, from `REGISTRY` on. Understood are `HKLM\...`, `HKEY_LOCAL_MACHINE\...` and the like, with `Computer\`
/// before them or not, `\REGISTRY\MACHINE\...`, and, for what starts otherwise, a path below `HKLM`, or below `HKU` if it starts
/// with a SID or `.DEFAULT`.
pub(super) fn absolute(path: &str) -> Vec<String> {
    let mut parts: Vec<&str> = path.split('\\').filter(|part| !part.is_empty()).collect();
    let mut start = None;
    while let Some(first) = parts.first() {
        let Some((_, root)) = ROOTS.iter().find(|(name, _)| same(name, first)) else { break };
        parts.remove(0);
        start = Some(*root);
        if !root.is_empty() {
            break;
        }
    }
    let start = start.filter(|root| !root.is_empty()).unwrap_or_else(|| match parts.first() {
        Some(first) if first.starts_with("S-1-") || same(first, ".DEFAULT") => r"REGISTRY\USER",
        _ => r"REGISTRY\MACHINE",
    });
    start.split('\\').chain(parts).map(str::to_owned).collect()
}

/// The parts of `path` behind those of `mount`. `None`: it is not below it.
pub(super) fn below<'p>(path: &'p [String], mount: &str) -> Option<&'p [String]> {
    let mut rest = path;
    for part in mount.split('\\').filter(|part| !part.is_empty()) {
        let (first, others) = rest.split_first()?;
        if !same(first, part) {
            return None;
        }
        rest = others;
    }
    Some(rest)
}

/// Where a hive is mounted by the name of its file. Names that any file could have are not judged.
pub(super) fn mount_by_file(file: &str) -> Option<String> {
    let mut parts = file.rsplit('\\');
    let (name, folder) = (parts.next()?, parts.next()?);
    if same(folder, "config") {
        if same(name, "DEFAULT") {
            return Some(r"\REGISTRY\USER\.DEFAULT".to_owned());
        }
        let known = ["SYSTEM", "SOFTWARE", "SAM", "SECURITY", "DRIVERS", "COMPONENTS"];
        return known.iter().find(|known| same(known, name)).map(|known| format!(r"\REGISTRY\MACHINE\{known}"));
    }
    (same(folder, "Boot") && same(name, "BCD")).then(|| r"\REGISTRY\MACHINE\BCD00000000".to_owned())
}

/// A file's path on its volume, whichever way the volume is named.
pub(super) fn on_volume(file: &str) -> String {
    let parts: Vec<&str> = file.split('\\').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        [device, _, rest @ ..] if same(device, "Device") => rest.join("\\"),
        ["??", _, rest @ ..] => rest.join("\\"),
        [root, rest @ ..] if same(root, "SystemRoot") => format!("Windows\\{}", rest.join("\\")),
        [drive, rest @ ..] if drive.ends_with(':') => rest.join("\\"),
        rest => rest.join("\\"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_to_write_a_path() {
        for path in [
            r"HKLM\SYSTEM\Select",
            r"hkey_local_machine\SYSTEM\Select\",
            r"\REGISTRY\MACHINE\SYSTEM\Select",
            r"\Registry\Machine\SYSTEM\Select",
            r"Computer\HKEY_LOCAL_MACHINE\SYSTEM\Select",
            r"SYSTEM\Select",
        ] {
            let parts = absolute(path);
            assert!(
                below(&parts, r"\REGISTRY\MACHINE\SYSTEM").is_some_and(|rest| rest == ["Select"]),
                "{path}: {parts:?}"
            );
        }
        assert_eq!(absolute(r"HKU\S-1-5-18\A").join("\\"), r"REGISTRY\USER\S-1-5-18\A");
        assert_eq!(absolute(r".default\A").join("\\"), r"REGISTRY\USER\.default\A");
        assert_eq!(below(&absolute("SYSTEM"), r"\REGISTRY\MACHINE\SYSTEM\A"), None);
        assert!(absolute("").len() == 2);
    }

    #[test]
    fn hives_by_their_files() {
        let system = Some(r"\REGISTRY\MACHINE\SYSTEM".to_owned());
        assert_eq!(mount_by_file(r"\SystemRoot\System32\Config\SYSTEM"), system);
        assert_eq!(mount_by_file(r"\Device\HarddiskVolume1\WINDOWS\system32\config\system"), system);
        assert_eq!(mount_by_file(r"\??\C:\Users\a\SYSTEM"), None);
        assert_eq!(on_volume(r"\??\C:\Users\a\NTUSER.DAT"), on_volume(r"\Device\HarddiskVolume3\Users\a\NTUSER.DAT"));
    }
}

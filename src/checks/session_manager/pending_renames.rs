//! SMR-13: files that the next start deletes or replaces.

use super::answer::shortened;
use super::keys::{HiveKey, Keys};
use super::security_products::{is_left_behind, is_products_folder, is_run_from, runs_elsewhere};
use super::{Answer, facts};
use crate::checks::paths::{SystemRoot, VolumePath, may_be};
use crate::checks::places::{Place, is_within, meant, parts, place_of};
use crate::checks::rule::{About, Rule};
use crate::checks::words::{lower, trim};
use crate::checks::{Outcome, Severity};
use crate::registry::RegistryData;
use crate::{Absent, AbsentKind};
use std::collections::{BTreeMap, BTreeSet};

/// SMR-13: PendingFileRenameOperations.
pub static PENDING: Rule = Rule {
    id: "SMR-13",
    title: "PendingFileRenameOperations",
    wrong: "files will be deleted or replaced at the next start",
    core: false,
    attack: &["T1562.001"],
    about: About {
        what: "The pairs of Session Manager\\PendingFileRenameOperations and PendingFileRenameOperations2, and the files that values \
               of the key FileRenameOperations name, are played in order. At the end every file and folder that Windows or a security product needs is in its \
               place, or a new one is, and no file of a user came into System32, by whatever way. Names are read to their end: \
               \\??\\, GLOBALROOT, SystemRoot, devices, short names.",
        why: "smss.exe deletes and renames these files at the next start, before any product guards them, and then \
               deletes the value: what is there lies ahead.",
        benign: "Installers and updaters leave such pairs every day, uninstalled drivers wait for the restart, an \
               update puts the old file aside and the new one in its place, redistributables wait in Config.Msi, \
               a security product deletes the folder of its old version while it runs from another, and updates keep new files in the \
               temporary directory of the system: info, but for the files that Windows needs. Nothing has used the key since Windows 2000: low.",
        source: "Sigma rule on PendingFileRenameOperations; ReactOS base/system/smss/sminit.c; MoveFileEx \
               documentation; Revenera and Symantec support articles on pending renames; Windows 2000 Resource Kit registry reference.",
    },
    judge: |case, _| vec![pending(&Keys::new(case))],
};

/// smss.exe takes the values away as it reads them: what is there is of the future.
const VALUES: [&str; 2] = ["PendingFileRenameOperations", "PendingFileRenameOperations2"];

/// Large updates leave thousands of operations.
const MAX_OPERATIONS: usize = 1 << 16;

/// A file, and what becomes of it.
struct Operation<'t> {
    source: &'t str,
    /// Empty: it is deleted.
    target: &'t str,
}

/// Installers and updaters leave such operations every day; a few of them are nobody's update.
fn pending(keys: &Keys<'_>) -> Outcome {
    let key = keys.session_manager();
    let mut answer = Answer::new(keys, &PENDING, "nothing, or what installers leave").never_raised();
    let mut all: Vec<(&str, Operation<'_>)> = Vec::new();
    let old = keys.key(OLD_KEY, &keys.read.file_rename_operations);
    for (name, data) in files_of_key(&mut answer, old) {
        all.extend(data.into_iter().map(|source| (name, Operation { source: trim(source), target: "" })));
    }
    let of_key: BTreeSet<&str> = all.iter().map(|(name, _)| *name).collect();
    for name in VALUES {
        let Some(Some(data)) = answer.data(key, name) else { continue };
        let Some(texts) = data.as_texts() else {
            if !data.is_empty() {
                let why = Absent::unparsable(format!("{} is no list of texts", shortened(&data.to_string(), 60)));
                answer.unknown(key.label(name), why);
            }
            continue;
        };
        if texts.len() / 2 > MAX_OPERATIONS {
            answer.unknown(key.label(name), format!("{} texts long; not all were judged", texts.len()));
        }
        all.extend(operations(texts).map(|operation| (name, operation)));
    }
    let operations = || all.iter().map(|(_, operation)| operation);
    let emptied = Emptied::play(keys, operations());
    let origins = origins(keys, operations());
    let keys_and_values = of_key.into_iter().map(|name| (old, name)).chain(VALUES.map(|name| (key, name)));
    for (key, name) in keys_and_values {
        let is_old = key.name == OLD_KEY;
        let mut harmless = Vec::new();
        for (at, (_, operation)) in all.iter().enumerate().filter(|(_, (of, _))| *of == name) {
            let origin = origins.get(at).and_then(Option::as_deref);
            let words = match origin {
                Some(origin) => format!("{}, which came from {}", operation.words(), shortened(origin, 160)),
                None => operation.words(),
            };
            let found = emptied.by(keys, at);
            if let Some((severity, why)) = found.or_else(|| operation.grade(keys, origin.unwrap_or(operation.source))) {
                let severity = if is_old { severity.max(Severity::Low) } else { severity };
                answer.violation(key, name, severity, format!("{words} ({why})"), "no such operation");
                if severity == Severity::Info {
                    answer.guard(why);
                }
            } else {
                harmless.push(words);
            }
        }
        if let Some(first) = harmless.first() {
            let more = harmless.len().saturating_sub(1);
            let words = if more == 0 { first.clone() } else { format!("{first}, and {more} more of the kind") };
            if is_old {
                answer.violation(key, name, Severity::Low, words, "no values");
                continue;
            }
            answer.violation(key, name, Severity::Info, words, "nothing, or what installers leave");
            answer.guard("files of installers and updaters");
        }
    }
    if all.is_empty() {
        answer.pass("nothing");
    }
    answer.judge()
}

/// A key whose values name files that the next start deletes.
const OLD_KEY: &str = "FileRenameOperations";

/// The values of that key with the files that they name.
fn files_of_key<'a>(answer: &mut Answer<'_, 'a>, key: HiveKey<'a>) -> Vec<(&'a str, Vec<&'a str>)> {
    // Saved by a version that did not look there.
    if key.read.absent().is_some_and(|absent| absent.kind == AbsentKind::NotCollected) {
        return Vec::new();
    }
    let texts = |data: &'a RegistryData| match data {
        RegistryData::Text(text) => vec![text.as_str()],
        RegistryData::Texts(texts) => texts.iter().map(String::as_str).take(MAX_OPERATIONS).collect(),
        // Whatever it holds, its name is there.
        _ => Vec::new(),
    };
    answer.hidden(key);
    let values = answer.all(key).unwrap_or_default();
    values
        .into_iter()
        .map(|(name, value)| {
            let files: Vec<&str> = value.data.value().map(texts).unwrap_or_default();
            let files = files.into_iter().filter(|file| !trim(file).is_empty());
            (name, std::iter::once(name).filter(|name| name.contains('\\')).chain(files).collect())
        })
        .collect()
}

/// Whether a pending operation changes a file below System32.
pub(super) fn touch_system_files(keys: &Keys<'_>) -> bool {
    let Some(record) = keys.read.session_manager.value() else { return false };
    VALUES.iter().any(|name| {
        let data = record.data(name);
        let texts = data.value().and_then(|data| data.as_texts()).unwrap_or_default();
        operations(texts).any(|operation| place(&keys.case.root, operation.changed()) == Place::System32)
    })
}

/// The file that a name means. A server's administrators' share is taken for the machine's own: which names it answers to is not known.
fn file(text: &str) -> Option<VolumePath> {
    let path = meant(text)?;
    let here = if path.is_remote() { path.on_own_share(|_| true) } else { None };
    Some(here.unwrap_or(path))
}

/// Where a file lies. Of a server's share it is not known: it may be a directory of this machine.
fn place(root: &SystemRoot, text: &str) -> Place {
    match file(text) {
        Some(path) if !path.is_remote() || path.is_snapshot() => place_of(root, &path),
        _ => Place::Unclear,
    }
}

/// Directories of one path: no file system has a path of more, and what is behind them is one name here.
const MAX_PARTS: usize = 256;

/// First of the directories of a file whose volume is not known; no directory can have this name.
const SOMEWHERE: &str = "?";
/// First of the directories of a file in a snapshot.
const IN_SNAPSHOT: &str = "*";

/// The directories and the name of a file, in one case.
fn names(root: &SystemRoot, text: &str) -> Vec<String> {
    let above = |above: &str| std::iter::once(above.to_owned()).chain(text.split(['\\', '/']).map(str::to_owned));
    let names: Vec<String> = match file(text) {
        Some(path) if path.is_snapshot() => above(IN_SNAPSHOT).collect(),
        Some(path) if !path.is_remote() => parts(root, &path),
        _ => above(SOMEWHERE).collect(),
    };
    let mut names: Vec<String> = names.iter().map(|name| lower(name)).collect();
    if names.len() > MAX_PARTS {
        let rest = names.split_off(MAX_PARTS);
        names.push(rest.join("\\"));
    }
    names
}

/// Where the file of each operation stood before the first of them, if another one put it where it is taken from.
fn origins<'o>(keys: &Keys<'_>, operations: impl Iterator<Item = &'o Operation<'o>>) -> Vec<Option<String>> {
    let name = |text: &str| names(&keys.case.root, text);
    let mut moved: BTreeMap<Vec<String>, String> = BTreeMap::new();
    operations
        .map(|operation| {
            let source = name(operation.source);
            // The file itself, or a directory above it.
            let origin = (1..=source.len()).rev().find_map(|length| {
                let (above, rest) = source.split_at_checked(length)?;
                let origin = std::iter::once(moved.get(above)?.as_str()).chain(rest.iter().map(String::as_str));
                Some(origin.collect::<Vec<_>>().join("\\"))
            });
            moved.remove(&source);
            if !operation.target.is_empty() {
                // Chains of renames of directories into one another would make texts that double.
                let from = origin.as_deref().unwrap_or(operation.source);
                let from = from.get(..from.len().min(MAX_ORIGIN)).unwrap_or(operation.source);
                moved.insert(name(operation.target), from.to_owned());
            }
            origin
        })
        .collect()
}

/// Bytes kept of an origin.
const MAX_ORIGIN: usize = 1024;

/// Pairs of texts. A last text without partner is a file to delete.
fn operations(texts: &[String]) -> impl Iterator<Item = Operation<'_>> {
    texts
        .chunks(2)
        .filter_map(|pair| {
            let (source, target) = pair.split_first()?;
            let target = target.first().map_or("", |target| trim(target));
            Some(Operation { source: without_mark(trim(source)), target: without_mark(target) })
        })
        .filter(|operation| !operation.source.is_empty())
        .take(MAX_OPERATIONS)
}

/// `!`: replace what is there. `@`, `*1`: how to rename.
fn without_mark(text: &str) -> &str {
    text.find('\\').and_then(|at| text.split_at_checked(at)).map_or(text, |(mark, path)| {
        if mark.chars().all(|c| matches!(c, '!' | '@' | '*') || c.is_ascii_digit()) { path } else { text }
    })
}

impl Operation<'_> {
    fn words(&self) -> String {
        let source = shortened(self.source, 160);
        if self.target.is_empty() {
            format!("deletes {source}")
        } else {
            format!("renames {source} to {}", shortened(self.target, 160))
        }
    }

    /// The file that is another one, or none, afterwards.
    fn changed(&self) -> &str {
        if self.target.is_empty() { self.source } else { self.target }
    }

    /// What puts a file where none of its kind comes to by an update, or takes away one that is missed less than those of
    /// [`Emptied`]. `origin`: where the file stood before the first operation.
    fn grade(&self, keys: &Keys<'_>, origin: &str) -> Option<(Severity, &'static str)> {
        let root = &keys.case.root;
        let parts = names(root, self.changed());
        let plain = |text: &str| format!("\\{}", names(root, text).join("\\"));
        let (source, changed) = (plain(self.source), plain(self.changed()));
        let name = changed.rsplit('\\').next().unwrap_or(&changed);
        let (from, to) = (place(root, origin), place(root, self.changed()));
        let gone = self.target.is_empty();
        let same_directory = !gone && directory(&source) == directory(&changed);
        if is_one_of(name, facts::SECURITY_FILES) && !gone && from == Place::Writable && !same_directory {
            return Some((Severity::High, "a security product"));
        }
        let shell = to == Place::SystemRoot && is_in_root(root, &parts, "") && may_be(name, "explorer.exe");
        let into_system = to == Place::System32
            || is_in_root(root, &parts, "\\SysWOW64")
            || shell
            || to == Place::Unclear && is_one_of(name, facts::CORE_FILES);
        if into_system && !gone {
            let is_needed = is_one_of(name, facts::CORE_FILES) || is_one_of(name, facts::BOOT_FILES);
            if !is_needed && is_in_temporary(root, origin) {
                return Some((Severity::Info, "an update that waits in the temporary directory of the system"));
            }
            if from == Place::Writable {
                return Some((Severity::High, "into System32 from where users can write"));
            }
            let from_elsewhere = !matches!(from, Place::System32 | Place::SystemRoot);
            if from_elsewhere && is_needed {
                return Some((Severity::High, "a file that Windows needs, from elsewhere"));
            }
            // Redistributables and drivers that wait for the restart come out of these.
            let of_installers = from == Place::ProgramFiles
                || names(root, origin).first().is_some_and(|first| first.as_str() == INSTALLERS);
            if is_left(name, &changed) && from_elsewhere && !of_installers {
                return Some((Severity::Low, "into System32 from elsewhere"));
            }
        }
        let of_product = facts::SECURITY_DIRECTORIES.iter().any(|part| source.contains(part) || changed.contains(part));
        if of_product && gone && !source.starts_with("\\*\\") && !is_temporary(name) && is_runnable(name) {
            return Some(match is_left_behind(keys, &parts) {
                true => (Severity::Info, "an old version of a security product, which runs from another folder"),
                false => (Severity::Low, "a security product's directory"),
            });
        }
        None
    }
}

/// The directory at the root of a drive in which Windows Installer keeps files until the restart; users cannot write to it.
const INSTALLERS: &str = "config.msi";

/// Whether a file lies below `Temp` or `SystemTemp` of the system root, where programs that run as Local System keep theirs.
fn is_in_temporary(root: &SystemRoot, text: &str) -> bool {
    let parts = names(root, text);
    ["\\Temp", "\\SystemTemp"].iter().any(|directory| is_in_root(root, &parts, directory))
}

/// Whether a file lies in this directory of the system root itself.
fn is_in_root(root: &SystemRoot, parts: &[String], below: &str) -> bool {
    root.all().iter().any(|root| {
        let directory = format!("{root}{below}");
        is_within(parts, &directory) && (below.len() > 1 || parts.len() == count(&directory).saturating_add(1))
    })
}

/// Directories of a path that begins with a backslash.
fn count(directory: &str) -> usize {
    directory.split('\\').skip(1).count()
}

/// Something that can run, and no file that an installer put aside.
fn is_left(name: &str, path: &str) -> bool {
    !is_temporary(name) && is_runnable(name) && !in_store(path)
}

/// Whether a file's name is one of these, or may be by its short name.
fn is_one_of(name: &str, known: &[&str]) -> bool {
    known.iter().any(|known| may_be(name, known))
}

/// The places that the operations leave empty, played in order over the names of files.
struct Emptied {
    /// The directories and the name of what is gone at the end, by the number of the operation that took it.
    gone: BTreeMap<usize, Vec<String>>,
}

impl Emptied {
    fn play<'o>(keys: &Keys<'_>, operations: impl Iterator<Item = &'o Operation<'o>>) -> Self {
        let name = |text: &str| names(&keys.case.root, text);
        let mut gone: BTreeMap<Vec<String>, usize> = BTreeMap::new();
        let mut there: BTreeSet<Vec<String>> = BTreeSet::new();
        for (at, operation) in operations.enumerate() {
            let source = name(operation.source);
            there.remove(&source);
            gone.insert(source, at);
            if !operation.target.is_empty() {
                let target = name(operation.target);
                gone.remove(&target);
                there.insert(target);
            }
        }
        // A folder that took the place of another brings its files.
        let is_filled = |parts: &[String]| {
            (1..=parts.len()).any(|number| parts.get(..number).is_some_and(|above| there.contains(above)))
        };
        let left = gone.into_iter().filter(|(parts, _)| !is_filled(parts)).map(|(parts, at)| (at, parts));
        Self { gone: left.collect() }
    }

    /// What is missed after the operation with this number.
    fn by(&self, keys: &Keys<'_>, at: usize) -> Option<(Severity, &'static str)> {
        let parts = self.gone.get(&at)?;
        let last = parts.last()?;
        if parts.first().is_some_and(|first| first == IN_SNAPSHOT) {
            return None;
        }
        let somewhere = parts.first().is_some_and(|first| first == SOMEWHERE);
        let root = &keys.case.root;
        let is = |directory: &str| is_within(parts, directory) && parts.len() == count(directory);
        let below_root = |below: &str| root.all().iter().any(|root| is(&format!("{root}{below}")));
        if ["", "\\System32", "\\System32\\drivers", "\\SysWOW64"].iter().any(|below| below_root(below))
            || ["\\Program Files", "\\Program Files (x86)", "\\ProgramData", "\\ProgramData\\Microsoft"]
                .iter()
                .any(|directory| is(directory))
        {
            return Some((Severity::High, "a folder that Windows needs, and nothing takes its place"));
        }
        let in_system32 = root.all().iter().any(|root| {
            is_within(parts, &format!("{root}\\System32")) || is_within(parts, &format!("{root}\\SysNative"))
        });
        let in_config = root.all().iter().any(|root| {
            let directory = format!("{root}\\System32\\config");
            is_within(parts, &directory) && parts.len() == count(&directory).saturating_add(1)
        });
        if in_config && facts::HIVES.contains(&last.as_str()) {
            return Some((Severity::High, "a hive, and nothing takes its place"));
        }
        let in_system32 = in_system32 || is_in_root(root, parts, "\\SysWOW64");
        if (in_system32 || somewhere) && (is_one_of(last, facts::CORE_FILES) || is_one_of(last, facts::BOOT_FILES)) {
            return Some((Severity::High, "a file that Windows needs, and nothing takes its place"));
        }
        // Installers unpack products' programs there, and delete them.
        let unpacked =
            is_within(parts, "\\Users") || root.all().iter().any(|root| is_within(parts, &format!("{root}\\Temp")));
        if is_one_of(last, facts::SECURITY_FILES) && !unpacked {
            return Some(match runs_elsewhere(keys, parts) {
                true => (Severity::Info, "an old version of a security product, which runs from another folder"),
                false => (Severity::High, "a security product, and nothing takes its place"),
            });
        }
        if is_products_folder(last) && !unpacked && !is_temporary(last) {
            return Some((Severity::High, "a security product's folder, and nothing takes its place"));
        }
        is_run_from(keys, parts).then_some((Severity::High, "the folder that a security product runs from"))
    }
}

fn directory(path: &str) -> &str {
    path.rsplit_once('\\').map_or("", |(directory, _)| directory)
}

fn is_runnable(name: &str) -> bool {
    facts::RUNNABLE.iter().any(|extension| name.ends_with(extension))
}

/// Names that installers give files that they could not delete.
fn is_temporary(name: &str) -> bool {
    facts::TEMPORARY.iter().any(|extension| name.ends_with(extension))
}

/// Copies of drivers and printers' files: drivers are updated by way of them.
fn in_store(path: &str) -> bool {
    ["\\driverstore\\", "\\spool\\", "\\catroot", "\\macromed\\", "\\drvstore\\"].iter().any(|part| path.contains(part))
}

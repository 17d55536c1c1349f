//! SMR-13: files that the next start deletes or replaces.

use super::answer::shortened;
use super::keys::Keys;
use super::{Answer, facts};
use crate::checks::places::{Place, place};
use crate::checks::rule::{About, Rule};
use crate::checks::{Outcome, Severity};

/// SMR-13: PendingFileRenameOperations.
pub static PENDING: Rule = Rule {
    id: "SMR-13",
    title: "PendingFileRenameOperations",
    wrong: "files will be deleted or replaced at the next start",
    core: false,
    attack: &["T1562.001"],
    about: About {
        what: "The pairs of Session Manager\\PendingFileRenameOperations and PendingFileRenameOperations2, played \
               in order, take no file away that Windows or a security product needs and put none of a user's into \
               System32.",
        why: "smss.exe deletes and renames these files at the next start, before any product guards them, and then \
               deletes the value: what is there lies ahead.",
        benign: "Installers and updaters leave such pairs every day: info.",
        source: "Sigma rule on PendingFileRenameOperations; ReactOS base/system/smss/sminit.c; MoveFileEx \
               documentation.",
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
    let mut all = 0_usize;
    for name in VALUES {
        let Some(Some(data)) = answer.data(key, name) else { continue };
        let Some(texts) = data.as_texts() else {
            if !data.is_empty() {
                answer.unknown(
                    &key.label(name),
                    format!("unparsable: {} is no list of texts", shortened(&data.to_string(), 60)),
                );
            }
            continue;
        };
        if texts.len() / 2 > MAX_OPERATIONS {
            answer.unknown(&key.label(name), format!("{} texts long; not all were judged", texts.len()));
        }
        let mut harmless = Vec::new();
        for operation in operations(texts) {
            all = all.saturating_add(1);
            let words = operation.words();
            match operation.grade(keys) {
                Some((severity, why)) => {
                    answer.violation(key, name, severity, format!("{words} ({why})"), "no such operation");
                }
                None => harmless.push(words),
            }
        }
        if let Some(first) = harmless.first() {
            let more = harmless.len().saturating_sub(1);
            let words = if more == 0 { first.clone() } else { format!("{first}, and {more} more of the kind") };
            answer.violation(key, name, Severity::Info, words, "nothing, or what installers leave");
            answer.guard("files of installers and updaters");
        }
    }
    if all == 0 {
        answer.pass("nothing");
    }
    answer.judge()
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

/// Pairs of texts. A last text without partner is a file to delete.
fn operations(texts: &[String]) -> impl Iterator<Item = Operation<'_>> {
    texts
        .chunks(2)
        .filter_map(|pair| {
            let (source, target) = pair.split_first()?;
            let target = target.first().map_or("", |target| target.trim());
            Some(Operation { source: without_mark(source.trim()), target: without_mark(target) })
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

    fn grade(&self, keys: &Keys<'_>) -> Option<(Severity, &'static str)> {
        let changed = self.changed().to_lowercase();
        let name = changed.rsplit('\\').next().unwrap_or(&changed);
        let source = self.source.to_lowercase();
        let from = place(&keys.case.root, self.source);
        let gone = self.target.is_empty();
        let source_name = source.rsplit('\\').next().unwrap_or(&source);
        let same_directory = !gone && directory(&source) == directory(&changed);
        let guards = |name: &str| facts::SECURITY_FILES.contains(&name);
        // Away from where it was found is as good as deleted; an update moves a file beside itself.
        let removed = guards(source_name) && (gone || !same_directory && name != source_name);
        if removed || guards(name) && !gone && from == Place::Writable && !same_directory {
            return Some((Severity::High, "a security product"));
        }
        let is_core = |name: &str| facts::CORE_FILES.contains(&name);
        let target_place = place(&keys.case.root, self.changed());
        if target_place == Place::System32 {
            if !gone && from == Place::Writable {
                return Some((Severity::High, "into System32 from where users can write"));
            }
            if gone && is_core(name) {
                return Some((Severity::High, "a file that Windows needs"));
            }
            if !gone && is_core(name) && !matches!(from, Place::System32 | Place::SystemRoot) {
                return Some((Severity::High, "a file that Windows needs, from elsewhere"));
            }
            if !is_temporary(name) && is_runnable(name) && !in_store(&changed) {
                if gone {
                    return Some((Severity::Low, "a program, library or driver in System32"));
                }
                if !matches!(from, Place::System32 | Place::SystemRoot) {
                    return Some((Severity::Low, "into System32 from elsewhere"));
                }
            }
        }
        if !gone && is_core(source_name) && place(&keys.case.root, self.source) == Place::System32 && !same_directory {
            return Some((Severity::High, "a file that Windows needs, out of System32"));
        }
        let of_product = facts::SECURITY_DIRECTORIES.iter().any(|part| source.contains(part) || changed.contains(part));
        if of_product && gone && !is_temporary(name) && is_runnable(name) {
            return Some((Severity::Low, "a security product's directory"));
        }
        None
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

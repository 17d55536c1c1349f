//! SMR-14: which DLLs come from one place for all processes, and from where.

use super::answer::shortened;
use super::keys::Keys;
use super::{Answer, facts};
use crate::checks::places::path;
use crate::checks::rule::{About, Rule};
use crate::checks::words::{lower, same, trim};
use crate::checks::{Outcome, Severity};
use crate::registry::RegistryData;

/// SMR-14: KnownDLLs.
pub static KNOWN_DLLS: Rule = Rule {
    id: "SMR-14",
    title: "KnownDLLs",
    wrong: "known DLLs come from elsewhere, or are excluded",
    core: false,
    attack: &["T1574.001"],
    about: About {
        what: "Every value of Session Manager\\KnownDLLs is a bare file name that fits its own name, DllDirectory \
               and DllDirectory32 lead to System32 and SysWOW64, and ExcludeFromKnownDlls is empty.",
        why: "Known DLLs are mapped from one place for all processes. A DLL that is excluded, or a directory that \
               was changed, lets a program load another file of the name.",
        benign: "Libraries that programs bring a copy of are excluded for them: info, but for those of which there is \
               one alone. The lists differ between builds: a single missing entry is not judged. A list of fewer than ten was \
               emptied: low.",
        source: "Microsoft support article 102985; ReactOS base/system/smss/sminit.c; MITRE ATT&CK T1574.001.",
    },
    judge: |case, _| vec![known_dlls(&Keys::new(case))],
};

/// Every version lists more than twice as many: fewer are a list that was emptied, so that the others can come from elsewhere.
const FEWEST: usize = 10;

/// The directories, below the system root. Each exists on some architectures only.
const DIRECTORIES: [(&str, &[&str]); 2] = [
    ("DllDirectory", &["\\System32"]),
    // 32-bit Windows has no SysWOW64; ARM64 has one more of the kind.
    ("DllDirectory32", &["\\SysWOW64", "\\System32", "\\SysArm32"]),
];

/// `KnownDLLs` names files without paths and leads to System32; `ExcludeFromKnownDlls` is empty.
fn known_dlls(keys: &Keys<'_>) -> Outcome {
    let key = keys.key("KnownDLLs", &keys.read.known_dlls);
    let mut answer = Answer::new(keys, &KNOWN_DLLS, "name=file.dll from System32, none excluded");
    excluded(&mut answer);
    if matches!(answer.record(key), Some(None)) && keys.unresolved().is_none() {
        let session_manager = keys.session_manager();
        answer.violation(
            session_manager,
            "KnownDLLs",
            Severity::Medium,
            "no key KnownDLLs",
            "a key with some thirty DLLs",
        );
    }
    answer.hidden(key);
    let values = answer.all(key).unwrap_or_default();
    let mut files = 0_usize;
    for (name, value) in &values {
        let data = match value.data.known() {
            Ok(data) => data,
            Err(absent) => {
                answer.unknown(key.label(name), absent);
                continue;
            }
        };
        let text = data.map_or_else(String::new, |data| data.to_string());
        let text = trim(&text);
        if let Some((_, below)) = DIRECTORIES.iter().find(|(directory, _)| same(directory, name)) {
            let read = path(text.trim_end_matches('\\'));
            if !read.is_some_and(|read| below.iter().any(|below| keys.case.root.holds(&read, below))) {
                let words = format!("{name} = {}", shortened(text, 200));
                let usual = lower(below.first().map_or("", |below| below));
                answer.violation(key, name, Severity::High, words, format!("{name} = %SystemRoot%{usual}"));
            }
            continue;
        }
        if data.is_some_and(|data| data.is_empty() && name.is_empty()) || is_directory(keys, name, text) {
            continue;
        }
        files = files.saturating_add(1);
        if let Some((severity, what)) = wrong_file(name, text, data) {
            let words = format!("{name} = {}: {what}", shortened(text, 200));
            answer.violation(key, name, severity, words, format!("{name} = {}.dll", plain(name)));
        }
    }
    if !values.is_empty() && !values.iter().any(|(name, _)| same(name, "DllDirectory")) {
        answer.violation(
            key,
            "DllDirectory",
            Severity::Info,
            "no DllDirectory",
            "DllDirectory = %SystemRoot%\\system32",
        );
    }
    if !values.is_empty() && files < FEWEST {
        let words = format!("only {files} DLLs");
        answer.violation(key, "(number)", Severity::Low, words, "a key with some thirty DLLs");
    }
    answer.pass(format!("{files} DLLs from System32"));
    answer.judge_values()
}

/// Further directories, of architectures that came later.
fn is_directory(keys: &Keys<'_>, name: &str, text: &str) -> bool {
    lower(name).starts_with("dlldirectory") && path(text).is_some_and(|read| keys.case.root.holds_below(&read, ""))
}

/// Names of emulators have a mark before them.
fn plain(name: &str) -> String {
    let name = lower(name.trim_start_matches(['_', '*']));
    name.strip_suffix(".dll").map(str::to_owned).unwrap_or(name)
}

fn wrong_file(name: &str, file: &str, data: Option<&RegistryData>) -> Option<(Severity, &'static str)> {
    let is_text = matches!(data, Some(RegistryData::Text(_)));
    if file.contains(['\\', '/', ':']) {
        return Some((Severity::High, "a path"));
    }
    let folded = lower(file);
    let Some(stem) = folded.strip_suffix(".dll").filter(|stem| is_text && !stem.is_empty()) else {
        return Some((Severity::Medium, "no file name of a DLL"));
    };
    let name = plain(name);
    (stem != name).then(|| {
        let core = facts::CORE_DLLS.contains(&name.as_str());
        (if core { Severity::High } else { Severity::Info }, "another file than the name says")
    })
}

/// Programs that bring their own copy of a library are helped so (Microsoft support article 164501): only what has no other copy is odd.
fn excluded(answer: &mut Answer<'_, '_>) {
    const VALUE: &str = "ExcludeFromKnownDlls";
    let key = answer.keys.session_manager();
    for name in answer.list(key, VALUE).flatten().unwrap_or_default() {
        let stem = plain(name);
        let core = facts::CORE_DLLS.contains(&stem.as_str()) && !facts::BROUGHT_DLLS.contains(&stem.as_str());
        let severity = if core { Severity::High } else { Severity::Info };
        let words = format!("{VALUE}: {}", shortened(name, 200));
        answer.violation(key, VALUE, severity, words, format!("{VALUE} is empty"));
        if !core {
            answer.guard("programs that bring their own copy of a library have it excluded");
        }
    }
}

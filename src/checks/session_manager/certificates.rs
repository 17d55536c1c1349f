//! SMR-15: DLLs that are loaded into every process that starts a program.

use super::Answer;
use super::answer::shortened;
use super::keys::Keys;
use crate::checks::rule::{About, Rule};
use crate::checks::{Outcome, Severity};

/// SMR-15: AppCertDlls.
pub static APP_CERT_DLLS: Rule = Rule {
    id: "SMR-15",
    title: "AppCertDlls",
    wrong: "AppCertDlls has values",
    core: false,
    attack: &["T1546.009"],
    about: About {
        what: "Session Manager\\AppCertDlls is missing or has no values.",
        why: "kernel32 loads the DLLs named there into every process that starts another.",
        benign: "An empty default value.",
        source: "MITRE ATT&CK T1546.009; Sigma rule on AppCertDlls.",
    },
    judge: |case, _| vec![app_cert_dlls(&Keys::new(case))],
};

/// The key has no values. (Read by kernel32, not by smss.exe.)
fn app_cert_dlls(keys: &Keys<'_>) -> Outcome {
    let key = keys.key("AppCertDlls", &keys.read.app_cert_dlls);
    let mut answer = Answer::new(keys, &APP_CERT_DLLS, "nothing");
    answer.hidden(key);
    answer.pass(if key.read.is_nothing() { "no such key" } else { "nothing" });
    for (name, value) in answer.all(key).unwrap_or_default() {
        match value.data.known() {
            // The default value, set to nothing.
            Ok(data) if name.is_empty() && data.is_none_or(crate::registry::RegistryData::is_empty) => {}
            Ok(data) => {
                let data = data.map_or_else(String::new, |data| shortened(&data.to_string(), 200));
                answer.violation(key, name, Severity::High, format!("{name} = {data}"), "no value");
            }
            Err(absent) => {
                answer.violation(key, name, Severity::High, format!("{name}, whose data are {absent}"), "no value");
            }
        }
    }
    answer.judge()
}

//! Texts of the registry are taken apart in one place, as smss.exe does it: what Unicode takes for a blank or for the other case of a
//! letter is neither to smss.exe, and a rule that asked Unicode would let such a text pass.

use super::paths::code;
use std::fs;
use std::path::{Path, PathBuf};

/// Methods of `str` and `char` that ask Unicode, called or named.
const ASKING_UNICODE: [&str; 13] = [
    ".trim()",
    ".trim_start()",
    ".trim_end()",
    ".split_whitespace()",
    ".to_lowercase()",
    ".to_uppercase()",
    "is_whitespace",
    "is_alphabetic",
    "is_alphanumeric",
    "is_lowercase",
    "is_uppercase",
    "is_numeric",
    "str::trim",
];
/// What judges texts of a machine, or reads them for those who judge.
const FOLDERS: [&str; 4] = ["checks", "picture", "process", "registry"];
/// The rule about names that people misread, and the rule about lines that they misread.
const MAY: [&str; 2] = ["checks/rules/resemblance.rs", "checks/session_manager/boot_entry.rs"];

#[test]
fn no_rule_asks_unicode_for_blanks_and_case() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders: Vec<PathBuf> = FOLDERS.map(|folder| source.join(folder)).to_vec();
    let (mut files, mut found) = (0, Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&source).unwrap().to_str().unwrap().replace('\\', "/");
            if path.is_dir() {
                if !name.ends_with("/tests") {
                    folders.push(path);
                }
                continue;
            }
            files += 1;
            let text = code(&fs::read_to_string(&path).unwrap());
            for (number, line) in text.lines().enumerate() {
                let asks = ASKING_UNICODE.iter().any(|method| line.contains(method));
                if asks && !MAY.contains(&name.as_str()) {
                    found.push(format!("src/{name}:{}: {}", number + 1, line.trim()));
                }
            }
        }
    }
    assert!(files > 100, "{files}");
    assert!(found.is_empty(), "use src/checks/words.rs or src/upcase.rs: {found:#?}");
}

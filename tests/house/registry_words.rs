//! Texts of the registry are taken apart in one place, as smss.exe does it: what Unicode takes for a blank or for the other case of a
//! letter is neither to smss.exe, and a rule that asked Unicode would let such a text pass.

use super::paths::code;
use std::fs;
use std::path::{Path, PathBuf};

/// Methods of `str` that ask Unicode.
const ASKING_UNICODE: [&str; 7] = [
    ".trim()",
    ".trim_start()",
    ".trim_end()",
    ".split_whitespace()",
    ".to_lowercase()",
    ".to_uppercase()",
    ".is_whitespace()",
];
/// The one place, the rule about names that people misread, and the rule about lines that they misread.
const MAY: [&str; 3] = ["words.rs", "rules/resemblance.rs", "session_manager/boot_entry.rs"];

#[test]
fn no_rule_asks_unicode_for_blanks_and_case() {
    let checks = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/checks");
    let mut folders: Vec<PathBuf> = vec![checks.clone()];
    let (mut files, mut found) = (0, Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&checks).unwrap().to_str().unwrap().replace('\\', "/");
            if path.is_dir() {
                if name != "tests" {
                    folders.push(path);
                }
                continue;
            }
            files += 1;
            let source = code(&fs::read_to_string(&path).unwrap());
            for (number, line) in source.lines().enumerate() {
                let asks = ASKING_UNICODE.iter().any(|method| line.contains(method));
                if asks && !MAY.contains(&name.as_str()) {
                    found.push(format!("src/checks/{name}:{}: {}", number + 1, line.trim()));
                }
            }
        }
    }
    assert!(files > 40, "{files}");
    assert!(found.is_empty(), "use src/checks/words.rs: {found:#?}");
}

//! Runs after the other test programs, which cargo takes in the order of their names, and says how many tests were skipped.
#![allow(missing_docs, clippy::unwrap_used, clippy::arithmetic_side_effects)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn main() {
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("skipped");
    let (mut total, mut parts) = (0, Vec::new());
    let mut programs: Vec<_> = fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    programs.sort();
    for program in programs {
        let notes = fs::read_to_string(&program).unwrap();
        let tests: BTreeSet<&str> = notes.lines().map(|line| line.split('\t').next().unwrap_or_default()).collect();
        if !tests.is_empty() {
            parts.push(format!("{} {}", program.file_name().unwrap().to_string_lossy(), tests.len()));
        }
        total += tests.len();
        fs::remove_file(program).unwrap();
    }
    if total == 0 {
        println!("skipped: no test");
    } else {
        println!(
            "skipped: {total} tests, wholly or in part ({}), because files of the extra test material are not here",
            parts.join(", ")
        );
        println!(
            "Set NTMEM_TEST_MATERIAL to its folder to run them; `cargo test -- --nocapture` says which file each of them needs."
        );
    }
}

//! Tests that are skipped are noted in a file for each test program, which `tests/totals.rs` counts at the end of a run.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Once;

/// Forgets what an earlier run noted.
pub fn begin() {
    static FIRST: Once = Once::new();
    FIRST.call_once(|| {
        fs::create_dir_all(folder()).unwrap();
        fs::write(folder().join(env!("CARGO_CRATE_NAME")), "").unwrap();
    });
}

/// Notes that a test, or a part of it, is skipped because something is not there.
pub fn note(test: &str, missing: &str) {
    eprintln!("{test}: skipped, {missing}");
    begin();
    // The harness names each test's thread after the test, unless it has but one.
    let thread = std::thread::current();
    let test = thread.name().filter(|name| *name != "main").unwrap_or(test);
    let mut file = fs::OpenOptions::new().append(true).open(folder().join(env!("CARGO_CRATE_NAME"))).unwrap();
    // One write, so that lines of tests that run at the same time stay whole.
    file.write_all(format!("{test}\t{missing}\n").as_bytes()).unwrap();
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("skipped")
}

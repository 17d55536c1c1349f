//! Whole outputs as they were when somebody last looked at them, in `tests/program/snapshots/`.
//!
//! They prove nothing about machines: they show a reviewer what a change does to the pages that people read. After a change that is
//! meant, write them anew and look at every line of the difference before it is committed:
//!
//! ```text
//! NTMEM_UPDATE=1 cargo test --features cli --test program snapshots; git diff tests/program/snapshots
//! ```

use ntmem_forge::{Build, Forged, Scenario};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

const SESSION_MANAGER: &str = r"HKLM\SYSTEM\CurrentControlSet\Control\Session Manager";
/// Lines of a difference that are shown: the rest is in the file that the test names.
const SHOWN: usize = 12;

/// A folder with `image.raw` and its symbols.
struct Machine {
    name: &'static str,
    folder: tempfile::TempDir,
}

impl Machine {
    fn bundled(name: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let samples = root().join("testdata/samples");
        std::fs::copy(samples.join(format!("{name}.raw")), folder.path().join("image.raw")).unwrap();
        let pdb = "symbols/ntkrnlmp.pdb/45FBA2C9DF249FA74C4C44205044422E1/ntkrnlmp.pdb";
        std::fs::create_dir_all(folder.path().join(pdb).parent().unwrap()).unwrap();
        std::fs::copy(samples.join(pdb), folder.path().join(pdb)).unwrap();
        Self { name, folder }
    }

    /// The same machine with snapshots of another name.
    fn called(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    fn forged(name: &'static str, forged: &Forged) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("image.raw"), &forged.image).unwrap();
        std::fs::create_dir(folder.path().join("symbols")).unwrap();
        let symbols = format!("symbols/{}-{}.json", forged.truth.guid, forged.truth.age);
        std::fs::write(folder.path().join(symbols), &forged.isf).unwrap();
        Self { name, folder }
    }

    /// The command, what it prints, and its exit status.
    fn run(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ntmem"));
        command.args(arguments);
        // What needs no image takes no options for symbols.
        if arguments.first() != Some(&"explain") {
            command.args(["--offline", "--no-cache"]);
        }
        command.current_dir(self.folder.path()).env_remove("_NT_SYMBOL_PATH").env("COLUMNS", "80");
        let out = command.output().unwrap();
        let quoted =
            arguments.iter().map(|word| if word.contains(' ') { format!("'{word}'") } else { (*word).to_owned() });
        let print = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let errors = print(&out.stderr);
        let errors = if errors.is_empty() { errors } else { format!("--- standard error\n{errors}") };
        let text = format!(
            "$ ntmem {}\n{}{errors}--- exit status {}\n",
            quoted.collect::<Vec<_>>().join(" "),
            print(&out.stdout),
            out.status.code().unwrap()
        );
        text.replace(concat!("ntmem ", env!("CARGO_PKG_VERSION")), "ntmem VERSION")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compares outputs with the files of their machine, or writes them.
fn compare(machine: &Machine, cases: &[(&str, &[&str])]) {
    let folder = root().join("tests/program/snapshots").join(machine.name);
    let renew = std::env::var_os("NTMEM_UPDATE").is_some();
    let mut different = Vec::new();
    for (file, arguments) in cases {
        let (path, now) = (folder.join(file), machine.run(arguments));
        let before = std::fs::read_to_string(&path).unwrap_or_default();
        if before == now {
            continue;
        }
        different.push(format!("{}\n{}", path.display(), difference(&before, &now)));
        if renew {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, now).unwrap();
        }
    }
    let known: BTreeSet<PathBuf> = cases.iter().map(|(file, _)| folder.join(file)).collect();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert!(known.contains(&path), "{} belongs to no case: delete it", path.display());
    }
    let advice = if renew {
        "were written anew: look at `git diff tests/program/snapshots`, and run the test again without NTMEM_UPDATE"
    } else {
        "differ: if the change is meant, write them anew (tests/program/snapshots.rs says how)"
    };
    assert!(different.is_empty(), "{} outputs {advice}\n{}", different.len(), different.join("\n"));
}

/// The first lines that are not the same.
fn difference(before: &str, now: &str) -> String {
    let same = before.lines().zip(now.lines()).take_while(|(before, now)| before == now).count();
    let part = |sign: char, text: &str| {
        let lines = text.lines().skip(same).take(SHOWN / 2).map(|line| format!("{sign} {line}\n"));
        lines.collect::<String>()
    };
    format!("from line {}:\n{}{}", same + 1, part('-', before), part('+', now))
}

#[test]
fn clean() {
    compare(
        &Machine::bundled("clean"),
        &[
            ("info.txt", &["info", "image.raw"]),
            ("pslist.txt", &["pslist", "image.raw"]),
            ("pstree.txt", &["pstree", "image.raw"]),
            ("psxview.txt", &["psxview", "image.raw"]),
            ("sessions.txt", &["sessions", "image.raw"]),
            ("registry.txt", &["registry", SESSION_MANAGER, "image.raw"]),
            ("hives.txt", &["hives", "image.raw"]),
            ("hives.json", &["hives", "image.raw", "--format", "json"]),
            ("check.txt", &["check", "smss", "image.raw"]),
            ("symbols.txt", &["symbols", "image.raw"]),
            ("symbols.json", &["symbols", "image.raw", "--format", "json"]),
        ],
    );
}

/// With a second smss.exe, and a second entry in BootExecute.
#[test]
fn suspicious() {
    compare(
        &Machine::bundled("suspicious"),
        &[
            ("pslist.txt", &["pslist", "image.raw"]),
            ("pstree.txt", &["pstree", "image.raw"]),
            ("sessions.txt", &["sessions", "image.raw"]),
            ("registry.txt", &["registry", SESSION_MANAGER, "image.raw"]),
            ("check.txt", &["check", "smss", "image.raw"]),
            ("check-scan.json", &["check", "smss", "image.raw", "--scan", "--format", "json"]),
        ],
    );
}

/// Every text view on a terminal of 80 and of 120 columns, and the other forms: one machine, so that a change to a form shows once.
#[test]
fn forms() {
    let pid = "3636";
    let views: [(&str, &[&str]); 14] = [
        ("info", &["info", "image.raw"]),
        ("pslist", &["pslist", "image.raw"]),
        ("pstree", &["pstree", "image.raw"]),
        ("psxview", &["psxview", "image.raw"]),
        ("sessions", &["sessions", "image.raw"]),
        ("show", &["show", pid, "image.raw"]),
        ("registry", &["registry", SESSION_MANAGER, "image.raw"]),
        ("hives", &["hives", "image.raw"]),
        ("read", &["read", "0x400000", "image.raw", "--pid", pid, "--bytes", "64"]),
        ("timeline", &["timeline", "image.raw"]),
        ("check", &["check", "smss", "image.raw"]),
        ("brief", &["check", "smss", "image.raw", "--brief"]),
        ("explain", &["explain"]),
        ("symbols", &["symbols", "image.raw"]),
    ];
    let machine = Machine::bundled("suspicious").called("forms");
    let mut cases: Vec<(String, Vec<&str>)> = Vec::new();
    for (name, view) in views {
        for width in ["80", "120"] {
            let arguments = [view, &["--width", width]].concat();
            let printed = machine.run(&arguments);
            // What is to be pasted, and a path, stays whole.
            let whole = |line: &str| line.contains("ntmem ") || line.split_whitespace().count() <= 3;
            for line in printed.lines().skip(1).filter(|line| !whole(line)) {
                assert!(line.chars().count() <= width.parse().unwrap(), "{name} at {width}: {line}");
            }
            cases.push((format!("{name}-{width}.txt"), arguments));
        }
    }
    for (name, arguments) in [
        ("pslist.csv", &["pslist", "image.raw", "--format", "csv"][..]),
        ("psxview.csv", &["psxview", "image.raw", "--format", "csv"]),
        ("timeline.csv", &["timeline", "image.raw", "--format", "csv"]),
        ("sessions.jsonl", &["sessions", "image.raw", "--format", "jsonl"]),
        ("psxview.jsonl", &["psxview", "image.raw", "--format", "jsonl"]),
        ("timeline.jsonl", &["timeline", "image.raw", "--format", "jsonl"]),
        ("check.html", &["check", "smss", "image.raw", "--format", "html"]),
        ("show.html", &["show", pid, "image.raw", "--format", "html"]),
    ] {
        cases.push((name.to_owned(), arguments.to_vec()));
    }
    let cases: Vec<(&str, &[&str])> =
        cases.iter().map(|(name, arguments)| (name.as_str(), arguments.as_slice())).collect();
    compare(&machine, &cases);
}

/// A svchost.exe is in the list of active processes no more.
#[test]
fn hidden() {
    compare(
        &Machine::forged("hidden", &Scenario::clean(Build::W11_26100).with_unlinked(804).forge()),
        &[
            ("pslist.txt", &["pslist", "image.raw"]),
            ("psxview.txt", &["psxview", "image.raw"]),
            ("psxview-scan.txt", &["psxview", "image.raw", "--scan"]),
            ("check.txt", &["check", "smss", "image.raw"]),
            ("check-scan.txt", &["check", "smss", "image.raw", "--scan"]),
        ],
    );
}

/// The smss.exe of each session is over, and still in the list.
#[test]
fn exited_children() {
    compare(
        &Machine::forged("exited_children", &Scenario::clean(Build::W7_7601).with_exited_session_children().forge()),
        &[
            ("pslist.txt", &["pslist", "image.raw"]),
            ("pstree.txt", &["pstree", "image.raw"]),
            ("psxview.txt", &["psxview", "image.raw"]),
            ("sessions.txt", &["sessions", "image.raw"]),
            ("check.txt", &["check", "smss", "image.raw"]),
        ],
    );
}

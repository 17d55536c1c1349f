//! The program: what it leaves alone, and what its exit status says.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const PDB: &str = "symbols/ntkrnlmp.pdb/45FBA2C9DF249FA74C4C44205044422E1/ntkrnlmp.pdb";

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/samples")
}

fn ntmem(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ntmem"));
    command.args(arguments).arg("--symbols").arg(samples().join("symbols"));
    command
}

fn run(arguments: &[&str]) -> Output {
    ntmem(arguments).output().unwrap()
}

/// A result never goes over the file that it is made from, whatever the file is called.
#[test]
fn evidence_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("mem.raw");
    std::fs::copy(samples().join("clean.raw"), &image).unwrap();
    let before = std::fs::read(&image).unwrap();
    let link = folder.path().join("link.raw");
    std::fs::hard_link(&image, &link).unwrap();
    let around = folder.path().join("..").join(folder.path().file_name().unwrap()).join("mem.raw");
    let path = image.to_str().unwrap();
    for output in [path, link.to_str().unwrap(), around.to_str().unwrap()] {
        for arguments in [
            vec!["pslist", path],
            vec!["check", "smss", path],
            vec!["registry", "SYSTEM", path],
            vec!["hives", path, "--extract", "SYSTEM"],
        ] {
            let out = ntmem(&arguments).args(["--output", output]).output().unwrap();
            assert_eq!(out.status.code(), Some(64), "{arguments:?} {output}");
            assert!(std::fs::read(&image).unwrap() == before, "{arguments:?} {output}");
        }
    }
    let report = folder.path().join("report.json");
    let report = report.to_str().unwrap();
    assert_eq!(run(&["pslist", path, "--format", "json", "--output", report]).status.code(), Some(0));
    let before = std::fs::read(report).unwrap();
    assert_eq!(run(&["check", "--report", report, "--output", report]).status.code(), Some(64));
    assert!(std::fs::read(report).unwrap() == before);

    let pdb = folder.path().join("kernel.pdb");
    std::fs::copy(samples().join(PDB), &pdb).unwrap();
    let before = std::fs::read(&pdb).unwrap();
    let name = pdb.to_str().unwrap();
    let out =
        Command::new(env!("CARGO_BIN_EXE_ntmem")).args(["symbols", "pack", name, "--output", name]).output().unwrap();
    assert_eq!(out.status.code(), Some(64));
    assert!(std::fs::read(&pdb).unwrap() == before);
}

/// An image that nobody can read in any order is refused, and nobody waits for who writes into it.
#[cfg(unix)]
#[test]
fn a_pipe_is_no_image() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let out = run(&["info", pipe.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&out.stderr).contains("it is a pipe"), "{out:?}");
}

/// Both an image and a report are one too many, and the image is no name of a check.
#[test]
fn an_image_or_a_report() {
    let image = samples().join("clean.raw");
    let report = samples().join("clean.json");
    let out = run(&["check", "smss", image.to_str().unwrap(), "--report", report.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&out.stderr).contains("not both"), "{out:?}");
}

/// `ntmem check mem.raw | head` is no clean machine, and nobody on standard error is no panic.
#[test]
fn nobody_reads() {
    let image = samples().join("suspicious.raw");
    for format in ["text", "json", "jsonl"] {
        let arguments = ["check", "smss", image.to_str().unwrap(), "--format", format];
        let mut child = ntmem(&arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(1), "{format}");
    }
    let mut child = ntmem(&["info", "no such file"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

/// A dump whose memory is missing: the message says so, beside that there is no kernel.
#[test]
fn truncated_dump() {
    use ntmem_forge::{Build, DumpType, Scenario};
    let mut dump = Scenario::clean(Build::W10_19045).forge().as_crash_dump(DumpType::Full);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memory.dmp");
    for length in [0x3000, dump.len() - 1] {
        std::fs::write(&path, &dump[..length]).unwrap();
        let out = run(&["symbols", path.to_str().unwrap()]);
        let told = run(&["info", path.to_str().unwrap()]);
        let told = String::from_utf8_lossy(&told.stderr).into_owned();
        assert_eq!(out.status.code(), Some(if length == 0x3000 { 3 } else { 0 }));
        // One byte is enough; what symbols lack for the second is another matter.
        assert!(told.contains("truncated"), "{length:#x}: {told}");
    }
    dump.truncate(0x30);
    std::fs::write(&path, &dump).unwrap();
    assert_eq!(run(&["info", path.to_str().unwrap()]).status.code(), Some(3));
}

#[test]
fn exit_status() {
    let image = samples().join("suspicious.raw");
    let image = image.to_str().unwrap();
    for (arguments, code) in [
        (vec!["info", image], 0),
        (vec!["check", "smss", image], 1),
        (vec!["info", "no such file"], 3),
        (vec!["check", "smss"], 64),
        (vec!["check", "smms", image], 64),
        (vec!["--nonsense"], 64),
    ] {
        let out = run(&arguments);
        assert_eq!(out.status.code(), Some(code), "{arguments:?}");
        // Results and complaints do not mix.
        assert_eq!(out.stdout.is_empty(), code > 2, "{arguments:?}");
        assert_eq!(out.stderr.is_empty(), code <= 2, "{arguments:?}");
        assert!(!out.stdout.contains(&0x1b) && !out.stderr.contains(&0x1b), "{arguments:?}");
    }
}

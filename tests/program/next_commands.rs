//! The commands that a report prints work as they stand, with the symbols and page files that it was made with.

use ntmem_forge::{Behind, Build, PagingFile, Scenario, Tampered};
use std::path::Path;
use std::process::{Command, Output};

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ntmem"));
    command.current_dir(folder).env_remove("_NT_SYMBOL_PATH").args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What the printed commands print, each with the command.
fn pasted(folder: &Path, report: &str) -> Vec<(String, Output)> {
    let program = env!("CARGO_BIN_EXE_ntmem");
    let words = report.lines().filter_map(|line| line.split_once("ntmem ").map(|(_, words)| words));
    let reads = ["read ", "show ", "dump ", "registry "];
    let commands = words.filter(|words| reads.iter().any(|read| words.starts_with(read)));
    // Several findings may print one command; nobody runs it twice.
    let commands: std::collections::BTreeSet<&str> = commands.collect();
    let outputs = commands.into_iter().filter_map(|words| {
        let line = format!("\"{program}\" {words}");
        let output =
            Command::new("bash").current_dir(folder).env_remove("_NT_SYMBOL_PATH").args(["-c", &line]).output();
        Some((words.to_owned(), output.ok()?))
    });
    outputs.collect()
}

#[test]
fn what_is_printed_can_be_pasted() {
    for (build, what) in [
        (Build::W10_19045, Behind::PageFile),
        (Build::W11_26100, Behind::StorePageFile),
        (Build::W11_22621, Behind::SwapFile),
    ] {
        let scenario = Scenario::clean(build).tampered(Tampered::SmssCommand).tampered(Tampered::SetupExecute);
        let forged = scenario.behind(what).forge();
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("my symbols")).unwrap();
        std::fs::create_dir(at("page files")).unwrap();
        std::fs::write(at("image.raw"), &forged.image).unwrap();
        let symbols = format!("my symbols/{}-{}.json", forged.truth.guid, forged.truth.age);
        std::fs::write(at(&symbols), &forged.isf).unwrap();
        for file in forged.paging_files.iter().filter(|file| file.kind != PagingFile::Store) {
            // Names that people give.
            file.write(&at(&format!("page files/host1-{}.bin", file.kind.name()))).unwrap();
        }
        let arguments = ["check", "smss", "image.raw", "--symbols", "my symbols", "--pagefile", "page files"];
        let report = text(&run(folder.path(), &[&arguments[..], &["--offline", "--no-cache"]].concat()));
        let all = pasted(folder.path(), &report);
        assert!(all.iter().any(|(words, _)| words.starts_with("read ")), "{build:?}: no read: {report}");
        for (words, output) in &all {
            assert!(words.contains("--symbols \"my symbols\""), "{build:?}: {words}");
            let (out, said) = (text(output), String::from_utf8_lossy(&output.stderr).into_owned());
            assert!(output.status.success(), "{build:?}: {words}: {out}{said}");
            assert!(!out.contains("missing:"), "{build:?}: {words}: {out}{said}");
        }
        // One of them shows what was run.
        let words_of = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let command = words_of(&forged.truth.process(348).unwrap().command_line.clone().unwrap());
        let shows =
            |words: &str, output: &Output| words.starts_with("show 348") && words_of(&text(output)).contains(&command);
        let shown = all.iter().any(|(words, output)| shows(words, output));
        assert!(shown, "{build:?}: {report}");
    }
}

/// Names that a shell or the program would take for something else are written so that they lead to the file; of a name that is no text
/// no command is printed that reads the image, and the report says so.
#[cfg(unix)]
#[test]
fn names_of_files() {
    use std::os::unix::ffi::OsStrExt as _;
    let forged = Scenario::clean(Build::W10_19045).tampered(Tampered::SmssCommand).forge();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("-symbols")).unwrap();
    let symbols = format!("-symbols/{}-{}.json", forged.truth.guid, forged.truth.age);
    std::fs::write(folder.path().join(symbols), &forged.isf).unwrap();
    for (name, is_text) in [
        (&b"-x.raw"[..], true),
        (b"it's \"his\" $HOME.raw", true),
        (b"new\nline\x1b[2J.raw", true),
        ("sm\u{455}s \u{202e}war.raw".as_bytes(), true),
        (b"la\xfft.raw", false),
    ] {
        let image = std::ffi::OsStr::from_bytes(name);
        std::fs::write(folder.path().join(image), &forged.image).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_ntmem"))
            .current_dir(folder.path())
            .args(["check", "smss", "--symbols=-symbols", "--offline", "--no-cache", "--"])
            .arg(image)
            .output()
            .unwrap();
        let report = text(&output);
        let all = pasted(folder.path(), &report);
        assert_eq!(all.is_empty(), !is_text, "{image:?}: {report}");
        assert_eq!(report.contains("No commands are printed that read the image"), !is_text, "{image:?}: {report}");
        for (words, output) in &all {
            assert!(output.status.success(), "{image:?}: {words}: {output:?}");
        }
        // What was dumped is of this image.
        std::fs::remove_file(folder.path().join(image)).unwrap();
        let _ = std::fs::remove_dir_all(folder.path().join("pid-348"));
    }
}

/// What is said of code leads to its bytes, and what is said of several processes to each of them.
#[test]
fn findings_lead_to_code_and_to_each_process() {
    for build in [Build::W7_7601, Build::W10_19045, Build::W11_26100] {
        let forged = Scenario::clean(build).with_hollowed_smss().forge();
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("image.raw"), &forged.image).unwrap();
        std::fs::write(at(&format!("{}-{}.json", forged.truth.guid, forged.truth.age)), &forged.isf).unwrap();
        let arguments = ["check", "smss", "image.raw", "--symbols", ".", "--offline", "--no-cache"];
        let report = text(&run(folder.path(), &arguments));
        let all = pasted(folder.path(), &report);
        for (words, output) in &all {
            assert!(output.status.success(), "{build:?}: {words}: {output:?}");
        }
        // The forge puts code at 0x150000000, and a thread that starts at 0x150001000.
        for words in ["read 0x0000000150000000 image.raw --pid 348", "dump 348 image.raw --vad 0x0000000150000000"] {
            assert!(all.iter().any(|(line, _)| line.starts_with(words)), "{build:?}: {words}: {report}");
        }
        assert!(at("pid-348").join("manifest.json").exists());
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/samples");
    let report = text(&run(&folder, &["check", "smss", "suspicious.raw"]));
    let (_, of_masters) = report.split_once("high SMSS-006").unwrap();
    let (of_masters, _) = of_masters.split_once("ntmem explain SMSS-006").unwrap();
    for pid in ["348", "3636"] {
        assert!(of_masters.contains(&format!("ntmem show {pid} suspicious.raw")), "{pid}: {of_masters}");
    }
}

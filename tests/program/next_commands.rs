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
    let outputs = commands.filter_map(|words| {
        let line = format!("\"{program}\" {words}");
        let output = Command::new("sh").current_dir(folder).env_remove("_NT_SYMBOL_PATH").args(["-c", &line]).output();
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

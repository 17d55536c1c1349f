//! The command line as scripts use it: exit status, standard output, standard error, forms.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

const SUSPICIOUS: &str = "testdata/samples/suspicious.raw";
const CLEAN: &str = "testdata/samples/clean.raw";

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ntmem"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("_NT_SYMBOL_PATH").args(arguments).output().unwrap()
}

fn status(arguments: &[&str]) -> i32 {
    run(arguments).status.code().unwrap()
}

fn json(arguments: &[&str]) -> Value {
    let output = run(arguments);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{arguments:?}: {error}: {}", String::from_utf8_lossy(&output.stderr));
    })
}

/// The rows of this type that `--format jsonl` gives.
fn rows(arguments: &[&str], kind: &str) -> Vec<Value> {
    let output = run(&[arguments, &["--format", "jsonl"]].concat());
    let rows: Vec<Value> = text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    rows.into_iter().filter(|row| row["type"] == kind).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn exit_status() {
    assert_eq!(status(&["check", "smss", SUSPICIOUS]), 1);
    assert_eq!(status(&["check", SUSPICIOUS]), 1);
    assert_eq!(status(&["check", "smss", CLEAN]), 0);
    assert_eq!(status(&["pslist", CLEAN]), 0);
    for wrong in [
        &["check"][..],
        &["check", "smss"],
        &["check", "lsass", CLEAN],
        &["pslist"],
        &["pslist", CLEAN, "--format", "yaml"],
        &["pslist", CLEAN, "--dtb", "zz"],
        &["nonsense"],
        &[],
    ] {
        let output = run(wrong);
        assert_eq!(output.status.code(), Some(64), "{wrong:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{wrong:?}");
    }
    for failing in [
        &["pslist", "no/such/file"][..],
        &["check", "testdata"],
        &["check", "smss", "Cargo.toml"],
        &["check", "--report", "README.md"],
        &["check", "--report", "no/such/file.json"],
        &["pslist", CLEAN, "--output", "no/such/folder/out"],
    ] {
        let output = run(failing);
        assert_eq!(output.status.code(), Some(3), "{failing:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty() && text(&output.stderr).starts_with("error: "), "{failing:?}");
    }
    assert_eq!(status(&["--help"]), 0);
    assert_eq!(status(&["check", "--help"]), 0);
    assert_eq!(status(&["--version"]), 0);
}

#[test]
fn missing_symbols_say_which() {
    let folder = tempfile::tempdir().unwrap();
    // Away from the symbols that lie beside it.
    let copy = folder.path().join("copy.raw");
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(CLEAN), &copy).unwrap();
    let copy = copy.to_str().unwrap();
    let output = run(&["pslist", copy, "--trust", "exact"]);
    assert_eq!(output.status.code(), Some(3));
    for word in ["ntkrnlmp.pdb", "GUID", "age", "--symbols"] {
        assert!(text(&output.stderr).contains(word), "{}", text(&output.stderr));
    }
    let symbols = run(&["symbols", copy]);
    assert_eq!(symbols.status.code(), Some(0));
    assert!(text(&symbols.stdout).contains("download/symbols/ntkrnlmp.pdb/"));
    assert!(text(&symbols.stdout).contains("instead built_in layouts"));
    assert_eq!(status(&["pslist", copy]), 0, "the built-in layouts of its build serve");
    assert_eq!(status(&["pslist", copy, "--symbols", "testdata/samples/symbols"]), 0);
}

/// Every command's document has the same top level, and holds what the bundled facts say.
#[test]
fn one_document_everywhere() {
    let facts: Value = serde_json::from_str(
        &std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/samples/suspicious.json"))
            .unwrap(),
    )
    .unwrap();
    for command in [
        &["info"][..],
        &["pslist"],
        &["pstree"],
        &["psxview"],
        &["sessions"],
        &["check", "smss"],
        &["symbols"],
        &["hives"],
        &["registry", r"SYSTEM\Select"],
    ] {
        let mut arguments = command.to_vec();
        arguments.extend([SUSPICIOUS, "--format", "json"]);
        let document = json(&arguments);
        assert_eq!(document["schema"], 1, "{command:?}");
        assert!(document["generator"].as_str().unwrap().starts_with("ntmem "), "{command:?}");
        assert!(document["warnings"].is_array(), "{command:?}");
        assert_eq!(document["image"]["format"], "raw", "{command:?}");
        assert_eq!(document["kernel"]["base"], facts["kernel"]["base"], "{command:?}");
        assert_eq!(document["kernel"]["pdb"], facts["kernel"]["pdb"], "{command:?}");
        for member in ["system", "processes", "sessions", "checks"] {
            assert!(document.get(member).is_some(), "{command:?}: {member}");
        }
    }
    let listed = json(&["pslist", SUSPICIOUS, "--format", "json"]);
    let pids = |of: &Value| -> Vec<u64> {
        let of = of.as_array().unwrap().iter();
        of.filter(|process| process["in_active_list"] != false)
            .map(|process| process["pid"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(pids(&listed["processes"]["items"]), pids(&facts["processes"]));
}

#[test]
fn lines_and_files() {
    // `-` is standard output, as without it.
    assert_eq!(run(&["pslist", CLEAN, "--output", "-"]).stdout, run(&["pslist", CLEAN]).stdout);
    let lines = rows(&["pslist", CLEAN], "process");
    assert!(lines.iter().any(|process| process["name"] == "smss.exe"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let file = file.to_str().unwrap();
    let output = run(&["check", "smss", SUSPICIOUS, "--format", "json", "--output", file]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    // A saved report is judged as its image was.
    let again = json(&["check", "smss", "--report", file, "--format", "json"]);
    let first: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(first["checks"], again["checks"]);
}

#[test]
fn the_cross_view() {
    let lines = rows(&["psxview", CLEAN], "sighting");
    assert_eq!(lines.len(), rows(&["pslist", CLEAN], "process").len());
    for line in lines {
        let over = !line["exited"].is_null();
        assert_eq!(line["explanation"], if over { "exited_referenced" } else { "listed" }, "{line}");
        assert_eq!((&line["hidden"], line["missing"].as_array().unwrap().len()), (&Value::Bool(false), 0), "{line}");
    }
    let (without, with) = (text(&run(&["psxview", CLEAN]).stdout), text(&run(&["psxview", CLEAN, "--scan"]).stdout));
    for output in [&without, &with] {
        assert!(output.ends_with("0 processes are hidden\n"), "{output}");
    }
    // What was not looked at has no column.
    let columns = |output: &str| output.lines().next().unwrap().split_whitespace().nth(4).unwrap().to_owned();
    assert_eq!(columns(&without), "ACSMTHJO");
    assert!(columns(&with).starts_with("ACSMTHJOP"));
    assert!(without.contains("--scan adds") && !with.contains("--scan adds"));
}

#[test]
fn text_is_plain_and_narrow() {
    for command in [
        &["info"][..],
        &["pstree"],
        &["psxview"],
        &["psxview", "--scan"],
        &["sessions"],
        &["check", "smss"],
        &["pslist"],
        &["hives"],
    ] {
        let mut arguments = command.to_vec();
        arguments.extend([SUSPICIOUS, "--width", "80"]);
        let output = text(&run(&arguments).stdout);
        assert!(!output.contains('\u{1b}'), "{command:?}: colour in a pipe");
        for line in output.lines() {
            // A path, an address and a command to paste are never broken; everything else keeps to 80 columns.
            let breakable = line.split_whitespace().count() > 3 && !line.contains(" ntmem ");
            assert!(
                line.chars().count() <= 80 || !breakable,
                "{command:?}: {line:?} has {} columns",
                line.chars().count()
            );
        }
    }
}

#[test]
fn registry_and_hives() {
    let output = run(&["registry", r"hklm\system\currentcontrolset\control\session manager\subsystems", CLEAN]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("Required"));
    let absent = run(&["registry", r"SYSTEM\No Such Key", CLEAN]);
    assert!(text(&absent.stderr).contains("there is no key"));
    assert!(text(&absent.stdout).starts_with("There is no key SYSTEM\\No Such Key.\n"));
    assert_eq!(absent.status.code(), Some(4));
    let value = run(&["registry", r"SYSTEM\Select\Current", CLEAN]);
    assert!(text(&value.stdout).contains("Current is a value of the key SYSTEM\\Select"), "{}", text(&value.stdout));
    let user = run(&["registry", r"HKCU\Software", CLEAN]);
    assert!(text(&user.stderr).contains(r"HKU\SID"), "{}", text(&user.stderr));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("SYSTEM");
    assert_eq!(status(&["hives", CLEAN, "--extract", "SYSTEM", "--output", file.to_str().unwrap()]), 0);
    assert!(std::fs::read(&file).unwrap().starts_with(b"regf"));
    // What is there already is somebody's.
    assert_eq!(status(&["hives", CLEAN, "--extract", "SYSTEM", "--output", file.to_str().unwrap()]), 64);
    let other = folder.path().join("other");
    assert_eq!(status(&["hives", CLEAN, "--extract", "NOSUCH", "--output", other.to_str().unwrap()]), 4);
    assert!(!other.exists());
    // HKLM is where hives hang, and no key of one.
    let above = run(&["registry", "HKLM", CLEAN]);
    assert_eq!(above.status.code(), Some(4));
    assert!(text(&above.stdout).contains(r"Hives are mounted below it: \REGISTRY\MACHINE\"), "{}", text(&above.stdout));
    let slashes = run(&["registry", "HKLM/SYSTEM/Select", CLEAN]);
    assert!(text(&slashes.stderr).contains(r"HKLM\SYSTEM\Select is there"), "{}", text(&slashes.stderr));
}

/// A process list of another tool, with as little as such lists have.
#[test]
fn a_foreign_list() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("list.json");
    let list = r#"{"processes": {"end": "complete", "items": [
        {"pid": 4, "ppid": 0, "name": "System", "exited": null},
        {"pid": 300, "ppid": 4, "name": "smss.exe", "exited": null, "threads": 2, "user": "S-1-5-18"},
        {"pid": 9000, "ppid": 3000, "name": "smss.exe", "exited": null, "threads": 5, "user": "S-1-5-21-1-2-3-1001"}]}}"#;
    std::fs::write(&file, list).unwrap();
    let document = json(&["check", "smss", "--report", file.to_str().unwrap(), "--format", "json"]);
    let outcomes = document["checks"][0]["outcomes"].as_array().unwrap();
    let of =
        |id: &str, pid: u64| outcomes.iter().find(|o| o["id"] == id && o["pid"] == pid).map(|o| o["outcome"].clone());
    assert_eq!(of("SMSS-008", 9000), Some("violation".into()));
    assert_eq!(of("SMSS-008", 300), Some("pass".into()));
    assert_eq!(of("SMSS-002", 300), Some("unknown".into()), "no path was printed");
    assert_eq!(document["checks"][0]["verdict"], "violations");
}

/// One line a process: what is found in a line is a process, whole.
#[test]
fn a_process_is_a_line() {
    let output = text(&run(&["pslist", SUSPICIOUS]).stdout);
    let named: Vec<&str> = output.lines().filter(|line| line.contains("smss.exe")).collect();
    let document = json(&["pslist", SUSPICIOUS, "--format", "json"]);
    let items = document["processes"]["items"].as_array().unwrap();
    for process in items.iter().filter(|process| process["name"] == "smss.exe") {
        let pid = process["pid"].to_string();
        let line = named.iter().find(|line| line.split_whitespace().next() == Some(&pid)).unwrap();
        assert!(line.ends_with(process["command_line"].as_str().unwrap_or_default()), "{line}");
    }
    assert_eq!(
        output.lines().filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit())).count(),
        items.len()
    );
    // Filters and order, of rows and of text alike.
    let system = &["pslist", SUSPICIOUS, "--user", "SYSTEM", "--sort", "-pid"];
    let pids: Vec<u64> = rows(system, "process").iter().map(|row| row["pid"].as_u64().unwrap()).collect();
    let mut wanted: Vec<u64> =
        items.iter().filter(|p| p["user"] == "S-1-5-18").map(|p| p["pid"].as_u64().unwrap()).collect();
    wanted.sort_unstable_by(|one, other| other.cmp(one));
    assert_eq!(pids, wanted);
    let one = text(&run(&["pslist", SUSPICIOUS, "--pid", "4", "--columns", "name,pid"]).stdout);
    assert_eq!(one, "NAME              PID\nSystem              4\n");
    let csv =
        text(&run(&["pslist", SUSPICIOUS, "--pid", "4", "--columns", "pid,name,exited", "--format", "csv"]).stdout);
    assert_eq!(csv, "pid,name,exited\r\n4,System,\r\n");
    assert_eq!(status(&["pslist", SUSPICIOUS, "--columns", "nonsense"]), 64);
    assert_eq!(status(&["pslist", SUSPICIOUS, "--sort", "nonsense"]), 64);
}

/// Rows stand alone, in the order of the arguments, whatever the number of jobs; a bad image is a row.
#[test]
fn many_images() {
    let arguments = ["check", "smss", SUSPICIOUS, "no/such.raw", CLEAN, SUSPICIOUS, "--format", "jsonl", "--jobs"];
    let of = |jobs: &str| run(&[&arguments[..], &[jobs]].concat());
    let one = of("1");
    let rows: Vec<Value> = text(&one.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(one.status.code(), Some(3), "the worst of 1, 3, 0 and 1");
    assert_eq!(
        (&rows[0]["type"], &rows[0]["generator"]),
        (&"run".into(), &format!("ntmem {}", env!("CARGO_PKG_VERSION")).into())
    );
    let mut order: Vec<&str> = rows[1..].iter().map(|row| row["image"].as_str().unwrap()).collect();
    order.dedup();
    assert_eq!(order, [SUSPICIOUS, "no/such.raw", CLEAN, SUSPICIOUS]);
    let failed: Vec<&Value> = rows.iter().filter(|row| row["type"] == "failed").collect();
    assert_eq!((failed.len(), &failed[0]["image"]), (1, &"no/such.raw".into()));
    let verdicts: Vec<&Value> = rows.iter().filter(|row| row["type"] == "verdict").map(|row| &row["verdict"]).collect();
    assert_eq!(verdicts, ["violations", "clean", "violations"]);
    // The last row of an image is its verdict, with as many violations as there are rows of them.
    let counted = rows
        .iter()
        .filter(|row| row["image"] == SUSPICIOUS && row["outcome"] == "violation" && row["severity"] != "info");
    let told: u64 =
        rows.iter().filter(|row| row["type"] == "verdict").map(|row| row["violations"].as_u64().unwrap()).sum();
    assert_eq!(counted.count() as u64, told);
    for row in rows.iter().filter(|row| row["type"] == "outcome") {
        assert!(row["host"].is_string() && row["check"] == "smss" && row["verdict"].is_string(), "{row}");
    }
    let four = text(&of("4").stdout).replace(r#""--jobs","4""#, r#""--jobs","1""#);
    assert_eq!(four, text(&one.stdout));
    // The same as text ends with a table; a folder and a list name the same images.
    let folder = tempfile::tempdir().unwrap();
    for name in ["b.raw", "a.raw"] {
        std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(CLEAN), folder.path().join(name)).unwrap();
    }
    std::fs::write(folder.path().join("notes.txt"), "no image").unwrap();
    let path = folder.path().to_str().unwrap();
    let listed = folder.path().join("list");
    std::fs::write(&listed, format!("{path}/a.raw\n\n{path}/b.raw\n")).unwrap();
    let by_folder = run(&["check", path]);
    assert_eq!(by_folder.status.code(), Some(0), "{}", text(&by_folder.stderr));
    let by_folder = text(&by_folder.stdout);
    assert!(by_folder.ends_with("2 images, 2 clean\n"), "{by_folder}");
    let by_list = text(&run(&["check", &format!("@{}", listed.display())]).stdout);
    let but_arguments = |text: &str| {
        text.lines()
            .filter(|line| !line.contains("made by") && !line.contains("@/"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert!(but_arguments(&by_list).last() == but_arguments(&by_folder).last());
    assert_eq!(status(&["check", &format!("@{path}/nothing")]), 3);
    // One array of documents.
    let documents = json(&["pslist", SUSPICIOUS, "no/such.raw", CLEAN, "--format", "json"]);
    let documents = documents.as_array().unwrap();
    assert_eq!(documents.len(), 3);
    assert!(documents[0]["processes"]["items"].is_array() && documents[1]["failed"].is_string());
}

/// The hash is that of the file, as another tool gives it.
#[test]
fn sha256_of_the_image() {
    let Ok(other) = Command::new("sha256sum").current_dir(env!("CARGO_MANIFEST_DIR")).arg(CLEAN).output() else {
        println!("skipped: there is no sha256sum");
        return;
    };
    let sum = text(&other.stdout).split_whitespace().next().unwrap().to_owned();
    assert_eq!(json(&["info", CLEAN, "--sha256", "--format", "json"])["run"]["sha256"], sum);
}

/// The tree's rows say where they stand.
#[test]
fn rows_of_the_tree() {
    let rows = rows(&["pstree", CLEAN], "process");
    for (number, row) in rows.iter().enumerate() {
        assert_eq!(row["row"], number);
        let Some(parent) = row["parent_row"].as_u64() else {
            assert_eq!(row["depth"], 0);
            continue;
        };
        let parent = &rows[parent as usize];
        assert_eq!(
            (&row["ppid"], row["depth"].as_u64().unwrap()),
            (&parent["pid"], parent["depth"].as_u64().unwrap() + 1)
        );
    }
    assert!(rows.iter().any(|row| row["depth"] == 2));
}

/// A machine of which no page table leads to the kernel: `--scan` carves, and without it the message says so.
#[test]
fn carved_processes() {
    let truth: Value = serde_json::from_str(&std::fs::read_to_string("testdata/samples/clean.json").unwrap()).unwrap();
    let mut bytes = std::fs::read(CLEAN).unwrap();
    let processes = truth["processes"].as_array().unwrap();
    for root in processes.iter().map(|process| ntmem::parse_hex(process["dtb"].as_str().unwrap()).unwrap()) {
        let half = usize::try_from(root & !0xfff).unwrap() + 0x800;
        bytes[half..half + 0x800].fill(0);
    }
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("lost.raw");
    std::fs::write(&image, bytes).unwrap();
    let image = image.to_str().unwrap();
    for command in ["pslist", "check", "info", "pstree", "psxview", "sessions"] {
        let without = run(&[command, image]);
        assert_eq!(without.status.code(), Some(3), "{command}");
        let said = text(&without.stderr);
        let promised = format!("work on {} processes", processes.len());
        assert!(said.contains("With --scan") && said.contains(&promised), "{command}: {said}");
        let code = if command == "check" { 2 } else { 0 };
        assert_eq!(status(&[command, "--scan", image]), code, "{command}");
    }
    assert!(text(&run(&["pslist", "--scan", image]).stdout).contains("carved"));
    let listed = rows(&["pslist", "--scan", image], "process");
    let pids =
        |rows: &[Value]| rows.iter().map(|row| row["pid"].as_u64().unwrap()).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(pids(&listed), pids(processes));
    assert!(listed.iter().all(|row| row["sources"] == serde_json::json!(["carved"])));
    let verdict = &rows(&["check", "--scan", image], "verdict")[0];
    assert_eq!(verdict["verdict"], "inconclusive");
}

//! From a verdict to the bytes: one process whole, its bytes as files, what happened when, a page for a browser, other tools' lists.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

const SUSPICIOUS: &str = "testdata/samples/suspicious.raw";
const CLEAN: &str = "testdata/samples/clean.raw";

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ntmem"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("_NT_SYMBOL_PATH").args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(arguments: &[&str]) -> Value {
    let output = run(&[arguments, &["--format", "json"]].concat());
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {complaints}"))
}

/// What the forge says of the machine.
fn facts() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/samples/suspicious.json");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// The smss.exe that is none: its parent is not System.
fn impostor() -> Value {
    let facts = facts();
    let all = facts["processes"].as_array().unwrap();
    all.iter().find(|process| process["name"] == "smss.exe" && process["ppid"] != 4).unwrap().clone()
}

#[test]
fn one_process_whole() {
    let truth = impostor();
    let pid = truth["pid"].to_string();
    let shown = json(&["show", &pid, SUSPICIOUS]);
    for member in ["pid", "ppid", "eprocess", "command_line", "user"] {
        assert_eq!(shown["process"][member], truth[member], "{member}");
    }
    for list in ["modules", "vads", "threads", "handles", "held_by", "environment", "privileges", "sources", "findings"]
    {
        assert!(shown[list].is_array(), "{list}: {}", shown[list]);
    }
    // The loader's entries and the address ranges are two accounts of the same modules.
    for module in shown["modules"].as_array().unwrap() {
        let vad = shown["vads"].as_array().unwrap().iter().find(|vad| vad["start"] == module["base"]);
        let file = vad.and_then(|vad| vad["file"].as_str()).unwrap_or_default().to_lowercase();
        assert!(file.ends_with(&module["name"].as_str().unwrap().to_lowercase()), "{module} {file}");
        let size = |of: &Value| u64::from_str_radix(&of.as_str().unwrap()[2..], 16).unwrap();
        let range = vad.map(|vad| size(&vad["end"]) + 1 - size(&vad["start"])).unwrap();
        assert_eq!(module["size"].as_u64().unwrap(), range, "{module}");
    }
    let findings = shown["findings"].as_array().unwrap();
    assert!(findings.iter().any(|found| found["id"] == "SMSS-002" && found["severity"] == "critical"));
    assert!(findings.iter().all(|found| found["outcome"] == "violation"));
    // By its address it is the same; the name has two.
    let by_address = json(&["show", truth["eprocess"].as_str().unwrap(), SUSPICIOUS]);
    assert_eq!(by_address["process"], shown["process"]);
    let several = run(&["show", "smss.exe", SUSPICIOUS]);
    assert_eq!(several.status.code(), Some(64));
    let complaint = String::from_utf8_lossy(&several.stderr).into_owned();
    assert!(
        complaint.contains("2 processes") && complaint.contains(truth["eprocess"].as_str().unwrap()),
        "{complaint}"
    );
    let nothing = run(&["show", "77777777", SUSPICIOUS]);
    assert_eq!(nothing.status.code(), Some(4));
    assert!(text(&nothing).contains("there is no process with pid 77777777"));
    // Parts alone.
    let only = text(&run(&["show", &pid, SUSPICIOUS, "--only", "modules", "--width", "120"]));
    assert!(only.starts_with("Modules: ") && !only.contains("Token"), "{only}");
    assert_eq!(run(&["show", &pid, SUSPICIOUS, "--only", "nonsense"]).status.code(), Some(64));
}

/// Every process of the image can be shown, in every form.
#[test]
fn every_process_can_be_shown() {
    let facts = facts();
    for process in facts["processes"].as_array().unwrap().iter().filter(|process| process["in_active_list"] != false) {
        let address = process["eprocess"].as_str().unwrap();
        let rows = text(&run(&["show", address, SUSPICIOUS, "--format", "jsonl"]));
        let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let shown = rows.iter().find(|row| row["type"] == "process").unwrap();
        assert_eq!(shown["pid"], process["pid"]);
        assert!(text(&run(&["show", address, SUSPICIOUS])).contains(&format!("({})", process["pid"])));
    }
}

#[test]
fn bytes_as_files() {
    let truth = impostor();
    let pid = truth["pid"].to_string();
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("case");
    let place = place.to_str().unwrap();
    let done = run(&["dump", &pid, SUSPICIOUS, "--output", place]);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    let manifest: Value =
        serde_json::from_str(&std::fs::read_to_string(Path::new(place).join("manifest.json")).unwrap()).unwrap();
    assert_eq!((&manifest["pid"], &manifest["eprocess"]), (&truth["pid"], &truth["eprocess"]));
    let [file] = manifest["files"].as_array().unwrap().as_slice() else { panic!("one executable: {manifest}") };
    let path = Path::new(place).join(file["file"].as_str().unwrap());
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes.len() as u64, file["bytes"].as_u64().unwrap());
    // Each hole is zero, and what is no hole was read.
    let number = |of: &Value| u64::from_str_radix(&of.as_str().unwrap()[2..], 16).unwrap();
    let start = number(&file["start"]);
    let mut missing = 0;
    for hole in file["holes"].as_array().unwrap() {
        let (from, to) = ((number(&hole["start"]) - start) as usize, (number(&hole["end"]) - start) as usize);
        assert!(bytes[from..to].iter().all(|byte| *byte == 0), "{hole}");
        missing += to - from;
    }
    assert_eq!(file["read"].as_u64().unwrap() as usize + missing, bytes.len());
    if let Ok(other) = Command::new("sha256sum").arg(&path).output() {
        assert!(text(&other).starts_with(file["sha256"].as_str().unwrap()));
    }
    // What is there already is not written over.
    assert_eq!(run(&["dump", &pid, SUSPICIOUS, "--output", place]).status.code(), Some(3));
    let other = folder.path().join("other");
    let other = other.to_str().unwrap();
    let all = run(&["dump", &pid, SUSPICIOUS, "--all", "--output", other]);
    assert_eq!(all.status.code(), Some(0), "{}", String::from_utf8_lossy(&all.stderr));
    let vads = json(&["show", &pid, SUSPICIOUS])["vads"].as_array().unwrap().len();
    assert_eq!(std::fs::read_dir(other).unwrap().count(), vads + 1, "a file for each range, and the manifest");
    assert_eq!(run(&["dump", &pid, SUSPICIOUS]).status.code(), Some(64), "where to?");
    let none = folder.path().join("none");
    assert_eq!(
        run(&["dump", &pid, SUSPICIOUS, "--module", "nonsense", "--output", none.to_str().unwrap()]).status.code(),
        Some(4)
    );
    assert!(!none.exists());
}

/// The columns are those that Timesketch asks for: `datetime`, `timestamp_desc`, `message`.
#[test]
fn a_timeline() {
    let output = text(&run(&["timeline", SUSPICIOUS, CLEAN, "--format", "jsonl", "--jobs", "2"]));
    let rows: Vec<Value> = output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for row in &rows {
        for member in ["datetime", "timestamp_desc", "message", "type", "image", "host"] {
            assert!(row[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {row}");
        }
    }
    let of = |image: &str| rows.iter().filter(|row| row["image"] == image).collect::<Vec<_>>();
    assert_eq!(of(SUSPICIOUS).len() + of(CLEAN).len(), rows.len());
    assert!(of(SUSPICIOUS).is_sorted_by_key(|row| row["datetime"].as_str()), "RFC 3339 in UTC sorts as text");
    // Every process that has a creation time has its event at that time.
    let facts = facts();
    for process in facts["processes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|p| p["in_active_list"] != false && p["created"].is_string())
    {
        let its = |row: &&&Value| row["timestamp_desc"] == "Process created" && row["pid"] == process["pid"];
        let rows = of(SUSPICIOUS);
        let row = rows.iter().find(its).unwrap_or_else(|| panic!("{process}"));
        assert_eq!(row["datetime"], process["created"], "{process}");
    }
    let finding = rows.iter().find(|row| row["timestamp_desc"] == "Finding" && row["severity"] == "critical").unwrap();
    assert!(!finding["tag"].as_array().unwrap().is_empty(), "{finding}");
    let csv = text(&run(&["timeline", CLEAN, "--format", "csv"]));
    let head = csv.lines().next().unwrap();
    for column in ["image", "host", "datetime", "timestamp_desc", "message", "pid", "tag"] {
        assert!(head.split(',').any(|name| name == column), "{head}");
    }
    assert_eq!(csv.lines().count() - 1, of(CLEAN).len());
    assert_eq!(json(&["timeline", CLEAN])["timeline"].as_array().unwrap().len(), of(CLEAN).len());
}

/// One file that needs nothing else and runs nothing.
#[test]
fn a_page_for_a_browser() {
    let output = run(&["check", "smss", SUSPICIOUS, "--format", "html"]);
    assert_eq!(output.status.code(), Some(1));
    let page = text(&output);
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    for never in ["<script", "<link", "<img", "src=", "javascript:", "@import", "url("] {
        assert!(!page.contains(never), "{never}");
    }
    for there in [
        "VIOLATIONS",
        "SMSS-002",
        "<svg",
        "prefers-color-scheme",
        "@media print",
        "lang=\"en\"",
        "Limits of this report",
    ] {
        assert!(page.contains(there), "{there}");
    }
    for tag in ["section", "table", "svg", "dl", "figure", "main", "nav"] {
        let (opened, closed) = (page.matches(&format!("<{tag}")).count(), page.matches(&format!("</{tag}>")).count());
        assert_eq!(opened, closed, "{tag}");
    }
    assert_eq!(run(&["check", SUSPICIOUS, CLEAN, "--format", "html"]).status.code(), Some(64), "one image a page");
}

/// What a finding shows is read again with the address that it names, and a structure by its name.
#[test]
fn evidence_is_read_again() {
    let checked = json(&["check", "smss", SUSPICIOUS]);
    let outcomes = checked["checks"][0]["outcomes"].as_array().unwrap();
    let wrong = outcomes.iter().filter(|outcome| outcome["outcome"] == "violation");
    let mut texts = 0;
    for entry in wrong.flat_map(|outcome| outcome["evidence"].as_array().unwrap()) {
        let Some(value) = entry["value"].as_str().filter(|value| value.starts_with(['\\', '"', 'C'])) else { continue };
        let data = &entry["data"];
        // Lists, and the files of ranges, lie in many places.
        if data.is_null() {
            continue;
        }
        let bytes = data["bytes"].as_u64().unwrap().to_string();
        let address = data["physical"].as_str().unwrap();
        let shown = json(&["read", address, SUSPICIOUS, "--physical", "--bytes", &bytes, "--as", "unicode"]);
        assert_eq!(shown["read"]["text"], value, "{entry}");
        texts += 1;
    }
    assert!(texts >= 2, "{texts} texts were read again");
    let truth = impostor();
    let shown = json(&["read", truth["eprocess"].as_str().unwrap(), SUSPICIOUS, "--as", "_EPROCESS"]);
    let fields = shown["read"]["structure"]["fields"].as_array().unwrap();
    let field = |name: &str| fields.iter().find(|field| field["name"] == name).unwrap();
    let number = |name: &str| u64::from_str_radix(&field(name)["value"].as_str().unwrap()[2..], 16).unwrap();
    assert_eq!(number("UniqueProcessId"), truth["pid"].as_u64().unwrap());
    assert_eq!(number("InheritedFromUniqueProcessId"), truth["ppid"].as_u64().unwrap());
    let refused = run(&["read", "0x1000", SUSPICIOUS, "--as", "_NO_SUCH"]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--symbols"));
}

/// Commands that a report prints run as they are printed.
#[test]
fn printed_commands_run() {
    let report = text(&run(&["check", "smss", SUSPICIOUS]));
    let commands: Vec<&str> =
        report.lines().map(str::trim).filter_map(|line| line.find("ntmem ").map(|at| &line[at..])).collect();
    let mut ran = 0;
    for command in commands
        .iter()
        .filter(|command| ["show", "registry", "read", "explain"].contains(&command.split(' ').nth(1).unwrap()))
    {
        let script = command.replacen("ntmem", env!("CARGO_BIN_EXE_ntmem"), 1);
        let Ok(done) = Command::new("sh").current_dir(env!("CARGO_MANIFEST_DIR")).args(["-c", &script]).output() else {
            println!("skipped: there is no sh");
            return;
        };
        assert_eq!(done.status.code(), Some(0), "{command}: {}", String::from_utf8_lossy(&done.stderr));
        ran += 1;
    }
    assert!(ran > 3, "{report}");
}

/// As Volatility prints it, the same list gives the same answer about parents as the image.
#[test]
fn other_tools_lists() {
    let folder = tempfile::tempdir().unwrap();
    let facts = facts();
    let rows: Vec<Value> = facts["processes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|process| process["in_active_list"] != false)
        .map(|process| {
            serde_json::json!({
                "PID": process["pid"], "PPID": process["ppid"], "ImageFileName": process["name"], "Offset(V)": 1,
                "Threads": process["threads"], "Handles": null, "SessionId": process["session"], "Wow64": false,
                "CreateTime": process["created"], "ExitTime": process["exited"], "File output": "Disabled", "__children": [],
            })
        })
        .collect();
    let list = folder.path().join("pslist.json");
    std::fs::write(&list, serde_json::to_string(&rows).unwrap()).unwrap();
    let report = json(&["check", "smss", "--report", list.to_str().unwrap()]);
    let of = |report: &Value, pid: &Value| {
        let outcomes = report["checks"][0]["outcomes"].as_array().unwrap();
        let found = outcomes.iter().find(|outcome| outcome["id"] == "SMSS-001" && &outcome["pid"] == pid);
        found.map(|found| found["outcome"].clone())
    };
    let pid = &impostor()["pid"];
    assert_eq!(of(&report, pid), Some("violation".into()));
    assert_eq!(of(&report, pid), of(&json(&["check", "smss", SUSPICIOUS]), pid));
    // What it lacks is unknown, and beside it can be more.
    let command = folder.path().join("cmdline.json");
    std::fs::write(
        &command,
        format!(r#"[{{"PID": {pid}, "Process": "smss.exe", "Args": "x.exe", "__children": []}}]"#),
    )
    .unwrap();
    let both = ["check", "smss", "--report", list.to_str().unwrap(), "--report", command.to_str().unwrap()];
    let items = json(&both)["processes"]["items"].clone();
    let impostor = items.as_array().unwrap().iter().find(|process| &process["pid"] == pid).unwrap();
    assert_eq!((&impostor["command_line"], &impostor["user"]), (&"x.exe".into(), &Value::Null));
    assert!(impostor["absent"]["user"].is_string());
}

#[test]
fn completions_and_manual() {
    for (what, word) in
        [("bash", "_ntmem"), ("zsh", "#compdef ntmem"), ("fish", "complete -c ntmem"), ("man", ".TH ntmem")]
    {
        let output = text(&run(&["completions", what]));
        assert!(output.contains(word), "{what}: {output}");
    }
    // The page has what each command takes.
    let manual = text(&run(&["completions", "man"]));
    let of_list = manual.split("NTMEM PSLIST").nth(1).and_then(|rest| rest.split("\n.SH ").next()).unwrap();
    assert!(of_list.contains(r"\-\-columns") && of_list.contains(r"\-\-jobs"), "{of_list}");
    assert_eq!(run(&["completions", "nonsense"]).status.code(), Some(64));
    // A command takes what it uses, and says so of nothing else.
    for (command, not) in [
        ("explain", &["--jobs", "--sha256", "--symbols", "--pagefile"][..]),
        ("dump", &["--jobs", "--format", "--width"]),
        ("convert", &["--jobs", "--format", "--width", "--output"]),
        ("show", &["--jobs"]),
        ("registry", &["--jobs"]),
        ("selftest", &["--jobs", "--scan", "--dtb", "--pagefile"]),
    ] {
        let help = text(&run(&[command, "--help"]));
        for option in not {
            let taken =
                help.lines().any(|line| line.trim_start().starts_with(option) || line.contains(&format!(", {option}")));
            assert!(!taken, "{command} {option}: {help}");
            assert_eq!(run(&[command, option, "x"]).status.code(), Some(64), "{command} {option}");
        }
    }
}

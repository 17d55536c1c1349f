//! From a verdict to the bytes: one process whole, its bytes as files, what happened when, a page for a browser, other tools' lists.

use ntmem_forge::{Build, Scenario};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

const SUSPICIOUS: &str = "testdata/samples/suspicious.raw";
const CLEAN: &str = "testdata/samples/clean.raw";
/// The master smss.exe of forged machines.
const MASTER: u64 = 348;

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
    let rows = text(&run(&["show", &pid, SUSPICIOUS, "--only", "modules", "--format", "jsonl"]));
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(rows.iter().any(|row| row["type"] == "module") && rows.iter().all(|row| row["type"] != "vad"));
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
    // What is there already is not written over, and what is written later is added.
    assert_eq!(run(&["dump", &pid, SUSPICIOUS, "--output", place]).status.code(), Some(3));
    let of_process = |pid: &str, module| run(&["dump", pid, SUSPICIOUS, "--module", module, "--output", place]);
    assert_eq!(of_process(&pid, "ntdll").status.code(), Some(0));
    let manifest: Value =
        serde_json::from_str(&std::fs::read_to_string(Path::new(place).join("manifest.json")).unwrap()).unwrap();
    let files = manifest["files"].as_array().unwrap();
    assert_eq!(files.len(), 2);
    assert_eq!(std::fs::read_dir(place).unwrap().count(), 3, "both files, and the manifest");
    assert_eq!(files[0], *file, "what was there is as it was");
    // Nothing of another process comes into the folder.
    let facts = facts();
    let masters = facts["processes"].as_array().unwrap();
    let master = masters.iter().find(|process| process["name"] == "smss.exe" && process["ppid"] == 4).unwrap()["pid"]
        .to_string();
    assert_eq!(of_process(&master, "ntdll").status.code(), Some(3));
    assert_eq!(std::fs::read_dir(place).unwrap().count(), 3);
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

/// A process that is in no list is found by its pid as `show` finds it, and its memory can be read.
#[test]
fn memory_of_a_process_in_no_list() {
    let scenario = Scenario::clean(Build::W10_19045);
    let master = MASTER;
    let forged = scenario.with_unlinked(master).forge();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image.raw");
    std::fs::write(&image, &forged.image).unwrap();
    let image = image.to_str().unwrap();
    let truth = forged.truth.processes.iter().find(|process| process.pid == master).unwrap();
    let (pid, address) = (master.to_string(), format!("{:#x}", truth.eprocess));
    for whom in [&pid, &address] {
        let read = json(&["read", "0x7ffe0000", image, "--pid", whom, "--bytes", "16"]);
        assert_eq!(read["read"]["pages"][0]["from"], "memory", "{whom}: {read}");
    }
    let other = run(&["read", "0x7ffe0000", image, "--pid", "77777777"]);
    assert_eq!(other.status.code(), Some(4), "{}", text(&other));
    let nothing = run(&["read", "0x1234567890", image, "--pid", &pid]);
    assert_eq!(nothing.status.code(), Some(4), "not one byte is there: {}", text(&nothing));
}

/// The executable that the kernel mapped is gone, and another one runs: that one is written.
#[test]
fn the_executable_of_a_hollowed_process() {
    let forged = Scenario::clean(Build::W10_19045).with_hollowed_smss().forge();
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image.raw");
    std::fs::write(&image, &forged.image).unwrap();
    let (image, place) = (image.to_str().unwrap(), folder.path().join("case"));
    let place = place.to_str().unwrap();
    let master = MASTER.to_string();
    let done = run(&["dump", &master, image, "--output", place]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(0), "{said}");
    let base = json(&["show", &master, image])["process"]["image_base"].clone();
    assert!(said.contains(base.as_str().unwrap()), "{said}");
    let manifest: Value =
        serde_json::from_str(&std::fs::read_to_string(Path::new(place).join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["files"][0]["start"], base);
    let system = run(&["dump", "4", image, "--output", place]);
    assert_eq!(system.status.code(), Some(4));
    assert!(String::from_utf8_lossy(&system.stderr).contains("no executable of its own"));
}

/// Physical memory can be read where no kernel is.
#[test]
fn physical_memory_without_a_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image.raw");
    let bytes: Vec<u8> = (0..64 << 20).map(|at: u32| at.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    std::fs::write(&image, &bytes).unwrap();
    let read = json(&["read", "0x1000", image.to_str().unwrap(), "--physical", "--bytes", "8"]);
    let hex: String = bytes[0x1000..0x1008].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(read["read"]["hex"], hex);
}

/// What may be evidence is not written over: page files, further parts, images that a folder names, lists of images.
#[test]
fn evidence_is_spared() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::copy(SUSPICIOUS, at("a.raw")).unwrap();
    std::fs::write(at("list.txt"), at("a.raw")).unwrap();
    for (name, bytes) in [
        ("pagefile.sys", vec![0; 8192]),
        ("a.002", vec![0xff; 100]),
        ("a.003", vec![b'x'; 8192]),
        ("a.vmx", b"x".to_vec()),
    ] {
        std::fs::write(at(name), bytes).unwrap();
    }
    let list = format!("@{}", at("list.txt"));
    let folder_itself = folder.path().to_str().unwrap();
    for (input, output) in [
        (at("a.raw"), at("pagefile.sys")),
        (at("a.raw"), at("a.002")),
        // Parts and settings may begin as text does.
        (at("a.raw"), at("a.003")),
        (at("a.raw"), at("a.vmx")),
        (folder_itself.to_owned(), at("a.raw")),
        (list.clone(), at("a.raw")),
        (list, at("list.txt")),
    ] {
        let before = std::fs::read(&output).unwrap();
        assert_eq!(run(&["pslist", &input, "--output", &output]).status.code(), Some(64), "{output}");
        assert!(std::fs::read(&output).unwrap() == before, "{output}");
    }
    // Every file that is read: page files of a folder, whose first page may be text, a list on standard input, symbol files, documents.
    let pages = folder.path().join("pages");
    std::fs::create_dir(&pages).unwrap();
    std::fs::write(pages.join("pagefile.sys"), [vec![b'x'; 4096], vec![0; 4096]].concat()).unwrap();
    let forged = Scenario::clean(Build::W10_19045).forge();
    std::fs::write(at("kernel.json"), &forged.isf).unwrap();
    let document = at("clean document.json");
    assert_eq!(run(&["pslist", &at("a.raw"), "--format", "json", "--output", &document]).status.code(), Some(0));
    let page_file = pages.join("pagefile.sys").to_str().unwrap().to_owned();
    let (raw, symbols, pages) = (at("a.raw"), at("kernel.json"), pages.to_str().unwrap());
    for (arguments, output) in [
        (vec!["pslist", &raw, "--pagefile", pages], &page_file),
        (vec!["hives", &raw, "--pagefile", pages, "--extract", "SYSTEM"], &page_file),
        (vec!["timeline", &raw, "--symbols", folder_itself], &symbols),
        (vec!["symbols", "pack", folder_itself], &symbols),
        (vec!["check", "smss", "--report", &document], &document),
        (vec!["dump", "4", &raw], &page_file),
    ] {
        let before = std::fs::read(output).unwrap();
        let status = run(&[&arguments[..], &["--output", output]].concat()).status.code();
        assert_eq!(status, Some(64), "{arguments:?} {output}");
        assert!(std::fs::read(output).unwrap() == before, "{arguments:?} {output}");
    }
    let before = std::fs::read(at("a.raw")).unwrap();
    assert_eq!(run(&["convert", &at("a.raw"), &at("a.raw")]).status.code(), Some(64));
    let listed = std::fs::File::open(at("list.txt")).unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_ntmem"))
        .args(["pslist", "-", "--output", &at("a.raw")])
        .stdin(listed)
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(64), "{out:?}");
    assert!(std::fs::read(at("a.raw")).unwrap() == before);
    // A pack is made again.
    for _ in 0..2 {
        let out = run(&["symbols", "pack", &symbols, "--output", &at("kernels.ntpack")]);
        assert_eq!(out.status.code(), Some(0), "{out:?}");
    }
    // A result of before is.
    for _ in 0..2 {
        assert_eq!(run(&["pslist", &at("a.raw"), "--output", &at("list of processes.txt")]).status.code(), Some(0));
    }
}

/// What a shell completes by, and the manual page, know the values of options and all commands.
#[test]
fn completions_and_the_manual() {
    let bash = text(&run(&["completions", "bash"]));
    for word in ["command_line", "modules", "SMSS-021"] {
        assert!(bash.contains(word), "{word}");
    }
    let manual = text(&run(&["completions", "man"]));
    for words in
        ["NTMEM SYMBOLS PACK", "ntmem check smss mem.raw \\-\\-pagefile pagefile.sys \\-\\-pagefile swapfile.sys"]
    {
        assert!(manual.contains(words), "{words}");
    }
    assert!(!manual.contains("(1), "), "no reference to a page that there is not");
}

/// `-` is standard output where there is one stream of bytes: it has what the file would have.
#[test]
fn bytes_to_a_stream() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for to in ["raw", "lime"] {
        let file = at(to);
        assert_eq!(run(&["convert", SUSPICIOUS, &file, "--to", to]).status.code(), Some(0));
        let stream = run(&["convert", SUSPICIOUS, "-", "--to", to]);
        assert_eq!(stream.status.code(), Some(0), "{}", String::from_utf8_lossy(&stream.stderr));
        assert!(stream.stdout == std::fs::read(&file).unwrap(), "{to}");
    }
    assert!(std::fs::read(at("raw")).unwrap() == std::fs::read(SUSPICIOUS).unwrap());
    assert_eq!(run(&["convert", SUSPICIOUS, "-", "--to", "crash_dump"]).status.code(), Some(64));
    let file = at("SYSTEM");
    assert_eq!(run(&["hives", SUSPICIOUS, "--extract", "SYSTEM", "--output", &file]).status.code(), Some(0));
    let stream = run(&["hives", SUSPICIOUS, "--extract", "SYSTEM", "--output", "-"]);
    assert!(stream.stdout == std::fs::read(&file).unwrap() && stream.stdout.starts_with(b"regf"));
    assert_eq!(run(&["dump", "4", SUSPICIOUS, "--output", "-"]).status.code(), Some(64));
}

/// Behind the last address there is nothing, and the last one is read.
#[test]
fn the_top_of_the_address_space() {
    let out = run(&["read", "0xffffffffffffffff", SUSPICIOUS]);
    assert_eq!(out.status.code(), Some(4));
    assert!(text(&out).contains("0xffffffffffffffff 1 bytes missing"), "{}", text(&out));
    let read = json(&["read", "0xffffffffffffff00", SUSPICIOUS, "--bytes", "512"]);
    assert_eq!(read["read"]["pages"][0]["bytes"], 256, "{read}");
}

/// An option is obeyed in a form, or refused with a word.
#[test]
fn parts_and_columns_in_every_form() {
    let whole = json(&["show", "348", SUSPICIOUS]);
    let part = json(&["show", "348", SUSPICIOUS, "--only", "handles,token"]);
    assert_eq!(part["handles"], whole["handles"]);
    assert_eq!(part["privileges"], whole["privileges"]);
    for gone in ["modules", "vads", "threads", "environment", "findings"] {
        assert!(part.get(gone).is_none() && whole.get(gone).is_some(), "{gone}");
    }
    assert!(part["process"].get("inside").is_none_or(Value::is_null), "{}", part["process"]["inside"]);
    assert_eq!(part["processes"]["items"], serde_json::json!([]));
    for (arguments, word) in [
        (&["check", SUSPICIOUS, "--brief", "--format", "json"][..], "--brief"),
        (&["check", SUSPICIOUS, "--brief", "--format", "jsonl"], "--brief"),
        (&["pslist", SUSPICIOUS, "--columns", "pid", "--format", "jsonl"], "--columns"),
        (&["pslist", SUSPICIOUS, "--width", "20"], "40"),
    ] {
        let out = run(arguments);
        assert_eq!(out.status.code(), Some(64), "{arguments:?}");
        assert!(String::from_utf8_lossy(&out.stderr).contains(word), "{out:?}");
    }
}

/// Structures that are the same in every Windows take no symbol file.
#[test]
fn structures_without_symbols() {
    let truth = impostor();
    let pid = truth["pid"].to_string();
    let shown = json(&["show", &pid, SUSPICIOUS]);
    let at = &shown["process"]["located"]["command_line"]["virtual"];
    let Some(at) = at.as_str() else { panic!("{}", shown["process"]["located"]) };
    let read = json(&["read", at, SUSPICIOUS, "--pid", &pid, "--as", "_UNICODE_STRING"]);
    assert_eq!(read["read"]["text"], truth["command_line"], "{}", read["read"]);
    let head = text(&run(&["read", truth["eprocess"].as_str().unwrap(), SUSPICIOUS, "--as", "_EPROCESS"]));
    let name = head.lines().find(|line| line.contains(" ImageFileName ")).unwrap();
    assert!(name.ends_with("smss.exe"), "{name}");
    // 64 bits of time since 1601 stand in the shared page; a hive's signature is in the kernel's headers.
    let shared = json(&["read", "0xfffff78000000000", SUSPICIOUS, "--as", "_KUSER_SHARED_DATA"]);
    let fields = shared["read"]["structure"]["fields"].as_array().unwrap();
    let major = fields.iter().find(|field| field["name"] == "NtMajorVersion").unwrap();
    assert_eq!(major["value"], "0xa", "{major}");
    let hives = json(&["hives", SUSPICIOUS]);
    let hive = hives["hives"]["items"][0]["cmhive"].as_str().unwrap().to_owned();
    let hive = text(&run(&["read", &hive, SUSPICIOUS, "--as", "_HHIVE"]));
    assert!(hive.lines().any(|line| line.contains(" Signature  0xbee0bee0")), "{hive}");
    let process = text(&run(&["read", truth["eprocess"].as_str().unwrap(), SUSPICIOUS, "--as", "_KPROCESS"]));
    assert!(process.lines().any(|line| line.contains(" DirectoryTableBase  0x")), "{process}");
    let protection = text(&run(&["read", "0xfffff78000000000", SUSPICIOUS, "--as", "_PS_PROTECTION"]));
    assert!(protection.contains("Signer bits 4-7"), "{protection}");
    let unknown = run(&["read", "0xfffff78000000000", SUSPICIOUS, "--as", "_NO_SUCH"]);
    assert_eq!(unknown.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("`ntmem symbols IMAGE`"), "{unknown:?}");
    let links = head.lines().find(|line| line.contains(" ActiveProcessLinks ")).unwrap();
    assert!(links.contains("0xffff"), "pointers that can be pasted: {links}");
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

/// The impostor is marked in every list of a report for a browser, and headings go down one step at a time.
#[test]
fn a_page_leads_to_who_is_wrong() {
    let pid = impostor()["pid"].to_string();
    let page = text(&run(&["check", "smss", SUSPICIOUS, "--format", "html"]));
    let marked = page.matches(&format!("<tr class=\"bad\"><td class=\"number\">{pid}</td>")).count();
    assert_eq!(marked, 2, "in the list of processes and in the cross view");
    assert_eq!(page.matches("<tr class=\"bad\">").count(), 2, "nobody else is");
    let mut before = 1;
    for (at, _) in page.match_indices("<h").filter(|(at, _)| page.as_bytes()[at + 2].is_ascii_digit()) {
        let level = usize::from(page.as_bytes()[at + 2] - b'0');
        assert!(level <= before + 1, "from {before} to {level}: {}", &page[at..at + 60]);
        before = level;
    }
    // The axis begins with the system, as the head says.
    let started = &facts()["boot"].as_str().unwrap_or_default().replace('T', " ");
    let started = started.get(..19).unwrap_or_default();
    assert!(page.contains(&format!("time after the start of the system ({started} UTC)")), "{started}");
    // What stands on paper can be typed from it: commands are broken, not cut.
    let print = page.split("@media print").nth(1).unwrap().split("</style>").next().unwrap();
    assert!(print.contains("pre-wrap"), "{print}");
}

#[test]
fn threads_of_the_kernel_start_in_it() {
    let shown = text(&run(&["show", "4", SUSPICIOUS, "--only", "threads", "--width", "0"]));
    assert!(shown.contains(" ntoskrnl.exe+0x") && !shown.contains("nowhere"), "{shown}");
}

/// A list may come from another program's output; an image in its place is told, in a few words.
#[test]
fn a_list_from_standard_input_and_an_image_in_its_place() {
    use std::io::Write as _;
    let document = run(&["check", "smss", SUSPICIOUS, "--format", "json"]).stdout;
    let mut child = Command::new(env!("CARGO_BIN_EXE_ntmem"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["check", "smss", "--report", "-", "--width", "0"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&document).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output);
    // The image that the document is of, and who made it.
    assert!(told.contains(&format!("image     {SUSPICIOUS}, raw")), "{told}");
    assert!(told.contains("read from what ntmem ") && told.contains("made by   ntmem "), "{told}");
    let wrong = run(&["check", "smss", "--report", SUSPICIOUS]);
    let complaint = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert_eq!(wrong.status.code(), Some(3));
    assert!(complaint.len() < 1000 && complaint.contains("without --report"), "{complaint}");
}

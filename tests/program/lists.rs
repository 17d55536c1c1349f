//! Lists and reports as people, spreadsheets and scripts take them: nothing is dropped without a word, and every form says the same.

use ntmem_forge::{Build, Forged, Scenario};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SUSPICIOUS: &str = "testdata/samples/suspicious.raw";
const CLEAN: &str = "testdata/samples/clean.raw";

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ntmem"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("_NT_SYMBOL_PATH").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn out(arguments: &[&str]) -> String {
    text(&run(arguments).stdout)
}

fn status(arguments: &[&str]) -> i32 {
    run(arguments).status.code().unwrap()
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&out(&[arguments, &["--format", "json"]].concat())).unwrap()
}

fn rows(arguments: &[&str], kind: &str) -> Vec<Value> {
    let output = out(&[arguments, &["--format", "jsonl"]].concat());
    let rows = output.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.filter(|row| row["type"] == kind).collect()
}

/// RFC 4180: lines of cells, with quotes undone. By column name.
fn csv(arguments: &[&str]) -> Vec<std::collections::BTreeMap<String, String>> {
    let output = out(&[arguments, &["--format", "csv"]].concat());
    let cells = |line: &str| {
        let (mut cells, mut quoted) = (vec![String::new()], false);
        let mut signs = line.chars().peekable();
        while let Some(sign) = signs.next() {
            match sign {
                '"' if quoted && signs.peek() == Some(&'"') => cells.last_mut().unwrap().push(signs.next().unwrap()),
                '"' => quoted = !quoted,
                ',' if !quoted => cells.push(String::new()),
                other => cells.last_mut().unwrap().push(other),
            }
        }
        cells
    };
    let mut lines = output.lines().map(cells);
    let head = lines.next().unwrap();
    lines
        .map(|line| {
            assert_eq!(line.len(), head.len(), "{line:?}");
            head.iter().cloned().zip(line).collect()
        })
        .collect()
}

fn facts(name: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/samples/{name}.json"));
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// An image with its symbols beside it.
fn image_of(forged: &Forged) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image.raw");
    std::fs::write(&image, &forged.image).unwrap();
    std::fs::create_dir(folder.path().join("symbols")).unwrap();
    let symbols = format!("symbols/{}-{}.json", forged.truth.guid, forged.truth.age);
    std::fs::write(folder.path().join(symbols), &forged.isf).unwrap();
    (folder, image)
}

/// Into a pipe a finding is a line whole, and the list says whose it is.
#[test]
fn a_finding_is_a_line() {
    let document = json(&["check", "smss", SUSPICIOUS]);
    let outcomes = document["checks"][0]["outcomes"].as_array().unwrap();
    let brief = out(&["check", "smss", SUSPICIOUS, "--brief"]);
    let mut told = 0;
    for outcome in outcomes.iter().filter(|outcome| outcome["outcome"] == "violation") {
        let start = format!("{} {}", outcome["severity"].as_str().unwrap(), outcome["id"].as_str().unwrap());
        let lines: Vec<&str> = brief.lines().filter(|line| line.starts_with(&start)).collect();
        let end = format!("({})", outcome["observed"].as_str().unwrap());
        assert!(lines.iter().any(|line| line.ends_with(&end)), "{start} {end}: {brief}");
        told += 1;
    }
    assert!(told > 10, "{told}");
    let whose = format!("{SUSPICIOUS} ({})", document["system"]["host"].as_str().unwrap());
    assert!(brief.lines().any(|line| line.trim() == whose), "{brief}");
}

/// At 80 columns too it is told who is over, and what is not shown is named.
#[test]
fn a_narrow_list_tells_who_is_over() {
    let narrow = out(&["pslist", CLEAN, "--width", "80"]);
    for process in facts("clean")["processes"].as_array().unwrap() {
        let pid = process["pid"].to_string();
        let line = narrow.lines().find(|line| line.split_whitespace().next() == Some(&pid)).unwrap();
        assert_eq!(line.contains(" exited "), process["exited"].is_string(), "{line}");
    }
    let words = narrow.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown = out(&["pslist", CLEAN, "--width", "0"]);
    for head in ["INT", "THR", "CREATED (UTC)", "EXITED (UTC)"] {
        assert!(shown.lines().next().unwrap().contains(head));
        assert!(words.split("not shown").nth(1).is_some_and(|rest| rest.contains(head)), "{head}: {words}");
    }
    assert!(!shown.contains("not shown"));
}

/// Cells are what they are: other forms of the same list have the same values.
#[test]
fn csv_says_what_rows_say() {
    let tree = csv(&["pstree", SUSPICIOUS]);
    let of_rows = rows(&["pstree", SUSPICIOUS], "process");
    assert_eq!(tree.len(), of_rows.len());
    let number = |value: &Value| value.as_u64().map_or_else(String::new, |number| number.to_string());
    for row in &of_rows {
        let line = tree.iter().find(|line| line["row"] == number(&row["row"])).unwrap();
        for member in ["pid", "ppid", "depth", "parent_row", "session"] {
            assert_eq!(line[member], number(&row[member]), "{member} of {row}");
        }
        for member in ["name", "created", "exited"] {
            assert_eq!(line[member], row[member].as_str().unwrap_or_default(), "{member}: all of it");
        }
    }
    let list = csv(&["pslist", SUSPICIOUS]);
    assert!(list.iter().all(|line| line["list_end"] == "complete" && !line["user"].ends_with('*')));
    for line in &list {
        let source = if line["user"].starts_with("S-1-") { "sid" } else { "well known" };
        assert_eq!(line["user_source"], source, "{line:?}");
    }
    for line in csv(&["psxview", SUSPICIOUS]) {
        assert!(["+", "!", "."].contains(&line["active_list"].as_str()), "{line:?}");
        assert!(!line["explanation"].starts_with(' '), "{line:?}");
    }
    assert!(csv(&["explain"]).iter().all(|line| !line["title"].starts_with(' ')));
    for (command, kind) in [("sessions", "session"), ("hives", "hive")] {
        assert_eq!(csv(&[command, CLEAN]).len(), rows(&[command, CLEAN], kind).len(), "{command}");
    }
    // One list a file: which, is said.
    assert_eq!(status(&["show", "4", CLEAN, "--format", "csv"]), 64);
    assert_eq!(status(&["show", "4", CLEAN, "--format", "csv", "--only", "handles,modules"]), 64);
    let vads = csv(&["show", "348", CLEAN, "--only", "vads"]);
    assert_eq!(vads.len(), rows(&["show", "348", CLEAN], "vad").len());
    assert!(vads[0].contains_key("protection"), "{vads:?}");
}

/// A row for each verdict, each finding, and each image that could not be analysed.
#[test]
fn csv_of_verdicts() {
    let lines = csv(&["check", "smss", "no/such.raw", SUSPICIOUS, CLEAN]);
    let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).collect::<Vec<_>>();
    let failed = of("failed");
    assert!(failed.len() == 1 && failed[0]["image"] == "no/such.raw" && failed[0]["finding"].contains("cannot open"));
    let verdicts: Vec<(&str, &str)> =
        of("verdict").iter().map(|line| (line["image"].as_str(), line["verdict"].as_str())).collect();
    assert_eq!(verdicts, [(SUSPICIOUS, "violations"), (CLEAN, "clean")]);
    let outcomes = rows(&["check", "smss", SUSPICIOUS, CLEAN], "outcome");
    let wrong: Vec<&Value> = outcomes.iter().filter(|row| row["outcome"] == "violation").collect();
    assert_eq!(of("finding").len(), wrong.len());
    for row in wrong {
        let same = |line: &&std::collections::BTreeMap<String, String>| {
            line["type"] == "finding" && line["id"] == row["id"] && line["finding"] == row["heading"]
        };
        assert!(lines.iter().any(|line| same(&line)), "{row}");
    }
}

/// An image that could not be analysed is told in every list of several, and in every timeline, in the rows themselves.
#[test]
fn failures_are_in_the_lists() {
    for command in ["pslist", "pstree", "psxview", "sessions"] {
        for images in [["no/such.raw", CLEAN], [CLEAN, "no/such.raw"]] {
            let lines = csv(&[command, images[0], images[1]]);
            let (failed, fine): (Vec<_>, Vec<_>) = lines.iter().partition(|line| !line["failed"].is_empty());
            assert!(failed.len() == 1 && failed[0]["image"] == "no/such.raw", "{command}: {failed:?}");
            assert!(failed[0]["failed"].contains("cannot open"), "{command}: {failed:?}");
            assert!(!fine.is_empty() && fine.iter().all(|line| line["image"] == CLEAN), "{command}");
            assert_eq!(lines[0]["image"], images[0], "{command}: in their order");
        }
    }
    let none = csv(&["pslist", "no/such.raw", "no/other.raw"]);
    assert!(none.len() == 2 && none[1]["image"] == "no/other.raw" && none[1]["failed"].contains("cannot open"));
    let is_it = |what: &str, message: &str| what == "Image not analysed" && message.contains("no/such.raw");
    let lines = csv(&["timeline", "no/such.raw", CLEAN]);
    assert!(lines.iter().filter(|line| is_it(&line["timestamp_desc"], &line["message"])).count() == 1);
    for images in [&["no/such.raw", CLEAN][..], &["no/such.raw"]] {
        let events = rows(&[&["timeline"], images].concat(), "event");
        let of = |row: &&Value| {
            let text = |member: &str| row[member].as_str().unwrap().to_owned();
            is_it(&text("timestamp_desc"), &text("message")) && text("datetime").ends_with('Z')
        };
        assert_eq!(events.iter().filter(of).count(), 1, "{images:?}");
    }
}

/// A folder without images is told once, be it an argument or in a list.
#[test]
fn an_empty_folder_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let list = folder.path().join("list");
    std::fs::write(&list, format!("{}\n{CLEAN}\n", empty.display())).unwrap();
    let (empty, list) = (empty.to_str().unwrap(), format!("@{}", list.display()));
    for arguments in [&["pslist", empty, CLEAN][..], &["pslist", &list], &["symbols", empty, CLEAN]] {
        let done = run(arguments);
        let said = text(&done.stderr);
        let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error:")).collect();
        assert!(errors.len() == 1 && errors[0].contains("no memory image is in the folder"), "{arguments:?}: {said}");
        assert_eq!(done.status.code(), Some(3));
    }
}

/// What help lists is what a command takes.
#[test]
fn help_lists_what_is_taken() {
    for (command, takes) in [
        (&["info", CLEAN][..], false),
        (&["read", "0xfffff78000000000", CLEAN], false),
        (&["registry", "SYSTEM\\Select", CLEAN], false),
        (&["symbols", CLEAN], false),
        (&["check", CLEAN], true),
        (&["pslist", CLEAN], true),
        (&["pstree", CLEAN], true),
        (&["psxview", CLEAN], true),
        (&["sessions", CLEAN], true),
        (&["hives", CLEAN], true),
        (&["timeline", CLEAN], true),
    ] {
        let help = out(&[command[0], "--help"]);
        assert_eq!(help.lines().any(|line| line.trim_start().starts_with("- csv")), takes, "{}: {help}", command[0]);
        assert_eq!(status(&[command, &["--format", "csv"]].concat()), if takes { 0 } else { 64 }, "{}", command[0]);
    }
}

/// Every row about an image says which computer it is of.
#[test]
fn rows_name_the_host() {
    let host = rows(&["pslist", CLEAN], "process")[0]["host"].clone();
    assert!(host.is_string());
    for (command, kind) in [
        (&["hives", CLEAN][..], "hive"),
        (&["registry", "SYSTEM\\Select", CLEAN], "key"),
        (&["read", "0xfffff78000000000", CLEAN], "page"),
    ] {
        let rows = rows(command, kind);
        assert!(!rows.is_empty() && rows.iter().all(|row| row["host"] == host), "{kind}: {rows:?}");
    }
}

/// What is in a folder is a row, or named.
#[test]
fn nothing_in_a_folder_is_passed_over_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(CLEAN), place("whole.raw")).unwrap();
    std::fs::write(place("cut.raw"), vec![0u8; 500_000]).unwrap();
    std::fs::write(place("notes.txt"), "no image").unwrap();
    std::fs::create_dir(place("below")).unwrap();
    std::fs::create_dir(place("empty")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("nowhere", place("link.raw")).unwrap();
    let path = folder.path().to_str().unwrap();
    let done = run(&["check", path, "--format", "jsonl"]);
    let said = text(&done.stderr);
    let failed: Vec<Value> = text(&done.stdout)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|row| row["type"] == "failed")
        .collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert!(failed[0]["image"].as_str().unwrap().ends_with("cut.raw"));
    assert!(said.contains("notes.txt") && said.contains("below"), "{said}");
    #[cfg(unix)]
    assert!(said.contains("link.raw"), "{said}");
    // An empty folder among others is an image that cannot be opened.
    let empty = place("empty");
    let done = run(&["check", empty.to_str().unwrap(), CLEAN]);
    assert_eq!(done.status.code(), Some(3));
    let table = text(&done.stdout);
    assert!(table.ends_with("2 images, 1 clean, 1 not analysed\n"), "{table}");
    // A folder may stand in a list, and gives the columns that two images give.
    let list = place("list");
    let good = place("good");
    std::fs::create_dir(&good).unwrap();
    std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(CLEAN), good.join("one.raw")).unwrap();
    std::fs::write(&list, format!("{}\n", good.display())).unwrap();
    let lines = csv(&["pslist", &format!("@{}", list.display())]);
    assert!(!lines.is_empty() && lines.iter().all(|line| line["image"].ends_with("one.raw")), "{lines:?}");
    // The table has a line an image, and no finding of one that is clean.
    let done = out(&["check", place("cut.raw").to_str().unwrap(), CLEAN]);
    let (_, table) = done.rsplit_once("WORST FINDING\n").unwrap();
    assert!(!table.contains("\\u{a}") && !table.contains("SMSS-027"), "{table}");
    assert_eq!(table.lines().count(), 3, "{table}");
}

/// A list that is a part says so in every form.
#[test]
fn a_part_says_so() {
    let torn = Scenario::clean(Build::W10_19045).with_torn_flink(804).with_torn_blink(684).forge();
    let (_folder, image) = image_of(&torn);
    let image = image.to_str().unwrap();
    for command in ["pslist", "pstree", "psxview"] {
        let lines = csv(&[command, image]);
        assert!(!lines.is_empty() && lines.iter().all(|line| line["list_end"] == "broken"), "{command}: {lines:?}");
    }
    let part = "The list of processes is a part";
    assert!(out(&["timeline", image]).split_whitespace().collect::<Vec<_>>().join(" ").contains(part));
    assert!(csv(&["timeline", image]).iter().any(|line| line["message"].starts_with(part)));
    assert!(rows(&["timeline", image], "event").iter().any(|row| row["message"].as_str().unwrap().starts_with(part)));
    assert!(!out(&["timeline", CLEAN]).contains("is a part"));
}

#[test]
fn who_is_asked_for_and_not_there() {
    assert_eq!(status(&["pslist", CLEAN, "--pid", "4"]), 0);
    let nobody = run(&["pslist", CLEAN, "--pid", "4,99999"]);
    assert_eq!(nobody.status.code(), Some(4));
    assert!(text(&nobody.stderr).contains("99999") && text(&nobody.stdout).contains("System"));
    assert_eq!(status(&["pslist", CLEAN, "--name", "nonsense.exe"]), 4);
    // The processes of no session, by what the forge says.
    let in_none: Vec<u64> = facts("clean")["processes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|process| process["session"].is_null())
        .map(|process| process["pid"].as_u64().unwrap())
        .collect();
    let pids: Vec<u64> = rows(&["pslist", CLEAN, "--session", "none"], "process")
        .iter()
        .map(|row| row["pid"].as_u64().unwrap())
        .collect();
    assert_eq!(pids, in_none);
    assert_eq!(status(&["pslist", CLEAN, "--session", "x"]), 64);
}

/// The document of a list leaves out what the list does not show, and says where it is.
#[test]
fn a_list_is_no_larger_than_it_need_be() {
    let list = out(&["pslist", CLEAN, "--format", "json"]);
    let document: Value = serde_json::from_str(&list).unwrap();
    for process in document["processes"]["items"].as_array().unwrap() {
        assert!(
            process["token"].is_null() && process["absent"]["token"].as_str().unwrap().contains("show"),
            "{process}"
        );
        assert_eq!(process["located"], serde_json::json!({}));
    }
    let whole = out(&["check", CLEAN, "--format", "json"]);
    assert!(list.len() * 4 < whole.len(), "{} of {}", list.len(), whole.len());
}

/// What went with a process that is over counts apart: looking harder does not look worse.
#[test]
fn what_is_gone_is_no_gap() {
    let exited = Scenario::clean(Build::W10_19045).with_exited_session_children().forge();
    let (_folder, image) = image_of(&exited);
    let image = image.to_str().unwrap();
    let of = |more: &[&str]| rows(&[&["check", "smss", image], more].concat(), "verdict")[0].clone();
    let open = |row: &Value| row["unknown"].as_u64().unwrap() - row["gone"].as_u64().unwrap();
    let (plain, scanned) = (of(&[]), of(&["--scan"]));
    assert!(scanned["gone"].as_u64().unwrap() > 0, "{scanned}");
    assert!(open(&scanned) <= open(&plain), "{plain} {scanned}");
    let report = out(&["check", "smss", image, "--scan"]);
    assert!(report.contains(&format!(" {} not evaluated, {} gone", open(&scanned), scanned["gone"])), "{report}");
}

/// At 80 columns nothing of an event is cut off.
#[test]
fn a_narrow_timeline_is_whole() {
    let narrow = out(&["timeline", SUSPICIOUS, "--width", "80"]);
    assert!(!narrow.contains('\u{2026}'), "{narrow}");
    let words = |text: &str| text.split_whitespace().collect::<String>();
    let joined = words(&narrow);
    for event in rows(&["timeline", SUSPICIOUS], "event") {
        let message = words(event["message"].as_str().unwrap());
        assert!(joined.contains(&message), "{message}");
    }
    assert!(narrow.contains("critical") && narrow.contains("not shown"));
}

/// The hash that was asked for is told in the text of every list.
#[test]
fn the_hash_is_told_where_it_was_asked_for() {
    let sum = json(&["info", CLEAN, "--sha256"])["run"]["sha256"].as_str().unwrap().to_owned();
    for command in ["info", "pslist", "pstree", "psxview", "sessions", "timeline", "check"] {
        assert!(out(&[command, CLEAN, "--sha256"]).contains(&sum), "{command}");
    }
}

/// A finding is headed by what is wrong, not by all that its rule asks for.
#[test]
fn headings_say_what_was_found() {
    let outcomes = rows(&["check", "smss", SUSPICIOUS], "outcome");
    let wrong: Vec<&Value> = outcomes.iter().filter(|row| row["outcome"] == "violation").collect();
    assert!(wrong.len() > 10);
    for row in wrong {
        let (heading, observed) = (row["heading"].as_str().unwrap(), row["observed"].as_str().unwrap());
        assert!(!heading.contains(" or "), "{heading}");
        assert!(!heading.contains(observed), "{heading}: {observed}");
    }
    let of = |id: &str| outcomes.iter().find(|row| row["id"] == id && row["outcome"] == "violation").unwrap();
    assert_eq!(of("SMSS-026")["heading"], "another base priority", "it has two threads");
}

/// Threads of the kernel start in the kernel.
#[test]
fn threads_of_system_start_in_a_driver() {
    let document = json(&["show", "4", SUSPICIOUS]);
    let drivers = document["drivers"]["items"].as_array().unwrap();
    let lines = csv(&["show", "4", SUSPICIOUS, "--only", "threads"]);
    assert!(!lines.is_empty());
    for line in &lines {
        assert!(line["in"] != "nowhere that is known", "{line:?}");
        if let Some((name, offset)) = line["in"].split_once('+') {
            let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap();
            let driver = drivers.iter().find(|driver| driver["name"] == name).unwrap();
            let at = number(driver["base"].as_str().unwrap()) + number(offset);
            assert!([&line["start"], &line["win32_start"]].into_iter().any(|start| number(start) == at), "{line:?}");
        }
    }
}

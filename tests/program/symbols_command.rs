//! `ntmem symbols`: many images, one list of what to fetch; and what is asked of whom.

use ntmem_forge::{Build, Layout, Scenario};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// The bundled images, away from the symbols that lie beside them, one of another build, and one that is none.
struct Images {
    folder: TempDir,
    other: Value,
}

impl Images {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/samples");
        for name in ["clean.raw", "suspicious.raw"] {
            fs::copy(samples.join(name), folder.path().join(name)).unwrap();
        }
        let mut other = Scenario::clean(Build::W7_7601);
        other.layout = Some(Layout::of(other.build).unknown(1));
        let other = other.forge();
        fs::write(folder.path().join("other.raw"), &other.image).unwrap();
        fs::write(folder.path().join("none.raw"), "no image").unwrap();
        let other = serde_json::json!({ "name": "ntkrnlmp.pdb", "guid": other.truth.guid, "age": other.truth.age });
        Self { folder, other }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.with_path(arguments, "")
    }

    /// With a debugger's symbol path. The user's folders are empty ones.
    fn with_path(&self, arguments: &[&str], path: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ntmem"));
        command.current_dir(self.folder.path()).env("_NT_SYMBOL_PATH", path);
        for name in ["XDG_CACHE_HOME", "HOME", "LOCALAPPDATA"] {
            command.env(name, self.folder.path().join("cache"));
        }
        command.args(arguments).output().unwrap()
    }
}

fn symbols() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/samples/symbols")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn many_images_give_one_list() {
    let images = Images::new();
    let facts = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/samples/clean.json")).unwrap();
    let facts: Value = serde_json::from_str(&facts).unwrap();
    let known = symbols();
    let arguments = ["symbols", "clean.raw", "none.raw", "suspicious.raw", "no/such.raw", "other.raw", "--symbols"];
    let arguments = [&arguments[..], &[known.to_str().unwrap(), "--format"]].concat();
    let output = images.run(&[&arguments[..], &["json"]].concat());
    // Two of them could not be analysed.
    assert_eq!(output.status.code(), Some(3));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let needed = document["symbols"]["needed"].as_array().unwrap();
    assert_eq!(needed.len(), 2);
    assert_eq!(needed[0]["pdb"], facts["kernel"]["pdb"]);
    assert_eq!(needed[0]["images"], serde_json::json!(["clean.raw", "suspicious.raw"]));
    assert_eq!(needed[0]["symbols"], "pdb");
    assert!(needed[0]["file"].as_str().unwrap().starts_with(known.to_str().unwrap()));
    assert_eq!(needed[1]["pdb"], images.other);
    assert_eq!(needed[1]["images"], serde_json::json!(["other.raw"]));
    let guid = images.other["guid"].as_str().unwrap();
    let path = format!("ntkrnlmp.pdb/{guid}{:X}/ntkrnlmp.pdb", images.other["age"].as_u64().unwrap());
    assert_eq!(needed[1]["server_path"], path);
    assert_eq!(needed[1]["url"], format!("https://msdl.microsoft.com/download/symbols/{path}"));
    assert!(needed[1]["symbols"].is_null() && needed[1]["file"].is_null());
    assert_eq!(needed[1]["instead"], "built_in");
    assert!(!needed[1]["looked_at"].as_array().unwrap().is_empty());
    let failed = document["symbols"]["failed"].as_array().unwrap();
    let names: Vec<_> = failed.iter().map(|failed| failed["image"].as_str().unwrap()).collect();
    assert_eq!(names, ["none.raw", "no/such.raw"]);
    assert!(document["image"].is_null() && document["kernel"].is_null(), "of which image?");
    let complaints = text(&output.stderr);
    assert!(complaints.contains("error: none.raw: ") && complaints.contains("error: no/such.raw: "), "{complaints}");

    let lines = text(&images.run(&[&arguments[..], &["jsonl"]].concat()).stdout);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| -> Vec<Value> {
        let of = lines.iter().filter(|line| line["type"] == kind).cloned();
        of.map(|mut line| {
            // What every row has beside its own members.
            let members = line.as_object_mut().unwrap();
            members.remove("type");
            members.remove("host");
            if kind == "symbols" {
                members.remove("image");
            }
            line
        })
        .collect()
    };
    assert_eq!(lines[0]["type"], "run");
    assert_eq!([of("symbols"), of("failed")].concat(), [needed.as_slice(), failed.as_slice()].concat());

    let plain = text(&images.run(&[&arguments[..], &["text"]].concat()).stdout);
    for part in [guid, &path, "clean.raw", "suspicious.raw", "other.raw", "missing", "found", "not analysed: none.raw"]
    {
        assert!(plain.contains(part), "{part} is not in:\n{plain}");
    }
    for line in plain.lines() {
        assert!(line.chars().count() <= 80 || line.split_whitespace().count() <= 3, "{line}");
    }
}

#[test]
fn the_exit_status_says_whether_all_could_be_analysed() {
    let images = Images::new();
    assert_eq!(images.run(&["symbols", "none.raw", "no/such.raw"]).status.code(), Some(3));
    // As of every command: the worst of all images.
    assert_eq!(images.run(&["symbols", "none.raw", "other.raw"]).status.code(), Some(3));
    assert_eq!(images.run(&["symbols", "other.raw"]).status.code(), Some(0));
    assert_eq!(images.run(&["symbols"]).status.code(), Some(64));
    // None of them is written over.
    let output = images.run(&["symbols", "clean.raw", "other.raw", "--output", "other.raw"]);
    assert_eq!(output.status.code(), Some(64));
}

#[cfg(not(feature = "symbol-server"))]
#[test]
fn a_program_without_the_network_says_so() {
    let images = Images::new();
    let output = images.run(&["pslist", "clean.raw", "--fetch"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("built without the network"), "{}", text(&output.stderr));
    let output = images.with_path(&["symbols", "clean.raw"], "srv*https://127.0.0.1:9/symbols");
    assert!(text(&output.stdout).contains("not asked"), "{}", text(&output.stdout));
}

/// A symbol server of a folder, or of nothing, that counts who asks.
#[cfg(feature = "symbol-server")]
fn serve(folder: Option<PathBuf>) -> (String, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    use std::io::{Read, Write};
    use std::sync::atomic::{AtomicUsize, Ordering};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/symbols", listener.local_addr().unwrap());
    let count = std::sync::Arc::new(AtomicUsize::new(0));
    let counter = std::sync::Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            counter.fetch_add(1, Ordering::SeqCst);
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap();
            let request = String::from_utf8_lossy(&request[..read]).into_owned();
            let path = request.split(' ').nth(1).unwrap().trim_start_matches("/symbols/").to_owned();
            let (status, bytes) = match folder.as_ref().and_then(|folder| fs::read(folder.join(path)).ok()) {
                Some(bytes) => ("200 OK", bytes),
                None => ("404 Not Found", Vec::new()),
            };
            let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", bytes.len());
            let _ = stream.write_all(&[head.into_bytes(), bytes].concat());
        }
    });
    (url, count)
}

#[cfg(feature = "symbol-server")]
#[test]
fn only_who_asks_for_a_server_is_connected_to_one() {
    use std::sync::atomic::Ordering;
    let (url, count) = serve(None);
    let images = Images::new();
    let path = format!("srv*{url}");
    let fetch = format!("--fetch={url}");
    let local = symbols();
    for (arguments, path, asked) in [
        (vec!["pslist", "clean.raw"], "", false),
        (vec!["symbols", "clean.raw", "other.raw"], "", false),
        (vec!["symbols", "clean.raw", "--offline"], path.as_str(), false),
        (vec!["symbols", "clean.raw", &fetch, "--symbols", local.to_str().unwrap()], "", false),
        (vec!["pslist", "clean.raw", &fetch], "", true),
        (vec!["symbols", "clean.raw"], path.as_str(), true),
    ] {
        let before = count.load(Ordering::SeqCst);
        let output = images.with_path(&arguments, path);
        assert_eq!(count.load(Ordering::SeqCst) > before, asked, "{arguments:?} {path}: {}", text(&output.stderr));
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(said.contains("not there (HTTP 404)"), asked, "{arguments:?}: {said}");
    }
    assert_eq!(images.run(&["pslist", "clean.raw", "--fetch=ftp://127.0.0.1"]).status.code(), Some(64));
    assert!(
        !images.folder.path().join("cache/ntmem/symbols").exists(),
        "nothing was fetched, so nothing is to be kept"
    );
}

#[cfg(feature = "symbol-server")]
#[test]
fn what_was_fetched_once_is_there() {
    use std::sync::atomic::Ordering;
    let (url, count) = serve(Some(symbols()));
    let images = Images::new();
    let fetched = images.run(&["symbols", "clean.raw", &format!("--fetch={url}"), "--format", "jsonl"]);
    let line: Value = serde_json::from_str(text(&fetched.stdout).lines().nth(1).unwrap()).unwrap();
    let file = PathBuf::from(line["file"].as_str().unwrap());
    assert!(file.starts_with(images.folder.path().join("cache")), "{}", file.display());
    let original = symbols().join(line["server_path"].as_str().unwrap());
    assert!(fs::read(&file).unwrap() == fs::read(original).unwrap());
    assert_eq!(count.load(Ordering::SeqCst), 1);
    // Now without asking anybody.
    assert_eq!(images.run(&["check", "smss", "suspicious.raw"]).status.code(), Some(1));
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

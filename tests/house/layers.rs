//! The floors of `src/`: a file uses what is on its own floor or below, never what is above.

use super::paths::{code, given_on, named};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Modules at the crate's root and their floor.
const FLOORS: &[(u32, &[&str])] = &[
    (
        0,
        &[
            "addr",
            "budget",
            "time",
            "reading",
            "location",
            "memory_read",
            "origin",
            "http",
            "shown",
            "list_end",
            "upcase",
            "warning",
            "words",
            "xpress",
        ],
    ),
    (1, &["image"]),
    (2, &["symbols"]),
    (3, &["memory"]),
    (4, &["discover", "kernel"]),
    (5, &["process", "registry", "sweep"]),
    (6, &["carve", "fetch_ahead", "machine", "system"]),
    (7, &["picture"]),
    (8, &["checks"]),
    (9, &["report"]),
];
/// The sum of all floors' errors: it may use any of them, and be used by any of them.
const SUM: &str = "error";

fn floor(module: &str) -> Option<u32> {
    FLOORS.iter().find(|(_, modules)| modules.contains(&module)).map(|(floor, _)| *floor)
}

struct File {
    /// Its path from `src/`, such as `kernel/find/base.rs`.
    name: String,
    /// Its module, such as `kernel::find::base`.
    module: Vec<String>,
    code: String,
}

fn files() -> Vec<File> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders: Vec<PathBuf> = vec![src.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            // Programs stand on all floors.
            if path.is_dir() && path != src.join("bin") {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let name = path.strip_prefix(&src).unwrap().to_str().unwrap().replace('\\', "/");
                let mut module: Vec<String> = name.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
                if module.last().is_some_and(|last| last == "mod" || last == "lib") {
                    module.pop();
                }
                files.push(File { name, module, code: fs::read_to_string(path).unwrap() });
            }
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    // Files that are modules of tests only say so in the file that names them.
    let tests: BTreeSet<Vec<String>> = files.iter().flat_map(test_modules).collect();
    files.retain(|file| !tests.iter().any(|test| file.module.starts_with(test)));
    for file in &mut files {
        file.code = code(&file.code);
    }
    files
}

fn test_modules(file: &File) -> Vec<Vec<String>> {
    let lines: Vec<&str> = file.code.lines().map(str::trim).collect();
    let pairs = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]");
    let names = pairs.filter_map(|pair| pair[1].split("mod ").nth(1)?.strip_suffix(';'));
    names.map(|name| [&file.module[..], &[name.to_owned()]].concat()).collect()
}

/// What names mean that modules at the root, and the root itself, take from elsewhere and give on.
struct Names {
    root: BTreeMap<String, Vec<String>>,
    modules: BTreeMap<(String, String), Vec<String>>,
}

impl Names {
    fn of(files: &[File]) -> Self {
        let mut names = Self { root: BTreeMap::new(), modules: BTreeMap::new() };
        for file in files {
            // A macro that is exported is at the root, wherever it is written.
            for (at, _) in file.code.match_indices("#[macro_export]") {
                let name = file.code[at..].split("macro_rules! ").nth(1).and_then(|rest| rest.split([' ', '{']).next());
                names.root.insert(name.unwrap().to_owned(), file.module.clone());
            }
            match file.module.as_slice() {
                [] => names.root.extend(given_on(&file.code)),
                [module] => {
                    let elsewhere = given_on(&file.code).into_iter().filter(|(_, path)| path[0] == "crate");
                    names.modules.extend(elsewhere.map(|(name, path)| ((module.clone(), name), path[1..].to_vec())));
                }
                _ => {}
            }
        }
        names
    }

    /// The module at the root in which what this path means is written.
    fn home(&self, path: &[String]) -> Option<String> {
        let first = path.first()?;
        if floor(first).is_some() || first == SUM {
            let given = path.get(1).and_then(|name| self.modules.get(&(first.clone(), name.clone())));
            return given.map_or_else(|| Some(first.clone()), |path| self.home(path));
        }
        self.root.get(first).filter(|to| *to != path).and_then(|to| self.home(to))
    }
}

#[test]
fn no_file_uses_what_is_above_it() {
    let files = files();
    let names = Names::of(&files);
    let (mut upward, mut homeless) = (Vec::new(), Vec::new());
    for file in &files {
        let Some(module) = file.module.first().filter(|module| *module != SUM) else { continue };
        let Some(own) = floor(module) else {
            homeless.push(format!("src/{}: {module} stands on no floor", file.name));
            continue;
        };
        for used in named(&file.code, &file.module) {
            let at = format!("src/{}:{}", file.name, used.line);
            match names.home(&used.path).map(|home| (floor(&home), home)) {
                None => homeless.push(format!("{at}: where is crate::{} written?", used.path.join("::"))),
                Some((Some(theirs), home)) if theirs > own => {
                    upward.push(format!("{at}: {module} ({own}) uses {} of {home} ({theirs})", used.path.join("::")));
                }
                Some(_) => {}
            }
        }
    }
    assert!(homeless.is_empty(), "give it a floor in {}:\n{}", file!(), homeless.join("\n"));
    assert!(upward.is_empty(), "move the word down, or its reader up:\n{}", upward.join("\n"));
}

/// What follows, what is judged and what is shown comes from records alone: the same from an image, a saved report or a literal.
#[test]
fn conclusions_touch_no_memory_and_no_file() {
    let files = files();
    let names = Names::of(&files);
    let mut touched = Vec::new();
    for file in &files {
        let Some(7..) = file.module.first().and_then(|module| floor(module)) else { continue };
        for used in named(&file.code, &file.module) {
            // Where memory is not: `ImageInfo` is a record.
            let reads = used.path.last().is_some_and(|name| !name.ends_with("Info"));
            if names.home(&used.path).is_some_and(|home| reads && (home == "memory" || home == "image")) {
                touched.push(format!("src/{}:{}: {}", file.name, used.line, used.path.join("::")));
            }
        }
        for outside in ["std::fs", "std::net", "std::env", "std::process", "std::thread", "std::time"] {
            if let Some(at) = file.code.find(outside) {
                touched.push(format!("src/{}:{}: {outside}", file.name, file.code[..at].matches('\n').count() + 1));
            }
        }
    }
    assert!(touched.is_empty(), "only records may be looked at here:\n{}", touched.join("\n"));
}

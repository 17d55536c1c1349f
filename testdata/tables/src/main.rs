//! Makes `src/symbols/built_in.ntpack`, the table of kernel layouts in the crate.
//!
//! ```text
//! cargo run --release -p ntmem-tables -- OUT_FILE --isf FOLDER SOURCE... --headers FOLDER SOURCE
//! ```
//!
//! `--isf` takes a folder of Volatility 3 symbol files (and PDBs), `--headers` a folder of C headers named `…-VERSION-ARCH.h`,
//! each with a word on where they come from, which every entry keeps. Files are taken in order of their names, so that the same
//! material gives the same bytes.

mod header;

use ntmem::symbols::{self, PackWriter, PackedKernel, SymbolSource, Symbols, Wanted};
use std::path::{Path, PathBuf};

/// One build's types.
struct Build {
    number: u32,
    arch: String,
    symbols: Symbols,
    version: String,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let out = PathBuf::from(arguments.next().expect("usage: OUT_FILE --isf FOLDER SOURCE --headers FOLDER SOURCE"));
    let wanted = ntmem::kernel::Layouts::wanted();
    let (mut kernels, mut builds) = (Vec::new(), Vec::new());
    while let Some(kind) = arguments.next() {
        let folder = PathBuf::from(arguments.next().expect("a folder"));
        let source = arguments.next().expect("where it comes from");
        match kind.as_str() {
            "--isf" => kernels.extend(files(&folder).into_iter().map(|file| (exact(&file, &wanted), source.clone()))),
            "--headers" => {
                builds.extend(files(&folder).into_iter().map(|file| (types(&file, &wanted), source.clone())))
            }
            other => panic!("unknown: {other}"),
        }
    }
    builds.sort_by_key(|(build, _)| (build.arch.clone(), build.number, build.version.clone()));
    let known: Vec<&Build> = builds.iter().map(|(build, _)| build).collect();
    let mut pack = PackWriter::new(wanted.clone());
    let mut entries: Vec<_> =
        kernels.iter().map(|(symbols, source)| (build_of(symbols, &known, &wanted), symbols, source)).collect();
    entries.sort_by_key(|(number, symbols, _)| (*number, symbols.pdb.as_ref().map(|pdb| pdb.guid.clone())));
    for (number, symbols, source) in entries {
        let symbols = &corrected(number, symbols);
        let kernel = PackedKernel {
            pdb: symbols.pdb.clone(),
            build: Some(number),
            arch: "x64".into(),
            made_from: symbols.source,
            source: source.clone(),
        };
        pack.add(symbols, &kernel).expect("an entry");
    }
    for (build, source) in &builds {
        let kernel = PackedKernel {
            pdb: None,
            build: Some(build.number),
            arch: build.arch.clone(),
            made_from: SymbolSource::BuiltIn,
            source: format!("{source}: {}", build.version),
        };
        pack.add(&build.symbols, &kernel).expect("an entry");
    }
    let bytes = pack.finish().expect("a pack");
    println!("{} kernels, {} bytes", pack.len(), bytes.len());
    std::fs::write(&out, bytes).expect("cannot write");
}

/// The files in a folder and below it, in order of their paths.
fn files(folder: &Path) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = listed.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.into_iter().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn exact(file: &Path, wanted: &Wanted) -> Symbols {
    symbols::load(file, None, wanted).unwrap_or_else(|error| panic!("{error}"))
}

/// `bindings-10.0.22631.2428-x64.h`.
fn types(file: &Path, wanted: &Wanted) -> Build {
    let name = file.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
    let (rest, arch) = name.rsplit_once('-').expect("an architecture");
    let version = rest.rsplit_once('-').map_or(rest, |(_, version)| version).to_owned();
    let number = version.split('.').nth(2).and_then(|number| number.parse().ok()).expect("a build number");
    let text = std::fs::read_to_string(file).expect("cannot read");
    let pointer = if arch == "x86" { 4 } else { 8 };
    // What runs as 19042 to 19045 is the kernel of 19041, and calls itself so.
    let number = if (19042..=19045).contains(&number) { 19041 } else { number };
    Build { number, arch: arch.to_owned(), symbols: header::read(&text, pointer, wanted), version }
}

/// The flags of a page file lie elsewhere in 26100 than in 22000, whose types stand in for it: at 0xac, by its public symbols.
fn corrected(number: u32, symbols: &Symbols) -> Symbols {
    const PAGING_FILE: &str = "_MMPAGING_FILE";
    let Some(info) = symbols.type_info(PAGING_FILE).filter(|_| number == 26100) else { return symbols.clone() };
    let mut info = info.clone();
    info.fields.values_mut().filter(|field| field.offset == 0xcc).for_each(|field| field.offset = 0xac);
    symbols.clone().with_type(PAGING_FILE, info)
}

/// The build whose types are most like these. Symbol files do not say their build number.
fn build_of(symbols: &Symbols, builds: &[&Build], wanted: &Wanted) -> u32 {
    let size = |name: &str| symbols.size_of(name).unwrap_or(0);
    // No header of Server 2022 is public. It has the _EPROCESS of Windows 11 and the session space of Windows 10.
    if size("_EPROCESS") >= 0xb80 && size("_MM_SESSION_SPACE") == 0x5000 {
        return 20348;
    }
    // Microsoft says nothing of the session structure since 24H2.
    if symbols.size_of("_MM_SESSION_SPACE").is_err() {
        return 26100;
    }
    let alike = |build: &&&Build| {
        let same = |(kind, path): &&(&str, &str)| {
            let place = |of: &Symbols| of.field(kind, path).ok().map(|field| (field.offset, field.bits));
            place(symbols) == place(&build.symbols)
        };
        let sizes = wanted.types.iter().filter(|kind| symbols.size_of(kind).ok() == build.symbols.size_of(kind).ok());
        wanted.fields.iter().filter(same).count() + sizes.count()
    };
    // Of builds that are alike, the first one.
    builds.iter().rev().filter(|build| build.arch == "x64").max_by_key(alike).expect("headers").number
}

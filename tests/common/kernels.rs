//! The collection of real kernels in the extra test material, and a forged machine with the layout of each.

use ntmem_forge::{Forged, Layout, Scenario};
use std::io::Read;
use std::path::{Path, PathBuf};

/// A symbol file of the collection.
pub struct Collected {
    /// Its name, such as `0CAACB712FFE4D31BDD72EE6BB55F193-1.json`.
    pub name: String,
    /// The Volatility 3 symbol file, unpacked.
    pub json: String,
    /// The same as the forge reads it; `build` and `number` say which system it is, as far as its structures tell.
    pub layout: Layout,
}

impl Collected {
    /// A clean machine with this kernel, to be changed before it is forged.
    pub fn scenario(&self) -> Scenario {
        Scenario::of(&self.layout)
    }

    /// A clean machine with this kernel.
    pub fn forge(&self) -> Forged {
        self.scenario().forge()
    }
}

/// The folder of the collection, which readers take as a folder of symbol files as it is. `None`: it is not there.
pub fn folder(test: &str) -> Option<PathBuf> {
    let folder = super::material(test)?.join("symbols/kernels");
    if folder.is_dir() {
        return Some(folder);
    }
    super::skipped::note(test, "the collection of kernels is not in the extra test material");
    None
}

/// All kernels of the collection in the order of their names, one after the other; none: the collection is not there.
pub fn collection(test: &str) -> impl Iterator<Item = Collected> + use<> {
    let entries = folder(test).map(|folder| std::fs::read_dir(folder).unwrap());
    let mut paths: Vec<PathBuf> = entries.into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "xz"));
    paths.sort();
    paths.into_iter().map(|path| collected(&path))
}

fn collected(path: &Path) -> Collected {
    let mut json = String::new();
    let file = std::io::BufReader::new(std::fs::File::open(path).unwrap());
    lzma_rust2::XzReader::new(file, true).read_to_string(&mut json).unwrap();
    let layout = Layout::from_isf(&json);
    Collected { name: path.file_stem().unwrap().to_string_lossy().into_owned(), json, layout }
}

/// The x64 systems of the collection of type headers: the header's name, and the layout as the forge reads it. Their PDBs are
/// made up. None: the headers are not there. The archive is a tar file: a block of name and size in octal, then the bytes in
/// whole blocks.
pub fn headers(test: &str) -> Vec<(String, Layout)> {
    let archive = super::material(test).map(|folder| folder.join("symbols/type-headers.tar.xz"));
    let Some(archive) = archive.filter(|file| file.is_file()) else {
        super::skipped::note(test, "the collection of type headers is not in the extra test material");
        return Vec::new();
    };
    let mut bytes = Vec::new();
    let file = std::io::BufReader::new(std::fs::File::open(archive).unwrap());
    lzma_rust2::XzReader::new(file, true).read_to_end(&mut bytes).unwrap();
    let (mut found, mut at) = (Vec::new(), 0);
    while at + 512 <= bytes.len() && bytes[at] != 0 {
        let text = |from: usize, to: usize| {
            String::from_utf8_lossy(&bytes[at + from..at + to]).trim_end_matches('\0').trim().to_owned()
        };
        let (name, size) = (text(0, 100), usize::from_str_radix(&text(124, 135), 8).unwrap());
        if name.ends_with("-x64.h") {
            let name = name.rsplit('/').next().unwrap().to_owned();
            let number = name.split('.').nth(2).unwrap().parse().unwrap();
            let header = String::from_utf8_lossy(&bytes[at + 512..at + 512 + size]).into_owned();
            found.push((name, Layout::from_header(&header, number)));
        }
        at += 512 + size.next_multiple_of(512);
    }
    found
}

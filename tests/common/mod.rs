//! What several tests share: the extra material, which not everybody has.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

/// The folder with sample images, symbols and listings: `NTMEM_TEST_MATERIAL`, or `../shared` beside the checkout. `None`,
/// and a word on stderr: it is not there, and the test is skipped.
pub fn material(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("NTMEM_TEST_MATERIAL")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    if folder.join("samples").is_dir() {
        return Some(folder);
    }
    eprintln!("{test}: skipped, the extra test material is not here (set NTMEM_TEST_MATERIAL to its folder)");
    None
}

/// The folder with the Volatility 3 symbol files of the sample images. `None`, and a word on stderr: they are not there.
pub fn symbol_files(test: &str, material: &Path) -> Option<PathBuf> {
    let folder = material.join("symbols/isf");
    let any = std::fs::read_dir(folder.join("ntkrnlmp.pdb")).is_ok_and(|mut files| files.next().is_some());
    if !any {
        eprintln!("{test}: skipped, the samples' Volatility 3 symbol files are not in the extra test material");
    }
    any.then_some(folder)
}

/// A sample image, unpacked.
pub fn sample(material: &Path, name: &str) -> Vec<u8> {
    let packed = std::fs::File::open(material.join("samples").join(name).join("image.raw.zst")).unwrap();
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(std::io::BufReader::new(packed)).unwrap();
    let mut bytes = Vec::with_capacity(64 << 20);
    std::io::Read::read_to_end(&mut decoder, &mut bytes).unwrap();
    bytes
}

/// A JSON file.
pub fn json(path: &Path) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// A number written as hexadecimal text, or plainly.
pub fn number(value: &serde_json::Value) -> Option<u64> {
    value.as_u64().or_else(|| ntmem::parse_hex(value.as_str()?))
}

//! From an image to its process list, by each source of layouts: what a symbol file costs, and what the crate's own table saves.
//!
//! `pdb` needs the samples' PDBs of the extra test material, and says so if they are absent; `pdb/full_size` is a made one of 12
//! MiB, as the kernel's own, of which only the loading is measured.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

#[allow(clippy::cast_possible_truncation)]
#[path = "../tests/made/mod.rs"]
#[allow(dead_code)]
mod made;

use criterion::{Criterion, criterion_group, criterion_main};
use ntmem::kernel::Layouts;
use ntmem::symbols::{self, PackWriter, SymbolStore};
use ntmem::{MemoryImage, System};
use ntmem_forge::{Build, Scenario};
use std::path::{Path, PathBuf};

fn list(image: &Path, store: &SymbolStore) -> (usize, String) {
    let image = MemoryImage::open(image).unwrap();
    let kernel = image.locate_kernel(store).unwrap();
    let system = System::read(&kernel).unwrap();
    (system.processes.items.len(), system.kernel.and_then(|kernel| kernel.symbols).unwrap_or_default())
}

fn sources(c: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let forged = Scenario::clean(Build::W10_19045).forge();
    std::fs::write(at("image.raw"), &forged.image).unwrap();
    let name = format!("{}-{}.json", forged.truth.guid, forged.truth.age);
    std::fs::create_dir(at("isf")).unwrap();
    std::fs::write(at("isf").join(&name), &forged.isf).unwrap();
    let mut pack = PackWriter::new(Layouts::wanted());
    pack.add_folder(&at("isf"), |_, _| ()).unwrap();
    std::fs::write(at("kernels.ntpack"), pack.finish().unwrap()).unwrap();

    let bare = || SymbolStore::new();
    let mut stores = vec![
        ("isf", bare().directory(at("isf"))),
        ("isf/cached", bare().directory(at("isf")).cache(at("cache"))),
        ("pack", bare().file(at("kernels.ntpack"))),
        ("built_in", bare()),
    ];
    let material = std::env::var_os("NTMEM_TEST_MATERIAL")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    if material.join("symbols/ntkrnlmp.pdb").is_dir() {
        stores.push(("pdb", bare().directory(material.join("symbols"))));
        stores.push(("pdb/cached", bare().directory(material.join("symbols")).cache(at("cache"))));
        stores.push(("isf/full", bare().directory(material.join("symbols/isf"))));
    } else {
        eprintln!("pdb: skipped, the samples' PDBs are not here");
    }
    let mut group = c.benchmark_group("sources");
    for (name, store) in stores {
        let (processes, source) = list(&at("image.raw"), &store);
        eprintln!("{name}: {processes} processes by {source}");
        group.bench_function(name, |b| b.iter(|| list(&at("image.raw"), &store)));
    }
    // The same kernel under a PDB that nobody knows, and again without any table of its build and the neighbouring ones.
    let guid = "0123456789ABCDEF0123456789ABCDEF";
    let unknown = with_guid(&forged.image, &forged.truth.guid, guid);
    std::fs::write(at("unknown.raw"), unknown).unwrap();
    for (name, store) in [("built_in/by_build", bare()), ("heuristic", bare().without_builds(18000..=20999))] {
        let (processes, source) = list(&at("unknown.raw"), &store);
        eprintln!("{name}: {processes} processes by {source}");
        group.bench_function(name, |b| b.iter(|| list(&at("unknown.raw"), &store)));
    }
    let full = full_size();
    std::fs::write(at("full.pdb"), &full).unwrap();
    eprintln!("pdb/full_size: {} bytes", full.len());
    group.bench_function("pdb/full_size", |b| {
        b.iter(|| symbols::load(&at("full.pdb"), None, &Layouts::wanted()).unwrap())
    });
    group.finish();
}

/// Another GUID in the CodeView record: Data1 to Data3 are little-endian numbers.
fn with_guid(image: &[u8], old: &str, new: &str) -> Vec<u8> {
    let bytes = |guid: &str| {
        let all: Vec<u8> = (0..16).map(|n| u8::from_str_radix(&guid[2 * n..2 * n + 2], 16).unwrap()).collect();
        [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].map(|n| all[n])
    };
    let (old, new) = (bytes(old), bytes(new));
    let mut image = image.to_vec();
    let places: Vec<usize> = image.windows(16).enumerate().filter(|(_, w)| *w == old).map(|(at, _)| at).collect();
    assert!(!places.is_empty());
    for at in places {
        image[at..at + 16].copy_from_slice(&new);
    }
    image
}

/// A PDB with as many types and public symbols as make 12 MiB.
fn full_size() -> Vec<u8> {
    let list = |n: u32| bytes![0x1203u16, 0x150du16, 3u16, 0x23u32, 0u16, format!("Field{n}").as_str()];
    let types = (0..40_000u32).flat_map(|n| {
        let name = format!("_STRUCTURE_NUMBER_{n}");
        [padded(list(n)), padded(bytes![0x1505u16, 1u16, 0u16, 0x1000 + 2 * n, 0u32, 0u32, 8u16, name.as_str()])]
    });
    let publics = (0..200_000u32).map(|n| {
        let name: &'static str = Box::leak(format!("KiSomeFunctionOrGlobalNumber{n}").into_boxed_str());
        (1u16, n, name)
    });
    made::Made { types: types.collect(), publics: publics.collect(), ..made::Made::default() }.pdb()
}

/// Records end on a multiple of 4, their length (2 bytes) included.
fn padded(mut record: Vec<u8>) -> Vec<u8> {
    while !(record.len() + 2).is_multiple_of(4) {
        record.push(0xf1);
    }
    record
}

criterion_group!(benches, sources);
criterion_main!(benches);

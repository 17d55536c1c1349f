//! From a file to a verdict, and the steps on the way.
//!
//! The large image has `NTMEM_BENCH_GIB` GiB (4 unless told), is made on first use under `target/`, and is read through the
//! memory map, warm. `large/read_everything` reads the same file once, page by page: the physical limit to hold scans against.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use criterion::{Criterion, criterion_group, criterion_main};
use ntmem::kernel::Layouts;
use ntmem::memory::AddressSpace;
use ntmem::symbols::{self, SymbolStore};
use ntmem::{MemoryImage, PhysicalAddress, PhysicalMemory, ReadOptions, System, VirtualAddress, check_smss};
use ntmem_forge::{Build, Scenario};
use std::hint::black_box;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Makes an image of this size once, and its symbols beside it.
fn image(name: &str, bytes: u64, low_stub: bool) -> PathBuf {
    let file = folder().join(name);
    if std::fs::metadata(&file).is_ok_and(|about| about.len() == bytes) {
        return file;
    }
    let mut scenario = Scenario::clean(Build::W10_19045);
    if !low_stub {
        scenario.paging.low_stub = None;
    }
    let forged = scenario.write_large(&file, bytes).unwrap();
    std::fs::write(folder().join(format!("{}-{}.json", forged.truth.guid, forged.truth.age)), &forged.isf).unwrap();
    file
}

fn verdict(file: &Path, store: &SymbolStore) -> ntmem::Findings {
    let image = MemoryImage::open(file).unwrap();
    let kernel = image.locate_kernel(store).unwrap();
    check_smss(&System::read(&kernel).unwrap())
}

fn pipeline(c: &mut Criterion) {
    let gib: u64 = std::env::var("NTMEM_BENCH_GIB").ok().and_then(|text| text.parse().ok()).unwrap_or(4);
    let small = image("small.raw", 64 << 20, true);
    let large = image(&format!("large-{gib}.raw"), gib << 30, true);
    let scanned = image(&format!("large-{gib}-no-stub.raw"), gib << 30, false);
    let store = SymbolStore::new().directory(folder());

    c.bench_function("small/open_locate_list_check", |b| b.iter(|| verdict(&small, &store)));
    c.bench_function("large/open_locate_list_check", |b| b.iter(|| verdict(&large, &store)));
    c.bench_function("large/open", |b| b.iter(|| MemoryImage::open(&large).unwrap()));

    let image = MemoryImage::open(&large).unwrap();
    c.bench_function("large/locate", |b| b.iter(|| image.find_kernel(&store, &Default::default()).unwrap().base()));
    let needed = image.find_kernel(&store, &Default::default()).unwrap().pdb().cloned().unwrap();
    c.bench_function("symbols/isf", |b| b.iter(|| store.find(&needed, &Layouts::wanted()).unwrap()));
    let kernel = image.locate_kernel(&store).unwrap();
    c.bench_function("large/read_system", |b| b.iter(|| System::read(&kernel).unwrap()));
    let system = System::read(&kernel).unwrap();
    c.bench_function("check_smss", |b| b.iter(|| check_smss(black_box(&system))));

    let space: AddressSpace<'_> = kernel.space();
    let process = system.processes.items.iter().find_map(|process| process.eprocess.value().copied()).unwrap();
    c.bench_function("translate", |b| b.iter(|| space.translate(black_box(process)).unwrap()));
    c.bench_function("read_eprocess", |b| {
        b.iter(|| ntmem::kernel::View::read(space, black_box(process), kernel.layouts().process.size))
    });
    c.bench_function("translate/unmapped", |b| b.iter(|| space.translate(black_box(VirtualAddress(0x1000)))));
    pdb(c);

    let mut slow = c.benchmark_group("slow");
    slow.sample_size(10);
    let without_stub = MemoryImage::open(&scanned).unwrap();
    slow.bench_function("large/locate_by_scan", |b| {
        b.iter(|| without_stub.find_kernel(&store, &Default::default()).unwrap().base());
    });
    slow.bench_function("large/scan_for_processes", |b| {
        b.iter(|| System::read_with(&kernel, &ReadOptions { scan: true, ..ReadOptions::default() }).unwrap());
    });
    slow.bench_function("large/read_everything", |b| b.iter(|| read_everything(&image)));
    slow.finish();
}

/// The PDB of the bundled samples.
fn pdb(c: &mut Criterion) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/samples/symbols/ntkrnlmp.pdb");
    let found =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path().join("ntkrnlmp.pdb"));
    for file in found.take(1) {
        c.bench_function("symbols/pdb", |b| b.iter(|| symbols::load(&file, None, &Layouts::wanted()).unwrap()));
    }
}

/// Adds up one byte of each cache line: what it takes to have all of the file pass by.
fn read_everything(image: &MemoryImage) -> u64 {
    let mut sum = 0u64;
    let mut at = PhysicalAddress(0);
    while let Some(run) = image.next_run(at) {
        let mut from = run.start;
        while let Some(piece) = image.borrow(from, 1 << 20) {
            sum = piece.iter().step_by(64).fold(sum, |sum, byte| sum.wrapping_add(u64::from(*byte)));
            from = from.wrapping_add(piece.len() as u64);
            if from >= run.end() {
                break;
            }
        }
        at = run.end();
    }
    sum
}

criterion_group!(benches, pipeline);
criterion_main!(benches);

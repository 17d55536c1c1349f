//! How long it takes to load what the kernel reader asks for. Needs the extra test material; says so if it is absent.
#![allow(missing_docs, clippy::unwrap_used)]

use criterion::{Criterion, criterion_group, criterion_main};
use ntmem::symbols::{self, Wanted};
use std::hint::black_box;
use std::path::PathBuf;

/// The structures and globals at the roots of process, token, handle, memory and registry readers.
fn wanted() -> Wanted {
    Wanted {
        types: vec![
            "_EPROCESS",
            "_ETHREAD",
            "_TOKEN",
            "_PEB",
            "_RTL_USER_PROCESS_PARAMETERS",
            "_PEB_LDR_DATA",
            "_LDR_DATA_TABLE_ENTRY",
            "_OBJECT_HEADER",
            "_OBJECT_TYPE",
            "_OBJECT_DIRECTORY",
            "_HANDLE_TABLE",
            "_HANDLE_TABLE_ENTRY",
            "_MMVAD",
            "_CONTROL_AREA",
            "_FILE_OBJECT",
            "_KUSER_SHARED_DATA",
            "_CMHIVE",
            "_CM_KEY_NODE",
            "_CM_KEY_VALUE",
            "_KPCR",
        ],
        fields: Vec::new(),
        globals: vec![
            "PsActiveProcessHead",
            "PsInitialSystemProcess",
            "PsIdleProcess",
            "PspCidTable",
            "ObpRootDirectoryObject",
            "ObTypeIndexTable",
            "ObHeaderCookie",
            "CmpHiveListHead",
            "KeBootTime",
            "NtBuildLab",
            "NtBuildLabEx",
            "MmPfnDatabase",
        ],
    }
}

fn load(criterion: &mut Criterion) {
    let folder = std::env::var_os("NTMEM_TEST_MATERIAL")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    let files = [
        ("7601 pdb", "symbols/ntkrnlmp.pdb/339E74133576439CBCDF7E0229DA37731/ntkrnlmp.pdb"),
        ("19045 pdb", "symbols/ntkrnlmp.pdb/606FF669409B00F7FC8C61A9C16701291/ntkrnlmp.pdb"),
        ("26100 pdb", "symbols/ntkrnlmp.pdb/00D01401874F8CC3F5F5DA237013C16A1/ntkrnlmp.pdb"),
        ("xp pdb", "real/xp_sp3_ntkrnlpa.pdb"),
        ("7601 isf", "symbols/isf/ntkrnlmp.pdb/339E74133576439CBCDF7E0229DA3773-1.json.xz"),
        ("19045 isf", "symbols/isf/ntkrnlmp.pdb/606FF669409B00F7FC8C61A9C1670129-1.json.xz"),
        ("26100 isf", "symbols/isf/ntkrnlmp.pdb/00D01401874F8CC3F5F5DA237013C16A-1.json.xz"),
        ("xp isf", "real/xp_sp3_ntkrnlpa.json.xz"),
    ];
    let wanted = wanted();
    let mut group = criterion.benchmark_group("symbols");
    for (name, file) in files {
        let file = folder.join(file);
        let Ok(bytes) = file.metadata().map(|it| it.len()) else {
            eprintln!("{name}: skipped: there is no {}", file.display());
            continue;
        };
        let loaded = symbols::load(&file, None, &wanted).unwrap().len();
        eprintln!("{name}: {bytes} bytes; {} structures and {} globals wanted out of them", loaded.0, loaded.1);
        group.bench_function(name, |bench| bench.iter(|| symbols::load(black_box(&file), None, &wanted).unwrap()));
    }
}

criterion_group!(benches, load);
criterion_main!(benches);

//! Kernels beyond the thirteen of the tables: out of symbol files and headers, shifted, under other numbers, with odd headers.

mod walk;

use ntmem_forge::layout::Spec;
use ntmem_forge::{Build, CodeView, DebuggerData, Forged, Layout, Scenario};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use walk::{translate, u64_at};

/// A file or folder of the extra test material (`NTMEM_TEST_MATERIAL`, or `../shared` beside the checkout), if it is there.
fn material(path: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let found = std::env::var_os("NTMEM_TEST_MATERIAL").map_or_else(beside, PathBuf::from).join(path);
    if !found.exists() {
        eprintln!("skipped, {path} is not in the extra test material (set NTMEM_TEST_MATERIAL to its folder)");
    }
    found.exists().then_some(found)
}

fn unpacked(path: &Path) -> Vec<u8> {
    let file = BufReader::new(File::open(path).expect("a file"));
    let mut bytes = Vec::new();
    lzma_rust2::XzReader::new(file, true).read_to_end(&mut bytes).expect("xz");
    bytes
}

/// Names and text of the symbol files of the collection.
fn symbol_files() -> Vec<(String, String)> {
    let Some(folder) = material("symbols/kernels") else { return Vec::new() };
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "xz"));
    paths.sort();
    let text = |path: &PathBuf| String::from_utf8(unpacked(path)).expect("text");
    paths.iter().map(|p| (p.file_stem().expect("a name").to_string_lossy().into_owned(), text(p))).collect()
}

/// Names and text of the x64 headers in the archive (a tar file: a block of name and size in octal, then the bytes in whole blocks).
fn headers() -> Vec<(String, String)> {
    let Some(archive) = material("symbols/type-headers.tar.xz") else { return Vec::new() };
    let bytes = unpacked(&archive);
    let (mut out, mut at) = (Vec::new(), 0);
    while at + 512 <= bytes.len() && bytes[at] != 0 {
        let text = |range: std::ops::Range<usize>| {
            String::from_utf8_lossy(&bytes[range]).trim_end_matches('\0').trim().to_owned()
        };
        let (name, size) = (text(at..at + 100), usize::from_str_radix(&text(at + 124..at + 135), 8).expect("octal"));
        if name.ends_with("-x64.h") {
            let name = name.rsplit('/').next().expect("a name").to_owned();
            out.push((name, String::from_utf8(bytes[at + 512..at + 512 + size].to_vec()).expect("text")));
        }
        at += 512 + size.next_multiple_of(512);
    }
    out.sort();
    out
}

/// The build number in `bindings-10.0.22631.2428-x64.h`.
fn number_of(header: &str) -> u32 {
    header.split('.').nth(2).expect("a number").parse().expect("a number")
}

/// Follows the active list as a reader would that has this kernel's symbols, and holds it against the facts.
fn assert_listed(what: &str, layout: &Layout, forged: &Forged) {
    let (image, truth) = (&forged.image, &forged.truth);
    assert_eq!((truth.build, &truth.guid, truth.age), (layout.number, &layout.guid, layout.age), "{what}");
    let read = |va: u64| u64_at(image, translate(image, truth.dtb, va).unwrap_or_else(|| panic!("{what}: {va:#x}")));
    let offset = |field: &str| layout.offset("_EPROCESS", field);
    let head = truth.kernel_base + layout.globals["PsActiveProcessHead"];
    let mut listed = Vec::new();
    let mut at = read(head);
    while at != head {
        let body = at - offset("ActiveProcessLinks");
        listed.push((body, read(body + offset("UniqueProcessId")), read(body + offset("Pcb.DirectoryTableBase"))));
        at = read(at);
    }
    let expected: Vec<_> =
        truth.processes.iter().filter(|p| p.in_active_list).map(|p| (p.eprocess, p.pid, p.dtb)).collect();
    assert_eq!(listed, expected, "{what}");
    assert_eq!((listed[0].1, listed[0].0), (4, read(truth.kernel_base + layout.globals["PsInitialSystemProcess"])));
    for process in &truth.processes {
        let at = translate(image, process.dtb, process.eprocess + offset("ImageFileName")).expect("mapped") as usize;
        assert_eq!(&image[at..at + process.name.len()], process.name, "{what}");
        assert_eq!(read(process.eprocess + offset("Token")) & !0xf, process.token, "{what}");
    }
    let number = read(truth.kernel_base + layout.globals["NtBuildNumber"]) as u32;
    let own = if layout.number == 19_045 { 19_041 } else { layout.number };
    assert_eq!(number, 0xf000_0000 | own, "{what}");
}

/// How many fields two layouts share by name, in types of the same size, and which of them lie elsewhere or look otherwise.
fn differences(ours: &Layout, theirs: &Layout) -> (usize, Vec<String>) {
    let shape = |of: &Layout, spec: &Spec| match spec {
        Spec::Bits(_, at, bits) => (*at, *bits, of.width(spec)),
        _ => (0, 0, of.width(spec)),
    };
    let (mut all, mut differ) = (0, Vec::new());
    for (kind, fields) in &theirs.types {
        for field in ours.types.get(kind).filter(|t| t.size == fields.size).map_or(&[][..], |_| &fields.fields) {
            let place = ours.find(kind, &field.name);
            let ours = place.map(|p| (p.offset, shape(ours, &p.spec)));
            all += 1;
            if ours != Some((field.offset, shape(theirs, &field.spec))) {
                differ.push(format!("{kind}.{}", field.name));
            }
        }
    }
    (all, differ)
}

/// Names in the export table of the kernel, with their addresses.
fn exports(forged: &Forged) -> Vec<(String, u32)> {
    let at = |rva: u32| {
        let va = forged.truth.kernel_base + u64::from(rva);
        translate(&forged.image, forged.truth.dtb, va).expect("the image is mapped") as usize
    };
    let word = |rva: u32| u32::from_le_bytes(forged.image[at(rva)..at(rva) + 4].try_into().expect("4 bytes"));
    let directory = word(word(0x3c) + 24 + 112);
    let (count, functions, names) = (word(directory + 24), word(directory + 28), word(directory + 32));
    (0..count)
        .map(|n| {
            let name = &forged.image[at(word(names + n * 4))..];
            let end = name.iter().position(|&b| b == 0).expect("a name ends");
            (String::from_utf8_lossy(&name[..end]).into_owned(), word(functions + n * 4))
        })
        .collect()
}

#[test]
fn every_build_is_its_own_nearest() {
    for build in Build::ALL {
        let layout = Layout::of(build);
        assert_eq!(Layout::nearest(&layout.types), build);
        assert_listed(&format!("{build:?}"), &layout, &Scenario::of(&layout).forge());
    }
}

#[test]
fn a_layout_survives_the_way_through_its_symbol_file() {
    for build in Build::ALL {
        let mut scenario = Scenario::clean(build);
        let forged = scenario.forge();
        let again = Layout::from_isf(&forged.isf);
        assert_eq!(again.build, build);
        scenario.layout = Some(again);
        assert!(scenario.forge().image == forged.image, "{build:?}");
    }
}

#[test]
fn symbol_files_of_real_kernels() {
    for (name, text) in symbol_files() {
        let layout = Layout::from_isf(&text);
        assert_eq!(format!("{}-{}.json", layout.guid, layout.age), name);
        assert_listed(&name, &layout, &Scenario::of(&layout).forge());
    }
}

#[test]
fn headers_of_real_kernels() {
    for (name, text) in headers() {
        let number = number_of(&name);
        if number < 6000 {
            continue;
        }
        let layout = Layout::from_header(&text, number);
        assert_listed(&name, &layout, &Scenario::of(&layout).forge());
        // The columns of these builds were made of the same headers, with other tools.
        if [".9200.16384-", ".10240.16384-", ".17134.1-", ".22621.382-"].iter().any(|c| name.contains(c)) {
            let build = Build::ALL.into_iter().find(|b| b.number() == number).expect("a column");
            assert_eq!(Layout::nearest(&layout.types), build, "{name}");
            // Two views of one number, of which the header does not say so.
            let mut differ = differences(&layout, &Layout::of(build)).1;
            differ.retain(|d| d != "_RTL_BALANCED_NODE.Balance");
            assert!(differ.is_empty(), "{name}: {differ:?}");
        }
    }
}

#[test]
fn headers_and_symbol_files_agree() {
    let symbols: Vec<Layout> = symbol_files().iter().map(|file| Layout::from_isf(&file.1)).collect();
    if symbols.is_empty() {
        return;
    }
    for (name, text) in headers() {
        if [17_763, 18_362, 19_041, 22_000].contains(&number_of(&name)) {
            let header = Layout::from_header(&text, number_of(&name));
            let same_build = symbols.iter().filter(|s| s.build == header.build);
            let (all, differ) =
                same_build.map(|s| differences(&header, s)).min_by_key(|d| d.1.len()).expect("such a kernel");
            // Of the nearest update; pointers to functions have no type in symbol files of these kernels.
            assert!(all > 3_000 && differ.len() * 100 < all, "{name}: {} of {all}: {differ:?}", differ.len());
        }
    }
}

#[test]
fn a_kernel_newer_than_all() {
    let known = Layout::of(Build::W11_26100);
    let at = |kind: &str, field: &str| known.offset(kind, field);
    let newer = known
        .clone()
        .shifted("_EPROCESS", at("_EPROCESS", "Token"), 0x28)
        .shifted("_KPROCESS", at("_KPROCESS", "DirectoryTableBase"), 0x10)
        .shifted("_TOKEN", at("_TOKEN", "SessionId"), 8)
        .numbered(27_500)
        .unknown(1);
    assert_eq!(newer.offset("_EPROCESS", "Pcb.DirectoryTableBase"), at("_KPROCESS", "DirectoryTableBase") + 0x10);
    assert_eq!(newer.offset("_EPROCESS", "UniqueProcessId"), at("_EPROCESS", "UniqueProcessId") + 0x10);
    assert_eq!(newer.offset("_EPROCESS", "Token"), at("_EPROCESS", "Token") + 0x38);
    assert_eq!(newer.size("_EPROCESS"), known.size("_EPROCESS") + 0x38);
    assert_eq!(newer.size("_TOKEN"), known.size("_TOKEN") + 8);
    let forged = Scenario::of(&newer).forge();
    assert_listed("27500", &newer, &forged);
    assert_ne!(forged.truth.guid, known.guid);
    assert_eq!(forged.truth.lab, "27500.1.amd64fre.ge_release.240331-1435");
}

#[test]
#[should_panic(expected = "lies across")]
fn nothing_is_put_into_a_field() {
    let known = Layout::of(Build::W11_26100);
    let at = known.offset("_EPROCESS", "ImageFileName") + 4;
    let _ = known.shifted("_EPROCESS", at, 8);
}

#[test]
fn the_kernel_exports_what_real_ones_export() {
    for build in Build::ALL {
        let forged = Scenario::clean(build).forge();
        let layout = Layout::of(build);
        let exports = exports(&forged);
        assert!(exports.is_sorted(), "readers search it by halves");
        let find = |name: &str| exports.iter().find(|e| e.0 == name).map(|e| u64::from(e.1));
        for name in ["NtBuildNumber", "PsInitialSystemProcess", "PsProcessType", "MmSystemRangeStart"] {
            assert_eq!(find(name), Some(layout.globals[name]), "{build:?} {name}");
        }
        for name in
            ["PsActiveProcessHead", "PspCidTable", "PsNtosImageBase", "KeBootTime", "MmPfnDatabase", "NtBuildLabEx"]
        {
            assert_eq!(find(name), None, "{build:?} {name}");
        }
        assert_eq!(find("PsLoadedModuleList").is_some(), build >= Build::W10_10240);
    }
}

#[test]
fn what_the_image_says_of_its_pdb() {
    let mut scenario = Scenario::clean(Build::W10_19045);
    let records = |scenario: &Scenario| {
        let image = scenario.forge().image;
        let name = |at: usize| String::from_utf8_lossy(&image[at + 24..at + 36]).into_owned();
        let found = image.windows(4).enumerate().filter(|(_, w)| w == b"RSDS").map(|(at, _)| name(at));
        found.collect::<Vec<_>>()
    };
    assert_eq!(records(&scenario), ["ntkrnlmp.pdb"]);
    scenario.kernel.codeview = CodeView::Named("krnl.pdb".into());
    assert_eq!(records(&scenario), ["krnl.pdb\0\0\0\0"]);
    scenario.kernel.codeview = CodeView::Missing;
    assert!(records(&scenario).is_empty());
}

/// The published way back, bit by bit.
fn decode(word: u64, never: u64, always: u64, flag: u64) -> u64 {
    let mut value = word ^ never;
    for _ in 0..never & 0xff {
        value = value.rotate_left(1);
    }
    u64::from_be_bytes((value ^ flag).to_le_bytes()) ^ always
}

#[test]
fn a_debugger_can_decode_the_data_block() {
    for build in Build::ALL {
        let mut scenario = Scenario::clean(build);
        let clear = scenario.forge();
        scenario.kernel.debugger = DebuggerData::Encoded;
        let encoded = scenario.forge();
        let globals = Layout::of(build).globals;
        let at = |name: &str| clear.truth.kernel_base + globals[name];
        let word = |forged: &Forged, va: u64| {
            u64_at(&forged.image, translate(&forged.image, forged.truth.dtb, va).expect("mapped"))
        };
        let (never, always) = (word(&encoded, at("KiWaitNever")), word(&encoded, at("KiWaitAlways")));
        assert!(never != 0 && always != 0);
        assert_eq!(word(&encoded, at("KdpDataBlockEncoded")) & 0xff, 1, "{build:?}");
        let block = at("KdDebuggerDataBlock");
        for va in (block..block + 0x340).step_by(8) {
            let (plain, noise) = (word(&clear, va), word(&encoded, va));
            assert_ne!(plain, noise, "{build:?} {va:#x}");
            assert_eq!(decode(noise, never, always, at("KdpDataBlockEncoded")), plain, "{build:?} {va:#x}");
        }
        assert_eq!(word(&clear, block + 0x50), at("PsActiveProcessHead"), "{build:?}");
    }
}

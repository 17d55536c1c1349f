//! The table in the crate against the symbol files that it was made of, and those that it was not.

use crate::common;
use ntmem::MemoryImage;
use ntmem::kernel::Layouts;
use ntmem::symbols::{self, SymbolSource, SymbolStore, Symbols, Trust, builds, built_in};
use std::collections::BTreeMap;

/// Offset, size and bits of a field.
type Place = (u64, u64, Option<(u8, u8)>);

/// Where each field lies, or that there is none.
fn places(symbols: &Symbols) -> BTreeMap<String, Option<Place>> {
    let wanted = Layouts::wanted();
    let sizes =
        wanted.types.iter().map(|name| ((*name).to_owned(), symbols.size_of(name).ok().map(|size| (0, size, None))));
    let fields = wanted.fields.iter().map(|(name, path)| {
        let field = symbols.field(name, path).ok();
        (format!("{name}.{path}"), field.map(|field| (field.offset, field.size, field.bits)))
    });
    sizes.chain(fields).collect()
}

#[test]
fn covers_everything_that_is_read() {
    let wanted = Layouts::wanted();
    let kernels = built_in().kernels().unwrap();
    assert!(kernels.len() >= 264, "{}", kernels.len());
    assert!(kernels.iter().all(|kernel| !kernel.source.is_empty() && kernel.build.is_some()));
    // Every named field was asked for when it was made: else this is an error, and the table has to be made again.
    let all = builds(&wanted, |_| true).unwrap();
    for (kernel, symbols) in &all {
        if kernel.build >= Some(7600) {
            let resolved = Layouts::resolve(symbols).unwrap_or_else(|error| panic!("{kernel:?}: {error}"));
            assert!(resolved.token.is_ok() && resolved.object_header.is_ok() && resolved.vad.is_ok(), "{kernel:?}");
        }
    }
    for build in [
        7600, 7601, 9200, 9600, 10240, 10586, 14393, 15063, 16299, 17134, 17763, 18362, 19041, 20348, 22000, 22621,
        22631, 26100,
    ] {
        assert!(all.iter().any(|(kernel, _)| kernel.build == Some(build)), "{build}");
    }
    let x86 = kernels.iter().filter(|kernel| kernel.arch == "x86").count();
    assert!(x86 >= 15, "{x86} of 32-bit systems");
}

#[test]
fn small_enough() {
    assert!(std::fs::metadata("src/symbols/built_in.ntpack").unwrap().len() < 1 << 20);
}

#[test]
fn says_of_each_kernel_what_its_symbol_file_says() {
    let Some(material) = common::material("built_in") else { return };
    let wanted = Layouts::wanted();
    let mut seen = 0;
    for file in std::fs::read_dir(material.join("symbols/kernels")).unwrap() {
        let file = file.unwrap().path();
        let symbols = symbols::load(&file, None, &wanted).unwrap();
        let pdb = symbols.pdb.clone().unwrap();
        let found =
            built_in().find(&pdb, &wanted).unwrap().unwrap_or_else(|| panic!("{} is not in the table", file.display()));
        assert_eq!(found.source, SymbolSource::Isf, "what it was made from");
        assert_eq!(places(&found), places(&symbols), "{}", file.display());
        assert_eq!(found.globals(), symbols.globals(), "{}", file.display());
        seen += 1;
    }
    assert_eq!(seen, 213);
}

/// Of the 213, as many are of each build as their publisher's folders hold.
#[test]
fn builds_are_told_apart() {
    let mut numbers = BTreeMap::new();
    for kernel in built_in().kernels().unwrap().iter().filter(|kernel| kernel.source.starts_with("JPCERTCC")) {
        *numbers.entry(kernel.build.unwrap()).or_insert(0) += 1;
    }
    let expected =
        [(7601, 1), (9600, 32), (14393, 26), (17763, 40), (18362, 11), (19041, 39), (20348, 35), (22000, 29)];
    assert_eq!(numbers, BTreeMap::from(expected));
}

/// Two independent publications of the same builds: C headers and symbol files. Of three builds both have the same update.
#[test]
fn headers_agree_with_symbol_files() {
    let all = built_in().choose(&Layouts::wanted(), |kernel| kernel.arch == "x64").unwrap();
    for build in [18362, 19041, 22000] {
        let of_build = |pdb: bool| {
            let chosen =
                all.iter().filter(move |(kernel, _)| kernel.build == Some(build) && kernel.pdb.is_some() == pdb);
            // `_KPRCB` grows with nearly every update.
            let without = |mut places: BTreeMap<String, _>| {
                places.remove("_KPRCB");
                places
            };
            chosen.map(|(_, symbols)| without(places(symbols))).collect::<Vec<_>>()
        };
        let (headers, files) = (of_build(false), of_build(true));
        assert!(headers.iter().any(|header| files.contains(header)), "{build}");
    }
}

#[test]
fn damage_never_gives_a_layout() {
    let table = std::fs::read("src/symbols/built_in.ntpack").unwrap();
    let parse = |bytes: Vec<u8>| symbols::Pack::parse(bytes.into(), std::path::Path::new("made.ntpack"));
    assert!(parse(table.clone()).is_ok());
    for at in (0..table.len()).step_by(97) {
        for bit in [0, 7] {
            let mut damaged = table.clone();
            damaged[at] ^= 1 << bit;
            assert!(parse(damaged).is_err(), "bit {bit} of byte {at}");
        }
        assert!(parse(table[..at].to_vec()).is_err(), "cut at {at}");
    }
}

/// An enablement package changes the number and leaves the kernel: 19045 is 19041's, whichever of the two the kernel gives.
#[test]
fn a_number_of_an_enablement_package_is_its_kernels() {
    let store = SymbolStore::new().directory("testdata/samples/symbols");
    let path = "testdata/samples/clean.raw";
    let image = MemoryImage::open(path).unwrap();
    let kernel = image.locate_kernel(&store).unwrap();
    let number = kernel.base().wrapping_add(kernel.symbols().global("NtBuildNumber").unwrap());
    let number = usize::try_from(kernel.space().translate(number).unwrap().0).unwrap();
    let mut bytes = std::fs::read(path).unwrap();
    let record = memchr::memmem::find(&bytes, b"RSDS").unwrap();
    bytes[record + 4..record + 20].copy_from_slice(b"a GUID of nobody");
    // A number that nobody has is seen through: the shared page says 19045.
    for given in [19041, 19042, 19045, 19046] {
        bytes[number..number + 4].copy_from_slice(&(0xf000_0000u32 | given).to_le_bytes());
        let image = MemoryImage::from_bytes(bytes.clone()).unwrap();
        let kernel = image.locate_kernel(&SymbolStore::new().trust(Trust::Build)).unwrap();
        assert_eq!(kernel.symbols().source, SymbolSource::BuiltIn, "{given}");
        assert!(kernel.symbols().notes[0].contains("build 19041"), "{given}: {:?}", kernel.symbols().notes);
        // What is refused is named.
        let error = image.locate_kernel(&SymbolStore::new().trust(Trust::Exact)).unwrap_err().to_string();
        assert!(error.contains("built-in table: no kernel of this GUID"), "{error}");
        assert!(error.contains("not trusted (exact)"), "{error}");
    }
}

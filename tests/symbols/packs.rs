//! Packs and the cache: what a folder of symbol files becomes, and what damage does to it.

use ntmem::PdbInfo;
use ntmem::kernel::Layouts;
use ntmem::symbols::{self, PackWriter, Packed, SymbolError, SymbolSource, SymbolStore, Symbols, disagreements};
use ntmem_forge::{Build, Scenario};
use std::path::{Path, PathBuf};

/// A folder with the symbol files of some forged kernels, each changed so that no table has it.
fn folder(builds: &[Build]) -> (tempfile::TempDir, Vec<PathBuf>, Vec<PdbInfo>) {
    let folder = tempfile::tempdir().unwrap();
    let (mut files, mut ids) = (Vec::new(), Vec::new());
    for (number, build) in builds.iter().enumerate() {
        let forged = Scenario::clean(*build).forge();
        let guid = format!("{number:032X}");
        let file = folder.path().join(format!("{guid}-{}.json", forged.truth.age));
        std::fs::write(&file, forged.isf.replace(&forged.truth.guid, &guid)).unwrap();
        files.push(file);
        ids.push(PdbInfo { name: "ntkrnlmp.pdb".into(), guid, age: forged.truth.age });
    }
    (folder, files, ids)
}

fn symbols_of(file: &Path, id: &PdbInfo) -> Symbols {
    symbols::load(file, Some(id), &Layouts::wanted()).unwrap()
}

#[test]
fn a_folder_becomes_a_pack_that_says_the_same() {
    let wanted = Layouts::wanted();
    let (folder, files, ids) = folder(&[Build::W7_7601, Build::W10_19045, Build::W11_26100]);
    std::fs::write(folder.path().join("broken.pdb"), b"Microsoft C/C++ MSF 7.00 and no more").unwrap();
    std::fs::write(folder.path().join("notes.txt"), b"not a symbol file").unwrap();
    let mut pack = PackWriter::new(wanted.clone());
    let mut failed = Vec::new();
    pack.add_folder(folder.path(), |file, packed| {
        if !matches!(packed, Packed::Added(_)) {
            failed.push(file.to_owned());
        }
    })
    .unwrap();
    assert_eq!(failed, [folder.path().join("broken.pdb")]);
    let file = folder.path().join("kernels.ntpack");
    std::fs::write(&file, pack.finish().unwrap()).unwrap();
    assert!(std::fs::metadata(&file).unwrap().len() < 16 << 10);

    let store = SymbolStore::new().file(&file).without_builds(0..=u32::MAX);
    for (source, id) in files.iter().zip(&ids) {
        let (found, expected) = (store.find(id, &wanted).unwrap(), symbols_of(source, id));
        assert_eq!(found.source, SymbolSource::Isf, "a pack is as good as what it was made from");
        assert_eq!(disagreements(&found, &expected, &wanted), [""; 0]);
        assert_eq!(found.globals(), expected.globals());
        for (kind, path) in &wanted.fields {
            assert_eq!(found.field(kind, path).is_ok(), expected.field(kind, path).is_ok(), "{kind}.{path}");
        }
    }
    let other = PdbInfo { guid: "F".repeat(32), ..ids[0].clone() };
    assert!(store.find(&other, &wanted).is_err());
    // The pack lies in a folder with other things.
    std::fs::remove_file(&files[1]).unwrap();
    let beside = SymbolStore::new().directory(folder.path()).without_builds(0..=u32::MAX);
    assert!(beside.find(&ids[1], &wanted).is_ok(), "packs in folders are looked into");
}

#[test]
fn the_second_run_reads_no_symbol_file() {
    let wanted = Layouts::wanted();
    let (folder, files, ids) = folder(&[Build::W10_19045]);
    let cache = folder.path().join("cache");
    let store = SymbolStore::new().directory(folder.path()).cache(&cache).without_builds(0..=u32::MAX);
    let first = store.find(&ids[0], &wanted).unwrap();
    let entries = || std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let [entry] = entries().try_into().unwrap();

    // Same length and time, other content: whoever still gives the first answer has not read it.
    let (about, text) = (std::fs::metadata(&files[0]).unwrap(), std::fs::read_to_string(&files[0]).unwrap());
    let rewrite = |text: &str, changed| {
        std::fs::write(&files[0], text).unwrap();
        std::fs::File::options().write(true).open(&files[0]).unwrap().set_modified(changed).unwrap();
    };
    rewrite(&" ".repeat(text.len()), about.modified().unwrap());
    let second = store.find(&ids[0], &wanted).unwrap();
    assert_eq!(disagreements(&first, &second, &wanted), [""; 0]);
    assert_eq!((second.source, second.file.clone()), (first.source, first.file.clone()));
    assert_eq!(second.globals(), first.globals());

    // A file that changed is read again.
    rewrite(&" ".repeat(text.len()), std::time::SystemTime::UNIX_EPOCH);
    assert!(matches!(store.find(&ids[0], &wanted), Err(SymbolError::Missing { .. })));
    rewrite(&text, about.modified().unwrap());

    // Damaged entries are made again, whatever the damage.
    let whole = std::fs::read(&entry).unwrap();
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x40;
        for bytes in [damaged, whole[..at].to_vec()] {
            std::fs::write(&entry, bytes).unwrap();
            let again = store.find(&ids[0], &wanted).unwrap();
            assert_eq!(disagreements(&first, &again, &wanted), [""; 0]);
            assert_eq!(std::fs::read(&entry).unwrap(), whole, "made again");
        }
    }
    assert_eq!(entries(), [entry]);
}

#[test]
fn many_at_once_share_a_cache() {
    let wanted = Layouts::wanted();
    let (folder, _, ids) = folder(&[Build::W7_7601, Build::W10_19045]);
    let store = SymbolStore::new().directory(folder.path()).cache(folder.path().join("cache"));
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (store, id, wanted) = (&store, &ids[number % 2], &wanted);
            scope.spawn(move || {
                for _ in 0..20 {
                    assert_eq!(store.find(id, wanted).unwrap().pdb.unwrap().guid, id.guid);
                }
            });
        }
    });
    let left = std::fs::read_dir(folder.path().join("cache")).unwrap();
    let names: Vec<_> = left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.len() == 2 && names.iter().all(|name| name.ends_with(".ntpack")), "{names:?}");
}

#[test]
fn a_cache_that_cannot_be_written_is_none() {
    let (folder, files, ids) = folder(&[Build::W10_19045]);
    let store = SymbolStore::new().directory(folder.path()).cache(files[0].join("no folder"));
    assert!(store.find(&ids[0], &Layouts::wanted()).is_ok());
}

/// A pack that an older version made has fewer names than are wanted today.
#[test]
fn an_older_pack_serves_and_what_it_lacks_is_absent() {
    let today = Layouts::wanted();
    let mut older = today.clone();
    older.fields.retain(|field| *field != ("_EPROCESS", "Protection.Level"));
    older.types.retain(|name| *name != "_CMHIVE");
    older.fields.retain(|(structure, _)| *structure != "_CMHIVE");
    older.globals.retain(|name| *name != "PspCidTable");
    let (folder, _, ids) = folder(&[Build::W10_19045]);
    let mut writer = PackWriter::new(older);
    writer.add_folder(folder.path(), |_, _| ()).unwrap();
    let file = folder.path().join("older.ntpack");
    std::fs::write(&file, writer.finish().unwrap()).unwrap();

    let mut lacks = symbols::Pack::open(&file).unwrap().lacks(&today).unwrap();
    lacks.sort();
    assert_eq!(lacks, ["PspCidTable", "_CMHIVE", "_EPROCESS.Protection.Level"]);
    let found = SymbolStore::new().file(&file).without_builds(0..=u32::MAX).find(&ids[0], &today).unwrap();
    assert!(found.field("_EPROCESS", "UniqueProcessId").is_ok());
    assert!(matches!(found.field("_EPROCESS", "Protection.Level"), Err(SymbolError::NoField { .. })));
    assert!(found.global("PspCidTable").is_err() && found.global("PsActiveProcessHead").is_ok());
    let layouts = Layouts::resolve(&found).unwrap();
    assert!(layouts.process.protection.is_none() && layouts.cmhive.is_err());
}

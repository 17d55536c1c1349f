//! The search of physical memory, where page tables or the objects themselves were changed by hand.

use crate::common;
use crate::common::number;
use ntmem::symbols::SymbolStore;
use ntmem::{MemoryImage, ReadOptions, System};
use serde_json::Value;
use std::path::{Path, PathBuf};

const SAMPLE: &str = "win10-19045-clean";

fn start(test: &str) -> Option<(PathBuf, Vec<u8>, Value)> {
    let material = common::material(test)?;
    let truth = common::json(&material.join("samples").join(SAMPLE).join("truth.json"));
    let bytes = common::sample(&material, SAMPLE);
    Some((material, bytes, truth))
}

fn scan(bytes: Vec<u8>, material: &Path) -> System {
    let image = MemoryImage::from_bytes(bytes).unwrap();
    let store = SymbolStore::new().directory(material.join("symbols"));
    let kernel = image.locate_kernel(&store).unwrap();
    System::read_with(&kernel, &ReadOptions { scan: true, ..ReadOptions::default() }).unwrap()
}

fn entry(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// Where the page table entry of `at` lies in the raw file: four levels, 9 bits each.
fn page_table_entry(bytes: &[u8], dtb: u64, at: u64) -> usize {
    let slot = |table: u64, shift: u32| usize::try_from(table + ((at >> shift) & 0x1ff) * 8).unwrap();
    let mut table = dtb;
    for shift in [39, 30, 21] {
        let entry = entry(bytes, slot(table, shift));
        assert!(entry & 0x81 == 1, "a large page, or none");
        table = entry & 0x000f_ffff_ffff_f000;
    }
    slot(table, 12)
}

#[test]
fn an_object_whose_page_was_given_back() {
    let Some((material, mut bytes, truth)) = start("an_object_whose_page_was_given_back") else { return };
    let gone = truth["processes"].as_array().unwrap().iter().find(|p| p["name"] == "dllhost.exe").unwrap();
    assert_eq!(gone["in_active_list"], false);
    let at = number(&gone["eprocess"]).unwrap();
    let slot = page_table_entry(&bytes, number(&truth["kernel"]["dtb"]).unwrap(), at);
    bytes[slot..slot + 8].fill(0);
    let system = scan(bytes, &material);
    assert_eq!(system.processes.items.len(), truth["processes"].as_array().unwrap().len());
    let found = system.processes.items.iter().find(|p| p.eprocess.value().map(|p| p.0) == Some(at)).unwrap();
    let document = serde_json::to_value(found).unwrap();
    for field in ["pid", "ppid", "name", "created", "exited"] {
        assert_eq!(document[field], gone[field], "{field}");
    }
    assert_eq!(number(&document["physical"]), number(&gone["physical"]));
    assert_eq!(
        number(&document["located"]["pid"]["physical"]).unwrap() & !0xfff,
        number(&gone["physical"]).unwrap() & !0xfff
    );
}

#[test]
fn a_copy_of_an_object_is_no_process() {
    let Some((material, mut bytes, truth)) = start("a_copy_of_an_object_is_no_process") else { return };
    let smss = truth["processes"].as_array().unwrap().iter().find(|p| p["name"] == "smss.exe").unwrap();
    let page = usize::try_from(number(&smss["physical"]).unwrap() & !0xfff).unwrap();
    let copy = bytes[page..page + 0x1000].to_vec();
    let empty =
        (0x20_0000..bytes.len()).step_by(0x1000).find(|at| bytes[*at..at + 0x1000].iter().all(|b| *b == 0)).unwrap();
    bytes[empty..empty + 0x1000].copy_from_slice(&copy);
    let system = scan(bytes, &material);
    assert_eq!(system.processes.items.len(), truth["processes"].as_array().unwrap().len());
    let found = system.processes.items.iter().find(|p| p.pid.value() == smss["pid"].as_u64().as_ref()).unwrap();
    assert_eq!(found.physical.value().unwrap().0, number(&smss["physical"]).unwrap());
}

#[test]
fn without_pool_tag_or_without_the_kind_of_object() {
    let Some((material, bytes, truth)) = start("without_pool_tag_or_without_the_kind_of_object") else { return };
    let gone = truth["processes"].as_array().unwrap().iter().find(|p| p["name"] == "dllhost.exe").unwrap();
    let at = usize::try_from(number(&gone["physical"]).unwrap()).unwrap();
    let found = |bytes: Vec<u8>| {
        let system = scan(bytes, &material);
        // Its root is where it was, and tells of it in any case.
        let by_object = |p: &ntmem::Process| p.sources.contains(&ntmem::process::Source::PoolScan);
        let is_it = |p: &ntmem::Process| p.eprocess.value().map(|p| p.0) == number(&gone["eprocess"]);
        system.processes.items.iter().any(|p| is_it(p) && by_object(p))
    };
    let page = at & !0xfff;
    let tags: Vec<usize> = (page..at).step_by(0x10).filter(|block| bytes[block + 4..].starts_with(b"Proc")).collect();
    assert!(!tags.is_empty());
    let mut untagged = bytes.clone();
    tags.iter().for_each(|block| untagged[block + 4..block + 8].fill(b'x'));
    assert!(found(untagged.clone()), "by the kind of object alone");
    let mut unkind = bytes;
    unkind[at] = 0;
    assert!(found(unkind), "by the pool tag alone");
    untagged[at] = 0;
    assert!(!found(untagged), "by neither");
}

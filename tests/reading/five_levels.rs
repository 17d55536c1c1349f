//! Machines with five levels of page tables (LA57): found by each way, with and without symbols, and searched.

use crate::common::forged::Opened;
use ntmem::symbols::SymbolStore;
use ntmem::{MemoryImage, ReadOptions, System};
use ntmem_forge::{Build, Forged, Scenario};

const BUILDS: [Build; 3] = [Build::W10_19045, Build::W11_22000, Build::W11_26100];

fn forged(build: Build) -> Forged {
    let mut scenario = Scenario::clean(build).with_five_levels();
    // Out of every list, and still there.
    scenario.process(536).linked = false;
    scenario.forge()
}

/// The pids and names that were read, and those that the forge wrote.
fn assert_read(forged: &Forged, system: &System, all: bool, what: &str) {
    let mut read: Vec<(u64, u64)> = system
        .processes
        .items
        .iter()
        .map(|p| (p.pid.value().copied().unwrap_or(u64::MAX), p.eprocess.value().map_or(0, |at| at.0)))
        .collect();
    let written = forged.truth.processes.iter().filter(|p| all || p.in_active_list);
    let mut written: Vec<(u64, u64)> = written.map(|p| (p.pid, p.eprocess)).collect();
    read.sort_unstable();
    written.sort_unstable();
    for process in &written {
        assert!(read.contains(process), "{what}: {process:x?} is missing");
    }
}

#[test]
fn a_process_in_no_list_is_found_by_the_scan() {
    for build in BUILDS {
        let forged = forged(build);
        let opened = Opened::new(&forged);
        let kernel = opened.kernel();
        assert_eq!(kernel.space().architecture().name, "la57", "{build:?}");
        let system = System::read_with(&kernel, &ReadOptions { scan: true, ..ReadOptions::default() }).unwrap();
        assert_read(&forged, &system, true, &format!("{build:?}"));
        let hidden = system.processes.items.iter().find(|p| p.pid.value() == Some(&536)).unwrap();
        assert!(format!("{:?}", hidden.sources).contains("PoolScan"), "{build:?}: {:?}", hidden.sources);
    }
}

#[test]
fn without_the_low_stub_and_without_symbols() {
    for build in BUILDS {
        let forged = forged(build);
        let mut bytes = forged.image.clone();
        // The start block of the processors, below 1 MiB.
        for page in bytes[..0x10_0000].chunks_mut(0x1000).skip(1) {
            if page[0] == 0xe9 && page[4] == 1 {
                page.fill(0);
            }
        }
        let opened = Opened::with_bytes(&forged, bytes.clone());
        let kernel = opened.kernel();
        let way = kernel.info().found_by.unwrap();
        assert!(way.contains("self"), "{build:?}: {way}");
        assert_eq!(kernel.space().root().0, forged.truth.dtb, "{build:?}");
        assert_read(&forged, &System::read(&kernel).unwrap(), false, &format!("{build:?} without the stub"));
        let image = MemoryImage::from_bytes(bytes).unwrap();
        let kernel = image.locate_kernel(&SymbolStore::new()).unwrap();
        assert_read(&forged, &System::read(&kernel).unwrap(), false, &format!("{build:?} without symbols"));
    }
}

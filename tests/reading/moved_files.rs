//! Files that begin before or behind the memory: what they are is said only where that is sure, and the advice works.

use crate::common::edited::Edited;
use crate::common::forged::Opened;
use ntmem_forge::{Build, Scenario};

const PAGE: usize = 4096;

/// Why no kernel is found in these bytes.
fn failure(own: &Opened, bytes: Vec<u8>) -> String {
    let image = ntmem::MemoryImage::from_bytes(bytes).unwrap();
    image.locate_kernel(&own.store).map(|kernel| kernel.info()).unwrap_err().to_string()
}

/// Nothing is wrong with the file of a machine whose top tables lost the kernel's half, or all: no advice to cut it or to join it.
#[test]
fn lost_tables_are_no_moved_file() {
    for build in Build::ALL {
        let edited = Edited::new(&Scenario::clean(build));
        let own = Opened::new(&edited.forged);
        let truth = &edited.forged.truth;
        for (from, byte) in [(0x800, 0), (0x800, 0xff), (0, 0), (0, 0xff)] {
            let mut bytes = edited.bytes.clone();
            for root in truth.processes.iter().map(|process| process.dtb & !0xfff).chain([truth.dtb]) {
                bytes[root as usize + from..root as usize + PAGE].fill(byte);
            }
            let said = failure(&own, bytes);
            let moved = ["dd if=", "join them", "refer to themselves 0x"].iter().any(|words| said.contains(words));
            assert!(!moved, "{build:?} {from:#x} {byte:#x}: {said}");
            // A stub names one of these tables still.
            assert!(!said.contains("may be a page file"), "{build:?} {from:#x} {byte:#x}: {said}");
        }
    }
}

/// A file with bytes in front that are no memory: how many is said, and without them the kernel is found.
#[test]
fn bytes_in_front() {
    for build in [Build::W7_7601, Build::W10_19045, Build::W11_26100] {
        let edited = Edited::new(&Scenario::clean(build));
        let own = Opened::new(&edited.forged);
        let bytes = [vec![0xfe; 0x123 * PAGE], edited.bytes.clone()].concat();
        let said = failure(&own, bytes.clone());
        assert!(said.contains("dd if=FILE of=OUT bs=4096 skip=291"), "{build:?}: {said}");
        let image = ntmem::MemoryImage::from_bytes(bytes[291 * PAGE..].to_vec()).unwrap();
        assert_eq!(image.locate_kernel(&own.store).unwrap().base().0, edited.forged.truth.kernel_base);
    }
}

/// The second of two parts: that there is one before it is said.
#[test]
fn a_second_part() {
    for build in [Build::W7_7601, Build::W10_19045, Build::W11_26100] {
        let edited = Edited::new(&Scenario::clean(build));
        let own = Opened::new(&edited.forged);
        let roots = edited.forged.truth.processes.iter().map(|process| process.dtb & !0xfff);
        // A good part of the processes' tables lie behind the cut.
        let mut roots: Vec<u64> = roots.collect();
        roots.sort_unstable();
        let cut = (roots[roots.len() / 4] as usize).next_multiple_of(1 << 20);
        let said = failure(&own, edited.bytes[cut..].to_vec());
        let begins = format!("the file begins at {} MiB of the machine's memory", cut >> 20);
        assert!(said.contains(&begins) && said.contains("join them"), "{build:?} {cut:#x}: {said}");
    }
}

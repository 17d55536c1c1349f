//! Each way to the kernel stands alone, and what fails says what was tried.

use crate::common;
use crate::common::number;
use ntmem::kernel::LocateOptions;
use ntmem::symbols::SymbolStore;
use ntmem::{Error, MemoryImage, PhysicalAddress, System, VirtualAddress};
use serde_json::Value;
use std::path::{Path, PathBuf};

const SAMPLE: &str = "win10-19045-clean";

struct Setup {
    bytes: Vec<u8>,
    truth: Value,
    store: SymbolStore,
}

fn setup(material: &Path, name: &str) -> Setup {
    Setup {
        bytes: common::sample(material, name),
        truth: common::json(&material.join("samples").join(name).join("truth.json")),
        store: SymbolStore::new().directory(material.join("symbols")),
    }
}

impl Setup {
    /// Zeroes every low stub: a page below 1 MiB that starts with a jump.
    fn without_low_stub(mut self) -> Self {
        for page in self.bytes[..0x10_0000].chunks_mut(0x1000).skip(1) {
            if page[0] == 0xe9 && page[4] == 1 {
                page.fill(0);
            }
        }
        self
    }

    /// Zeroes the kernel's headers.
    fn without_headers(mut self) -> Self {
        let at = number(&self.truth["kernel"]["physical"]).unwrap() as usize;
        self.bytes[at..at + 0x1000].fill(0);
        self
    }

    fn expect_found(self, way: &str) {
        let image = MemoryImage::from_bytes(self.bytes).unwrap();
        let kernel = image.locate_kernel(&self.store).unwrap();
        let info = kernel.info();
        assert!(info.found_by.as_deref().unwrap().contains(way), "{:?}", info.found_by);
        assert_eq!(info.base.map(|base| base.0), number(&self.truth["kernel"]["base"]));
        assert_eq!(info.dtb.map(|dtb| dtb.0), number(&self.truth["kernel"]["dtb"]));
        let listed = self.truth["processes"].as_array().unwrap().iter().filter(|p| p["in_active_list"] == true).count();
        assert_eq!(System::read(&kernel).unwrap().processes.items.len(), listed);
    }
}

fn material(test: &str) -> Option<PathBuf> {
    common::material(test)
}

#[test]
fn low_stub() {
    let Some(material) = material("low_stub") else { return };
    for name in [SAMPLE, "win7-7601-clean", "win11-26100-clean"] {
        setup(&material, name).expect_found("low stub");
    }
}

#[test]
fn self_reference_alone() {
    let Some(material) = material("self_reference_alone") else { return };
    for name in [SAMPLE, "win7-7601-clean", "win11-26100-clean"] {
        setup(&material, name).without_low_stub().expect_found("self-referencing");
    }
}

#[test]
fn headers_missing() {
    let Some(material) = material("headers_missing") else { return };
    for name in [SAMPLE, "win7-7601-clean", "win11-26100-clean"] {
        setup(&material, name).without_headers().expect_found("low stub");
        setup(&material, name).without_headers().without_low_stub().expect_found("CodeView record and symbols");
    }
}

#[test]
fn overrides() {
    let Some(material) = material("overrides") else { return };
    let setup = setup(&material, SAMPLE).without_low_stub().without_headers();
    let image = MemoryImage::from_bytes(setup.bytes.clone()).unwrap();
    let truth = |field: &str| number(&setup.truth["kernel"][field]).unwrap();
    let options = LocateOptions {
        dtb: Some(PhysicalAddress(truth("dtb"))),
        kernel_base: Some(VirtualAddress(truth("base"))),
        ..LocateOptions::default()
    };
    let kernel = image.locate_kernel_with(&setup.store, &options).unwrap();
    assert_eq!(kernel.base().0, truth("base"));
    let wrong = LocateOptions { dtb: Some(PhysicalAddress(0x5000)), ..LocateOptions::default() };
    let error = image.locate_kernel_with(&setup.store, &wrong).unwrap_err().to_string();
    assert!(error.contains("0x0000000000005000") && error.contains("KUSER_SHARED_DATA"), "{error}");
}

#[test]
fn nothing_to_find() {
    // No kernel: noise that is no text.
    let mut noise = 0x9e37_79b9_7f4a_7c15u64;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        noise.to_le_bytes()
    })
    .take(0x8_0000)
    .flatten()
    .collect();
    let image = MemoryImage::from_bytes(bytes).unwrap();
    let Err(Error::NoKernel(failure)) = image.locate_kernel(&SymbolStore::new()) else { panic!() };
    assert_eq!(failure.ways.len(), 3, "{failure}");
    let text = failure.to_string();
    for word in ["crash dump header", "low stub", "self-referencing PML4", "--dtb"] {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn missing_symbols_name_what_is_needed() {
    let Some(material) = material("missing_symbols_name_what_is_needed") else { return };
    let setup = setup(&material, SAMPLE);
    let image = MemoryImage::from_bytes(setup.bytes).unwrap();
    let error = image
        .locate_kernel(&SymbolStore::new().directory("no/such/folder").without_builds(0..=u32::MAX))
        .unwrap_err()
        .to_string();
    for word in [
        "ntkrnlmp.pdb",
        "606FF669409B00F7FC8C61A9C1670129",
        "606FF669409B00F7FC8C61A9C16701291/ntkrnlmp.pdb",
        "no/such/folder",
    ] {
        assert!(error.contains(word), "{word} in {error}");
    }
}

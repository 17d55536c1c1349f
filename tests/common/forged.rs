//! Forged images, opened.

use super::counted::Counted;
use ntmem::kernel::Kernel;
use ntmem::symbols::SymbolStore;
use ntmem::{MemoryImage, System};
use ntmem_forge::Forged;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// A forged image with its symbols, in a folder that lives as long as it does.
pub struct Opened {
    _folder: tempfile::TempDir,
    pub store: SymbolStore,
    pub image: MemoryImage,
}

impl Opened {
    pub fn new(forged: &Forged) -> Self {
        Self::with_bytes(forged, forged.image.clone())
    }

    /// The same with other bytes: damaged, or in another container.
    pub fn with_bytes(forged: &Forged, bytes: Vec<u8>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let name = format!("{}-{}.json", forged.truth.guid, forged.truth.age);
        std::fs::write(folder.path().join(name), &forged.isf).unwrap();
        let store = SymbolStore::new().directory(folder.path());
        Self { _folder: folder, store, image: MemoryImage::from_bytes(bytes).unwrap() }
    }

    /// The same with other bytes, and how often the memory was asked for some of them.
    pub fn counted(forged: &Forged, bytes: Vec<u8>) -> (Self, Arc<AtomicU64>) {
        let (memory, asked) = Counted::new(bytes);
        (Self { image: MemoryImage::from_memory(Box::new(memory)), ..Self::new(forged) }, asked)
    }

    pub fn kernel(&self) -> Kernel<'_> {
        self.image.locate_kernel(&self.store).unwrap()
    }

    pub fn system(&self) -> System {
        System::read(&self.kernel()).unwrap()
    }
}

/// What a report of this system says.
pub fn document(system: &System) -> serde_json::Value {
    serde_json::to_value(ntmem::report::Report::new(system.clone())).unwrap()
}

//! A clean machine with the kernel of every symbol file of the collection reads as what was forged, with that symbol file.

use crate::common;
use crate::common::kernels;
use ntmem::symbols::SymbolStore;
use ntmem::{MemoryImage, System};

#[test]
fn every_collected_kernel_reads_with_its_own_symbols() {
    let Some(folder) = kernels::folder("every_collected_kernel_reads_with_its_own_symbols") else { return };
    let store = SymbolStore::new().directory(&folder);
    for kernel in kernels::collection("every_collected_kernel_reads_with_its_own_symbols") {
        let forged = kernel.forge();
        let image = MemoryImage::from_bytes(forged.image).unwrap();
        let found = image.locate_kernel(&store).unwrap_or_else(|e| panic!("{}: {e}", kernel.name));
        let system = System::read(&found).unwrap_or_else(|e| panic!("{}: {e}", kernel.name));
        let truth = serde_json::from_str(&forged.truth.to_json()).unwrap();
        common::assert_agrees(&kernel.name, &common::forged::document(&system), &truth);
    }
}

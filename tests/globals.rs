//! Globals found in the image itself, without symbols for them, held against where they are.
#![cfg(feature = "isf")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::forged::Opened;
use ntmem::kernel::{FoundGlobals, Origin};
use ntmem_forge::{Build, Scenario};

#[test]
fn show() {
    for build in Build::ALL {
        let forged = Scenario::clean(build).forge();
        let opened = Opened::new(&forged);
        let kernel = opened.kernel();
        let start = std::time::Instant::now();
        let found = kernel.globals_in_image();
        println!("{build:?} {:?} mask {:x?} {:?}", start.elapsed(), found.invalid_pte_mask, found.process);
        for (name, global) in &found.globals {
            let truth = forged.globals.get(*name).copied();
            println!(
                "  {name} {} {:?} {}",
                global.address,
                global.origins,
                if truth == Some(global.address.0) { "" } else { "WRONG" }
            );
        }
        for warning in &found.warnings {
            println!("  {warning}");
        }
    }
}

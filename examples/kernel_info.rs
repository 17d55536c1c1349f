//! Finds the kernel in an image, and says what it is.
//!
//! `cargo run --release --example kernel_info [IMAGE [SYMBOLS]]`; without an argument, on the bundled sample.

use ntmem::MemoryImage;
use ntmem::symbols::SymbolStore;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/samples");
    let mut arguments = std::env::args().skip(1);
    let image = arguments.next().unwrap_or_else(|| format!("{samples}/suspicious.raw"));
    let symbols = arguments.next().unwrap_or_else(|| format!("{samples}/symbols"));

    let image = MemoryImage::open(&image)?;
    println!("image       {}, {} bytes", image.format(), image.info().bytes);
    for run in image.runs().take(8) {
        println!("memory      {} to {}", run.start, run.end());
    }
    let kernel = image.locate_kernel(&SymbolStore::new().directory(symbols))?;
    let info = kernel.info();
    println!("found by    {}", info.found_by.unwrap_or_default());
    println!("kernel base {}", kernel.base());
    println!("page tables {}", kernel.space().root());
    println!("build       {}", info.lab.unwrap_or_default());
    let pdb = kernel.pdb();
    match pdb {
        Some(pdb) => println!("PDB         {} {} age {}", pdb.name, pdb.guid, pdb.age),
        None => println!("PDB         not named: the CodeView record is not there"),
    }
    if let Some(shared) = kernel.shared_data() {
        println!("system root {}", shared.root);
        println!("captured    {}", shared.system_time);
    }
    Ok(())
}

//! Searches all of an image's memory for processes, and says which of the kernel's lists hold each one that is not simply
//! running: hidden ones, and those that are over.
//!
//! `cargo run --release --example hidden_processes [IMAGE [SYMBOLS]]`; without an argument, on the bundled sample. Exits with 1
//! where a process hides.

use ntmem::picture::{Explanation, Picture};
use ntmem::process::Source;
use ntmem::symbols::SymbolStore;
use ntmem::{MemoryImage, ReadOptions, System};
use std::process::ExitCode;

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/samples");
    let mut arguments = std::env::args().skip(1);
    let image = arguments.next().unwrap_or_else(|| format!("{samples}/suspicious.raw"));
    let symbols = arguments.next().unwrap_or_else(|| format!("{samples}/symbols"));

    let image = MemoryImage::open(&image)?;
    let kernel = image.locate_kernel(&SymbolStore::new().directory(symbols))?;
    let system = System::read_with(&kernel, &ReadOptions { scan: true, ..ReadOptions::default() })?;
    for view in &system.processes.views {
        match view.processes.absent() {
            None => println!("{}: {} processes", view.source, view.processes.value().copied().unwrap_or_default()),
            Some(why) => println!("{}: not looked at, {why}", view.source),
        }
    }
    let picture = Picture::new(&system);
    for sighting in picture.cross_view().iter().filter(|sighting| sighting.explanation != Explanation::Listed) {
        let pid = sighting.pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string());
        let name = sighting.name.as_deref().unwrap_or("?");
        println!("{pid} {name}: {}", if sighting.hidden { "HIDDEN" } else { "not hidden" });
        println!("    held by {}; {}", Source::names(&sighting.sources), sighting.why);
    }
    let hidden = picture.cross_view().iter().filter(|sighting| sighting.hidden).count();
    println!("{hidden} of {} processes hide", picture.cross_view().len());
    Ok(ExitCode::from(u8::from(hidden > 0)))
}

//! Draws the process tree of an image. A parent is who has the pid and is old enough: a reused pid is no parent.
//!
//! `cargo run --release --example process_tree [IMAGE [SYMBOLS]]`; without an argument, on the bundled sample.

use ntmem::symbols::SymbolStore;
use ntmem::{MemoryImage, Picture, System};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/samples");
    let mut arguments = std::env::args().skip(1);
    let image = arguments.next().unwrap_or_else(|| format!("{samples}/suspicious.raw"));
    let symbols = arguments.next().unwrap_or_else(|| format!("{samples}/symbols"));

    let image = MemoryImage::open(&image)?;
    let kernel = image.locate_kernel(&SymbolStore::new().directory(symbols))?;
    let system = System::read(&kernel)?;
    let picture = Picture::new(&system);
    let processes = &system.processes.items;
    for (depth, index) in picture.tree().walk() {
        let Some(process) = processes.get(index) else { continue };
        let pid = process.pid.value().copied().unwrap_or_default();
        let name = process.name.value().map_or("?", String::as_str);
        let session = process.session.value().map_or_else(|| "-".to_owned(), u32::to_string);
        let user = process.user.value().map_or("?", |sid| ntmem::kernel::sid_name(sid).unwrap_or(sid));
        println!("{:depth$}{pid} {name}  session {session}  {user}", "", depth = depth.saturating_mul(2));
    }
    for session in picture.sessions() {
        println!("session {}: {} processes", session.id, session.pids.len());
    }
    Ok(())
}

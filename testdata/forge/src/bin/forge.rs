//! Writes forged images: `forge BUILD OUT_DIR` puts `image.raw`, `truth.json` and a symbol file there.

use ntmem_forge::{Build, Scenario};
use std::fs;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [number, out] = arguments.as_slice() else {
        eprintln!("usage: forge BUILD OUT_DIR");
        std::process::exit(64);
    };
    let Some(build) = Build::ALL.into_iter().find(|b| b.number().to_string() == *number) else {
        eprintln!("no such build: {number}");
        std::process::exit(64);
    };
    let forged = Scenario::clean(build).forge();
    let out = Path::new(out);
    let symbols = out.join("symbols/windows/ntkrnlmp.pdb");
    fs::create_dir_all(&symbols)?;
    fs::write(out.join("image.raw"), &forged.image)?;
    fs::write(out.join("truth.json"), forged.truth.to_json())?;
    fs::write(symbols.join(format!("{}-{}.json", forged.truth.guid, forged.truth.age)), &forged.isf)
}

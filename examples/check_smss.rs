//! Judges smss.exe in an image, and what it built.
//!
//! `cargo run --release --example check_smss [IMAGE [SYMBOLS]]`; without an argument, on the bundled suspicious sample. Exits
//! with 0 for a clean image, 1 for violations, 2 where something that matters could not be seen.

use ntmem::symbols::SymbolStore;
use ntmem::{MemoryImage, Severity, System, Verdict, check_smss};
use std::process::ExitCode;

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/samples");
    let mut arguments = std::env::args().skip(1);
    let image = arguments.next().unwrap_or_else(|| format!("{samples}/suspicious.raw"));
    let symbols = arguments.next().unwrap_or_else(|| format!("{samples}/symbols"));

    let image = MemoryImage::open(&image)?;
    let kernel = image.locate_kernel(&SymbolStore::new().directory(symbols))?;
    let system = System::read(&kernel)?;
    for warning in &system.warnings {
        eprintln!("warning: {warning}");
    }
    let findings = check_smss(&system);
    for violation in findings.violations() {
        println!("{violation}");
        for evidence in &violation.evidence {
            if let (Some(at), Some(physical)) = (evidence.r#virtual, evidence.physical) {
                println!("    {}.{} at {at}, physical {physical}", evidence.structure, evidence.field);
            }
        }
    }
    // What is worth knowing and no more has severity info.
    let (grave, info): (Vec<_>, Vec<_>) = findings.violations().partition(|v| v.severity > Some(Severity::Info));
    let (grave, info, unknown) = (grave.len(), info.len(), findings.unknown().count());
    println!("{:?}: violations {grave}, worth knowing {info}, not evaluated {unknown}", findings.verdict);
    Ok(ExitCode::from(match findings.verdict {
        Verdict::Clean => 0,
        Verdict::Violations => 1,
        Verdict::Inconclusive => 2,
    }))
}

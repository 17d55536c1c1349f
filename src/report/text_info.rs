//! The image and its kernel, as text.

use super::text_registry::Known;
use super::{Palette, wrap};
use crate::Shown;
use crate::picture::Picture;
use std::fmt::{self, Display, Write};

/// Columns that the names take.
const NAMES: usize = 13;
/// Runs shown; a document has more.
const RUNS: usize = 12;

/// Writes what the image is and what was found in it.
///
/// # Errors
/// `out` fails.
pub fn info(out: &mut impl Write, picture: &Picture<'_>, palette: &Palette) -> fmt::Result {
    let system = picture.system();
    let mut line = |name: &str, value: &dyn Display| {
        let mut lines = String::new();
        wrap(&mut lines, &value.to_string(), NAMES, NAMES)?;
        write!(out, "{} {}", palette.head.paint(format!("{name:<12}")), lines.trim_start())
    };
    if let Some(image) = &system.image {
        let within: String = image.within.iter().rev().map(|name| format!(" in {name}")).collect();
        line("image", &format!("{}{}, {}", image.format, Shown(&within), size(image.bytes)))?;
        if let Some(maker) = &image.maker {
            line("written by", &Shown(maker))?;
        }
        for (n, part) in image.parts.iter().take(RUNS).enumerate() {
            line(if n == 0 { "files" } else { "" }, &Shown(part))?;
        }
        if image.parts.len() > RUNS {
            line("", &format!("and {} further files", image.parts.len().saturating_sub(RUNS)))?;
        }
        for (start, end) in image.runs.iter().take(RUNS) {
            line("memory", &format!("{start} to {end} ({})", size(end.0.saturating_sub(start.0))))?;
        }
        if image.runs.len() > RUNS {
            line("", &format!("and {} further runs", image.runs.len().saturating_sub(RUNS)))?;
        }
        for hint in &image.hints {
            let agrees = match hint.agrees {
                Some(true) => "right",
                Some(false) => "CONTRADICTED by the machine",
                None => "not used",
            };
            let value = Shown(&hint.value);
            line("hint", &format!("{} says: {} {value} ({agrees})", Shown(&hint.source), Shown(&hint.what)))?;
        }
    }
    if let Some(kernel) = &system.kernel {
        let mut known = |name: &str, value: Option<&dyn Display>| match value {
            Some(value) => line(name, value),
            None => Ok(()),
        };
        known("kernel base", kernel.base.as_ref().map(|v| v as _))?;
        known("page tables", kernel.dtb.as_ref().map(|v| v as _))?;
        known("build", kernel.build.as_ref().map(|v| v as _))?;
        known("lab", kernel.lab.as_deref().map(Shown).as_ref().map(|v| v as _))?;
        known("machine", kernel.arch.as_ref().map(|v| v as _))?;
        if let Some(pdb) = &kernel.pdb {
            line("PDB", &format!("{} {} age {}", Shown(&pdb.name), pdb.guid, pdb.age))?;
        } else if let Some(why) = kernel.absent.get("pdb") {
            line("PDB", &Shown(&why.to_string()))?;
        }
        if let Some(symbols) = &kernel.symbols {
            let file = kernel.symbols_file.as_deref().unwrap_or("");
            let below = if kernel.symbols_notes.is_empty() { "" } else { "(known by: see below)" };
            line("symbols", &format!("{symbols} {}{below}", Shown(file)))?;
        }
        if let Some(found) = &kernel.found_by {
            line("found by", found)?;
        }
        for other in &kernel.others {
            line("also here", &Shown(&other.to_string()))?;
        }
        if let Some(why) = &kernel.undecided {
            line("which ran", &Shown(&format!("cannot be told: {why}")))?;
        }
    }
    let machine = &system.machine;
    line("system root", &Known(&machine.root))?;
    line("product", &Known(&machine.product))?;
    line("processors", &Known(&machine.processors))?;
    line("safe mode", &Known(&machine.safe_mode))?;
    for mode in picture.modes() {
        line("mode", &Shown(&mode.to_string()))?;
    }
    line("started", &Known(&machine.boot))?;
    line("captured", &Known(&machine.captured))?;
    for clock in machine.clocks.value().into_iter().flatten() {
        line("clock", &format!("{} {}", clock.time, clock.source))?;
    }
    let end =
        system.processes.end.map_or_else(String::new, |end| format!(", list {}", format!("{end:?}").to_lowercase()));
    line("processes", &format!("{}{end}", system.processes.items.len()))?;
    line("sessions", &picture.sessions().len())?;
    // Up to some forty lines, which nobody reads before the rest.
    let notes = system.kernel.iter().flat_map(|kernel| &kernel.symbols_notes);
    notes.enumerate().try_for_each(|(at, note)| line(if at == 0 { "known by" } else { "" }, &Shown(note)))
}

/// Bytes in the largest unit that divides well.
fn size(bytes: u64) -> String {
    match bytes {
        0..0x10_0000 => format!("{} KiB", bytes / 1024),
        0x10_0000..0x4000_0000 => format!("{} MiB", bytes >> 20),
        _ => format!("{}.{} GiB", bytes >> 30, (bytes >> 20 & 0x3ff).saturating_mul(10) / 1024),
    }
}

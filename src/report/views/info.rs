//! The image and its kernel.

use super::words::{known, size};
use crate::kernel::memory_block::lacking;
use crate::report::page::{Blocks as _, Facts, Page, Tone};
use crate::{ImageInfo, KernelInfo, PhysicalAddress, Picture};
use std::fmt::Display;

/// Runs shown; a document has more.
const RUNS: usize = 12;

/// What the image is, and what was found in it.
#[must_use]
pub fn info(picture: &Picture<'_>) -> Page {
    let system = picture.system();
    let mut lines = Lines(Facts::new(0, 13));
    if let Some(image) = &system.image {
        let within: String = image.within.iter().rev().map(|name| format!(" in {name}")).collect();
        lines.add("image", format!("{}{within}, {}", image.format, size(image.bytes)));
        lines.known("written by", image.maker.as_ref());
        for (number, part) in image.parts.iter().take(RUNS).enumerate() {
            lines.add(if number == 0 { "files" } else { "" }, part.as_str());
        }
        if image.parts.len() > RUNS {
            lines.add("", format!("and {} further files", image.parts.len().saturating_sub(RUNS)));
        }
        for hint in &image.hints {
            let agrees = match hint.agrees {
                Some(true) => "right",
                Some(false) => "CONTRADICTED by the machine",
                None => "not used",
            };
            lines.add("hint", format!("{} says: {} {} ({agrees})", hint.source, hint.what, hint.value));
        }
        for (start, end) in image.runs.iter().take(RUNS) {
            lines.add("memory", format!("{start} to {end} ({})", size(end.0.saturating_sub(start.0))));
        }
        if image.runs.len() > RUNS {
            lines.add("", format!("and {} further runs", image.runs.len().saturating_sub(RUNS)));
        }
    }
    if let Some(kernel) = &system.kernel {
        memory_of_kernel(&mut lines, kernel, system.image.as_ref());
        of_kernel(&mut lines, kernel);
    }
    let machine = &system.machine;
    lines.add("host", known(&machine.host));
    lines.add("domain", known(&machine.domain));
    lines.add("time zone", known(&machine.time_zone));
    lines.add("system root", known(&machine.root));
    lines.add("product", known(&machine.product));
    lines.add("processors", known(&machine.processors));
    lines.add("safe mode", known(&machine.safe_mode));
    for mode in picture.modes() {
        lines.add("mode", mode.to_string());
    }
    lines.add("started", known(&machine.boot));
    lines.add("captured", known(&machine.captured));
    let motion = picture.motion();
    if motion.is_shown() {
        lines.add("in motion", motion.to_string());
    }
    for clock in machine.clocks.value().into_iter().flatten() {
        lines.add("clock", format!("{} {}", clock.time, clock.source));
    }
    let list = &system.processes;
    let end = list.end.map_or_else(String::new, |end| format!(", list {}", format!("{end:?}").to_lowercase()));
    lines.add("processes", format!("{}{end}", list.items.len()));
    lines.add("sessions", picture.sessions().len().to_string());
    // Up to some forty lines, which nobody reads before the rest.
    let notes = system.kernel.iter().flat_map(|kernel| &kernel.symbols_notes);
    for (at, note) in notes.enumerate() {
        lines.add(if at == 0 { "known by" } else { "" }, note.clone());
    }
    let mut page = Page::new("Image");
    page.facts(lines.0);
    page
}

/// What the kernel has as memory, the holes between, and what of it the image lacks.
fn memory_of_kernel(lines: &mut Lines, kernel: &KernelInfo, image: Option<&ImageInfo>) {
    let line = |(start, end): (PhysicalAddress, PhysicalAddress)| {
        format!("{start} to {end} ({})", size(end.0.saturating_sub(start.0)))
    };
    let mut before = PhysicalAddress(0);
    for (number, range) in kernel.memory_runs.iter().take(RUNS).enumerate() {
        if number > 0 && range.0 > before {
            lines.add("hole", format!("{}: {}", line((before, range.0)), hole(before, range.0)));
        }
        lines.add("kernel's RAM", line(*range));
        before = range.1;
    }
    if kernel.memory_runs.len() > RUNS {
        lines.add("", format!("and {} further ranges", kernel.memory_runs.len().saturating_sub(RUNS)));
    }
    // A list that was cut itself says nothing of what it lacks.
    let held = image.filter(|image| image.lists_all_runs()).map(|image| &image.runs).filter(|runs| !runs.is_empty());
    let lacking = held.map_or_else(Vec::new, |held| lacking(&kernel.memory_runs, held.iter().copied()));
    for range in lacking.iter().take(RUNS) {
        lines.add("not here", line(*range));
    }
    if lacking.len() > RUNS {
        lines.add("", format!("and {} further ranges that are not in the image", lacking.len().saturating_sub(RUNS)));
    }
}

/// What takes addresses from memory: the first MiB of a PC, and what devices have below 4 GiB.
fn hole(start: PhysicalAddress, end: PhysicalAddress) -> &'static str {
    const MIB: u64 = 1 << 20;
    match (start.0, end.0) {
        (start, end) if start >= 0x8_0000 && end <= MIB => "video memory and firmware",
        (start, end) if end >= 4096 * MIB && start < 4096 * MIB => "devices below 4 GiB (the PCI hole)",
        _ => "kept by firmware or devices",
    }
}

fn of_kernel(lines: &mut Lines, kernel: &KernelInfo) {
    lines.known("kernel base", kernel.base);
    lines.known("page tables", kernel.dtb);
    lines.known("build", kernel.build);
    lines.known("lab", kernel.lab.as_ref());
    lines.known("machine", kernel.arch.as_ref());
    let pdb = kernel.pdb.as_ref().map(|pdb| format!("{} {} age {}", pdb.name, pdb.guid, pdb.age));
    lines.known("PDB", pdb.or_else(|| kernel.absent.get("pdb").map(ToString::to_string)));
    if let Some(symbols) = &kernel.symbols {
        let file = kernel.symbols_file.as_deref().unwrap_or("");
        let below = if kernel.symbols_notes.is_empty() { "" } else { "(known by: see below)" };
        lines.add("symbols", format!("{symbols} {file}{below}"));
    }
    lines.known("found by", kernel.found_by.as_ref());
    lines.known("page files", kernel.absent.get("page_files"));
    for file in &kernel.page_files {
        let path = file.path.as_deref().unwrap_or("its path is not known");
        let what = match (file.store, &file.file) {
            (true, _) => "the compressed store, which is in memory".to_owned(),
            (false, None) => format!("{path}, which was not given (--pagefile)"),
            (false, Some(given)) => format!("{path}: {given}"),
        };
        lines.add("page file", format!("{}: {what}", file.number));
    }
    for other in &kernel.others {
        lines.add("also here", other.to_string());
    }
    if let Some(why) = &kernel.undecided {
        lines.add("which ran", format!("cannot be told: {why}"));
    }
}

struct Lines(Facts);

impl Lines {
    fn add(&mut self, name: &str, value: impl Into<crate::report::page::Words>) {
        self.0.add(Tone::Head.say(name), value);
    }

    fn known(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.add(name, value.to_string());
        }
    }
}

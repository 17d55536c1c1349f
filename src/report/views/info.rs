//! The image and its kernel.

use super::words::{known, size};
use crate::report::page::{Blocks as _, Facts, Page, Tone};
use crate::{KernelInfo, Picture};
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
    if !motion.signs.is_empty() {
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

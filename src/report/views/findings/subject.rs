//! Whose image it is: file, computer, Windows, times, and how the report was made.

use crate::report::Report;
use crate::report::page::{Blocks as _, Facts, Page};
use crate::report::views::words::{short, size};
use crate::{Picture, Reading, System};

pub(super) fn add(page: &mut Page, report: &Report, picture: &Picture<'_>) {
    let system = &report.system;
    let mut facts = Facts::new(0, 10);
    if let Some(image) = image(report) {
        facts.add("image", image);
    }
    if let Some(sha256) = &report.run.sha256 {
        facts.add("sha256", sha256.as_str());
    }
    if let Some(host) = host(system) {
        facts.add("computer", host);
    }
    if let Some(windows) = windows(system) {
        facts.add("Windows", windows);
    }
    if let Some(times) = times(system) {
        facts.add("times", times);
    }
    let motion = picture.motion();
    if motion.is_shown() {
        facts.add("in motion", motion.to_string());
    }
    if let Some(symbols) = system.kernel.as_ref().and_then(|kernel| kernel.symbols.as_ref()) {
        let file = system.kernel.as_ref().and_then(|kernel| kernel.symbols_file.as_ref());
        let file = file.map_or_else(String::new, |file| format!(" ({file})"));
        facts.add("symbols", format!("{symbols}{file}"));
    }
    for mode in picture.modes() {
        facts.add("state", mode.to_string());
    }
    let asked = if report.run.arguments.is_empty() {
        String::new()
    } else {
        let words: Vec<&str> = report.run.arguments.iter().map(String::as_str).collect();
        format!(": {}", crate::report::command(&words))
    };
    if let Some(maker) = &report.saved_by {
        facts.add("read from", format!("what {maker} saved"));
    }
    // Whoever made the list: what is said of it here, this version says.
    facts.add("made by", format!("{}{asked}", crate::report::generator()));
    page.facts(facts);
}

/// `mem.raw (DESKTOP-7Q2R4TN)`: what tells one list of findings from another.
pub(super) fn in_a_line(report: &Report) -> Option<String> {
    let host = report.system.machine.host.value();
    match (&report.run.image, host) {
        (Some(image), Some(host)) => Some(format!("{image} ({host})")),
        (image, host) => image.as_ref().or(host).cloned(),
    }
}

fn image(report: &Report) -> Option<String> {
    let image = report.system.image.as_ref();
    let what = image.map(|image| format!("{}, {}", image.format, size(image.bytes)));
    let path = report.run.image.as_ref().or_else(|| image?.path.as_ref());
    match (path, what) {
        (Some(path), Some(what)) => Some(format!("{path}, {what}")),
        (Some(path), None) => Some(path.clone()),
        (None, what) => what,
    }
}

fn host(system: &System) -> Option<String> {
    let machine = &system.machine;
    let host = machine.host.value()?;
    let domain = match &machine.domain {
        Reading::Value(domain) => format!(", domain {domain}"),
        Reading::Nothing => ", in no domain".to_owned(),
        Reading::Absent(_) => String::new(),
    };
    let zone = machine.time_zone.value().map_or_else(String::new, |zone| format!(", time zone {zone}"));
    let bias = machine.time_bias.value().map_or_else(String::new, |bias| format!(" (UTC{})", offset(*bias)));
    Some(format!("{host}{domain}{zone}{bias}"))
}

/// `+01:00` of -60 minutes.
fn offset(bias: i32) -> String {
    let minutes = bias.unsigned_abs();
    format!("{}{:02}:{:02}", if bias > 0 { '-' } else { '+' }, minutes / 60, minutes % 60)
}

fn windows(system: &System) -> Option<String> {
    let kernel = system.kernel.as_ref()?;
    let build = kernel.build.map(|build| format!("build {build}"));
    let lab = kernel.lab.as_ref().map(|lab| format!("({lab})"));
    let product = system.machine.product.value().cloned();
    let words: Vec<String> = [build, kernel.arch.clone(), product, lab].into_iter().flatten().collect();
    (!words.is_empty()).then(|| words.join(" "))
}

fn times(system: &System) -> Option<String> {
    let machine = &system.machine;
    let said = |word: &str, time: &Reading<crate::Timestamp>| time.value().map(|at| format!("{word} {}", short(*at)));
    let words: Vec<String> =
        [said("started", &machine.boot), said("captured", &machine.captured)].into_iter().flatten().collect();
    (!words.is_empty()).then(|| format!("{} (UTC)", words.join(", ")))
}

#[cfg(test)]
mod tests {
    #[test]
    fn bias_is_turned_round() {
        // ActiveTimeBias by Microsoft: UTC = local time + bias. Berlin in winter has -60, Newfoundland 210.
        assert_eq!(super::offset(-60), "+01:00");
        assert_eq!(super::offset(210), "-03:30");
        assert_eq!(super::offset(0), "+00:00");
    }
}

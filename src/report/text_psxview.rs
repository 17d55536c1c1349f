//! The cross view for people: a row for each process, a column for each source.

use super::{Palette, Style, wrap};
use crate::picture::{Explanation, Picture, Sighting};
use crate::process::{AboutSource, SOURCES, Source};
use crate::{ListEnd, Shown, System};
use std::fmt::{self, Write};

/// Each process with the sources that hold it and what explains that.
///
/// # Errors
/// Those of writing.
pub fn cross_view(out: &mut impl Write, picture: &Picture<'_>, palette: &Palette) -> fmt::Result {
    let system = picture.system();
    let columns = looked_at(system);
    let letters: String = columns.iter().map(|column| column.letter).collect();
    let head = format!("{:>6} {:<14} {:<19} {letters}  {}", "PID", "NAME", "EXITED (UTC)", "EXPLANATION");
    writeln!(out, "{}", palette.head.paint(head))?;
    for sighting in picture.cross_view() {
        row(out, sighting, &columns, palette)?;
    }
    writeln!(out)?;
    legend(out, picture, palette)
}

/// The sources that were looked at; of the others nothing is known.
fn looked_at(system: &System) -> Vec<&'static AboutSource> {
    let views = &system.processes.views;
    let looked = |source| source == Source::ActiveList || views.iter().any(|view| view.source == source);
    SOURCES.iter().filter(|about| looked(about.source)).collect()
}

fn row(out: &mut impl Write, sighting: &Sighting, columns: &[&AboutSource], palette: &Palette) -> fmt::Result {
    let marks: String = columns.iter().map(|column| mark(sighting, column.source)).collect();
    let line = format!(
        "{:>6} {:<14} {:<19} {marks}  {}",
        sighting.pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string()),
        Shown(sighting.name.as_deref().unwrap_or("?")),
        sighting.exited.map_or_else(|| "-".to_owned(), super::text::short),
        sighting.explanation.words(),
    );
    writeln!(out, "{}", style(sighting.explanation, palette).paint(line))?;
    // What is as usual needs no reasons.
    if sighting.hidden || matches!(sighting.explanation, Explanation::PartlyListed | Explanation::Torn) {
        let object = sighting.eprocess.map_or_else(String::new, |at| format!(" (_EPROCESS {at})"));
        wrap(out, &format!("{}{object}", Shown(&sighting.why)), 7, 7)?;
    }
    Ok(())
}

fn mark(sighting: &Sighting, source: Source) -> char {
    match (sighting.sources.contains(&source), sighting.missing.contains(&source)) {
        (true, _) => '+',
        (false, true) => '!',
        (false, false) => '.',
    }
}

const fn style(explanation: Explanation, palette: &Palette) -> Style {
    match explanation {
        Explanation::Unlinked | Explanation::HalfLinked => palette.bad,
        Explanation::PartlyListed | Explanation::Torn | Explanation::BeingCreated | Explanation::Undetermined => {
            palette.odd
        }
        Explanation::ExitedReferenced | Explanation::Exited | Explanation::Freed | Explanation::Leftover => {
            palette.faint
        }
        Explanation::Listed => Style { on: "", off: "" },
    }
}

/// What the letters are, how many processes each source holds, and how the walk over it ended.
fn legend(out: &mut impl Write, picture: &Picture<'_>, palette: &Palette) -> fmt::Result {
    writeln!(out, "+ held   ! should be held and is not   . need not be held")?;
    let list = &picture.system().processes;
    for AboutSource { source, letter, label, .. } in looked_at(picture.system()) {
        let held = picture.cross_view().iter().filter(|seen| seen.sources.contains(source)).count();
        let view = list.views.iter().find(|view| view.source == *source);
        let state = match view {
            None => format!("{held}{}", not_whole(list.end)),
            Some(view) => match view.end.known() {
                Ok(end) => format!("{held}{}", not_whole(end.copied())),
                Err(absent) => format!("{}", Shown(&absent.to_string())),
            },
        };
        wrap(out, &format!("{letter}  {label}: {state}"), 0, 3)?;
    }
    let scanned = list.views.iter().any(|view| view.source == Source::PoolScan);
    if !scanned {
        let more = "Memory was not scanned: --scan adds what is in no list any more, and the handles of all processes.";
        wrap(out, more, 0, 0)?;
    }
    let hidden = picture.cross_view().iter().filter(|sighting| sighting.hidden).count();
    let style = if hidden > 0 { palette.bad } else { palette.good };
    let words = if hidden == 1 { "1 process is hidden".to_owned() } else { format!("{hidden} processes are hidden") };
    writeln!(out, "{}", style.paint(words))
}

const fn not_whole(end: Option<ListEnd>) -> &'static str {
    match end {
        Some(ListEnd::Complete) => "",
        Some(ListEnd::Cycle) => ", part of it: runs in a circle",
        Some(ListEnd::Broken) => ", part of it: broken off",
        Some(ListEnd::Limit) => ", part of it: stopped at the cap",
        None => ", perhaps part of it",
    }
}

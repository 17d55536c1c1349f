//! The cross view: a row for each process, a column for each source.

use super::columns::list_end;
use super::words::count;
use crate::picture::{Explanation, Picture, Sighting};
use crate::process::{AboutSource, SOURCES, Source};
use crate::report::page::{Blocks as _, Cell, Column, Facts, Page, Row, Table, Tone};
use crate::{Absent, AbsentKind, ListEnd, System};

/// Each process with the sources that hold it and what explains that.
#[must_use]
pub fn cross_view(picture: &Picture<'_>) -> Page {
    let system = picture.system();
    let sources = looked_at(system);
    let mut columns = vec![
        Column::new("PID", "pid", 6).right(),
        Column::new("NAME", "name", 14),
        Column::new("EXITED (UTC)", "exited", 19),
    ];
    for (number, about) in sources.iter().enumerate() {
        let column = Column::new(&about.letter.to_string(), about.name, 1);
        columns.push(if number > 0 { column.joined() } else { column });
    }
    columns.extend([Column::new("EXPLANATION", "explanation", 12), Column::data("list_end")]);
    let end = list_end(system);
    let rows = picture.cross_view().iter().map(|sighting| row(sighting, &sources, &end)).collect();
    let mut page = Page::new("Cross view");
    page.table(Table { name: "cross view", columns, rows, ..Table::default() });
    page.gap();
    legend(&mut page, picture, &sources);
    page
}

/// The sources that were looked at; of the others nothing is known.
fn looked_at(system: &System) -> Vec<&'static AboutSource> {
    let views = &system.processes.views;
    let looked = |source| source == Source::ActiveList || views.iter().any(|view| view.source == source);
    SOURCES.iter().filter(|about| looked(about.source)).collect()
}

fn row(sighting: &Sighting, sources: &[&AboutSource], list_end: &Cell) -> Row {
    let mut cells = vec![
        sighting.pid.map_or_else(|| Cell::Unknown("not read".to_owned()), |pid| Cell::of(pid.to_string())),
        sighting.name.as_ref().map_or_else(|| Cell::Unknown("not read".to_owned()), Cell::of),
        sighting.exited.map_or(Cell::Nothing, Cell::time),
    ];
    cells.extend(sources.iter().map(|about| Cell::of(mark(sighting, about.source))));
    cells.extend([Cell::of(sighting.explanation.words()), list_end.clone()]);
    let row = Row::new(cells).tone(tone(sighting.explanation));
    // What is as usual needs no reasons.
    if sighting.hidden
        || matches!(sighting.explanation, Explanation::PartlyListed | Explanation::Torn | Explanation::InMotion)
    {
        let object = sighting.eprocess.map_or_else(String::new, |at| format!(" (_EPROCESS {at})"));
        return row.below(7, format!("{}{object}", sighting.why));
    }
    row
}

fn mark(sighting: &Sighting, source: Source) -> &'static str {
    match (sighting.sources.contains(&source), sighting.missing.contains(&source)) {
        (true, _) => "+",
        (false, true) => "!",
        (false, false) => ".",
    }
}

const fn tone(explanation: Explanation) -> Tone {
    match explanation {
        Explanation::Unlinked | Explanation::HalfLinked => Tone::Bad,
        Explanation::PartlyListed
        | Explanation::Torn
        | Explanation::InMotion
        | Explanation::BeingCreated
        | Explanation::Undetermined => Tone::Odd,
        Explanation::ExitedReferenced | Explanation::Exited | Explanation::Freed | Explanation::Leftover => Tone::Faint,
        Explanation::Listed => Tone::Plain,
    }
}

/// What the letters are, how many processes each source holds, and how the walk over it ended.
fn legend(page: &mut Page, picture: &Picture<'_>, sources: &[&AboutSource]) {
    page.paragraph((0, 0), "+ held   ! should be held and is not   . need not be held");
    let list = &picture.system().processes;
    let mut facts = Facts::new(0, 3);
    for AboutSource { source, letter, label, .. } in sources {
        let held = picture.cross_view().iter().filter(|seen| seen.sources.contains(source)).count();
        let view = list.views.iter().find(|view| view.source == *source);
        let state = match view {
            None => format!("{held}{}", not_whole(list.end)),
            Some(view) => match view.end.known() {
                Ok(end) => format!("{held}{}", not_whole(end.copied())),
                // A list that Windows does not keep holds nobody, and that is not odd.
                Err(Absent { kind: AbsentKind::NotApplicable, detail }) => format!("0 ({detail})"),
                Err(absent) => format!("not available ({absent})"),
            },
        };
        facts.add(letter.to_string(), format!("{label}: {state}"));
    }
    page.facts(facts);
    if !list.views.iter().any(|view| view.source.by_scan()) {
        let more = "Memory was not scanned: --scan adds what is in no list any more, and the handles of all processes.";
        page.paragraph((0, 0), more);
    }
    if list.is_carved() {
        return;
    }
    let hidden = picture.cross_view().iter().filter(|sighting| sighting.hidden).count();
    let tone = if hidden > 0 { Tone::Bad } else { Tone::Good };
    let words = count(hidden, "process is hidden", "processes are hidden");
    page.paragraph((0, 0), tone.say(words));
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

//! The processes, a line each.

use super::columns::ListOptions;
use crate::Picture;
use crate::report::page::{Blocks as _, Cell, Page, Table, Tone};
use crate::report::users::PROFILE_MARK;

/// The processes of a system as a table, in the kernel's order unless it is to be sorted; then whether the list is whole.
///
/// Columns that are not there are left out: see [`ListOptions::verify`].
#[must_use]
pub fn processes(picture: &Picture<'_>, options: &ListOptions) -> Page {
    let system = picture.system();
    let mut page = Page::new("Processes");
    let table = options.table(system);
    let marked = has_marked(&table);
    page.table(table);
    notes(&mut page, system, marked);
    page
}

/// Whether a cell of the user column bears the mark of a profile.
pub(super) fn has_marked(table: &Table) -> bool {
    let Some(at) = table.columns.iter().position(|column| column.name == "user") else { return false };
    let marked = |cell: &Cell| matches!(cell, Cell::Words(words) if words.plain().ends_with(PROFILE_MARK));
    table.rows.iter().any(|row| row.cells.get(at).is_some_and(marked))
}

/// What a reader of the list must know: the mark, and that it is a part.
pub(super) fn notes(page: &mut Page, system: &crate::System, marked: bool) {
    if marked {
        page.paragraph(
            (0, 2),
            Tone::Faint.say(format!("{PROFILE_MARK}  name of the user's profile folder (ProfileList)")),
        );
    }
    if let Some(part) = crate::report::part_of_list(system) {
        page.paragraph((0, 2), Tone::Odd.say(part));
    }
}

//! The processes, a line each.

use super::columns::ListOptions;
use crate::Picture;
use crate::report::page::{Blocks as _, Page, Table, Tone, Words};
use crate::report::users::PROFILE_MARK;

/// The processes of a system as a table, in the kernel's order unless it is to be sorted; then whether the list is whole.
///
/// Columns that are not there are left out: see [`ListOptions::verify`].
#[must_use]
pub fn processes(picture: &Picture<'_>, options: &ListOptions) -> Page {
    let system = picture.system();
    let mut page = Page::new("Processes");
    let table = with_marks(options.table(system));
    let marked = has_marked(&table);
    page.table(table);
    notes(&mut page, system, marked);
    page
}

/// Whether a cell of the user column bears the mark of a profile.
pub(super) fn has_marked(table: &Table) -> bool {
    users(table).any(|user| user.ends_with(PROFILE_MARK))
}

/// With a mark for each machine or domain of which users are told by their SIDs: whole, they would leave a narrow page no room for
/// anything else, and the end of one is nobody's.
pub(super) fn with_marks(mut table: Table) -> Table {
    /// Of accounts that a machine or a domain made.
    const MADE: &str = "S-1-5-21-";
    let mut domains: Vec<String> = Vec::new();
    for user in users(&table) {
        let domain = user.strip_prefix(MADE).and_then(|_| user.rsplit_once('-')).map(|(domain, _)| domain.to_owned());
        domains.extend(domain.filter(|domain| !domains.contains(domain)));
    }
    table.marks = domains.into_iter().zip(1usize..).map(|(domain, number)| (domain, format!("[{number}]"))).collect();
    table
}

/// What stands in the user column.
fn users(table: &Table) -> impl Iterator<Item = String> + '_ {
    let at = table.columns.iter().position(|column| column.name == "user");
    table.rows.iter().filter_map(move |row| row.cells.get(at?)?.words().map(Words::plain))
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

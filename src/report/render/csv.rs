//! A page's list as comma-separated values (RFC 4180).

use crate::Shown;
use crate::report::page::{Cell, Page, Row};

impl Page {
    /// The page's first table: a line of column names, and a line for each row, all of it. `lead` gives columns before the
    /// others that are the same in every row, by name and value. Empty: there is none; `?`: not known.
    ///
    /// Control characters are escaped as in text. A cell that a spreadsheet would take for a formula begins with `'`.
    #[must_use]
    pub fn csv(&self, lead: &[(&str, &str)], head: bool) -> String {
        let Some(table) = self.list() else { return String::new() };
        let deep = table.rows.iter().any(|row| row.depth > 0);
        let mut out = String::new();
        if head {
            let depth = deep.then_some("depth");
            let names = lead.iter().map(|(name, _)| *name).chain(depth).chain(table.columns.iter().map(|c| c.name));
            line(&mut out, names.map(str::to_owned));
        }
        for row in table.rows.iter().filter(|row| !row.spanned) {
            let depth = deep.then(|| row.depth.to_string());
            let cells = (0..table.columns.len()).map(|at| text(row, at));
            line(&mut out, lead.iter().map(|(_, value)| (*value).to_owned()).chain(depth).chain(cells));
        }
        out
    }
}

fn text(row: &Row, at: usize) -> String {
    match row.cells.get(at) {
        Some(Cell::Words(words)) => words.plain(),
        Some(Cell::Unknown(_)) => "?".to_owned(),
        Some(Cell::Nothing) | None => String::new(),
    }
}

fn line(out: &mut String, cells: impl Iterator<Item = String>) {
    for (number, cell) in cells.enumerate() {
        if number > 0 {
            out.push(',');
        }
        let mut cell = Shown(&cell).to_string();
        if cell.starts_with(['=', '+', '-', '@']) {
            cell.insert(0, '\'');
        }
        if cell.contains([',', '"', '\'']) || cell.starts_with(' ') || cell.ends_with(' ') {
            out.push('"');
            out.push_str(&cell.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(&cell);
        }
    }
    out.push_str("\r\n");
}

//! A page's list as comma-separated values (RFC 4180).

use crate::Shown;
use crate::report::page::{Cell, Page, Row, Table};

impl Page {
    /// The page's first table: with `head` a line of column names, and a line for each row, all of it. `lead` gives columns before the
    /// others that are the same in every row, by name and value, and `trail` such columns behind them. Empty: there is none; `?`: not
    /// known.
    ///
    /// Control characters are escaped as in text. A cell that a spreadsheet would take for a formula begins with `'`.
    #[must_use]
    pub fn csv(&self, lead: &[(&str, &str)], trail: &[(&str, &str)], head: bool) -> String {
        let mut out = if head { self.csv_head(lead, trail) } else { String::new() };
        let around =
            |columns: &[(&str, &str)]| columns.iter().map(|(_, value)| (*value).to_owned()).collect::<Vec<_>>();
        for row in self.list().iter().flat_map(|table| table.rows.iter().map(|row| (*table, row))) {
            let (table, row): (&Table, &Row) = row;
            if !row.spanned {
                let cells = (0..table.columns.len()).map(|at| row.cells.get(at).map_or_else(String::new, text));
                line(&mut out, around(lead).into_iter().chain(cells).chain(around(trail)));
            }
        }
        out
    }

    /// The line of column names above [`csv`](Self::csv).
    #[must_use]
    pub fn csv_head(&self, lead: &[(&str, &str)], trail: &[(&str, &str)]) -> String {
        let Some(table) = self.list() else { return String::new() };
        let mut out = String::new();
        let names = |columns: &[(&str, &str)]| columns.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>();
        let columns = table.columns.iter().map(|column| column.name.to_owned());
        line(&mut out, names(lead).into_iter().chain(columns).chain(names(trail)));
        out
    }
}

/// One line of these cells, in the form of [`Page::csv`].
#[must_use]
pub fn csv_line(cells: &[&str]) -> String {
    let mut out = String::new();
    line(&mut out, cells.iter().map(|cell| (*cell).to_owned()));
    out
}

fn text(cell: &Cell) -> String {
    match cell {
        Cell::Words(words) => words.plain(),
        Cell::Told(_, data) => text(data),
        Cell::Unknown(_) => "?".to_owned(),
        Cell::Nothing => String::new(),
    }
}

/// Whether a spreadsheet would work it out. One sign alone, as in a matrix, and a number are what they are.
fn is_formula(cell: &str) -> bool {
    cell.starts_with(['=', '+', '-', '@']) && cell.len() > 1 && cell.parse::<f64>().is_err()
}

fn line(out: &mut String, cells: impl Iterator<Item = String>) {
    for (number, cell) in cells.enumerate() {
        if number > 0 {
            out.push(',');
        }
        let mut cell = Shown(&cell).to_string();
        if is_formula(&cell) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::page::Column;

    /// RFC 4180 2.6 and 2.7, and what spreadsheets take for a formula.
    #[test]
    fn cells_are_what_they_are() {
        let cells = ["+", "!", "-", "-5", "=1+1", "@x", "-cmd|x", "a,b", "say \"so\"", " listed"];
        let columns = cells.iter().map(|_| Column::data("c")).collect();
        let rows = vec![Row::new(cells.map(Cell::of).to_vec())];
        let mut page = Page::default();
        page.blocks.push(crate::report::page::Block::Table(Table { columns, rows, ..Table::default() }));
        let expected = "+,!,-,-5,\"'=1+1\",\"'@x\",\"'-cmd|x\",\"a,b\",\"say \"\"so\"\"\",\" listed\"\r\n";
        assert_eq!(page.csv(&[], &[], false), expected);
    }

    #[test]
    fn those_who_compute_get_the_whole() {
        let at = crate::Timestamp(133_000_000_000_000_001);
        let row = Row::new(vec![Cell::time(at), Cell::Unknown("gone".into()), Cell::Nothing]);
        let columns = ["a", "b", "c"].map(|name| Column::new(name, name, 1)).to_vec();
        let mut page = Page::default();
        page.blocks.push(crate::report::page::Block::Table(Table { columns, rows: vec![row], ..Table::default() }));
        assert_eq!(page.csv_head(&[("image", "x")], &[("failed", "")]), "image,a,b,c,failed\r\n");
        assert_eq!(page.csv(&[("image", "x")], &[("failed", "")], false), format!("x,{at},?,,\r\n"));
        assert!(page.text(&crate::report::TextStyle::default()).ends_with("? -\n"));
    }
}

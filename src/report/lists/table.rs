//! Rows of JSON, JSON lines and CSV, as names and values.

use serde_json::Value;
use std::collections::BTreeMap;

/// One row: values by column.
pub(super) type Row = BTreeMap<String, Value>;

/// The member that holds the rows below a row, as Volatility prints trees.
const CHILDREN: &str = "__children";
/// Rows below rows: deeper ones are not read. The JSON reader itself stops at 128.
const DEEPEST: usize = 64;

/// The rows of a file, those below other rows behind them.
///
/// # Errors
/// It is no text, or no JSON although it begins so.
pub(super) fn rows(bytes: &[u8]) -> Result<Vec<Row>, String> {
    if is_binary(bytes) {
        return Err("it is no text. A memory image is named without --report: ntmem check smss IMAGE".to_owned());
    }
    let text = decoded(bytes);
    let text = text.trim();
    let mut rows = Vec::new();
    if text.starts_with('[') || text.starts_with('{') {
        let values = match serde_json::from_str(text) {
            Ok(Value::Array(values)) => values,
            Ok(value) => vec![value],
            Err(error) => lines(text).ok_or_else(|| format!("it is no JSON: {error}"))?,
        };
        values.into_iter().for_each(|value| add(&mut rows, value, 0));
    } else {
        let mut records = records(text).into_iter();
        let names = records.next().unwrap_or_default();
        for record in records {
            let values = record.into_iter().map(Value::String);
            rows.push(names.iter().map(|name| name.trim().to_owned()).zip(values).collect());
        }
    }
    Ok(rows)
}

/// So much of a file tells whether it is text.
const BEGINNING: usize = 4096;

/// Whether it is no text: no list has a zero byte in it, and every image of memory has one at its beginning. Text in UTF-16 begins
/// with its mark.
fn is_binary(bytes: &[u8]) -> bool {
    !bytes.starts_with(&[0xff, 0xfe]) && bytes.iter().take(BEGINNING).any(|byte| *byte == 0)
}

/// UTF-8, or UTF-16 as PowerShell writes it; without the mark at its beginning.
fn decoded(bytes: &[u8]) -> String {
    match bytes {
        [0xff, 0xfe, rest @ ..] => {
            let (pairs, _) = rest.as_chunks::<2>();
            let units: Vec<u16> = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
            String::from_utf16_lossy(&units)
        }
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        all => String::from_utf8_lossy(all).into_owned(),
    }
}

/// A JSON value on each line.
fn lines(text: &str) -> Option<Vec<Value>> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| serde_json::from_str(line).ok()).collect()
}

fn add(rows: &mut Vec<Row>, value: Value, depth: usize) {
    let Value::Object(mut members) = value else { return };
    let below = members.remove(CHILDREN);
    rows.push(members.into_iter().collect());
    if let (Some(Value::Array(below)), true) = (below, depth < DEEPEST) {
        below.into_iter().for_each(|value| add(rows, value, depth.saturating_add(1)));
    }
}

/// Comma-separated values (RFC 4180).
fn records(text: &str) -> Vec<Vec<String>> {
    let mut records = Vec::new();
    let mut record = Vec::new();
    let mut cell = String::new();
    let mut quoted = false;
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        match c {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut cell)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                record.push(std::mem::take(&mut cell));
                records.push(std::mem::take(&mut record));
            }
            other => cell.push(other),
        }
    }
    if !cell.is_empty() || !record.is_empty() {
        record.push(cell);
        records.push(record);
    }
    records
}

/// The text of a column; empty text is none.
pub(super) fn text(row: &Row, name: &str) -> Option<String> {
    match row.get(name)? {
        Value::String(text) if !matches!(text.trim(), "" | "-" | "N/A") => Some(text.clone()),
        _ => None,
    }
}

/// The number of a column: decimal, or hexadecimal with `0x`.
pub(super) fn number(row: &Row, name: &str) -> Option<u64> {
    match row.get(name)? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => match text.trim().strip_prefix("0x") {
            Some(digits) => crate::parse_hex(digits),
            None => text.trim().parse().ok(),
        },
        _ => None,
    }
}

/// What is true of a column: `true`, `True`, `1` and so on.
pub(super) fn truth(row: &Row, name: &str) -> Option<bool> {
    match row.get(name)? {
        Value::Bool(is) => Some(*is),
        Value::Number(number) => number.as_u64().map(|number| number != 0),
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// The time of a column, in UTC: RFC 3339, or date and time with a space between them and `UTC` or nothing behind.
pub(super) fn time(row: &Row, name: &str) -> Option<crate::Timestamp> {
    let text = text(row, name)?;
    let parse = |text: &str| serde_json::from_value::<crate::Timestamp>(Value::String(text.to_owned())).ok();
    parse(&text).or_else(|| {
        let plain = text.trim().trim_end_matches("UTC").trim_end();
        parse(&format!("{}Z", plain.replacen(' ', "T", 1)))
    })
}

/// The user of a token, where the list has a name in this column and no SID.
pub(super) fn named_user(row: &Row, name: &str) -> crate::Reading<String> {
    let named = text(row, name).map(|user| {
        let why = format!("the list has the name {user:?} alone, and any account can be given a name: a SID is wanted");
        crate::Reading::Absent(crate::Absent::not_collected(why))
    });
    named.unwrap_or_default()
}

/// A reading of a column: what is not there was not read.
pub(super) fn reading<T>(value: Option<T>) -> crate::Reading<T> {
    value.map_or_else(crate::Reading::default, crate::Reading::Value)
}

//! Keys and hives of the registry, as text.

use super::{Palette, wrap};
use crate::registry::{HiveList, KeyRecord, RegistryData};
use crate::{Absent, Reading, Shown};
use std::fmt::{self, Display, Write};

/// Writes a key: when it was written, its values, the names of its subkeys, and what of it could not be read.
///
/// # Errors
/// `out` fails.
pub fn key(out: &mut impl Write, key: &KeyRecord, palette: &Palette) -> fmt::Result {
    writeln!(out, "{}", palette.head.paint(Shown(&key.path)))?;
    writeln!(out, "  written  {}", Known(&key.last_written))?;
    if let Some(class) = key.class.value() {
        writeln!(out, "  class    {}", Shown(class))?;
    }
    if let Some(link) = key.link.value() {
        writeln!(out, "  link to  {}", Shown(link))?;
    }
    if key.volatile {
        writeln!(out, "  volatile: in memory only")?;
    }
    for (name, value) in key.values.value().into_iter().flatten() {
        let shown = if name.is_empty() { "(default)".to_owned() } else { Shown(name).to_string() };
        let volatile = if value.volatile { " volatile" } else { "" };
        writeln!(out, "  {} {}{volatile}", palette.good.paint(shown), palette.faint.paint(&value.kind))?;
        match value.data.known() {
            Ok(Some(RegistryData::Texts(texts))) => {
                for text in texts {
                    wrap(out, &Shown(text).to_string(), 6, 8)?;
                }
            }
            Ok(Some(data)) => wrap(out, &Shown(&data.to_string()).to_string(), 6, 8)?,
            Ok(None) => {}
            Err(absent) => unreadable(out, absent, palette)?,
        }
        for note in &value.notes {
            wrap(out, &format!("note: {}", Shown(note)), 6, 8)?;
        }
    }
    for (name, subkey) in key.keys.value().into_iter().flatten() {
        let volatile = if subkey.volatile { " (volatile)" } else { "" };
        writeln!(out, "  {}{volatile}", palette.head.paint(format!("\\{}", Shown(name))))?;
    }
    for (what, missing) in [("values", &key.values_missing), ("subkeys", &key.keys_missing)] {
        if !missing.is_empty() {
            writeln!(out, "  {}", palette.odd.paint(format!("some {what} may be missing:")))?;
            missing.iter().try_for_each(|absent| unreadable(out, absent, palette))?;
        }
    }
    key.notes.iter().try_for_each(|note| wrap(out, &format!("note: {}", Shown(note)), 2, 4))
}

/// Writes the hives, two lines each.
///
/// # Errors
/// `out` fails.
pub fn hives(out: &mut impl Write, list: &HiveList, palette: &Palette) -> fmt::Result {
    for hive in &list.items {
        let root = hive
            .root
            .value()
            .map_or_else(|| "(mounted nowhere that is known)".to_owned(), |root| Shown(root).to_string());
        writeln!(out, "{}", palette.head.paint(root))?;
        writeln!(out, "  file     {}", Known(&hive.file))?;
        writeln!(out, "  at       {}", Known(&hive.cmhive))?;
        writeln!(out, "  bytes    {} stable, {} volatile", Known(&hive.stable_bytes), Known(&hive.volatile_bytes))?;
        writeln!(out, "  written  {}", Known(&hive.last_written))?;
        hive.notes.iter().try_for_each(|note| wrap(out, &format!("note: {}", Shown(note)), 2, 4))?;
    }
    Ok(())
}

fn unreadable(out: &mut impl Write, absent: &Absent, palette: &Palette) -> fmt::Result {
    let mut text = String::new();
    wrap(&mut text, &Shown(&absent.to_string()).to_string(), 6, 8)?;
    write!(out, "{}", palette.odd.paint(text))
}

/// A reading for people: the value, `none`, or why it is unknown.
pub(super) struct Known<'a, T>(pub(super) &'a Reading<T>);

impl<T: Display> Display for Known<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Reading::Value(value) => write!(f, "{}", Shown(&value.to_string())),
            Reading::Nothing => f.write_str("none"),
            Reading::Absent(absent) => write!(f, "unknown ({})", Shown(&absent.to_string())),
        }
    }
}

//! The symbols that images need, as text.

use super::{Palette, wrap};
use crate::Shown;
use crate::symbols::Manifest;
use std::fmt::{self, Write};

/// Writes what to fetch and where to keep it, and what is here already.
///
/// # Errors
/// Those of `out`.
pub fn symbols(out: &mut impl Write, manifest: &Manifest, palette: &Palette) -> fmt::Result {
    for entry in &manifest.needed {
        let head = format!("{} {} age {}", Shown(&entry.pdb.name), entry.pdb.guid, entry.pdb.age);
        writeln!(out, "{}", palette.head.paint(head))?;
        match (&entry.symbols, &entry.file) {
            (Some(symbols), Some(file)) => writeln!(out, "  found   {} ({symbols})", Shown(file))?,
            (Some(symbols), None) => writeln!(out, "  found   {symbols}")?,
            (None, _) => writeln!(out, "  {}", palette.odd.paint("missing"))?,
        }
        if let Some(instead) = &entry.instead {
            writeln!(out, "  instead {} layouts", Shown(instead))?;
        }
        writeln!(out, "  path    {}", Shown(&entry.server_path))?;
        writeln!(out, "  url     {}", Shown(&entry.url))?;
        for image in &entry.images {
            writeln!(out, "  image   {}", Shown(image))?;
        }
        for place in &entry.looked_at {
            let mut lines = String::new();
            wrap(&mut lines, &Shown(place).to_string(), 10, 10)?;
            write!(out, "  tried   {}", lines.trim_start())?;
        }
        writeln!(out)?;
    }
    for failed in &manifest.failed {
        writeln!(out, "not analysed: {}", Shown(&failed.image))?;
        for line in failed.reason.lines() {
            wrap(out, &Shown(line).to_string(), 2, 2)?;
        }
        writeln!(out)?;
    }
    if manifest.needed.iter().all(|entry| entry.symbols.is_some()) {
        return Ok(());
    }
    let advice = "Fetch each missing url where there is a network, keep it as DIR/path, and give DIR with --symbols. A \
                  Volatility 3 symbol file of the same kernel serves too: DIR/GUID-AGE.json.xz, or Volatility's pack, \
                  windows.zip.";
    wrap(out, advice, 0, 0)
}

//! The symbols that images need.

use crate::report::page::{Blocks as _, Facts, Page, Tone};
use crate::symbols::{Manifest, NeededSymbols};

/// What to fetch and where to keep it, and what is here already.
#[must_use]
pub fn symbols(manifest: &Manifest) -> Page {
    let mut page = Page::new("Symbols");
    for entry in &manifest.needed {
        needed(&mut page, entry);
        page.gap();
    }
    for failed in &manifest.failed {
        page.paragraph((0, 2), format!("not analysed: {}", failed.image));
        for line in failed.reason.lines() {
            page.paragraph((2, 2), line);
        }
        page.gap();
    }
    if manifest.needed.iter().any(|entry| entry.symbols.is_none()) {
        let advice = "Fetch each missing url where there is a network, keep it as DIR/path, and give DIR with --symbols. A \
                      Volatility 3 symbol file of the same kernel serves too: DIR/GUID-AGE.json.xz, or Volatility's pack, \
                      windows.zip.";
        page.paragraph((0, 0), advice);
    }
    page
}

fn needed(page: &mut Page, entry: &NeededSymbols) {
    page.heading(2, format!("{} {} age {}", entry.pdb.name, entry.pdb.guid, entry.pdb.age));
    let mut facts = Facts::new(2, 8);
    match (&entry.symbols, &entry.file) {
        (Some(symbols), Some(file)) => facts.add("found", format!("{file} ({symbols})")),
        (Some(symbols), None) => facts.add("found", symbols.as_str()),
        (None, _) => facts.add(Tone::Odd.say("missing"), ""),
    };
    if let Some(instead) = &entry.instead {
        facts.add("instead", format!("{instead} layouts"));
    }
    facts.add("path", entry.server_path.as_str());
    facts.add("url", entry.url.as_str());
    for image in &entry.images {
        facts.add("image", image.as_str());
    }
    for place in &entry.looked_at {
        facts.add("tried", place.as_str());
    }
    page.facts(facts);
}

//! One key of the registry.

use super::words::known;
use crate::Absent;
use crate::registry::{KeyRecord, Registry, RegistryData};
use crate::report::page::{Blocks as _, Facts, Page, Tone};

/// A key: when it was written, its values, the names of its subkeys, and what of it could not be read.
#[must_use]
pub fn key(key: &KeyRecord) -> Page {
    let mut page = Page::new(format!("Key {}", key.path));
    page.heading(2, key.path.as_str());
    let mut facts = Facts::new(2, 9);
    facts.add("written", known(&key.last_written));
    if let Some(class) = key.class.value() {
        facts.add("class", class.as_str());
    }
    if let Some(link) = key.link.value() {
        facts.add("link to", link.as_str());
    }
    page.facts(facts);
    if key.volatile {
        page.paragraph((2, 2), "volatile: in memory only");
    }
    values(&mut page, key);
    for (name, subkey) in key.keys.value().into_iter().flatten() {
        let volatile = if subkey.volatile { " (volatile)" } else { "" };
        page.paragraph((2, 2), Tone::Head.say(format!("\\{name}")).and(Tone::Plain, volatile));
    }
    for (what, missing) in [("values", &key.values_missing), ("subkeys", &key.keys_missing)] {
        if !missing.is_empty() {
            page.paragraph((2, 2), Tone::Odd.say(format!("some {what} may be missing:")));
            missing.iter().for_each(|absent| unreadable(&mut page, absent));
        }
    }
    for note in &key.notes {
        page.paragraph((2, 4), format!("note: {note}"));
    }
    page
}

fn values(page: &mut Page, key: &KeyRecord) {
    for (name, value) in key.values.value().into_iter().flatten() {
        let name = if name.is_empty() { "(default)" } else { name };
        let volatile = if value.volatile { " volatile" } else { "" };
        let head = Tone::Good.say(name).and(Tone::Plain, " ").and(Tone::Faint, value.kind.to_string());
        page.paragraph((2, 2), head.and(Tone::Plain, volatile));
        match value.data.known() {
            Ok(Some(RegistryData::Texts(texts))) => {
                for text in texts {
                    page.paragraph((6, 8), text.as_str());
                }
            }
            Ok(Some(data)) => {
                page.paragraph((6, 8), data.to_string());
            }
            Ok(None) => {}
            Err(absent) => unreadable(page, absent),
        }
        for note in &value.notes {
            page.paragraph((6, 8), format!("note: {note}"));
        }
    }
}

fn unreadable(page: &mut Page, absent: &Absent) {
    page.paragraph((6, 8), Tone::Odd.say(absent.to_string()));
}

/// That there is no such key, and what there is.
#[must_use]
pub fn no_key(path: &str, hint: &str) -> Page {
    let mut page = Page::new("Key");
    page.paragraph((0, 2), Tone::Odd.say(format!("There is no key {path}.")));
    if !hint.is_empty() {
        page.paragraph((0, 2), hint);
    }
    page
}

/// What may have been meant by the path of a key that is not there: a value, or a key above it.
#[must_use]
pub fn key_hint(path: &str, registry: &Registry<'_>) -> String {
    let path = path.trim_end_matches('\\');
    if ["HKCU", "HKEY_CURRENT_USER"].iter().any(|name| starts_with(path, name)) {
        return "HKCU is the key of whoever asks; in an image it is HKU\\SID, a key for each user: `ntmem hives IMAGE` lists \
                them."
            .to_owned();
    }
    let slashed = path.replace('/', "\\");
    if slashed != path && matches!(registry.key(&slashed), Ok(Some(_))) {
        return format!("Keys are separated by \\: {slashed} is there.");
    }
    let below = registry.mounts_below(path);
    if !below.is_empty() {
        return format!("Hives are mounted below it: {}.", below.join(", "));
    }
    let mut above = path;
    while let Some((parent, name)) = above.rsplit_once('\\') {
        if let Ok(Some(key)) = registry.key(parent) {
            if above == path && matches!(key.value(name), Ok(Some(_))) {
                return format!("{name} is a value of the key {parent}: ask for that.");
            }
            return format!("The last key on the way to it that is there is {parent}.");
        }
        above = parent;
    }
    "No hive is mounted on the way to it: `ntmem hives IMAGE` lists those in memory, and --scan finds more.".to_owned()
}

fn starts_with(path: &str, name: &str) -> bool {
    path.split('\\').next().is_some_and(|first| first.eq_ignore_ascii_case(name))
}

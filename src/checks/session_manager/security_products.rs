//! Security products: which run, from where, and what they have left behind.

use super::facts;
use super::keys::Keys;
use crate::Process;
use crate::checks::paths::may_be;
use crate::checks::places::{parts, path};
use crate::checks::words::lower;

/// Whether a directory has the name of a security product's.
pub(super) fn is_products_folder(name: &str) -> bool {
    facts::SECURITY_DIRECTORIES.iter().any(|known| {
        let bare = known.trim_matches('\\');
        may_be(name, bare) || bare.len() == known.len() && !name.contains('.') && name.contains(bare)
    })
}

/// Running security products that are what they say: from where such are installed, as a service of the system's, and with one name in
/// all that tells it.
fn running_products<'a>(keys: &'a Keys<'_>) -> impl Iterator<Item = (&'a Process, Vec<String>)> {
    const SERVICES: [&str; 3] = ["S-1-5-18", "S-1-5-19", "S-1-5-20"];
    let case = keys.case;
    let running = case.processes().filter(|process| !process.has_exited() && case.is_installed(process));
    running
        .filter(|process| facts::SECURITY_FILES.iter().any(|known| process.is_named(known)))
        .filter(|process| process.user.value().is_some_and(|user| SERVICES.contains(&user.as_str())))
        .filter_map(|process| {
            let own = parts(&case.root, &path(process.path.value()?)?);
            let file = process.section_file.value().and_then(|file| file.name.rsplit('\\').next());
            let same_file = file.is_none_or(|file| own.last().is_some_and(|own| may_be(file, own)));
            same_file.then_some((process, own))
        })
}

/// Whether a file of a security product is of a version that runs no more: its product runs from another folder, and has nothing
/// loaded out of this one.
pub(super) fn is_left_behind(keys: &Keys<'_>, gone: &[String]) -> bool {
    let Some((_, folder)) = gone.split_last() else { return false };
    let is_in =
        |path: &[String]| path.len() > folder.len() && path.iter().zip(folder).all(|(own, gone)| may_be(gone, own));
    let of_folder = |own: &[String]| {
        let (own, gone) = (lower(&own.join("\\")), lower(&folder.join("\\")));
        facts::SECURITY_DIRECTORIES
            .iter()
            .map(|known| known.trim_matches('\\'))
            .any(|known| own.contains(known) && gone.contains(known))
    };
    let mut of_product = running_products(keys).filter(|(_, own)| of_folder(own)).peekable();
    (of_product.peek().is_some() || is_of_one_version(gone))
        && of_product.all(|(process, own)| {
            let loaded = process.modules.value().into_iter().flatten();
            !is_in(&own)
                && !loaded.filter_map(|module| path(module)).any(|module| is_in(&parts(&keys.case.root, &module)))
        })
}

/// Whether a file is in a folder of one version of Microsoft Defender: each update makes a new one, and deletes an old one.
fn is_of_one_version(gone: &[String]) -> bool {
    const KEPT: [&str; 2] = ["platform", "definition updates"];
    let is = |part: Option<&String>, name: &str| part.is_some_and(|part| may_be(part, name));
    gone.iter().zip(1..).any(|(product, at)| {
        let (folder, version) = (gone.get(at), gone.get(at.saturating_add(1)));
        let begins = |version: &String| version.starts_with(|c: char| c.is_ascii_digit() || c == '{');
        may_be(product, "windows defender")
            && KEPT.iter().any(|name| is(folder, name))
            && version.is_some_and(begins)
            && gone.len() > at.saturating_add(2)
    })
}

/// Whether the program of this name runs from another folder than this one.
pub(super) fn runs_elsewhere(keys: &Keys<'_>, gone: &[String]) -> bool {
    let same_file =
        |own: &[String]| own.len() == gone.len() && own.iter().zip(gone).all(|(own, gone)| may_be(gone, own));
    let same_name = |own: &[String]| own.last().zip(gone.last()).is_some_and(|(own, gone)| may_be(gone, own));
    let mut named = running_products(keys).map(|(_, own)| own).filter(|own| same_name(own)).peekable();
    named.peek().is_some() && named.all(|own| !same_file(&own))
}

/// Whether a security product runs from this folder, or below it.
pub(super) fn is_run_from(keys: &Keys<'_>, gone: &[String]) -> bool {
    let within = |own: &[String]| own.len() > gone.len() && own.iter().zip(gone).all(|(own, gone)| may_be(gone, own));
    running_products(keys).any(|(_, own)| within(&own))
}

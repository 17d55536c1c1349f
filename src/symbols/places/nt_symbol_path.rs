//! A debugger's symbol path, as `_NT_SYMBOL_PATH` has it. What its elements mean: Microsoft's documentation of symbol paths
//! and of SymSrv.

use super::store::Place;
use std::path::PathBuf;

/// The places that a symbol path names, in its order.
pub(super) fn places(path: &str) -> Vec<Place> {
    let mut places = Vec::new();
    // What comes from the right of `cache*FOLDER` is kept there.
    let mut cache = None;
    for element in path.split(';').map(str::trim) {
        let mut parts: Vec<&str> = element.split('*').map(str::trim).collect();
        let verb = parts.first().copied().unwrap_or_default().to_ascii_lowercase();
        match verb.as_str() {
            "srv" | "cache" => drop(parts.drain(..1)),
            // The second part is the name of a library.
            "symsrv" => drop(parts.drain(..parts.len().min(2))),
            _ => (),
        }
        // Servers' files are kept in the first folder before them.
        let mut keep = None;
        // An empty part stands for the debugger's own folder, which only the debugger knows.
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let place = place(part, keep.as_ref().or(cache.as_ref()));
            if let Place::Path(folder) = &place {
                keep.get_or_insert_with(|| folder.clone());
            }
            places.push(place);
        }
        if verb == "cache" && keep.is_some() {
            cache = keep;
        }
    }
    places
}

fn place(part: &str, keep: Option<&PathBuf>) -> Place {
    let local_device = part.starts_with(r"\\?\") || part.starts_with(r"\\.\");
    if part.contains("://") {
        server(part, keep)
    } else if (part.starts_with(r"\\") || part.starts_with("//")) && !local_device {
        Place::Elsewhere(format!("{part}: a network share: not asked; copy what is needed, or mount it as a folder"))
    } else {
        Place::Path(part.into())
    }
}

#[cfg(feature = "symbol-server")]
fn server(url: &str, keep: Option<&PathBuf>) -> Place {
    let server = crate::symbols::Server::new(url);
    Place::Server(match keep {
        Some(folder) => server.keep_in(folder),
        None => server,
    })
}

#[cfg(not(feature = "symbol-server"))]
fn server(url: &str, _: Option<&PathBuf>) -> Place {
    Place::Elsewhere(format!("{url}: a server: not asked, this program was built without the network"))
}

//! What symbols many images need: a list to fetch them by, where there is a network.

use super::names::MICROSOFT;
use super::{SymbolError, Symbols, server_path};
use crate::symbols::PdbInfo;
use serde::Serialize;

/// The symbols that images need, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// In the order in which images asked for them.
    pub needed: Vec<NeededSymbols>,
    /// Images of which it could not be found out.
    pub failed: Vec<FailedImage>,
}

/// The symbols of one build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NeededSymbols {
    /// The PDB that the kernel's CodeView record names.
    pub pdb: PdbInfo,
    /// Where symbol servers keep it, and where it is to lie below a folder of symbols: `NAME/GUIDAGE/NAME`.
    pub server_path: String,
    /// Its address on Microsoft's server.
    pub url: String,
    /// Where symbols of this build come from here: `pdb`, `isf` and so on. `None`: there are none, they are to be fetched.
    pub symbols: Option<String>,
    /// The file they are in. `None`: there are none, or it took no file.
    pub file: Option<String>,
    /// Which other layouts serve meanwhile: `built_in`, `heuristic`. `None`: none, or none are needed.
    pub instead: Option<String>,
    /// What was tried, where there are none.
    pub looked_at: Vec<String>,
    /// The images that need them.
    pub images: Vec<String>,
}

/// An image of which it is not known what it needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailedImage {
    /// The image.
    pub image: String,
    /// Why.
    pub reason: String,
}

impl Manifest {
    /// Notes what an image needs, and whether it was found.
    pub fn add(&mut self, image: &str, needed: &PdbInfo, found: Result<&Symbols, &SymbolError>) {
        let Some(entry) = self.entry(needed) else { return };
        entry.images.push(image.to_owned());
        match found {
            Ok(symbols) => {
                entry.symbols = Some(symbols.source.name().to_owned());
                entry.file = symbols.file.as_ref().map(|file| file.display().to_string());
                entry.looked_at.clear();
            }
            Err(error) if entry.symbols.is_none() => {
                let tried = match error {
                    SymbolError::Missing { tried, .. } => tried.clone(),
                    other => vec![other.of_file()],
                };
                let new: Vec<_> = tried.into_iter().filter(|it| !entry.looked_at.contains(it)).collect();
                entry.looked_at.extend(new);
            }
            Err(_) => (),
        }
    }

    /// The entry of these symbols, made where there is none.
    fn entry(&mut self, needed: &PdbInfo) -> Option<&mut NeededSymbols> {
        let known = self.needed.iter().position(|known| super::id::same_id(&known.pdb, needed));
        let index = known.unwrap_or_else(|| {
            let server_path = server_path(needed);
            self.needed.push(NeededSymbols {
                pdb: needed.clone(),
                url: format!("{MICROSOFT}/{server_path}"),
                server_path,
                ..NeededSymbols::default()
            });
            self.needed.len().saturating_sub(1)
        });
        self.needed.get_mut(index)
    }

    /// Notes which layouts serve where these symbols are missing.
    pub fn add_instead(&mut self, needed: &PdbInfo, source: &str) {
        if let Some(entry) = self.entry(needed) {
            entry.instead = Some(source.to_owned());
        }
    }

    /// Notes an image of which it could not be found out.
    pub fn add_failed(&mut self, image: &str, reason: &str) {
        self.failed.push(FailedImage { image: image.to_owned(), reason: reason.to_owned() });
    }
}

//! The committed samples.

use crate::builds::Build;
use crate::scenario::{Scenario, SymbolPlan};
use crate::variants::Impostor;

/// Names and scenarios of the samples, with the symbols that lie beside them.
#[must_use]
pub fn samples(symbols: &SymbolPlan) -> [(&'static str, Scenario); 2] {
    let mut clean = Scenario::clean(Build::W10_19045);
    clean.symbols = Some(symbols.clone());
    let mut suspicious = clean.clone().with_impostor(Impostor::All).with_lojax();
    suspicious.seed ^= 0x10_7a_c5;
    [("clean", clean), ("suspicious", suspicious)]
}

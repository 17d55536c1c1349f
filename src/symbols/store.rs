//! tmp
use super::*;
use crate::PdbInfo;
/// tmp
#[derive(Clone, Debug, Default)]
pub struct SymbolStore {}
impl SymbolStore {
    /// tmp
    pub fn find(&self, needed: &PdbInfo, _wanted: &Wanted) -> Result<Symbols, SymbolError> {
        Err(SymbolError::Missing { needed: Box::new(needed.clone()), tried: vec![] })
    }
}

//! Where symbols are looked for.
/// x
#[derive(Debug)]
pub struct SymbolStore;

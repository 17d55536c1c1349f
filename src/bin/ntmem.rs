//! ntmem
fn main() {}

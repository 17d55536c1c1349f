//! The command line program.
mod args;
fn main() {}

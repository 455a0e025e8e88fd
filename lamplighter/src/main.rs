//! lamplighter: the one binary.
fn main() {}

//! xtask: models, test, bench, docs.
fn main() {}

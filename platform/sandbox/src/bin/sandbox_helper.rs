//! Stands in for the real binary in this crate's own tests.

fn main() {
    lamplighter_sandbox::child_entry();
}

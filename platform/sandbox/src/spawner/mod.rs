//! The spawner process.

/// Must be the first thing `main` does, before any thread, runtime or argument parser.
///
/// If this process was started as a child of the sandbox, it does that work and never returns.
pub fn child_entry() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|word| word == crate::protocol::SPAWNER_ARGUMENT) {
        std::process::exit(70);
    }
}

//! What a person reads in a terminal: results on standard output, progress and errors on standard error.
//!
//! It is the only place that prints. Colour is used only on a terminal and never carries meaning alone; `NO_COLOR`
//! turns it off.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::{IsTerminal, Write};

/// A line of a command's result.
pub(crate) fn line(text: &str) {
    // A reader that went away (`| head`) is no error of ours.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// A command's result without a line's end, such as a function's answer.
pub(crate) fn raw(bytes: &[u8]) {
    let mut out = std::io::stdout();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// What is going on.
pub(crate) fn progress(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", dim(&format!("- {text}")));
}

/// Why a command failed: one line, with what to do.
pub(crate) fn error(text: &str) {
    let _ = writeln!(std::io::stderr(), "lamplighter: {text}");
}

/// A note that is no failure.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Text that matters less.
pub(crate) fn dim(text: &str) -> String {
    paint("2", text)
}

/// Text that matters more.
pub(crate) fn bold(text: &str) -> String {
    paint("1", text)
}

fn paint(code: &str, text: &str) -> String {
    let wanted = std::io::stdout().is_terminal()
        && std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none();
    if wanted { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

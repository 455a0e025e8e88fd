//! `cargo xtask docs [--check]`: `docs/support.md` from the handlers' tables; with `--check`, fails if the page is not
//! what they say.

use std::fs;
use std::process::Command;

use crate::tools::{Outcome, root, run, say, target_dir};

/// Writes or checks the page.
pub(crate) fn run_docs(arguments: &[String]) -> Outcome {
    let check = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => return Err("usage: cargo xtask docs [--check]".to_owned()),
    };
    run("cargo", &["build", "--quiet", "--package", "lamplighter"])?;
    let made = Command::new(target_dir().join("debug/lamplighter"))
        .arg("support-table")
        .output()
        .map_err(|error| format!("lamplighter could not be started: {error}"))?;
    if !made.status.success() {
        return Err(format!("lamplighter support-table failed: {}", String::from_utf8_lossy(&made.stderr)));
    }
    let path = root().join("docs/support.md");
    if check {
        let known = fs::read(&path).unwrap_or_default();
        return if known == made.stdout {
            Ok(())
        } else {
            Err("docs/support.md is not what the code supports: run `cargo xtask docs`".to_owned())
        };
    }
    say("writing docs/support.md");
    fs::write(&path, made.stdout).map_err(|error| format!("{}: {error}", path.display()))
}

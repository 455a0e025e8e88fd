//! `cargo xtask test [PYTEST-ARGUMENTS]`: everything that the tests need is installed, then all of them run: the ones
//! beside the code, the runtime clients' own, and behaviour through real clients. With arguments, only the last kind.

use std::process::Command;

use crate::setup;
use crate::tools::{Outcome, has, root, run, run_command, say};

/// Runs the tests.
pub(crate) fn run_tests(arguments: &[String]) -> Outcome {
    let installed = setup::set_up()?;
    say("building");
    run("cargo", &["build", "--quiet", "--package", "lamplighter"])?;
    if arguments.is_empty() {
        say("tests beside the code");
        if has("cargo-nextest") {
            run("cargo", &["nextest", "run", "--workspace", "--no-fail-fast", "--status-level", "fail"])?;
        } else {
            run("cargo", &["test", "--workspace", "--quiet"])?;
        }
    }
    let pytest = |path: &str| {
        let mut command = Command::new(&installed.python);
        command.args(["-m", "pytest", "-q", "-p", "no:cacheprovider", path]).current_dir(root());
        command.envs(setup::test_environment(&installed));
        command
    };
    if arguments.is_empty() {
        say("runtime clients");
        run_command(&mut pytest("runtimes/tests"))?;
    }
    say("behaviour through real clients");
    run_command(pytest("tests").args(arguments))
}

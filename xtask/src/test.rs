//! `cargo xtask test [PYTEST-ARGUMENTS]`: everything that the tests need is installed, then all of them run: the ones
//! beside the code, the runtime clients' own, and behaviour through real clients. With arguments, only the last kind;
//! `cargo xtask test tests/lambda -k update` picks some of it.

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
    let pytest = || {
        let mut command = Command::new(&installed.python);
        command.args(["-m", "pytest", "-q", "-p", "no:cacheprovider"]).current_dir(root());
        command.envs(setup::test_environment(&installed));
        command
    };
    if arguments.is_empty() {
        say("runtime clients");
        run_command(pytest().args(["--numprocesses", "3", "runtimes/tests"]))?;
    }
    say("behaviour through real clients");
    let mut behaviour = pytest();
    if !arguments.iter().any(|argument| argument.starts_with("tests")) {
        behaviour.arg("tests");
    }
    run_command(behaviour.args(arguments))
}

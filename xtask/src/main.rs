//! The project's own tools: `cargo xtask SUBCOMMAND`. One module per subcommand.

mod bench;
mod docs;
mod java;
mod licences;
mod models;
mod setup;
mod test;
mod tools;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    let outcome = match arguments.first().map(String::as_str) {
        Some("bench") => bench::run_bench(rest),
        Some("models") => models::run(rest),
        Some("test") => test::run_tests(rest),
        Some("java") => java::run_java(rest),
        Some("docs") => docs::run_docs(rest),
        Some("licences") => licences::run_licences(rest),
        _ => {
            Err("usage: cargo xtask test | bench [SCENARIO..] | models [--check | --fetch [VERSION]] | docs [--check] | java [--check] | licences"
                .to_owned())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

//! `cargo xtask bench [SCENARIO..] [--repeats N] [--json FILE]`: the numbers that we promise, each beside its
//! reference in the same run, in turns, because machines are noisy. `docs/promises.md` says which promise is whose.
//!
//! It builds the release binary, and itself in release too: a slow load client would measure itself. A benchmark ends
//! with an error when an answer is wrong; a promise that is not met is told in the table and is no error, because the
//! machine may be busy with something else.

mod asynchronous;
mod bare;
mod cold;
mod emulator;
mod functions;
mod http;
mod load;
mod platform;
mod provisioned;
mod report;
mod startup;
mod streaming;
mod warm;
mod watch;

use std::path::{Path, PathBuf};
use std::process::Command;

use report::{Measured, Row};

use crate::tools::{self, Outcome, run, run_command, say};

type Scenario = fn(&Path, usize) -> Result<Vec<Row>, String>;

/// All scenarios by name.
const SCENARIOS: [(&str, Scenario); 9] = [
    ("warm-1", warm::one_client),
    ("warm-16", warm::many_clients),
    ("start-up", startup::start_up),
    ("cold", cold::cold),
    ("burst-8", cold::burst),
    ("watch", watch::watch),
    ("streaming", streaming::streaming),
    ("async", asynchronous::accept_and_drain),
    ("provisioned-burst", provisioned::burst),
];

const DEFAULT_REPEATS: usize = 3;

/// Runs the scenarios named, or all.
pub(crate) fn run_bench(arguments: &[String]) -> Outcome {
    let options = Options::parse(arguments)?;
    if cfg!(debug_assertions) {
        return in_release(arguments);
    }
    let mut measured = Measured { rows: Vec::new(), repeats: options.repeats, load_before: report::load() };
    if !platform::binary().exists() {
        return Err(format!("{} is missing", platform::binary().display()));
    }
    for (name, scenario) in options.scenarios {
        say(&format!("measuring {name}"));
        let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
        let rows = scenario(folder.path(), options.repeats).map_err(|error| format!("{name}: {error}"))?;
        measured.rows.extend(rows);
    }
    measured.print().map_err(|error| format!("the table cannot be written: {error}"))?;
    match options.json {
        Some(path) => measured.write_json(&path),
        None => Ok(()),
    }
}

/// Builds what is measured and what measures, and goes on there.
fn in_release(arguments: &[String]) -> Outcome {
    say("building for release");
    let mut packages = vec!["build", "--quiet", "--release", "--package", "xtask"];
    if std::env::var_os("LAMPLIGHTER_BIN").is_none() {
        packages.extend(["--package", "lamplighter"]);
    }
    run("cargo", &packages)?;
    run_command(Command::new(tools::target_dir().join("release/xtask")).arg("bench").args(arguments))
}

struct Options {
    scenarios: Vec<(&'static str, Scenario)>,
    repeats: usize,
    json: Option<PathBuf>,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Options { scenarios: Vec::new(), repeats: DEFAULT_REPEATS, json: None };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--json" => options.json = Some(arguments.next().ok_or("--json needs a file")?.into()),
                "--repeats" => {
                    let number = arguments.next().and_then(|text| text.parse().ok()).filter(|n| *n > 0);
                    options.repeats = number.ok_or("--repeats needs a number from 1")?;
                }
                name => {
                    let known = SCENARIOS.iter().find(|(scenario, _)| *scenario == name);
                    options.scenarios.push(*known.ok_or_else(|| {
                        let names = SCENARIOS.map(|(name, _)| name).join(", ");
                        format!("there is no scenario '{name}'; there are {names}")
                    })?);
                }
            }
        }
        if options.scenarios.is_empty() {
            options.scenarios = SCENARIOS.to_vec();
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        let parse =
            |text: &str| Options::parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        let all = parse("").unwrap();
        assert_eq!((all.scenarios.len(), all.repeats), (SCENARIOS.len(), 3));
        let some = parse("cold watch --repeats 1 --json a.json").unwrap();
        assert_eq!((some.scenarios.len(), some.repeats), (2, 1));
        assert_eq!(some.json.as_deref(), Some(Path::new("a.json")));
        assert!(parse("hot").is_err());
        assert!(parse("--repeats 0").is_err());
    }
}

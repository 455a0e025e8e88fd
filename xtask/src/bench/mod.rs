//! `cargo xtask bench [SCENARIO..]`: the numbers that we promise, each beside its references in the same run, in turns,
//! because machines are noisy. `docs/promises.md` says which promise is whose, `docs/performance.md` how to run it.
//!
//! It builds the release binary, and itself in release too: a slow load client would measure itself. One wrong answer
//! ends its scenario with an error, and the others go on; a promise that is not met is told in the table and is no
//! error, because the machine may be busy with something else.

mod asynchronous;
mod bare;
mod burst;
mod cold;
mod density;
mod emulator;
mod functions;
mod http;
mod load;
mod messaging;
mod ministack;
mod offline;
mod packages;
mod pages;
mod platform;
mod process;
mod provisioned;
mod report;
mod scale;
mod snapstart;
mod startup;
mod streaming;
mod warm;
mod watch;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use load::Pace;
use report::{Findings, Report};

use crate::tools::{self, Outcome, run, run_command, say};

type Scenario = fn(&Plan) -> Result<Findings, String>;

/// All scenarios by name.
const SCENARIOS: [(&str, Scenario); 19] = [
    ("warm-1", warm::one_client),
    ("warm-16", warm::many_clients),
    ("start-up", startup::start_up),
    ("cold", cold::cold),
    ("snapstart", snapstart::snapstart),
    ("burst-50", burst::fifty),
    ("burst-8", burst::eight),
    ("scale-200", scale::scale),
    ("idle-density", density::density),
    ("watch", watch::watch),
    ("streaming", streaming::streaming),
    ("async", asynchronous::accept_and_drain),
    ("provisioned-burst", provisioned::burst),
    ("queue", messaging::cycle),
    ("queue-million", messaging::million),
    ("queue-idle", messaging::idle),
    ("fan-out", messaging::fan_out),
    ("queue-to-handler", messaging::handler),
    ("idle-density-1000", density::thousand),
];
/// Only when named: what takes minutes, or is a part of another.
const ON_REQUEST: [&str; 2] = ["idle-density-1000", "burst-8"];

const DEFAULT_REPEATS: usize = 3;
const DEFAULT_ENVIRONMENTS: usize = 200;
const USAGE: &str = "usage: cargo xtask bench [SCENARIO..] [--repeats N] [--quick] [--environments N] [--binary FILE] \
                     [--json FILE] [--from FILE] [--write-docs]";

/// How a scenario is to be run.
pub(super) struct Plan {
    /// A temporary folder of its own.
    folder: PathBuf,
    repeats: usize,
    is_quick: bool,
    /// Of `idle-density`.
    environments: usize,
}

impl Plan {
    fn pace(&self) -> Pace {
        let (warm_up, measured) = if self.is_quick { (300, 1000) } else { (700, 3000) };
        Pace { warm_up: Duration::from_millis(warm_up), measured: Duration::from_millis(measured) }
    }

    /// As many as given, or a few in a quick run.
    fn times(&self, count: usize) -> usize {
        if self.is_quick { count.min(3) } else { count }
    }
}

/// Runs the scenarios named, or all.
pub(crate) fn run_bench(arguments: &[String]) -> Outcome {
    let options = Options::parse(arguments)?;
    let report = match &options.from {
        Some(path) => Report::read_json(path)?,
        None if cfg!(debug_assertions) && options.binary.is_none() => return in_release(arguments),
        None => measure(&options)?,
    };
    report.print().map_err(|error| format!("the table cannot be written: {error}"))?;
    if let Some(path) = &options.json {
        report.write_json(path)?;
    }
    if options.writes_docs {
        pages::write(&report, &tools::root().join("docs"))?;
    }
    match report.failures.len() {
        0 => Ok(()),
        count => Err(format!("{count} scenarios failed")),
    }
}

fn measure(options: &Options) -> Result<Report, String> {
    if let Some(binary) = &options.binary {
        platform::use_binary(binary);
    }
    if !platform::binary().exists() {
        return Err(format!("{} is missing", platform::binary().display()));
    }
    let mut report = Report::begin(version(), options.repeats, options.is_quick);
    for (name, scenario) in &options.scenarios {
        say(&format!("measuring {name}"));
        let started = Instant::now();
        let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
        let plan = Plan {
            folder: folder.path().to_owned(),
            repeats: options.repeats,
            is_quick: options.is_quick,
            environments: options.environments,
        };
        let outcome = scenario(&plan);
        match &outcome {
            Ok(_) => say(&format!("{name} took {:.0} s", started.elapsed().as_secs_f64())),
            Err(error) => say(&format!("{name} FAILED: {error}")),
        }
        report.add(name, outcome);
    }
    report.end();
    Ok(report)
}

/// What the server says of itself, and the checkout's commit.
fn version() -> String {
    let said = |command: &mut Command| {
        let output = command.current_dir(tools::root()).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let version = said(Command::new(platform::binary()).arg("--version")).unwrap_or_default();
    match said(Command::new("git").args(["rev-parse", "--short", "HEAD"])) {
        Some(commit) if !commit.is_empty() => format!("{version} ({commit})"),
        _ => version,
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
    is_quick: bool,
    environments: usize,
    /// The server to measure, as it is; nothing is built then.
    binary: Option<PathBuf>,
    json: Option<PathBuf>,
    /// Numbers that an earlier run wrote, instead of a run.
    from: Option<PathBuf>,
    writes_docs: bool,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut options = Options {
            scenarios: Vec::new(),
            repeats: 0,
            is_quick: false,
            environments: DEFAULT_ENVIRONMENTS,
            binary: None,
            json: None,
            from: None,
            writes_docs: false,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut file = || arguments.next().map(PathBuf::from).ok_or(format!("{argument} needs a file"));
            match argument.as_str() {
                "--json" => options.json = Some(file()?),
                "--from" => options.from = Some(file()?),
                "--binary" => options.binary = Some(file()?),
                "--quick" => options.is_quick = true,
                "--write-docs" => options.writes_docs = true,
                "--repeats" => options.repeats = number(argument, arguments.next())?,
                "--environments" => options.environments = number(argument, arguments.next())?,
                flag if flag.starts_with('-') => return Err(format!("unknown option {flag}\n{USAGE}")),
                name => options.scenarios.push(scenario(name)?),
            }
        }
        if options.scenarios.is_empty() {
            let is_usual = |(name, _): &(&str, Scenario)| !ON_REQUEST.contains(name);
            options.scenarios = SCENARIOS.into_iter().filter(is_usual).collect();
        }
        if options.repeats == 0 {
            options.repeats = if options.is_quick { 1 } else { DEFAULT_REPEATS };
        }
        Ok(options)
    }
}

fn number(option: &str, text: Option<&String>) -> Result<usize, String> {
    let number = text.and_then(|text| text.parse().ok()).filter(|n| *n > 0);
    number.ok_or_else(|| format!("{option} needs a number from 1"))
}

fn scenario(name: &str) -> Result<(&'static str, Scenario), String> {
    SCENARIOS.into_iter().find(|(known, _)| *known == name).ok_or_else(|| {
        let names = SCENARIOS.map(|(name, _)| name).join(", ");
        format!("there is no scenario '{name}'; there are {names}")
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn arguments() {
        let parse =
            |text: &str| Options::parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        let all = parse("").unwrap();
        assert_eq!((all.scenarios.len(), all.repeats), (SCENARIOS.len() - ON_REQUEST.len(), 3));
        let some = parse("cold watch burst-8 --repeats 2 --json a.json --quick").unwrap();
        assert_eq!((some.scenarios.len(), some.repeats, some.is_quick), (3, 2, true));
        assert_eq!(some.json.as_deref(), Some(Path::new("a.json")));
        assert_eq!(parse("--quick").unwrap().repeats, 1);
        let docs = parse("--from b.json --write-docs --environments 1000 --binary x").unwrap();
        assert!(
            docs.writes_docs && docs.environments == 1000 && docs.from.is_some() && docs.binary.is_some()
        );
        assert!(parse("hot").is_err());
        assert!(parse("--repeats 0").is_err());
        assert!(parse("--json").is_err());
        assert!(parse("--fast").is_err());
    }
}

//! Cold starts of versions with SnapStart: environments that are restored from a snapshot of the initialised function.
//!
//! A version is published once. Before each start the server's clock is moved on, so that its idle environments go; then
//! the request, whose REPORT line must tell a restore. Where it tells none, SnapStart is not available for that function
//! on this server, and nothing is measured.

use std::time::Duration;

use serde_json::json;

use super::Plan;
use super::bare;
use super::cold::BARE;
use super::functions::{Bare, Function};
use super::platform::Platform;
use super::report::{Better, Findings, Row, median, quantile};

/// Longer than an environment may be idle.
const IDLE_MS: u64 = 11 * 60_000;
/// Starts per repeat.
const STARTS: usize = 5;
/// How often an environment that should have gone is waited for.
const TRIES: usize = 5;
/// What is promised of the middle start, in milliseconds.
const CASES: [(Function, f64); 2] = [(Function::Boto3, 10.0), (Function::Pandas, 12.0)];

/// Every function with a promise.
pub(super) fn snapstart(plan: &Plan) -> Result<Findings, String> {
    let mut findings = Findings::default();
    for (function, promise_ms) in CASES {
        let title = function.title();
        let available = function.package().and_then(|_| function.bare(&plan.folder));
        let bare = match available {
            Ok(bare) => bare,
            Err(error) => {
                findings.note("snapstart", format!("{title}: not available: {error}"));
                continue;
            }
        };
        match Version::publish(function, plan)? {
            Published::Restores(version) => {
                findings.rows.extend(version.measure(&bare, promise_ms, plan)?);
            }
            Published::No(reason) => {
                findings.note("snapstart", format!("{title}: not available: {reason}"));
            }
        }
    }
    Ok(findings)
}

enum Published {
    Restores(Version),
    /// Why not.
    No(String),
}

/// A published version.
struct Version {
    function: Function,
    platform: Platform,
    number: String,
}

impl Version {
    fn publish(function: Function, plan: &Plan) -> Result<Published, String> {
        let data = plan.folder.join(format!("{}-snapstart", function.name()));
        let platform = Platform::with_env(&["start"], &function.server_env()?, &data)?;
        let mut client = platform.client()?;
        let setting = json!({ "SnapStart": { "ApplyOn": "PublishedVersions" } });
        if let Err(error) = client.create_with(function, function.name(), &setting) {
            return Ok(Published::No(error));
        }
        let number = client.publish(function.name())?;
        let version = Version { function, platform, number };
        let (_, log) = version.invoke()?;
        if is_restore(&log) {
            return Ok(Published::Restores(version));
        }
        let report = log.lines().find(|line| line.starts_with("REPORT")).unwrap_or("no REPORT");
        Ok(Published::No(format!("a start of the version tells no restore: {report}")))
    }

    fn invoke(&self) -> Result<(Duration, String), String> {
        self.platform.client()?.invoke_with_log(self.function.name(), &self.number)
    }

    fn measure(&self, bare: &Bare, promise_ms: f64, plan: &Plan) -> Result<Vec<Row>, String> {
        let (mut ours, mut reference) = (Vec::new(), Vec::new());
        for _ in 0..plan.repeats {
            let (mut ours_ms, mut bare_ms) = (Vec::new(), Vec::new());
            for _ in 0..plan.times(STARTS) {
                bare_ms.push(bare::cold_start(bare)?.as_secs_f64() * 1e3);
                ours_ms.push(self.cold_start()?.as_secs_f64() * 1e3);
            }
            ours.push(ours_ms);
            reference.push(bare_ms);
        }
        let title = self.function.title();
        let row = |measure: &str, value: &dyn Fn(&[f64]) -> f64| {
            let each = |rounds: &[Vec<f64>]| rounds.iter().map(|times| value(times)).collect::<Vec<_>>();
            Row::alone("snapstart", format!("{title} {measure}"), "ms", &each(&ours))
                .versus(BARE, &each(&reference))
        };
        Ok(vec![
            row("p50", &median).promised(Better::Lower, promise_ms),
            row("min", &|times| quantile(times, 0.0)),
            row("p90", &|times| quantile(times, 0.9)),
        ])
    }

    fn cold_start(&self) -> Result<Duration, String> {
        for _ in 0..TRIES {
            self.platform.advance(IDLE_MS)?;
            self.platform.settle();
            let (time, log) = self.invoke()?;
            if is_restore(&log) {
                return Ok(time);
            }
        }
        Err(format!("{}: its idle environment does not go", self.function.name()))
    }
}

fn is_restore(log: &str) -> bool {
    log.lines().any(|line| line.starts_with("REPORT") && line.contains("Restore Duration"))
}

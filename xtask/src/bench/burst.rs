//! Many requests at once for a function that takes 200 ms, when nothing is warm: each shall get a sandbox of its own.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Plan;
use super::bare::Front;
use super::emulator;
use super::functions::{EXPECTED, Function};
use super::load::{self, Storm, Target};
use super::offline::{self, Offline};
use super::platform::{Platform, invoke_request};
use super::process;
use super::report::{Better, Findings, Row, quantile};

/// All of fifty, done.
const PROMISE_MS: f64 = 600.0;

/// `burst-50`.
pub(super) fn fifty(plan: &Plan) -> Result<Findings, String> {
    Burst { scenario: "burst-50", count: 50, promise_ms: Some(PROMISE_MS) }.run(plan)
}

/// `burst-8`.
pub(super) fn eight(plan: &Plan) -> Result<Findings, String> {
    Burst { scenario: "burst-8", count: 8, promise_ms: None }.run(plan)
}

struct Burst {
    scenario: &'static str,
    count: usize,
    promise_ms: Option<f64>,
}

/// The same requests when nothing is warm, and again.
struct Pair {
    first: Storm,
    again: Storm,
    sandboxes: usize,
}

impl Burst {
    fn run(&self, plan: &Plan) -> Result<Findings, String> {
        let mut findings = Findings::default();
        let platform = Platform::start(&plan.folder.join("data"))?;
        platform.client()?.create(Function::Slow, Function::Slow.name())?;
        platform.client()?.invoke(Function::Slow.name(), EXPECTED)?;
        let bare = Front::growing(Function::Slow, &plan.folder)?;
        let (mut ours, mut grown, mut offline) = (Vec::new(), Vec::new(), Vec::new());
        let mut is_offline_well = true;
        for repeat in 0..plan.repeats {
            if is_offline_well {
                match self.offline(plan) {
                    Ok(pair) => offline.push(pair),
                    Err(error) => {
                        findings.note(self.scenario, format!("{}: {error}", offline::NAME));
                        is_offline_well = false;
                    }
                }
            }
            bare.clear();
            let request = || emulator::request(bare.address);
            grown.push(
                self.pair(&Target { address: bare.address, request: &request, expected: EXPECTED }, 0)?,
            );
            bare.clear();
            ours.push(self.ours(&platform, repeat)?);
        }
        let references = [("bare client", grown), (offline::NAME, offline)];
        let references = references.iter().filter(|(_, pairs)| pairs.len() == ours.len());
        findings.rows = self.rows(&ours, references);
        Ok(findings)
    }

    /// Every answer tells its environment and log stream; there must be as many boxes. A request whose own environment
    /// still starts may be given one that has become free, so there may be fewer of all than requests.
    fn ours(&self, platform: &Platform, repeat: usize) -> Result<Pair, String> {
        let name = Function::Slow.name();
        platform.client()?.make_cold(name, &repeat.to_string())?;
        platform.settle();
        let request = || invoke_request(platform.address, name);
        let target = Target { address: platform.address, request: &request, expected: EXPECTED };
        let first = load::at_once(target, self.count)?;
        let boxes = process::pid_namespaces(&process::tree(platform.pid()));
        let (environments, streams) = (distinct(&first, "environment")?, distinct(&first, "stream")?);
        if environments != streams || boxes < environments {
            return Err(format!("{environments} environments, {streams} log streams, {boxes} boxes"));
        }
        Ok(Pair { first, again: load::at_once(target, self.count)?, sandboxes: environments })
    }

    fn offline(&self, plan: &Plan) -> Result<Pair, String> {
        let server = Offline::start(&[Function::Slow], &plan.folder)?;
        let request = || offline::request(server.address, Function::Slow);
        self.pair(&Target { address: server.address, request: &request, expected: EXPECTED }, 0)
    }

    fn pair(&self, target: &Target<'_>, sandboxes: usize) -> Result<Pair, String> {
        let first = load::at_once(*target, self.count)?;
        Ok(Pair { first, again: load::at_once(*target, self.count)?, sandboxes })
    }

    fn rows<'a>(
        &self,
        ours: &[Pair],
        references: impl Iterator<Item = &'a (&'static str, Vec<Pair>)>,
    ) -> Vec<Row> {
        let row = |measure: &str, value: &dyn Fn(&Pair) -> f64| {
            let values: Vec<f64> = ours.iter().map(value).collect();
            Row::alone(self.scenario, format!("{} {measure}", self.count), "ms", &values)
        };
        let mut rows = Vec::new();
        for (name, pairs) in references {
            let beside = |measure: &str, value: &dyn Fn(&Pair) -> f64| {
                row(measure, value).versus(*name, &pairs.iter().map(value).collect::<Vec<_>>())
            };
            let all = beside("at once, nothing warm", &|pair| pair.first.all_ms);
            rows.push(match self.promise_ms {
                Some(limit) => all.promised(Better::Lower, limit),
                None => all,
            });
            rows.push(beside("at once, p50", &|pair| quantile(&pair.first.times_ms, 0.5)));
            rows.push(beside("at once, all warm", &|pair| pair.again.all_ms));
        }
        let sandboxes: Vec<f64> = ours.iter().map(|pair| pair.sandboxes as f64).collect();
        let separate = Row::alone(self.scenario, "separate sandboxes", "", &sandboxes);
        rows.push(separate.promised(Better::Higher, self.count as f64));
        rows
    }
}

/// How many different values the answers have in a field.
fn distinct(storm: &Storm, field: &str) -> Result<usize, String> {
    let mut values = BTreeSet::new();
    for body in &storm.bodies {
        let answer: Value = serde_json::from_str(body).map_err(|error| format!("{body}: {error}"))?;
        values.insert(answer[field].as_str().ok_or_else(|| format!("no {field} in {body}"))?.to_owned());
    }
    Ok(values.len())
}

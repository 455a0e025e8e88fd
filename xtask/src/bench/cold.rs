//! Cold starts: from the request until the answer, when no environment of the function exists.
//!
//! Before each one the function's configuration is changed, so that nothing that runs serves it any more, and the server
//! is left alone until it does nothing: that is how a function is met that nobody has called for a while. Many at once
//! are `burst-50`. The server's own records must say that the start was a cold one.

use super::Plan;
use super::bare;
use super::functions::{Bare, EXPECTED, Function};
use super::platform::{Platform, has_option};
use super::report::{Better, Findings, Row, median, quantile};

/// The name in tables of the same runtime client without a box.
pub(super) const BARE: &str = "bare client";
/// And of the interpreter that does nothing.
const INTERPRETER: &str = "bare interpreter";
/// And of our own server without anything made ahead.
const POOLS_OFF: &str = "pools off";
/// The server's switches for what is made ahead: images of processes, boxes, workers that wait for a function.
const SWITCHES: [&str; 3] = ["--images", "--stock", "--workers"];

/// A kind of function, how often it is started in a round, and what is promised of the middle start, in milliseconds.
struct Case {
    function: Function,
    starts: usize,
    promise_ms: Option<f64>,
}

const CASES: [Case; 7] = [
    Case { function: Function::Python, starts: 15, promise_ms: Some(10.0) },
    Case { function: Function::Node, starts: 15, promise_ms: Some(10.0) },
    Case { function: Function::Native, starts: 15, promise_ms: None },
    Case { function: Function::Boto3, starts: 5, promise_ms: Some(70.0) },
    Case { function: Function::HostBoto3, starts: 5, promise_ms: Some(70.0) },
    Case { function: Function::Pandas, starts: 5, promise_ms: None },
    Case { function: Function::NodeSdk, starts: 5, promise_ms: None },
];

/// Every kind of function.
pub(super) fn cold(plan: &Plan) -> Result<Findings, String> {
    let mut findings = Findings::default();
    let switches: Vec<&str> = SWITCHES.into_iter().filter(|switch| has_option(switch)).collect();
    let what = if switches.is_empty() {
        "not available: this server has no switch for it".to_owned()
    } else {
        format!("{} off", switches.join(" off, "))
    };
    findings.note("cold", format!("{POOLS_OFF}: {what}"));
    for case in &CASES {
        // What cannot be installed here is told, and the others are measured.
        match case.function.package().and_then(|_| case.function.bare(&plan.folder)) {
            Ok(bare) => findings.rows.extend(case.measure(&bare, &switches, plan)?),
            Err(error) => {
                findings.note("cold", format!("{}: not available: {error}", case.function.title()));
            }
        }
    }
    Ok(findings)
}

/// Times in milliseconds.
#[derive(Default)]
struct Times {
    ours: Vec<f64>,
    unpooled: Vec<f64>,
    bare: Vec<f64>,
    interpreter: Vec<f64>,
}

impl Case {
    fn measure(&self, bare: &Bare, switches: &[&str], plan: &Plan) -> Result<Vec<Row>, String> {
        let function = self.function;
        let env = function.server_env()?;
        let start = |arguments: &[&str], name: &str| {
            let data = plan.folder.join(format!("{}-{name}", function.name()));
            Subject::start(function, Platform::with_env(arguments, &env, &data)?)
        };
        let mut ours = start(&["start"], "pooled")?;
        let off: Vec<&str> =
            ["start"].into_iter().chain(switches.iter().flat_map(|switch| [*switch, "off"])).collect();
        let mut unpooled = (!switches.is_empty()).then(|| start(&off, "unpooled")).transpose()?;
        bare::cold_start(bare)?;
        let mut rounds = Vec::new();
        for _ in 0..plan.repeats {
            let mut times = Times::default();
            for _ in 0..plan.times(self.starts) {
                let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
                times.bare.push(ms(bare::cold_start(bare)?));
                times.interpreter.extend(bare::interpreter_start(function)?.map(ms));
                times.ours.push(ours.cold_start_ms()?);
                if let Some(unpooled) = &mut unpooled {
                    times.unpooled.push(unpooled.cold_start_ms()?);
                }
            }
            rounds.push(times);
        }
        Ok(self.rows(&rounds))
    }

    fn rows(&self, rounds: &[Times]) -> Vec<Row> {
        let title = self.function.title();
        let each = |value: &dyn Fn(&Times) -> f64| rounds.iter().map(value).collect::<Vec<f64>>();
        let row = |measure: &str, value: &dyn Fn(&[f64]) -> f64| {
            let row =
                Row::alone("cold", format!("{title} {measure}"), "ms", &each(&|times| value(&times.ours)));
            row.versus(BARE, &each(&|times| value(&times.bare)))
        };
        let middle = row("p50", &median);
        let mut rows = vec![match self.promise_ms {
            Some(limit_ms) => middle.promised(Better::Lower, limit_ms),
            None => middle,
        }];
        let middle = || Row::alone("cold", format!("{title} p50"), "ms", &each(&|times| median(&times.ours)));
        if rounds.iter().all(|times| !times.interpreter.is_empty()) {
            rows.push(middle().versus(INTERPRETER, &each(&|times| median(&times.interpreter))));
        }
        if rounds.iter().all(|times| !times.unpooled.is_empty()) {
            rows.push(middle().versus(POOLS_OFF, &each(&|times| median(&times.unpooled))));
        }
        rows.push(row("min", &|times| quantile(times, 0.0)));
        rows.push(row("p90", &|times| quantile(times, 0.9)));
        rows
    }
}

/// A server with one function.
struct Subject {
    function: Function,
    platform: Platform,
    starts: usize,
}

impl Subject {
    fn start(function: Function, platform: Platform) -> Result<Self, String> {
        let mut client = platform.client()?;
        client.create(function, function.name())?;
        // The first start ever finds the interpreter and fills the page cache; every later one is measured.
        client.invoke(function.name(), EXPECTED)?;
        Ok(Subject { function, platform, starts: 0 })
    }

    fn cold_start_ms(&mut self) -> Result<f64, String> {
        let name = self.function.name();
        self.starts += 1;
        // Connections of their own: a server may close one that was left alone while others had their turn.
        self.platform.client()?.make_cold(name, &self.starts.to_string())?;
        self.platform.settle();
        let (_, since) = self.platform.cold_since(0)?;
        let time = self.platform.client()?.invoke(name, EXPECTED)?;
        match self.platform.cold_among(1, since)? {
            1 => Ok(time.as_secs_f64() * 1e3),
            _ => {
                Err(format!("{name} was started {} times and answered from a warm environment", self.starts))
            }
        }
    }
}

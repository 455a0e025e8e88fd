//! Warm invokes: from one client beside AWS's emulator, from sixteen beside the bare loop, both beside
//! serverless-offline.

use std::net::SocketAddr;

use super::Plan;
use super::bare::Front;
use super::emulator::{self, Emulator};
use super::functions::{EXPECTED, Function};
use super::load::{self, Load, Target};
use super::offline::{self, Offline};
use super::platform::{Platform, invoke_request, signed};
use super::process;
use super::report::{Better, Findings, Row};

/// Clients of `warm-16`.
const MANY: usize = 16;
/// The name of the bare loop in tables.
const BARE: &str = "bare loop";

/// One client, signed requests, signatures checked.
pub(super) fn one_client(plan: &Plan) -> Result<Findings, String> {
    let folder = &plan.folder;
    let platform = Platform::start(&folder.join("data"))?;
    let mut findings = Findings::default();
    let offline = started_offline("warm-1", plan, &mut findings);
    for function in Function::HELLOS {
        platform.client()?.create(function, function.name())?;
        if function == Function::Python {
            refuses_forgery(&platform)?;
        }
        let mut bench = Bench { plan, platform: &platform, function, clients: 1, rounds: Vec::new() };
        let floor = Front::start(function, 1, folder)?;
        let emulator =
            (function == Function::Python).then(|| started_emulator(plan, &mut findings)).flatten();
        let mut references = vec![(BARE, floor.address)];
        references.extend(emulator.iter().map(|emulator| ("emulator", emulator.address)));
        references.extend(for_offline(offline.as_ref(), function));
        let all = bench.run("warm-1", &references, &mut findings)?;
        let title = function.title();
        let is_python = function == Function::Python;
        for (name, loads) in &all {
            let row = |measure: &str, unit: &str, value: fn(&Load) -> f64| {
                let row = Row::alone("warm-1", format!("{title} {measure}"), unit, &bench.each(value));
                row.versus(*name, &each(loads, value))
            };
            let rate = row("rate", "1/s", |load| load.rate_per_s);
            let middle = row("p50", "ms", |load| load.p50_ms);
            let is_promised = is_python && *name == "emulator";
            let limits = |rate: Row, middle: Row| {
                (rate.promised_ratio(Better::Higher, 2.5), middle.promised(Better::Lower, 0.3))
            };
            let (rate, middle) = if is_promised { limits(rate, middle) } else { (rate, middle) };
            findings.rows.extend([rate, middle, row("p99", "ms", |load| load.p99_ms)]);
        }
        findings.rows.extend(bench.processor_time("warm-1"));
    }
    Ok(findings)
}

/// Sixteen clients, every kind of runtime.
pub(super) fn many_clients(plan: &Plan) -> Result<Findings, String> {
    let folder = &plan.folder;
    let platform = Platform::start(&folder.join("data"))?;
    let mut findings = Findings::default();
    let offline = started_offline("warm-16", plan, &mut findings);
    for function in Function::HELLOS {
        platform.client()?.create(function, function.name())?;
        let mut bench = Bench { plan, platform: &platform, function, clients: MANY, rounds: Vec::new() };
        let floor = Front::start(function, MANY, folder)?;
        let mut references = vec![(BARE, floor.address)];
        references.extend(for_offline(offline.as_ref(), function));
        let all = bench.run("warm-16", &references, &mut findings)?;
        let title = function.title();
        for (name, loads) in &all {
            let row = |measure: &str, unit: &str, value: fn(&Load) -> f64| {
                let row = Row::alone("warm-16", format!("{title} {measure}"), unit, &bench.each(value));
                row.versus(*name, &each(loads, value))
            };
            let rate = row("rate", "1/s", |load| load.rate_per_s);
            let rate = if *name == BARE { rate.promised_ratio(Better::Higher, 0.7) } else { rate };
            findings.rows.push(rate);
            findings.rows.push(row("p50", "ms", |load| load.p50_ms));
            findings.rows.push(row("p99", "ms", |load| load.p99_ms));
        }
        let single = bench.rounds.iter().map(|round| round.single_per_s).collect::<Vec<_>>();
        let rate = bench.each(|load| load.rate_per_s);
        findings.rows.push(
            Row::alone("warm-16", format!("{title} rate"), "1/s", &rate).versus("our 1 client", &single),
        );
        findings.rows.extend(bench.processor_time("warm-16"));
    }
    Ok(findings)
}

/// One function under load, and what its rounds gave.
struct Bench<'a> {
    plan: &'a Plan,
    platform: &'a Platform,
    function: Function,
    clients: usize,
    rounds: Vec<Round>,
}

/// What we did in one round.
struct Round {
    load: Load,
    /// The rate of one client, after that of many.
    single_per_s: f64,
    server_cpu_us: f64,
    boxes_cpu_us: f64,
}

impl Bench<'_> {
    /// All rounds: the references first, then we. A reference that fails is out, with a note; when we fail, that is the
    /// end.
    fn run<'n>(
        &mut self,
        scenario: &str,
        references: &[(&'n str, SocketAddr)],
        findings: &mut Findings,
    ) -> Result<Vec<(&'n str, Vec<Load>)>, String> {
        let mut all: Vec<(&str, Vec<Load>)> =
            references.iter().map(|(name, _)| (*name, Vec::new())).collect();
        let mut failed: Vec<&str> = Vec::new();
        // The environments start here: their processor time is not that of calls.
        self.ours()?;
        for _ in 0..self.plan.repeats {
            for ((name, address), (_, loads)) in references.iter().zip(&mut all) {
                if failed.contains(name) {
                    continue;
                }
                match self.reference(name, *address) {
                    Ok(load) => loads.push(load),
                    Err(error) => {
                        findings.note(scenario, format!("{name}, {}: {error}", self.function.title()));
                        failed.push(name);
                    }
                }
            }
            let round = self.ours()?;
            self.rounds.push(round);
        }
        all.retain(|(name, _)| !failed.contains(name));
        Ok(all)
    }

    fn reference(&self, name: &str, address: SocketAddr) -> Result<Load, String> {
        let request = || match name {
            offline::NAME => offline::request(address, self.function),
            _ => emulator::request(address),
        };
        load::run(target(address, &request), self.clients, self.plan.pace())
    }

    fn ours(&self) -> Result<Round, String> {
        let request = || invoke_request(self.platform.address, self.function.name());
        let target = target(self.platform.address, &request);
        let server = || process::cpu_ms(self.platform.pid());
        let boxes =
            || process::tree(self.platform.pid()).iter().skip(1).map(|pid| process::cpu_ms(*pid)).sum();
        let before: (f64, f64) = (server(), boxes());
        let load = load::run(target, self.clients, self.plan.pace())?;
        let after: (f64, f64) = (server(), boxes());
        let per_call = |ms: f64| ms * 1e3 / load.calls as f64;
        let single_per_s = match self.clients {
            1 => load.rate_per_s,
            _ => load::run(target, 1, self.plan.pace())?.rate_per_s,
        };
        let (server_cpu_us, boxes_cpu_us) = (per_call(after.0 - before.0), per_call(after.1 - before.1));
        Ok(Round { load, single_per_s, server_cpu_us, boxes_cpu_us })
    }

    fn each(&self, value: fn(&Load) -> f64) -> Vec<f64> {
        self.rounds.iter().map(|round| value(&round.load)).collect()
    }

    /// Who used the processors for one call: so that one sees that the client did not.
    fn processor_time(&self, scenario: &str) -> Vec<Row> {
        let row = |who: &str, value: fn(&Round) -> f64| {
            let values: Vec<f64> = self.rounds.iter().map(value).collect();
            let measure = format!("{} processor time of {who} per call", self.function.title());
            Row::alone(scenario, measure, "us", &values)
        };
        vec![
            row("the load client", |round| round.load.client_cpu_us),
            row("the server", |round| round.server_cpu_us),
            row("the function", |round| round.boxes_cpu_us),
        ]
    }
}

fn target<'a>(address: SocketAddr, request: &'a (dyn Fn() -> Vec<u8> + Sync)) -> Target<'a> {
    Target { address, request, expected: EXPECTED }
}

fn each(loads: &[Load], value: fn(&Load) -> f64) -> Vec<f64> {
    loads.iter().map(value).collect()
}

fn started_emulator(plan: &Plan, findings: &mut Findings) -> Option<Emulator> {
    let emulator = Emulator::start(&plan.folder);
    emulator.map_err(|error| findings.note("warm-1", format!("no emulator: {error}"))).ok()
}

fn started_offline(scenario: &str, plan: &Plan, findings: &mut Findings) -> Option<Offline> {
    let offline = Offline::start(&[Function::Python, Function::Node], &plan.folder);
    offline.map_err(|error| findings.note(scenario, format!("no {}: {error}", offline::NAME))).ok()
}

/// It has nothing like a native function.
fn for_offline(offline: Option<&Offline>, function: Function) -> Option<(&'static str, SocketAddr)> {
    let offline = offline.filter(|_| function != Function::Native)?;
    Some((offline::NAME, offline.address))
}

/// A request that was changed after it was signed must be refused; otherwise we would measure without the check.
fn refuses_forgery(platform: &Platform) -> Result<(), String> {
    let request =
        signed(platform.address, "POST", "/2015-03-31/functions/python/invocations", "{\"name\":\"a\"}");
    let forged = String::from_utf8_lossy(&request).replace("\"a\"", "\"b\"");
    let connection = super::http::Connection::open(platform.address);
    let mut connection = connection.map_err(|error| error.to_string())?;
    let answer = connection.exchange(forged.as_bytes()).map_err(|error| error.to_string())?;
    match answer.status() {
        Some(403) => Ok(()),
        other => Err(format!("a forged request was answered {other:?}: signatures are not checked")),
    }
}

//! Growth: clients join one after the other until 200 call a function that takes 100 ms, each again and again.
//!
//! Measured is how long after the last client has joined nobody waits any more: from then on, for half a second, 19 of 20
//! answers come within 150 ms. The bare client beside it starts a process for every request that finds none free.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Plan;
use super::bare::Front;
use super::emulator;
use super::functions::{EXPECTED, Function};
use super::http::Connection;
use super::load;
use super::platform::{Platform, invoke_request};
use super::process;
use super::report::{Better, Findings, Row, Series, quantile};

const SCENARIO: &str = "scale-200";
const CLIENTS: usize = 200;
/// Over which time they join.
const GROWTH: Duration = Duration::from_secs(4);
/// How long they may wait after that.
const LIMIT: Duration = Duration::from_secs(20);
/// No waiting: so many answers of a window come within this time.
const WINDOW_S: f64 = 0.5;
const SHARE: f64 = 0.95;
const IN_TIME_MS: f64 = 150.0;
/// What a client does after an error, before it calls again.
const PAUSE: Duration = Duration::from_millis(50);
/// Spans of the plot.
const SPAN_S: f64 = 0.25;

/// One round of us and one of the bare client, in turns.
pub(super) fn scale(plan: &Plan) -> Result<Findings, String> {
    let platform = Platform::start(&plan.folder.join("data"))?;
    let name = Function::Hundred.name();
    let mut client = platform.client()?;
    client.create(Function::Hundred, name)?;
    client.invoke(name, EXPECTED)?;
    let front = Front::growing(Function::Hundred, &plan.folder)?;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for repeat in 0..plan.repeats {
        front.clear();
        bare.push(Growth::run(front.address, &|| emulator::request(front.address), &|| front.pids()));
        front.clear();
        platform.client()?.make_cold(name, &repeat.to_string())?;
        platform.settle();
        let pids = || process::tree(platform.pid());
        ours.push(Growth::run(platform.address, &|| invoke_request(platform.address, name), &pids));
    }
    let mut findings = Findings::default();
    for (name, growths) in [("ours", &ours), ("bare client", &bare)] {
        let settled: Vec<f64> =
            growths.iter().map(|growth| growth.settled_s.unwrap_or(LIMIT.as_secs_f64())).collect();
        let measure = format!("nobody waits, after the last of {CLIENTS} joined: {name}");
        findings.rows.push(Row::alone(SCENARIO, measure, "s", &settled));
        if growths.iter().any(|growth| growth.settled_s.is_none()) {
            findings.note(SCENARIO, format!("{name}: some still waited after {LIMIT:?}"));
        }
    }
    let errors: Vec<f64> = ours.iter().map(|growth| growth.errors.len() as f64).collect();
    if let Some(first) = ours.iter().flat_map(|growth| &growth.errors).next() {
        findings.note(SCENARIO, format!("the first error: {first}"));
    }
    if let Some(first) = bare.iter().flat_map(|growth| &growth.errors).next() {
        findings.note(SCENARIO, format!("the first error of the bare client: {first}"));
    }
    let row = |measure: &str, unit: &str, value: &dyn Fn(&Growth) -> f64| {
        let each = |all: &[Growth]| all.iter().map(value).collect::<Vec<_>>();
        Row::alone(SCENARIO, measure, unit, &each(&ours)).versus("bare client", &each(&bare))
    };
    findings.rows.extend([
        row("p50 while growing", "ms", &|growth| growth.growing_ms(0.5)),
        row("p99 while growing", "ms", &|growth| growth.growing_ms(0.99)),
        row("p99 afterwards", "ms", &|growth| growth.afterwards_ms(0.99)),
        Row::alone(SCENARIO, "errors", "", &errors).promised(Better::Lower, 0.0),
        row("memory, all processes", "MiB", &|growth| growth.memory_mib),
        Row::alone(SCENARIO, "sandboxes", "", &ours.iter().map(|growth| growth.boxes).collect::<Vec<_>>()),
    ]);
    for (name, growths) in [("ours", &ours), ("bare client", &bare)] {
        findings.series.extend(growths.first().map(|growth| growth.series(name)));
    }
    Ok(findings)
}

/// What happened while clients joined, and after.
#[derive(Default)]
struct Growth {
    /// When each answer came, and how long it took.
    answers: Vec<(f64, f64)>,
    errors: Vec<String>,
    /// After the last client joined. `None`: not within the limit.
    settled_s: Option<f64>,
    memory_mib: f64,
    boxes: f64,
}

/// What the clients write to.
#[derive(Default)]
struct Sheet {
    answers: Mutex<Vec<(f64, f64)>>,
    errors: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl Growth {
    fn run(address: SocketAddr, request: &(dyn Fn() -> Vec<u8> + Sync), pids: &dyn Fn() -> Vec<u32>) -> Self {
        let sheet = Sheet::default();
        let started = Instant::now();
        let mut growth = Growth::default();
        growth.settled_s = thread::scope(|scope| {
            for number in 0..CLIENTS {
                let sheet = &sheet;
                let joins = GROWTH.mul_f64(number as f64 / (CLIENTS - 1) as f64);
                scope.spawn(move || sheet.client(address, request, started, joins));
            }
            let settled_s = sheet.watch(started);
            let pids = pids();
            growth.boxes = process::pid_namespaces(&pids) as f64;
            growth.memory_mib = process::pss_of_all_kib(&pids).unwrap_or(0) as f64 / 1024.0;
            sheet.is_over.store(true, Ordering::Relaxed);
            settled_s
        });
        growth.answers = sheet.answers.into_inner().unwrap_or_else(PoisonError::into_inner);
        growth.errors = sheet.errors.into_inner().unwrap_or_else(PoisonError::into_inner);
        growth
    }

    fn growing_ms(&self, share: f64) -> f64 {
        let is_growing = |answer: &&(f64, f64)| answer.0 <= GROWTH.as_secs_f64();
        let times: Vec<f64> = self.answers.iter().filter(is_growing).map(|(_, ms)| *ms).collect();
        quantile(&times, share)
    }

    fn afterwards_ms(&self, share: f64) -> f64 {
        let since_s = (GROWTH + LIMIT).as_secs_f64() - WINDOW_S;
        let since_s = self.settled_s.map_or(since_s, |settled_s| GROWTH.as_secs_f64() + settled_s);
        let is_after = |answer: &&(f64, f64)| answer.0 > since_s && answer.0 <= since_s + WINDOW_S;
        let times: Vec<f64> = self.answers.iter().filter(is_after).map(|(_, ms)| *ms).collect();
        quantile(&times, share)
    }

    /// The slowest of twenty in each span.
    fn series(&self, name: &str) -> Series {
        let last = self.answers.iter().map(|answer| answer.0).fold(0.0, f64::max);
        let spans = (last / SPAN_S).ceil() as usize;
        let point = |span: usize| {
            let (from, to) = (span as f64 * SPAN_S, (span + 1) as f64 * SPAN_S);
            let within = self.answers.iter().filter(|(at, _)| *at >= from && *at < to);
            let times: Vec<f64> = within.map(|(_, ms)| *ms).collect();
            (!times.is_empty()).then(|| (to, quantile(&times, SHARE)))
        };
        Series {
            scenario: SCENARIO.to_owned(),
            name: name.to_owned(),
            axes: ("seconds since the first client".to_owned(), "p95 in ms".to_owned()),
            points: (0..spans).filter_map(point).collect(),
        }
    }
}

impl Sheet {
    fn client(
        &self,
        address: SocketAddr,
        request: &(dyn Fn() -> Vec<u8> + Sync),
        started: Instant,
        joins: Duration,
    ) {
        thread::sleep(joins.saturating_sub(started.elapsed()));
        let mut connection = Connection::open(address);
        // Good for minutes, which is longer than all this takes.
        let request = request();
        while !self.is_over.load(Ordering::Relaxed) {
            let called = Instant::now();
            let outcome = match &mut connection {
                Ok(connection) => load::one(connection, &request, EXPECTED),
                Err(error) => Err(format!("no connection: {error}")),
            };
            match outcome {
                Ok(()) => {
                    let answer = (started.elapsed().as_secs_f64(), called.elapsed().as_secs_f64() * 1e3);
                    self.answers.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
                }
                Err(error) => {
                    self.errors.lock().unwrap_or_else(PoisonError::into_inner).push(error);
                    thread::sleep(PAUSE);
                    connection = Connection::open(address);
                }
            }
        }
    }

    /// Waits until nobody waits; gives when that began, in seconds after the last client joined.
    fn watch(&self, started: Instant) -> Option<f64> {
        thread::sleep(GROWTH);
        while started.elapsed() < GROWTH + LIMIT {
            thread::sleep(Duration::from_millis(50));
            let now_s = started.elapsed().as_secs_f64();
            let window_s = now_s - WINDOW_S;
            if window_s < GROWTH.as_secs_f64() {
                continue;
            }
            let times: Vec<f64> = {
                let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
                answers.iter().rev().take_while(|(at, _)| *at > window_s).map(|(_, ms)| *ms).collect()
            };
            // Who still waits for an answer is not in `times`: there must be as many answers as clients would get.
            let expected = CLIENTS as f64 * WINDOW_S * 1e3 / IN_TIME_MS * SHARE;
            if times.len() as f64 >= expected && quantile(&times, SHARE) <= IN_TIME_MS {
                return Some(window_s - GROWTH.as_secs_f64());
            }
        }
        None
    }
}

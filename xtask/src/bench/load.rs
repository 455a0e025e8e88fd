//! Loads: the same request again and again, from clients that each keep one connection open, or many requests at once.

use std::net::SocketAddr;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use super::http::Connection;
use super::report::quantile;

/// A signed request is signed anew this often; a signature is good for minutes.
const SIGNATURE_LIFE: Duration = Duration::from_secs(1);

/// How long a load lasts.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// How long the callee is called before times are taken.
    pub(super) warm_up: Duration,
    /// How long times are taken.
    pub(super) measured: Duration,
}

/// What is called.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    /// Where.
    pub(super) address: SocketAddr,
    /// The request, made anew now and then.
    pub(super) request: &'a (dyn Fn() -> Vec<u8> + Sync),
    /// What a right answer's body holds.
    pub(super) expected: &'a str,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Good answers per second, of all clients together.
    pub(super) rate_per_s: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    /// Calls, those of the warm-up included.
    pub(super) calls: usize,
    /// Processor time of the clients for one call, in microseconds.
    pub(super) client_cpu_us: f64,
}

/// What one client saw.
#[derive(Default)]
struct Part {
    times_ms: Vec<f64>,
    errors: Vec<String>,
    calls: usize,
    measured_s: f64,
    cpu_us: f64,
}

/// Calls `target` from `clients` connections at the same time. One wrong answer is an error: numbers taken beside it
/// would mean nothing.
pub(super) fn run(target: Target<'_>, clients: usize, pace: Pace) -> Result<Load, String> {
    let barrier = Barrier::new(clients);
    let parts: Vec<Part> = thread::scope(|scope| {
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(|| client(target, pace, &barrier))).collect();
        let broken = |_| Part { errors: vec!["a client thread panicked".to_owned()], ..Part::default() };
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(broken)).collect()
    });
    let mut errors = parts.iter().flat_map(|part| &part.errors);
    if let Some(first) = errors.next() {
        return Err(format!("{} calls failed, the first: {first}", errors.count() + 1));
    }
    let times_ms: Vec<f64> = parts.iter().flat_map(|part| part.times_ms.iter().copied()).collect();
    let calls: usize = parts.iter().map(|part| part.calls).sum();
    Ok(Load {
        rate_per_s: parts.iter().map(|part| part.times_ms.len() as f64 / part.measured_s).sum(),
        p50_ms: quantile(&times_ms, 0.5),
        p99_ms: quantile(&times_ms, 0.99),
        calls,
        client_cpu_us: parts.iter().map(|part| part.cpu_us).sum::<f64>() / calls as f64,
    })
}

fn client(target: Target<'_>, pace: Pace, barrier: &Barrier) -> Part {
    let mut part = Part { times_ms: Vec::with_capacity(1 << 16), ..Part::default() };
    let mut connection = Connection::open(target.address);
    let (mut request, mut signed) = ((target.request)(), Instant::now());
    let mut call = |errors: &mut Vec<String>| {
        if signed.elapsed() > SIGNATURE_LIFE {
            (request, signed) = ((target.request)(), Instant::now());
        }
        let started = Instant::now();
        let outcome = match &mut connection {
            Ok(connection) => one(connection, &request, target.expected),
            Err(error) => Err(format!("no connection: {error}")),
        };
        let time = started.elapsed();
        match outcome {
            Ok(()) => return Some(time.as_secs_f64() * 1e3),
            Err(error) => errors.push(error),
        }
        // A broken connection must not turn into a million errors per second.
        thread::sleep(Duration::from_millis(20));
        connection = Connection::open(target.address);
        None
    };
    let cpu_us = thread_cpu_us();
    barrier.wait();
    let started = Instant::now();
    while started.elapsed() < pace.warm_up {
        call(&mut part.errors);
        part.calls += 1;
    }
    barrier.wait();
    let started = Instant::now();
    while started.elapsed() < pace.measured {
        part.times_ms.extend(call(&mut part.errors));
        part.calls += 1;
    }
    part.measured_s = started.elapsed().as_secs_f64();
    part.cpu_us = thread_cpu_us() - cpu_us;
    part
}

/// Processor time that this thread has used.
fn thread_cpu_us() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// One call, whose answer is checked.
pub(super) fn one(connection: &mut Connection, request: &[u8], expected: &str) -> Result<(), String> {
    body_of(connection, request, expected).map(|_| ())
}

fn body_of<'a>(connection: &'a mut Connection, request: &[u8], expected: &str) -> Result<&'a str, String> {
    let answer = connection.exchange(request).map_err(|error| error.to_string())?;
    let text = std::str::from_utf8(answer.good_body()?).map_err(|error| error.to_string())?;
    if text.contains(expected) { Ok(text) } else { Err(format!("unexpected body: {text}")) }
}

/// What came of requests that were sent at once.
pub(super) struct Storm {
    /// From the first request until the last answer.
    pub(super) all_ms: f64,
    /// Each by itself.
    pub(super) times_ms: Vec<f64>,
    pub(super) bodies: Vec<String>,
}

/// Sends `count` requests at once, each over its own connection, and checks every answer.
pub(super) fn at_once(target: Target<'_>, count: usize) -> Result<Storm, String> {
    let barrier = Barrier::new(count);
    let invoke = || -> Result<(Instant, Instant, String), String> {
        let connection = Connection::open(target.address);
        let request = (target.request)();
        barrier.wait();
        let started = Instant::now();
        let mut connection = connection.map_err(|error| format!("no connection: {error}"))?;
        let body = body_of(&mut connection, &request, target.expected)?.to_owned();
        Ok((started, Instant::now(), body))
    };
    let answers: Vec<Result<_, String>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(invoke)).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|answer| answer.map_err(|_| "a client thread panicked".to_owned())?).collect()
    });
    let wrong = answers.iter().filter(|answer| answer.is_err()).count();
    let answers: Result<Vec<_>, String> = answers.into_iter().collect();
    let answers = answers.map_err(|error| format!("{wrong} of {count} failed, the first: {error}"))?;
    let first = answers.iter().map(|(started, ..)| *started).min().ok_or("nothing was sent")?;
    let last = answers.iter().map(|(_, ended, _)| *ended).max().ok_or("nothing was sent")?;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    Ok(Storm {
        all_ms: ms(last - first),
        times_ms: answers.iter().map(|(started, ended, _)| ms(*ended - *started)).collect(),
        bodies: answers.into_iter().map(|(.., body)| body).collect(),
    })
}

//! A load of the same request again and again, from clients that each keep one connection open.

use std::net::SocketAddr;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use super::http::Connection;

/// How long the callee is called before times are taken.
const WARM_UP: Duration = Duration::from_millis(700);
/// How long times are taken.
const MEASURED: Duration = Duration::from_secs(3);
/// A signed request is signed anew this often; a signature is good for minutes.
const SIGNATURE_LIFE: Duration = Duration::from_secs(1);

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
pub(super) struct Load {
    /// Good answers per second, of all clients together.
    pub(super) rate_per_s: f64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    /// Calls that were not answered as expected.
    pub(super) errors: usize,
    /// The first of them.
    pub(super) first_error: Option<String>,
}

/// Calls `target` from `clients` connections at the same time.
pub(super) fn run(target: Target<'_>, clients: usize) -> Load {
    let barrier = Barrier::new(clients);
    let parts: Vec<(Vec<Duration>, Vec<String>, f64)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(|| client(target, &barrier))).collect();
        let broken = |_| (Vec::new(), vec!["a client thread panicked".to_owned()], 1.0);
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(broken)).collect()
    });
    let rate_per_s = parts.iter().map(|(times, _, seconds)| times.len() as f64 / seconds).sum();
    let errors: Vec<&String> = parts.iter().flat_map(|(_, errors, _)| errors).collect();
    let mut times: Vec<Duration> = parts.iter().flat_map(|(times, ..)| times.iter().copied()).collect();
    times.sort_unstable();
    let quantile_ms = |q: f64| {
        let at = (times.len() as f64 * q) as usize;
        times.get(at.min(times.len().saturating_sub(1))).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    };
    Load {
        rate_per_s,
        p50_ms: quantile_ms(0.5),
        p99_ms: quantile_ms(0.99),
        errors: errors.len(),
        first_error: errors.first().map(|error| (*error).clone()),
    }
}

/// One client: the times of its good calls, its errors, and the seconds it took.
fn client(target: Target<'_>, barrier: &Barrier) -> (Vec<Duration>, Vec<String>, f64) {
    let (mut times, mut errors) = (Vec::with_capacity(1 << 16), Vec::new());
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
            Ok(()) => return Some(time),
            Err(error) => errors.push(error),
        }
        // A broken connection must not turn into a million errors per second.
        thread::sleep(Duration::from_millis(20));
        connection = Connection::open(target.address);
        None
    };
    barrier.wait();
    let started = Instant::now();
    while started.elapsed() < WARM_UP {
        call(&mut errors);
    }
    barrier.wait();
    let started = Instant::now();
    while started.elapsed() < MEASURED {
        times.extend(call(&mut errors));
    }
    (times, errors, started.elapsed().as_secs_f64())
}

/// One call, whose answer is checked.
pub(super) fn one(connection: &mut Connection, request: &[u8], expected: &str) -> Result<(), String> {
    let answer = connection.exchange(request).map_err(|error| error.to_string())?;
    let body = answer.good_body()?;
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    if text.contains(expected) { Ok(()) } else { Err(format!("unexpected body: {text}")) }
}

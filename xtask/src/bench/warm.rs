//! Warm invokes: from one client beside the emulator, from sixteen beside the bare loop.

use std::path::Path;

use super::bare::Front;
use super::emulator::{self, Emulator};
use super::functions::{EXPECTED, Function};
use super::load::{self, Load, Target};
use super::platform::{Platform, invoke_request, signed};
use super::report::{Better, Row};

/// Clients of `warm-16`.
const MANY: usize = 16;

/// One client, Python hello, signed requests, signatures checked.
pub(super) fn one_client(folder: &Path, repeats: usize) -> Result<Vec<Row>, String> {
    let platform = Platform::start(&folder.join("data"))?;
    platform.client()?.create(Function::Python, "python")?;
    refuses_forgery(&platform)?;
    let reference = Emulator::start(folder)?;
    let floor = Front::start(Function::Python, 1, folder)?;
    let (mut ours, mut theirs, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..repeats {
        let request = || emulator::request(reference.address);
        theirs.push(checked(target(reference.address, &request), 1)?);
        let request = || invoke_request(platform.address, "python");
        ours.push(checked(target(platform.address, &request), 1)?);
        let request = || emulator::request(floor.address);
        bare.push(checked(target(floor.address, &request), 1)?);
    }
    let row = |measure, unit, value: fn(&Load) -> f64| {
        Row::beside("warm-1", measure, unit, (&each(&ours, value), &each(&theirs, value)))
    };
    let rate = |load: &Load| load.rate_per_s;
    Ok(vec![
        row("Python rate, vs emulator", "1/s", rate).promised(Better::Higher, 1.5),
        row("Python p50, vs emulator", "ms", |load| load.p50_ms),
        row("Python p99, vs emulator", "ms", |load| load.p99_ms),
        Row::beside("warm-1", "Python rate, vs bare loop", "1/s", (&each(&ours, rate), &each(&bare, rate))),
    ])
}

/// Sixteen clients, every kind of runtime.
pub(super) fn many_clients(folder: &Path, repeats: usize) -> Result<Vec<Row>, String> {
    let platform = Platform::start(&folder.join("data"))?;
    let mut rows = Vec::new();
    for function in Function::HELLOS {
        let name = function.name();
        platform.client()?.create(function, name)?;
        let floor = Front::start(function, MANY, folder)?;
        let (mut ours, mut single, mut bare) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..repeats {
            let request = || emulator::request(floor.address);
            bare.push(checked(target(floor.address, &request), MANY)?);
            let request = || invoke_request(platform.address, name);
            ours.push(checked(target(platform.address, &request), MANY)?);
            single.push(checked(target(platform.address, &request), 1)?);
        }
        let row = |measure: &str, unit, value: fn(&Load) -> f64, reference: &[Load]| {
            let values = (each(&ours, value), each(reference, value));
            Row::beside("warm-16", format!("{name} {measure}"), unit, (&values.0, &values.1))
        };
        let rate = |load: &Load| load.rate_per_s;
        rows.push(row("rate, vs bare loop", "1/s", rate, &bare).promised(Better::Higher, 0.7));
        rows.push(row("p50, vs bare loop", "ms", |load| load.p50_ms, &bare));
        rows.push(row("p99, vs bare loop", "ms", |load| load.p99_ms, &bare));
        rows.push(row("rate, vs our 1 client", "1/s", rate, &single));
    }
    Ok(rows)
}

fn target<'a>(address: std::net::SocketAddr, request: &'a (dyn Fn() -> Vec<u8> + Sync)) -> Target<'a> {
    Target { address, request, expected: EXPECTED }
}

/// A load without a single error; anything else ends the benchmark, because such numbers mean nothing.
fn checked(target: Target<'_>, clients: usize) -> Result<Load, String> {
    let load = load::run(target, clients);
    match &load.first_error {
        None => Ok(load),
        Some(error) => Err(format!("{} calls failed, the first: {error}", load.errors)),
    }
}

fn each(loads: &[Load], value: fn(&Load) -> f64) -> Vec<f64> {
    loads.iter().map(value).collect()
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

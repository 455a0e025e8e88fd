//! A burst as large as what is provisioned, beside the same burst on environments that start on demand.

use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::functions::{EVENT, EXPECTED, Function};
use super::http::Connection;
use super::platform::Platform;
use super::report::{Better, Row};
use crate::tools::say;

/// Environments provisioned, and invokes at once. The function takes 200 ms, so that none serves two of them.
const BURST: usize = 20;
const FUNCTIONS: &str = "/2015-03-31/functions";
/// How long the environments may take to be ready.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// No cold start, and how long the answers take.
pub(super) fn burst(folder: &Path, repeats: usize) -> Result<Vec<Row>, String> {
    let platform = Platform::start(&folder.join("data"))?;
    let name = Function::Slow.name();
    let mut client = platform.client()?;
    client.create(Function::Slow, name)?;
    client.call("POST", &format!("{FUNCTIONS}/{name}/versions"), "{}")?;
    let config = format!("/2019-09-30/functions/{name}/provisioned-concurrency?Qualifier=1");
    client.call("PUT", &config, &format!("{{\"ProvisionedConcurrentExecutions\":{BURST}}}"))?;
    let began = Instant::now();
    while client.call("GET", &config, "")?["Status"] != "READY" {
        if began.elapsed() > READY_LIMIT {
            return Err(format!("{BURST} environments were not ready within {READY_LIMIT:?}"));
        }
        thread::sleep(Duration::from_millis(20));
    }
    say(&format!("{BURST} environments were provisioned in {:.2} s", began.elapsed().as_secs_f64()));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for repeat in 0..repeats {
        client.make_cold(name, &repeat.to_string())?;
        theirs.push(one_burst(&platform, &format!("{FUNCTIONS}/{name}/invocations"))?);
        ours.push(one_burst(&platform, &format!("{FUNCTIONS}/{name}/invocations?Qualifier=1"))?);
    }
    let each = |all: &[Burst], value: fn(&Burst) -> f64| all.iter().map(value).collect::<Vec<_>>();
    let row = |measure: &str, value: fn(&Burst) -> f64| {
        Row::beside("provisioned-burst", measure, "ms", (&each(&ours, value), &each(&theirs, value)))
    };
    let most = |all: &[Burst]| all.iter().map(|burst| burst.cold).fold(0.0, f64::max);
    Ok(vec![
        Row::alone("provisioned-burst", format!("cold starts of {BURST} provisioned"), "", &[most(&ours)])
            .promised(Better::Lower, 0.0),
        Row::alone("provisioned-burst", format!("cold starts of {BURST} on demand"), "", &[most(&theirs)]),
        row("p50, 200 ms each, vs on demand", |burst| burst.p50_ms),
        row("p99, 200 ms each, vs on demand", |burst| burst.p99_ms),
    ])
}

struct Burst {
    p50_ms: f64,
    p99_ms: f64,
    cold: f64,
}

/// All at once; every answer is checked.
fn one_burst(platform: &Platform, path: &str) -> Result<Burst, String> {
    let (_, since) = cold_since(platform, 0)?;
    let barrier = Barrier::new(BURST);
    let invoke = || -> Result<f64, String> {
        let client = platform.client();
        barrier.wait();
        let started = Instant::now();
        let answer = client?.call("POST", path, EVENT)?.to_string();
        let took_ms = started.elapsed().as_secs_f64() * 1e3;
        if answer.contains(EXPECTED) { Ok(took_ms) } else { Err(format!("unexpected body: {answer}")) }
    };
    let times: Result<Vec<f64>, String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..BURST).map(|_| scope.spawn(invoke)).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|time| time.map_err(|_| "a client thread panicked".to_owned())?).collect()
    });
    let mut times = times?;
    times.sort_by(f64::total_cmp);
    let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)];
    // The last records are written when the answers leave.
    let began = Instant::now();
    loop {
        let (cold, last) = cold_since(platform, since)?;
        if last >= since + BURST as u64 || began.elapsed() > Duration::from_secs(5) {
            return Ok(Burst { p50_ms: at(50), p99_ms: at(99), cold: cold as f64 });
        }
    }
}

/// How many invocations after this one had a cold start, and the last of all.
fn cold_since(platform: &Platform, since: u64) -> Result<(usize, u64), String> {
    let wrong = |error: std::io::Error| format!("the records cannot be read: {error}");
    let mut connection = Connection::open(platform.address).map_err(wrong)?;
    let request = format!(
        "GET /_lamplighter/invocations?since={since} HTTP/1.1\r\nHost: {}\r\nx-lamplighter: 1\r\n\r\n",
        platform.address
    );
    let answer = connection.exchange(request.as_bytes()).map_err(wrong)?;
    let answer: Value = serde_json::from_slice(answer.good_body()?).map_err(|error| error.to_string())?;
    let records = answer["invocations"].as_array().ok_or("the records are no list")?;
    let cold = records.iter().filter(|record| record["cold"] == true).count();
    Ok((cold, answer["last"].as_u64().unwrap_or(since)))
}

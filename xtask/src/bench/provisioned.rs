//! A burst as large as what is provisioned, beside the same burst on environments that start on demand.

use std::thread;
use std::time::{Duration, Instant};

use super::Plan;
use super::functions::{EVENT, EXPECTED, Function};
use super::load::{self, Target};
use super::platform::{FUNCTIONS, Platform, signed};
use super::report::{Better, Findings, Row, quantile};
use crate::tools::say;

/// Environments provisioned, and invokes at once. The function takes 200 ms, so that none serves two of them.
const BURST: usize = 20;
/// How long the environments may take to be ready.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// No cold start, and how long the answers take.
pub(super) fn burst(plan: &Plan) -> Result<Findings, String> {
    let platform = Platform::start(&plan.folder.join("data"))?;
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
    for repeat in 0..plan.repeats {
        client.make_cold(name, &repeat.to_string())?;
        theirs.push(one_burst(&platform, &format!("{FUNCTIONS}/{name}/invocations"))?);
        ours.push(one_burst(&platform, &format!("{FUNCTIONS}/{name}/invocations?Qualifier=1"))?);
    }
    let each = |all: &[Burst], value: fn(&Burst) -> f64| all.iter().map(value).collect::<Vec<_>>();
    let row = |measure: &str, value: fn(&Burst) -> f64| {
        let row = Row::alone("provisioned-burst", measure, "ms", &each(&ours, value));
        row.versus("on demand", &each(&theirs, value))
    };
    let most = |all: &[Burst]| all.iter().map(|burst| burst.cold).fold(0.0, f64::max);
    Ok(vec![
        Row::alone("provisioned-burst", format!("cold starts of {BURST} provisioned"), "", &[most(&ours)])
            .promised(Better::Lower, 0.0),
        Row::alone("provisioned-burst", format!("cold starts of {BURST} on demand"), "", &[most(&theirs)]),
        row("p50, 200 ms each", |burst| burst.p50_ms),
        row("p99, 200 ms each", |burst| burst.p99_ms),
    ]
    .into())
}

struct Burst {
    p50_ms: f64,
    p99_ms: f64,
    cold: f64,
}

/// All at once; every answer is checked.
fn one_burst(platform: &Platform, path: &str) -> Result<Burst, String> {
    let (_, since) = platform.cold_since(0)?;
    let request = || signed(platform.address, "POST", path, EVENT);
    let target = Target { address: platform.address, request: &request, expected: EXPECTED };
    let storm = load::at_once(target, BURST)?;
    let cold = platform.cold_among(BURST, since)?;
    let at = |share| quantile(&storm.times_ms, share);
    Ok(Burst { p50_ms: at(0.5), p99_ms: at(0.99), cold: cold as f64 })
}

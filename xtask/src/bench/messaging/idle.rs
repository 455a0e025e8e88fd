//! `queue-idle`: what ten thousand queues cost that nobody uses: memory, processor time, and time to start.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::super::Plan;
use super::super::platform::Platform;
use super::super::process;
use super::super::report::{Better, Findings, Row};
use super::{Client, in_threads, or_skipped};

const SCENARIO: &str = "queue-idle";
const QUEUES: usize = 10_000;
/// In a quick run.
const FEWER: usize = 1000;
const CREATORS: usize = 16;
/// How long the server is watched while it does nothing.
const WATCHED: Duration = Duration::from_secs(5);
/// Left alone before that.
const SETTLING: Duration = Duration::from_secs(1);
/// Milliseconds of a processor in a second, at most.
const CPU_MS_PER_S: f64 = 5.0;
/// More memory than without queues, at most.
const GROWTH_MIB: f64 = 20.0;
/// More time to start than without queues, at most.
const START_RATIO: f64 = 2.0;

/// A server with queues and one without.
pub(in super::super) fn idle(plan: &Plan) -> Result<Findings, String> {
    or_skipped(SCENARIO, measure(plan))
}

fn measure(plan: &Plan) -> Result<Findings, String> {
    let (data, empty) = (plan.folder.join("data"), plan.folder.join("empty"));
    let count = if plan.is_quick { FEWER } else { QUEUES };
    let platform = Platform::start(&data)?;
    let started = Instant::now();
    in_threads(CREATORS, |number| {
        let mut client = Client::open(platform.address)?;
        for at in (number..count).step_by(CREATORS) {
            client.create_queue(&format!("queue-{at}"), &json!({}))?;
        }
        Ok(())
    })?;
    let created_per_s = count as f64 / started.elapsed().as_secs_f64();
    platform.stop()?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..plan.repeats {
        without.push(round(&empty)?);
        with.push(round(&data)?);
    }
    let of = |all: &[Round], value: fn(&Round) -> f64| all.iter().map(value).collect::<Vec<f64>>();
    let growth: Vec<f64> =
        with.iter().zip(&without).map(|(with, without)| with.memory_mib - without.memory_mib).collect();
    let row = |measure: &str, unit: &str, value: fn(&Round) -> f64| {
        Row::alone(SCENARIO, format!("{measure}, {count} queues"), unit, &of(&with, value))
            .versus("our server without queues", &of(&without, value))
    };
    let rows = vec![
        Row::alone(
            SCENARIO,
            format!("processor time, idle, {count} queues"),
            "ms/s",
            &of(&with, |round| round.cpu),
        )
        .promised(Better::Lower, CPU_MS_PER_S),
        Row::alone(SCENARIO, format!("more memory, idle, {count} queues"), "MiB", &growth)
            .promised(Better::Lower, GROWTH_MIB),
        row("start to first answer", "ms", |round| round.start_ms).promised_ratio(Better::Lower, START_RATIO),
        row("memory, idle", "MiB", |round| round.memory_mib),
        Row::alone(SCENARIO, "queues created, 16 clients, durable", "1/s", &[created_per_s]),
    ];
    Ok(rows.into())
}

struct Round {
    start_ms: f64,
    memory_mib: f64,
    /// Milliseconds of processor time in a second.
    cpu: f64,
}

fn round(data: &Path) -> Result<Round, String> {
    let started = Instant::now();
    let platform = Platform::start(data)?;
    let mut client = Client::open(platform.address)?;
    client.sqs("ListQueues", &json!({ "MaxResults": 1 }))?;
    let start_ms = started.elapsed().as_secs_f64() * 1e3;
    thread::sleep(SETTLING);
    platform.settle();
    let before_ms = process::cpu_ms(platform.pid());
    let watched = Instant::now();
    thread::sleep(WATCHED);
    let used_ms = process::cpu_ms(platform.pid()) - before_ms;
    let cpu = used_ms / watched.elapsed().as_secs_f64();
    let memory_mib = process::pss_of_all_kib(&process::tree(platform.pid()))? as f64 / 1024.0;
    platform.stop()?;
    Ok(Round { start_ms, memory_mib, cpu })
}

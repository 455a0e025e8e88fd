//! Asynchronous invokes: how fast events are accepted, each on disk before its answer, and how fast a queue is drained
//! beside what the same environments do for clients that wait.
//!
//! The function's events are delayed by a tag, so that accepting and draining are measured one after the other; then the
//! platform's clock is moved on. The drain is read from the times of the function's own REPORT lines.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Plan;
use super::functions::{EVENT, EXPECTED, Function};
use super::http::Connection;
use super::load::{self, Load, Target};
use super::platform::{Client, FUNCTIONS, Platform, invoke_request, signed_for};
use super::report::{Better, Findings, Row};

/// Clients that send events.
const SENDERS: usize = 16;
/// Environments that work on them: the function's reserved concurrency.
const WORKERS: usize = 10;
/// The longest delay that a tag may ask for.
const DELAY_MS: u64 = 900_000;
/// Events per second, at least.
const ACCEPTED_PER_S: f64 = 5000.0;
/// Of what the environments do for clients that wait, at least.
const DRAINED: f64 = 0.9;
/// A drain takes seconds.
const LIMIT: Duration = Duration::from_secs(300);
const NAME: &str = "wait";

/// Accepts events for a few seconds, then drains them, in every round.
pub(super) fn accept_and_drain(plan: &Plan) -> Result<Findings, String> {
    let folder = &plan.folder;
    let (mut accepted, mut drained, mut own) = (Vec::new(), Vec::new(), Vec::new());
    let mut synced = Vec::new();
    for round in 0..plan.repeats {
        let platform = Platform::start(&folder.join(format!("data{round}")))?;
        let mut client = platform.client()?;
        client.create(Function::Wait, NAME)?;
        own.push(environments(&platform, plan)?);
        // Only now: clients that wait have a limit of ten requests per second for each reserved environment.
        let path = format!("/2017-10-31/functions/{NAME}/concurrency");
        client.call("PUT", &path, &json!({ "ReservedConcurrentExecutions": WORKERS }).to_string())?;
        delay(&mut client)?;
        synced.push(syncs(folder)? * SENDERS as f64);
        let load = senders(&platform, plan)?;
        accepted.push(load.rate_per_s);
        // To where all events are due.
        platform.advance(DELAY_MS + 1000)?;
        drained.push(drain(&platform)?);
    }
    Ok(vec![
        Row::alone("async", "accepted, 16 clients, durable", "1/s", &accepted)
            .promised(Better::Higher, ACCEPTED_PER_S),
        // Each client waits for its event to be on disk: with all of them in every sync, this is the most there can be.
        Row::alone("async", "accepted, 16 clients, durable", "1/s", &accepted)
            .versus("all 16 in every sync", &synced),
        Row::alone("async", "drained", "1/s", &drained)
            .versus("10 clients that wait", &own)
            .promised_ratio(Better::Higher, DRAINED),
    ]
    .into())
}

/// What the environments do for as many clients as there may be environments.
fn environments(platform: &Platform, plan: &Plan) -> Result<f64, String> {
    let request = || invoke_request(platform.address, NAME);
    let target = Target { address: platform.address, request: &request, expected: EXPECTED };
    Ok(load::run(target, WORKERS, plan.pace())?.rate_per_s)
}

fn senders(platform: &Platform, plan: &Plan) -> Result<Load, String> {
    let path = format!("{FUNCTIONS}/{NAME}/invocations");
    let event = [("x-amz-invocation-type", "Event")];
    let request = || signed_for("lambda", platform.address, "POST", &path, &event, EVENT);
    load::run(Target { address: platform.address, request: &request, expected: "" }, SENDERS, plan.pace())
}

/// How often the disk syncs a few kilobytes at the end of a file, per second.
pub(super) fn syncs(folder: &Path) -> Result<f64, String> {
    const MEASURED: Duration = Duration::from_secs(1);
    let wrong = |error: std::io::Error| format!("the disk cannot be measured: {error}");
    let mut file = File::create(folder.join("syncs")).map_err(wrong)?;
    let (started, mut count) = (Instant::now(), 0);
    while started.elapsed() < MEASURED {
        file.write_all(&[0; 4096]).and_then(|()| file.sync_data()).map_err(wrong)?;
        count += 1;
    }
    Ok(f64::from(count) / started.elapsed().as_secs_f64())
}

/// Delays the function's events.
fn delay(client: &mut Client) -> Result<(), String> {
    let arn = format!("arn:aws:lambda:us-east-1:000000000000:function:{NAME}");
    let tags = json!({ "Tags": { "lamplighter:async-delay-ms": DELAY_MS.to_string() } });
    client.send("POST", &format!("/2017-03-31/tags/{arn}"), &tags.to_string())
}

/// Waits until no more events run; gives the rate, by the times of the REPORT lines since the clock was moved on.
fn drain(platform: &Platform) -> Result<f64, String> {
    let started = Instant::now();
    let (mut last, mut quiet) = (None, 0);
    // Quiet for two seconds: logs are written at least every second.
    while quiet < 4 {
        if started.elapsed() > LIMIT {
            return Err("the queue was not drained in time".to_owned());
        }
        std::thread::sleep(Duration::from_millis(500));
        let newest = newest_line(platform)?;
        quiet = if newest == last && newest.is_some() { quiet + 1 } else { 0 };
        last = newest;
    }
    let mut times = reports(platform)?;
    times.sort_unstable();
    // What ran before the clock was moved on is older by all of that.
    let since = times.last().map_or(0, |last| last - i64::try_from(DELAY_MS / 2).unwrap_or(0));
    times.retain(|time| *time > since);
    match (times.first(), times.last()) {
        (Some(first), Some(last)) if last > first => {
            Ok((times.len() - 1) as f64 * 1000.0 / (last - first) as f64)
        }
        _ => Err("no event ran".to_owned()),
    }
}

/// The time of the newest line of the function's log.
fn newest_line(platform: &Platform) -> Result<Option<i64>, String> {
    let streams = streams(platform)?;
    Ok(streams.iter().filter_map(|stream| stream["lastEventTimestamp"].as_i64()).max())
}

fn streams(platform: &Platform) -> Result<Vec<Value>, String> {
    let group = json!({ "logGroupName": format!("/aws/lambda/{NAME}") });
    let answer = logs(platform, "DescribeLogStreams", &group)?;
    Ok(answer["logStreams"].as_array().cloned().unwrap_or_default())
}

/// The time of every REPORT line of the function.
fn reports(platform: &Platform) -> Result<Vec<i64>, String> {
    let mut times = Vec::new();
    for stream in streams(platform)? {
        let mut token = Value::Null;
        loop {
            let mut request = json!({
                "logGroupName": format!("/aws/lambda/{NAME}"),
                "logStreamName": stream["logStreamName"],
                "startFromHead": true,
            });
            if !token.is_null() {
                request["nextToken"] = token.clone();
            }
            let page = logs(platform, "GetLogEvents", &request)?;
            let events = page["events"].as_array().cloned().unwrap_or_default();
            let is_report =
                |event: &&Value| event["message"].as_str().is_some_and(|text| text.starts_with("REPORT"));
            times.extend(events.iter().filter(is_report).filter_map(|event| event["timestamp"].as_i64()));
            if events.is_empty() || page["nextForwardToken"] == token {
                break;
            }
            token = page["nextForwardToken"].clone();
        }
    }
    Ok(times)
}

fn logs(platform: &Platform, operation: &str, request: &Value) -> Result<Value, String> {
    let target = format!("Logs_20140328.{operation}");
    let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amz-target", target.as_str())];
    let request = signed_for("logs", platform.address, "POST", "/", &headers, &request.to_string());
    let wrong = |error: std::io::Error| format!("{operation}: {error}");
    let mut connection = Connection::open(platform.address).map_err(wrong)?;
    let answer = connection.exchange(&request).map_err(wrong)?;
    serde_json::from_slice(answer.good_body()?).map_err(|error| format!("{operation}: no JSON: {error}"))
}

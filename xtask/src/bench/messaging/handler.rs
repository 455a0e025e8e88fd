//! `queue-to-handler`: from sending a message to the start of the handler that an event source mapping calls with it.
//!
//! The message says when it was sent, the handler prints how long ago that is, by the same clock; what it printed is
//! read from its logs.

use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use super::super::Plan;
use super::super::functions::Function;
use super::super::platform::{Platform, signed_for};
use super::super::report::{Better, Findings, Row, quantile};
use super::{Client, QUEUE_ARN, or_skipped, sqs_request};

const SCENARIO: &str = "queue-to-handler";
const NAME: &str = "queued";
const MESSAGES: usize = 200;
/// Before times are taken.
const WARM_UP: usize = 20;
/// From one message to the next.
const PAUSE: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(60);
const P50_MS: f64 = 5.0;
const MAPPINGS: &str = "/2015-03-31/event-source-mappings/";

/// One queue, one function, one message at a time.
pub(in super::super) fn handler(plan: &Plan) -> Result<Findings, String> {
    or_skipped(SCENARIO, measure(plan))
}

fn measure(plan: &Plan) -> Result<Findings, String> {
    let platform = Platform::start(&plan.folder.join("data"))?;
    let mut client = Client::open(platform.address)?;
    let url = client.create_queue(NAME, &json!({ "VisibilityTimeout": "180" }))?;
    let mut lambda = platform.client()?;
    lambda.create(Function::Queued, NAME)?;
    let mapping =
        json!({ "EventSourceArn": format!("{QUEUE_ARN}{NAME}"), "FunctionName": NAME, "BatchSize": 1 });
    let mapping = lambda.call("POST", MAPPINGS, &mapping.to_string())?;
    let id = mapping["UUID"].as_str().ok_or("a mapping without an id")?;
    let started = Instant::now();
    while lambda.call("GET", &format!("{MAPPINGS}{id}"), "")?["State"] != "Enabled" {
        if started.elapsed() > LIMIT {
            return Err("the mapping was not enabled".to_owned());
        }
        thread::sleep(Duration::from_millis(20));
    }
    send(&mut client, &url, WARM_UP)?;
    let mut seen = latencies(&mut client, WARM_UP)?.len();
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    for _ in 0..plan.repeats {
        let count = if plan.is_quick { MESSAGES / 4 } else { MESSAGES };
        send(&mut client, &url, count)?;
        let all = latencies(&mut client, seen + count)?;
        let own = all.get(seen..).unwrap_or_default();
        seen = all.len();
        p50.push(quantile(own, 0.5));
        p99.push(quantile(own, 0.99));
    }
    let rows = vec![
        Row::alone(SCENARIO, "send to handler's start p50, warm", "ms", &p50).promised(Better::Lower, P50_MS),
        Row::alone(SCENARIO, "send to handler's start p99, warm", "ms", &p99),
    ];
    Ok(rows.into())
}

fn send(client: &mut Client, url: &str, count: usize) -> Result<(), String> {
    for _ in 0..count {
        let now = clock_gettime(ClockId::Realtime);
        let now_ns = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
        let body = json!({ "QueueUrl": url, "MessageBody": now_ns.to_string() }).to_string();
        let request = sqs_request(client.address, "SendMessage", &body);
        client.exchange(&request).map_err(|error| format!("SendMessage: {error}"))?;
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// What the handler printed, in milliseconds and in order, once there are so many lines.
fn latencies(client: &mut Client, count: usize) -> Result<Vec<f64>, String> {
    let started = Instant::now();
    loop {
        let found = printed(client)?;
        if found.len() == count {
            return Ok(found);
        }
        if found.len() > count || started.elapsed() > LIMIT {
            return Err(format!("{count} messages were sent, {} handled", found.len()));
        }
        thread::sleep(Duration::from_millis(100));
    }
}

fn printed(client: &mut Client) -> Result<Vec<f64>, String> {
    let mut found = Vec::new();
    let mut token = Value::Null;
    loop {
        let mut request = json!({ "logGroupName": format!("/aws/lambda/{NAME}"), "filterPattern": "LATENCY", "limit": 10_000 });
        if !token.is_null() {
            request["nextToken"] = token;
        }
        let headers = [
            ("content-type", "application/x-amz-json-1.1"),
            ("x-amz-target", "Logs_20140328.FilterLogEvents"),
        ];
        let request = signed_for("logs", client.address, "POST", "/", &headers, &request.to_string());
        let page = match client.json(&request) {
            // Nothing has been written yet.
            Err(error) if error.contains("ResourceNotFoundException") => return Ok(found),
            page => page.map_err(|error| format!("FilterLogEvents: {error}"))?,
        };
        for event in page["events"].as_array().into_iter().flatten() {
            let text = event["message"].as_str().unwrap_or_default();
            let ns = text.trim().strip_prefix("LATENCY ").and_then(|text| text.parse::<f64>().ok());
            found.push(ns.ok_or_else(|| format!("the handler printed {text}"))? / 1e6);
        }
        token = page["nextToken"].clone();
        if token.is_null() {
            return Ok(found);
        }
    }
}

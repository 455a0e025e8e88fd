//! `queue-million`: receiving from a queue with a million messages beside one with a thousand, in turns.
//!
//! Each message received is deleted and another is sent, so that both stay as long as they are; only receiving is timed.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::Plan;
use super::super::platform::Platform;
use super::super::process;
use super::super::report::{Better, Findings, Row, quantile};
use super::{Client, in_threads, member, or_skipped, sqs_request};

const SCENARIO: &str = "queue-million";
const FEW: usize = 1000;
const MANY: usize = 1_000_000;
/// In a quick run.
const FEWER: usize = 100_000;
const RECEIVES: usize = 2000;
const SENDERS: usize = 16;
const BATCH: usize = 10;
/// Times as long as with a thousand messages, at most.
const RATIO: f64 = 1.5;
/// Until the first answer of a server that is started again.
const LIMIT: Duration = Duration::from_secs(120);

/// Fills two queues and receives from both in turns.
pub(in super::super) fn million(plan: &Plan) -> Result<Findings, String> {
    or_skipped(SCENARIO, measure(plan))
}

fn measure(plan: &Plan) -> Result<Findings, String> {
    let data = plan.folder.join("data");
    let many = if plan.is_quick { FEWER } else { MANY };
    let platform = Platform::start(&data)?;
    let mut client = Client::open(platform.address)?;
    let small = client.create_queue("small", &json!({}))?;
    let large = client.create_queue("large", &json!({}))?;
    fill(platform.address, &small, FEW)?;
    let before_kib = process::pss_kib(platform.pid())?;
    let started = Instant::now();
    fill(platform.address, &large, many)?;
    let filled_per_s = many as f64 / started.elapsed().as_secs_f64();
    let held_mib = (process::pss_kib(platform.pid())? as f64 - before_kib as f64) / 1024.0;
    let count = counted(&mut client, &large)?;
    if count != many as u64 {
        return Err(format!("{many} messages were sent, and ApproximateNumberOfMessages is {count}"));
    }
    let (mut few_times, mut many_times) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for _ in 0..plan.repeats {
        for (url, times) in [(&small, &mut few_times), (&large, &mut many_times)] {
            let received =
                receive(platform.address, url, if plan.is_quick { RECEIVES / 4 } else { RECEIVES })?;
            times[0].push(quantile(&received, 0.5));
            times[1].push(quantile(&received, 0.99));
        }
    }
    drop(client);
    platform.stop()?;
    let restart_ms = restart(&data, &large)?;
    let versus = "our queue of 1,000";
    let rows = vec![
        Row::alone(SCENARIO, format!("receive p50, {many} messages"), "ms", &many_times[0])
            .versus(versus, &few_times[0]),
        Row::alone(SCENARIO, format!("receive p99, {many} messages"), "ms", &many_times[1])
            .versus(versus, &few_times[1])
            .promised_ratio(Better::Lower, RATIO),
        Row::alone(SCENARIO, "messages sent, batches of 10, 16 clients, durable", "1/s", &[filled_per_s]),
        Row::alone(SCENARIO, format!("growth of the server with {many} messages"), "MiB", &[held_mib]),
        Row::alone(
            SCENARIO,
            format!("start to first message received, {many} messages"),
            "ms",
            &[restart_ms],
        ),
    ];
    Ok(rows.into())
}

fn fill(address: SocketAddr, url: &str, count: usize) -> Result<(), String> {
    let body = "x".repeat(100);
    let entries: Vec<Value> =
        (0..BATCH).map(|id| json!({ "Id": id.to_string(), "MessageBody": body })).collect();
    let request = json!({ "QueueUrl": url, "Entries": entries }).to_string();
    let batches = count / BATCH;
    in_threads(SENDERS, |number| {
        let mut client = Client::open(address)?;
        let own = batches / SENDERS + usize::from(number < batches % SENDERS);
        let mut signed = sqs_request(address, "SendMessageBatch", &request);
        for at in 0..own {
            // A signature is good for minutes.
            if at % 1000 == 999 {
                signed = sqs_request(address, "SendMessageBatch", &request);
            }
            let answer = client.exchange(&signed).map_err(|error| format!("SendMessageBatch: {error}"))?;
            let failed: &[u8] = b"\"SenderFault\"";
            if answer.windows(failed.len()).any(|part| part == failed) {
                return Err(format!("SendMessageBatch: {}", String::from_utf8_lossy(answer)));
            }
        }
        Ok(())
    })
    .map(|_| ())
}

fn counted(client: &mut Client, url: &str) -> Result<u64, String> {
    let names = ["ApproximateNumberOfMessages"];
    let answer = client.sqs("GetQueueAttributes", &json!({ "QueueUrl": url, "AttributeNames": names }))?;
    let text = answer["Attributes"][names[0]].as_str().unwrap_or_default();
    text.parse().map_err(|_| format!("GetQueueAttributes: {answer}"))
}

/// Receives one message after the other; how long each took, in milliseconds.
fn receive(address: SocketAddr, url: &str, count: usize) -> Result<Vec<f64>, String> {
    let mut client = Client::open(address)?;
    let receive = json!({ "QueueUrl": url, "MaxNumberOfMessages": 1 }).to_string();
    let send = json!({ "QueueUrl": url, "MessageBody": "x".repeat(100) }).to_string();
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let request = sqs_request(address, "ReceiveMessage", &receive);
        let started = Instant::now();
        let answer = client.exchange(&request).map_err(|error| format!("ReceiveMessage: {error}"))?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
        let handle = member(answer, "ReceiptHandle").ok_or("ReceiveMessage gave nothing")?;
        let delete = json!({ "QueueUrl": url, "ReceiptHandle": handle }).to_string();
        client.exchange(&sqs_request(address, "DeleteMessage", &delete))?;
        client.exchange(&sqs_request(address, "SendMessage", &send))?;
    }
    Ok(times)
}

/// From the start of a process to the first message that it hands out.
fn restart(data: &Path, url: &str) -> Result<f64, String> {
    let started = Instant::now();
    let platform = Platform::start(data)?;
    let mut client = Client::open(platform.address)?;
    while started.elapsed() < LIMIT {
        let answer = client.sqs("ReceiveMessage", &json!({ "QueueUrl": url, "WaitTimeSeconds": 20 }))?;
        if answer["Messages"][0]["MessageId"].is_string() {
            return Ok(started.elapsed().as_secs_f64() * 1e3);
        }
    }
    Err("the messages of a server that was started again did not come".to_owned())
}

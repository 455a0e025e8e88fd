//! `queue`: send, receive and delete again and again from sixteen clients, every request signed, beside MiniStack.

use std::net::SocketAddr;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde_json::json;

use super::super::Plan;
use super::super::asynchronous::syncs;
use super::super::load::Pace;
use super::super::ministack::{self, MiniStack};
use super::super::platform::Platform;
use super::super::report::{Better, Findings, Row, quantile};
use super::{Client, in_threads, member, or_skipped, sqs_request};

const SCENARIO: &str = "queue";
const CLIENTS: usize = 16;
/// A signed request that stays the same is signed anew this often.
const SIGNATURE_LIFE: Duration = Duration::from_secs(1);
/// A queue may give nothing although it has something, but not all the time.
const EMPTY_LIMIT: usize = 1000;
/// Cycles per second of the reference, at least.
const RATIO: f64 = 10.0;
/// What is sent: 100 characters.
const BODY: &str =
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789";

/// What one server did.
#[derive(Clone, Copy)]
struct Cycles {
    rate_per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    send_p50_ms: f64,
    receive_p50_ms: f64,
    delete_p50_ms: f64,
}

/// Rounds of ours and of the reference in turns.
pub(in super::super) fn cycle(plan: &Plan) -> Result<Findings, String> {
    or_skipped(SCENARIO, measure(plan))
}

fn measure(plan: &Plan) -> Result<Findings, String> {
    let platform = Platform::start(&plan.folder.join("data"))?;
    let mut findings = Findings::default();
    let ministack = MiniStack::start(&plan.folder);
    let ministack =
        ministack.map_err(|error| findings.note(SCENARIO, format!("no {}: {error}", ministack::NAME))).ok();
    let queue = |address| Client::open(address)?.create_queue("bench", &json!({}));
    let ours_url = queue(platform.address)?;
    let reference_url = ministack.as_ref().map(|server| queue(server.address)).transpose()?;
    let (mut ours, mut reference, mut synced) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.repeats {
        // A cycle waits for the disk twice: for the message, and for its end.
        synced.push(syncs(&plan.folder)? * CLIENTS as f64 / 2.0);
        ours.push(run(platform.address, &ours_url, plan.pace(), usize::MAX)?);
        if let (Some(server), Some(url)) = (&ministack, &reference_url) {
            reference.push(run(server.address, url, plan.pace(), ministack::REQUESTS)?);
        }
    }
    let of = |all: &[Cycles], value: fn(&Cycles) -> f64| all.iter().map(value).collect::<Vec<f64>>();
    let row = |measure: &str, unit: &str, value: fn(&Cycles) -> f64| {
        let row = Row::alone(SCENARIO, measure, unit, &of(&ours, value));
        if reference.is_empty() { row } else { row.versus(ministack::NAME, &of(&reference, value)) }
    };
    let rate = row("cycles, 16 clients, durable", "1/s", |cycles| cycles.rate_per_s);
    findings.rows = vec![
        if reference.is_empty() { rate } else { rate.promised_ratio(Better::Higher, RATIO) },
        Row::alone(SCENARIO, "cycles, 16 clients, durable", "1/s", &of(&ours, |cycles| cycles.rate_per_s))
            .versus("all 16 in every sync", &synced),
        row("cycle p50", "ms", |cycles| cycles.p50_ms),
        row("cycle p99", "ms", |cycles| cycles.p99_ms),
        row("SendMessage p50", "ms", |cycles| cycles.send_p50_ms),
        row("ReceiveMessage p50", "ms", |cycles| cycles.receive_p50_ms),
        row("DeleteMessage p50", "ms", |cycles| cycles.delete_p50_ms),
    ];
    Ok(findings)
}

/// What one client saw.
#[derive(Default)]
struct Part {
    /// Of each cycle: send, receive, delete.
    times_ms: Vec<[f64; 3]>,
    measured_s: f64,
}

fn run(address: SocketAddr, url: &str, pace: Pace, limit: usize) -> Result<Cycles, String> {
    let barrier = Barrier::new(CLIENTS);
    let parts = in_threads(CLIENTS, |_| client(address, url, pace, limit, &barrier))?;
    let all = || parts.iter().flat_map(|part| &part.times_ms);
    let step = |at: usize| all().map(|times| times[at]).collect::<Vec<f64>>();
    let whole: Vec<f64> = all().map(|times| times.iter().sum()).collect();
    Ok(Cycles {
        rate_per_s: parts.iter().map(|part| part.times_ms.len() as f64 / part.measured_s).sum(),
        p50_ms: quantile(&whole, 0.5),
        p99_ms: quantile(&whole, 0.99),
        send_p50_ms: quantile(&step(0), 0.5),
        receive_p50_ms: quantile(&step(1), 0.5),
        delete_p50_ms: quantile(&step(2), 0.5),
    })
}

fn client(
    address: SocketAddr,
    url: &str,
    pace: Pace,
    limit: usize,
    barrier: &Barrier,
) -> Result<Part, String> {
    let client = Client::open(address).map(|client| Client { limit, ..client });
    let mut part = Part::default();
    barrier.wait();
    let mut cycler = Cycler { client: client?, url, requests: Vec::new(), signed: Instant::now() };
    let started = Instant::now();
    while started.elapsed() < pace.warm_up {
        cycler.cycle()?;
    }
    let started = Instant::now();
    while started.elapsed() < pace.measured {
        part.times_ms.push(cycler.cycle()?);
    }
    part.measured_s = started.elapsed().as_secs_f64();
    Ok(part)
}

struct Cycler<'a> {
    client: Client,
    url: &'a str,
    /// To send and to receive, which stay the same.
    requests: Vec<Vec<u8>>,
    signed: Instant,
}

impl Cycler<'_> {
    fn cycle(&mut self) -> Result<[f64; 3], String> {
        if self.requests.is_empty() || self.signed.elapsed() > SIGNATURE_LIFE {
            let send = json!({ "QueueUrl": self.url, "MessageBody": BODY }).to_string();
            let receive = json!({ "QueueUrl": self.url, "MaxNumberOfMessages": 1 }).to_string();
            let address = self.client.address;
            self.requests = vec![
                sqs_request(address, "SendMessage", &send),
                sqs_request(address, "ReceiveMessage", &receive),
            ];
            self.signed = Instant::now();
        }
        let at_first = Instant::now();
        let answer =
            self.client.exchange(&self.requests[0]).map_err(|error| format!("SendMessage: {error}"))?;
        member(answer, "MessageId").ok_or("a message without an id")?;
        let sent = Instant::now();
        let delete = self.receive()?;
        let received = Instant::now();
        self.client.exchange(&delete).map_err(|error| format!("DeleteMessage: {error}"))?;
        let ms = |from: Instant, to: Instant| (to - from).as_secs_f64() * 1e3;
        Ok([ms(at_first, sent), ms(sent, received), ms(received, Instant::now())])
    }

    /// Receives one message; gives the request that deletes it.
    fn receive(&mut self) -> Result<Vec<u8>, String> {
        for _ in 0..EMPTY_LIMIT {
            let answer = self
                .client
                .exchange(&self.requests[1])
                .map_err(|error| format!("ReceiveMessage: {error}"))?;
            let Some(handle) = member(answer, "ReceiptHandle") else { continue };
            let body = json!({ "QueueUrl": self.url, "ReceiptHandle": handle }).to_string();
            return Ok(sqs_request(self.client.address, "DeleteMessage", &body));
        }
        Err("ReceiveMessage gave nothing although messages were sent".to_owned())
    }
}

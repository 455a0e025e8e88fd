//! Response streaming: how long the first byte takes from the handler's write to the client, and how much passes in a
//! second.
//!
//! The handler sends its own reading of the machine's steady clock, and the client takes its reading when that arrives:
//! both are the same clock, because a box has no time of its own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::Plan;
use super::functions::Function;
use super::platform::{Platform, signed};
use super::report::{Better, Findings, Row, median};

/// First bytes that are timed in each round.
const CALLS: usize = 300;
/// What is streamed for the rate.
const BYTES: u64 = 100_000_000;
/// A peer that says nothing for this long is taken for dead.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
/// Enough to recognise the end by.
const TAIL_BYTES: usize = 256;
/// The last event and the last chunk of HTTP.
const END: &[u8] = b"\r\n0\r\n\r\n";

/// Node.js through InvokeWithResponseStream, one client, one connection.
pub(super) fn streaming(plan: &Plan) -> Result<Findings, String> {
    let platform = Platform::start(&plan.folder.join("data"))?;
    platform.client()?.create(Function::Stream, Function::Stream.name())?;
    let mut client = Client::open(&platform)?;
    client.call(0)?;
    let (mut middle, mut high, mut rate) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.repeats {
        let mut firsts = Vec::with_capacity(CALLS);
        for _ in 0..CALLS {
            firsts.push(client.call(0)?.first_ms);
        }
        firsts.sort_by(f64::total_cmp);
        middle.push(median(&firsts));
        high.push(firsts[CALLS * 99 / 100]);
        let large = client.call(BYTES)?;
        if large.bytes < BYTES {
            return Err(format!("{} bytes of {BYTES} arrived", large.bytes));
        }
        rate.push(megabytes(large.bytes) / large.took.as_secs_f64());
    }
    let row = |measure, unit, values: &[f64]| Row::alone("streaming", measure, unit, values);
    Ok(vec![
        row("first byte after its write, p50", "ms", &middle).promised(Better::Lower, 5.0),
        row("first byte after its write, p99", "ms", &high),
        row("rate over 100 MB", "MB/s", &rate),
    ]
    .into())
}

/// One streamed answer.
struct Streamed {
    /// From the handler's first write to the client.
    first_ms: f64,
    /// From the first byte to the last.
    took: Duration,
    /// Everything after the head, frames included.
    bytes: u64,
}

struct Client<'a> {
    platform: &'a Platform,
    stream: TcpStream,
}

impl<'a> Client<'a> {
    fn open(platform: &'a Platform) -> Result<Self, String> {
        let open = || {
            let stream = TcpStream::connect(platform.address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(SILENCE_LIMIT))?;
            Ok::<_, std::io::Error>(stream)
        };
        open().map(|stream| Client { platform, stream }).map_err(|error| error.to_string())
    }

    fn call(&mut self, bytes: u64) -> Result<Streamed, String> {
        let name = Function::Stream.name();
        let path = format!("/2021-11-15/functions/{name}/response-streaming-invocations");
        let request = signed(self.platform.address, "POST", &path, &format!("{{\"bytes\":{bytes}}}"));
        self.stream.write_all(&request).map_err(|error| error.to_string())?;
        let mut piece = vec![0; 256 * 1024];
        let mut start = Vec::new();
        let (first_ms, began) = loop {
            let count = self.read(&mut piece)?;
            let now_ns = steady_ns();
            start.extend_from_slice(&piece[..count]);
            if let Some(written_ns) = clock_in(&start)? {
                break (now_ns.saturating_sub(written_ns) as f64 / 1e6, Instant::now());
            }
        };
        let mut seen = u64::try_from(start.len()).unwrap_or(u64::MAX);
        let mut tail = start;
        while !tail.ends_with(END) {
            let count = self.read(&mut piece)?;
            seen += u64::try_from(count).unwrap_or(u64::MAX);
            tail.extend_from_slice(&piece[..count]);
            tail.drain(..tail.len().saturating_sub(TAIL_BYTES));
        }
        if !contains(&tail, b"InvokeComplete") || contains(&tail, b"ErrorCode") {
            return Err(format!("not a good end: {}", String::from_utf8_lossy(&tail)));
        }
        Ok(Streamed { first_ms, took: began.elapsed(), bytes: seen })
    }

    fn read(&mut self, piece: &mut [u8]) -> Result<usize, String> {
        match self.stream.read(piece) {
            Ok(0) => Err("the server closed the connection".to_owned()),
            Ok(count) => Ok(count),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// The handler's reading, once all of it is here.
fn clock_in(answer: &[u8]) -> Result<Option<u64>, String> {
    let text = String::from_utf8_lossy(answer);
    if text.starts_with("HTTP/1.1 ") && !text.starts_with("HTTP/1.1 200") {
        return Err(format!("unexpected answer: {text}"));
    }
    if text.contains("InvokeComplete") && !text.contains("clock=") {
        return Err(format!("the function did not answer: {text}"));
    }
    let reading = text.split_once("clock=").and_then(|(_, rest)| rest.split_once(';'));
    reading.map(|(digits, _)| digits.parse().map_err(|_| format!("no clock: {digits}"))).transpose()
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// The machine's steady clock, which `process.hrtime` of Node.js reads too.
fn steady_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

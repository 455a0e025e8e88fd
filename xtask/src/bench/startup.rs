//! How long the server takes from the start of its process to its first answers, and how much memory it holds idle.

use std::path::Path;
use std::time::{Duration, Instant};

use super::Plan;
use super::functions::Function;
use super::http::Connection;
use super::platform::{FUNCTIONS, Platform, signed};
use super::process;
use super::report::{Better, Findings, Row, median};

/// Starts per repeat.
const STARTS: usize = 5;
/// Functions in the folder that is not fresh.
const FUNCTION_COUNT: usize = 100;
/// How long the server is left alone before its memory is read.
const SETTLING: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(20);

/// A fresh data folder, and one with a hundred functions.
pub(super) fn start_up(plan: &Plan) -> Result<Findings, String> {
    let folder = &plan.folder;
    let filled = folder.join("filled");
    fill(&filled)?;
    let (mut fresh, mut full) = (Rounds::default(), Rounds::default());
    for repeat in 0..plan.repeats {
        let mut fresh_starts = Starts::default();
        let mut full_starts = Starts::default();
        for start in 0..plan.times(STARTS) {
            fresh_starts.measure(&folder.join(format!("fresh-{repeat}-{start}")))?;
            full_starts.measure(&filled)?;
        }
        fresh.add(&fresh_starts, memory_mib(&folder.join(format!("idle-{repeat}")))?);
        full.add(&full_starts, memory_mib(&filled)?);
    }
    let mut rows = fresh.rows("fresh folder");
    rows.extend(full.rows("100 functions"));
    Ok(rows.into())
}

fn fill(data: &Path) -> Result<(), String> {
    let platform = Platform::start(data)?;
    let mut client = platform.client()?;
    for number in 0..FUNCTION_COUNT {
        client.create(Function::Python, &format!("function-{number}"))?;
    }
    platform.stop()
}

/// The medians of every repeat.
#[derive(Default)]
struct Rounds {
    health_ms: Vec<f64>,
    list_ms: Vec<f64>,
    memory_mib: Vec<f64>,
}

impl Rounds {
    fn add(&mut self, starts: &Starts, memory_mib: f64) {
        self.health_ms.push(median(&starts.health_ms));
        self.list_ms.push(median(&starts.list_ms));
        self.memory_mib.push(memory_mib);
    }

    fn rows(&self, what: &str) -> Vec<Row> {
        let row = |measure: &str, unit, values: &[f64]| {
            Row::alone("start-up", format!("{measure}, {what}"), unit, values)
        };
        vec![
            row("first answer", "ms", &self.health_ms).promised(Better::Lower, 30.0),
            row("ListFunctions", "ms", &self.list_ms).promised(Better::Lower, 30.0),
            row("idle memory", "MiB", &self.memory_mib).promised(Better::Lower, 20.0),
        ]
    }
}

#[derive(Default)]
struct Starts {
    health_ms: Vec<f64>,
    list_ms: Vec<f64>,
}

impl Starts {
    /// One start, ended in order.
    fn measure(&mut self, data: &Path) -> Result<(), String> {
        let started = Instant::now();
        let platform = Platform::spawn(data)?;
        let mut connection = loop {
            match Connection::open(platform.address) {
                Ok(connection) => break connection,
                Err(error) if started.elapsed() > LIMIT => return Err(format!("no start: {error}")),
                Err(_) => std::thread::sleep(Duration::from_micros(200)),
            }
        };
        let health = format!(
            "GET /_lamplighter/health HTTP/1.1\r\nHost: {}\r\nx-lamplighter: 1\r\n\r\n",
            platform.address
        );
        let list = signed(platform.address, "GET", &format!("{FUNCTIONS}/"), "");
        for (request, times) in [(health.into_bytes(), &mut self.health_ms), (list, &mut self.list_ms)] {
            let answer = connection.exchange(&request).map_err(|error| format!("first answer: {error}"))?;
            answer.good_body()?;
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
        drop(connection);
        platform.stop()
    }
}

/// What an idle server and its helper processes hold, shared pages counted by share.
fn memory_mib(data: &Path) -> Result<f64, String> {
    let platform = Platform::start(data)?;
    platform.client()?.call("GET", &format!("{FUNCTIONS}/"), "")?;
    std::thread::sleep(SETTLING);
    let kib = process::pss_of_all_kib(&process::tree(platform.pid()))?;
    platform.stop()?;
    Ok(kib as f64 / 1024.0)
}

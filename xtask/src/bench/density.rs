//! Idle environments: how much memory each holds, when it has served a request and waits for the next.
//!
//! Every environment is that of a function of its own, because one function's environments would be used again while
//! they are being started. Counted are the proportional set sizes of all processes of the boxes, of the server and of
//! its helper, and beside them what the kernel holds (`/proc/meminfo`), which other programs on the machine change too.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;
use std::time::Instant;

use super::Plan;
use super::bare::Environment;
use super::functions::{EXPECTED, Function};
use super::platform::{FUNCTIONS, Platform};
use super::process;
use super::report::{Better, Findings, Row, Series};

/// What the promise is about.
const PROMISED: usize = 1000;
const PROMISE_GB: f64 = 8.0;
/// Clients that start environments side by side.
const LANES: usize = 4;
/// Points of the plot.
const STEPS: usize = 4;
const FUNCTION: Function = Function::Python;

/// As many as the command line says.
pub(super) fn density(plan: &Plan) -> Result<Findings, String> {
    let repeats = plan.repeats.min(2);
    measure("idle-density", plan.environments, repeats, plan)
}

/// The real thing.
pub(super) fn thousand(plan: &Plan) -> Result<Findings, String> {
    measure("idle-density-1000", PROMISED, 1, plan)
}

/// Memory at one moment, in KiB.
#[derive(Clone, Copy, Default)]
struct Memory {
    server: f64,
    /// The helper process and all boxes.
    others: f64,
    kernel: f64,
    available: f64,
    /// Of the boxes' control groups.
    charged: Option<f64>,
}

impl Memory {
    fn of(platform: &Platform) -> Result<Self, String> {
        let pids = process::tree(platform.pid());
        Ok(Memory {
            server: process::pss_kib(platform.pid())? as f64,
            others: process::pss_of_all_kib(pids.get(1..).unwrap_or_default())? as f64,
            kernel: process::kernel_kib() as f64,
            available: process::meminfo_kib("MemAvailable").unwrap_or(0) as f64,
            charged: process::charged_kib(&pids).map(|kib| kib as f64),
        })
    }

    fn pss(&self) -> f64 {
        self.server + self.others
    }
}

/// One round: before, after, and on the way.
struct Round {
    count: f64,
    before: Memory,
    after: Memory,
    steps: Vec<(f64, f64)>,
    took_s: f64,
    bare_kib: f64,
}

impl Round {
    /// Per environment, in KiB.
    fn each(&self, value: impl Fn(&Memory) -> f64) -> f64 {
        (value(&self.after) - value(&self.before)) / self.count
    }

    /// So many environments with all that holds them, in GB.
    fn total_gb(&self, count: usize) -> f64 {
        let each_kib = self.each(Memory::pss) + self.each(|memory| memory.kernel);
        (self.before.pss() + count as f64 * each_kib) * 1024.0 / 1e9
    }
}

fn measure(scenario: &str, count: usize, repeats: usize, plan: &Plan) -> Result<Findings, String> {
    let rounds: Result<Vec<Round>, String> = (0..repeats).map(|repeat| round(count, repeat, plan)).collect();
    let rounds = rounds?;
    let values = |value: &dyn Fn(&Round) -> f64| rounds.iter().map(value).collect::<Vec<f64>>();
    let row = |measure: &str, unit: &str, value: &dyn Fn(&Round) -> f64| {
        Row::alone(scenario, measure, unit, &values(value))
    };
    let total = match count {
        PROMISED => format!("{PROMISED} environments, measured"),
        _ => format!("{PROMISED} environments, extrapolated from {count}"),
    };
    let mut rows = vec![
        row("each: all processes", "KiB", &|round| round.each(Memory::pss))
            .versus("bare client", &values(&|round| round.bare_kib)),
        row("each: growth of the server", "KiB", &|round| round.each(|memory| memory.server)),
        row("each: the kernel's own", "KiB", &|round| round.each(|memory| memory.kernel)),
        row("each: less memory available", "KiB", &|round| -round.each(|memory| memory.available)),
    ];
    if rounds.iter().all(|round| round.after.charged.is_some()) {
        let charged = |round: &Round| round.each(|memory| memory.charged.unwrap_or(0.0));
        rows.push(row("each: charged to control groups", "KiB", &charged));
    }
    rows.push(row(&format!("started: {count}, {LANES} at a time"), "s", &|round| round.took_s));
    let total = row(&total, "GB", &|round| round.total_gb(PROMISED));
    rows.push(total.promised(Better::Lower, PROMISE_GB));
    let mut findings = Findings::from(rows);
    let axes = ("idle environments".to_owned(), "MiB, all processes".to_owned());
    let series = |name: &str, points| Series {
        scenario: scenario.to_owned(),
        name: name.to_owned(),
        axes: axes.clone(),
        points,
    };
    if let Some(round) = rounds.first() {
        let bare = round.steps.iter().map(|(count, _)| (*count, count * round.bare_kib / 1024.0)).collect();
        findings.series.push(series("ours", round.steps.clone()));
        findings.series.push(series("bare client", bare));
    }
    Ok(findings)
}

fn round(count: usize, repeat: usize, plan: &Plan) -> Result<Round, String> {
    let bare_kib = bare_kib(count, plan)?;
    let platform = Platform::start(&plan.folder.join(format!("data{repeat}")))?;
    let mut client = platform.client()?;
    // The first start ever makes ready what all others use; its own environment is not to be counted.
    client.create(FUNCTION, "first")?;
    client.invoke("first", EXPECTED)?;
    client.send("DELETE", &format!("{FUNCTIONS}/first"), "")?;
    for number in 0..count {
        client.create(FUNCTION, &name(number))?;
    }
    platform.settle();
    let before = Memory::of(&platform)?;
    let mut steps = vec![(0.0, before.pss() / 1024.0)];
    let (mut took_s, mut done) = (0.0, 0);
    for step in 1..=STEPS {
        let until = count * step / STEPS;
        let started = Instant::now();
        start(&platform, done..until)?;
        took_s += started.elapsed().as_secs_f64();
        done = until;
        platform.settle();
        steps.push((done as f64, Memory::of(&platform)?.pss() / 1024.0));
    }
    let alive = process::pid_namespaces(&process::tree(platform.pid()));
    if alive < count {
        return Err(format!("{count} environments were started, and {alive} sandboxes are there"));
    }
    let after = Memory::of(&platform)?;
    Ok(Round { count: count as f64, before, after, steps, took_s, bare_kib })
}

fn name(number: usize) -> String {
    format!("function-{number}")
}

/// Invokes each of these functions once.
fn start(platform: &Platform, numbers: std::ops::Range<usize>) -> Result<(), String> {
    let numbers = Mutex::new(numbers);
    let lane = || -> Result<(), String> {
        let mut client = platform.client()?;
        loop {
            let next = numbers.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(number) = next else { return Ok(()) };
            client.invoke(&name(number), EXPECTED)?;
        }
    };
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(lane)).collect();
        let mut joined = lanes.into_iter().map(thread::ScopedJoinHandle::join);
        joined.try_for_each(|outcome| outcome.map_err(|_| "a client thread panicked".to_owned())?)
    })
}

/// What a process with the same runtime client holds without a box, when as many of them are there.
fn bare_kib(count: usize, plan: &Plan) -> Result<f64, String> {
    let bare = FUNCTION.bare(&plan.folder)?;
    let mut environments = Vec::with_capacity(count);
    for _ in 0..count {
        let mut environment = Environment::start(&bare)?;
        environment.greet()?;
        environments.push(environment);
    }
    let pids: Vec<u32> = environments.iter().map(Environment::pid).collect();
    Ok(process::pss_of_all_kib(&pids)? as f64 / count as f64)
}

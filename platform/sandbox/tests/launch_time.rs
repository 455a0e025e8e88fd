//! How long launches take, with `/tmp` on disk and in memory, with half-built boxes and without. Not a test of limits: run it by hand, on a quiet machine:
//! `cargo test --release -p lamplighter-sandbox --test launch_time -- --ignored --nocapture`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod common;

use std::time::{Duration, Instant};

use common::{helper, is_root, spec};
use lamplighter_sandbox::{Sandbox, SandboxConfig};

const TRIALS: usize = 60;
const BURST: usize = 50;

async fn one_by_one(sandbox: &Sandbox, tmp_mib: u32, pause_ms: u64) -> Duration {
    let mut times = Vec::new();
    for _ in 0..TRIALS {
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        let spec = lamplighter_sandbox::BoxSpec { tmp_mib, ..spec(["/usr/bin/true"]) };
        let begin = Instant::now();
        let running = sandbox.launch(spec).await.unwrap();
        times.push(begin.elapsed());
        running.exited().await;
    }
    times.sort_unstable();
    times[TRIALS / 2]
}

async fn burst(sandbox: &Sandbox) -> Duration {
    let begin = Instant::now();
    let mut launches = tokio::task::JoinSet::new();
    for n in 0..BURST {
        let sandbox = sandbox.clone();
        let mut spec = spec(["/usr/bin/sleep", "100"]);
        (spec.id, spec.tmp_mib) = (format!("b{n}"), 512);
        launches.spawn(async move { sandbox.launch(spec).await.unwrap() });
    }
    let _all = launches.join_all().await;
    begin.elapsed()
}

#[tokio::test]
#[ignore = "a measurement"]
#[allow(clippy::print_stdout)] // its result
async fn launches_are_timed() {
    if !is_root() {
        return;
    }
    for (disks, stock) in [(false, false), (true, false), (true, true), (true, false), (true, true)] {
        let dir = tempfile::tempdir().unwrap();
        let config = SandboxConfig {
            executable: Some(helper()),
            disks,
            stock,
            ..SandboxConfig::new(dir.path().join("state"))
        };
        let begin = Instant::now();
        let sandbox = Sandbox::start(config).await.unwrap();
        let start = begin.elapsed();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let paused = one_by_one(&sandbox, 512, 20).await;
        let at_once = one_by_one(&sandbox, 512, 0).await;
        let other = one_by_one(&sandbox, 2048, 20).await;
        let burst = burst(&sandbox).await;
        println!(
            "disks: {disks}; stock: {stock}; start {start:?}; 512 MiB every 20 ms {paused:?}, at once {at_once:?}; 2048 MiB {other:?}; \
             {BURST} at a time in {burst:?}"
        );
        sandbox.shutdown().await;
    }
}

//! Prints what the store costs on this machine: opening, memory, durable transactions per second. No test: machines
//! differ. `cargo run --release -p lamplighter-store --example numbers -- fjall`
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::path::Path;
use std::time::Instant;

use lamplighter_store::{EngineKind, Range, Store, StoreConfig};

fn open(engine: EngineKind, dir: &Path, what: &str) -> Store {
    let started = Instant::now();
    let store = Store::open(StoreConfig { engine, dir: dir.to_owned() }).unwrap();
    println!("{:6} open {what}: {:.1} ms", engine.name(), started.elapsed().as_secs_f64() * 1e3);
    store
}

/// Resident memory in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn write(store: &Store, writers: u32, each: u32, bytes: usize) -> f64 {
    let started = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..each {
                    let key = [writer.to_be_bytes(), n.to_be_bytes()].concat();
                    store.transact(move |tx| tx.put(key.clone(), vec![7; bytes])).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    f64::from(writers * each) / started.elapsed().as_secs_f64()
}

#[tokio::main]
async fn main() {
    let engine: EngineKind = std::env::args().nth(1).unwrap_or_else(|| "fjall".into()).parse().unwrap();
    let name = engine.name();
    let dir = tempfile::tempdir().unwrap();
    let before = resident_kib();
    let store = open(engine, dir.path(), "new");
    println!("{name:6} memory of an empty store: {} KiB", resident_kib().saturating_sub(before));
    for writers in [1, 16, 64] {
        println!("{name:6} {writers} writers: {:.0}/s", write(&store, writers, 300, 200).await);
    }
    let started = Instant::now();
    for n in 0..10_000_u32 {
        store.get(&[(n % 64).to_be_bytes(), (n % 300).to_be_bytes()].concat()).unwrap();
    }
    println!("{name:6} get: {:.1} us", started.elapsed().as_secs_f64() * 100.0);
    let started = Instant::now();
    for n in 0..1_000_u32 {
        store.range(Range::prefix(&(n % 64).to_be_bytes()).limit(10)).unwrap();
    }
    println!("{name:6} range of 10: {:.1} us", started.elapsed().as_secs_f64() * 1e3);
    drop(store);
    let store = open(engine, dir.path(), "with 24,000 entries");
    println!("{name:6} 64 writers, 20 kB: {:.0}/s", write(&store, 64, 40, 20_000).await);
    println!("{name:6} memory after 50 MB: {} KiB", resident_kib().saturating_sub(before));
    drop(store);
    drop(open(engine, dir.path(), "after 50 MB"));
}

//! The store against the world: processes killed at random instants, and disks that fill up.
//!
//! A test runs this binary again as a child (`child` below, told by the environment what to do), because a process
//! cannot be killed from within and then asked what it remembers.
#![allow(clippy::unwrap_used, clippy::expect_used)] // in a test a panic is the report

mod full_disk;
mod kill;

use std::path::Path;
use std::process::Command;

use lamplighter_store::{EngineKind, Store, StoreConfig};

const TASK: &str = "STORE_CHILD_TASK";
const ENGINE: &str = "STORE_CHILD_ENGINE";
const DIR: &str = "STORE_CHILD_DIR";
const ROUND: &str = "STORE_CHILD_ROUND";

/// Not a test of its own: what the children of the other tests do.
#[test]
fn child() {
    let Ok(task) = std::env::var(TASK) else { return };
    let value = |name| std::env::var(name).unwrap();
    let (engine, dir) = (value(ENGINE).parse().unwrap(), value(DIR));
    match task.as_str() {
        "write" => kill::write_until_killed(engine, Path::new(&dir), value(ROUND).parse().unwrap()),
        "fill" => full_disk::fill(engine, Path::new(&dir)),
        other => panic!("no such task: {other}"),
    }
}

/// This binary, as a child with a task. `wrapper` is a command that runs another one.
fn child_command(wrapper: &[&str], task: &str, engine: EngineKind, dir: &Path, round: u32) -> Command {
    let me = std::env::current_exe().unwrap();
    let mut words = wrapper.iter().map(std::ffi::OsString::from).chain([me.into_os_string()]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(["--exact", "child", "--nocapture", "--test-threads=1"]);
    command.env(TASK, task).env(ENGINE, engine.name()).env(DIR, dir).env(ROUND, round.to_string());
    command
}

fn open(engine: EngineKind, dir: &Path) -> Store {
    Store::open(StoreConfig { engine, dir: dir.join("data") }).unwrap()
}

/// SplitMix64: the same number for the same input, everywhere.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

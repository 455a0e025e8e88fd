//! What the kernel tells of processes: who descends from whom, processor time, memory, control groups, namespaces.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long one waits for a tree of processes to do nothing.
const QUIET_LIMIT: Duration = Duration::from_secs(3);
/// A tree is quiet when it used less of a processor than `QUIET_SHARE` over this time.
const QUIET_SPAN: Duration = Duration::from_millis(40);
const QUIET_SHARE: f64 = 0.05;

/// A process and all that descend from it.
pub(super) fn tree(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut at = 0;
    while let Some(parent) = all.get(at).copied() {
        at += 1;
        // A process that ends meanwhile has no children that matter: they end with it.
        for task in fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
    }
    all
}

/// Proportional set size: shared pages are counted by share. 0 for a process that has just ended.
pub(super) fn pss_kib(pid: u32) -> Result<u64, String> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            return Err(format!("{path}: {error}"));
        }
        Err(_) => return Ok(0),
    };
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse().map_err(|_| format!("{path}: Pss is {line}"))
}

/// Of all these processes together.
pub(super) fn pss_of_all_kib(pids: &[u32]) -> Result<u64, String> {
    pids.iter().map(|pid| pss_kib(*pid)).sum()
}

/// Processor time that a process has used, all its threads, in milliseconds; those it waited for are not in it.
pub(super) fn cpu_ms(pid: u32) -> f64 {
    /// Of `/proc/PID/stat`; 100 on every Linux for a program to see.
    const TICKS_PER_S: f64 = 100.0;
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = text.rsplit_once(')').unwrap_or_default().1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / TICKS_PER_S * 1000.0
}

/// Processor time of all threads, in milliseconds, finer than [`cpu_ms`] but without threads that have ended.
fn fine_cpu_ms(pids: &[u32]) -> f64 {
    let mut ns = 0;
    for pid in pids {
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            ns += text.split(' ').next().and_then(|first| first.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    ns as f64 / 1e6
}

/// Waits until a process and its descendants do nothing: old environments have ended, and what the server prepares
/// ahead is ready. Not longer than a few seconds, because a server may have other things to do.
pub(super) fn wait_until_quiet(pid: u32) {
    let started = Instant::now();
    let (mut pids, mut used_ms) = (tree(pid), 0.0);
    let mut at = None;
    while started.elapsed() < QUIET_LIMIT {
        let now = tree(pid);
        let now_ms = fine_cpu_ms(&now);
        let took = at.replace(Instant::now()).map(|at: Instant| at.elapsed().as_secs_f64() * 1e3);
        let is_quiet = took.is_some_and(|took_ms| (now_ms - used_ms).abs() < took_ms * QUIET_SHARE);
        if is_quiet && now == pids {
            return;
        }
        (pids, used_ms) = (now, now_ms);
        std::thread::sleep(QUIET_SPAN);
    }
}

/// How many process id namespaces these processes live in, that of this process aside.
pub(super) fn pid_namespaces(pids: &[u32]) -> usize {
    let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let own = of("self");
    let all: BTreeSet<PathBuf> = pids.iter().filter_map(|pid| of(&pid.to_string())).collect();
    all.iter().filter(|namespace| Some(*namespace) != own.as_ref()).count()
}

/// What the control groups of these processes are charged with, each group once, in KiB. `None` without a memory
/// controller. Files that a group read first are charged to it; groups that hold others' are not entered.
pub(super) fn charged_kib(pids: &[u32]) -> Option<u64> {
    let folders: BTreeSet<PathBuf> = pids.iter().filter_map(|pid| memory_group(*pid)).collect();
    let own = memory_group(std::process::id());
    let others = folders.iter().filter(|folder| Some(*folder) != own.as_ref());
    let bytes = others.filter_map(|folder| {
        let files = ["memory.current", "memory.usage_in_bytes"];
        files.iter().find_map(|file| fs::read_to_string(folder.join(file)).ok()?.trim().parse::<u64>().ok())
    });
    let bytes: Vec<u64> = bytes.collect();
    (!bytes.is_empty()).then(|| bytes.iter().sum::<u64>() / 1024)
}

/// Where the group is whose memory limit counts for a process: version 1 where its controller is mounted, else 2.
fn memory_group(pid: u32) -> Option<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let rest = |wanted: &str| {
        text.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let controllers = parts.next()?;
            (controllers.split(',').any(|one| one == wanted)).then(|| parts.next().unwrap_or("/"))
        })
    };
    let (root, below) = match rest("memory") {
        Some(below) => ("/sys/fs/cgroup/memory", below),
        None => ("/sys/fs/cgroup", rest("")?),
    };
    Some(PathBuf::from(root).join(below.trim_start_matches('/')))
}

/// A line of `/proc/meminfo`.
pub(super) fn meminfo_kib(name: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// What the kernel itself holds, in KiB: structures, page tables, stacks, per-processor memory.
pub(super) fn kernel_kib() -> u64 {
    let lines = ["Slab", "PageTables", "SecPageTables", "KernelStack", "Percpu"];
    lines.iter().filter_map(|line| meminfo_kib(line)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_known() {
        let own = std::process::id();
        assert!(pss_kib(own).unwrap() > 100);
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert!(tree(own).contains(&child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(pss_kib(child.id()).unwrap(), 0);
        assert_eq!(pid_namespaces(&[own]), 0);
        assert!(meminfo_kib("MemTotal").unwrap() > meminfo_kib("MemFree").unwrap());
    }
}

//! How much memory the host has left: what `/proc/meminfo` says, and the control groups that this server is in, of
//! either version. A container's limit and a systemd unit's are such groups.
//!
//! It reads, and decides nothing: `ledger` does. Reading takes some ten microseconds and is never done for an invoke.
//!
//! `MemAvailable`: <https://docs.kernel.org/filesystems/proc.html#meminfo>, pressure:
//! <https://docs.kernel.org/accounting/psi.html>, groups: <https://docs.kernel.org/admin-guide/cgroup-v2.html#memory>.

use std::path::{Path, PathBuf};

/// A reading.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryReading {
    /// All there is for this server and its boxes, in bytes.
    pub total_bytes: u64,
    /// What can be had without swapping, in bytes.
    pub available_bytes: u64,
    /// The share of the last ten seconds in which everything stood still for want of memory, in percent.
    pub stalled_percent: f32,
}

/// Where readings come from.
pub trait MemorySource: Send + Sync {
    /// The present state; `None` when it cannot be told, and then nothing is limited by it.
    fn read(&self) -> Option<MemoryReading>;
}

/// The host itself. Its groups are looked up once.
#[derive(Debug)]
pub struct HostMemory {
    groups: Vec<Group>,
}

/// A control group with a limit of its own above this process.
#[derive(Debug, PartialEq)]
struct Group {
    dir: PathBuf,
    files: &'static Files,
}

#[derive(Debug, PartialEq)]
struct Files {
    limit: &'static str,
    usage: &'static str,
    /// In `memory.stat`: cache that goes when memory is needed.
    droppable: &'static str,
}

static V1: Files = Files {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    droppable: "total_inactive_file",
};
static V2: Files = Files { limit: "memory.max", usage: "memory.current", droppable: "inactive_file" };

impl Default for HostMemory {
    fn default() -> Self {
        Self::new()
    }
}

impl HostMemory {
    /// All that this host has, in bytes; 4 GiB if that cannot be read.
    pub(super) fn total_bytes() -> u64 {
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        kibibytes(&meminfo, "MemTotal:").unwrap_or(4 << 30)
    }

    /// Looks for the groups of this process.
    #[must_use]
    pub fn new() -> Self {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let groups = find_groups(&text("/proc/self/mountinfo"), &text("/proc/self/cgroup"));
        HostMemory {
            groups: groups.into_iter().filter(|group| group.dir.join(group.files.limit).exists()).collect(),
        }
    }
}

impl MemorySource for HostMemory {
    fn read(&self) -> Option<MemoryReading> {
        let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
        let mut reading = MemoryReading {
            total_bytes: kibibytes(&meminfo, "MemTotal:")?,
            available_bytes: kibibytes(&meminfo, "MemAvailable:")?,
            stalled_percent: std::fs::read_to_string("/proc/pressure/memory")
                .ok()
                .and_then(|text| stalled(&text))
                .unwrap_or(0.0),
        };
        for group in &self.groups {
            if let Some((limit_bytes, used_bytes)) = group.read() {
                reading.total_bytes = reading.total_bytes.min(limit_bytes);
                reading.available_bytes = reading.available_bytes.min(limit_bytes.saturating_sub(used_bytes));
            }
        }
        Some(reading)
    }
}

impl Group {
    /// Its limit and what of it cannot be had back, unless it has no limit.
    fn read(&self) -> Option<(u64, u64)> {
        let text = |file: &str| std::fs::read_to_string(self.dir.join(file)).ok();
        // `max` in v2, a number beyond all memory in v1.
        let limit_bytes = text(self.files.limit)?.trim().parse().ok()?;
        let usage_bytes: u64 = text(self.files.usage)?.trim().parse().ok()?;
        let stat = text("memory.stat").unwrap_or_default();
        let droppable =
            stat.lines().find_map(|line| line.strip_prefix(self.files.droppable)?.trim().parse().ok());
        Some((limit_bytes, usage_bytes.saturating_sub(droppable.unwrap_or(0))))
    }
}

/// The groups of a process from its own up to the highest that can be seen, in every hierarchy that has memory.
fn find_groups(mountinfo: &str, cgroup: &str) -> Vec<Group> {
    let mut groups = Vec::new();
    for line in cgroup.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let files = match controllers {
            "" => &V2,
            list if list.split(',').any(|one| one == "memory") => &V1,
            _ => continue,
        };
        let Some((mount_point, root)) = find_mount(mountinfo, files) else { continue };
        // Inside a container the mount may show a part of the hierarchy that is not named as the process sees it.
        let below = Path::new(path).strip_prefix(root).or_else(|_| Path::new(path).strip_prefix("/"));
        let own = Path::new(mount_point).join(below.unwrap_or(Path::new("")));
        let up_to_top = own.ancestors().take_while(|dir| dir.starts_with(mount_point));
        groups.extend(up_to_top.map(|dir| Group { dir: dir.to_owned(), files }));
    }
    groups
}

/// Where a hierarchy is mounted, and which part of it.
fn find_mount<'a>(mountinfo: &'a str, files: &'static Files) -> Option<(&'a str, &'a str)> {
    mountinfo.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut kind = right.split(' ');
        let is_it = match kind.next()? {
            "cgroup2" => files == &V2,
            "cgroup" => files == &V1 && kind.nth(1)?.split(',').any(|option| option == "memory"),
            _ => false,
        };
        let mut fields = left.split(' ').skip(3);
        let (root, mount_point) = (fields.next()?, fields.next()?);
        is_it.then_some((mount_point, root))
    })
}

fn kibibytes(meminfo: &str, name: &str) -> Option<u64> {
    let line = meminfo.lines().find(|line| line.starts_with(name))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()?.saturating_mul(1024))
}

fn stalled(pressure: &str) -> Option<f32> {
    let line = pressure.lines().find(|line| line.starts_with("full "))?;
    line.split(' ').find_map(|part| part.strip_prefix("avg10="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1_MOUNTS: &str = "\
30 23 0:26 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory
31 23 0:27 / /sys/fs/cgroup/cpu rw,nosuid - cgroup cgroup rw,cpu";

    #[test]
    fn groups_are_found_up_to_the_top_in_either_version() {
        let dirs = |mounts: &str, own: &str| -> Vec<String> {
            let groups = find_groups(mounts, own);
            groups.iter().map(|group| group.dir.join(group.files.limit).display().to_string()).collect()
        };
        let v2 = "29 23 0:25 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(
            dirs(v2, "0::/system.slice/l.service\n"),
            [
                "/sys/fs/cgroup/system.slice/l.service/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        assert_eq!(
            dirs(V1_MOUNTS, "4:cpu:/a\n3:memory:/a\n0::/a\n"),
            ["/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        );
        // A container that sees its own part only.
        let part = V1_MOUNTS.replace("/ /sys/fs/cgroup/memory", "/docker/7 /sys/fs/cgroup/memory");
        assert_eq!(dirs(&part, "3:memory:/docker/7\n"), ["/sys/fs/cgroup/memory/memory.limit_in_bytes"]);
        assert!(dirs("", "0::/\n").is_empty());
    }

    #[test]
    fn a_group_limits_by_what_cannot_be_had_back() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write("memory.max", "1000\n");
        write("memory.current", "700\n");
        write("memory.stat", "anon 400\ninactive_file 300\nactive_file 0\n");
        let group = Group { dir: dir.path().to_owned(), files: &V2 };
        assert_eq!(group.read(), Some((1000, 400)));
        write("memory.max", "max\n");
        assert_eq!(group.read(), None);
    }

    #[test]
    fn this_host_can_be_read() {
        let reading = HostMemory::new().read().unwrap();
        assert!(reading.available_bytes > 0 && reading.available_bytes <= reading.total_bytes);
        assert_eq!(kibibytes("MemFree: 1 kB\nMemAvailable:   2 kB\n", "MemAvailable:"), Some(2048));
        let pressure = "some avg10=9.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=1.50 avg60=0.00 total=1\n";
        assert_eq!(stalled(pressure), Some(1.5));
    }
}

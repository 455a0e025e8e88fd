//! Control groups of one box: limits, accounting, freezing, killing.
//!
//! [`layout`] finds out once where each controller lives on this host; here are the files. A controller may live
//! in a v1 hierarchy or in the v2 tree, each on its own, so that v2, v1 and hybrid hosts (limits in v1, freeze and
//! kill in an empty v2 tree) are one case. What has no place at all is done without control groups, elsewhere.
//!
//! Documents: the kernel's `admin-guide/cgroup-v2.rst` and `admin-guide/cgroup-v1/`.

pub(crate) mod layout;

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

pub(crate) use layout::{Layout, Place};

use crate::backend::MemoryUse;
use crate::protocol::Limits;
use crate::running::lock;

/// The CPU period in microseconds. Short, so that a small share waits often but never long.
const CPU_PERIOD_US: u64 = 20_000;
/// The kernel's smallest CPU quota in microseconds.
const CPU_QUOTA_MIN_US: u64 = 1_000;

/// How long the v1 freezer may take.
const FREEZE_LIMIT: Duration = Duration::from_millis(500);

/// The control groups of one box.
#[derive(Debug)]
pub(crate) struct BoxCgroup {
    layout: Layout,
    name: String,
    /// v2 resets the peak per open file: the one that was reset is kept.
    peak: Mutex<Option<File>>,
}

impl BoxCgroup {
    pub(crate) fn new(layout: &Layout, name: String) -> Self {
        Self { layout: layout.clone(), name, peak: Mutex::new(None) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Makes the group in the v2 tree. The box is born in it: moving a process in v2 waits for all processors. `None` if
    /// this host has no use for v2.
    pub(crate) fn create_v2(&self) -> io::Result<Option<OwnedFd>> {
        let v2 = |place: &&Place| matches!(place, Place::V2(_));
        let Some(parent) = self.layout.places().into_iter().find(v2) else { return Ok(None) };
        let group = parent.path().join(&self.name);
        fs::create_dir(&group)?;
        self.write_constants()?;
        Ok(Some(File::open(group)?.into()))
    }

    /// What is the same for all boxes.
    fn write_constants(&self) -> io::Result<()> {
        if let Some(memory @ Place::V2(_)) = &self.layout.memory {
            ignore_missing(self.write(memory, "memory.swap.max", "0"))?;
            self.write(memory, "memory.oom.group", "1")?;
        }
        Ok(())
    }

    /// Makes the groups in the v1 hierarchies and moves the calling process, which must have one thread, into them.
    pub(crate) fn create_and_join_v1(&self) -> io::Result<()> {
        let v1 = |place: &&Place| matches!(place, Place::V1(_));
        for parent in self.layout.parents(v1) {
            let group = parent.join(&self.name);
            fs::create_dir(&group)?;
            // A thread that moves itself needs no lock; `cgroup.procs` would wait for all processors.
            write_file(&group.join("tasks"), "0")?;
        }
        Ok(())
    }

    /// Opens the files of the limits, to be set when the box knows them and cannot see the groups any more.
    pub(crate) fn open_limits(&self) -> io::Result<LimitFiles> {
        let open = |place: &Place, file: &str| {
            File::options().write(true).open(place.path().join(&self.name).join(file))
        };
        let memory = self.layout.memory.as_ref().map(|place| {
            Ok::<_, io::Error>(match place {
                Place::V1(_) => MemoryLimit::V1 {
                    memory: open(place, "memory.limit_in_bytes")?,
                    // Only there when the kernel counts swap; then memory and swap together get the same limit.
                    with_swap: open(place, "memory.memsw.limit_in_bytes").ok(),
                },
                Place::V2(_) => MemoryLimit::V2(open(place, "memory.max")?),
            })
        });
        let pids = self.layout.pids.as_ref().map(|place| open(place, "pids.max"));
        Ok(LimitFiles { memory: memory.transpose()?, pids: pids.transpose()?, cpu: self.open_cpu_quota()? })
    }

    fn open_cpu_quota(&self) -> io::Result<Option<CpuQuota>> {
        let Some(place) = &self.layout.cpu else { return Ok(None) };
        let group = place.path().join(&self.name);
        let open = |file: &str| File::options().write(true).open(group.join(file));
        Ok(Some(match place {
            Place::V1(_) => {
                CpuQuota::V1 { period: open("cpu.cfs_period_us")?, quota: open("cpu.cfs_quota_us")? }
            }
            Place::V2(_) => CpuQuota::V2(open("cpu.max")?),
        }))
    }

    /// Changes the memory limit of a box that lives. One below what it uses is refused by some kernels.
    pub(crate) fn set_memory_bytes(&self, bytes: u64) -> io::Result<()> {
        match &self.layout.memory {
            // Its watchdog hears of it another way.
            None => Ok(()),
            Some(_) => self.open_limits()?.set_memory_bytes(bytes),
        }
    }

    pub(crate) fn set_cpu_millis(&self, cpu_millis: u32) -> io::Result<()> {
        self.place(&self.layout.cpu)?;
        self.open_cpu_quota()?.map_or(Ok(()), |quota| quota.set_millis(cpu_millis))
    }

    /// Freezes or thaws. In v2 the kernel interrupts every process at once and reports it later: no need to wait.
    pub(crate) fn set_frozen(&self, frozen: bool) -> io::Result<()> {
        match (self.place(&self.layout.freeze)?, frozen) {
            (place @ Place::V2(_), true) => self.write(place, "cgroup.freeze", "1"),
            (place @ Place::V2(_), false) => self.write(place, "cgroup.freeze", "0"),
            (place @ Place::V1(_), true) => self.freeze_v1(place),
            (place @ Place::V1(_), false) => self.write(place, "freezer.state", "THAWED"),
        }
    }

    /// The v1 freezer only goes on when it is read.
    fn freeze_v1(&self, place: &Place) -> io::Result<()> {
        self.write(place, "freezer.state", "FROZEN")?;
        let deadline = Instant::now() + FREEZE_LIMIT;
        while self.read(place, "freezer.state")?.trim_end() != "FROZEN" {
            if Instant::now() > deadline {
                // Never leave a box half frozen: the caller believes that it runs.
                self.write(place, "freezer.state", "THAWED")?;
                return Err(io::Error::new(io::ErrorKind::TimedOut, "not frozen in time"));
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Kills every process in the groups, if the host's layout has a way to do it at once.
    pub(crate) fn kill(&self) -> bool {
        match &self.layout.freeze {
            Some(place @ Place::V2(_)) => self.write(place, "cgroup.kill", "1").is_ok(),
            Some(place @ Place::V1(_)) => {
                // A frozen process does not die in v1: the caller kills init, this lets it happen.
                let _ = self.write(place, "freezer.state", "THAWED");
                false
            }
            None => false,
        }
    }

    pub(crate) fn memory(&self) -> io::Result<MemoryUse> {
        let place = self.place(&self.layout.memory)?;
        let (usage, droppable) = match place {
            Place::V1(_) => ("memory.usage_in_bytes", "total_inactive_file"),
            Place::V2(_) => ("memory.current", "inactive_file"),
        };
        let current = parse(&self.read(place, usage)?)?;
        let droppable = keyed(&self.read(place, "memory.stat")?, droppable).unwrap_or(0);
        let current_bytes = current.saturating_sub(droppable);
        Ok(MemoryUse { current_bytes, peak_bytes: self.peak_bytes().unwrap_or(current_bytes) })
    }

    /// The peak of memory use, in bytes.
    pub(crate) fn peak_bytes(&self) -> io::Result<u64> {
        let place = self.place(&self.layout.memory)?;
        match place {
            Place::V1(_) => parse(&self.read(place, "memory.max_usage_in_bytes")?),
            Place::V2(_) => match &mut *lock(&self.peak) {
                Some(file) => {
                    let mut text = String::new();
                    file.rewind()?;
                    file.read_to_string(&mut text)?;
                    parse(&text)
                }
                None => parse(&self.read(place, "memory.peak")?),
            },
        }
    }

    pub(crate) fn reset_peak(&self) -> io::Result<()> {
        let place = self.place(&self.layout.memory)?;
        match place {
            Place::V1(_) => self.write(place, "memory.max_usage_in_bytes", "0"),
            Place::V2(parent) => {
                let path = parent.join(&self.name).join("memory.peak");
                let mut file = File::options().read(true).write(true).open(path)?;
                file.write_all(b"1")?;
                *lock(&self.peak) = Some(file);
                Ok(())
            }
        }
    }

    /// How many processes the kernel killed because of the limit.
    pub(crate) fn oom_kills(&self) -> u64 {
        let Some(place) = &self.layout.memory else { return 0 };
        let file = match place {
            Place::V1(_) => "memory.oom_control",
            Place::V2(_) => "memory.events",
        };
        self.read(place, file).ok().and_then(|text| keyed(&text, "oom_kill")).unwrap_or(0)
    }

    /// Removes the groups; they must be empty. Groups that are not there are fine.
    pub(crate) fn remove(&self) -> io::Result<()> {
        for parent in self.layout.parents(|_| true) {
            ignore_missing(fs::remove_dir(parent.join(&self.name)))?;
        }
        Ok(())
    }

    fn place<'a>(&self, place: &'a Option<Place>) -> io::Result<&'a Place> {
        place.as_ref().ok_or_else(|| {
            io::Error::new(io::ErrorKind::Unsupported, "this host gives us no control group for it")
        })
    }

    fn write(&self, place: &Place, file: &str, value: &str) -> io::Result<()> {
        write_file(&place.path().join(&self.name).join(file), value)
    }

    fn read(&self, place: &Place, file: &str) -> io::Result<String> {
        fs::read_to_string(place.path().join(&self.name).join(file))
    }
}

/// The open control files of a box's limits.
pub(crate) struct LimitFiles {
    memory: Option<MemoryLimit>,
    pids: Option<File>,
    cpu: Option<CpuQuota>,
}

enum MemoryLimit {
    V1 { memory: File, with_swap: Option<File> },
    V2(File),
}

impl LimitFiles {
    /// All but the CPU quota: building the box is not slowed down by it, its command is.
    pub(crate) fn set_all_but_cpu(&mut self, limits: &Limits) -> io::Result<()> {
        self.set_memory_bytes(limits.memory_bytes)?;
        match &mut self.pids {
            // The box's init counts too, but is none of the caller's business.
            Some(pids) => pids.write_all((u64::from(limits.max_processes) + 1).to_string().as_bytes()),
            None => Ok(()),
        }
    }

    pub(crate) fn set_cpu(self, limits: &Limits) -> io::Result<()> {
        self.cpu.map_or(Ok(()), |quota| quota.set_millis(limits.cpu_millis))
    }

    fn set_memory_bytes(&mut self, bytes: u64) -> io::Result<()> {
        let bytes = bytes.to_string();
        match &mut self.memory {
            None => Ok(()),
            Some(MemoryLimit::V2(max)) => max.write_all(bytes.as_bytes()),
            Some(MemoryLimit::V1 { memory, with_swap: None }) => memory.write_all(bytes.as_bytes()),
            Some(MemoryLimit::V1 { memory, with_swap: Some(with_swap) }) => {
                // Memory alone may never have the higher limit: which comes first depends on the direction.
                if memory.write_all(bytes.as_bytes()).is_ok() {
                    return with_swap.write_all(bytes.as_bytes());
                }
                with_swap.write_all(bytes.as_bytes())?;
                memory.write_all(bytes.as_bytes())
            }
        }
    }
}

/// The open control files of a CPU quota.
pub(crate) enum CpuQuota {
    V1 { period: File, quota: File },
    V2(File),
}

impl CpuQuota {
    /// 1000 is one processor.
    pub(crate) fn set_millis(self, cpu_millis: u32) -> io::Result<()> {
        let (quota_us, period_us) = cpu_bandwidth(cpu_millis);
        match self {
            Self::V1 { mut period, mut quota } => {
                // The kernel checks each write alone: first no quota, then the period, then the quota.
                quota.write_all(b"-1")?;
                period.write_all(period_us.to_string().as_bytes())?;
                quota.write_all(quota_us.to_string().as_bytes())
            }
            Self::V2(mut max) => max.write_all(format!("{quota_us} {period_us}").as_bytes()),
        }
    }
}

/// Quota and period in microseconds for a share; 1000 is one processor.
fn cpu_bandwidth(cpu_millis: u32) -> (u64, u64) {
    let share = u64::from(cpu_millis.max(1));
    let period_us = CPU_PERIOD_US.max((CPU_QUOTA_MIN_US * 1000).div_ceil(share)).min(1_000_000);
    ((share * period_us / 1000).max(CPU_QUOTA_MIN_US), period_us)
}

/// Kills what is in the groups below `parent`, frozen or not.
pub(crate) fn kill_all(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for group in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        kill_members(&group.path());
    }
}

/// Kills what is left below `parent` and removes it, with all its groups. Waits up to two seconds.
pub(crate) fn sweep(parent: &Path) -> io::Result<()> {
    let Ok(entries) = fs::read_dir(parent) else { return Ok(()) };
    for group in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_with_force(&group.path())?;
    }
    remove_with_force(parent)
}

fn remove_with_force(group: &Path) -> io::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        kill_members(group);
        match fs::remove_dir(group) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(_) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(2));
            }
            result => return result,
        }
    }
}

fn kill_members(group: &Path) {
    let _ = write_file(&group.join("cgroup.kill"), "1");
    let members = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    for pid in members.lines().filter_map(|line| rustix::process::Pid::from_raw(line.parse().ok()?)) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    // Last, so that nothing runs between thaw and kill.
    let _ = write_file(&group.join("freezer.state"), "THAWED");
}

/// Control files want one write, and are never created.
pub(crate) fn write_file(path: &Path, value: &str) -> io::Result<()> {
    let at = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    File::options().write(true).open(path).and_then(|mut file| file.write_all(value.as_bytes())).map_err(at)
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn parse(text: &str) -> io::Result<u64> {
    text.trim().parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The number after `key` in a file of `key number` lines.
fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// The directory name of a box's groups: for one of its spawner's boxes after the other. A box may be half built before
/// anybody knows its id.
pub(crate) fn group_name(number: u64) -> String {
    format!("box-{number}")
}

/// The paths that hold groups of this layout, for the record that a later server sweeps by.
pub(crate) fn record(layout: &Layout) -> Vec<PathBuf> {
    layout.parents(|_| true).into_iter().map(Path::to_path_buf).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_shares_get_the_kernels_smallest_quota_and_a_longer_period() {
        assert_eq!(cpu_bandwidth(1000), (20_000, 20_000));
        assert_eq!(cpu_bandwidth(72), (1_440, 20_000));
        assert_eq!(cpu_bandwidth(6000), (120_000, 20_000));
        assert_eq!(cpu_bandwidth(10), (1_000, 100_000));
        assert_eq!(cpu_bandwidth(0), (1_000, 1_000_000));
    }

    #[test]
    fn keyed_lines_are_matched_whole() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(keyed(text, "oom_kill"), Some(3));
        assert_eq!(keyed(text, "oom"), None);
    }

    #[test]
    fn the_v2_files_get_the_documented_values() {
        let dir = tempfile::tempdir().unwrap();
        let parent = dir.path().to_path_buf();
        let place = || Some(Place::V2(parent.clone()));
        let layout = Layout { memory: place(), cpu: place(), pids: place(), freeze: place(), notes: vec![] };
        let group = BoxCgroup::new(&layout, "1-a".to_owned());
        // A plain directory refuses the first write, as files are never created: make them, as the kernel would.
        let files =
            ["memory.max", "memory.swap.max", "memory.oom.group", "cpu.max", "pids.max", "cgroup.procs"];
        let limits = Limits { memory_bytes: 134_217_728, cpu_millis: 72, max_processes: 1024 };
        assert!(group.create_v2().is_err());
        fs::remove_dir(parent.join("1-a")).unwrap();
        fs::create_dir(parent.join("1-a")).unwrap();
        for file in files {
            fs::write(parent.join("1-a").join(file), "").unwrap();
        }
        assert_eq!(group.create_v2().unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        group.write_constants().unwrap();
        let mut files = group.open_limits().unwrap();
        files.set_all_but_cpu(&limits).unwrap();
        files.set_cpu(&limits).unwrap();
        assert_eq!(fs::read_to_string(parent.join("1-a/memory.max")).unwrap(), "134217728");
        assert_eq!(fs::read_to_string(parent.join("1-a/memory.swap.max")).unwrap(), "0");
        assert_eq!(fs::read_to_string(parent.join("1-a/memory.oom.group")).unwrap(), "1");
        assert_eq!(fs::read_to_string(parent.join("1-a/pids.max")).unwrap(), "1025");
        assert_eq!(fs::read_to_string(parent.join("1-a/cpu.max")).unwrap(), "1440 20000");
        fs::write(parent.join("1-a/memory.events"), "low 0\noom 2\noom_kill 1\noom_group_kill 1\n").unwrap();
        assert_eq!(group.oom_kills(), 1);
        fs::write(parent.join("1-a/memory.current"), "1000\n").unwrap();
        fs::write(parent.join("1-a/memory.stat"), "anon 1\ninactive_file 400\n").unwrap();
        fs::write(parent.join("1-a/memory.peak"), "2000\n").unwrap();
        assert_eq!(group.memory().unwrap(), MemoryUse { current_bytes: 600, peak_bytes: 2000 });
    }
}

//! One server's directory below the state directory, and the sweep of those whose server is dead.
//!
//! `<state>/<instance>/lock` is locked as long as the spawner lives; `groups` lists the control-group directories;
//! `disk.new` is a disk on its way (all others have no name);
//! `base` is the mount point of the prepared pieces (mounted in the spawner's own mount namespace only, so on the
//! host it is always an empty directory).

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;

use crate::cgroup;

/// A live instance. The lock is held as long as this process lives.
pub(crate) struct Instance {
    dir: PathBuf,
    /// Also kept here: the state directory may be gone when we end.
    groups: Vec<PathBuf>,
    _lock: File,
}

impl Instance {
    /// Sweeps what dead servers left, then makes the directory.
    pub(crate) fn create(state_dir: &Path, name: &str) -> io::Result<Self> {
        // One at a time: nobody may sweep a directory that is not locked yet.
        let gate = File::create(state_dir.join(".gate"))?;
        rustix::fs::flock(&gate, FlockOperation::LockExclusive)?;
        sweep(state_dir)?;
        let dir = state_dir.join(name);
        fs::create_dir_all(dir.join("base"))?;
        let lock = File::create(dir.join("lock"))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { dir, groups: Vec::new(), _lock: lock })
    }

    /// For files that go with the spawner.
    pub(crate) fn dir(&self) -> PathBuf {
        self.dir.clone()
    }

    pub(crate) fn base(&self) -> PathBuf {
        self.dir.join("base")
    }

    /// Writes down which control-group directories to remove after our death.
    pub(crate) fn record(&mut self, groups: Vec<PathBuf>) -> io::Result<()> {
        let lines: Vec<u8> =
            groups.iter().flat_map(|path| [path.as_os_str().as_bytes(), b"\n"].concat()).collect();
        self.groups = groups;
        fs::write(self.dir.join("groups"), lines)
    }

    pub(crate) fn remove(self) {
        let _ = rustix::mount::unmount(self.base(), rustix::mount::UnmountFlags::DETACH);
        self.groups.iter().for_each(|group| cgroup::kill_all(group));
        for group in &self.groups {
            let _ = clear_group(group);
        }
        let _ = clear(&self.dir);
    }
}

fn sweep(state_dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(state_dir)?.flatten() {
        let dir = entry.path();
        let Ok(lock) = File::options().write(true).open(dir.join("lock")) else { continue };
        if is_dead(&dir, &lock) {
            // What resists now is tried again at the next start.
            let _ = clear(&dir);
        }
    }
    Ok(())
}

/// Whether the spawner of an instance is gone. One whose server is gone is about to go: it is waited for.
fn is_dead(dir: &Path, lock: &File) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if rustix::fs::flock(lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return true;
        }
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        let server = name.split('-').next().unwrap_or_default();
        let server_lives = server.is_empty() || Path::new("/proc").join(server).exists();
        if server_lives || Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Removes the groups, with the processes in them, and the directory.
fn clear(dir: &Path) -> io::Result<()> {
    let record = fs::read(dir.join("groups")).unwrap_or_default();
    let lines = record.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let groups: Vec<&Path> = lines.map(|line| Path::new(OsStr::from_bytes(line))).collect();
    // A process frozen in one hierarchy would keep its groups in all others busy.
    groups.iter().for_each(|group| cgroup::kill_all(group));
    for group in groups {
        clear_group(group)?;
    }
    for file in ["groups", "lock", super::disks::NEW_NAME] {
        let _ = fs::remove_file(dir.join(file));
    }
    let _ = fs::remove_dir(dir.join("base"));
    match fs::remove_dir(dir) {
        // It cleaned up by itself just now.
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn clear_group(group: &Path) -> io::Result<()> {
    cgroup::sweep(group)?;
    // The directory that all instances share goes with the last of them.
    if let Some(shared) = group.parent() {
        let _ = fs::remove_dir(shared);
    }
    Ok(())
}

//! What a caller asks for: one box, fully described, nothing taken from the surroundings.

use std::ffi::OsString;
use std::net::SocketAddrV4;
use std::path::{Component, Path, PathBuf};

use crate::SandboxError;

/// The largest request the spawner accepts: command, environment and mounts together, in bytes.
pub const MAX_SPEC_BYTES: usize = 128 * 1024;
/// The most listeners one box may have.
pub const MAX_LISTENERS: usize = 16;
/// The most companions one box may have.
pub const MAX_COMPANIONS: usize = 16;

/// One directory (or file) of the host that the box sees, read-only, without set-uid files and devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOnlyMount {
    /// The path on the host; if relative, from the server's working directory. It is opened with the server's own
    /// rights.
    pub host: PathBuf,
    /// The absolute path inside the box.
    pub inside: PathBuf,
}

/// A directory of the host that the box may write to, without set-uid files and devices. Several boxes may share it.
///
/// As root, the box's user acts there as the directory's owner. If that is root, all boxes are one stranger, and the
/// directory's mode decides; if the file system cannot do it, each box is a stranger of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedFolder {
    /// The path on the host, as for [`ReadOnlyMount`].
    pub host: PathBuf,
    /// The absolute path inside the box.
    pub inside: PathBuf,
}

/// Everything a box is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoxSpec {
    /// Unique among the living boxes: letters, digits, `-` and `_`, at most 64 of them.
    pub id: String,
    /// Memory limit, in MiB. What the box keeps in `/tmp` counts only where `/tmp` is in memory (see the doctor).
    pub memory_mib: u32,
    /// CPU share: 1000 is one processor.
    pub cpu_millis: u32,
    /// Size of `/tmp`, in MiB.
    pub tmp_mib: u32,
    /// Most processes and threads at a time.
    pub max_processes: u32,
    /// Most open file descriptors per process.
    pub max_files: u32,
    /// Directories of the host to show inside.
    pub mounts: Vec<ReadOnlyMount>,
    /// Directories of the host that the box may write to.
    pub folders: Vec<SharedFolder>,
    /// Program and arguments, as seen inside.
    pub command: Vec<OsString>,
    /// The whole environment of the program.
    pub env: Vec<(OsString, OsString)>,
    /// Working directory, as seen inside.
    pub cwd: PathBuf,
    /// Addresses to listen on inside the box's own network; served by the caller.
    pub listeners: Vec<SocketAddrV4>,
    /// Further processes, each a program and its arguments, beside the command and within the same limits. They are
    /// started first, in `/`; the command then waits for [`start_command`](crate::RunningBox::start_command).
    pub companions: Vec<Vec<OsString>>,
    /// The whole environment of each companion.
    pub companion_env: Vec<(OsString, OsString)>,
}

impl BoxSpec {
    /// Refuses what could not work, before anything is started.
    pub(crate) fn check(&self) -> Result<(), SandboxError> {
        check_id(&self.id)?;
        check_numbers(&[
            ("memory_mib", self.memory_mib),
            ("cpu_millis", self.cpu_millis),
            ("tmp_mib", self.tmp_mib),
            ("max_processes", self.max_processes),
            ("max_files", self.max_files),
        ])?;
        if self.command.is_empty() {
            return refuse("command is empty".to_owned());
        }
        if self.companions.len() > MAX_COMPANIONS || self.companions.iter().any(Vec::is_empty) {
            return refuse(format!("companions must be at most {MAX_COMPANIONS}, none of them empty"));
        }
        if self.listeners.len() > MAX_LISTENERS {
            return refuse(format!("{} listeners; at most {MAX_LISTENERS}", self.listeners.len()));
        }
        let targets = self.mounts.iter().map(|mount| &mount.inside);
        check_paths(&self.cwd, targets.chain(self.folders.iter().map(|folder| &folder.inside)))
    }
}

fn refuse<T>(why: String) -> Result<T, SandboxError> {
    Err(SandboxError::InvalidSpec(why))
}

pub(crate) fn check_id(id: &str) -> Result<(), SandboxError> {
    let is_plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if id.is_empty() || id.len() > 64 || !is_plain {
        return refuse(format!("id '{id}' must be 1 to 64 letters, digits, '-' or '_'"));
    }
    Ok(())
}

pub(crate) fn check_numbers(numbers: &[(&str, u32)]) -> Result<(), SandboxError> {
    match numbers.iter().find(|(_, value)| *value == 0) {
        Some((name, _)) => refuse(format!("{name} must not be 0")),
        None => Ok(()),
    }
}

pub(crate) fn check_paths<'a>(
    cwd: &Path,
    targets: impl Iterator<Item = &'a PathBuf>,
) -> Result<(), SandboxError> {
    if !is_clean_absolute(cwd) {
        return refuse(format!("cwd '{}' must be absolute, without '..'", cwd.display()));
    }
    for inside in targets {
        if !is_clean_absolute(inside) || inside == Path::new("/") {
            let inside = inside.display();
            return refuse(format!("mount target '{inside}' must be absolute, without '..', and not '/'"));
        }
        if ["/proc", "/dev", "/tmp", "/etc"].iter().any(|own| inside.starts_with(own)) {
            return refuse(format!("mount target '{}' belongs to the box itself", inside.display()));
        }
    }
    Ok(())
}

/// Absolute, and every step goes down.
fn is_clean_absolute(path: &Path) -> bool {
    path.is_absolute()
        && path.components().all(|step| matches!(step, Component::RootDir | Component::Normal(_)))
}

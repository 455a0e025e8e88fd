//! A box whose command runs already, and waits to hear what it is for.
//!
//! The command is common to many functions (an interpreter with a runtime client, say); nothing of any function is in
//! the box. What the box is for comes later, once, and is in the box for good: a box never waits a second time.

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::Exit;
use crate::channel::Channel;
use crate::protocol::{self, Bind, InitSays, Request, Sources};
use crate::sandbox::{Spawner, Started, check_size, host_path, pairs, path_bytes};
use crate::{BoxSpec, ReadOnlyMount, RunningBox, SandboxError};

/// A box that is not ready by then has failed.
const BIND_LIMIT_MS: u64 = 10_000;
/// Everything that is written to the worker fits into its pipe, so that nobody waits for it.
const PIPE_BYTES: usize = 256 * 1024;

/// What a waiting box is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// As in [`BoxSpec`]; it takes the place of the identifier that the box was prepared with.
    pub id: String,
    /// Memory limit, in MiB.
    pub memory_mib: u32,
    /// CPU share: 1000 is one processor.
    pub cpu_millis: u32,
    /// Size of `/tmp`, in MiB. It must be what the box was prepared with: its disk is there already.
    pub tmp_mib: u32,
    /// Further directories of the host to show inside. There are no shared folders: the worker's own rules (Landlock)
    /// could not name what is not there yet, so it could not write to them.
    pub mounts: Vec<ReadOnlyMount>,
    /// The environment of what the worker becomes, told to it together with `cwd`.
    pub env: Vec<(OsString, OsString)>,
    /// Working directory, as seen inside.
    pub cwd: PathBuf,
}

/// A box that waits. Dropping it kills everything inside.
pub struct WaitingBox {
    running: RunningBox,
    channel: Arc<Channel>,
    spawner: Arc<Spawner>,
    serial: u64,
    worker: OwnedFd,
    tmp_mib: u32,
}

impl WaitingBox {
    pub(crate) fn new(started: Started, worker: OwnedFd, spec: &BoxSpec) -> Self {
        let Started { running, channel, serial, spawner } = started;
        Self { running, channel, spawner, serial, worker, tmp_mib: spec.tmp_mib }
    }

    /// The identifier from the specification.
    pub fn id(&self) -> &str {
        self.running.id()
    }

    /// Whether its command still runs.
    pub fn is_alive(&self) -> bool {
        self.running.try_exited().is_none()
    }

    /// Waits for its end: see [`RunningBox::exited`].
    pub fn exited(&self) -> impl Future<Output = Exit> + Send + 'static {
        self.running.exited()
    }

    /// Memory in use.
    pub fn memory(&self) -> crate::MemoryUse {
        self.running.memory()
    }

    /// Brings in what the box is for, takes the last rights from its init, and only then tells the worker.
    ///
    /// # Errors
    /// [`SandboxError::InvalidSpec`] if it does not fit this box; [`SandboxError::Gone`] if the worker has ended;
    /// [`SandboxError::Launch`] names the step that failed. In all cases the box is killed.
    pub async fn bind(self, binding: Binding) -> Result<RunningBox, SandboxError> {
        self.check(&binding)?;
        let told = told(&binding);
        check_size(&told, "working directory and environment")?;
        let launch_error = |step: &str| {
            let (id, step) = (binding.id.clone(), step.to_owned());
            move |source: io::Error| SandboxError::Launch { id, step, source }
        };
        // From outside: the worker, and what it becomes, must never have more.
        self.running.set_memory_mib(binding.memory_mib)?;
        let has_quota = self.running.set_cpu_millis(binding.cpu_millis);
        has_quota.or_else(|error| if self.spawner.has_cpu_groups() { Err(error) } else { Ok(()) })?;
        let record = record(self.serial, &binding).map_err(launch_error("encode the binding"))?;
        check_size(&record, "mounts")?;
        self.spawner.request(&record, &[]).await?;
        let limit = Duration::from_millis(BIND_LIMIT_MS);
        let exit = self.running.exit_receiver();
        let said = self.spawner.said(&binding.id, &self.channel, &exit);
        let said = tokio::time::timeout(limit, said).await;
        let said = said
            .map_err(|_| SandboxError::LaunchTimeout { id: binding.id.clone(), limit_ms: BIND_LIMIT_MS })?;
        match said {
            Ok((InitSays::Bound, _)) => {}
            Ok((InitSays::Failed { step, errno }, _)) => {
                return Err(launch_error(&step)(io::Error::from_raw_os_error(errno)));
            }
            Ok(_) => return Err(launch_error("hear from the box")(io::ErrorKind::InvalidData.into())),
            Err(()) => return Err(SandboxError::Gone { id: binding.id }),
        }
        let Self { running, worker, .. } = self;
        let written = rustix::io::write(&worker, &told).map_err(io::Error::from);
        if written.map_err(launch_error("tell the worker"))? != told.len() {
            return Err(launch_error("tell the worker")(io::ErrorKind::WriteZero.into()));
        }
        Ok(running.renamed(binding.id))
    }

    fn check(&self, binding: &Binding) -> Result<(), SandboxError> {
        if binding.tmp_mib != self.tmp_mib {
            let (wanted, has) = (binding.tmp_mib, self.tmp_mib);
            return Err(SandboxError::InvalidSpec(format!(
                "tmp_mib {wanted}; this box was prepared with {has}"
            )));
        }
        crate::spec::check_id(&binding.id)?;
        crate::spec::check_numbers(&[
            ("memory_mib", binding.memory_mib),
            ("cpu_millis", binding.cpu_millis),
        ])?;
        crate::spec::check_paths(&binding.cwd, binding.mounts.iter().map(|mount| &mount.inside))?;
        let zero = |word: &OsString| word.as_encoded_bytes().contains(&0);
        if binding.env.iter().any(|(name, value)| zero(name) || zero(value)) {
            return Err(SandboxError::InvalidSpec("a zero byte in the environment".to_owned()));
        }
        Ok(())
    }
}

impl std::fmt::Debug for WaitingBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("WaitingBox").field(&self.running).finish()
    }
}

/// Working directory and environment as the worker reads them.
fn told(binding: &Binding) -> Vec<u8> {
    let mut told = path_bytes(&binding.cwd);
    told.push(0);
    for pair in pairs(&binding.env) {
        told.extend(pair);
        told.push(0);
    }
    told
}

fn record(serial: u64, binding: &Binding) -> io::Result<Vec<u8>> {
    let mounts = binding.mounts.iter();
    let sources =
        Sources { mounts: mounts.clone().map(|mount| host_path(&mount.host)).collect(), folders: vec![] };
    let bind = Bind {
        memory_bytes: u64::from(binding.memory_mib) << 20,
        mounts: mounts.map(|mount| path_bytes(&mount.inside)).collect(),
    };
    let front = protocol::encode(&Request::Bind { serial, sources })?;
    Ok([front, protocol::encode(&bind)?].concat())
}

/// The worker's end, then ours, which never blocks.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    rustix::pipe::fcntl_setpipe_size(&write, PIPE_BYTES)?;
    rustix::io::ioctl_fionbio(&write, true)?;
    Ok((read, write))
}

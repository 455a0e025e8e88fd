//! What the fleet needs of a sandbox: two small traits, so that its tests run against fake boxes.
//!
//! [`sandbox::Sandbox`] and [`sandbox::RunningBox`] are the implementations that count.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;

use sandbox::{BoxSpec, MemoryUse, RunningBox, Sandbox, SandboxError};

use crate::runtime_api::Departure;

/// A future that can be named.
pub(crate) type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Starts boxes. Launches run side by side: an implementation holds no lock across one.
pub(crate) trait Launcher: Send + Sync {
    /// Starts a box.
    fn launch(&self, spec: BoxSpec) -> Later<Result<Box<dyn EnvBox>, SandboxError>>;
}

/// A box that runs. Dropping it kills what is inside.
pub(crate) trait EnvBox: Send + Sync {
    /// What the fleet reads from and serves; asked once.
    fn take_parts(&self) -> BoxParts;
    /// Stops it without losing anything.
    fn freeze(&self) -> Result<(), SandboxError>;
    /// Lets it go on.
    fn thaw(&self) -> Result<(), SandboxError>;
    /// Changes the CPU share; 1000 is one processor.
    fn set_cpu_millis(&self, cpu_millis: u32) -> Result<(), SandboxError>;
    /// The end of its first process.
    fn exited(&self) -> Later<Departure>;
    /// Memory in use and the peak.
    fn memory(&self) -> MemoryUse;
    /// Kills everything inside.
    fn kill(&self);
}

/// The ends of a box that this process holds.
pub(crate) struct BoxParts {
    pub(crate) listeners: Vec<std::net::TcpListener>,
    pub(crate) output: OwnedFd,
    pub(crate) telemetry: OwnedFd,
}

impl Launcher for Sandbox {
    fn launch(&self, spec: BoxSpec) -> Later<Result<Box<dyn EnvBox>, SandboxError>> {
        let sandbox = self.clone();
        Box::pin(async move { Ok(Box::new(sandbox.launch(spec).await?) as Box<dyn EnvBox>) })
    }
}

impl EnvBox for RunningBox {
    fn take_parts(&self) -> BoxParts {
        BoxParts {
            listeners: self.take_listeners(),
            output: self.take_output(),
            telemetry: self.take_telemetry(),
        }
    }

    fn freeze(&self) -> Result<(), SandboxError> {
        RunningBox::freeze(self)
    }

    fn thaw(&self) -> Result<(), SandboxError> {
        RunningBox::thaw(self)
    }

    fn set_cpu_millis(&self, cpu_millis: u32) -> Result<(), SandboxError> {
        RunningBox::set_cpu_millis(self, cpu_millis)
    }

    fn exited(&self) -> Later<Departure> {
        let exited = RunningBox::exited(self);
        Box::pin(async move {
            let exit = exited.await;
            Departure {
                code: exit.code,
                signal: exit.signal,
                oom_killed: exit.oom_killed,
                peak_memory_bytes: exit.peak_memory_bytes,
            }
        })
    }

    fn memory(&self) -> MemoryUse {
        RunningBox::memory(self)
    }

    fn kill(&self) {
        RunningBox::kill(self);
    }
}

//! What the fleet needs of a sandbox: two small traits, so that its tests run against fake boxes.
//!
//! [`sandbox::Sandbox`] and [`sandbox::RunningBox`] are the implementations that count.

use std::future::Future;
use std::os::fd::OwnedFd;
use std::pin::Pin;

use sandbox::{
    Binding, BoxSpec, Ended, MemoryUse, ProcessEnd, RunningBox, Sandbox, SandboxError, WaitingBox,
};
use tokio::sync::watch;

use crate::runtime_api::Departure;

/// The kernel's number.
const SIGKILL: i32 = 9;

/// A future that can be named.
pub(crate) type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Starts boxes. Launches run side by side: an implementation holds no lock across one.
pub(crate) trait Launcher: Send + Sync {
    /// Starts a box.
    fn launch(&self, spec: BoxSpec) -> Later<Result<Box<dyn EnvBox>, SandboxError>>;
    /// Starts a box whose command waits for its function.
    fn prepare(&self, spec: BoxSpec) -> Later<Result<Box<dyn Waiting>, SandboxError>>;
}

/// A box whose command waits for its function. Dropping it kills what is inside.
pub(crate) trait Waiting: Send + Sync {
    /// Whether its command still waits.
    fn is_alive(&self) -> bool;
    /// Makes it the function's.
    fn bind(self: Box<Self>, binding: Binding) -> Later<Result<Box<dyn EnvBox>, SandboxError>>;
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
    /// The end of its command.
    fn exited(&self) -> Later<Departure>;
    /// The end of its last process.
    fn gone(&self) -> Later<()>;
    /// Which of its processes have ended; told only of a box with companions.
    fn ended(&self) -> watch::Receiver<Ended>;
    /// Starts the command of a box with companions. Blocks for the length of an exec.
    fn start_command(&self) -> Result<(), SandboxError>;
    /// SIGTERM, or SIGKILL by force, to the command. Blocks for some microseconds.
    fn signal_command(&self, force: bool) -> Result<(), SandboxError>;
    /// A socket of its network, not connected. The box must not be frozen. Blocks for some microseconds.
    fn socket(&self) -> Result<std::net::TcpStream, SandboxError>;
    /// Memory in use and the peak.
    fn memory(&self) -> MemoryUse;
    /// The peak alone, in bytes, which takes less time.
    fn peak_memory_bytes(&self) -> u64 {
        self.memory().peak_bytes
    }
    /// Kills everything inside.
    fn kill(&self);
}

/// The ends of a box that this process holds.
pub(crate) struct BoxParts {
    pub(crate) listeners: Vec<std::net::TcpListener>,
    pub(crate) output: OwnedFd,
    pub(crate) telemetry: OwnedFd,
    /// Of all companions together.
    pub(crate) companion_output: Option<OwnedFd>,
}

impl Launcher for Sandbox {
    fn launch(&self, spec: BoxSpec) -> Later<Result<Box<dyn EnvBox>, SandboxError>> {
        let sandbox = self.clone();
        Box::pin(async move { Ok(Box::new(sandbox.launch(spec).await?) as Box<dyn EnvBox>) })
    }

    fn prepare(&self, spec: BoxSpec) -> Later<Result<Box<dyn Waiting>, SandboxError>> {
        let sandbox = self.clone();
        Box::pin(async move { Ok(Box::new(sandbox.prepare(spec).await?) as Box<dyn Waiting>) })
    }
}

impl Waiting for WaitingBox {
    fn is_alive(&self) -> bool {
        WaitingBox::is_alive(self)
    }

    fn bind(self: Box<Self>, binding: Binding) -> Later<Result<Box<dyn EnvBox>, SandboxError>> {
        Box::pin(async move { Ok(Box::new(WaitingBox::bind(*self, binding).await?) as Box<dyn EnvBox>) })
    }
}

impl EnvBox for RunningBox {
    fn take_parts(&self) -> BoxParts {
        BoxParts {
            listeners: self.take_listeners(),
            output: self.take_output(),
            telemetry: self.take_telemetry(),
            companion_output: self.take_companion_output(),
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
        let (exited, mut ended) = (RunningBox::exited(self), RunningBox::ended(self));
        Box::pin(async move {
            tokio::pin!(exited);
            let command = tokio::select! {
                biased;
                exit = &mut exited => Err(exit),
                command = command_end(&mut ended) => Ok(command),
            };
            let exit = match command {
                Err(exit) => exit,
                // Nothing of the box is of use then, and only its end tells whether its memory was the reason.
                Ok(end) if end.signal == Some(SIGKILL) => exited.await,
                Ok(ProcessEnd { code, signal }) => {
                    return Departure { code, signal, ..Departure::default() };
                }
            };
            Departure {
                code: exit.code,
                signal: exit.signal,
                oom_killed: exit.oom_killed,
                peak_memory_bytes: exit.peak_memory_bytes,
            }
        })
    }

    fn gone(&self) -> Later<()> {
        let exited = RunningBox::exited(self);
        Box::pin(async move {
            exited.await;
        })
    }

    fn ended(&self) -> watch::Receiver<Ended> {
        RunningBox::ended(self)
    }

    fn start_command(&self) -> Result<(), SandboxError> {
        RunningBox::start_command(self)
    }

    fn signal_command(&self, force: bool) -> Result<(), SandboxError> {
        if force { self.kill_command() } else { self.terminate_command() }
    }

    fn socket(&self) -> Result<std::net::TcpStream, SandboxError> {
        RunningBox::socket(self)
    }

    fn memory(&self) -> MemoryUse {
        RunningBox::memory(self)
    }

    fn peak_memory_bytes(&self) -> u64 {
        RunningBox::peak_memory_bytes(self)
    }

    fn kill(&self) {
        RunningBox::kill(self);
    }
}

/// Waits for the end of the command of a box with companions.
async fn command_end(ended: &mut watch::Receiver<Ended>) -> ProcessEnd {
    match ended.wait_for(|ended| ended.command.is_some()).await.map(|ended| ended.command) {
        Ok(Some(end)) => end,
        // Nothing is told of this box but its end.
        _ => std::future::pending().await,
    }
}

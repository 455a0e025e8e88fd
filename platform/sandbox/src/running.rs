//! A box that runs, in the hands of its user.

use std::future::Future;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use crate::SandboxError;
use crate::backend::{BoxControl, Ended, Exit, MemoryUse};

/// A box. Dropping it kills everything inside.
pub struct RunningBox {
    id: String,
    control: Box<dyn BoxControl>,
    listeners: Mutex<Vec<TcpListener>>,
    output: Mutex<Option<OwnedFd>>,
    telemetry: Mutex<Option<OwnedFd>>,
    companion_output: Mutex<Option<OwnedFd>>,
    ended: watch::Receiver<Ended>,
    exit: watch::Receiver<Option<Exit>>,
    frozen: AtomicBool,
}

/// What a back end hands over when a box has started.
pub(crate) struct Parts {
    pub(crate) id: String,
    pub(crate) control: Box<dyn BoxControl>,
    pub(crate) listeners: Vec<TcpListener>,
    pub(crate) output: OwnedFd,
    pub(crate) telemetry: OwnedFd,
    pub(crate) companion_output: Option<OwnedFd>,
    pub(crate) ended: watch::Receiver<Ended>,
    pub(crate) exit: watch::Receiver<Option<Exit>>,
}

impl RunningBox {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            id: parts.id,
            control: parts.control,
            listeners: Mutex::new(parts.listeners),
            output: Mutex::new(Some(parts.output)),
            telemetry: Mutex::new(Some(parts.telemetry)),
            companion_output: Mutex::new(parts.companion_output),
            ended: parts.ended,
            exit: parts.exit,
            frozen: AtomicBool::new(false),
        }
    }

    /// The identifier from the specification.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The sockets bound inside the box's network, in the order of the specification, non-blocking.
    /// Empty when called again.
    pub fn take_listeners(&self) -> Vec<TcpListener> {
        std::mem::take(&mut *lock(&self.listeners))
    }

    /// The read end of the pipe that is both standard output and standard error, non-blocking.
    ///
    /// # Panics
    /// When called a second time: there is one pipe.
    pub fn take_output(&self) -> OwnedFd {
        take_once(&self.output, "take_output")
    }

    /// The read end of the pipe that is descriptor 3 inside the box, non-blocking.
    ///
    /// # Panics
    /// When called a second time: there is one pipe.
    pub fn take_telemetry(&self) -> OwnedFd {
        take_once(&self.telemetry, "take_telemetry")
    }

    /// The read end of the pipe that is standard output and standard error of all companions, non-blocking. `None`
    /// without companions, or when called again.
    pub fn take_companion_output(&self) -> Option<OwnedFd> {
        lock(&self.companion_output).take()
    }

    /// Starts the command of a box with companions; that of any other box was started with it. Blocks for the length
    /// of an exec.
    ///
    /// # Errors
    /// [`SandboxError::Launch`] names the step that failed; [`SandboxError::Gone`] after the box has exited.
    pub fn start_command(&self) -> Result<(), SandboxError> {
        let gone = || SandboxError::Gone { id: self.id.clone() };
        if self.exit.borrow().is_some() {
            return Err(gone());
        }
        self.control.start_command().map_err(|failed| match self.exit.borrow().is_some() {
            true => gone(),
            false => SandboxError::Launch { id: self.id.clone(), step: failed.step, source: failed.source },
        })
    }

    /// Asks the command to end: SIGTERM. One that has ended already is no error.
    ///
    /// # Errors
    /// As for [`freeze`](Self::freeze).
    pub fn terminate_command(&self) -> Result<(), SandboxError> {
        self.control("terminate the command", |control| control.signal_command(false))
    }

    /// Ends the command, and leaves companions alive: SIGKILL. One that has ended already is no error.
    ///
    /// # Errors
    /// As for [`freeze`](Self::freeze).
    pub fn kill_command(&self) -> Result<(), SandboxError> {
        self.control("kill the command", |control| control.signal_command(true))
    }

    /// A TCP socket that lives in the box's network, not connected, non-blocking: what it connects to is inside the
    /// box. The box must not be frozen. Blocks for some microseconds.
    ///
    /// # Errors
    /// As for [`freeze`](Self::freeze).
    pub fn socket(&self) -> Result<std::net::TcpStream, SandboxError> {
        self.control("make a socket", |control| control.socket())
    }

    /// Which processes of a box with companions have ended. Nothing is told of a box without companions.
    pub fn ended(&self) -> watch::Receiver<Ended> {
        self.ended.clone()
    }

    /// Stops every process of the box until [`thaw`](Self::thaw); it then uses no CPU. Idempotent.
    ///
    /// # Errors
    /// [`SandboxError::Gone`] after the box has exited, [`SandboxError::Control`] if the kernel refuses.
    pub fn freeze(&self) -> Result<(), SandboxError> {
        self.control("freeze", |control| control.freeze())?;
        self.frozen.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Lets a frozen box go on. Idempotent.
    ///
    /// # Errors
    /// As for [`freeze`](Self::freeze).
    pub fn thaw(&self) -> Result<(), SandboxError> {
        self.control("thaw", |control| control.thaw())?;
        self.frozen.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Whether the last of `freeze` and `thaw` was `freeze`.
    pub fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Relaxed)
    }

    /// Memory in use, and the peak since the start or the last [`reset_peak_memory`](Self::reset_peak_memory).
    /// Zeros after the box has exited or where it cannot be measured; the final peak is in [`Exit`].
    pub fn memory(&self) -> MemoryUse {
        self.control("measure memory", |control| control.memory()).unwrap_or_default()
    }

    /// The peak alone, in bytes, which takes a fraction of the time. Zero as [`memory`](Self::memory).
    pub fn peak_memory_bytes(&self) -> u64 {
        self.control("measure memory", |control| control.peak_memory()).unwrap_or_default()
    }

    /// Starts a new measurement of the peak, for example before each request.
    ///
    /// # Errors
    /// As for [`freeze`](Self::freeze). Where the kernel cannot reset the peak the error says so.
    pub fn reset_peak_memory(&self) -> Result<(), SandboxError> {
        self.control("reset the memory peak", |control| control.reset_peak_memory())
    }

    /// Changes the CPU share; 1000 is one processor. Lambda gives a function more while it initialises.
    ///
    /// # Errors
    /// As for [`freeze`](Self::freeze). Without control groups there is no CPU limit and the error says so.
    pub fn set_cpu_millis(&self, cpu_millis: u32) -> Result<(), SandboxError> {
        self.control("set the CPU share", |control| control.set_cpu_millis(cpu_millis))
    }

    /// Waits for the end of the main process, and of everything it left behind. May be awaited many times, from
    /// many places, also after the `RunningBox` is dropped.
    pub fn exited(&self) -> impl Future<Output = Exit> + Send + 'static {
        let mut exit = self.exit.clone();
        async move {
            let seen = exit.wait_for(Option::is_some).await.ok().and_then(|exit| *exit);
            // The sender only goes away without a word when the whole sandbox does: everything was killed.
            seen.unwrap_or(KILLED)
        }
    }

    /// How it ended, if it has.
    pub fn try_exited(&self) -> Option<Exit> {
        *self.exit.borrow()
    }

    /// Kills every process of the box at once. Idempotent; [`exited`](Self::exited) tells when it is done.
    pub fn kill(&self) {
        if self.exit.borrow().is_none() {
            self.control.kill();
        }
    }

    pub(crate) fn exit_receiver(&self) -> watch::Receiver<Option<Exit>> {
        self.exit.clone()
    }

    /// Under another identifier from now on.
    pub(crate) fn renamed(mut self, id: String) -> Self {
        self.id = id;
        self
    }

    /// Changes the memory limit.
    pub(crate) fn set_memory_mib(&self, memory_mib: u32) -> Result<(), SandboxError> {
        self.control("set the memory limit", |control| control.set_memory_bytes(u64::from(memory_mib) << 20))
    }

    fn control<T>(
        &self,
        operation: &'static str,
        act: impl FnOnce(&dyn BoxControl) -> std::io::Result<T>,
    ) -> Result<T, SandboxError> {
        let gone = || SandboxError::Gone { id: self.id.clone() };
        if self.exit.borrow().is_some() {
            return Err(gone());
        }
        act(&*self.control).map_err(|source| match self.exit.borrow().is_some() {
            true => gone(),
            false => SandboxError::Control { id: self.id.clone(), operation, source },
        })
    }
}

/// What is known of a box whose spawner vanished.
pub(crate) const KILLED: Exit =
    Exit { code: None, signal: Some(libc::SIGKILL), oom_killed: false, peak_memory_bytes: 0 };

impl Drop for RunningBox {
    fn drop(&mut self) {
        self.kill();
    }
}

impl std::fmt::Debug for RunningBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunningBox")
            .field("id", &self.id)
            .field("exit", &self.try_exited())
            .finish_non_exhaustive()
    }
}

/// A poisoned lock here guards plain data: go on with it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn take_once(slot: &Mutex<Option<OwnedFd>>, name: &str) -> OwnedFd {
    lock(slot).take().unwrap_or_else(|| panic!("{name} was called twice"))
}

//! The seam between "a box" and the way it is isolated.
//!
//! Today there is one implementation: Linux namespaces (`crate::namespaces`). A virtual machine would be a second.

use std::io;
use std::net::TcpStream;

/// How much memory a box uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MemoryUse {
    /// Now, in bytes, without file pages that the kernel can drop at once.
    pub current_bytes: u64,
    /// The most since the start, or since the last `reset_peak_memory`, in bytes.
    pub peak_bytes: u64,
}

/// How a box's main process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// The exit code, if it exited by itself.
    pub code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// The kernel (or our watchdog, without cgroups) killed it because of the memory limit.
    pub oom_killed: bool,
    /// The most memory the box used, in bytes; 0 if it could not be measured.
    pub peak_memory_bytes: u64,
}

/// How one process of a box ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessEnd {
    /// The exit code, if it exited by itself.
    pub code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
}

/// Which processes of a box with companions have ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// The command.
    pub command: Option<ProcessEnd>,
    /// Companions, by their place in the specification, in the order of their ends.
    pub companions: Vec<(usize, ProcessEnd)>,
}

/// Why a command did not start: the step, and what the kernel said.
pub(crate) struct NotStarted {
    pub(crate) step: String,
    pub(crate) source: io::Error,
}

/// What can be done to a running box. Every call is synchronous and takes microseconds.
pub(crate) trait BoxControl: Send + Sync {
    /// Stops all its processes; they keep their memory and use no CPU.
    fn freeze(&self) -> io::Result<()>;
    /// Lets them go on.
    fn thaw(&self) -> io::Result<()>;
    /// Kills all its processes. Idempotent; also works on a frozen box.
    fn kill(&self);
    /// Measures its memory.
    fn memory(&self) -> io::Result<MemoryUse>;
    /// Measures the peak alone.
    fn peak_memory(&self) -> io::Result<u64> {
        self.memory().map(|memory| memory.peak_bytes)
    }
    /// Starts a new measurement of the peak.
    fn reset_peak_memory(&self) -> io::Result<()>;
    /// Changes the CPU share; 1000 is one processor.
    fn set_cpu_millis(&self, cpu_millis: u32) -> io::Result<()>;
    /// Changes the memory limit.
    fn set_memory_bytes(&self, bytes: u64) -> io::Result<()>;
    /// Starts the command, which waited. Takes as long as an exec.
    fn start_command(&self) -> Result<(), NotStarted>;
    /// SIGTERM to the command, or SIGKILL.
    fn signal_command(&self, kill: bool) -> io::Result<()>;
    /// A TCP socket of the box's network, not connected.
    fn socket(&self) -> io::Result<TcpStream>;
}

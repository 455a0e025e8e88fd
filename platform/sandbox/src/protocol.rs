//! The words between server, spawner and box: small records over seqpacket sockets, with file descriptors beside.
//!
//! Three conversations. Server -> spawner: [`Request`]. Spawner -> server: [`Event`]. Box init <-> server, over
//! the launch channel, one pair per box: [`InitSays`] and [`ServerAsks`]. All ends are the same binary, so there
//! is no version.

use std::io;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// First argument that turns our binary into the spawner.
pub(crate) const SPAWNER_ARGUMENT: &str = "__spawner";

/// The largest record of any conversation, in bytes.
pub(crate) const MAX_RECORD_BYTES: usize = crate::spec::MAX_SPEC_BYTES + 4096;

/// What the spawner needs to know before its first launch: its only arguments, as one record.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// Directory of this sandbox; holds one directory per server instance.
    pub(crate) state_dir: Vec<u8>,
    /// The instance's directory name.
    pub(crate) instance: String,
    /// First host user id of the range given to boxes.
    pub(crate) uid_base: u32,
    pub(crate) control_groups: crate::ControlGroups,
    /// Whether to try for disks.
    pub(crate) disks: bool,
}

/// Server to spawner.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Build a box. Descriptors beside it: launch channel, output pipe, telemetry pipe; with companions also theirs.
    Launch(LaunchRequest),
}

/// [`crate::BoxSpec`] as bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LaunchRequest {
    pub(crate) serial: u64,
    pub(crate) id: String,
    pub(crate) limits: Limits,
    pub(crate) tmp_mib: u32,
    pub(crate) max_files: u32,
    /// Host path, path inside.
    pub(crate) mounts: Vec<(Vec<u8>, Vec<u8>)>,
    /// The same, to be written to.
    pub(crate) folders: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) command: Vec<Vec<u8>>,
    /// `NAME=value`.
    pub(crate) env: Vec<Vec<u8>>,
    pub(crate) cwd: Vec<u8>,
    /// Address and port, host byte order.
    pub(crate) listeners: Vec<([u8; 4], u16)>,
    pub(crate) companions: Vec<Vec<Vec<u8>>>,
    /// `NAME=value`.
    pub(crate) companion_env: Vec<Vec<u8>>,
}

/// What the control groups (or their substitutes) enforce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Limits {
    pub(crate) memory_bytes: u64,
    pub(crate) cpu_millis: u32,
    pub(crate) max_processes: u32,
}

/// Spawner to server.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// The spawner is ready; what it found out about this host.
    Ready(HostFacts),
    /// The spawner cannot work here.
    Unable(String),
    /// The box's init is gone, and so is everything that belonged to it.
    Gone { serial: u64, oom_killed: bool, peak_memory_bytes: u64 },
    /// From now on `/tmp` is in memory: a disk could not be made.
    NoMoreDisks(String),
    /// The launch did not even get a process.
    NotStarted { serial: u64, errno: i32 },
}

/// What holds for every box of this spawner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HostFacts {
    /// True if the spawner has the host's root rights; false: rootless.
    pub(crate) privileged: bool,
    /// True if each box has its own user id on the host.
    pub(crate) own_uids: bool,
    /// The control-group layout, with the directories to use.
    pub(crate) cgroups: crate::cgroup::Layout,
    /// Landlock's version; 0: not available.
    pub(crate) landlock_abi: u32,
    /// Why `/tmp` is in memory; `None`: it is on disk.
    pub(crate) no_disks: Option<String>,
}

/// Box init to server, over the launch channel.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum InitSays {
    /// The command runs, or the companions do. Descriptors beside it: a pidfd of init, then the listeners.
    Started,
    /// A step failed; nothing runs.
    Failed { step: String, errno: i32 },
    /// The main process ended.
    Exited { code: Option<i32>, signal: Option<i32> },
    /// The companion with this number ended.
    CompanionExited { at: u32, code: Option<i32>, signal: Option<i32> },
    /// The watchdog (only where there are no memory control groups) killed the box.
    OverMemory { peak_bytes: u64 },
    /// The answer to `StartCommand` when that fails.
    NotStarted { step: String, errno: i32 },
    /// The answer to `Socket`; it is beside it.
    Socket,
    /// The answer to what has no other: 0 or an errno.
    Done { errno: i32 },
    /// The answer to `Memory`.
    Memory { current_bytes: u64, peak_bytes: u64 },
}

impl InitSays {
    /// Whether it is said because the server asked.
    pub(crate) fn is_answer(&self) -> bool {
        matches!(
            self,
            InitSays::Done { .. } | InitSays::Memory { .. } | InitSays::NotStarted { .. } | InitSays::Socket
        )
    }
}

/// Server to box init. Stopping and measuring only where control groups cannot do it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ServerAsks {
    /// SIGSTOP to every process but init.
    Stop,
    /// SIGCONT to every process but init.
    Continue,
    /// Measure.
    Memory,
    /// Forget the peak.
    ResetPeak,
    /// Start the command, which waited for the companions.
    StartCommand,
    /// SIGTERM to the command, or SIGKILL.
    SignalCommand { kill: bool },
    /// A TCP socket of the box's network, not connected.
    Socket,
}

/// Writes a record.
pub(crate) fn encode<T: Serialize>(record: &T) -> io::Result<Vec<u8>> {
    postcard::to_stdvec(record).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

/// Reads a record.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    postcard::from_bytes(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

//! The words between server, spawner and box: small records over seqpacket sockets, with file descriptors beside.
//!
//! Four conversations. Server -> spawner: [`Request`]. Spawner -> server: [`Event`]. Spawner <-> a box's init, over its
//! line: [`Delivery`] and [`Receipt`]. Box init <-> server, over the launch channel, one pair per box: [`InitSays`] and
//! [`ServerAsks`]. All ends are the same binary, so there is no version.

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
    /// Whether to keep half-built boxes.
    pub(crate) stock: bool,
}

/// Server to spawner. Behind a request stand the bytes of a [`LaunchRequest`] or a [`Bind`], which the spawner does not
/// look into: they may hold credentials.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Build a box. Descriptors beside it: launch channel, output pipe, telemetry pipe; with companions also theirs, or
    /// for a worker the pipe it waits on.
    Launch { wish: Wish, sources: Sources },
    /// Bring a box that waits what it is for.
    Bind { serial: u64, sources: Sources },
}

/// What the spawner itself must know of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wish {
    pub(crate) serial: u64,
    pub(crate) tmp_mib: u32,
    /// Not from the stock.
    pub(crate) fresh: bool,
    /// A [`Request::Bind`] will follow.
    pub(crate) worker: bool,
}

/// Paths on the host of what a box shall see, to be opened by the spawner.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sources {
    pub(crate) mounts: Vec<Vec<u8>>,
    /// To be written to.
    pub(crate) folders: Vec<Vec<u8>>,
}

/// Spawner to box, over its line. Behind it stand the bytes that the spawner has not looked into.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Delivery {
    /// Beside it, cut out of the host's tree: some of the mounts, then the folders, that belong to the next word.
    Trees,
    /// Beside it: what came with the launch, then the disk if it has one. The bytes are a [`LaunchRequest`].
    Launch { disk: bool },
    /// The bytes are a [`Bind`].
    Bind,
}

/// Box to spawner, over its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Receipt {
    /// All is done that could be done without knowing what for.
    Ready,
    /// That is not so; the launch will hear of it.
    Broken,
    /// A launch has arrived.
    Taken,
}

/// [`crate::BoxSpec`] as bytes, without what only the spawner needs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LaunchRequest {
    pub(crate) limits: Limits,
    pub(crate) tmp_mib: u32,
    pub(crate) max_files: u32,
    /// Paths inside, in the order of [`Sources`].
    pub(crate) mounts: Vec<Vec<u8>>,
    pub(crate) folders: Vec<Vec<u8>>,
    pub(crate) command: Vec<Vec<u8>>,
    /// `NAME=value`.
    pub(crate) env: Vec<Vec<u8>>,
    pub(crate) cwd: Vec<u8>,
    /// Address and port, host byte order.
    pub(crate) listeners: Vec<([u8; 4], u16)>,
    pub(crate) companions: Vec<Vec<Vec<u8>>>,
    /// `NAME=value`.
    pub(crate) companion_env: Vec<Vec<u8>>,
    /// The command waits for a [`Bind`].
    pub(crate) worker: bool,
}

/// What a box that waits is for. Its environment comes another way, from the server to the worker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Bind {
    pub(crate) memory_bytes: u64,
    /// Paths inside, in the order of [`Sources`].
    pub(crate) mounts: Vec<Vec<u8>>,
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
    /// What a waiting box is for could not be brought to it; it is killed.
    NotBound { serial: u64, step: String, errno: i32 },
    /// The box from the stock was dead, or hung, before it heard of the launch: another one may do.
    NotTaken { serial: u64 },
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
    Started { group: String },
    /// A box that waited has what a [`Bind`] brought it, and its init has no rights any more.
    Bound,
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

/// Reads a record, and what stands behind it.
pub(crate) fn decode_front<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> io::Result<(T, &'a [u8])> {
    postcard::take_from_bytes(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

//! The server's side: start the spawner, ask it for boxes, hear of their end.
//!
//! The server is multi-threaded and never forks. It keeps no list of what a dead server left: the spawner of the
//! next one sweeps that.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use crate::backend::{Ended, Exit};
use crate::cgroup::BoxCgroup;
use crate::channel::Channel;
use crate::fdpass;
use crate::namespaces::NamespaceBox;
use crate::protocol::{
    self, Event, Hello, HostFacts, InitSays, LaunchRequest, Limits, MAX_RECORD_BYTES, Request,
    SPAWNER_ARGUMENT, Sources, Wish,
};
use crate::running::{KILLED, Parts, lock};
use crate::waiting::{self, WaitingBox};
use crate::{BoxSpec, RunningBox, SandboxError};

/// A box that is not ready by then has failed.
const LAUNCH_LIMIT_MS: u64 = 10_000;

/// How to start the sandbox.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// A directory of our own: for mount points and for the record of what to sweep after a crash. Two servers may
    /// share it.
    pub state_dir: PathBuf,
    /// The executable whose `main` calls [`crate::child_entry`] first. `None`: the one that runs now.
    pub executable: Option<PathBuf>,
    /// As root: the first user id of the range that boxes use on the host, one per living box.
    pub uid_base: u32,
    /// Which control groups to use.
    pub control_groups: ControlGroups,
    /// Whether `/tmp` is a disk where the host can do that. If not it is in memory.
    pub disks: bool,
    /// Whether to keep some half-built boxes while launches are frequent. A box is the same with and without.
    pub stock: bool,
}

/// Which of the host's control groups to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub enum ControlGroups {
    /// Whatever the host has, v2 first.
    #[default]
    Best,
    /// Only v1 hierarchies.
    OnlyV1,
    /// None: the weak substitutes, as without root.
    Nothing,
}

impl SandboxConfig {
    /// The defaults, in `state_dir`.
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            executable: None,
            uid_base: 700_000,
            control_groups: ControlGroups::Best,
            disks: true,
            stock: true,
        }
    }
}

/// Starts boxes. Cheap to clone. When the last clone goes, all boxes are killed.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

struct Inner {
    config: SandboxConfig,
    serial: AtomicU64,
    /// `None` after `shutdown`.
    spawner: tokio::sync::Mutex<Option<Arc<Spawner>>>,
}

impl Sandbox {
    /// Starts the spawner, and removes what a killed server left behind (processes, control groups, directories).
    ///
    /// # Errors
    /// [`SandboxError::Unsupported`] if this host cannot run boxes; [`SandboxError::Spawner`] or
    /// [`SandboxError::Path`] if the spawner cannot be started.
    pub async fn start(config: SandboxConfig) -> Result<Self, SandboxError> {
        let spawner = Spawner::start(&config).await?;
        let spawner = tokio::sync::Mutex::new(Some(spawner));
        Ok(Self { inner: Arc::new(Inner { config, serial: AtomicU64::new(1), spawner }) })
    }

    /// Builds a box and starts its command. Many launches may run at the same time. If the future is dropped, the
    /// box is killed.
    ///
    /// # Errors
    /// [`SandboxError::InvalidSpec`] before anything was started; the other variants tell which step failed, and
    /// then nothing is left of the box.
    pub async fn launch(&self, spec: BoxSpec) -> Result<RunningBox, SandboxError> {
        spec.check()?;
        self.launch_in_time(&spec, None).await.map(|started| started.running)
    }

    /// Builds a box and starts its command without any rights, before it is known what the box is for: `spec` has what
    /// is common to many (an interpreter, say), and neither companions nor shared folders. The command must read its
    /// descriptor 4 to the end; there it hears of the [`Binding`](crate::Binding): the working directory, a zero byte,
    /// then `NAME=value` and a zero byte for each variable.
    ///
    /// # Errors
    /// As for [`launch`](Self::launch).
    pub async fn prepare(&self, spec: BoxSpec) -> Result<WaitingBox, SandboxError> {
        spec.check()?;
        if !spec.companions.is_empty() || !spec.folders.is_empty() {
            let why = "a box that waits has no companions and no shared folders";
            return Err(SandboxError::InvalidSpec(why.to_owned()));
        }
        let pipe = waiting::pipe().map_err(|source| {
            let step = "make the pipe of the worker".to_owned();
            SandboxError::Launch { id: spec.id.clone(), step, source }
        })?;
        let (inside, ours) = pipe;
        let started = self.launch_in_time(&spec, Some(&inside)).await?;
        Ok(WaitingBox::new(started, ours, &spec))
    }

    async fn launch_in_time(
        &self,
        spec: &BoxSpec,
        worker: Option<&OwnedFd>,
    ) -> Result<Started, SandboxError> {
        let limit = Duration::from_millis(LAUNCH_LIMIT_MS);
        match tokio::time::timeout(limit, self.launch_once(spec, worker, false)).await {
            // The spawner, or the box it had ready, died before it took the request: another one may.
            Ok(Err(SandboxError::Spawner { .. })) => self.launch_once(spec, worker, true).await,
            Ok(result) => result,
            Err(_) => Err(SandboxError::LaunchTimeout { id: spec.id.clone(), limit_ms: LAUNCH_LIMIT_MS }),
        }
    }

    async fn launch_once(
        &self,
        spec: &BoxSpec,
        worker: Option<&OwnedFd>,
        fresh: bool,
    ) -> Result<Started, SandboxError> {
        let spawner = self.spawner().await?;
        let serial = self.inner.serial.fetch_add(1, Ordering::Relaxed);
        let (running, channel) = spawner.launch(spec, serial, worker, fresh).await?;
        Ok(Started { running, channel, serial, spawner })
    }

    /// Kills all boxes and stops the spawner. Later launches answer [`SandboxError::ShutDown`].
    pub async fn shutdown(&self) {
        let Some(spawner) = self.inner.spawner.lock().await.take() else { return };
        spawner.stop();
        let mut ended = spawner.ended.clone();
        let _ = ended.wait_for(|ended| *ended).await;
    }

    /// The process id of the spawner, for tests and the doctor; `None` after a shutdown.
    pub async fn spawner_pid(&self) -> Option<u32> {
        self.inner.spawner.lock().await.as_ref().map(|spawner| spawner.pid)
    }

    pub(crate) async fn facts(&self) -> Result<HostFacts, SandboxError> {
        Ok(self.spawner().await?.facts.clone())
    }

    /// The living spawner; a new one if the last was killed.
    async fn spawner(&self) -> Result<Arc<Spawner>, SandboxError> {
        let mut slot = self.inner.spawner.lock().await;
        let current = slot.as_ref().ok_or(SandboxError::ShutDown)?;
        if !current.is_dead() {
            return Ok(Arc::clone(current));
        }
        tracing::warn!(spawner_pid = current.pid, "the spawner is gone; starting another");
        let fresh = Spawner::start(&self.inner.config).await?;
        *slot = Some(Arc::clone(&fresh));
        Ok(fresh)
    }
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

/// A box that runs, and what its launch left.
pub(crate) struct Started {
    pub(crate) running: RunningBox,
    pub(crate) channel: Arc<Channel>,
    pub(crate) serial: u64,
    pub(crate) spawner: Arc<Spawner>,
}

/// A spawner process as the server sees it.
pub(crate) struct Spawner {
    pid: u32,
    facts: HostFacts,
    socket: Arc<AsyncFd<OwnedFd>>,
    boxes: Arc<Boxes>,
    ended: watch::Receiver<bool>,
    /// Takes no more launches; known before anybody hears of the end of its boxes.
    dead: Arc<AtomicBool>,
    stopping: Arc<AtomicBool>,
}

type Boxes = Mutex<HashMap<u64, Entry>>;

/// What the server has to do when a box ends.
struct Entry {
    exit: watch::Sender<Option<Exit>>,
    channel: Weak<Channel>,
    /// Known when it has started.
    cgroup: Option<BoxCgroup>,
    /// Set if it never heard of its launch.
    lost: Arc<AtomicBool>,
}

impl Spawner {
    async fn start(config: &SandboxConfig) -> Result<Arc<Self>, SandboxError> {
        let spawner_error = |action| move |source| SandboxError::Spawner { action, source };
        let path = |path: &PathBuf| {
            let path = path.clone();
            move |source| SandboxError::Path { path, source }
        };
        std::fs::create_dir_all(&config.state_dir).map_err(path(&config.state_dir))?;
        let state_dir = config.state_dir.canonicalize().map_err(path(&config.state_dir))?;
        let (ours, theirs) = fdpass::pair().map_err(spawner_error("cannot get a socket"))?;
        let executable = config.executable.clone().unwrap_or_else(|| PathBuf::from("/proc/self/exe"));
        // A clean environment: what the server knows (credentials, say) is none of the spawner's business.
        let mut child = Command::new(&executable)
            .arg0("lamplighter")
            .arg(SPAWNER_ARGUMENT)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .spawn()
            .map_err(|source| SandboxError::Path { path: executable, source })?;
        let pid = child.id();
        let hello = Hello {
            state_dir: state_dir.as_os_str().as_bytes().to_vec(),
            instance: format!("{}-{pid}", std::process::id()),
            uid_base: config.uid_base,
            control_groups: config.control_groups,
            disks: config.disks,
            stock: config.stock,
        };
        let facts = Self::greet(ours, &hello).await;
        let (socket, facts) = match facts {
            Ok(ready) => ready,
            Err(error) => {
                // Its socket is closed by now: it ends by itself. `kill` only makes it quick.
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        let boxes = Arc::new(Boxes::default());
        let (ended_sender, ended) = watch::channel(false);
        let (dead, stopping) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let socket = Arc::new(socket);
        tokio::spawn(listen(
            Arc::clone(&socket),
            Arc::clone(&boxes),
            child,
            ended_sender,
            [Arc::clone(&dead), Arc::clone(&stopping)],
        ));
        Ok(Arc::new(Self { pid, facts, socket, boxes, ended, dead, stopping }))
    }

    /// Sends the arguments, waits for the first answer.
    async fn greet(socket: OwnedFd, hello: &Hello) -> Result<(AsyncFd<OwnedFd>, HostFacts), SandboxError> {
        let failed = |source| SandboxError::Spawner { action: "did not start", source };
        rustix::io::ioctl_fionbio(&socket, true).map_err(|error| failed(error.into()))?;
        let socket = watch_fd(socket).map_err(failed)?;
        send(&socket, &protocol::encode(hello).map_err(failed)?, &[]).await.map_err(failed)?;
        let mut buffer = vec![0; MAX_RECORD_BYTES];
        let answer = tokio::time::timeout(Duration::from_secs(20), receive(&socket, &mut buffer)).await;
        let (length, _) = answer.map_err(|_| failed(io::ErrorKind::TimedOut.into()))?.map_err(failed)?;
        if length == 0 {
            let hint = "it ended at once; does main() call sandbox::child_entry() first?";
            return Err(failed(io::Error::new(io::ErrorKind::UnexpectedEof, hint)));
        }
        match protocol::decode(&buffer[..length]).map_err(failed)? {
            Event::Ready(facts) => Ok((socket, facts)),
            Event::Unable(why) => Err(SandboxError::Unsupported(why)),
            _ => Err(failed(io::ErrorKind::InvalidData.into())),
        }
    }

    fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    pub(crate) fn has_cpu_groups(&self) -> bool {
        self.facts.cgroups.cpu.is_some()
    }

    /// The spawner kills everything and ends when its socket is shut down.
    fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        let _ = rustix::net::shutdown(self.socket.get_ref(), rustix::net::Shutdown::Both);
    }

    async fn launch(
        &self,
        spec: &BoxSpec,
        serial: u64,
        worker: Option<&OwnedFd>,
        fresh: bool,
    ) -> Result<(RunningBox, Arc<Channel>), SandboxError> {
        let launch_error = |step: &str| {
            let (id, step) = (spec.id.clone(), step.to_owned());
            move |source: io::Error| SandboxError::Launch { id, step, source }
        };
        let (ours, theirs) = fdpass::pair().map_err(launch_error("make the launch channel"))?;
        let (output, output_inside) = pipe().map_err(launch_error("make the output pipe"))?;
        let (telemetry, telemetry_inside) = pipe().map_err(launch_error("make the telemetry pipe"))?;
        let companions = if spec.companions.is_empty() { None } else { Some(pipe()) };
        let companions = companions.transpose().map_err(launch_error("make the companions' pipe"))?;
        rustix::io::ioctl_fionbio(&ours, true)
            .map_err(|e| launch_error("make the launch channel")(e.into()))?;
        let channel = Arc::new(Channel::new(ours));
        let record = launch_record(spec, serial, worker.is_some(), fresh)
            .map_err(launch_error("encode the specification"))?;
        check_size(&record, "command, environment and mounts")?;
        let (exit_sender, exit) = watch::channel(None);
        let lost = Arc::new(AtomicBool::new(false));
        let weak = Arc::downgrade(&channel);
        let entry = Entry { exit: exit_sender, channel: weak, cgroup: None, lost: Arc::clone(&lost) };
        lock(&self.boxes).insert(serial, entry);
        let mut fds = vec![theirs.as_fd(), output_inside.as_fd(), telemetry_inside.as_fd()];
        fds.extend(companions.iter().map(|(_, inside)| inside.as_fd()));
        fds.extend(worker.map(AsFd::as_fd));
        if let Err(error) = self.request(&record, &fds).await {
            lock(&self.boxes).remove(&serial);
            return Err(error);
        }
        // From here on only the box has these: their end is the box's end.
        drop((theirs, output_inside, telemetry_inside));
        let companion_output = companions.map(|(output, _)| output);

        let said = self.said(&spec.id, &channel, &exit).await;
        if lost.load(Ordering::Relaxed) {
            let source = io::ErrorKind::ConnectionReset.into();
            return Err(SandboxError::Spawner { action: "had a box that was dead", source });
        }
        match said.map_err(|()| SandboxError::DiedAtStart { id: spec.id.clone() })? {
            (InitSays::Started { group }, mut fds) if fds.len() == 1 + spec.listeners.len() => {
                let cgroup = || BoxCgroup::new(&self.facts.cgroups, group.clone());
                if let Some(entry) = lock(&self.boxes).get_mut(&serial) {
                    entry.cgroup = Some(cgroup());
                }
                let listeners = fds.split_off(1).into_iter().map(TcpListener::from).collect();
                let init = fds.remove(0);
                let ended = self.watch_ends(spec, &channel, &exit)?;
                let control =
                    Box::new(NamespaceBox::new(cgroup(), &self.facts.cgroups, init, Arc::clone(&channel)));
                let parts = Parts {
                    id: spec.id.clone(),
                    control,
                    listeners,
                    output,
                    telemetry,
                    companion_output,
                    ended,
                    exit,
                };
                Ok((RunningBox::new(parts), channel))
            }
            (InitSays::Failed { step, errno }, _) => {
                Err(launch_error(&step)(io::Error::from_raw_os_error(errno)))
            }
            _ => Err(launch_error("hear from the box")(io::ErrorKind::InvalidData.into())),
        }
    }

    /// Sends a request.
    pub(crate) async fn request(
        &self,
        record: &[u8],
        fds: &[std::os::fd::BorrowedFd<'_>],
    ) -> Result<(), SandboxError> {
        send(&self.socket, record, fds).await.map_err(|source| {
            self.dead.store(true, Ordering::Relaxed);
            SandboxError::Spawner { action: "does not take a request", source }
        })
    }

    /// Waits for the word of the box's init that it runs, or why not. `Err`: it died without a word.
    pub(crate) async fn said(
        &self,
        id: &str,
        channel: &Channel,
        exit: &watch::Receiver<Option<Exit>>,
    ) -> Result<(InitSays, Vec<OwnedFd>), ()> {
        let watched = watch_channel(id, channel).map_err(drop)?;
        let mut exit = exit.clone();
        let mut closed = false;
        loop {
            match channel.take_start() {
                Ok(Some(start)) => return Ok(start),
                Ok(None) => {}
                // Nothing more comes this way; what became of it is told by the spawner.
                Err(_) => closed = true,
            }
            tokio::select! {
                ready = watched.readable(), if !closed => ready.map_err(drop)?.clear_ready(),
                // It is gone already; a short command may have been started, and told of, before.
                _ = exit.wait_for(Option::is_some) => {
                    return channel.take_start().ok().flatten().ok_or(());
                }
            }
        }
    }
}

impl Spawner {
    /// Hears of the ends of single processes, as long as the box lives. Only a box with companions outlives one.
    fn watch_ends(
        &self,
        spec: &BoxSpec,
        channel: &Arc<Channel>,
        exit: &watch::Receiver<Option<Exit>>,
    ) -> Result<watch::Receiver<Ended>, SandboxError> {
        let (tell, ended) = watch::channel(Ended::default());
        if spec.companions.is_empty() {
            return Ok(ended);
        }
        let watched = watch_channel(&spec.id, channel)?;
        let (channel, mut exit) = (Arc::downgrade(channel), exit.clone());
        tokio::spawn(async move {
            let mut gone = false;
            // First of all, what was said while the launch was waited for.
            loop {
                let Some(known) = channel.upgrade() else { return };
                let (now, closed) = known.ended();
                drop(known);
                tell.send_if_modified(|told| {
                    *told != now && {
                        *told = now;
                        true
                    }
                });
                if gone || closed {
                    return;
                }
                tokio::select! {
                    ready = watched.readable() => match ready {
                        Ok(mut ready) => ready.clear_ready(),
                        Err(_) => gone = true,
                    },
                    _ = exit.wait_for(Option::is_some) => gone = true,
                }
            }
        });
        Ok(ended)
    }
}

fn watch_channel(id: &str, channel: &Channel) -> Result<AsyncFd<OwnedFd>, SandboxError> {
    channel.fd().try_clone_to_owned().and_then(watch_fd).map_err(|source| {
        let step = "watch the box".to_owned();
        SandboxError::Launch { id: id.to_owned(), step, source }
    })
}

impl Drop for Spawner {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Hears of the end of boxes, until the spawner itself ends.
async fn listen(
    socket: Arc<AsyncFd<OwnedFd>>,
    boxes: Arc<Boxes>,
    mut child: Child,
    ended: watch::Sender<bool>,
    [dead, stopping]: [Arc<AtomicBool>; 2],
) {
    let mut buffer = vec![0; 4096];
    loop {
        let event = match receive(&socket, &mut buffer).await {
            Ok((length, _)) if length > 0 => protocol::decode::<Event>(&buffer[..length]),
            _ => break,
        };
        match event {
            Ok(Event::Gone { serial, oom_killed, peak_memory_bytes }) => {
                if let Some(entry) = lock(&boxes).remove(&serial) {
                    entry.ended(oom_killed, peak_memory_bytes);
                }
            }
            Ok(Event::NotStarted { serial, errno }) => {
                tracing::warn!(serial, errno, "the spawner could not make a process");
                if let Some(entry) = lock(&boxes).remove(&serial) {
                    entry.ended(false, 0);
                }
            }
            Ok(Event::NotTaken { serial }) => {
                tracing::debug!(serial, "a box from the stock was dead before its launch");
                if let Some(entry) = lock(&boxes).remove(&serial) {
                    entry.lost.store(true, Ordering::Relaxed);
                    entry.ended(false, 0);
                }
            }
            Ok(Event::NotBound { serial, step, errno }) => {
                let channel = lock(&boxes).get(&serial).and_then(|entry| entry.channel.upgrade());
                if let Some(channel) = channel {
                    channel.put(InitSays::Failed { step, errno });
                }
            }
            Ok(Event::NoMoreDisks(why)) => {
                tracing::warn!(%why, "no disk for /tmp could be made: it is in memory from now on");
            }
            Ok(other) => tracing::warn!(event = ?other, "unexpected word from the spawner"),
            Err(error) => tracing::warn!(%error, "unreadable word from the spawner"),
        }
    }
    dead.store(true, Ordering::Relaxed);
    if !stopping.load(Ordering::Relaxed) {
        tracing::error!("the spawner ended; all boxes are killed");
    }
    let entries: Vec<Entry> = lock(&boxes).drain().map(|(_, entry)| entry).collect();
    for entry in &entries {
        // Without a spawner each init dies by its parent-death signal; this is for the frozen ones.
        if let Some(cgroup) = &entry.cgroup {
            cgroup.kill();
        }
        entry.exit.send_replace(Some(KILLED));
    }
    // It has closed its socket: it ends, after it has cleaned up.
    let _ = tokio::task::spawn_blocking(move || child.wait()).await;
    ended.send_replace(true);
}

impl Entry {
    fn ended(self, oom_killed: bool, peak_memory_bytes: u64) {
        let last = self.channel.upgrade().map(|channel| channel.last_words()).unwrap_or_default();
        let (code, signal) = last.exited.unwrap_or((None, Some(libc::SIGKILL)));
        // The kernel may have killed some child while the main process went on and ended well.
        let oom_killed = (oom_killed && signal == Some(libc::SIGKILL)) || last.over_memory_bytes.is_some();
        let peak_memory_bytes = last.over_memory_bytes.unwrap_or(peak_memory_bytes);
        self.exit.send_replace(Some(Exit { code, signal, oom_killed, peak_memory_bytes }));
    }
}

fn bytes_of(words: &[OsString]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

pub(crate) fn pairs(env: &[(OsString, OsString)]) -> Vec<Vec<u8>> {
    env.iter().map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat()).collect()
}

/// The request, and behind it what only the box reads.
fn launch_record(spec: &BoxSpec, serial: u64, worker: bool, fresh: bool) -> io::Result<Vec<u8>> {
    let sources = Sources {
        mounts: spec.mounts.iter().map(|mount| host_path(&mount.host)).collect(),
        folders: spec.folders.iter().map(|folder| host_path(&folder.host)).collect(),
    };
    let request = LaunchRequest {
        limits: Limits {
            memory_bytes: u64::from(spec.memory_mib) << 20,
            cpu_millis: spec.cpu_millis,
            max_processes: spec.max_processes,
        },
        tmp_mib: spec.tmp_mib,
        max_files: spec.max_files,
        mounts: spec.mounts.iter().map(|mount| path_bytes(&mount.inside)).collect(),
        folders: spec.folders.iter().map(|folder| path_bytes(&folder.inside)).collect(),
        command: bytes_of(&spec.command),
        env: pairs(&spec.env),
        cwd: path_bytes(&spec.cwd),
        listeners: spec.listeners.iter().map(|address| (address.ip().octets(), address.port())).collect(),
        companions: spec.companions.iter().map(|words| bytes_of(words)).collect(),
        companion_env: pairs(&spec.companion_env),
        worker,
    };
    let front = protocol::encode(&Request::Launch {
        wish: Wish { serial, tmp_mib: spec.tmp_mib, fresh, worker },
        sources,
    })?;
    Ok([front, protocol::encode(&request)?].concat())
}

/// Refuses a record that the spawner has no room for.
pub(crate) fn check_size(record: &[u8], what: &str) -> Result<(), SandboxError> {
    let limit = crate::spec::MAX_SPEC_BYTES;
    if record.len() > limit {
        let length = record.len();
        return Err(SandboxError::InvalidSpec(format!("{what} take {length} bytes; at most {limit}")));
    }
    Ok(())
}

pub(crate) fn path_bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_vec()
}

/// The spawner's working directory is not the server's.
pub(crate) fn host_path(path: &Path) -> Vec<u8> {
    path_bytes(&absolute(path))
}

fn absolute(path: &Path) -> PathBuf {
    // Fails only for an empty path, which then fails as a mount source.
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// Read end non-blocking, write end blocking.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&read, true)?;
    Ok((read, write))
}

async fn send(
    socket: &AsyncFd<OwnedFd>,
    record: &[u8],
    fds: &[std::os::fd::BorrowedFd<'_>],
) -> io::Result<()> {
    loop {
        let mut ready = socket.writable().await?;
        if let Ok(result) = ready.try_io(|socket| fdpass::send(socket.get_ref(), record, fds)) {
            return result;
        }
    }
}

async fn receive(socket: &AsyncFd<OwnedFd>, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    loop {
        let mut ready = socket.readable().await?;
        if let Ok(result) = ready.try_io(|socket| fdpass::receive(socket.get_ref(), buffer)) {
            return result;
        }
    }
}

/// Lets the runtime watch `fd`, which must be non-blocking.
#[allow(unsafe_code)]
fn watch_fd(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` stays the same open descriptor until it is dropped, and the `AsyncFd` owns it.
    Ok(unsafe { AsyncFd::register(fd) }?)
}

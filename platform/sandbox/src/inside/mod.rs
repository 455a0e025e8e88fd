//! What the process that becomes a box does, in order: groups, network, root ([`half`]); then, once it knows what it is
//! for, mounts, limits, identity, filters, command.
//!
//! It starts as a copy of the spawner in a fresh PID namespace, with the spawner's rights, and gives them up one after
//! the other. It never returns to the spawner's code.
//!
//! A box for a worker starts its command, which has no rights at all, first, and gives up its own rights when it has
//! been told what it is for: see [`init::Waiting`].

mod command;
mod half;
mod identity;
mod init;
mod landlock;
pub(crate) mod root;
mod seccomp;

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use rustix::process::{DumpableBehavior, PidfdFlags, Resource, Rlimit, Signal};

pub(crate) use half::Birth;
use half::{Half, Launch, Line};
pub(crate) use identity::{INSIDE_GID, INSIDE_UID, INSIDE_USER};
pub(crate) use seccomp::Filter;

use crate::fdpass;
use crate::protocol::{self, HostFacts, InitSays, LaunchRequest};
use crate::sys;

/// Signals that may wait in a box.
const MAX_PENDING_SIGNALS: u64 = 1024;

/// What the spawner prepared once, for all boxes.
pub(crate) struct Prepared {
    pub(crate) facts: HostFacts,
    pub(crate) base: PathBuf,
    pub(crate) filter: Filter,
    /// See [`root::RootPlan`].
    pub(crate) stranger: Option<u32>,
}

/// The descriptors that came with the request.
pub(crate) struct BoxFds {
    pub(crate) channel: OwnedFd,
    pub(crate) output: OwnedFd,
    pub(crate) telemetry: OwnedFd,
    /// The output of companions, if there are any; for a worker the pipe it waits on.
    pub(crate) fourth: Option<OwnedFd>,
}

impl BoxFds {
    /// In the order of the request.
    pub(crate) fn all(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let first = [&self.channel, &self.output, &self.telemetry].into_iter();
        first.chain(&self.fourth).map(AsFd::as_fd)
    }

    /// In the order of the request; `None` if there are too few or too many.
    pub(crate) fn of(fds: Vec<OwnedFd>) -> Option<Self> {
        let mut fds = fds.into_iter();
        let (channel, output, telemetry) = (fds.next()?, fds.next()?, fds.next()?);
        let fourth = fds.next();
        fds.next().is_none().then_some(BoxFds { channel, output, telemetry, fourth })
    }
}

/// A step of the launch that failed; the operator sees both.
pub(crate) struct StepError {
    step: String,
    source: io::Error,
}

impl StepError {
    pub(crate) fn new(step: &str, source: io::Error) -> Self {
        Self { step: step.to_owned(), source }
    }

    /// As it is told: the step, and an errno.
    pub(crate) fn told(self) -> (String, i32) {
        match self.source.raw_os_error() {
            Some(errno) => (self.step, errno),
            None => (format!("{} ({})", self.step, self.source), libc::EIO),
        }
    }
}

/// Says which step a failure belongs to.
trait Step<T> {
    fn step(self, name: &str) -> Result<T, StepError>;
    fn step_at(self, name: &str, path: &std::path::Path) -> Result<T, StepError>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, name: &str) -> Result<T, StepError> {
        self.map_err(|error| StepError { step: name.to_owned(), source: error.into() })
    }

    fn step_at(self, name: &str, path: &std::path::Path) -> Result<T, StepError> {
        self.map_err(|error| StepError { step: format!("{name} {}", path.display()), source: error.into() })
    }
}

/// The life of a box's first process, from its birth to its end.
pub(crate) fn live(prepared: &Prepared, birth: Birth<'_>) -> ! {
    // A panic must not unwind into the spawner's loop, of which this process has a copy.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let Ok((half, line)) = half::build(prepared, birth) else { return };
        let Ok(Some(Launch { request, fds, disk, trees })) = line.launch(half.is_ok()) else { return };
        let BoxFds { channel, output, telemetry, fourth } = fds;
        let pipes = Pipes { output, telemetry, fourth };
        match half.and_then(|half| build(prepared, &request, half, pipes, disk, trees, line)) {
            Ok((init, listeners, group)) => match report(&channel, &listeners, group) {
                Ok(()) => {
                    drop((listeners, request));
                    init.run(&channel);
                }
                Err(error) => fail(&channel, error),
            },
            Err(error) => fail(&channel, error),
        }
    }));
    sys::exit_now(1);
}

/// Tells the server why there is no box.
pub(crate) fn fail(channel: &OwnedFd, error: StepError) {
    let (step, errno) = error.told();
    say(channel, &InitSays::Failed { step, errno });
}

/// The descriptors that the processes of a box get.
struct Pipes {
    output: OwnedFd,
    telemetry: OwnedFd,
    fourth: Option<OwnedFd>,
}

fn build<'a>(
    prepared: &'a Prepared,
    request: &LaunchRequest,
    half: Half,
    pipes: Pipes,
    disk: Option<OwnedFd>,
    trees: Vec<OwnedFd>,
    line: Line,
) -> Result<(init::Init<'a>, Vec<TcpListener>, String), StepError> {
    let Half { owner, group, mut limits, space, disk: own_disk } = half;
    limits.set_all_but_cpu(&request.limits).step("set the limits")?;
    let listeners = listen(request)?;
    for pipe in [Some(&pipes.output), Some(&pipes.telemetry), pipes.fourth.as_ref()].into_iter().flatten() {
        // So that `/dev/stdout` can be opened by name. A server without root rights owns them already.
        let (uid, gid) = (rustix::fs::Uid::from_raw(owner), rustix::fs::Gid::from_raw(owner));
        rustix::fs::fchown(pipe, Some(uid), Some(gid)).step("hand over the pipes")?;
    }
    let writable_root = if request.worker { Some(root::writable_root()?) } else { None };
    root::furnish(root::Furniture {
        trees,
        mounts: &request.mounts,
        folders: &request.folders,
        tmp_mib: request.tmp_mib,
        disk: disk.or(own_disk),
        owner,
        stranger: prepared.stranger,
    })?;
    set_limits(request, &prepared.facts)?;
    limits.set_cpu(&request.limits).step("set the CPU quota")?;
    let child_signals = sys::child_signal_fd().step("watch for children")?;
    let command = command::Command::new(&request.command, &request.env, &request.cwd)?;
    let Pipes { output, telemetry, fourth } = pipes;
    if let Some(writable_root) = writable_root {
        let told =
            fourth.ok_or(io::ErrorKind::InvalidInput).map_err(io::Error::from).step("read the request")?;
        let confine = || confine(prepared, &space, Some(&[]));
        let worker = command.start_worker(&output, &telemetry, &told, &confine)?;
        let waiting = init::Waiting { prepared, line, writable_root, space };
        let init = init::Init::new(init::Main::Running(worker), vec![], child_signals, prepared, request);
        return Ok((init.waiting(waiting), listeners, group));
    }
    drop(line);
    confine(prepared, &space, Some(&request.folders))?;
    guard_init()?;
    let mut companions = Vec::new();
    for words in &request.companions {
        let companion = command::Command::new(words, &request.companion_env, b"/")?;
        let output = fourth.as_ref().ok_or(io::ErrorKind::InvalidInput).map_err(io::Error::from);
        companions.push(companion.start(output.step("read the request")?, None)?);
    }
    let main = init::Main::Waiting { command, output, telemetry };
    let main = if companions.is_empty() { main.start()? } else { main };
    Ok((init::Init::new(main, companions, child_signals, prepared, request), listeners, group))
}

/// Gives up every right, for good. For init and what it starts, or for a worker: `writable` are the shared folders. For
/// the init of a worker, which has rules of its own: `None`, because Landlock would not let init look after a process
/// that is not in its own domain. It opens no file and runs no code but ours.
fn confine(prepared: &Prepared, space: &File, writable: Option<&[Vec<u8>]>) -> Result<(), StepError> {
    identity::become_owner(space, prepared.facts.privileged)?;
    if let Some(folders) = writable.filter(|_| prepared.facts.landlock_abi > 0) {
        landlock::restrict(folders.iter().map(Vec::as_slice)).step("restrict by Landlock")?;
    }
    prepared.filter.install().step("filter the system calls")
}

/// The box's user may not look into init (a changed user has hidden it already; this makes it certain), and a changed
/// user has cleared the death signal.
fn guard_init() -> Result<(), StepError> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).step("hide the box's init")?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).step("tie the box to the spawner")
}

fn listen(request: &LaunchRequest) -> Result<Vec<TcpListener>, StepError> {
    let listener = |&(ip, port): &([u8; 4], u16)| {
        let address = SocketAddrV4::new(Ipv4Addr::from(ip), port);
        let listener = TcpListener::bind(address).step(&format!("listen on {address}"))?;
        listener.set_nonblocking(true).step("listen without blocking")?;
        Ok(listener)
    };
    request.listeners.iter().map(listener).collect()
}

fn set_limits(request: &LaunchRequest, facts: &HostFacts) -> Result<(), StepError> {
    let set = |resource, value: u64| {
        let limit = Rlimit { current: Some(value), maximum: Some(value) };
        rustix::process::setrlimit(resource, limit).step("set the resource limits")
    };
    // A host that gives the server itself less gives no more to boxes.
    let most_files = rustix::process::getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    set(Resource::Nofile, u64::from(request.max_files).min(most_files))?;
    set(Resource::Core, 0)?;
    // Counted for the users of the outer namespaces too: what one box uses up, their own programs would lack.
    set(Resource::Sigpending, MAX_PENDING_SIGNALS)?;
    if facts.cgroups.pids.is_none() {
        // Counted per user namespace, and each box has its own: init and main process included.
        set(Resource::Nproc, u64::from(request.limits.max_processes) + 1)?;
    }
    Ok(())
}

/// A TCP socket of this network, not connected.
fn tcp_socket() -> io::Result<OwnedFd> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType};
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?)
}

/// The box runs: hands its pidfd and its listeners to the server.
fn report(channel: &OwnedFd, listeners: &[TcpListener], group: String) -> Result<(), StepError> {
    let me = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
        .step("get a handle to the box")?;
    let mut fds = vec![me.as_fd()];
    fds.extend(listeners.iter().map(AsFd::as_fd));
    let record = protocol::encode(&InitSays::Started { group }).step("report the start")?;
    fdpass::send(channel, &record, &fds).step("report the start")
}

/// Tells the server. Nobody hears it any more if the server is gone.
fn say(channel: &OwnedFd, words: &InitSays) {
    if let Ok(record) = protocol::encode(words) {
        let _ = fdpass::send(channel, &record, &[]);
    }
}

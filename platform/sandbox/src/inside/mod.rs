//! What the process that becomes a box does, in order: groups, network, root, identity, filters, command.
//!
//! It starts as a copy of the spawner in fresh PID, mount, network, IPC and UTS namespaces, with the spawner's
//! rights, and gives them up one after the other. It never returns to the spawner's code.

mod command;
mod identity;
mod init;
mod landlock;
mod root;
mod seccomp;

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use rustix::process::{DumpableBehavior, PidfdFlags, Resource, Rlimit, Signal};

pub(crate) use identity::{INSIDE_GID, INSIDE_UID, INSIDE_USER};
pub(crate) use seccomp::Filter;

use crate::cgroup::BoxCgroup;
use crate::fdpass;
use crate::protocol::{self, HostFacts, InitSays, LaunchRequest};
use crate::spawner::Tmp;
use crate::sys;

/// Where the descriptors of a box are while it is built; all others are closed.
const CHANNEL_FD: i32 = 10;
const OUTPUT_FD: i32 = 11;
const TELEMETRY_FD: i32 = 12;
const COMPANIONS_FD: i32 = 13;

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
    /// The output of companions, if there are any.
    pub(crate) companions: Option<OwnedFd>,
}

impl BoxFds {
    /// In the order of the request; `None` if there are too few or too many.
    pub(crate) fn of(fds: Vec<OwnedFd>) -> Option<Self> {
        let mut fds = fds.into_iter();
        let (channel, output, telemetry) = (fds.next()?, fds.next()?, fds.next()?);
        let companions = fds.next();
        fds.next().is_none().then_some(BoxFds { channel, output, telemetry, companions })
    }
}

/// What the spawner had ready.
pub(crate) struct Stock<'a> {
    pub(crate) network: Option<OwnedFd>,
    pub(crate) tmp: Tmp<'a>,
    /// The box's user, as the spawner's user namespace names it.
    pub(crate) owner: u32,
}

/// A step of the launch that failed; the operator sees both.
pub(crate) struct StepError {
    step: String,
    source: io::Error,
}

impl StepError {
    /// As it is told: the step, and an errno.
    fn told(self) -> (String, i32) {
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
pub(crate) fn live(
    prepared: &Prepared,
    request: &LaunchRequest,
    cgroup: &BoxCgroup,
    fds: BoxFds,
    stock: Stock<'_>,
) -> ! {
    // A panic must not unwind into the spawner's loop, of which this process has a copy.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let owner = stock.owner;
        let ready = enter_network(stock.network).and_then(|()| disk(stock.tmp));
        let (disk, ready) = match ready {
            Ok(disk) => (disk, Ok(())),
            Err(error) => (None, Err(error)),
        };
        let Ok((fds, disk)) = isolate_fds(fds, disk) else { return };
        match build(prepared, request, cgroup, fds, ready.map(|()| disk), owner) {
            Ok((init, channel)) => init.run(&channel),
            Err((error, channel)) => {
                let (step, errno) = error.told();
                say(&channel, &InitSays::Failed { step, errno });
            }
        }
    }));
    sys::exit_now(1);
}

/// Goes into the network from the spawner's stock; without one this process has a fresh one already.
fn enter_network(stock: Option<OwnedFd>) -> Result<(), StepError> {
    let Some(network) = stock else { return sys::loopback_up().step("bring the network up") };
    let kind = Some(rustix::thread::LinkNameSpaceType::Network);
    let result = rustix::thread::move_into_link_name_space(network.as_fd(), kind).step("enter the network");
    // Closed with all the others, in a moment.
    std::mem::forget(network);
    result
}

/// The disk for `/tmp`, made here if there was none in stock. None: `/tmp` is in memory.
fn disk(tmp: Tmp<'_>) -> Result<Option<OwnedFd>, StepError> {
    match tmp {
        Tmp::Disk(disk) => Ok(Some(disk)),
        Tmp::Make(template) => template.disk().map(Some).step("make a disk for /tmp"),
        Tmp::Memory => Ok(None),
    }
}

/// Moves the box's descriptors to fixed numbers and closes all others, which are the spawner's.
fn isolate_fds(fds: BoxFds, disk: Option<OwnedFd>) -> io::Result<(BoxFds, Option<OwnedFd>)> {
    // Out of the way of the target numbers first.
    let high = |fd: OwnedFd| rustix::io::fcntl_dupfd_cloexec(fd, 100);
    let (channel, output, telemetry) = (high(fds.channel)?, high(fds.output)?, high(fds.telemetry)?);
    let companions = fds.companions.map(high).transpose()?;
    let disk = disk.map(high).transpose()?;
    // The mount that becomes `/tmp` comes after the others.
    let disk_fd = TELEMETRY_FD + 1 + i32::from(companions.is_some());
    let first_unused = disk_fd + i32::from(disk.is_some());
    let fds = BoxFds {
        channel: sys::move_fd(channel, CHANNEL_FD)?,
        output: sys::move_fd(output, OUTPUT_FD)?,
        telemetry: sys::move_fd(telemetry, TELEMETRY_FD)?,
        companions: companions.map(|fd| sys::move_fd(fd, COMPANIONS_FD)).transpose()?,
    };
    let disk = disk.map(|disk| sys::move_fd(disk, disk_fd)).transpose()?;
    // SAFETY: what owns these numbers is the spawner's state, whose copy in this process is never dropped.
    #[allow(unsafe_code)]
    unsafe {
        sys::close_range(3, CHANNEL_FD as u32 - 1)?;
        sys::close_range(first_unused as u32, u32::MAX)?;
    }
    let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty())?;
    for standard in 0..=2 {
        sys::place_fd(&null, standard)?;
    }
    Ok((fds, disk))
}

fn build(
    prepared: &Prepared,
    request: &LaunchRequest,
    cgroup: &BoxCgroup,
    fds: BoxFds,
    disk: Result<Option<OwnedFd>, StepError>,
    owner: u32,
) -> Result<(init::Init, OwnedFd), (StepError, OwnedFd)> {
    let BoxFds { channel, output, telemetry, companions: companion_output } = fds;
    let built = (|| {
        let disk = disk?;
        let pipes = [Some(&output), Some(&telemetry), companion_output.as_ref()];
        let listeners = assemble(prepared, request, cgroup, &pipes, disk, owner)?;
        let child_signals = sys::child_signal_fd().step("watch for children")?;
        let mut companions = Vec::new();
        for words in &request.companions {
            let companion = command::Command::new(words, &request.companion_env, b"/")?;
            let output = companion_output.as_ref().ok_or(io::ErrorKind::InvalidInput);
            companions.push(companion.start(output.step("read the request")?, None)?);
        }
        let command = command::Command::new(&request.command, &request.env, &request.cwd)?;
        let main = init::Main::Waiting { command, output, telemetry };
        let main = if companions.is_empty() { main.start()? } else { main };
        Ok((listeners, child_signals, main, companions))
    })();
    let (listeners, child_signals, main, companions) = match built {
        Ok(built) => built,
        Err(error) => return Err((error, channel)),
    };
    let init = init::Init::new(main, companions, child_signals, prepared, request);
    match report(&channel, &listeners) {
        Ok(()) => Ok((init, channel)),
        Err(error) => Err((error, channel)),
    }
}

/// Everything up to the point where nothing but the command is missing.
fn assemble(
    prepared: &Prepared,
    request: &LaunchRequest,
    cgroup: &BoxCgroup,
    pipes: &[Option<&OwnedFd>],
    disk: Option<OwnedFd>,
    owner: u32,
) -> Result<Vec<TcpListener>, StepError> {
    let facts = &prepared.facts;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .step("tie the box to the spawner")?;
    rustix::process::setsid().map(drop).step("leave the spawner's session")?;
    cgroup.create_and_join_v1(&request.limits).step("make the control groups")?;
    let cpu_quota = cgroup.open_cpu_quota().step("open the CPU quota")?;
    // SAFETY: a control-group namespace changes what this process sees of its own groups, nothing in memory.
    #[allow(unsafe_code)]
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWCGROUP) }
        .step("hide the control groups")?;
    rustix::thread::set_name(c"lamplighter-box").step("name the box's init")?;
    rustix::system::sethostname(b"localhost").step("set the host name")?;
    let listeners = listen(request)?;
    for pipe in pipes.iter().copied().flatten() {
        // So that `/dev/stdout` can be opened by name. A server without root rights owns them already.
        let (uid, gid) = (rustix::fs::Uid::from_raw(owner), rustix::fs::Gid::from_raw(owner));
        rustix::fs::fchown(pipe, Some(uid), Some(gid)).step("hand over the pipes")?;
    }
    root::enter(&root::RootPlan {
        base: &prepared.base,
        mounts: &request.mounts,
        folders: &request.folders,
        tmp_mib: request.tmp_mib,
        disk,
        owner,
        stranger: prepared.stranger,
    })?;
    // When the whole host runs out of memory, boxes go before the server.
    std::fs::write("/proc/self/oom_score_adj", "500").step("yield memory to the host")?;
    set_limits(request, facts)?;
    if let Some(quota) = cpu_quota {
        quota.set_millis(request.limits.cpu_millis).step("set the CPU quota")?;
    }
    identity::become_owner(owner, facts.privileged)?;
    // Another user may not look into this process, and a changed user has cleared the death signal.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).step("hide the box's init")?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .step("tie the box to the spawner")?;
    if facts.landlock_abi > 0 {
        let writable = request.folders.iter().map(|(_, inside)| inside.as_slice());
        landlock::restrict(writable).step("restrict by Landlock")?;
    }
    prepared.filter.install().step("filter the system calls")?;
    Ok(listeners)
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
fn report(channel: &OwnedFd, listeners: &[TcpListener]) -> Result<(), StepError> {
    let me = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
        .step("get a handle to the box")?;
    let mut fds = vec![me.as_fd()];
    fds.extend(listeners.iter().map(AsFd::as_fd));
    let record = protocol::encode(&InitSays::Started).step("report the start")?;
    fdpass::send(channel, &record, &fds).step("report the start")
}

/// Tells the server. Nobody hears it any more if the server is gone.
fn say(channel: &OwnedFd, words: &InitSays) {
    if let Ok(record) = protocol::encode(words) {
        let _ = fdpass::send(channel, &record, &[]);
    }
}

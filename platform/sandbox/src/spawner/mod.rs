//! The spawner: the only process that forks boxes. One thread, small, one per server.
//!
//! It takes launches from the server, forks for each a process that builds its own box (so launches run in
//! parallel), hears of their ends, removes their control groups, and tells the server. When the server's end of the
//! socket closes, for whatever reason, it kills all boxes, removes everything and ends. It never looks into a box.

mod base;
mod disks;
mod instance;
mod network;
mod owners;

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitOptions, wait};
use rustix::thread::UnshareFlags;

use crate::cgroup::{self, BoxCgroup};
use crate::fdpass;
use crate::inside::{self, BoxFds, Filter, Prepared};
use crate::protocol::{
    self, Event, Hello, HostFacts, LaunchRequest, MAX_RECORD_BYTES, Request, SPAWNER_ARGUMENT,
};
use crate::sys::{self, Forked};
use disks::Disks;
pub(crate) use disks::Tmp;
use instance::Instance;
use network::Networks;
use owners::Owners;

/// How long the groups of a dead box may stay busy.
const REMOVAL_LIMIT: Duration = Duration::from_secs(5);
const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
/// How often a removal is tried again.
const REMOVAL_PERIOD: Timespec = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };

/// Without a launch for so long, there is time to make a disk.
const QUIET_PERIOD: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// Must be the first thing `main` does, before any thread, runtime or argument parser.
///
/// If this process was started as a child of the sandbox, it does that work and never returns.
pub fn child_entry() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|word| word == SPAWNER_ARGUMENT) {
        let code = match serve() {
            Ok(()) => 0,
            // The server heard of it, or is gone.
            Err(_) => 1,
        };
        std::process::exit(code);
    }
}

fn serve() -> io::Result<()> {
    // A session of its own: Ctrl-C in the server's terminal is the server's business.
    let _ = rustix::process::setsid();
    // Whatever the server's is: others must be able to read what is made for boxes.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let socket = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3)?;
    let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty())?;
    sys::place_fd(&null, 0)?;
    let mut buffer = vec![0; MAX_RECORD_BYTES];
    let (length, _) = fdpass::receive(&socket, &mut buffer)?;
    let hello: Hello = protocol::decode(&buffer[..length])?;
    let mut instance = None;
    match prepare(&hello, &mut instance) {
        Ok(Ready { prepared, disks, owners }) => {
            tell(&socket, &Event::Ready(prepared.facts.clone()))?;
            let child_signals = sys::child_signal_fd()?;
            let mut spawner = Spawner {
                socket,
                child_signals,
                prepared,
                boxes: HashMap::new(),
                leaving: Vec::new(),
                networks: Networks::default(),
                disks,
                owners,
                told_no_disks: false,
            };
            spawner.run(&mut buffer);
            spawner.end();
        }
        Err((what, error)) => {
            let _ = tell(&socket, &Event::Unable(format!("{what}: {error}")));
        }
    }
    if let Some(instance) = instance {
        instance.remove();
    }
    Ok(())
}

/// What [`prepare`] makes.
struct Ready {
    prepared: Prepared,
    disks: Disks,
    owners: Owners,
}

/// Everything that is done once. The instance is handed out as soon as it exists, so that it is removed even if a
/// later step fails.
fn prepare(hello: &Hello, instance: &mut Option<Instance>) -> Result<Ready, (&'static str, io::Error)> {
    use std::os::unix::ffi::OsStrExt;
    let state_dir = Path::new(std::ffi::OsStr::from_bytes(&hello.state_dir));
    let made =
        Instance::create(state_dir, &hello.instance).map_err(|e| ("prepare the state directory", e))?;
    let made = instance.insert(made);
    let cgroups = cgroup::layout::prepare(&hello.instance, hello.control_groups);
    made.record(cgroup::record(&cgroups)).map_err(|e| ("record the control groups", e))?;
    let privileged = is_privileged();
    if !privileged {
        base::become_root_of_own_namespace().map_err(|e| ("make a user namespace", e))?;
    }
    // SAFETY: an own mount namespace changes nothing in memory; there is one thread.
    #[allow(unsafe_code)]
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
        .map_err(|e| ("make a mount namespace", e.into()))?;
    base::build(&made.base()).map_err(|e| ("prepare the boxes' root", e))?;
    let disks = Disks::new(made.dir(), privileged, hello.disks);
    let facts = HostFacts {
        privileged,
        own_uids: privileged && Owners::exist(hello.uid_base),
        cgroups,
        landlock_abi: sys::landlock_abi(),
        no_disks: disks.broken().map(str::to_owned),
    };
    let filter = Filter::compile().map_err(|e| ("compile the system call filter", e))?;
    let owners = Owners::claim(hello.uid_base, facts.own_uids);
    let prepared = Prepared { facts, base: made.base(), filter, stranger: owners.stranger() };
    Ok(Ready { prepared, disks, owners })
}

/// Root, and with what root can do (in a container it may lack that).
fn is_privileged() -> bool {
    use rustix::thread::CapabilitySet;
    let needed = CapabilitySet::SYS_ADMIN
        | CapabilitySet::SETUID
        | CapabilitySet::SETGID
        | CapabilitySet::SETPCAP
        | CapabilitySet::NET_ADMIN
        | CapabilitySet::CHOWN;
    let effective = rustix::thread::capabilities(None).map(|sets| sets.effective);
    rustix::process::geteuid().is_root() && effective.is_ok_and(|effective| effective.contains(needed))
}

fn tell(socket: &OwnedFd, event: &Event) -> io::Result<()> {
    fdpass::send(socket, &protocol::encode(event)?, &[])
}

struct Spawner {
    socket: OwnedFd,
    child_signals: OwnedFd,
    prepared: Prepared,
    boxes: HashMap<Pid, Living>,
    /// Groups of dead boxes that the kernel still calls busy, and until when to try.
    leaving: Vec<(BoxCgroup, Instant)>,
    networks: Networks,
    disks: Disks,
    owners: Owners,
    told_no_disks: bool,
}

struct Living {
    serial: u64,
    owner: u32,
    cgroup: BoxCgroup,
}

impl Spawner {
    /// Until the server is gone.
    fn run(&mut self, buffer: &mut [u8]) {
        loop {
            let timeout = match () {
                () if self.networks.wants_more() => Some(&AT_ONCE),
                () if !self.leaving.is_empty() => Some(&REMOVAL_PERIOD),
                // A disk takes milliseconds: not while launches may follow one another.
                () if self.disks.wants_more() => Some(&QUIET_PERIOD),
                () => None,
            };
            let mut fds =
                [PollFd::new(&self.socket, PollFlags::IN), PollFd::new(&self.child_signals, PollFlags::IN)];
            match poll(&mut fds, timeout) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
            let (asked, children) = (!fds[0].revents().is_empty(), !fds[1].revents().is_empty());
            if children {
                self.reap();
            }
            self.remove_leaving();
            match asked {
                true if !self.take_request(buffer) => return,
                true => {}
                false if !children && self.networks.wants_more() => self.networks.make(),
                false if !children && self.disks.wants_more() => {
                    self.disks.make();
                    self.tell_of_disks();
                }
                false => {}
            }
        }
    }

    /// False if the server is gone.
    fn take_request(&mut self, buffer: &mut [u8]) -> bool {
        let (length, fds) = match fdpass::receive(&self.socket, buffer) {
            Ok((0, _)) => return false,
            Ok(received) => received,
            Err(error) => return error.kind() == io::ErrorKind::Interrupted,
        };
        let request = protocol::decode(&buffer[..length]);
        // It may hold credentials, and every later box starts as a copy of this process.
        buffer[..length].fill(0);
        if let (Ok(Request::Launch(mut request)), Some(fds)) = (request, BoxFds::of(fds)) {
            self.launch(&request, fds);
            for pair in request.env.iter_mut().chain(&mut request.companion_env) {
                pair.fill(0);
            }
        }
        true
    }

    /// Says once that there are no more disks, if there were some at the start.
    fn tell_of_disks(&mut self) {
        let expected = self.prepared.facts.no_disks.is_none() && !self.told_no_disks;
        if let Some(why) = self.disks.broken().filter(|_| expected) {
            self.told_no_disks = true;
            let _ = tell(&self.socket, &Event::NoMoreDisks(why.to_owned()));
        }
    }

    fn launch(&mut self, request: &LaunchRequest, fds: BoxFds) {
        let name = cgroup::group_name(request.serial, &request.id);
        let cgroup = BoxCgroup::new(&self.prepared.facts.cgroups, name);
        let network = self.networks.take();
        let own_network = if network.is_some() { 0 } else { libc::CLONE_NEWNET };
        let spaces =
            libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | own_network;
        let tmp = self.disks.take(request.tmp_mib);
        let Some(owner) = self.owners.take() else {
            let _ = tell(&self.socket, &Event::NotStarted { serial: request.serial, errno: libc::EUSERS });
            return;
        };
        let born = cgroup.create_v2(&request.limits).and_then(|group| {
            // SAFETY: the spawner has one thread, and `live` never returns.
            #[allow(unsafe_code)]
            match unsafe { sys::fork_into(spaces, group.as_ref()) }? {
                Forked::Child => {
                    inside::live(&self.prepared, request, &cgroup, fds, inside::Stock { network, tmp, owner })
                }
                Forked::Parent(pid) => Ok(pid),
            }
        });
        match born {
            Ok(pid) => {
                self.boxes.insert(pid, Living { serial: request.serial, owner, cgroup });
            }
            Err(error) => {
                let _ = cgroup.remove();
                self.owners.give_back(owner);
                let errno = error.raw_os_error().unwrap_or(libc::EIO);
                let _ = tell(&self.socket, &Event::NotStarted { serial: request.serial, errno });
            }
        }
        self.tell_of_disks();
    }

    fn reap(&mut self) {
        let mut drain = [0_u8; 128];
        while rustix::io::read(&self.child_signals, &mut drain).is_ok_and(|length| length > 0) {}
        while let Ok(Some((pid, _))) = wait(WaitOptions::NOHANG) {
            let Some(Living { serial, owner, cgroup }) = self.boxes.remove(&pid) else { continue };
            // Its init was the last of its processes.
            self.owners.give_back(owner);
            let oom_killed = cgroup.oom_kills() > 0;
            let peak_memory_bytes = cgroup.peak_bytes().unwrap_or(0);
            if cgroup.remove().is_err() {
                self.leaving.push((cgroup, Instant::now() + REMOVAL_LIMIT));
            }
            let _ = tell(&self.socket, &Event::Gone { serial, oom_killed, peak_memory_bytes });
        }
    }

    fn remove_leaving(&mut self) {
        let now = Instant::now();
        // What stays busy for longer is left to the sweep at the end.
        self.leaving.retain(|(cgroup, until)| cgroup.remove().is_err() && now < *until);
    }

    /// Kills everything and waits for it.
    fn end(&mut self) {
        for (pid, living) in &self.boxes {
            living.cgroup.kill();
            let _ = rustix::process::kill_process(*pid, Signal::KILL);
            living.cgroup.kill();
        }
        let deadline = Instant::now() + REMOVAL_LIMIT;
        while !(self.boxes.is_empty() && self.leaving.is_empty()) && Instant::now() < deadline {
            let mut fds = [PollFd::new(&self.child_signals, PollFlags::IN)];
            let _ = poll(&mut fds, Some(&REMOVAL_PERIOD));
            self.reap();
            self.remove_leaving();
        }
    }
}

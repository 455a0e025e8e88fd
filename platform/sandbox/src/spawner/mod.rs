//! The spawner: the only process that forks boxes. One thread, small, one per server.
//!
//! It takes launches from the server, forks processes that build their own boxes (so launches run in parallel), as many
//! ahead as were lately needed at once, hears of their ends, removes their control groups, and tells the server. When the server's end of the
//! socket closes, for whatever reason, it kills all boxes, removes everything and ends. It never looks into a box.

mod base;
mod demand;
mod disks;
mod instance;
mod network;
mod owners;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitOptions, wait};
use rustix::thread::UnshareFlags;

use crate::cgroup::{self, BoxCgroup};
use crate::fdpass;
use crate::inside::{self, Birth, BoxFds, Filter, Prepared, StepError};
use crate::protocol::{
    self, Delivery, Event, Hello, HostFacts, MAX_RECORD_BYTES, Receipt, Request, SPAWNER_ARGUMENT, Sources,
    Wish,
};
use crate::sys::{self, Forked};
use demand::Demand;
use disks::Disks;
pub(crate) use disks::Template;
use instance::Instance;
use network::Networks;
use owners::Owners;

/// How long the groups of a dead box may stay busy.
const REMOVAL_LIMIT: Duration = Duration::from_secs(5);
/// How often a removal is tried again.
const REMOVAL_PERIOD: Duration = Duration::from_millis(5);
/// Without a launch for so long, there is time to make a disk.
const QUIET_PERIOD: Duration = Duration::from_millis(10);
/// Without a launch for so long, there is time to build a box.
const SHORT_PERIOD: Duration = Duration::from_millis(4);
/// A box that is ready and has not taken its launch by then is hung.
const TAKING_LIMIT: Duration = Duration::from_secs(1);

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
                next_group: 0,
                leaving: Vec::new(),
                networks: Networks::default(),
                disks,
                owners,
                demand: hello.stock.then(Demand::default),
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
    /// Names the next box's control groups.
    next_group: u64,
    /// Groups of dead boxes that the kernel still calls busy, and until when to try.
    leaving: Vec<(BoxCgroup, Instant)>,
    networks: Networks,
    disks: Disks,
    owners: Owners,
    /// `None`: no box is built before it is asked for.
    demand: Option<Demand>,
    told_no_disks: bool,
}

/// A box, from its process's birth to its end.
struct Living {
    owner: u32,
    cgroup: BoxCgroup,
    /// More comes over its line after the launch.
    is_worker: bool,
    /// The size of the disk that it makes for itself.
    disk_mib: Option<u32>,
    /// `None` once nothing more can come over it.
    line: Option<OwnedFd>,
    stage: Stage,
}

/// How far a box is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It will be half built soon.
    Building,
    /// It is half built, and waits.
    Ready,
    /// A launch is on its line. One that was ready must take it in time.
    Given { serial: u64, until: Option<Instant> },
    /// It has the launch.
    Taken { serial: u64 },
}

impl Stage {
    fn serial(self) -> Option<u64> {
        match self {
            Stage::Given { serial, .. } | Stage::Taken { serial } => Some(serial),
            Stage::Building | Stage::Ready => None,
        }
    }
}

impl Spawner {
    /// Until the server is gone.
    fn run(&mut self, buffer: &mut [u8]) {
        loop {
            let timeout = self.patience();
            let lines: Vec<Pid> = self.talking();
            let mut fds = vec![
                PollFd::new(&self.socket, PollFlags::IN),
                PollFd::new(&self.child_signals, PollFlags::IN),
            ];
            let line = |pid: &Pid| Some(PollFd::new(self.boxes.get(pid)?.line.as_ref()?, PollFlags::IN));
            fds.extend(lines.iter().filter_map(line));
            match poll(&mut fds, timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
            let (asked, children) = (!fds[0].revents().is_empty(), !fds[1].revents().is_empty());
            let heard: Vec<bool> = fds[2..].iter().map(|fd| !fd.revents().is_empty()).collect();
            let idle = !asked && !children && !heard.contains(&true);
            for (pid, _) in lines.into_iter().zip(heard).filter(|(_, heard)| *heard) {
                self.hear(pid);
            }
            if children {
                self.reap();
            }
            self.remove_leaving();
            if asked && !self.take_request(buffer) {
                return;
            }
            self.end_the_hung();
            if idle {
                self.stock_up();
            }
        }
    }

    /// How long to wait for something to happen before there is time for other things.
    fn patience(&mut self) -> Option<Timespec> {
        let now = Instant::now();
        let hung = self.boxes.values().filter_map(|living| match living.stage {
            Stage::Given { until, .. } => until,
            _ => None,
        });
        let soonest = hung.chain(self.demand.as_ref().and_then(Demand::fades_at)).min();
        let soonest = soonest.map(|at| at.saturating_duration_since(now) + Duration::from_millis(1));
        let own = match () {
            () if self.networks.wants_more() => Some(Duration::ZERO),
            () if self.wants_a_box(now) => Some(SHORT_PERIOD),
            () if !self.leaving.is_empty() => Some(REMOVAL_PERIOD),
            // A disk takes milliseconds: not while launches may follow one another.
            () if self.disks.wants_more() => Some(QUIET_PERIOD),
            () => None,
        };
        let wait = own.into_iter().chain(soonest).min()?;
        Timespec::try_from(wait).ok()
    }

    /// In idle moments, one thing at a time.
    fn stock_up(&mut self) {
        let now = Instant::now();
        if self.networks.wants_more() {
            self.networks.make();
        } else if self.wants_a_box(now) {
            let size_mib = self.disks.usual_mib();
            if self.bear(size_mib).is_err() {
                // Not even a process: launches will say why.
                self.forget_demand();
            }
        } else if self.disks.wants_more() {
            self.disks.make();
            self.tell_of_disks();
        }
        self.end_the_surplus(now);
    }

    /// Whether one more half-built box is wanted, the last one is ready, and no launch waits for one.
    fn wants_a_box(&mut self, now: Instant) -> bool {
        let Some(demand) = &mut self.demand else { return false };
        let wanted = demand.wanted(now);
        let is_busy = |living: &Living| matches!(living.stage, Stage::Building | Stage::Given { .. });
        let size_mib = self.disks.usual_mib();
        let fits = |living: &&Living| living.stage == Stage::Ready && living.disk_mib == size_mib;
        self.boxes.values().filter(fits).count() < wanted && !self.boxes.values().any(is_busy)
    }

    /// It does not work: not again before something else was launched.
    fn forget_demand(&mut self) {
        self.demand = self.demand.take().map(|_| Demand::default());
    }

    /// Half-built boxes that are not wanted any more end when their line does.
    fn end_the_surplus(&mut self, now: Instant) {
        let wanted = self.demand.as_mut().map_or(0, |demand| demand.wanted(now));
        let size_mib = self.disks.usual_mib();
        let ready =
            self.boxes.values_mut().filter(|living| living.stage == Stage::Ready && living.line.is_some());
        // Those for a size that nobody asks for any more go first.
        let (right, wrong): (Vec<_>, Vec<_>) = ready.partition(|living| living.disk_mib == size_mib);
        for living in right.into_iter().chain(wrong).skip(wanted) {
            living.line = None;
        }
    }

    /// A box that was ready, and does not take its launch, will not do: its end is told, and the server asks again.
    fn end_the_hung(&self) {
        let now = Instant::now();
        for (pid, living) in &self.boxes {
            if matches!(living.stage, Stage::Given { until: Some(until), .. } if until <= now) {
                end(*pid, living);
            }
        }
    }

    /// Those that may say something.
    fn talking(&self) -> Vec<Pid> {
        let may = |living: &Living| match living.stage {
            Stage::Building | Stage::Given { .. } => living.line.is_some(),
            // A worker that has been bound says nothing more, and closes its line.
            Stage::Taken { .. } => living.line.is_some() && !living.is_worker,
            // Whoever is ready has said so; the end of one is heard as a child's end.
            Stage::Ready => false,
        };
        self.boxes.iter().filter(|(_, living)| may(living)).map(|(pid, _)| *pid).collect()
    }

    fn hear(&mut self, pid: Pid) {
        let Some(living) = self.boxes.get_mut(&pid) else { return };
        let Some(line) = &living.line else { return };
        let mut buffer = [0; 16];
        let receipt = match fdpass::receive(line, &mut buffer) {
            Ok((length, _)) if length > 0 => protocol::decode(&buffer[..length]).ok(),
            _ => None,
        };
        match (receipt, living.stage) {
            (Some(Receipt::Ready), Stage::Building) => living.stage = Stage::Ready,
            (Some(Receipt::Ready), _) => {}
            // It was for the stock: the next launch will find out why, and say so.
            (Some(Receipt::Broken), Stage::Building) => {
                living.line = None;
                self.forget_demand();
            }
            (Some(Receipt::Broken), _) => {}
            (Some(Receipt::Taken), stage) => {
                if let Some(serial) = stage.serial() {
                    living.stage = Stage::Taken { serial };
                }
                if !living.is_worker {
                    living.line = None;
                }
            }
            // Its end will be told by a signal.
            (None, _) => living.line = None,
        }
    }

    /// False if the server is gone.
    fn take_request(&mut self, buffer: &mut [u8]) -> bool {
        let (length, fds) = match fdpass::receive(&self.socket, buffer) {
            Ok((0, _)) => return false,
            Ok(received) => received,
            Err(error) => return error.kind() == io::ErrorKind::Interrupted,
        };
        match protocol::decode_front(&buffer[..length]) {
            Ok((Request::Launch { wish, sources }, request)) => {
                if let Some(fds) = BoxFds::of(fds) {
                    self.launch(wish, &sources, request, &fds);
                }
            }
            Ok((Request::Bind { serial, sources }, request)) => self.bind(serial, &sources, request),
            Err(_) => {}
        }
        // It may hold credentials, and every later box starts as a copy of this process.
        buffer[..length].fill(0);
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

    fn launch(&mut self, wish: Wish, sources: &Sources, request: &[u8], fds: &BoxFds) {
        let Wish { serial, tmp_mib, fresh, .. } = wish;
        if let Some(demand) = &mut self.demand {
            demand.note(Instant::now());
        }
        let trees = match cut(sources) {
            Ok(trees) => trees,
            Err(error) => {
                inside::fail(&fds.channel, error);
                let _ = tell(&self.socket, &Event::Gone { serial, oom_killed: false, peak_memory_bytes: 0 });
                return;
            }
        };
        let disks = self.disks.note(tmp_mib).then_some(tmp_mib);
        if let Some(half) = self.find_half(disks).filter(|_| !fresh) {
            self.give(Ok(half), wish, trees, None, request, fds);
            return;
        }
        // A disk takes as long as a box: without one a new process makes both, beside those of other launches.
        let disk = self.disks.take();
        let born = self.bear(disks.filter(|_| disk.is_none()));
        self.give(born, wish, trees, disk, request, fds);
        self.tell_of_disks();
    }

    /// The box for the next launch, with a disk of its own if one is asked for: one that waits, or one that will soon.
    fn find_half(&self, disk_mib: Option<u32>) -> Option<Pid> {
        let at = |stage: Stage| {
            let fits = |living: &Living| {
                living.stage == stage && living.disk_mib == disk_mib && living.line.is_some()
            };
            self.boxes.iter().find(|(_, living)| fits(living)).map(|(pid, _)| *pid)
        };
        at(Stage::Ready).or_else(|| at(Stage::Building))
    }

    /// Starts a process that becomes a half-built box; with a disk of its own if a size is given.
    fn bear(&mut self, disk_mib: Option<u32>) -> io::Result<Pid> {
        let (ours, theirs) = fdpass::pair()?;
        self.next_group += 1;
        let cgroup = BoxCgroup::new(&self.prepared.facts.cgroups, cgroup::group_name(self.next_group));
        let owner = self.owners.take().ok_or(io::Error::from_raw_os_error(libc::EUSERS))?;
        let network = self.networks.take();
        let born = cgroup.create_v2().and_then(|group| {
            // SAFETY: the spawner has one thread, and `live` never returns.
            #[allow(unsafe_code)]
            match unsafe { sys::fork_into(libc::CLONE_NEWPID, group.as_ref()) }? {
                Forked::Child => {
                    let tmp = disk_mib.and_then(|size_mib| self.disks.template_of(size_mib));
                    let birth = Birth { line: theirs, cgroup: &cgroup, owner, network, tmp };
                    inside::live(&self.prepared, birth)
                }
                Forked::Parent(pid) => Ok(pid),
            }
        });
        match born {
            Ok(pid) => {
                let living = Living {
                    owner,
                    cgroup,
                    is_worker: false,
                    disk_mib,
                    line: Some(ours),
                    stage: Stage::Building,
                };
                self.boxes.insert(pid, living);
                Ok(pid)
            }
            Err(error) => {
                let _ = cgroup.remove();
                self.owners.give_back(owner);
                Err(error)
            }
        }
    }

    /// Puts a launch on a box's line.
    fn give(
        &mut self,
        born: io::Result<Pid>,
        wish: Wish,
        trees: Vec<OwnedFd>,
        disk: Option<OwnedFd>,
        request: &[u8],
        fds: &BoxFds,
    ) {
        let Wish { serial, worker, .. } = wish;
        let given = born.and_then(|pid| {
            let living = self.boxes.get_mut(&pid).ok_or(io::ErrorKind::NotFound)?;
            let was_ready = living.stage == Stage::Ready;
            let until = was_ready.then(|| Instant::now() + TAKING_LIMIT);
            living.stage = Stage::Given { serial, until };
            living.is_worker = worker;
            let line = living.line.as_ref().ok_or(io::ErrorKind::NotFound)?;
            let delivery = Delivery::Launch { disk: disk.is_some() };
            let fds = fds.all().chain(disk.as_ref().map(AsFd::as_fd)).collect::<Vec<_>>();
            match deliver(line, &trees, delivery, request, &fds) {
                // It is dead, and will be reaped; the server hears of that then.
                Err(_) if was_ready => Ok(()),
                delivered => delivered,
            }
        });
        if let Err(error) = given {
            let errno = error.raw_os_error().unwrap_or(libc::EIO);
            let _ = tell(&self.socket, &Event::NotStarted { serial, errno });
        }
    }

    /// Brings a box that waits what it is for.
    fn bind(&mut self, serial: u64, sources: &Sources, request: &[u8]) {
        let mut boxes = self.boxes.iter_mut();
        // Otherwise it is dead, and the server has been told.
        let Some((pid, living)) = boxes.find(|(_, living)| living.stage.serial() == Some(serial)) else {
            return;
        };
        let bound = cut(sources).and_then(|trees| {
            let line = living.line.as_ref().ok_or(io::ErrorKind::NotFound).map_err(io::Error::from);
            // The last that comes over it.
            living.is_worker = false;
            let sent = line.and_then(|line| deliver(line, &trees, Delivery::Bind, request, &[]));
            sent.map_err(|source| StepError::new("reach the box", source))
        });
        if let Err(error) = bound {
            let (step, errno) = error.told();
            let _ = tell(&self.socket, &Event::NotBound { serial, step, errno });
            end(*pid, living);
        }
    }

    fn reap(&mut self) {
        let mut drain = [0_u8; 128];
        while rustix::io::read(&self.child_signals, &mut drain).is_ok_and(|length| length > 0) {}
        while let Ok(Some((pid, _))) = wait(WaitOptions::NOHANG) {
            // What it said before its end.
            if self.boxes.get(&pid).is_some_and(|living| matches!(living.stage, Stage::Given { .. })) {
                while self.boxes.get(&pid).is_some_and(|living| living.line.is_some()) {
                    self.hear(pid);
                }
            }
            let Some(Living { owner, cgroup, stage, .. }) = self.boxes.remove(&pid) else { continue };
            // Its init was the last of its processes.
            self.owners.give_back(owner);
            let oom_killed = cgroup.oom_kills() > 0;
            let peak_memory_bytes = cgroup.peak_bytes().unwrap_or(0);
            if cgroup.remove().is_err() {
                self.leaving.push((cgroup, Instant::now() + REMOVAL_LIMIT));
            }
            let event = match stage {
                Stage::Taken { serial } => Event::Gone { serial, oom_killed, peak_memory_bytes },
                Stage::Given { serial, .. } => Event::NotTaken { serial },
                Stage::Building | Stage::Ready => continue,
            };
            let _ = tell(&self.socket, &event);
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
            end(*pid, living);
        }
        let deadline = Instant::now() + REMOVAL_LIMIT;
        let step = Timespec::try_from(REMOVAL_PERIOD).ok();
        while !(self.boxes.is_empty() && self.leaving.is_empty()) && Instant::now() < deadline {
            let mut fds = [PollFd::new(&self.child_signals, PollFlags::IN)];
            let _ = poll(&mut fds, step.as_ref());
            self.reap();
            self.remove_leaving();
        }
    }
}

fn end(pid: Pid, living: &Living) {
    living.cgroup.kill();
    let _ = rustix::process::kill_process(pid, Signal::KILL);
    living.cgroup.kill();
}

/// Cuts what a box shall see out of this process's view of the host, which the box has left by then.
fn cut(sources: &Sources) -> Result<Vec<OwnedFd>, StepError> {
    let mounts = sources.mounts.iter().map(|host| inside::root::cut(host));
    mounts.chain(sources.folders.iter().map(|host| inside::root::cut_folder(host))).collect()
}

/// Sends a word to a box, after as many others as its trees need.
fn deliver(
    line: &OwnedFd,
    trees: &[OwnedFd],
    delivery: Delivery,
    request: &[u8],
    fds: &[std::os::fd::BorrowedFd<'_>],
) -> io::Result<()> {
    for some in trees.chunks(fdpass::MAX_FDS) {
        let some: Vec<_> = some.iter().map(AsFd::as_fd).collect();
        fdpass::send(line, &protocol::encode(&Delivery::Trees)?, &some)?;
    }
    fdpass::send_both(line, &protocol::encode(&delivery)?, request, fds)
}

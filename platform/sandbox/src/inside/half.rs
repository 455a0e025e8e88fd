//! A half-built box: everything of a box that needs no knowledge of what it is for.
//!
//! Its process has namespaces, network, control groups and a root without the caller's mounts; it is our own code, with
//! the spawner's rights, and runs nothing else. It then waits on its *line* to the spawner for a launch, which
//! [`super::build`] completes. Every box goes this way: one from the stock has waited a while, any other finds its launch
//! on the line already.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::Signal;
use rustix::thread::UnshareFlags;

use super::{BoxFds, Prepared, Step, StepError, identity, root};
use crate::cgroup::{BoxCgroup, LimitFiles};
use crate::fdpass;
use crate::protocol::{self, Bind, Delivery, LaunchRequest, MAX_RECORD_BYTES, Receipt};
use crate::spawner::Template;
use crate::sys;

/// Where the descriptors of a half-built box are; all others are closed.
const LINE_FD: i32 = 3;
const DISK_FD: i32 = 4;

/// With what a box is born.
pub(crate) struct Birth<'a> {
    /// To the spawner.
    pub(crate) line: OwnedFd,
    pub(crate) cgroup: &'a BoxCgroup,
    /// Its user, as the spawner's user namespace names it.
    pub(crate) owner: u32,
    /// From the spawner's stock; without one the box makes its own.
    pub(crate) network: Option<OwnedFd>,
    /// To be made into a disk for `/tmp` by the box itself.
    pub(crate) tmp: Option<&'a Template>,
}

/// What is there when nothing but the launch is missing.
pub(crate) struct Half {
    pub(crate) owner: u32,
    /// The name of its control groups.
    pub(crate) group: String,
    pub(crate) limits: LimitFiles,
    /// The user namespace that the box's processes will enter; see [`identity`].
    pub(crate) space: File,
    /// Made by the box itself.
    pub(crate) disk: Option<OwnedFd>,
}

/// What came over the line for a launch.
pub(crate) struct Launch {
    pub(crate) request: LaunchRequest,
    pub(crate) fds: BoxFds,
    pub(crate) disk: Option<OwnedFd>,
    pub(crate) trees: Vec<OwnedFd>,
}

/// The box's end of its line.
pub(crate) struct Line(OwnedFd);

/// Moves the box's own descriptors to fixed numbers and closes all others, which are the spawner's.
fn isolate_fds(line: OwnedFd, disk: Option<OwnedFd>) -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    // Out of the way of the target numbers first.
    let high = |fd: OwnedFd| rustix::io::fcntl_dupfd_cloexec(fd, 100);
    let (line, disk) = (high(line)?, disk.map(high).transpose()?);
    let line = sys::move_fd(line, LINE_FD)?;
    let disk = disk.map(|disk| sys::move_fd(disk, DISK_FD)).transpose()?;
    let first_unused = DISK_FD + i32::from(disk.is_some());
    // SAFETY: what owns these numbers is the spawner's state, whose copy in this process is never dropped.
    #[allow(unsafe_code)]
    unsafe { sys::close_range(first_unused as u32, u32::MAX) }?;
    let null = rustix::fs::open("/dev/null", rustix::fs::OFlags::RDWR, rustix::fs::Mode::empty())?;
    for standard in 0..=2 {
        sys::place_fd(&null, standard)?;
    }
    Ok((line, disk))
}

/// Builds what can be built. The first error is how far it came; the launch is told of it. The outer one: there is not
/// even a line.
pub(crate) fn build(prepared: &Prepared, birth: Birth<'_>) -> io::Result<(Result<Half, StepError>, Line)> {
    let Birth { line, cgroup, owner, network, tmp } = birth;
    // Before its descriptors go.
    let entered = enter_spaces(network);
    let disk = match &entered {
        Ok(()) => tmp.map(Template::disk).transpose().step("make a disk for /tmp"),
        Err(_) => Ok(None),
    };
    let (disk, made) = match disk {
        Ok(disk) => (disk, Ok(())),
        Err(error) => (None, Err(error)),
    };
    let (line, disk) = isolate_fds(line, disk)?;
    let half = entered.and(made).and_then(|()| assemble(prepared, cgroup, owner));
    let half =
        half.map(|(limits, space)| Half { owner, group: cgroup.name().to_owned(), limits, space, disk });
    Ok((half, Line(line)))
}

/// Only the process namespace is the box's from its birth: the others take the kernel a while, which is the spawner's
/// time there and this process's here.
fn enter_spaces(network: Option<OwnedFd>) -> Result<(), StepError> {
    let spaces = UnshareFlags::NEWNS | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    let own_network = if network.is_some() { UnshareFlags::empty() } else { UnshareFlags::NEWNET };
    // SAFETY: namespaces change nothing in memory; there is one thread.
    #[allow(unsafe_code)]
    unsafe { rustix::thread::unshare_unsafe(spaces | own_network) }.step("make the namespaces")?;
    let Some(network) = network else { return sys::loopback_up().step("bring the network up") };
    let kind = Some(rustix::thread::LinkNameSpaceType::Network);
    let result = rustix::thread::move_into_link_name_space(network.as_fd(), kind).step("enter the network");
    // Closed with all the others, in a moment.
    std::mem::forget(network);
    result
}

fn assemble(prepared: &Prepared, cgroup: &BoxCgroup, owner: u32) -> Result<(LimitFiles, File), StepError> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .step("tie the box to the spawner")?;
    rustix::process::setsid().map(drop).step("leave the spawner's session")?;
    cgroup.create_and_join_v1().step("make the control groups")?;
    let limits = cgroup.open_limits().step("open the limits")?;
    // SAFETY: a control-group namespace changes what this process sees of its own groups, nothing in memory.
    #[allow(unsafe_code)]
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWCGROUP) }.step("hide the control groups")?;
    rustix::thread::set_name(c"lamplighter-box").step("name the box's init")?;
    rustix::system::sethostname(b"localhost").step("set the host name")?;
    root::enter(&prepared.base)?;
    // When the whole host runs out of memory, boxes go before the server.
    std::fs::write("/proc/self/oom_score_adj", "500").step("yield memory to the host")?;
    let space = identity::make_space(owner, prepared.facts.privileged)?;
    Ok((limits, space))
}

impl Line {
    /// Waits for a launch; `None`: the spawner has no more use for this box.
    pub(crate) fn launch(&self, is_ready: bool) -> io::Result<Option<Launch>> {
        self.tell(if is_ready { Receipt::Ready } else { Receipt::Broken })?;
        let taken = self.receive(|delivery, request, mut fds, trees| match delivery {
            Delivery::Launch { disk } => {
                let disk = if disk { fds.pop() } else { None };
                let (request, fds) = (protocol::decode(request)?, BoxFds::of(fds));
                Ok(Launch { request, fds: fds.ok_or(io::ErrorKind::InvalidData)?, disk, trees })
            }
            _ => Err(io::ErrorKind::InvalidData.into()),
        })?;
        if taken.is_some() {
            self.tell(Receipt::Taken)?;
        }
        Ok(taken)
    }

    /// Takes what a waiting box is for, with its trees; `None`: the spawner is gone.
    pub(crate) fn bind(&self) -> io::Result<Option<(Bind, Vec<OwnedFd>)>> {
        self.receive(|delivery, request, _, trees| match delivery {
            Delivery::Bind => Ok((protocol::decode(request)?, trees)),
            _ => Err(io::ErrorKind::InvalidData.into()),
        })
    }

    fn receive<T>(
        &self,
        read: impl FnOnce(Delivery, &[u8], Vec<OwnedFd>, Vec<OwnedFd>) -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        // Not touched before something comes, and given back afterwards: init stays small.
        let mut buffer = vec![0; MAX_RECORD_BYTES];
        let mut trees = Vec::new();
        loop {
            let (length, mut fds) = match fdpass::receive(&self.0, &mut buffer) {
                Ok((0, _)) => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                received => received?,
            };
            let (delivery, request) = protocol::decode_front(&buffer[..length])?;
            match delivery {
                Delivery::Trees => trees.append(&mut fds),
                _ => return read(delivery, request, fds, trees).map(Some),
            }
        }
    }

    fn tell(&self, receipt: Receipt) -> io::Result<()> {
        fdpass::send(&self.0, &protocol::encode(&receipt)?, &[])
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

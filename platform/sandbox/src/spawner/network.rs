//! Network namespaces in stock: one takes the kernel longer to make than anything else in a box.
//!
//! They are made in the spawner's idle moments, with nothing inside but a loopback interface that is up. A launch
//! that finds none makes its own.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use crate::sys;

/// How many wait.
const STOCK: usize = 4;

/// The stock.
#[derive(Default)]
pub(crate) struct Networks {
    ready: Vec<OwnedFd>,
    /// Where the spawner itself is: never in a network that a box gets.
    home: Option<OwnedFd>,
    /// The kernel refused one (a limit, perhaps): no more tries, launches report it.
    broken: bool,
}

impl Networks {
    pub(crate) fn wants_more(&self) -> bool {
        self.ready.len() < STOCK && !self.broken
    }

    /// Makes one more.
    pub(crate) fn make(&mut self) {
        match self.make_one() {
            Ok(network) => self.ready.push(network),
            Err(_) => self.broken = true,
        }
    }

    fn make_one(&mut self) -> io::Result<OwnedFd> {
        let home = match self.home.take() {
            Some(home) => home,
            None => find_home()?,
        };
        let network = enter_new();
        let home = self.home.insert(home);
        rustix::thread::move_into_link_name_space(home.as_fd(), Some(LinkNameSpaceType::Network))?;
        network
    }

    pub(crate) fn take(&mut self) -> Option<OwnedFd> {
        self.ready.pop()
    }
}

/// The host's network for those who may come back to it, else an empty one.
fn find_home() -> io::Result<OwnedFd> {
    let host = current()?;
    match rustix::thread::move_into_link_name_space(host.as_fd(), Some(LinkNameSpaceType::Network)) {
        Ok(()) => Ok(host),
        Err(_) => enter_new(),
    }
}

fn enter_new() -> io::Result<OwnedFd> {
    // SAFETY: an own network namespace changes nothing in memory; there is one thread.
    #[allow(unsafe_code)]
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?;
    sys::loopback_up()?;
    current()
}

fn current() -> io::Result<OwnedFd> {
    Ok(File::open("/proc/self/ns/net")?.into())
}

//! Network namespaces in stock: one takes the kernel longer to make than anything else in a box.
//!
//! They are made in the spawner's idle moments, with nothing inside but a loopback interface that is up. A launch
//! that finds none makes its own.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use rustix::thread::UnshareFlags;

use crate::sys;

/// How many wait.
const STOCK: usize = 4;

/// The stock.
#[derive(Default)]
pub(crate) struct Networks {
    ready: Vec<OwnedFd>,
    /// The kernel refused one (a limit, perhaps): no more tries, launches report it.
    broken: bool,
}

impl Networks {
    pub(crate) fn wants_more(&self) -> bool {
        self.ready.len() < STOCK && !self.broken
    }

    /// Makes one more. The spawner itself moves from one to the next: it needs no network.
    pub(crate) fn make(&mut self) {
        match make() {
            Ok(network) => self.ready.push(network),
            Err(_) => self.broken = true,
        }
    }

    pub(crate) fn take(&mut self) -> Option<OwnedFd> {
        self.ready.pop()
    }
}

fn make() -> io::Result<OwnedFd> {
    // SAFETY: an own network namespace changes nothing in memory; there is one thread.
    #[allow(unsafe_code)]
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?;
    sys::loopback_up()?;
    Ok(File::open("/proc/self/ns/net")?.into())
}

//! User ids of the host for boxes: each living box has one that nobody else has, and gives it back with its end.
//!
//! Files, signals, `/proc` and the kernel's counters per user all go by user id; so what one box does to "its own
//! user" cannot mean another box, whosever function runs there.
//!
//! A spawner claims one block of ids for its life, so that two servers on one host do not meet. An id that was given
//! back is used again as late as possible.

use std::collections::HashSet;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// All ids, from the configured first one on. One more comes after them: see [`Owners::stranger`].
const IDS: u32 = 1_000_000;
/// One spawner's share; far more than boxes fit on a machine.
const BLOCK: u32 = 16_384;

/// The ids of one spawner.
#[derive(Debug)]
pub(crate) struct Owners {
    /// `None`: there are no ids to give, and every box runs as the spawner's own user.
    first: Option<u32>,
    stranger: Option<u32>,
    next: u32,
    taken: HashSet<u32>,
    /// The claim, as long as this process lives.
    _claim: Option<OwnedFd>,
}

impl Owners {
    /// Must run before the spawner leaves the host's network, in which claims are known.
    pub(crate) fn claim(uid_base: u32, own_uids: bool) -> Self {
        let mut owners = Owners { first: None, stranger: None, next: 0, taken: HashSet::new(), _claim: None };
        if !own_uids {
            return owners;
        }
        let blocks = IDS / BLOCK;
        // Not always the first one: what a killed server left may still be dying.
        let start = std::process::id() % blocks;
        let tried = (0..blocks).map(|step| uid_base + (start + step) % blocks * BLOCK);
        let claimed = tried.into_iter().find_map(|first| Some((first, claim(first)?)));
        // Somebody holds all names: then two servers may meet, which is no worse than one user for a function.
        let (first, claim) = claimed.map_or((uid_base + start * BLOCK, None), |(id, fd)| (id, Some(fd)));
        (owners.first, owners.stranger) = (Some(first), Some(uid_base + IDS));
        owners._claim = claim;
        owners
    }

    /// Whether this user namespace has all ids from `first` on.
    pub(crate) fn exist(first: u32) -> bool {
        let last = u64::from(first) + u64::from(IDS);
        let Ok(map) = std::fs::read_to_string("/proc/self/uid_map") else { return false };
        map.lines().any(|line| {
            let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            matches!(numbers[..], [inside, _, count] if inside <= u64::from(first) && last < inside + count)
        })
    }

    /// The id of the next box, as the spawner's user namespace names it; `None` if all are in use.
    pub(crate) fn take(&mut self) -> Option<u32> {
        let Some(first) = self.first else { return Some(0) };
        if self.taken.len() >= BLOCK as usize {
            return None;
        }
        loop {
            let id = first + self.next;
            self.next = (self.next + 1) % BLOCK;
            if self.taken.insert(id) {
                return Some(id);
            }
        }
    }

    /// The id that no box has, and that all have in folders of root.
    pub(crate) fn stranger(&self) -> Option<u32> {
        self.stranger
    }

    /// The box is gone.
    pub(crate) fn give_back(&mut self, id: u32) {
        self.taken.remove(&id);
    }
}

/// An abstract name is free again when its holder is gone, however that ended.
fn claim(first: u32) -> Option<OwnedFd> {
    let name = SocketAddrUnix::new_abstract_name(format!("lamplighter-users-{first}").as_bytes()).ok()?;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None);
    let socket = socket.ok()?;
    rustix::net::bind(&socket, &name).ok()?;
    Some(socket)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_used_again_only_when_all_others_were() {
        let mut owners =
            Owners { first: Some(100), stranger: None, next: 0, taken: HashSet::new(), _claim: None };
        assert_eq!((owners.take(), owners.take()), (Some(100), Some(101)));
        owners.give_back(100);
        assert_eq!(owners.take(), Some(102));
        for expected in 103..100 + BLOCK {
            assert_eq!(owners.take(), Some(expected));
        }
        assert_eq!((owners.take(), owners.take()), (Some(100), None));
    }

    #[test]
    fn two_claims_never_meet() {
        let (one, two) = (Owners::claim(3_000_000_000, true), Owners::claim(3_000_000_000, true));
        assert_ne!(one.first, two.first);
        assert_eq!(Owners::claim(3_000_000_000, false).take(), Some(0));
    }
}

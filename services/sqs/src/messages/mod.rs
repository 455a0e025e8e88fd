//! The messages of all queues: sending, receiving, deleting, and what happens to them in between.
//!
//! | room | what |
//! | --- | --- |
//! | [`row`], [`keys`] | what is on disk |
//! | [`state`], [`ready`], [`traffic`] | what memory knows of a queue, and who gets what: no I/O |
//! | [`writer`] | every change, in transactions that all queues share |
//! | [`window`] | brings from disk what a picture lacks |
//! | [`send`], [`receive`], [`settle`] | what clients do: send; receive and wait; delete and hide |
//! | [`behind`], [`alarms`] | leases written a little later; the one timer of those who wait |
//! | [`content`] | what a message may be, and its digests |
//! | [`manage`], [`sweep`] | counts, purging, moving, looking; clearing what is gone |
//!
//! A queue costs nothing before it is used, and next to nothing while it idles: no task, no timer, no scan.
//!
//! **Invariant:** sends, deletes and changes of visibility are on disk before they are answered. Receives are not: their
//! leases are written a moment later, so a crash makes the newest of them undone and their messages visible again.

pub(crate) mod content;
pub(crate) mod handle;
mod keys;
pub(crate) mod manage;
pub(crate) mod receive;
pub(crate) mod row;
pub(crate) mod send;
pub(crate) mod settle;

mod alarms;
mod behind;
mod ready;
mod state;
mod sweep;
#[cfg(test)]
mod tests;
mod traffic;
mod window;
mod writer;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::Clock;
use store::Store;
use tokio_util::sync::CancellationToken;

use self::alarms::Alarms;
use self::behind::Behind;
pub(crate) use self::state::Grave;
use self::state::{Exits, State};
use self::writer::{Change, Delete, Destination, Move, Pending, Reason, Written};
use crate::queue::Queue;

/// Content of messages that wait for their receive in memory, in bytes, of all queues together.
const ROOM_BYTES: usize = 16 * 1024 * 1024;

/// The messages of all queues. One per service.
pub(crate) struct Messages {
    store: Store,
    clock: Clock,
    pictures: Mutex<HashMap<u64, Arc<Picture>>>,
    pending: Mutex<Pending>,
    behind: Mutex<Behind>,
    alarms: Alarms,
    /// Bytes left for content in memory.
    room: Arc<AtomicUsize>,
    /// Numbers of those who wait.
    waiters: AtomicU64,
    /// The period before which deduplication ids were cleared.
    cleared_period: AtomicU64,
    stopping: CancellationToken,
}

/// What memory knows of one queue.
struct Picture {
    state: Mutex<State>,
    /// Held by whoever reads the store for it.
    reader: tokio::sync::Mutex<()>,
}

/// A lock whose data is whole between any two statements, so that a panic elsewhere does not matter.
fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Messages {
    pub(crate) fn new(store: Store, clock: Clock) -> Arc<Messages> {
        Arc::new(Messages {
            store,
            clock,
            pictures: Mutex::default(),
            pending: Mutex::default(),
            behind: Mutex::default(),
            alarms: Alarms::default(),
            room: Arc::new(AtomicUsize::new(ROOM_BYTES)),
            waiters: AtomicU64::new(0),
            cleared_period: AtomicU64::new(0),
            stopping: CancellationToken::new(),
        })
    }

    /// Ends all waiting: who waits gets an empty answer, and whoever comes later hears that the server stops.
    pub(crate) fn stop(&self) {
        self.stopping.cancel();
    }

    fn picture(&self, queue: &Queue) -> Arc<Picture> {
        let mut pictures = locked(&self.pictures);
        let picture = pictures.entry(queue.uid).or_insert_with(|| {
            let state = Mutex::new(State::new(queue.is_fifo()));
            Arc::new(Picture { state, reader: tokio::sync::Mutex::new(()) })
        });
        Arc::clone(picture)
    }

    fn known_picture(&self, queue: u64) -> Option<Arc<Picture>> {
        locked(&self.pictures).get(&queue).cloned()
    }

    /// Changes a queue's picture, if memory has one.
    fn with_picture(&self, queue: u64, change: impl FnOnce(&mut State)) {
        if let Some(picture) = self.known_picture(queue) {
            change(&mut locked(&picture.state));
        }
    }

    /// Hands what there is to those who wait.
    fn serve(self: &Arc<Self>, queue: u64) {
        let Some(picture) = self.known_picture(queue) else { return };
        let exits = {
            let mut state = locked(&picture.state);
            let exits = state.serve_waiters(self.clock.now());
            self.look_after(queue, &mut state);
            exits
        };
        if !exits.is_empty() {
            // Nobody waits for these: they are out of sight already.
            drop(self.write_exits(queue, exits));
        }
    }

    /// After any change of a picture: its leases are written, its alarm set.
    fn look_after(self: &Arc<Self>, queue: u64, state: &mut State) {
        if state.has_unwritten() {
            self.write_behind(queue);
        }
        if let Some(at) = state.next_alarm()
            && state.alarm.is_none_or(|set| at < set)
        {
            state.alarm = Some(at);
            self.set_alarm(at, queue);
        }
    }

    /// Has it written that messages leave. Each is on its own: the largest fill a transaction.
    fn write_exits(self: &Arc<Self>, queue: u64, exits: Exits) -> Vec<Written> {
        let expired = exits.expired.into_iter().map(|exit| {
            Change::Delete(Delete {
                queue,
                seq: exit.seq,
                nonce: None,
                refuse_run_out: false,
                has_lease_row: exit.has_lease_row,
                pieces: exit.pieces,
                low: 0,
            })
        });
        let expired: Vec<Change> = expired.collect();
        let mut written = Vec::new();
        if !expired.is_empty() {
            written.push(self.write(expired));
        }
        for (exit, grave) in exits.buried {
            written.push(self.write(vec![Change::Move(Move {
                from: queue,
                seq: exit.seq,
                to: Destination::Queue { queue: grave.queue, is_fifo: grave.is_fifo },
                reason: Reason::ReceivedTooOften { source_arn: grave.source_arn },
                count: exit.count,
                bytes: exit.bytes,
            })]));
        }
        written
    }

    fn next_waiter(&self) -> u64 {
        self.waiters.fetch_add(1, Ordering::Relaxed)
    }
}

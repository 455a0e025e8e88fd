//! What goes into a queue's picture and comes out of it: arrivals, receives, exits, and who waits.
//!
//! These are values between the rooms of the messages; what becomes of them is [`super::state`]'s business.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base::Timestamp;
use tokio::sync::oneshot;

use super::ready::Group;
use super::row::{Lease, Message};

/// Content that waits in memory for its receive, and counts against the room for that.
pub(super) struct Held {
    pub(super) message: Arc<Message>,
    room: Arc<AtomicUsize>,
    bytes: usize,
}

impl Held {
    /// `None` when there is no room for it.
    pub(super) fn new(message: &Arc<Message>, room: &Arc<AtomicUsize>) -> Option<Held> {
        // What an entry takes beside its content, in bytes, about.
        let bytes = message.content.body.len() + 512 + 128 * message.content.attributes.len();
        let taken = room.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(bytes));
        taken.is_ok().then(|| Held { message: Arc::clone(message), room: Arc::clone(room), bytes })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.room.fetch_add(self.bytes, Ordering::AcqRel);
    }
}

/// A message as the store or a sender tells of it.
pub(super) struct Arrival {
    pub(super) seq: u64,
    pub(super) sent_at: Timestamp,
    pub(super) group: Group,
    pub(super) held: Option<Held>,
    pub(super) lease: Option<Lease>,
    /// Size of the content.
    pub(super) bytes: u32,
    /// In how many rows of its own the content lies, if that is known.
    pub(super) pieces: Option<u32>,
}

/// What a receive goes by.
pub(super) struct Terms {
    pub(super) queue: u64,
    pub(super) visibility_ms: i64,
    pub(super) retention_ms: i64,
    pub(super) grave: Option<Grave>,
}

/// Where messages go that were received too often.
#[derive(Clone)]
pub(crate) struct Grave {
    /// The dead-letter queue's uid.
    pub(crate) queue: u64,
    pub(crate) is_fifo: bool,
    pub(crate) max_receive_count: u32,
    /// The ARN of the queue that they come from.
    pub(crate) source_arn: Arc<str>,
}

/// A message that was handed out.
pub(super) struct Taken {
    pub(super) seq: u64,
    /// `None`: it is to be read.
    pub(super) message: Option<Arc<Message>>,
    pub(super) count: u32,
    pub(super) first_received_at: Timestamp,
    pub(super) nonce: u64,
    /// What the lease was before, should it be given back.
    pub(super) before: (u32, Timestamp, u64),
}

/// What a look at the queue gave.
#[derive(Default)]
pub(super) struct Harvest {
    pub(super) taken: Vec<Taken>,
    pub(super) exits: Exits,
    /// There was something to hand out, but too much is out.
    pub(super) is_over_limit: bool,
}

/// Messages that leave instead of being handed out; the caller has this written.
#[derive(Default)]
pub(super) struct Exits {
    /// Past their retention.
    pub(super) expired: Vec<Exit>,
    /// Received too often.
    pub(super) buried: Vec<(Exit, Grave)>,
}

impl Exits {
    pub(super) fn is_empty(&self) -> bool {
        self.expired.is_empty() && self.buried.is_empty()
    }

    pub(super) fn append(&mut self, other: Exits) {
        self.expired.extend(other.expired);
        self.buried.extend(other.buried);
    }
}

/// A message that is about to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exit {
    pub(super) seq: u64,
    pub(super) has_lease_row: bool,
    /// Receives in this queue.
    pub(super) count: u32,
    /// Size of the content, or the largest.
    pub(super) bytes: u32,
    /// In how many rows of its own the content lies, if that is known.
    pub(super) pieces: Option<u32>,
}

/// Somebody who waits for messages.
pub(super) struct Waiter {
    pub(super) number: u64,
    pub(super) max: usize,
    pub(super) terms: Arc<Terms>,
    /// Nothing: look again, the store may have some.
    pub(super) reply: oneshot::Sender<Vec<Taken>>,
}

/// What a handle means at the moment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The last receive, and the message is out.
    Current,
    /// The last receive, but the message is visible again.
    RunOut,
    /// The message was received again since.
    Stale,
    /// The message is leaving.
    Leaving,
    /// Memory knows nothing of the message.
    Unknown,
}

/// What a look without a receive sees.
pub(super) struct Glimpse {
    pub(super) is_delayed: bool,
    pub(super) is_out: bool,
    pub(super) until: Timestamp,
    pub(super) count: u32,
    pub(super) first_received_at: Timestamp,
}

//! What of a queue is in memory: the next events to run, and those that a limit refused for now.
//!
//! It is bounded however long the queue is. It reads on from where it was, never from the queue's beginning, where
//! many removed rows may lie.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet, VecDeque};

use base::Timestamp;
use bytes::Bytes;

use super::queue::{Place, Queue};
use crate::error::LambdaError;

/// Rows that are read at once.
const BATCH: usize = 256;
/// With fewer than this in memory, more are read.
const LOW: usize = 64;
/// A row of more bytes is not kept but read again when its turn comes.
const KEPT_BYTES: usize = 4 * 1024;
/// With more refused events than this, no others are tried.
const MOST_PARKED: usize = 1000;

/// An event in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) place: Place,
    /// `None`: to be read again.
    pub(super) row: Option<Bytes>,
    /// How often in a row it did not reach the function.
    pub(super) refusals: u32,
}

/// A refused event, by the moment of its next try.
#[derive(Debug, PartialEq, Eq)]
struct Parked {
    until: Timestamp,
    entry: Entry,
}

impl PartialOrd for Parked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Parked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.until, self.entry.place).cmp(&(other.until, other.entry.place))
    }
}

/// The part of a queue that is in memory.
#[derive(Debug)]
pub(super) struct Index {
    waiting: VecDeque<Entry>,
    parked: BinaryHeap<Reverse<Parked>>,
    /// The stamp of the last ready row that was read.
    ready_until: Option<u64>,
    more_ready: bool,
    /// The last delayed row that was read.
    due_until: Option<Place>,
    /// Delayed rows that were read and still exist.
    taken: HashSet<Place>,
    /// The moment of the first delayed row that was not read yet.
    next_due: Option<Timestamp>,
}

impl Index {
    /// For a queue of which nothing is known.
    pub(super) fn new() -> Self {
        Index {
            waiting: VecDeque::new(),
            parked: BinaryHeap::new(),
            ready_until: None,
            more_ready: true,
            due_until: None,
            taken: HashSet::new(),
            next_due: Some(Timestamp(i64::MIN)),
        }
    }

    /// There are new events to run at once.
    pub(super) fn ready_came(&mut self) {
        self.more_ready = true;
    }

    /// There is a new event to run at `due`.
    pub(super) fn delayed_came(&mut self, due: Timestamp) {
        self.next_due = Some(self.next_due.map_or(due, |next| next.min(due)));
        if self.due_until.is_some_and(|until| Place::Delayed(due, 0) <= until) {
            // It lies below what was read: from the beginning once more, without those that are taken.
            self.due_until = None;
        }
    }

    /// Reads on where little is left.
    pub(super) fn refill(&mut self, queue: &Queue, now: Timestamp) -> Result<(), LambdaError> {
        if self.waiting.len() >= LOW {
            return Ok(());
        }
        if self.next_due.is_some_and(|due| due <= now) {
            self.read_due(queue, now)?;
        }
        if self.more_ready {
            let rows = queue.ready(self.ready_until, BATCH)?;
            self.more_ready = rows.len() == BATCH;
            if let Some((Place::Ready(stamp), _)) = rows.last() {
                self.ready_until = Some(*stamp);
            }
            self.waiting.extend(rows.into_iter().map(entry));
        }
        Ok(())
    }

    fn read_due(&mut self, queue: &Queue, now: Timestamp) -> Result<(), LambdaError> {
        let known = if self.due_until.is_none() { self.taken.len() } else { 0 };
        let limit = known + BATCH;
        let rows = queue.due(self.due_until, now, limit)?;
        let more = rows.len() == limit;
        if let Some((place, _)) = rows.last() {
            self.due_until = Some(*place);
        }
        for (place, row) in rows {
            if self.taken.insert(place) {
                self.waiting.push_back(entry((place, row)));
            }
        }
        self.next_due = if more { Some(now) } else { queue.next_due(now)? };
        Ok(())
    }

    /// The next event to run.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<Entry> {
        if self.parked.peek().is_some_and(|parked| parked.0.until <= now) {
            return self.parked.pop().map(|parked| parked.0.entry);
        }
        if self.parked.len() >= MOST_PARKED { None } else { self.waiting.pop_front() }
    }

    /// Whether [`Index::next`] would give one.
    pub(super) fn has_next(&self, now: Timestamp) -> bool {
        self.parked.peek().is_some_and(|parked| parked.0.until <= now)
            || (!self.waiting.is_empty() && self.parked.len() < MOST_PARKED)
    }

    /// Keeps an event for another try.
    pub(super) fn park(&mut self, entry: Entry, until: Timestamp) {
        self.parked.push(Reverse(Parked { until, entry }));
    }

    /// The row at this place is gone.
    pub(super) fn gone(&mut self, place: Place) {
        self.taken.remove(&place);
    }

    /// When there is something to do again, as far as is known now.
    pub(super) fn next_moment(&self) -> Option<Timestamp> {
        let parked = self.parked.peek().map(|parked| parked.0.until);
        // With enough in memory nothing is read, whatever is due.
        let due = self.next_due.filter(|_| self.waiting.len() < LOW);
        [parked, due].into_iter().flatten().min()
    }

    /// Whether nothing is known, in memory or in the rows that were not read.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.parked.is_empty() && !self.more_ready && self.next_due.is_none()
    }

    /// How many events are in memory.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.parked.len()
    }
}

fn entry((place, row): (Place, Bytes)) -> Entry {
    let row = (row.len() <= KEPT_BYTES).then_some(row);
    Entry { place, row, refusals: 0 }
}

//! The rows of one function's events.
//!
//! | key after the queue's own | value | what it is |
//! | --- | --- | --- |
//! | `r`, stamp | [`EventRecord`](super::record::EventRecord), version 1 | an event to be run at once; stamps go up with every commit |
//! | `d`, moment in ms, stamp | [`EventRecord`](super::record::EventRecord), version 1 | an event to be run at that moment |
//! | `p`, id, number | bytes | a part of a payload that is larger than a value may be |
//! | `u`, id | nothing | this payload is being written, its event is not there yet |
//!
//! A queue belongs to one life of a function: its id is an aspect of the function and goes with it, so that a function
//! created later under the same name never sees the events of its predecessor.
//!
//! **Invariant:** no row `r` appears below one that was read, because stamps are given in the order of the commits.

use std::fmt;

use base::{AccountId, Region, Timestamp};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use store::{Key, Range, Store, StoreError, Tx, TxError, value};

use super::record::PayloadRecord;
use crate::aspects::Aspect;
use crate::error::LambdaError;
use crate::functions::{damaged, decode};
use crate::keys::{self, Space, V1};
use crate::name::{Target, function_arn};

/// The id of the queue of a living function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct QueueAspect(pub(super) u64);

impl Aspect for QueueAspect {
    const KIND: &'static str = "queue";
}

/// One function's queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct QueueId {
    pub(super) account: AccountId,
    pub(super) region: Region,
    pub(super) name: String,
    pub(super) id: u64,
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&function_arn(self.account, &self.region, &self.name))
    }
}

impl QueueId {
    pub(super) fn space(&self) -> Space {
        Space::new(self.account, &self.region)
    }

    /// The function, by a qualifier.
    pub(super) fn target(&self, qualifier: Option<String>) -> Target {
        Target { account: self.account, region: self.region.clone(), name: self.name.clone(), qualifier }
    }

    fn key(&self) -> Key {
        self.space().queue(&self.name, self.id)
    }

    /// The place of an event.
    pub(super) fn event(&self, place: Place) -> Key {
        match place {
            Place::Ready(stamp) => self.key().str("r").u64(stamp),
            Place::Delayed(due, stamp) => self.key().str("d").i64(due.as_millis()).u64(stamp),
        }
    }

    pub(super) fn chunk(&self, payload: u64, number: u64) -> Key {
        self.chunks(payload).u64(number)
    }

    fn chunks(&self, payload: u64) -> Key {
        self.key().str("p").u64(payload)
    }

    pub(super) fn unfinished(&self, payload: u64) -> Key {
        self.key().str("u").u64(payload)
    }

    /// The row that says that the function lives and has this queue.
    pub(super) fn mark(&self) -> Key {
        mark(&self.space(), &self.name)
    }
}

/// The row with the id of a function's queue.
pub(super) fn mark(space: &Space, name: &str) -> Key {
    space.aspect(name, QueueAspect::KIND, "")
}

/// Where an event is in its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Place {
    /// To be run at once, by its stamp.
    Ready(u64),
    /// To be run at a moment.
    Delayed(Timestamp, u64),
}

impl Place {
    fn stamp(self) -> u64 {
        match self {
            Place::Ready(stamp) | Place::Delayed(_, stamp) => stamp,
        }
    }
}

/// What becomes of an event's row.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// The event is handled.
    Remove { place: Place, chunks: Option<u64> },
    /// The event waits for another attempt.
    Move { from: Place, due: Timestamp, row: Vec<u8> },
}

impl Change {
    pub(super) fn place(&self) -> Place {
        match self {
            Change::Remove { place, .. } => *place,
            Change::Move { from, .. } => *from,
        }
    }

    /// When the event is to be run again.
    pub(super) fn due(&self) -> Option<Timestamp> {
        match self {
            Change::Remove { .. } => None,
            Change::Move { due, .. } => Some(*due),
        }
    }

    /// About what it writes: keys, and the row.
    pub(super) fn bytes(&self) -> usize {
        /// Two keys, or those of all parts of a large payload.
        const KEYS: usize = 512;
        const MANY_KEYS: usize = 24 * 256;
        match self {
            Change::Remove { chunks: None, .. } => KEYS,
            Change::Remove { chunks: Some(_), .. } => MANY_KEYS,
            Change::Move { row, .. } => KEYS + row.len(),
        }
    }
}

/// A queue in a store. Cheap to clone.
#[derive(Clone)]
pub(super) struct Queue {
    store: Store,
    id: QueueId,
}

impl Queue {
    pub(super) fn new(store: Store, id: QueueId) -> Self {
        Queue { store, id }
    }

    pub(super) fn id(&self) -> &QueueId {
        &self.id
    }

    /// Whether the function that the queue was made for is still there.
    pub(super) fn is_live(&self) -> Result<bool, LambdaError> {
        let Some(row) = self.store.get(&self.id.mark())? else { return Ok(false) };
        Ok(decode::<QueueAspect>(&row)?.0 == self.id.id)
    }

    /// The first events to be run at once, after the stamp `after`.
    pub(super) fn ready(&self, after: Option<u64>, limit: usize) -> Result<Vec<(Place, Bytes)>, LambdaError> {
        let all = self.id.key().str("r");
        let mut range = all.range().limit(limit);
        if let Some(after) = after {
            range.from = self.id.event(Place::Ready(after)).prefix_end();
        }
        self.read(range, |key| {
            let mut reader = keys::after_queue(key)?;
            reader.str().ok()?;
            Some(Place::Ready(reader.u64().ok()?))
        })
    }

    /// The first events whose moment has come, after the place `after`.
    pub(super) fn due(
        &self,
        after: Option<Place>,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(Place, Bytes)>, LambdaError> {
        let mut range = self.id.key().str("d").range().limit(limit);
        if let Some(after) = after {
            range.from = self.id.event(after).prefix_end();
        }
        range.to = self.end_of(now);
        self.read(range, delayed_place)
    }

    /// The moment of the first event that is to be run after `now`.
    pub(super) fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>, LambdaError> {
        let mut range = self.id.key().str("d").range().limit(1);
        range.from = self.end_of(now);
        let first = self.read(range, delayed_place)?.pop();
        Ok(first.and_then(|(place, _)| match place {
            Place::Delayed(due, _) => Some(due),
            Place::Ready(_) => None,
        }))
    }

    /// Just above everything that is to be run until `now`.
    fn end_of(&self, now: Timestamp) -> Vec<u8> {
        self.id.key().str("d").i64(now.as_millis().saturating_add(1)).build()
    }

    fn read(
        &self,
        range: Range,
        place: impl Fn(&[u8]) -> Option<Place>,
    ) -> Result<Vec<(Place, Bytes)>, LambdaError> {
        let rows = self.store.range(range)?;
        let read = |(key, row): (Bytes, Bytes)| {
            Ok((place(&key).ok_or_else(|| damaged("the key of an event"))?, row))
        };
        rows.into_iter().map(read).collect()
    }

    /// The row at a place.
    pub(super) fn row(&self, place: Place) -> Result<Option<Bytes>, LambdaError> {
        Ok(self.store.get(&self.id.event(place))?)
    }

    /// The payload of an event, put together where it lies in parts.
    pub(super) fn payload(&self, payload: PayloadRecord) -> Result<Bytes, LambdaError> {
        let (id, bytes) = match payload {
            PayloadRecord::Inline(payload) => return Ok(Bytes::from(payload.into_vec())),
            PayloadRecord::Chunks { id, bytes } => (id, bytes as usize),
        };
        let mut payload = Vec::with_capacity(bytes);
        for (_, part) in self.store.range(self.id.chunks(id).range())? {
            payload.extend_from_slice(&part);
        }
        if payload.len() == bytes { Ok(payload.into()) } else { Err(damaged("the payload of an event")) }
    }

    /// Makes changes in one transaction. Events of a function that is gone are not kept for another attempt.
    pub(super) async fn settle(&self, changes: Vec<Change>) -> Result<Vec<Change>, StoreError> {
        let id = self.id.clone();
        let moves = changes.iter().any(|change| change.due().is_some());
        let work = changes.clone();
        self.store
            .transact(move |tx| {
                let is_live = !moves || is_live_in(tx, &id)?;
                for change in &work {
                    tx.delete(&id.event(change.place()))?;
                    match change {
                        Change::Remove { chunks: Some(chunks), .. } => {
                            let range = id.chunks(*chunks).range();
                            tx.clear_range(&range.from, &range.to)?;
                        }
                        Change::Move { from, due, row } if is_live => {
                            let place = Place::Delayed(*due, from.stamp());
                            tx.put(id.event(place).build(), row.clone())?;
                        }
                        _ => {}
                    }
                }
                Ok(())
            })
            .await?;
        Ok(changes)
    }

    /// The payloads whose event is not written yet.
    pub(super) fn unfinished(&self) -> Result<Vec<u64>, LambdaError> {
        let rows = self.store.range(self.id.key().str("u").range())?;
        let payload = |key: &[u8]| {
            let mut reader = keys::after_queue(key)?;
            reader.str().ok()?;
            reader.u64().ok()
        };
        rows.iter().map(|(key, _)| payload(key).ok_or_else(|| damaged("the key of a payload"))).collect()
    }

    /// Removes payloads whose event was never written, because the process ended in between.
    pub(super) async fn remove_unfinished(&self, payloads: Vec<u64>) -> Result<(), LambdaError> {
        for payload in payloads {
            let id = self.id.clone();
            self.store
                .transact(move |tx| {
                    let range = id.chunks(payload).range();
                    tx.clear_range(&range.from, &range.to)?;
                    tx.delete(&id.unfinished(payload))
                })
                .await?;
        }
        Ok(())
    }

    /// Removes everything. Says how many rows there were.
    pub(super) async fn clear(&self) -> Result<u64, StoreError> {
        let all = self.id.key().range();
        self.store.clear_in_steps(all.from, all.to).await
    }
}

/// Whether the function that the queue was made for is there, as a transaction sees it.
pub(super) fn is_live_in(tx: &dyn Tx, id: &QueueId) -> Result<bool, TxError> {
    let Some(row) = tx.get(&id.mark())? else { return Ok(false) };
    Ok(value::decode::<QueueAspect>(V1, &row)?.0 == id.id)
}

fn delayed_place(key: &[u8]) -> Option<Place> {
    let mut reader = keys::after_queue(key)?;
    reader.str().ok()?;
    Some(Place::Delayed(Timestamp(reader.i64().ok()?), reader.u64().ok()?))
}

/// Every queue that has rows.
pub(super) fn all(store: &Store) -> Result<Vec<QueueId>, LambdaError> {
    below(store, &keys::queues())
}

/// Every queue with rows of functions that had this name.
pub(super) fn all_of(store: &Store, target: &Target) -> Result<Vec<QueueId>, LambdaError> {
    below(store, &Space::new(target.account, &target.region).queues_of(&target.name))
}

/// Jumps from queue to queue.
fn below(store: &Store, prefix: &Key) -> Result<Vec<QueueId>, LambdaError> {
    let mut rest = prefix.range().limit(1);
    let mut queues = Vec::new();
    while let Some((key, _)) = store.range(rest.clone())?.pop() {
        let (account, region, name, id) =
            keys::queue_of(&key).ok_or_else(|| damaged("the key of a queue"))?;
        let queue = QueueId { account, region, name, id };
        rest.from = queue.key().prefix_end();
        queues.push(queue);
    }
    Ok(queues)
}

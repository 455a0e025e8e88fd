//! The background worker: clears the events of deleted groups and streams, and events past their retention.
//!
//! What it clears nobody can see any more: records go in the deleting transaction, and reads leave expired events
//! out. Every transaction is small, and the worker can stop between any two: what is left is found again at the next
//! start. It wakes when something is deleted, and once an hour of the clock for what has expired.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use store::{Key, Range};
use tokio::sync::watch;

use crate::Logs;
use crate::batch::EVENT_OVERHEAD_BYTES;
use crate::chunk::{ChunkScan, MAX_SPAN_MS};
use crate::errors::LogsError;
use crate::group::Group;
use crate::keys::{self, Scope};
use crate::state::{decode, put};
use crate::stream::Stream;

/// How often expired events are looked for.
const INTERVAL: Duration = Duration::from_secs(3_600);
/// How long the worker waits after a failure of the store.
const RETRY_AFTER: Duration = Duration::from_secs(30);
/// Records that one transaction moves or one read walks.
const BATCH: usize = 100;

/// What has to be cleared under a uid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Trash {
    /// The group's streams, and their events.
    Group,
    /// The stream's events.
    Stream,
}

impl Logs {
    /// Runs the worker until `shutdown` becomes true or its sender is gone.
    pub async fn run_worker(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        tokio::select! {
            _ = shutdown.wait_for(|stop| *stop) => {}
            () = self.work() => {}
        }
    }

    async fn work(&self) {
        // Watch first, then read: what is deleted meanwhile wakes the next round.
        let mut deleted = self.store.watch(keys::trash_prefix());
        loop {
            let pause = match self.sweep().await {
                Ok(()) => INTERVAL,
                Err(error) => {
                    tracing::warn!(%error, "clearing old log events failed; it will be tried again");
                    RETRY_AFTER
                }
            };
            let next = self.clock.now().after(pause);
            tokio::select! {
                () = deleted.changed() => {}
                () = self.clock.sleep_until(next) => {}
            }
        }
    }

    /// One round over everything that can be cleared now.
    pub(crate) async fn sweep(&self) -> Result<(), LogsError> {
        self.clear_trash().await?;
        let mut range = keys::all_groups().limit(BATCH);
        loop {
            let batch = self.store.range(range.clone())?;
            for (key, stored) in &batch {
                let group: Group = decode(stored)?;
                if let (Some(scope), Some(_)) = (keys::read_scope(key), group.retention_days) {
                    self.expire_group(&scope, &group).await?;
                }
            }
            match batch.last() {
                Some((key, _)) if batch.len() == BATCH => range.from = keys::just_above(key),
                _ => return Ok(()),
            }
        }
    }

    async fn clear_trash(&self) -> Result<(), LogsError> {
        // Clearing a group makes trash of its streams, so begin anew until nothing is left.
        while let Some((key, stored)) = self.store.range(keys::all_trash().limit(1))?.pop() {
            let trash: Trash = decode(&stored)?;
            let Some((scope, uid)) = keys::read_scope(&key).zip(keys::read_trash_uid(&key)) else {
                return Ok(());
            };
            match trash {
                Trash::Group => self.clear_group(scope, uid, key.to_vec()).await?,
                Trash::Stream => self.clear_stream(&scope, uid, key.to_vec()).await?,
            }
        }
        Ok(())
    }

    /// Turns some streams of a deleted group into trash; the group is done when it has none.
    async fn clear_group(&self, scope: Scope, uid: u64, trash_key: Vec<u8>) -> Result<(), LogsError> {
        loop {
            let (scope, trash_key) = (scope.clone(), trash_key.clone());
            let is_done = self
                .change(move |tx| {
                    let streams = tx.range(keys::streams(&scope, uid, "").limit(BATCH))?;
                    for (key, stored) in &streams {
                        let stream: Stream = decode(stored)?;
                        tx.delete(key)?;
                        put(tx, keys::trash(&scope, stream.uid), &Trash::Stream)?;
                    }
                    if streams.is_empty() {
                        tx.delete(&keys::group_bytes(&scope, uid))?;
                        tx.delete(&trash_key)?;
                    }
                    Ok(streams.is_empty())
                })
                .await?;
            if is_done {
                return Ok(());
            }
        }
    }

    async fn clear_stream(&self, scope: &Scope, uid: u64, trash_key: Vec<u8>) -> Result<(), LogsError> {
        let Range { from, to, .. } = keys::stream_events(scope, uid).range();
        self.store.clear_in_steps(from, to).await?;
        self.store.transact(move |tx| tx.delete(&trash_key)).await?;
        Ok(())
    }

    async fn expire_group(&self, scope: &Scope, group: &Group) -> Result<(), LogsError> {
        let cutoff_ms = group.cutoff_ms(self.now_ms());
        let mut range = keys::streams(scope, group.uid, "").limit(BATCH);
        loop {
            let batch = self.store.range(range.clone())?;
            for (key, stored) in &batch {
                let stream: Stream = decode(stored)?;
                if stream.first_event_ms.is_some_and(|first_ms| first_ms < cutoff_ms) {
                    self.expire_stream(scope, group.uid, key.to_vec(), stream.uid, cutoff_ms).await?;
                }
            }
            match batch.last() {
                Some((key, _)) if batch.len() == BATCH => range.from = keys::just_above(key),
                _ => return Ok(()),
            }
        }
    }

    /// Clears the stream's chunks that have wholly expired.
    async fn expire_stream(
        &self,
        scope: &Scope,
        group_uid: u64,
        stream_key: Vec<u8>,
        stream_uid: u64,
        cutoff_ms: i64,
    ) -> Result<(), LogsError> {
        let events = keys::stream_events(scope, stream_uid);
        loop {
            let Some(found) = self.expired_chunks(&stream_key, &events, cutoff_ms)? else { return Ok(()) };
            let (stream_key, group_key) = (stream_key.clone(), keys::group_bytes(scope, group_uid));
            let is_done = found.is_last;
            self.change(move |tx| {
                let Some(stored) = tx.get(&stream_key)? else { return Ok(()) };
                let mut stream: Stream = decode(&stored)?;
                if stream.uid != stream_uid {
                    return Ok(());
                }
                found.keys.iter().try_for_each(|key| tx.delete(key))?;
                stream.stored_bytes = stream.stored_bytes.saturating_sub(found.bytes);
                stream.first_event_ms = if stream.next_seq == found.next_seq {
                    found.next_first_ms
                } else {
                    // A writer was here since the chunks were read. Nothing of its can be older than this.
                    let oldest_ms = cutoff_ms.saturating_sub(MAX_SPAN_MS);
                    Some(found.next_first_ms.map_or(oldest_ms, |first_ms| first_ms.min(oldest_ms)))
                };
                tx.add(&group_key, -found.bytes)?;
                put(tx, stream_key.clone(), &stream)
            })
            .await?;
            if is_done {
                return Ok(());
            }
        }
    }

    /// Some chunks of a stream that lie wholly before the cutoff; `None` when the stream is gone.
    fn expired_chunks(
        &self,
        stream_key: &[u8],
        events: &Key,
        cutoff_ms: i64,
    ) -> Result<Option<Expired>, LogsError> {
        let snapshot = self.store.snapshot()?;
        let Some(stored) = snapshot.get(stream_key)? else { return Ok(None) };
        let next_seq = decode::<Stream>(&stored)?.next_seq;
        let mut found = Expired { keys: Vec::new(), bytes: 0, next_first_ms: None, next_seq, is_last: true };
        let mut scan = ChunkScan::new(&snapshot, events, i64::MIN, i64::MAX, false);
        while let Some(chunk) = scan.next()? {
            let is_expired = chunk.events.last().is_none_or(|(last_ms, _)| *last_ms < cutoff_ms);
            if !is_expired || found.keys.len() >= BATCH {
                found.next_first_ms = Some(chunk.first_ms);
                found.is_last = !is_expired;
                break;
            }
            for part in 0..=chunk.further_parts {
                found.keys.push(keys::chunk(events, chunk.first_ms, chunk.seq, part));
            }
            let sizes = chunk.events.iter().map(|(_, message)| message.len() + EVENT_OVERHEAD_BYTES);
            found.bytes += i64::try_from(sizes.sum::<usize>()).unwrap_or(0);
        }
        Ok(Some(found))
    }
}

/// What a read found to clear in a stream.
struct Expired {
    keys: Vec<Vec<u8>>,
    /// As AWS counts them.
    bytes: i64,
    /// Where the first chunk that stays begins.
    next_first_ms: Option<i64>,
    /// The stream's, at the time of the read: whoever writes moves it on.
    next_seq: u64,
    is_last: bool,
}

//! From a request to rows: the event is on disk when this is done.
//!
//! One event is one transaction, and transactions that come together share one sync. A payload that is larger than a
//! value may be lies in rows of its own; when these are more than a transaction may write, they are committed before
//! the event, so that no event lacks its payload.

use std::sync::Arc;

use base::Timestamp;
use bytes::Bytes;
use store::{Tx, TxError, value};

use super::queue::{Place, QueueAspect, QueueId, mark};
use super::record::{EventRecord, PayloadRecord};
use super::retry;
use crate::Lambda;
use crate::error::LambdaError;
use crate::functions::space_of;
use crate::invoke::Invocation;
use crate::keys::V1;
use crate::name::Target;
use crate::settings::{ASYNC_DELAY_MS, ASYNC_DUPLICATES, OwnSettings};

/// The largest event: 1 MiB.
pub(super) const MAX_EVENT_BYTES: usize = 1_048_576;
/// A larger payload lies in rows of its own: a value may have 64 KiB, and the rest of the event needs some.
const INLINE_BYTES: usize = 48 * 1024;
/// The size of such a row.
const CHUNK_BYTES: usize = 60 * 1024;
/// As many of them are within what a transaction may write.
const CHUNKS_AT_ONCE: usize = 15;

/// Refuses what is too large for an event.
///
/// # Errors
/// `RequestEntityTooLargeException` in AWS's words.
pub(crate) fn check_size(payload_bytes: usize) -> Result<(), LambdaError> {
    if payload_bytes <= MAX_EVENT_BYTES {
        return Ok(());
    }
    Err(LambdaError::TooLarge(format!(
        "{payload_bytes} byte payload is too large for the Event invocation type (limit {MAX_EVENT_BYTES} bytes)"
    )))
}

impl Lambda {
    /// Takes an event for a function that exists. When this is done, the event is on disk.
    ///
    /// # Errors
    /// `RequestEntityTooLargeException`; `ResourceNotFoundException` when the function was deleted meanwhile.
    pub(crate) async fn accept_event(
        self: &Arc<Self>,
        target: &Target,
        invocation: Invocation,
    ) -> Result<(), LambdaError> {
        check_size(invocation.payload.len())?;
        let wishes = self.own_settings(target)?;
        let now = self.clock.now();
        let due = (wishes.async_delay_ms > 0)
            .then(|| now.after(std::time::Duration::from_millis(u64::from(wishes.async_delay_ms))));
        let twice = wishes.async_duplicates > 0.0 && retry::lot() < wishes.async_duplicates;
        let event = NewEvent::of(target, invocation, now, due);
        if twice {
            event.clone().store(self, target).await?;
        }
        let queue = event.store(self, target).await?;
        self.wake_queue(&queue, due);
        Ok(())
    }

    /// What the function's tags ask of its events. Reads these two alone.
    fn own_settings(&self, target: &Target) -> Result<OwnSettings, LambdaError> {
        let mut tags = crate::functions::Tags::new();
        for key in [ASYNC_DUPLICATES, ASYNC_DELAY_MS] {
            if let Some(row) = self.store.get(&space_of(target).tag(&target.name, key))? {
                tags.insert(key.to_owned(), crate::functions::decode(&row)?);
            }
        }
        OwnSettings::of(&tags)
    }
}

#[derive(Clone)]
struct NewEvent {
    record: EventRecord,
    payload: Bytes,
    due: Option<Timestamp>,
    /// The id of the function's queue, should this be its first event.
    first_id: u64,
}

impl NewEvent {
    fn of(target: &Target, invocation: Invocation, now: Timestamp, due: Option<Timestamp>) -> Self {
        let record = EventRecord {
            request_id: invocation.request_id,
            qualifier: target.qualifier.clone(),
            client_context: invocation.client_context,
            trace_header: invocation.trace_header,
            tenant_id: invocation.tenant_id,
            accepted_at: now,
            attempts: 0,
            last: None,
            payload: PayloadRecord::default(),
        };
        let first_id = uuid::Uuid::new_v4().as_u64_pair().0;
        NewEvent { record, payload: invocation.payload, due, first_id }
    }

    async fn store(mut self, lambda: &Lambda, target: &Target) -> Result<QueueId, LambdaError> {
        if self.payload.len() <= INLINE_BYTES {
            self.record.payload = PayloadRecord::inline(&self.payload);
            return self.commit(lambda, target, Vec::new(), None).await;
        }
        let chunks: Vec<Bytes> = (0..self.payload.len())
            .step_by(CHUNK_BYTES)
            .map(|from| self.payload.slice(from..self.payload.len().min(from + CHUNK_BYTES)))
            .collect();
        let mut parts = chunks.chunks(CHUNKS_AT_ONCE).map(<[Bytes]>::to_vec);
        let (Some(first), Some(second)) = (parts.next(), parts.next()) else {
            return self.commit(lambda, target, chunks, None).await;
        };
        let begun = self.begin(lambda, target, first).await?;
        self.commit(lambda, target, second, Some(begun)).await
    }

    /// Writes the first part of a large payload.
    async fn begin(
        &self,
        lambda: &Lambda,
        target: &Target,
        chunks: Vec<Bytes>,
    ) -> Result<(QueueId, u64), LambdaError> {
        let (target, first_id) = (target.clone(), self.first_id);
        lambda
            .functions
            .run(move |tx| {
                let Some(queue) = queue_of(tx, &target, first_id)? else {
                    return Ok(Err(target.not_found()));
                };
                let id = tx.version_stamp()?;
                put_chunks(tx, &queue, id, 0, &chunks)?;
                tx.put(queue.unfinished(id).build(), Vec::new())?;
                Ok(Ok((queue, id)))
            })
            .await
    }

    /// Writes the event, and with it what of its payload is not written yet.
    async fn commit(
        self,
        lambda: &Lambda,
        target: &Target,
        chunks: Vec<Bytes>,
        begun: Option<(QueueId, u64)>,
    ) -> Result<QueueId, LambdaError> {
        let (target, first_id, due) = (target.clone(), self.first_id, self.due);
        let (mut record, bytes) = (self.record, self.payload.len());
        lambda
            .functions
            .run(move |tx| {
                let Some(queue) = queue_of(tx, &target, first_id)? else {
                    return Ok(Err(target.not_found()));
                };
                let stamp = tx.version_stamp()?;
                let (id, first) = match &begun {
                    // The function was deleted, and one of its name created, between the two commits.
                    Some((before, _)) if *before != queue => return Ok(Err(target.not_found())),
                    Some((_, id)) => (*id, CHUNKS_AT_ONCE),
                    None => (stamp, 0),
                };
                if begun.is_some() || !chunks.is_empty() {
                    put_chunks(tx, &queue, id, first, &chunks)?;
                    tx.delete(&queue.unfinished(id))?;
                    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
                    record.payload = PayloadRecord::Chunks { id, bytes };
                }
                let place = due.map_or(Place::Ready(stamp), |due| Place::Delayed(due, stamp));
                tx.put(queue.event(place).build(), value::encode(V1, &record))?;
                Ok(Ok(queue))
            })
            .await
    }
}

/// The queue of a function, made with its first event. `None` when there is no such function.
fn queue_of(tx: &mut dyn Tx, target: &Target, first_id: u64) -> Result<Option<QueueId>, TxError> {
    let space = space_of(target);
    let key = mark(&space, &target.name);
    let id = match tx.get(&key)? {
        Some(row) => value::decode::<QueueAspect>(V1, &row)?.0,
        None if tx.get(&space.function(&target.name))?.is_none() => return Ok(None),
        None => {
            tx.put(key.build(), value::encode(V1, &QueueAspect(first_id)))?;
            first_id
        }
    };
    let (account, region, name) = (target.account, target.region.clone(), target.name.clone());
    Ok(Some(QueueId { account, region, name, id }))
}

fn put_chunks(
    tx: &mut dyn Tx,
    queue: &QueueId,
    id: u64,
    first: usize,
    chunks: &[Bytes],
) -> Result<(), TxError> {
    for (number, chunk) in chunks.iter().enumerate() {
        tx.put(queue.chunk(id, (first + number) as u64).build(), chunk.to_vec())?;
    }
    Ok(())
}

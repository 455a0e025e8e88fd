//! The service's state: the store, and how groups and streams are made, found, written and deleted.
//!
//! It knows no operation's shapes. Every change is one transaction, except a batch that is larger than one may be.

use std::sync::Arc;

use base::Clock;
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::{Snapshot, Store, Tx, TxError};

use crate::LogsDeps;
use crate::batch::{self, Batch, NewEvent, Rejected};
use crate::errors::{LogsError, Stop};
use crate::group::Group;
use crate::keys::{self, Scope, VERSION};
use crate::stream::Stream;
use crate::sweep::Trash;

/// What one transaction writes of a large batch, in bytes; the store takes 1 MiB with its keys.
const MAX_WRITE_BYTES: usize = 900 * 1024;

/// The service. One per server.
pub struct Logs {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
}

impl Logs {
    /// The service over its store.
    #[must_use]
    pub fn new(deps: LogsDeps) -> Arc<Logs> {
        Arc::new(Logs { store: deps.store, clock: deps.clock })
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now().as_millis()
    }

    /// Runs a change in one transaction; on disk when it returns. `change` may run more than once.
    pub(crate) async fn change<T, F>(&self, mut change: F) -> Result<T, LogsError>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Tx) -> Result<T, Stop> + Send + 'static,
    {
        self.store
            .transact_with(move |tx| match change(tx) {
                Ok(value) => Ok(Ok(value)),
                Err(Stop::No(error)) => Ok(Err(error)),
                Err(Stop::Store(error)) => Err(error),
            })
            .await?
    }

    /// A group as it is now.
    pub(crate) fn group(&self, scope: &Scope, name: &str) -> Result<Group, LogsError> {
        let stored = self.store.get(&keys::group(scope, name))?.ok_or(LogsError::NoGroup)?;
        Ok(decode(&stored)?)
    }

    pub(crate) async fn create_group(&self, scope: Scope, group: Group) -> Result<(), LogsError> {
        self.change(move |tx| {
            let key = keys::group(&scope, &group.name);
            if tx.get(&key)?.is_some() {
                return Err(LogsError::GroupExists.into());
            }
            let uid = fresh_uid(tx)?;
            put(tx, key, &Group { uid, ..group.clone() })
        })
        .await
    }

    /// Changes a group's record.
    pub(crate) async fn update_group<F>(
        &self,
        scope: Scope,
        name: String,
        mut update: F,
    ) -> Result<(), LogsError>
    where
        F: FnMut(&mut Group) -> Result<(), LogsError> + Send + 'static,
    {
        self.change(move |tx| {
            let mut group = group_in(tx, &scope, &name)?;
            update(&mut group)?;
            put(tx, keys::group(&scope, &name), &group)
        })
        .await
    }

    /// Takes the group away at once; its streams and events are cleared later.
    pub(crate) async fn delete_group(&self, scope: Scope, name: String) -> Result<(), LogsError> {
        self.change(move |tx| {
            let group = group_in(tx, &scope, &name)?;
            tx.delete(&keys::group(&scope, &name))?;
            put(tx, keys::trash(&scope, group.uid), &Trash::Group)
        })
        .await
    }

    pub(crate) async fn create_stream(
        &self,
        scope: Scope,
        group: String,
        name: String,
    ) -> Result<(), LogsError> {
        let now_ms = self.now_ms();
        self.change(move |tx| {
            let group = group_in(tx, &scope, &group)?;
            let key = keys::stream(&scope, group.uid, &name);
            if tx.get(&key)?.is_some() {
                return Err(LogsError::StreamExists.into());
            }
            let uid = fresh_uid(tx)?;
            put(tx, key, &Stream::new(name.clone(), uid, now_ms))
        })
        .await
    }

    /// Takes the stream away at once; its events are cleared later.
    pub(crate) async fn delete_stream(
        &self,
        scope: Scope,
        group: String,
        name: String,
    ) -> Result<(), LogsError> {
        self.change(move |tx| {
            let group = group_in(tx, &scope, &group)?;
            let key = keys::stream(&scope, group.uid, &name);
            let stored = tx.get(&key)?.ok_or(LogsError::NoStream)?;
            let stream: Stream = decode(&stored)?;
            tx.delete(&key)?;
            tx.add(&keys::group_bytes(&scope, group.uid), -stream.stored_bytes)?;
            put(tx, keys::trash(&scope, stream.uid), &Trash::Stream)
        })
        .await
    }

    /// Stores a batch; on disk when it returns. Says which events were not taken.
    pub(crate) async fn put_events(
        &self,
        scope: Scope,
        group_name: String,
        stream_name: String,
        events: Vec<NewEvent>,
    ) -> Result<Rejected, LogsError> {
        batch::check(&events)?;
        let group = self.group(&scope, &group_name)?;
        let now_ms = self.now_ms();
        let rejected = batch::rejected(&events, group.cutoff_ms(now_ms), now_ms);
        match Batch::pack(events, rejected, now_ms) {
            Some(batch) => self.write(Target { scope, group_name, stream_name }, batch).await?,
            None => {
                let key = keys::stream(&scope, group.uid, &stream_name);
                self.store.get(&key)?.ok_or(LogsError::NoStream)?;
            }
        }
        Ok(rejected)
    }

    /// One transaction, or several for a batch that is larger than one may write: then a crash in between leaves a
    /// part of a batch that nobody was told is stored.
    async fn write(&self, target: Target, batch: Batch) -> Result<(), LogsError> {
        let (target, batch) = (Arc::new(target), Arc::new(batch));
        let slices = slices(&batch);
        let last = slices.len() - 1;
        let mut reserved = None;
        for (at, slice) in slices.into_iter().enumerate() {
            let (target, batch) = (Arc::clone(&target), Arc::clone(&batch));
            let numbers =
                self.change(move |tx| write_slice(tx, &target, &batch, &slice, reserved, at == last)).await?;
            reserved = Some(numbers);
        }
        Ok(())
    }
}

/// Where a batch goes.
struct Target {
    scope: Scope,
    group_name: String,
    stream_name: String,
}

/// The stream's uid and the number of the batch's first chunk, once the first transaction of a batch has taken them.
#[derive(Clone, Copy)]
struct Reserved {
    stream_uid: u64,
    first_seq: u64,
}

/// Chunk and part of the values that one transaction writes.
type Slice = Vec<(usize, usize)>;

/// Cuts a batch into what one transaction may write; nearly always one slice. Parts go before their chunk, so that a
/// chunk that is there is whole.
fn slices(batch: &Batch) -> Vec<Slice> {
    let (mut slices, mut bytes) = (vec![Slice::new()], 0);
    for (at, chunk) in batch.chunks.iter().enumerate() {
        for (part, value) in chunk.parts.iter().enumerate().rev() {
            // Keys have about 80 bytes.
            let size = value.len() + 128;
            if bytes + size > MAX_WRITE_BYTES {
                slices.push(Slice::new());
                bytes = 0;
            }
            bytes += size;
            if let Some(slice) = slices.last_mut() {
                slice.push((at, part));
            }
        }
    }
    slices
}

fn write_slice(
    tx: &mut dyn Tx,
    target: &Target,
    batch: &Batch,
    slice: &Slice,
    reserved: Option<Reserved>,
    is_last: bool,
) -> Result<Reserved, Stop> {
    let Target { scope, group_name, stream_name } = target;
    let group = group_in(tx, scope, group_name)?;
    let stream_key = keys::stream(scope, group.uid, stream_name);
    let stored = tx.get(&stream_key)?.ok_or(LogsError::NoStream)?;
    let mut stream: Stream = decode(&stored)?;
    let reserved = reserved.unwrap_or_else(|| {
        let first_seq = stream.next_seq;
        stream.next_seq += batch.chunks.len() as u64;
        Reserved { stream_uid: stream.uid, first_seq }
    });
    if reserved.stream_uid != stream.uid {
        // Deleted and made anew between two transactions of this batch.
        return Err(LogsError::NoStream.into());
    }
    let events = keys::stream_events(scope, stream.uid);
    for (at, part) in slice {
        let chunk = &batch.chunks[*at];
        let key = keys::chunk(&events, chunk.first_ms, reserved.first_seq + *at as u64, *part as u64);
        tx.put(key, chunk.parts[*part].clone())?;
    }
    if is_last {
        stream.took(batch);
        tx.add(&keys::group_bytes(scope, group.uid), batch.stored_bytes)?;
    }
    put(tx, stream_key, &stream)?;
    Ok(reserved)
}

/// A group inside a transaction.
fn group_in(tx: &dyn Tx, scope: &Scope, name: &str) -> Result<Group, Stop> {
    let stored = tx.get(&keys::group(scope, name))?.ok_or(LogsError::NoGroup)?;
    Ok(decode(&stored)?)
}

/// A stream as a snapshot has it.
pub(crate) fn stream_at(
    snapshot: &Snapshot,
    scope: &Scope,
    group_uid: u64,
    name: &str,
) -> Result<Stream, LogsError> {
    let stored = snapshot.get(&keys::stream(scope, group_uid, name))?.ok_or(LogsError::NoStream)?;
    Ok(decode(&stored)?)
}

fn fresh_uid(tx: &mut dyn Tx) -> Result<u64, TxError> {
    Ok(tx.add(&keys::next_uid(), 1)?.unsigned_abs())
}

/// Reads a stored record.
pub(crate) fn decode<T: DeserializeOwned>(stored: &[u8]) -> Result<T, TxError> {
    Ok(store::value::decode(VERSION, stored)?)
}

/// Writes a record.
pub(crate) fn put<T: Serialize>(tx: &mut dyn Tx, key: Vec<u8>, record: &T) -> Result<(), Stop> {
    Ok(tx.put(key, store::value::encode(VERSION, record))?)
}

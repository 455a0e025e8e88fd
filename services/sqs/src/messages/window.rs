//! Brings from disk what a queue's picture lacks: its leases when it is first looked at, and page after page of messages.
//!
//! One reader at a time for each queue; nobody holds the picture's lock while it reads. What happens meanwhile is
//! remembered by the picture, and counts more than what the reader saw.

use std::sync::Arc;

use base::Timestamp;
use store::{Range, value};

use super::row::{self, Content, Lease, Message, Place, Row};
use super::state::{Arrival, Held};
use super::{Messages, Picture, keys, locked};
use crate::errors::SqsError;
use crate::keys::VERSION;

/// Leases that are read at once.
const LEASES: usize = 2_000;

impl Messages {
    /// A queue's ledger.
    pub(super) fn ledger(&self, queue: u64) -> Result<row::Ledger, SqsError> {
        let Some(row) = self.store.get(&keys::ledger(queue))? else { return Ok(row::Ledger::default()) };
        Ok(decoded(value::decode(VERSION, &row))?)
    }

    /// Reads what a picture lacks at all: its leases.
    pub(super) async fn load(&self, queue: u64, picture: &Picture) -> Result<(), SqsError> {
        if locked(&picture.state).is_loaded {
            return Ok(());
        }
        let _reader = picture.reader.lock().await;
        {
            let mut state = locked(&picture.state);
            if state.is_loaded {
                return Ok(());
            }
            state.begin_reading();
        }
        let now = self.clock.now();
        let ledger = self.ledger(queue)?;
        let leases = self.hidden(queue, ledger.low, now)?;
        locked(&picture.state).load(ledger.low, leases, now);
        Ok(())
    }

    /// The leases that hide something. The others are read with their messages.
    fn hidden(&self, queue: u64, low: u64, now: Timestamp) -> Result<Vec<(u64, Lease)>, SqsError> {
        let snapshot = self.store.snapshot()?;
        let mut hidden = Vec::new();
        let mut from = low;
        loop {
            let rows = snapshot.range(keys::leases_from(queue, from).limit(LEASES))?;
            let is_full = rows.len() == LEASES;
            for (key, row) in rows {
                let seq = keys::seq_of(&key);
                let lease: Lease = decoded(value::decode(VERSION, &row))?;
                if lease.until > now {
                    hidden.push((seq, lease));
                }
                from = seq + 1;
            }
            if !is_full {
                return Ok(hidden);
            }
        }
    }

    /// Reads the next page of messages, unless somebody else just did.
    pub(super) async fn read_on(&self, queue: u64, picture: &Picture) -> Result<(), SqsError> {
        let before = locked(&picture.state).next_page();
        let _reader = picture.reader.lock().await;
        let Some((from, limit)) = ({
            let mut state = locked(&picture.state);
            let page = state.next_page();
            if page.map(|(from, _)| from) != before.map(|(from, _)| from) {
                return Ok(());
            }
            if page.is_some() {
                state.begin_reading();
            }
            page
        }) else {
            return Ok(());
        };
        let snapshot = self.store.snapshot()?;
        let rows = snapshot.range(keys::messages_from(queue, from).limit(limit))?;
        let ends = rows.first().zip(rows.last());
        let leases = match ends {
            Some(((first, _), (last, _))) => {
                let (first, last) = (keys::seq_of(first), keys::seq_of(last));
                snapshot.range(keys::leases_within(queue, first, last))?
            }
            None => Vec::new(),
        };
        let is_full = rows.len() == limit;
        let bytes = rows.iter().map(|(_, row)| row.len()).sum();
        let mut leases = leases.into_iter().peekable();
        let mut page = Vec::with_capacity(rows.len());
        for (key, row) in rows {
            let seq = keys::seq_of(&key);
            let lease = leases.next_if(|(key, _)| keys::seq_of(key) == seq);
            let lease = lease.map(|(_, row)| decoded(value::decode(VERSION, &row))).transpose()?;
            page.push(self.arrival(seq, decoded(row::decode(&row))?, lease));
        }
        let now = self.clock.now();
        locked(&picture.state).read(page, bytes, is_full, now);
        Ok(())
    }

    fn arrival(&self, seq: u64, row: Row, lease: Option<Lease>) -> Arrival {
        let Row { head, content } = row;
        let (sent_at, bytes) = (head.sent_at, head.bytes);
        let group = head.group.as_deref().map(Arc::from);
        let pieces = Some(content.pieces());
        let held = match content {
            Place::Here(content) => Held::new(&Arc::new(Message { head, content }), &self.room),
            Place::Pieces { .. } => None,
        };
        Arrival { seq, sent_at, group, held, lease, bytes, pieces }
    }

    /// Reads a message. `None`: it is not there any more.
    pub(super) fn message(&self, queue: u64, seq: u64) -> Result<Option<Arc<Message>>, SqsError> {
        let Some(row) = self.store.get(&keys::message(queue, seq))? else { return Ok(None) };
        let Row { head, content } = decoded(row::decode(&row))?;
        let content = match content {
            Place::Here(content) => Some(content),
            Place::Pieces { count } => self.content(queue, seq, count)?,
        };
        Ok(content.map(|content| Arc::new(Message { head, content })))
    }

    pub(super) fn content(&self, queue: u64, seq: u64, pieces: u32) -> Result<Option<Content>, SqsError> {
        let mut whole = Vec::new();
        for number in 0..pieces {
            // A piece that is missing was deleted, and its message with it.
            let Some(piece) = self.store.get(&keys::chunk(queue, seq, number))? else { return Ok(None) };
            whole.extend_from_slice(&piece);
        }
        Ok(Some(decoded(row::join(&whole))?))
    }

    /// Messages from `seq` on, for a look without a receive.
    pub(super) fn rows(&self, queue: u64, seq: u64, limit: usize) -> Result<Vec<(u64, Row)>, SqsError> {
        let range: Range = keys::messages_from(queue, seq).limit(limit);
        let rows = self.store.range(range)?;
        rows.into_iter().map(|(key, row)| Ok((keys::seq_of(&key), decoded(row::decode(&row))?))).collect()
    }

    pub(super) fn lease_row(&self, queue: u64, seq: u64) -> Result<Option<Lease>, SqsError> {
        let row = self.store.get(&keys::lease(queue, seq))?;
        Ok(row.map(|row| decoded(value::decode(VERSION, &row))).transpose()?)
    }
}

/// A row that does not fit its type is a fault of the store.
fn decoded<T>(read: Result<T, store::ValueError>) -> Result<T, store::TxError> {
    read.map_err(store::TxError::from)
}

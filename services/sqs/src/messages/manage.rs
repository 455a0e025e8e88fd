//! What a queue's owner does with its messages: counts them, purges them, moves them elsewhere, looks at them.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::row::{AttributeValue, Place, Row};
use super::writer::{Change, Delete, Destination, Move, Outcome, Reason};
use super::{Messages, Picture, locked};
use crate::errors::SqsError;
use crate::queue::Queue;

/// Messages that are looked at together when the expired ones are sought.
const PAGE: usize = 128;

/// How many messages a queue has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// That may be received.
    pub visible: u64,
    /// That were received and not deleted, and are hidden still.
    pub in_flight: u64,
    /// That were sent with a delay which is not over.
    pub delayed: u64,
}

/// What one step of a move did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) moved: u64,
    /// Visible messages that are there still.
    pub(crate) left: u64,
}

/// A message as a look without a receive sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Peeked {
    /// The message's id.
    pub message_id: String,
    /// Its place in the queue: what `after` takes for the next page.
    pub position: u64,
    /// The body.
    pub body: String,
    /// Its attributes, in the order of their names.
    pub attributes: Vec<PeekedAttribute>,
    /// When it was sent, in milliseconds since the epoch.
    pub sent_at_ms: i64,
    /// Who sent it: the principal's unique id.
    pub sender_id: String,
    /// What became of it so far.
    pub state: PeekedState,
    /// Until when it is hidden, in milliseconds since the epoch.
    pub hidden_until_ms: Option<i64>,
    /// How often it was received, in all queues that it was in.
    pub receive_count: u32,
    /// When it was first received in this queue, in milliseconds since the epoch.
    pub first_received_at_ms: Option<i64>,
    /// Its message group.
    pub group_id: Option<String>,
    /// Its deduplication id, in a FIFO queue.
    pub deduplication_id: Option<String>,
    /// The ARN of the queue that it came from, in a dead-letter queue.
    pub dead_letter_source_arn: Option<String>,
}

/// Whether a message may be received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum PeekedState {
    /// It may be received.
    Visible,
    /// Somebody received it and has not deleted it.
    InFlight,
    /// Its delay is not over.
    Delayed,
}

/// A message attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PeekedAttribute {
    /// Its name.
    pub name: String,
    /// Its type, such as `String` or `Number.int`.
    pub data_type: String,
    /// Its value, if that is text.
    pub string_value: Option<String>,
    /// Its value as base64, if that is bytes.
    pub binary_value: Option<String>,
}

impl Messages {
    /// How many messages there are. True when nothing is under way; otherwise of some moment just past.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub(crate) async fn counts(self: &Arc<Self>, queue: &Queue) -> Result<Counts, SqsError> {
        let picture = self.picture(queue);
        self.load(queue.uid, &picture).await?;
        self.expire(queue, &picture).await?;
        let total = self.ledger(queue.uid)?.total;
        let mut state = locked(&picture.state);
        state.release_due(self.clock.now());
        let (in_flight, delayed) = (state.in_flight() as u64, state.delayed() as u64);
        self.look_after(queue.uid, &mut state);
        Ok(Counts { visible: total.saturating_sub(in_flight + delayed), in_flight, delayed })
    }

    /// Takes messages past their retention away from the queue's head. Those behind one that stays are found when they
    /// are to be received.
    pub(super) async fn expire(self: &Arc<Self>, queue: &Queue, picture: &Picture) -> Result<(), SqsError> {
        let retention_ms = i64::from(queue.attributes.retention_s) * 1000;
        let mut limit = 1;
        let mut from = self.ledger(queue.uid)?.low;
        loop {
            let now = self.clock.now();
            let rows = self.rows(queue.uid, from, limit)?;
            let is_full = rows.len() == limit;
            let is_expired = |row: &Row| row.head.sent_at.0.saturating_add(retention_ms) <= now.0;
            let expired: Vec<u64> =
                rows.iter().take_while(|(_, row)| is_expired(row)).map(|(seq, _)| *seq).collect();
            let Some(last) = expired.last().copied() else { return Ok(()) };
            let goes_on = is_full && expired.len() == rows.len();
            let written = {
                let mut state = locked(&picture.state);
                let low = state.low();
                let delete = |seq| {
                    let exit = state.see_off(seq);
                    Change::Delete(Delete {
                        queue: queue.uid,
                        seq,
                        nonce: None,
                        refuse_run_out: false,
                        has_lease_row: exit.is_none_or(|exit| exit.has_lease_row),
                        pieces: exit.and_then(|exit| exit.pieces),
                        low,
                    })
                };
                self.write(expired.into_iter().map(delete).collect())
            };
            written.wait().await?;
            if !goes_on {
                return Ok(());
            }
            (from, limit) = (last + 1, PAGE);
        }
    }

    /// Takes all messages away that are there now. It is on disk when this is done; rows are cleared afterwards.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) async fn purge(self: &Arc<Self>, queue: &Queue) -> Result<(), SqsError> {
        self.write(vec![Change::Purge { queue: queue.uid }]).wait().await?;
        self.clear_soon(queue.uid);
        Ok(())
    }

    /// The queue was deleted: its messages are cleared, also after a crash. Whoever waits for some gets nothing.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) async fn forget(self: &Arc<Self>, queue: &Queue) -> Result<(), SqsError> {
        self.write(vec![Change::Forget { queue: queue.uid }]).wait().await?;
        if let Some(picture) = locked(&self.pictures).remove(&queue.uid) {
            locked(&picture.state).waiters.clear();
        }
        self.clear_soon(queue.uid);
        Ok(())
    }

    /// One step of a move: up to `limit` visible messages go to another queue, or (`None`) each to the queue that it came
    /// from. They are new messages there, with ids of their own, as AWS has it. What this says is moved is on disk. A
    /// message that has nowhere to go stays; when none has, nothing is moved and something is left.
    ///
    /// # Errors
    /// When nothing can be read or written.
    pub(crate) async fn move_messages(
        self: &Arc<Self>,
        from: &Queue,
        to: Option<&Queue>,
        limit: usize,
    ) -> Result<Moved, SqsError> {
        let picture = self.picture(from);
        self.load(from.uid, &picture).await?;
        let exits = loop {
            let (exits, wants_reading) = {
                let mut state = locked(&picture.state);
                state.release_due(self.clock.now());
                (state.send_away(limit), state.wants_reading())
            };
            if !exits.is_empty() || !wants_reading {
                break exits;
            }
            self.read_on(from.uid, &picture).await?;
        };
        let destination = match to {
            Some(to) => Destination::Queue { queue: to.uid, is_fifo: to.is_fifo() },
            None => Destination::Source,
        };
        let moves = exits.into_iter().map(|exit| {
            self.write(vec![Change::Move(Move {
                from: from.uid,
                seq: exit.seq,
                to: destination.clone(),
                reason: Reason::Redrive { id: *uuid::Uuid::new_v4().as_bytes() },
                count: exit.count,
                bytes: exit.bytes,
            })])
        });
        let moves: Vec<_> = moves.collect();
        let (mut moved, mut has_nowhere_to_go) = (0, false);
        for written in moves {
            for outcome in written.wait().await? {
                moved += u64::from(matches!(outcome, Outcome::Moved { .. }));
                has_nowhere_to_go |= matches!(outcome, Outcome::NoDestination);
            }
        }
        if moved == 0 && !has_nowhere_to_go {
            // What a group holds back is not to be moved now.
            return Ok(Moved::default());
        }
        Ok(Moved { moved, left: self.counts(from).await?.visible })
    }

    /// Looks at messages without receiving them, oldest first; `after`: the position of the last one seen.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn peek(
        self: &Arc<Self>,
        queue: &Queue,
        limit: usize,
        after: Option<u64>,
    ) -> Result<Vec<Peeked>, SqsError> {
        let picture = self.picture(queue);
        self.load(queue.uid, &picture).await?;
        self.expire(queue, &picture).await?;
        let now = self.clock.now();
        let low = self.ledger(queue.uid)?.low;
        let from = after.map_or(low, |after| low.max(after.saturating_add(1)));
        let mut peeked = Vec::new();
        for (seq, row) in self.rows(queue.uid, from, limit)? {
            let lease = self.lease_row(queue.uid, seq)?;
            let Row { head, content } = row;
            let content = match content {
                Place::Here(content) => Some(content),
                Place::Pieces { count } => self.content(queue.uid, seq, count)?,
            };
            let Some(content) = content else { continue };
            let glimpse = {
                let mut state = locked(&picture.state);
                state.release_due(now);
                state.glimpse(seq)
            };
            let state = match &glimpse {
                Some(glimpse) if glimpse.is_delayed => PeekedState::Delayed,
                Some(glimpse) if glimpse.is_out => PeekedState::InFlight,
                _ => PeekedState::Visible,
            };
            let (count, first) = match (&glimpse, &lease) {
                (Some(glimpse), _) => (glimpse.count, glimpse.first_received_at),
                (None, Some(lease)) => (lease.count, lease.first_received_at),
                (None, None) => (0, now),
            };
            let attributes = content.attributes.into_iter().map(|(name, attribute)| {
                let (string_value, binary_value) = match attribute.value {
                    AttributeValue::Text(text) => (Some(text), None),
                    AttributeValue::Binary(bytes) => (None, Some(STANDARD.encode(&bytes.0))),
                };
                PeekedAttribute { name, data_type: attribute.data_type, string_value, binary_value }
            });
            peeked.push(Peeked {
                message_id: super::row::id_text(head.id),
                position: seq,
                body: content.body,
                attributes: attributes.collect(),
                sent_at_ms: head.sent_at.0,
                sender_id: head.sender,
                state,
                hidden_until_ms: glimpse
                    .filter(|_| state != PeekedState::Visible)
                    .map(|glimpse| glimpse.until.0),
                receive_count: count.saturating_add(head.received_before),
                first_received_at_ms: (count > 0).then_some(first.0),
                group_id: head.group,
                deduplication_id: head.deduplication_id,
                dead_letter_source_arn: head.source_arn,
            });
        }
        Ok(peeked)
    }

    /// Notes in a transaction that a queue is deleted, so that its messages go even if the server ends right after.
    /// [`Messages::forget`] is to be called when it is committed.
    pub(crate) fn note_forgotten(tx: &mut dyn store::Tx, queue: &Queue) -> Result<(), store::TxError> {
        super::writer::note_forgotten(tx, queue.uid)
    }
}

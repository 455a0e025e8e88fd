//! How changes of messages reach the disk: all queues share one writer, and what comes together is one transaction.
//!
//! Whoever wants something written hands in a ticket and gets the outcome when it is on disk. One task at a time takes
//! the tickets that are there, writes them, brings the pictures of the queues up to date in the order of the writing, and
//! answers. It exists only while there is something to write. As every change goes this way, what a picture says is never
//! ahead of the disk, and messages arrive in the order of their numbers.
//!
//! A message's number is the transaction's stamp and its place within the transaction: it grows over all queues.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use base::Timestamp;
use bytes::Bytes;
use store::{Tx, TxError, value};
use tokio::sync::oneshot;

use super::keys;
use super::ready::Group;
use super::row::{self, Lease, Ledger, Message, Seen};
use super::state::{Arrival, Held};
use super::{Messages, locked};
use crate::errors::SqsError;
use crate::keys::{Scope, VERSION};
use crate::queue::Queue;

/// Bytes that are taken into one transaction; one ticket may have more.
const BATCH_BYTES: usize = 768 * 1024;
/// What a change writes beside its values, in bytes, about.
const CHANGE_BYTES: usize = 128;
/// A transaction's stamp leaves so many bits for the place within it.
const PLACE_BITS: u32 = 20;
/// The most changes in one transaction.
const BATCH_CHANGES: usize = 4_096;

/// A change.
pub(super) enum Change {
    Send(Send),
    Delete(Delete),
    Lease { queue: u64, seq: u64, lease: Lease },
    Move(Move),
    Purge { queue: u64 },
    Forget { queue: u64 },
}

pub(super) struct Send {
    pub(super) queue: u64,
    pub(super) message: Arc<Message>,
    pub(super) row: Vec<u8>,
    pub(super) pieces: Vec<Bytes>,
    /// What another message must not have had in the last five minutes.
    pub(super) deduplicate: Option<[u8; 16]>,
    pub(super) delay_until: Option<Timestamp>,
}

pub(super) struct Delete {
    pub(super) queue: u64,
    pub(super) seq: u64,
    /// The receive that it was deleted by: one that came later keeps the message.
    pub(super) nonce: Option<u64>,
    /// Refuses a receive whose lease has run out.
    pub(super) refuse_run_out: bool,
    pub(super) has_lease_row: bool,
    /// In how many rows of its own the content lies, if that is known.
    pub(super) pieces: Option<u32>,
    /// No message of the queue has a lower number.
    pub(super) low: u64,
}

/// A message goes to another queue.
pub(super) struct Move {
    pub(super) from: u64,
    pub(super) seq: u64,
    pub(super) to: Destination,
    pub(super) reason: Reason,
    /// Receives in the queue that it leaves.
    pub(super) count: u32,
    /// Size of its content, or the largest.
    pub(super) bytes: u32,
}

#[derive(Clone, Debug)]
pub(super) enum Destination {
    Queue {
        queue: u64,
        is_fifo: bool,
    },
    /// The queue that the message came from.
    Source,
}

#[derive(Clone, Debug)]
pub(super) enum Reason {
    /// It was received too often in the queue with this ARN.
    ReceivedTooOften { source_arn: Arc<str> },
    /// Somebody had it moved: it is a new message there, with this id.
    Redrive { id: [u8; 16] },
}

/// What became of a change.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Sent {
        seq: u64,
    },
    /// The message was sent before.
    Duplicate {
        seq: u64,
        id: [u8; 16],
    },
    Deleted,
    /// The message is not there any more.
    Nothing,
    /// The message was received again since, and stays.
    Kept,
    /// The lease had run out.
    RunOut,
    Leased,
    Moved {
        to: u64,
        seq: u64,
        sent_at: Timestamp,
        group: Option<String>,
    },
    /// There is no queue for it to go to.
    NoDestination,
    Purged {
        below: u64,
    },
    NoQueue,
}

type Outcomes = Vec<Outcome>;
type Reply = oneshot::Sender<Result<Outcomes, SqsError>>;

/// Changes of one caller; they are one transaction.
pub(super) struct Ticket {
    changes: Vec<Change>,
    bytes: usize,
    reply: Reply,
}

#[derive(Default)]
pub(super) struct Pending {
    pub(super) tickets: VecDeque<Ticket>,
    is_running: bool,
}

#[cfg(test)]
impl Pending {
    /// Whether anything is on its way to the store.
    pub(super) fn is_running(&self) -> bool {
        self.is_running
    }

    /// Forgets what was handed in.
    pub(super) fn clear(&mut self) {
        self.tickets.clear();
    }
}

impl Change {
    fn bytes(&self) -> usize {
        CHANGE_BYTES
            + match self {
                Change::Send(send) => send.row.len() + send.pieces.iter().map(Bytes::len).sum::<usize>(),
                Change::Move(moved) => usize::try_from(moved.bytes).unwrap_or(0) + 1024,
                Change::Lease { lease, .. } => lease.group.as_ref().map_or(0, String::len),
                Change::Delete(_) | Change::Purge { .. } | Change::Forget { .. } => 0,
            }
    }
}

/// The outcome of what was handed in.
pub(super) struct Written(oneshot::Receiver<Result<Outcomes, SqsError>>);

impl Written {
    /// One outcome for each change.
    ///
    /// # Errors
    /// When it could not be written.
    pub(super) async fn wait(self) -> Result<Outcomes, SqsError> {
        self.0.await.unwrap_or_else(|_| Err(SqsError::Lost("the writer ended early".into())))
    }
}

impl Messages {
    /// Hands in changes to be written together.
    pub(super) fn write(self: &Arc<Self>, changes: Vec<Change>) -> Written {
        let (reply, outcome) = oneshot::channel();
        let bytes = changes.iter().map(Change::bytes).sum();
        let mut pending = locked(&self.pending);
        pending.tickets.push_back(Ticket { changes, bytes, reply });
        if !pending.is_running {
            pending.is_running = true;
            tokio::spawn(Arc::clone(self).run_writer());
        }
        Written(outcome)
    }

    async fn run_writer(self: Arc<Self>) {
        loop {
            // One publish to many queues is one transaction.
            self.store.gathered().await;
            let tickets = next_batch(&mut locked(&self.pending));
            if tickets.is_empty() {
                return;
            }
            let (changes, replies): (Vec<_>, Vec<_>) =
                tickets.into_iter().map(|ticket| (ticket.changes, ticket.reply)).unzip();
            self.write_batch(Arc::new(changes), replies).await;
        }
    }

    async fn write_batch(self: &Arc<Self>, batch: Arc<Vec<Vec<Change>>>, replies: Vec<Reply>) {
        let now = self.clock.now();
        let work = Arc::clone(&batch);
        let written = self.store.transact(move |tx| write_all(tx, &work, now)).await;
        match written {
            Ok(outcomes) => {
                self.bring_up_to_date(&batch, &outcomes, now);
                for (reply, outcomes) in replies.into_iter().zip(outcomes) {
                    // Whoever does not wait does not want to know.
                    let _ = reply.send(Ok(outcomes));
                }
            }
            Err(error) => {
                let why: Arc<str> = error.to_string().into();
                tracing::error!(error = %why, "sqs_changes_lost");
                // The store takes nothing any more, or the changes were not as they must be.
                for reply in replies {
                    let _ = reply.send(Err(SqsError::Lost(Arc::clone(&why))));
                }
            }
        }
    }

    /// Tells the pictures of the queues what was written, in its order, and hands out what has arrived.
    fn bring_up_to_date(self: &Arc<Self>, batch: &[Vec<Change>], outcomes: &[Outcomes], now: Timestamp) {
        let mut touched: Vec<u64> = Vec::new();
        for (change, outcome) in batch.iter().flatten().zip(outcomes.iter().flatten()) {
            let queue = change.queue();
            self.with_picture(queue, |state| match (change, outcome) {
                (Change::Send(send), Outcome::Sent { seq }) => {
                    state.arrive(send.arrival(*seq, &self.room), now);
                }
                (Change::Delete(delete), Outcome::Deleted | Outcome::Nothing) => state.leave(delete.seq),
                (Change::Delete(delete), _) => state.call_back(delete.seq),
                (Change::Lease { seq, lease, .. }, _) => state.lease_written(*seq, lease),
                (Change::Move(moved), Outcome::Moved { .. } | Outcome::Nothing) => state.leave(moved.seq),
                (Change::Move(moved), _) => state.call_back(moved.seq),
                (Change::Purge { .. } | Change::Forget { .. }, Outcome::Purged { below }) => {
                    state.purge(*below)
                }
                _ => {}
            });
            note(&mut touched, queue);
            if let Outcome::Moved { to, seq, sent_at, group } = outcome {
                let group: Group = group.as_deref().map(Arc::from);
                let bytes = change.content_bytes();
                let arrival = Arrival {
                    seq: *seq,
                    sent_at: *sent_at,
                    group,
                    held: None,
                    lease: None,
                    bytes,
                    pieces: None,
                };
                self.with_picture(*to, |state| state.arrive(arrival, now));
                note(&mut touched, *to);
            }
        }
        touched.into_iter().for_each(|queue| self.serve(queue));
    }
}

fn note(touched: &mut Vec<u64>, queue: u64) {
    if !touched.contains(&queue) {
        touched.push(queue);
    }
}

/// The tickets of the next transaction; when there are none, the writer has ended.
fn next_batch(pending: &mut Pending) -> Vec<Ticket> {
    let (mut bytes, mut changes) = (0, 0);
    let mut tickets = Vec::new();
    while let Some(next) = pending.tickets.front() {
        bytes += next.bytes;
        changes += next.changes.len();
        if !tickets.is_empty() && (bytes > BATCH_BYTES || changes > BATCH_CHANGES) {
            break;
        }
        tickets.extend(pending.tickets.pop_front());
    }
    pending.is_running = !tickets.is_empty();
    tickets
}

impl Send {
    fn arrival(&self, seq: u64, room: &Arc<std::sync::atomic::AtomicUsize>) -> Arrival {
        let head = &self.message.head;
        Arrival {
            seq,
            sent_at: head.sent_at,
            group: head.group.as_deref().map(Arc::from),
            held: Held::new(&self.message, room),
            lease: self.delay(),
            bytes: head.bytes,
            pieces: u32::try_from(self.pieces.len()).ok(),
        }
    }

    /// The lease that hides a delayed message.
    fn delay(&self) -> Option<Lease> {
        let until = self.delay_until?;
        let group = self.message.head.group.clone();
        Some(Lease { until, count: 0, first_received_at: Timestamp(0), nonce: 0, group })
    }
}

// --- Within the transaction -----------------------------------------------------------------------------------------

/// The ledgers of the queues that a transaction touches.
#[derive(Default)]
struct Books {
    ledgers: BTreeMap<u64, (Ledger, Ledger)>,
}

impl Books {
    fn of(&mut self, tx: &dyn Tx, queue: u64) -> Result<&mut Ledger, TxError> {
        let (_, now) = match self.ledgers.entry(queue) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let ledger = match tx.get(&keys::ledger(queue))? {
                    Some(row) => value::decode(VERSION, &row)?,
                    None => Ledger::default(),
                };
                unknown.insert((ledger, ledger))
            }
        };
        Ok(now)
    }

    fn close(self, tx: &mut dyn Tx) -> Result<(), TxError> {
        for (queue, (before, after)) in self.ledgers {
            if before != after {
                tx.put(keys::ledger(queue).build(), value::encode(VERSION, &after))?;
            }
        }
        Ok(())
    }
}

fn write_all(tx: &mut dyn Tx, batch: &[Vec<Change>], now: Timestamp) -> Result<Vec<Outcomes>, TxError> {
    let first = tx.version_stamp()? << PLACE_BITS;
    let mut books = Books::default();
    let mut writing = Writing { tx, books: &mut books, next: first, now };
    let mut all = Vec::with_capacity(batch.len());
    for ticket in batch {
        all.push(ticket.iter().map(|change| writing.write(change)).collect::<Result<Outcomes, TxError>>()?);
    }
    books.close(tx)?;
    Ok(all)
}

struct Writing<'a> {
    tx: &'a mut dyn Tx,
    books: &'a mut Books,
    /// The next message's number.
    next: u64,
    now: Timestamp,
}

impl Writing<'_> {
    fn write(&mut self, change: &Change) -> Result<Outcome, TxError> {
        let ledger = *self.books.of(self.tx, change.queue())?;
        if ledger.gone {
            return Ok(Outcome::NoQueue);
        }
        if change.seq().is_some_and(|seq| seq < ledger.purged) {
            return Ok(Outcome::Nothing);
        }
        match change {
            Change::Send(send) => self.send(send),
            Change::Delete(delete) => self.delete(delete),
            Change::Lease { queue, seq, lease } => {
                self.tx.put(keys::lease(*queue, *seq).build(), value::encode(VERSION, lease))?;
                Ok(Outcome::Leased)
            }
            Change::Move(moved) => self.relocate(moved),
            Change::Purge { queue } => self.purge(*queue, false),
            Change::Forget { queue } => self.purge(*queue, true),
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    fn send(&mut self, send: &Send) -> Result<Outcome, TxError> {
        if let Some(hash) = &send.deduplicate
            && let Some(seen) = self.seen(send.queue, hash)?
        {
            return Ok(Outcome::Duplicate { seq: seen.seq, id: seen.id });
        }
        let seq = self.number();
        if let Some(hash) = &send.deduplicate {
            let seen = Seen { seq, id: send.message.head.id, at: self.now };
            let key = keys::seen(keys::period(self.now.0), send.queue, hash);
            self.tx.put(key.build(), value::encode(VERSION, &seen))?;
        }
        self.put(send.queue, seq, send.row.clone(), &send.pieces)?;
        if let Some(lease) = send.delay() {
            self.tx.put(keys::lease(send.queue, seq).build(), value::encode(VERSION, &lease))?;
        }
        Ok(Outcome::Sent { seq })
    }

    /// The message that had this deduplication id in the last five minutes.
    fn seen(&mut self, queue: u64, hash: &[u8; 16]) -> Result<Option<Seen>, TxError> {
        let period = keys::period(self.now.0);
        for period in [period, period.saturating_sub(1)] {
            if let Some(row) = self.tx.get(&keys::seen(period, queue, hash))? {
                let seen: Seen = value::decode(VERSION, &row)?;
                if seen.at.0 + keys::DEDUPLICATION_MS > self.now.0 {
                    return Ok(Some(seen));
                }
            }
        }
        Ok(None)
    }

    fn put(&mut self, queue: u64, seq: u64, row: Vec<u8>, pieces: &[Bytes]) -> Result<(), TxError> {
        self.tx.put(keys::message(queue, seq).build(), row)?;
        for (piece, number) in pieces.iter().zip(0..) {
            self.tx.put(keys::chunk(queue, seq, number).build(), piece.to_vec())?;
        }
        self.books.of(self.tx, queue)?.total += 1;
        Ok(())
    }

    /// Removes a message whose row is known.
    fn remove(&mut self, queue: u64, seq: u64, pieces: u32, has_lease_row: bool) -> Result<(), TxError> {
        self.tx.delete(&keys::message(queue, seq))?;
        for number in 0..pieces {
            self.tx.delete(&keys::chunk(queue, seq, number))?;
        }
        if has_lease_row {
            self.tx.delete(&keys::lease(queue, seq))?;
        }
        let ledger = self.books.of(self.tx, queue)?;
        ledger.total = ledger.total.saturating_sub(1);
        Ok(())
    }

    fn delete(&mut self, delete: &Delete) -> Result<Outcome, TxError> {
        let Delete { queue, seq, .. } = *delete;
        let ledger = self.books.of(self.tx, queue)?;
        ledger.low = ledger.low.max(delete.low);
        let Some(row) = self.tx.get(&keys::message(queue, seq))? else { return Ok(Outcome::Nothing) };
        if let Some(nonce) = delete.nonce
            && let Some(lease) = self.tx.get(&keys::lease(queue, seq))?
        {
            let lease: Lease = value::decode(VERSION, &lease)?;
            if lease.nonce > nonce {
                // It stays, and the caller hears no complaint.
                return Ok(Outcome::Kept);
            }
            if delete.refuse_run_out && lease.nonce == nonce && lease.until <= self.now {
                return Ok(Outcome::RunOut);
            }
        }
        let pieces = match delete.pieces {
            Some(pieces) => pieces,
            None => row::decode(&row)?.content.pieces(),
        };
        self.remove(queue, seq, pieces, delete.has_lease_row)?;
        Ok(Outcome::Deleted)
    }

    fn relocate(&mut self, moved: &Move) -> Result<Outcome, TxError> {
        let Move { from, seq, count, .. } = *moved;
        let Some(row) = self.tx.get(&keys::message(from, seq))? else { return Ok(Outcome::Nothing) };
        let row = row::decode(&row)?;
        let Some(target) = self.destination(&moved.to, row.head.source_arn.as_deref())? else {
            return Ok(Outcome::NoDestination);
        };
        let Target { queue: to, is_fifo } = target;
        if self.books.of(self.tx, to)?.gone {
            return Ok(Outcome::NoDestination);
        }
        let mut head = row.head.clone();
        match &moved.reason {
            Reason::ReceivedTooOften { source_arn } => {
                head.source_arn = Some(source_arn.to_string());
                head.received_before = head.received_before.saturating_add(count);
                if is_fifo {
                    head.sent_at = self.now;
                    head.deduplication_id = Some(row::id_text(head.id));
                }
            }
            Reason::Redrive { id } => {
                (head.id, head.sent_at) = (*id, self.now);
                (head.source_arn, head.received_before) = (None, 0);
            }
        }
        let mut pieces = Vec::new();
        for number in 0..row.content.pieces() {
            let piece = self.tx.get(&keys::chunk(from, seq, number))?.unwrap_or_default();
            pieces.push(piece);
        }
        let there = self.number();
        self.put(to, there, row::encode_again(&head, &row.content), &pieces)?;
        self.remove(from, seq, row.content.pieces(), true)?;
        Ok(Outcome::Moved { to, seq: there, sent_at: head.sent_at, group: head.group })
    }

    fn destination(&mut self, to: &Destination, source_arn: Option<&str>) -> Result<Option<Target>, TxError> {
        match to {
            Destination::Queue { queue, is_fifo } => Ok(Some(Target { queue: *queue, is_fifo: *is_fifo })),
            Destination::Source => {
                let Some((scope, name)) = source_arn.and_then(Scope::of_arn) else { return Ok(None) };
                let Some(row) = self.tx.get(&crate::keys::queue(&scope, name))? else { return Ok(None) };
                let queue: Queue = value::decode(VERSION, &row)?;
                Ok(Some(Target { queue: queue.uid, is_fifo: queue.is_fifo() }))
            }
        }
    }

    /// Takes everything that is there now away from sight; the rows are cleared later.
    fn purge(&mut self, queue: u64, is_gone: bool) -> Result<Outcome, TxError> {
        let below = if is_gone { u64::MAX } else { self.number() };
        let ledger = self.books.of(self.tx, queue)?;
        *ledger = Ledger { total: 0, low: below, purged: below, gone: is_gone };
        self.tx.put(keys::clearing(queue).build(), value::encode(VERSION, &below))?;
        Ok(Outcome::Purged { below })
    }
}

/// Notes that a queue is deleted: nothing is written for it any more, and what there is will be cleared.
pub(super) fn note_forgotten(tx: &mut dyn Tx, queue: u64) -> Result<(), TxError> {
    let gone = Ledger { total: 0, low: u64::MAX, purged: u64::MAX, gone: true };
    tx.put(keys::ledger(queue).build(), value::encode(VERSION, &gone))?;
    tx.put(keys::clearing(queue).build(), value::encode(VERSION, &u64::MAX))
}

struct Target {
    queue: u64,
    is_fifo: bool,
}

impl Change {
    fn queue(&self) -> u64 {
        match self {
            Change::Send(send) => send.queue,
            Change::Delete(delete) => delete.queue,
            Change::Move(moved) => moved.from,
            Change::Lease { queue, .. } | Change::Purge { queue } | Change::Forget { queue } => *queue,
        }
    }

    /// The message that must be there for it.
    fn seq(&self) -> Option<u64> {
        match self {
            Change::Delete(delete) => Some(delete.seq),
            Change::Move(moved) => Some(moved.seq),
            Change::Lease { seq, .. } => Some(*seq),
            Change::Send(_) | Change::Purge { .. } | Change::Forget { .. } => None,
        }
    }

    fn content_bytes(&self) -> u32 {
        if let Change::Move(moved) = self { moved.bytes } else { 0 }
    }
}

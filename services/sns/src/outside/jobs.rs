//! The rows of deliveries that wait: written in the transaction of who publishes, taken away when they are settled.
//!
//! A message is stored once for all targets of a transaction, in pieces (a value of the store is smaller than the
//! largest message), with a count of those who still need it; the last one to settle removes it. Rows are ordered by
//! subscription and, within it, by when they are due: so a subscription's backlog costs nobody else a read.

use std::collections::BTreeSet;

use base::Timestamp;
use serde::{Deserialize, Serialize};
use store::{Store, StoreError, Tx, TxError, value};

use super::Target;
use crate::keys::{self, VERSION};
use crate::message::Published;

/// The most targets of one [`enqueue`]: what fits a transaction beside the largest message.
pub(crate) const MAX_TARGETS: usize = 500;
/// The length of a message's pieces, in bytes.
const PIECE_BYTES: usize = 60 * 1024;

/// One delivery that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) target: Target,
    /// Which stored message.
    pub(crate) message: u64,
    /// How often it was tried.
    pub(crate) attempts: u32,
    /// Delivery was given up, for this reason; what is left to do is to hand it to the dead-letter queue.
    pub(crate) given_up: Option<String>,
}

/// What a transaction added, for [`super::Outside::wake`].
#[derive(Debug, Default)]
#[must_use = "the worker is told of it after the commit"]
pub(crate) struct Enqueued {
    pub(crate) lanes: Vec<String>,
}

/// Adds a message for at most [`MAX_TARGETS`] subscriptions to a transaction.
pub(crate) fn enqueue(
    tx: &mut dyn Tx,
    now: Timestamp,
    published: &Published,
    targets: &[Target],
) -> Result<Enqueued, TxError> {
    debug_assert!(targets.len() <= MAX_TARGETS, "more targets than a transaction takes");
    if targets.is_empty() {
        return Ok(Enqueued::default());
    }
    let message = put_message(tx, published, targets.len())?;
    let mut lanes = BTreeSet::new();
    for (number, target) in targets.iter().enumerate() {
        let job = Job { target: target.clone(), message, attempts: 0, given_up: None };
        let key = keys::job(&target.subscription_arn, now, message, number as u64);
        tx.put(key, value::encode(VERSION, &job))?;
        lanes.insert(target.subscription_arn.clone());
    }
    Ok(Enqueued { lanes: lanes.into_iter().collect() })
}

/// Stores a message; says under which number.
fn put_message(tx: &mut dyn Tx, published: &Published, users: usize) -> Result<u64, TxError> {
    let number = u64::try_from(tx.add(&keys::last_message(), 1)?).unwrap_or_default();
    for (piece, bytes) in value::encode(VERSION, published).chunks(PIECE_BYTES).enumerate() {
        tx.put(keys::message_piece(number, piece as u64), bytes.to_vec())?;
    }
    tx.add(&keys::message_users(number), i64::try_from(users).unwrap_or(i64::MAX))?;
    Ok(number)
}

/// A stored message; `None` when it is gone.
pub(crate) fn read_message(store: &Store, number: u64) -> Result<Option<Published>, StoreError> {
    let mut bytes = Vec::new();
    for (_, piece) in store.range(keys::message_pieces(number).range())? {
        bytes.extend_from_slice(&piece);
    }
    if bytes.is_empty() {
        return Ok(None);
    }
    Ok(Some(value::decode(VERSION, &bytes).map_err(TxError::from)?))
}

/// One delivery less needs the message; the last one removes it.
pub(crate) fn release(tx: &mut dyn Tx, number: u64) -> Result<(), TxError> {
    if tx.add(&keys::message_users(number), -1)? <= 0 {
        let all = keys::message(number).range();
        tx.clear_range(&all.from, &all.to)?;
    }
    Ok(())
}

//! Why messages failed: for each one that a function did not handle, what it said, so that whoever finds it in a
//! dead-letter queue knows. A message keeps its id there.
//!
//! Not a part of AWS's API: the command line asks for it. It is a note and no truth: of those beyond the bound and
//! those older than a message can be, nothing is kept.

use std::time::Duration;

use base::Timestamp;
use serde::{Deserialize, Serialize};
use store::{Store, Tx, TxError, value};

use super::keys;
use crate::error::LambdaError;
use crate::functions::decode;
use crate::keys::V1;

/// So many messages are noted; beyond that the oldest go.
const MOST: u64 = 20_000;
/// The longest that a queue keeps a message.
const KEPT: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// The newest request ids of a message that are kept.
const REQUEST_IDS: usize = 10;
/// What is kept of an error's message.
const MESSAGE_CHARS: usize = 1024;
const TYPE_CHARS: usize = 128;
/// Messages that are noted in one transaction, which may write 1 MiB.
const AT_ONCE: usize = 128;

/// Why a message failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The message's id.
    pub message_id: String,
    /// The queue that it was read from.
    pub source_arn: String,
    /// The function, with its version or alias if the mapping names one.
    pub function_arn: String,
    /// How often it was received until then: the attempts, and what was lost on the way.
    pub attempts: u32,
    /// When it failed first.
    pub first_failed_at: Timestamp,
    /// When it failed lastly.
    pub last_failed_at: Timestamp,
    /// What the last error is called, such as `ValueError` or `Sandbox.Timedout`.
    pub error_type: String,
    /// What the last error says, in at most 1,024 characters.
    pub error_message: String,
    /// The requests in which it failed, the newest last, at most ten.
    pub request_ids: Vec<String>,
}

/// One attempt that failed, for all messages that were in it.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) source_arn: String,
    pub(super) function_arn: String,
    pub(super) at: Timestamp,
    pub(super) error_type: String,
    pub(super) error_message: String,
    pub(super) request_id: String,
}

/// A message of an attempt: its id and how often it was received.
pub(super) type Tried = (String, u32);

/// The notes in a store. Cheap to clone.
#[derive(Clone)]
pub(super) struct Failures {
    store: Store,
}

impl Failures {
    pub(super) fn new(store: Store) -> Self {
        Failures { store }
    }

    /// Why a message failed; `None` when nothing is known of it.
    pub(super) fn get(&self, message_id: &str) -> Result<Option<Failure>, LambdaError> {
        self.store.get(&keys::failed(message_id))?.map(|row| decode(&row)).transpose()
    }

    /// Notes that an attempt failed.
    pub(super) async fn note(&self, attempt: Attempt, tried: &[Tried]) -> Result<(), LambdaError> {
        let attempt = Attempt {
            error_type: attempt.error_type.chars().take(TYPE_CHARS).collect(),
            error_message: attempt.error_message.chars().take(MESSAGE_CHARS).collect(),
            ..attempt
        };
        for part in tried.chunks(AT_ONCE) {
            let (part, attempt) = (part.to_vec(), attempt.clone());
            self.store.transact(move |tx| note_in(tx, &attempt, &part)).await?;
        }
        Ok(())
    }

    /// Forgets messages that were handled after all.
    pub(super) async fn forget(&self, message_ids: Vec<String>) -> Result<(), LambdaError> {
        let mut known = Vec::new();
        for id in message_ids {
            if self.store.get(&keys::failed(&id))?.is_some() {
                known.push(id);
            }
        }
        if known.is_empty() {
            return Ok(());
        }
        let forget = move |tx: &mut dyn Tx| {
            let mut gone = 0;
            for id in &known {
                gone += u64::from(remove(tx, id)?);
            }
            let count = count(tx)?;
            set_count(tx, count.saturating_sub(gone))
        };
        Ok(self.store.transact(forget).await?)
    }
}

fn note_in(tx: &mut dyn Tx, attempt: &Attempt, tried: &[Tried]) -> Result<(), TxError> {
    let mut count = count(tx)?;
    for (message_id, attempts) in tried {
        let key = keys::failed(message_id);
        let known: Option<Failure> = tx.get(&key)?.map(|row| value::decode(V1, &row)).transpose()?;
        let (first_failed_at, mut request_ids) = match known {
            Some(known) => {
                tx.delete(&keys::failed_at(known.last_failed_at.as_millis(), message_id))?;
                (known.first_failed_at, known.request_ids)
            }
            None => {
                count += 1;
                (attempt.at, Vec::new())
            }
        };
        request_ids.push(attempt.request_id.clone());
        let superfluous = request_ids.len().saturating_sub(REQUEST_IDS);
        request_ids.drain(..superfluous);
        let failure = Failure {
            message_id: message_id.clone(),
            source_arn: attempt.source_arn.clone(),
            function_arn: attempt.function_arn.clone(),
            attempts: *attempts,
            first_failed_at,
            last_failed_at: attempt.at,
            error_type: attempt.error_type.clone(),
            error_message: attempt.error_message.clone(),
            request_ids,
        };
        tx.put(key.build(), value::encode(V1, &failure))?;
        tx.put(keys::failed_at(attempt.at.as_millis(), message_id).build(), value::encode(V1, &()))?;
    }
    let count = prune(tx, count, attempt.at)?;
    set_count(tx, count)
}

/// Removes the oldest notes: those beyond the bound, and some of those that are too old.
fn prune(tx: &mut dyn Tx, mut count: u64, now: Timestamp) -> Result<u64, TxError> {
    let oldest = tx.range(keys::all_failed_at().range().limit(2 * AT_ONCE))?;
    for (key, _) in oldest {
        let Some((at_ms, message_id)) = keys::failed_at_of(&key) else { continue };
        if count <= MOST && Timestamp(at_ms).after(KEPT) > now {
            break;
        }
        tx.delete(&key)?;
        tx.delete(&keys::failed(&message_id))?;
        count = count.saturating_sub(1);
    }
    Ok(count)
}

fn remove(tx: &mut dyn Tx, message_id: &str) -> Result<bool, TxError> {
    let key = keys::failed(message_id);
    let Some(row) = tx.get(&key)? else { return Ok(false) };
    let failure: Failure = value::decode(V1, &row)?;
    tx.delete(&keys::failed_at(failure.last_failed_at.as_millis(), message_id))?;
    tx.delete(&key)?;
    Ok(true)
}

fn count(tx: &dyn Tx) -> Result<u64, TxError> {
    Ok(match tx.get(&keys::failed_count())? {
        Some(row) => value::decode(V1, &row)?,
        None => 0,
    })
}

fn set_count(tx: &mut dyn Tx, count: u64) -> Result<(), TxError> {
    tx.put(keys::failed_count().build(), value::encode(V1, &count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(at_ms: i64, request_id: &str) -> Attempt {
        Attempt {
            source_arn: "q".to_owned(),
            function_arn: "f".to_owned(),
            at: Timestamp(at_ms),
            error_type: "ValueError".to_owned(),
            error_message: "x".repeat(5000),
            request_id: request_id.to_owned(),
        }
    }

    fn tried(ids: &[&str], count: u32) -> Vec<Tried> {
        ids.iter().map(|&id| (id.to_owned(), count)).collect()
    }

    #[tokio::test]
    async fn the_last_failure_is_kept_with_all_requests() {
        let failures = Failures::new(Store::in_memory().unwrap());
        for n in 1..=12 {
            let attempt = attempt(1000 * i64::from(n), &format!("r{n}"));
            failures.note(attempt, &tried(&["m", "o"], n)).await.unwrap();
        }
        let failure = failures.get("m").unwrap().unwrap();
        assert_eq!((failure.attempts, failure.error_message.len()), (12, 1024));
        assert_eq!((failure.first_failed_at, failure.last_failed_at), (Timestamp(1000), Timestamp(12_000)));
        assert_eq!(failure.request_ids.len(), 10);
        assert_eq!(failure.request_ids.last().unwrap(), "r12");
        failures.forget(vec!["m".to_owned(), "unknown".to_owned()]).await.unwrap();
        assert_eq!(failures.get("m").unwrap(), None);
        assert!(failures.get("o").unwrap().is_some());
    }

    #[tokio::test]
    async fn old_ones_go_and_there_is_a_bound() {
        let store = Store::in_memory().unwrap();
        let failures = Failures::new(store.clone());
        failures.note(attempt(0, "r"), &tried(&["old"], 1)).await.unwrap();
        let later = i64::try_from(KEPT.as_millis()).unwrap() + 1;
        failures.note(attempt(later, "r"), &tried(&["new"], 1)).await.unwrap();
        assert_eq!(failures.get("old").unwrap(), None);
        assert!(failures.get("new").unwrap().is_some());
        // As if there were as many as may be.
        store.transact(|tx| set_count(tx, MOST)).await.unwrap();
        failures.note(attempt(later + 1, "r"), &tried(&["newest"], 1)).await.unwrap();
        assert_eq!(failures.get("new").unwrap(), None);
        assert!(failures.get("newest").unwrap().is_some());
        assert_eq!(store.range(keys::all_failed_at().range()).unwrap().len(), 1);
    }
}

//! What a receiver does with a message in the end: it deletes it, or changes for how long it is hidden.
//!
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html>,
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html>.

use std::sync::Arc;

use super::handle::{self, Handle};
use super::state::Standing;
use super::writer::{Change, Delete, Outcome, Written};
use super::{Messages, Picture, keys, locked};
use crate::errors::SqsError;
use crate::queue::Queue;

/// The longest that a message is hidden after a receive, in seconds.
pub(crate) const MAX_VISIBILITY_S: i64 = 43_200;

impl Messages {
    /// Deletes messages by their receipt handles, one answer for each. What this says is deleted stays so.
    ///
    /// # Errors
    /// When nothing can be read or written.
    pub(crate) async fn delete(
        self: &Arc<Self>,
        queue: &Queue,
        handles: &[String],
    ) -> Result<Vec<Result<(), SqsError>>, SqsError> {
        let picture = self.picture(queue);
        self.load(queue.uid, &picture).await?;
        let mut changes = Vec::with_capacity(handles.len());
        let mut answers = Vec::with_capacity(handles.len());
        let written = {
            let mut state = locked(&picture.state);
            let now = self.clock.now();
            state.release_due(now);
            for text in handles {
                answers.push(deletion(queue, &mut state, text).map(|change| {
                    let is_change = change.is_some();
                    changes.extend(change);
                    is_change
                }));
            }
            self.look_after(queue.uid, &mut state);
            (!changes.is_empty()).then(|| self.write(changes))
        };
        let outcomes = match written {
            Some(written) => written.wait().await?,
            None => Vec::new(),
        };
        let mut outcomes = outcomes.into_iter();
        let answers = answers.into_iter().zip(handles).map(|(answer, text)| match answer {
            Ok(false) => Ok(()),
            Ok(true) => match outcomes.next() {
                Some(Outcome::RunOut) => Err(run_out(text)),
                _ => Ok(()),
            },
            Err(error) => Err(error),
        });
        Ok(answers.collect())
    }

    /// Changes for how long messages are hidden, from now on, by their receipt handles; one answer for each.
    ///
    /// # Errors
    /// When nothing can be read or written.
    pub(crate) async fn change_visibility(
        self: &Arc<Self>,
        queue: &Queue,
        wishes: &[(String, i64)],
    ) -> Result<Vec<Result<(), SqsError>>, SqsError> {
        let picture = self.picture(queue);
        self.load(queue.uid, &picture).await?;
        let mut answers = Vec::with_capacity(wishes.len());
        let mut all_written = Vec::new();
        for (text, timeout_s) in wishes {
            let answer = self.hide(queue, &picture, text, *timeout_s);
            answers.push(answer.map(|written| all_written.push(written)));
        }
        for written in all_written {
            written.wait().await?;
        }
        self.serve(queue.uid);
        Ok(answers)
    }

    fn hide(
        self: &Arc<Self>,
        queue: &Queue,
        picture: &Picture,
        text: &str,
        timeout_s: i64,
    ) -> Result<Written, SqsError> {
        if !(0..=MAX_VISIBILITY_S).contains(&timeout_s) {
            return Err(SqsError::invalid(format!(
                "Value {timeout_s} for parameter VisibilityTimeout is invalid. Reason: Must be >= 0 and <= \
                 {MAX_VISIBILITY_S}, if provided."
            )));
        }
        let handle = read(queue, text)?;
        let now = self.clock.now();
        let standing = {
            let mut state = locked(&picture.state);
            state.release_due(now);
            let standing = state.look_up(handle.seq, handle.nonce);
            if standing == Standing::Current {
                let timeout_ms = timeout_s * 1000;
                let end_ms = handle::received_at(handle.nonce).0 + MAX_VISIBILITY_S * 1000;
                if now.0 + timeout_ms > end_ms {
                    return Err(SqsError::invalid(format!(
                        "Value {timeout_s} for parameter VisibilityTimeout is invalid. Reason: Total \
                         VisibilityTimeout for the message is beyond the limit [{MAX_VISIBILITY_S} seconds]"
                    )));
                }
                if let Some(lease) = state.change_visibility(handle.seq, now, timeout_ms) {
                    self.look_after(queue.uid, &mut state);
                    let change = Change::Lease { queue: queue.uid, seq: handle.seq, lease };
                    return Ok(self.write(vec![change]));
                }
            }
            standing
        };
        let is_there = match standing {
            Standing::RunOut => true,
            Standing::Unknown => self.store.get(&keys::message(queue.uid, handle.seq))?.is_some(),
            Standing::Current | Standing::Stale | Standing::Leaving => false,
        };
        if is_there {
            return Err(SqsError::other("MessageNotInflight", "The specified message isn't in flight."));
        }
        Err(SqsError::invalid(format!(
            "Value {text} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available \
             for visibility timeout change."
        )))
    }
}

fn read(queue: &Queue, text: &str) -> Result<Handle, SqsError> {
    Handle::decode(text).filter(|handle| handle.queue == queue.uid).ok_or_else(|| {
        SqsError::other(
            "ReceiptHandleIsInvalid",
            format!("The input receipt handle \"{text}\" is not a valid receipt handle."),
        )
    })
}

fn run_out(text: &str) -> SqsError {
    SqsError::invalid(format!(
        "Value {text} for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired."
    ))
}

/// What is to be written for a deletion. `None`: nothing, and the client hears no complaint.
fn deletion(queue: &Queue, state: &mut super::State, text: &str) -> Result<Option<Change>, SqsError> {
    let Handle { seq, nonce, .. } = read(queue, text)?;
    let standing = state.look_up(seq, nonce);
    let nonce = match standing {
        // The message was received again: that receive decides.
        Standing::Stale => return Ok(None),
        Standing::RunOut if queue.is_fifo() => return Err(run_out(text)),
        Standing::Current | Standing::RunOut => None,
        // Its deletion is under way: this one is answered after it.
        Standing::Leaving | Standing::Unknown => Some(nonce),
    };
    let exit = state.see_off(seq);
    let low = state.low();
    Ok(Some(Change::Delete(Delete {
        queue: queue.uid,
        seq,
        nonce,
        refuse_run_out: queue.is_fifo(),
        has_lease_row: exit.is_none_or(|exit| exit.has_lease_row),
        pieces: exit.and_then(|exit| exit.pieces),
        low,
    })))
}

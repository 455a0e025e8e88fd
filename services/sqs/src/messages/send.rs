//! Sending: from what a client sent to messages on disk.
//!
//! FIFO queues: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-exactly-once-processing.html>.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base::Timestamp;
use sha2::{Digest, Sha256};

use super::row::{self, Attribute, Content, Head, Message};
use super::writer::{Change, Outcome, Send};
use super::{Messages, content, keys};
use crate::errors::SqsError;
use crate::queue::Queue;

/// The longest delay, in seconds.
const MAX_DELAY_S: i64 = 900;
/// The longest group or deduplication id, in characters.
const MAX_ID: usize = 128;

/// A message to be sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewMessage {
    pub(crate) body: String,
    /// Checked, in the order of their names.
    pub(crate) attributes: Vec<(String, Attribute)>,
    /// `None`: the queue's.
    pub(crate) delay_s: Option<i64>,
    pub(crate) group: Option<String>,
    pub(crate) deduplication_id: Option<String>,
    pub(crate) trace_header: Option<String>,
    /// The unique id of whoever sends.
    pub(crate) sender: String,
}

/// A message that is on disk; for a duplicate, the first one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) id: String,
    /// Of the body that was sent.
    pub(crate) body_md5: String,
    /// FIFO queues only.
    pub(crate) sequence_number: Option<String>,
}

/// A message's number as clients of FIFO queues see it: 20 digits.
pub(crate) fn sequence_number(seq: u64) -> String {
    format!("{seq:020}")
}

impl Messages {
    /// Sends messages. What this says is sent is on disk.
    ///
    /// # Errors
    /// For each message its own; for all when nothing can be written.
    pub(crate) async fn send(
        self: &Arc<Self>,
        queue: &Queue,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<Result<Sent, SqsError>>, SqsError> {
        let now = self.clock.now();
        let mut changes = Vec::with_capacity(messages.len());
        let mut prepared = Vec::with_capacity(messages.len());
        for message in messages {
            prepared.push(prepare(queue, message, now).map(|send| {
                let digest = content::hex(&send.message.head.body_md5);
                let id = send.message.id();
                changes.push(Change::Send(send));
                (id, digest)
            }));
        }
        let outcomes = if changes.is_empty() { Vec::new() } else { self.write(changes).wait().await? };
        if queue.is_fifo() {
            self.clear_old_ids(now);
        }
        let mut outcomes = outcomes.into_iter();
        let numbered = |seq| queue.is_fifo().then(|| sequence_number(seq));
        let sent = prepared.into_iter().map(|prepared| {
            let (id, body_md5) = prepared?;
            match outcomes.next() {
                Some(Outcome::Sent { seq }) => Ok(Sent { id, body_md5, sequence_number: numbered(seq) }),
                Some(Outcome::Duplicate { seq, id }) => {
                    Ok(Sent { id: row::id_text(id), body_md5, sequence_number: numbered(seq) })
                }
                Some(Outcome::NoQueue) => Err(SqsError::NoQueue),
                other => Err(SqsError::Lost(format!("a send ended as {other:?}").into())),
            }
        });
        Ok(sent.collect())
    }

    /// Clears deduplication ids that have run out, once in a period.
    fn clear_old_ids(self: &Arc<Self>, now: Timestamp) {
        let first = keys::period(now.0).saturating_sub(1);
        if self.cleared_period.fetch_max(first, Ordering::AcqRel) >= first {
            return;
        }
        let store = self.store.clone();
        tokio::spawn(async move {
            let (from, to) = keys::seen_before(first);
            if let Err(error) = store.clear_in_steps(from, to).await {
                tracing::warn!(%error, "sqs_deduplication_ids_not_cleared");
            }
        });
    }
}

/// Checks a message against its queue's rules.
fn prepare(queue: &Queue, new: NewMessage, now: Timestamp) -> Result<Send, SqsError> {
    content::check_body(&new.body)?;
    let limit = queue.attributes.maximum_message_bytes;
    let bytes = u32::try_from(content::size(&new.body, &new.attributes)).unwrap_or(u32::MAX);
    if bytes > limit {
        return Err(SqsError::invalid(format!(
            "One or more parameters are invalid. Reason: Message must be shorter than {limit} bytes."
        )));
    }
    let delay_s = delay(queue, new.delay_s)?;
    if let Some(group) = &new.group {
        check_id("MessageGroupId", group)?;
    }
    let deduplication_id = deduplication_id(queue, &new)?;
    let deduplicate = deduplication_id.as_deref().map(|id| {
        let per_group = queue.attributes.fifo.is_some_and(|fifo| fifo.deduplicate_per_group);
        let group = new.group.as_deref().filter(|_| per_group);
        hash(group.unwrap_or_default(), id)
    });
    let head = Head {
        id: *uuid::Uuid::new_v4().as_bytes(),
        sent_at: now,
        sender: new.sender,
        body_md5: content::md5_of(&new.body),
        group: new.group,
        deduplication_id,
        trace_header: new.trace_header,
        source_arn: None,
        received_before: 0,
        bytes,
    };
    let content = Content { body: new.body, attributes: new.attributes };
    let message = Arc::new(Message { head, content });
    let encoded = row::encode(&message);
    let delay_until = (delay_s > 0).then(|| Timestamp(now.0 + i64::from(delay_s) * 1000));
    Ok(Send { queue: queue.uid, message, row: encoded.row, pieces: encoded.pieces, deduplicate, delay_until })
}

fn delay(queue: &Queue, wanted_s: Option<i64>) -> Result<u32, SqsError> {
    let Some(wanted_s) = wanted_s else { return Ok(queue.attributes.delay_s) };
    if !(0..=MAX_DELAY_S).contains(&wanted_s) {
        return Err(SqsError::invalid(format!(
            "Value {wanted_s} for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= \
             {MAX_DELAY_S}."
        )));
    }
    if queue.is_fifo() && wanted_s != 0 {
        return Err(SqsError::invalid(format!(
            "Value {wanted_s} for parameter DelaySeconds is invalid. Reason: The request include parameter that is \
             not valid for this queue type."
        )));
    }
    if queue.is_fifo() {
        return Ok(queue.attributes.delay_s);
    }
    Ok(u32::try_from(wanted_s).unwrap_or(0))
}

/// The deduplication id of a message for a FIFO queue.
fn deduplication_id(queue: &Queue, new: &NewMessage) -> Result<Option<String>, SqsError> {
    let Some(fifo) = queue.attributes.fifo else {
        return match &new.deduplication_id {
            Some(id) => Err(SqsError::invalid(format!(
                "Value {id} for parameter MessageDeduplicationId is invalid. Reason: The request includes a parameter \
                 that is not valid for this queue type."
            ))),
            None => Ok(None),
        };
    };
    if new.group.is_none() {
        return Err(SqsError::missing("MessageGroupId"));
    }
    match &new.deduplication_id {
        Some(id) => {
            check_id("MessageDeduplicationId", id)?;
            Ok(Some(id.clone()))
        }
        None if fifo.content_based_deduplication => {
            Ok(Some(content::hex(&Sha256::digest(new.body.as_bytes()))))
        }
        None => Err(SqsError::invalid(
            "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided \
             explicitly",
        )),
    }
}

/// Alphanumeric characters and punctuation, 1 to 128.
pub(crate) fn check_id(parameter: &str, id: &str) -> Result<(), SqsError> {
    if (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(SqsError::invalid(format!(
        "Value {id} for parameter {parameter} is invalid. Reason: {parameter} can only include alphanumeric and \
         punctuation characters. 1 to 128 in length."
    )))
}

fn hash(group: &str, id: &str) -> [u8; 16] {
    // Neither holds a zero byte.
    let digest = Sha256::new().chain_update(group).chain_update([0]).chain_update(id).finalize();
    let mut short = [0; 16];
    short.copy_from_slice(&digest[..16]);
    short
}

//! A queue of Amazon SQS: received with a long poll, deleted when handled, kept by its visibility timeout.
//!
//! A poll that waits costs one task that sleeps in the queue's service until a message arrives. Settling is made of
//! batches of ten, several at a time, so that they share the queue's syncs.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html>.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::{ApiError, Arn};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use crate::requests::{
    Batch, BatchResult, Entry, GetQueueAttributes, QueueAttributes, ReceiveMessage, Received, ReceivedMessage,
};
use crate::{Place, Reader, Source, SourceError, Sources, Wish};

/// A request to SQS has at most so many messages.
pub const MOST_MESSAGES: usize = 10;
/// The longest poll.
pub const LONGEST_POLL: Duration = Duration::from_secs(20);
/// The longest that a message can be kept from others: 12 hours.
const LONGEST_LEASE: Duration = Duration::from_secs(43_200);
/// Requests that settle at the same time.
const AT_ONCE: usize = 16;
/// A request that fails for a reason that may pass is sent so often in all.
const TRIES: usize = 3;

/// A message that was received.
#[derive(Clone, Debug)]
pub struct Message {
    /// `messageId`.
    pub id: String,
    /// What settles it.
    pub receipt_handle: String,
    /// Its text.
    pub body: String,
    /// MD5 of the body, in hexadecimal.
    pub md5_of_body: String,
    /// System attributes: `ApproximateReceiveCount`, `SentTimestamp`, ...
    pub attributes: BTreeMap<String, String>,
    /// What the sender added.
    pub message_attributes: BTreeMap<String, Attribute>,
    /// MD5 of what the sender added.
    pub md5_of_message_attributes: Option<String>,
}

impl Message {
    /// How often it was received, this time included.
    #[must_use]
    pub fn receive_count(&self) -> u32 {
        self.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1)
    }

    /// The group of a message of a FIFO queue.
    #[must_use]
    pub fn group_id(&self) -> Option<&str> {
        self.attributes.get("MessageGroupId").map(String::as_str)
    }

    /// The X-Ray trace that its sender belongs to.
    #[must_use]
    pub fn trace_header(&self) -> Option<&str> {
        self.attributes.get("AWSTraceHeader").map(String::as_str)
    }
}

impl From<ReceivedMessage> for Message {
    fn from(message: ReceivedMessage) -> Self {
        let attributes = message.message_attributes;
        Message {
            id: message.message_id,
            receipt_handle: message.receipt_handle,
            body: message.body,
            md5_of_body: message.md5_of_body.unwrap_or_default(),
            attributes: message.attributes,
            message_attributes: attributes.into_iter().map(|(name, value)| (name, value.into())).collect(),
            md5_of_message_attributes: message.md5_of_message_attributes,
        }
    }
}

/// A message attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attribute {
    /// `String`, `Number` or `Binary`, perhaps with a label of the sender's own.
    pub data_type: String,
    /// Text and numbers.
    pub string_value: Option<String>,
    /// Bytes.
    pub binary_value: Option<Bytes>,
    /// Always empty so far.
    pub string_list_values: Vec<String>,
    /// Always empty so far.
    pub binary_list_values: Vec<Bytes>,
}

/// What a reader must know of a queue before it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// `VisibilityTimeout`, in seconds.
    pub visibility_timeout_s: u32,
    /// Whether it is a FIFO queue.
    pub fifo: bool,
}

/// A queue, as one reader sees it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Queue {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    sources: Sources,
    place: Place,
    reader: Reader,
    /// The host does not matter in process.
    url: String,
}

impl Queue {
    pub(crate) fn new(sources: Sources, arn: &str, reader: Reader) -> Option<Self> {
        let arn: Arn = arn.parse().ok()?;
        if arn.service != "sqs" || arn.resource.contains([':', '/']) {
            return None;
        }
        let place = Place::of(&arn)?;
        let url = format!("http://localhost/{}/{}", arn.account, arn.resource);
        Some(Queue { inner: Arc::new(Inner { sources, place, reader, url }) })
    }

    /// Who reads.
    #[must_use]
    pub fn reader(&self) -> &Reader {
        &self.inner.reader
    }

    /// What the queue is set to now.
    ///
    /// # Errors
    /// When it is not there, or the reader may not look.
    pub async fn facts(&self) -> Result<Facts, SourceError> {
        let request = GetQueueAttributes { queue_url: &self.inner.url, attribute_names: ["All"] };
        let answer: QueueAttributes = self.ask("GetQueueAttributes", &request).await?;
        let attribute = |name: &str| answer.attributes.get(name);
        Ok(Facts {
            visibility_timeout_s: attribute("VisibilityTimeout").and_then(|s| s.parse().ok()).unwrap_or(30),
            fifo: attribute("FifoQueue").is_some_and(|fifo| fifo == "true"),
        })
    }

    async fn ask<Req: Serialize, Res: DeserializeOwned>(
        &self,
        operation: &str,
        request: &Req,
    ) -> Result<Res, SourceError> {
        let call = self.inner.sources.call(&self.inner.place, &self.inner.reader)?;
        call.service("sqs").invoke(operation, request).await.map_err(sort)
    }

    /// One request of at most ten messages. Errors of single messages are errors too.
    async fn ten(
        &self,
        operation: &'static str,
        handles: Vec<String>,
        seconds: Option<i32>,
    ) -> Vec<SourceError> {
        let entries = handles.iter().enumerate().map(|(index, handle)| Entry {
            id: index.to_string(),
            receipt_handle: handle,
            visibility_timeout: seconds,
        });
        let request = Batch { queue_url: &self.inner.url, entries: entries.collect() };
        let mut tries = 0;
        loop {
            tries += 1;
            match self.ask::<_, BatchResult>(operation, &request).await {
                Ok(result) => {
                    let failed = result.failed.into_iter().map(|failure| {
                        let message = failure.message.unwrap_or_default();
                        sort(ApiError::new(failure.code, message))
                    });
                    return failed.collect();
                }
                Err(SourceError::Failed(error)) if error.http_status() >= 500 && tries < TRIES => {}
                Err(error) => return vec![error],
            }
        }
    }

    /// Any number of messages, in requests of ten.
    async fn in_tens(
        &self,
        operation: &'static str,
        messages: &[Message],
        seconds: Option<i32>,
    ) -> Vec<SourceError> {
        let handles = |part: &[Message]| part.iter().map(|message| message.receipt_handle.clone()).collect();
        if messages.len() <= MOST_MESSAGES {
            return match messages {
                [] => Vec::new(),
                few => self.ten(operation, handles(few), seconds).await,
            };
        }
        let mut errors = Vec::new();
        let mut running = JoinSet::new();
        for part in messages.chunks(MOST_MESSAGES) {
            if running.len() >= AT_ONCE
                && let Some(Ok(failed)) = running.join_next().await
            {
                errors.extend(failed);
            }
            let (queue, handles) = (self.clone(), handles(part));
            running.spawn(async move { queue.ten(operation, handles, seconds).await });
        }
        errors.extend(running.join_all().await.into_iter().flatten());
        errors
    }
}

impl Source for Queue {
    type Record = Message;

    async fn read(&self, wish: Wish) -> Result<Vec<Message>, SourceError> {
        let request = ReceiveMessage {
            queue_url: &self.inner.url,
            max_number_of_messages: i32::try_from(wish.most.clamp(1, MOST_MESSAGES)).unwrap_or(1),
            wait_time_seconds: seconds(wish.wait.min(LONGEST_POLL)),
            visibility_timeout: wish.lease.map(|lease| seconds(lease.min(LONGEST_LEASE))),
            message_system_attribute_names: ["All"],
            message_attribute_names: ["All"],
        };
        let received: Received = self.ask("ReceiveMessage", &request).await?;
        Ok(received.messages.unwrap_or_default().into_iter().map(Message::from).collect())
    }

    async fn settle(&self, records: &[Message]) -> Vec<SourceError> {
        self.in_tens("DeleteMessageBatch", records, None).await
    }

    async fn keep(&self, records: &[Message], lease: Duration) -> Vec<SourceError> {
        self.in_tens("ChangeMessageVisibilityBatch", records, Some(seconds(lease.min(LONGEST_LEASE)))).await
    }
}

/// Whole seconds, rounded up.
fn seconds(duration: Duration) -> i32 {
    let whole = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(whole).unwrap_or(i32::MAX)
}

/// What an error means to a reader. The codes are those of both protocols.
fn sort(error: ApiError) -> SourceError {
    let code = error.code.rsplit(['.', '#']).next().unwrap_or_default();
    match code {
        "QueueDoesNotExist" | "NonExistentQueue" => SourceError::Gone(error),
        "AccessDenied" | "AccessDeniedException" => SourceError::Denied(error),
        _ => SourceError::Failed(error),
    }
}

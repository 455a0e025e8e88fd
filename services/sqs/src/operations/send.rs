//! SendMessage and SendMessageBatch.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::ApiError;
use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::batch::{self, Failure};
use crate::Sqs;
use crate::errors::SqsError;
use crate::messages::content::{self, WireAttribute};
use crate::messages::send::{NewMessage, Sent};

/// The most bytes of a batch: bodies and attributes together.
const MAX_BATCH_BYTES: usize = 1_048_576;

type WireAttributes = BTreeMap<String, WireAttribute>;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SendMessage {
    queue_url: String,
    message_body: String,
    delay_seconds: Option<i64>,
    message_attributes: Option<WireAttributes>,
    message_system_attributes: Option<WireAttributes>,
    message_deduplication_id: Option<String>,
    message_group_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SendMessageResult {
    #[serde(rename = "MD5OfMessageBody")]
    body_md5: String,
    #[serde(rename = "MD5OfMessageAttributes")]
    attributes_md5: Option<String>,
    #[serde(rename = "MD5OfMessageSystemAttributes")]
    system_attributes_md5: Option<String>,
    message_id: String,
    sequence_number: Option<String>,
}

pub(crate) async fn send_message(
    sqs: Arc<Sqs>,
    call: Call,
    request: SendMessage,
) -> Result<SendMessageResult, ApiError> {
    let queue = sqs.queue_for(&call, &request.queue_url, "sqs:SendMessage")?;
    let entry = Entry {
        id: String::new(),
        message_body: request.message_body,
        delay_seconds: request.delay_seconds,
        message_attributes: request.message_attributes,
        message_system_attributes: request.message_system_attributes,
        message_deduplication_id: request.message_deduplication_id,
        message_group_id: request.message_group_id,
    };
    let sender = sqs.senders.id(&call).await?;
    let (message, digests) = entry.read(&call, &sender)?;
    let mut sent = sqs.messages.send(&queue, vec![message]).await?;
    let sent = sent.pop().unwrap_or_else(|| Err(SqsError::Lost("a send without an outcome".into())))?;
    Ok(SendMessageResult {
        body_md5: sent.body_md5,
        attributes_md5: digests.attributes,
        system_attributes_md5: digests.system_attributes,
        message_id: sent.id,
        sequence_number: sent.sequence_number,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SendMessageBatch {
    queue_url: String,
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    id: String,
    message_body: String,
    delay_seconds: Option<i64>,
    message_attributes: Option<WireAttributes>,
    message_system_attributes: Option<WireAttributes>,
    message_deduplication_id: Option<String>,
    message_group_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SendMessageBatchResult {
    // AWS leaves an empty list out, and clients ask whether there is one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    successful: Vec<Success>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<Failure>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Success {
    id: String,
    message_id: String,
    #[serde(rename = "MD5OfMessageBody")]
    body_md5: String,
    #[serde(rename = "MD5OfMessageAttributes")]
    attributes_md5: Option<String>,
    #[serde(rename = "MD5OfMessageSystemAttributes")]
    system_attributes_md5: Option<String>,
    sequence_number: Option<String>,
}

/// Of what SDKs check beside the body.
struct Digests {
    attributes: Option<String>,
    system_attributes: Option<String>,
}

impl Entry {
    /// The size as AWS counts it.
    fn bytes(&self) -> usize {
        let attribute = |(name, value): (&String, &WireAttribute)| {
            name.len()
                + value.data_type.len()
                + value.string_value.as_ref().map_or(0, String::len)
                + value.binary_value.as_ref().map_or(0, |bytes| bytes.0.len())
        };
        let attributes = self.message_attributes.iter().flatten();
        self.message_body.len() + attributes.map(attribute).sum::<usize>()
    }

    fn read(self, call: &Call, sender: &str) -> Result<(NewMessage, Digests), SqsError> {
        let attributes = content::attributes(self.message_attributes)?;
        let sent_header = content::trace_header(self.message_system_attributes)?;
        let digests = Digests {
            attributes: content::md5_of_attributes(
                attributes.iter().map(|(name, value)| (name.as_str(), value)),
            ),
            system_attributes: sent_header.as_deref().and_then(content::md5_of_trace_header),
        };
        let message = NewMessage {
            body: self.message_body,
            attributes,
            delay_s: self.delay_seconds,
            group: self.message_group_id,
            deduplication_id: self.message_deduplication_id,
            trace_header: sent_header.or_else(|| call.trace_header().map(|header| header.to_string())),
            sender: sender.to_owned(),
        };
        Ok((message, digests))
    }
}

pub(crate) async fn send_message_batch(
    sqs: Arc<Sqs>,
    call: Call,
    request: SendMessageBatch,
) -> Result<SendMessageBatchResult, ApiError> {
    let queue = sqs.queue_for(&call, &request.queue_url, "sqs:SendMessage")?;
    let entries = request.entries;
    batch::check("SendMessageBatchRequestEntry", entries.iter().map(|entry| entry.id.as_str()))?;
    let bytes: usize = entries.iter().map(Entry::bytes).sum();
    if bytes > MAX_BATCH_BYTES {
        return Err(SqsError::other(
            "BatchRequestTooLong",
            format!(
                "Batch requests cannot be longer than {MAX_BATCH_BYTES} bytes. You have sent {bytes} bytes."
            ),
        )
        .into());
    }
    let sender = sqs.senders.id(&call).await?;
    let mut result = SendMessageBatchResult { successful: Vec::new(), failed: Vec::new() };
    let (mut messages, mut accepted) = (Vec::new(), Vec::new());
    for mut entry in entries {
        let id = std::mem::take(&mut entry.id);
        match entry.read(&call, &sender) {
            Ok((message, digests)) => {
                messages.push(message);
                accepted.push((id, digests));
            }
            Err(error) => result.failed.push(Failure::new(id, error)),
        }
    }
    let sent = sqs.messages.send(&queue, messages).await?;
    for ((id, digests), sent) in accepted.into_iter().zip(sent) {
        match sent {
            Ok(Sent { id: message_id, body_md5, sequence_number }) => result.successful.push(Success {
                id,
                message_id,
                body_md5,
                attributes_md5: digests.attributes,
                system_attributes_md5: digests.system_attributes,
                sequence_number,
            }),
            // A fault of the server is one of the whole request: it is repeated as a whole.
            Err(error @ (SqsError::Store(_) | SqsError::Lost(_) | SqsError::NoQueue)) => {
                return Err(error.into());
            }
            Err(error) => result.failed.push(Failure::new(id, error)),
        }
    }
    Ok(result)
}

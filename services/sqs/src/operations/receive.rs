//! ReceiveMessage.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::ApiError;
use frontdoor::Call;
use serde::{Deserialize, Serialize};

use crate::Sqs;
use crate::errors::SqsError;
use crate::messages::content::{self, WireAttribute};
use crate::messages::receive::{Received, Wanted};
use crate::messages::send;
use crate::messages::settle::MAX_VISIBILITY_S;
use crate::queue::Queue;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ReceiveMessage {
    queue_url: String,
    /// The older name of the next one.
    attribute_names: Option<Vec<String>>,
    message_system_attribute_names: Option<Vec<String>>,
    message_attribute_names: Option<Vec<String>>,
    max_number_of_messages: Option<i64>,
    visibility_timeout: Option<i64>,
    wait_time_seconds: Option<i64>,
    receive_request_attempt_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ReceiveMessageResult {
    messages: Option<Vec<Message>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    message_id: String,
    receipt_handle: String,
    #[serde(rename = "MD5OfBody")]
    body_md5: String,
    body: String,
    attributes: Option<BTreeMap<&'static str, String>>,
    #[serde(rename = "MD5OfMessageAttributes")]
    attributes_md5: Option<String>,
    message_attributes: Option<BTreeMap<String, WireAttribute>>,
}

pub(crate) async fn receive_message(
    sqs: Arc<Sqs>,
    call: Call,
    request: ReceiveMessage,
) -> Result<ReceiveMessageResult, ApiError> {
    let queue = sqs.queue_for(&call, &request.queue_url, "sqs:ReceiveMessage")?;
    let wanted = wanted(&sqs, &queue, &request)?;
    let received = sqs.messages.receive(&call, &queue, wanted).await?;
    let mut system_names = request.attribute_names.unwrap_or_default();
    system_names.extend(request.message_system_attribute_names.unwrap_or_default());
    let names = request.message_attribute_names.unwrap_or_default();
    let messages = received.into_iter().map(|received| message(&queue, received, &system_names, &names));
    let messages: Vec<Message> = messages.collect();
    Ok(ReceiveMessageResult { messages: (!messages.is_empty()).then_some(messages) })
}

/// Checks the numbers of a request, and takes the queue's where there are none.
fn wanted(sqs: &Sqs, queue: &Queue, request: &ReceiveMessage) -> Result<Wanted, SqsError> {
    let max = request.max_number_of_messages.unwrap_or(1);
    let bad = |value: i64, parameter: &str, reason: &str| {
        Err(SqsError::invalid(format!(
            "Value {value} for parameter {parameter} is invalid. Reason: {reason}"
        )))
    };
    if !(1..=10).contains(&max) {
        return bad(max, "MaxNumberOfMessages", "Must be between 1 and 10, if provided.");
    }
    let visibility_s = request.visibility_timeout.unwrap_or(i64::from(queue.attributes.visibility_timeout_s));
    if !(0..=MAX_VISIBILITY_S).contains(&visibility_s) {
        return bad(visibility_s, "VisibilityTimeout", "Must be >= 0 and <= 43200, if provided.");
    }
    let wait_s = request.wait_time_seconds.unwrap_or(i64::from(queue.attributes.receive_wait_s));
    if !(0..=20).contains(&wait_s) {
        return bad(wait_s, "WaitTimeSeconds", "Must be >= 0 and <= 20, if provided.");
    }
    if let Some(id) = &request.receive_request_attempt_id {
        if !queue.is_fifo() {
            return Err(SqsError::invalid(format!(
                "Value {id} for parameter ReceiveRequestAttemptId is invalid. Reason: The request include parameter \
                 that is not valid for this queue type."
            )));
        }
        send::check_id("ReceiveRequestAttemptId", id)?;
    }
    Ok(Wanted {
        max: usize::try_from(max).unwrap_or(1),
        visibility_s: u32::try_from(visibility_s).unwrap_or(0),
        wait: Duration::from_secs(wait_s.unsigned_abs()),
        attempt: request.receive_request_attempt_id.clone(),
        grave: sqs.grave_of(queue)?,
    })
}

fn message(queue: &Queue, received: Received, system_names: &[String], names: &[String]) -> Message {
    let head = &received.message.head;
    let attributes = system_attributes(queue, &received, system_names);
    let wanted = || {
        let all = received.message.content.attributes.iter();
        all.filter(|(name, _)| content::is_wanted(name, names))
            .map(|(name, attribute)| (name.as_str(), attribute))
    };
    let message_attributes: BTreeMap<String, WireAttribute> =
        wanted().map(|(name, attribute)| (name.to_owned(), attribute.into())).collect();
    Message {
        message_id: received.message.id(),
        body_md5: content::hex(&head.body_md5),
        body: received.message.content.body.clone(),
        attributes: (!attributes.is_empty()).then_some(attributes),
        attributes_md5: content::md5_of_attributes(wanted()),
        message_attributes: (!message_attributes.is_empty()).then_some(message_attributes),
        receipt_handle: received.handle,
    }
}

fn system_attributes(queue: &Queue, received: &Received, names: &[String]) -> BTreeMap<&'static str, String> {
    let mut attributes = BTreeMap::new();
    if names.is_empty() {
        return attributes;
    }
    let all = names.iter().any(|name| name == "All");
    let head = &received.message.head;
    let mut add = |name: &'static str, value: Option<String>| {
        if let Some(value) = value
            && (all || names.iter().any(|wanted| wanted == name))
        {
            attributes.insert(name, value);
        }
    };
    add("SenderId", Some(head.sender.clone()));
    add("SentTimestamp", Some(head.sent_at.0.to_string()));
    add("ApproximateReceiveCount", Some(received.count.to_string()));
    add("ApproximateFirstReceiveTimestamp", Some(received.first_received_at.0.to_string()));
    add("SequenceNumber", queue.is_fifo().then(|| send::sequence_number(received.seq)));
    add("MessageDeduplicationId", head.deduplication_id.clone());
    add("MessageGroupId", head.group.clone());
    add("AWSTraceHeader", head.trace_header.clone());
    add("DeadLetterQueueSourceArn", head.source_arn.clone());
    attributes
}

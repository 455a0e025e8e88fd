//! TagQueue, UntagQueue, ListQueueTags.
//!
//! Rules: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-queue-tags.html>.

use std::collections::BTreeMap;
use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};

use crate::Sqs;
use crate::errors::SqsError;

type Tags = BTreeMap<String, String>;

const MAX_TAGS: usize = 50;
const MAX_KEY_CHARS: usize = 128;
const MAX_VALUE_CHARS: usize = 256;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TagQueue {
    queue_url: String,
    tags: Tags,
}

pub(crate) async fn tag_queue(sqs: Arc<Sqs>, call: Call, request: TagQueue) -> Result<(), SqsError> {
    let queue = sqs.own_queue_for(&call, &request.queue_url, "sqs:TagQueue")?;
    let tags = request.tags;
    if tags.is_empty() {
        return Err(SqsError::missing("Tags"));
    }
    check(&tags, &queue.name)?;
    sqs.update_queue(&queue, move |_, queue| {
        queue.tags.extend(tags.clone());
        Ok(room(&queue.tags, &queue.name))
    })
    .await
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UntagQueue {
    queue_url: String,
    tag_keys: Vec<String>,
}

pub(crate) async fn untag_queue(sqs: Arc<Sqs>, call: Call, request: UntagQueue) -> Result<(), SqsError> {
    let queue = sqs.own_queue_for(&call, &request.queue_url, "sqs:UntagQueue")?;
    if request.tag_keys.is_empty() {
        return Err(SqsError::invalid("Tag keys cannot be empty."));
    }
    sqs.update_queue(&queue, move |_, queue| {
        for key in &request.tag_keys {
            queue.tags.remove(key);
        }
        Ok(Ok(()))
    })
    .await
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListQueueTags {
    queue_url: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Shown {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: Tags,
}

pub(crate) async fn list_queue_tags(
    sqs: Arc<Sqs>,
    call: Call,
    request: ListQueueTags,
) -> Result<Shown, SqsError> {
    let queue = sqs.own_queue_for(&call, &request.queue_url, "sqs:ListQueueTags")?;
    Ok(Shown { tags: queue.tags.clone() })
}

/// Whether these may be tags, all of one queue.
///
/// # Errors
/// `InvalidParameterValue`.
pub(crate) fn check(tags: &Tags, queue_name: &str) -> Result<(), SqsError> {
    for (key, value) in tags {
        check_text("Tag.Key", key, 1, MAX_KEY_CHARS)?;
        check_text("Tag.Value", value, 0, MAX_VALUE_CHARS)?;
        if key.len() >= 4 && key.as_bytes()[..4].eq_ignore_ascii_case(b"aws:") {
            return Err(SqsError::value("Tag.Key", key, "Keys that begin with aws: are reserved."));
        }
    }
    room(tags, queue_name)
}

fn room(tags: &Tags, queue_name: &str) -> Result<(), SqsError> {
    if tags.len() <= MAX_TAGS {
        return Ok(());
    }
    Err(SqsError::invalid(format!("Too many tags added for queue {queue_name}.")))
}

fn check_text(name: &str, text: &str, least: usize, most: usize) -> Result<(), SqsError> {
    let is_fit = |char: char| {
        char.is_alphanumeric() || matches!(char, ' ' | '_' | '.' | ':' | '/' | '=' | '+' | '-' | '@')
    };
    let length = text.chars().count();
    if length < least || length > most {
        return Err(SqsError::value(name, text, &format!("Must be {least} to {most} characters long.")));
    }
    if !text.chars().all(is_fit) {
        return Err(SqsError::value(
            name,
            text,
            "Can only include letters, digits, white space, and the following: _.:/=+-@",
        ));
    }
    Ok(())
}

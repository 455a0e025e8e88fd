//! Publish and PublishBatch: what a message may be.
//!
//! <https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>,
//! <https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html>.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::Sns;
use crate::access;
use crate::address::TopicAddress;
use crate::errors::SnsError;
use crate::fifo;
use crate::known::Known;
use crate::message::{Attribute, Kind, Published, Text, Value};
use crate::together;

const MAX_SUBJECT_CHARS: usize = 100;
const MAX_ATTRIBUTE_NAME: usize = 256;
const MAX_ID_CHARS: usize = 128;
const MAX_ENTRIES: usize = 10;
const MAX_ENTRY_ID: usize = 80;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Publish {
    topic_arn: Option<String>,
    target_arn: Option<String>,
    phone_number: Option<String>,
    message: String,
    subject: Option<String>,
    message_structure: Option<String>,
    message_attributes: Option<BTreeMap<String, AttributeValue>>,
    message_deduplication_id: Option<String>,
    message_group_id: Option<String>,
}

/// What a message consists of, alone or in a batch.
pub(crate) struct Said {
    pub(crate) message: String,
    pub(crate) subject: Option<String>,
    pub(crate) message_structure: Option<String>,
    pub(crate) message_attributes: BTreeMap<String, AttributeValue>,
    pub(crate) message_deduplication_id: Option<String>,
    pub(crate) message_group_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AttributeValue {
    data_type: String,
    string_value: Option<String>,
    binary_value: Option<wire::Blob>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct MessagePublished {
    message_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence_number: Option<String>,
}

impl MessagePublished {
    /// Without a number: only FIFO topics give some.
    pub(crate) fn new(message_id: String) -> Self {
        MessagePublished { message_id, sequence_number: None }
    }
}

pub(crate) async fn publish(
    sns: Arc<Sns>,
    call: Call,
    request: Publish,
) -> Result<MessagePublished, SnsError> {
    let said = Said {
        message: request.message,
        subject: request.subject,
        message_structure: request.message_structure,
        message_attributes: request.message_attributes.unwrap_or_default(),
        message_deduplication_id: request.message_deduplication_id,
        message_group_id: request.message_group_id,
    };
    let (parameter, arn) = match (request.topic_arn, request.target_arn, request.phone_number) {
        (None, None, Some(number)) => return super::direct::to_phone(&sns, &call, number, said).await,
        (Some(arn), None, None) => ("TopicArn", arn),
        (None, Some(arn), None) if arn.contains(":endpoint/") => {
            return super::direct::to_endpoint(&sns, &call, arn, said).await;
        }
        (None, Some(arn), None) => ("TargetArn", arn),
        (None, None, None) => {
            return Err(SnsError::invalid("TopicArn or TargetArn Reason: no value for required parameter"));
        }
        _ => {
            return Err(SnsError::invalid(
                "TopicArn or TargetArn Reason: only one of TopicArn, TargetArn and PhoneNumber can be given",
            ));
        }
    };
    check_text(&said)?;
    let (address, known) = topic(&sns, &call, parameter, &arn)?;
    let bytes = size(&said);
    if bytes > known.topic.maximum_message_bytes() as usize {
        return Err(SnsError::invalid("Message too long"));
    }
    let message = message(&sns, &call, &known, said)?;
    sns.metrics.of(&known.arn).published(bytes);
    if known.topic.is_fifo() {
        let mut logged = sns.log(&address, &known, vec![message]).await?;
        let logged = logged.pop().ok_or_else(|| SnsError::other("InternalError", "nothing was logged"))?;
        return Ok(MessagePublished {
            message_id: logged.message_id,
            sequence_number: Some(logged.sequence_number),
        });
    }
    let message_id = message.message_id.clone();
    sns.fan_out(&known, Arc::new(message)).await?;
    Ok(MessagePublished::new(message_id))
}

fn topic(sns: &Sns, call: &Call, parameter: &str, arn: &str) -> Result<(TopicAddress, Arc<Known>), SnsError> {
    let address = TopicAddress::parse(parameter, arn)?;
    if address.scope.region != *call.region() {
        return Err(SnsError::invalid(parameter));
    }
    let known = sns.known(&address)?;
    access::permit(call, &known.topic, "SNS:Publish")?;
    Ok((address, known))
}

/// A message's size as AWS counts it: what it says, and its attributes with their names and types. In bytes.
pub(crate) fn size(said: &Said) -> usize {
    let attributes = said.message_attributes.iter().map(|(name, value)| {
        let text = value.string_value.as_ref().map_or(0, String::len);
        let bytes = value.binary_value.as_ref().map_or(0, |bytes| bytes.0.len());
        name.len() + value.data_type.len() + text + bytes
    });
    said.message.len() + attributes.sum::<usize>()
}

/// What can be said of a message before its topic is known.
pub(crate) fn check_text(said: &Said) -> Result<(), SnsError> {
    if let Some(subject) = &said.subject
        && (subject.is_empty()
            || subject.chars().count() > MAX_SUBJECT_CHARS
            || subject.chars().any(char::is_control))
    {
        return Err(SnsError::invalid("Subject"));
    }
    if said.message.is_empty() {
        return Err(SnsError::invalid("Empty message"));
    }
    Ok(())
}

/// The message for a topic, checked.
fn message(sns: &Sns, call: &Call, known: &Known, said: Said) -> Result<Published, SnsError> {
    check_ids(&said, known)?;
    let content_based =
        known.topic.settings.fifo.as_ref().is_some_and(|fifo| fifo.content_based_deduplication);
    let deduplication_id = match said.message_deduplication_id {
        Some(id) => Some(id),
        None => content_based.then(|| fifo::content_id(&said.message)),
    };
    Ok(Published {
        message_id: uuid::Uuid::new_v4().to_string(),
        account: known.topic.account,
        region: known.topic.region.clone(),
        topic_arn: known.arn.clone(),
        kind: Kind::Notification,
        subject: said.subject,
        attributes: attributes(said.message_attributes)?,
        text: text(said.message, said.message_structure.as_deref(), true)?,
        at: sns.clock.now(),
        signature_version: known.topic.settings.signature_version.unwrap_or_default(),
        base_url: sns.base_url(call),
        sequence_number: None,
        group_id: said.message_group_id,
        deduplication_id,
        trace_header: call.trace_header().map(ToString::to_string),
        replayed: false,
    })
}

/// The ids that FIFO topics need.
fn check_ids(said: &Said, known: &Known) -> Result<(), SnsError> {
    let shape = |name: &str, id: &Option<String>| match id {
        Some(id)
            if id.is_empty()
                || id.len() > MAX_ID_CHARS
                || !id.bytes().all(|byte| byte.is_ascii_graphic()) =>
        {
            Err(SnsError::invalid(format!(
                "{name} Reason: can only include alphanumeric and punctuation characters. 1 to 128 in length"
            )))
        }
        _ => Ok(()),
    };
    match &known.topic.settings.fifo {
        Some(fifo) => {
            if said.message_group_id.is_none() {
                return Err(SnsError::invalid("The MessageGroupId parameter is required for FIFO topics"));
            }
            if said.message_deduplication_id.is_none() && !fifo.content_based_deduplication {
                return Err(SnsError::invalid(
                    "The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId \
                     provided explicitly",
                ));
            }
        }
        None if said.message_deduplication_id.is_some() => {
            return Err(SnsError::invalid(
                "MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter that is not \
                 valid for this topic type",
            ));
        }
        None => {}
    }
    shape("MessageGroupId", &said.message_group_id)?;
    shape("MessageDeduplicationId", &said.message_deduplication_id)
}

/// What the message says to whom.
pub(crate) fn text(message: String, structure: Option<&str>, needs_default: bool) -> Result<Text, SnsError> {
    if structure != Some("json") {
        return Ok(Text { default: message, by_protocol: BTreeMap::new() });
    }
    let Ok(entries) = serde_json::from_str::<BTreeMap<String, Json>>(&message) else {
        return Err(SnsError::invalid("Message Structure - JSON message body failed to parse"));
    };
    // What is no text is for nobody.
    let mut by_protocol: BTreeMap<String, String> = entries
        .into_iter()
        .filter_map(|(name, value)| match value {
            Json::String(text) => Some((name, text)),
            _ => None,
        })
        .collect();
    match by_protocol.remove("default") {
        Some(default) => Ok(Text { default, by_protocol }),
        None if !needs_default => Ok(Text { default: String::new(), by_protocol }),
        None => Err(SnsError::invalid("Message Structure - No default entry in JSON message body")),
    }
}

pub(crate) fn attributes(
    given: BTreeMap<String, AttributeValue>,
) -> Result<Vec<(String, Attribute)>, SnsError> {
    let attributes = given.into_iter().map(|(name, value)| {
        check_name(&name)?;
        let attribute = attribute(&name, value)?;
        Ok((name, attribute))
    });
    attributes.collect()
}

fn wrong(why: impl Into<String>) -> SnsError {
    SnsError::other("InvalidParameterValueException", why)
}

fn check_name(name: &str) -> Result<(), SnsError> {
    if name.len() > MAX_ATTRIBUTE_NAME {
        return Err(wrong("Length of message attribute name must be less than 256 bytes."));
    }
    // Those that steer text messages and mobile push are AWS's own.
    if name.starts_with("AWS.SNS.") || name.starts_with("AWS.MM.") {
        return Ok(());
    }
    let lower = name.to_ascii_lowercase();
    if lower.starts_with("aws.") || lower.starts_with("amazon.") {
        return Err(wrong("Message attribute name can not start with 'AWS.' or 'Amazon.'."));
    }
    if name.starts_with('.') {
        return Err(wrong("Invalid message attribute name starting with character '.' was found."));
    }
    if name.ends_with('.') {
        return Err(wrong("Invalid message attribute name ending with character '.' was found."));
    }
    if name.contains("..") {
        return Err(wrong("Message attribute name can not have successive '.' character."));
    }
    let strange = name.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '-' | '.'));
    if let Some(strange) = strange {
        return Err(wrong(format!(
            "Invalid non-alphanumeric character '#x{:X}' was found in the message attribute name. Can only include \
             alphanumeric characters, hyphens, underscores, or dots.",
            u32::from(strange)
        )));
    }
    Ok(())
}

fn attribute(name: &str, given: AttributeValue) -> Result<Attribute, SnsError> {
    let AttributeValue { data_type, string_value, binary_value } = given;
    let base = data_type.split('.').next().unwrap_or_default();
    let labelled = data_type.len() == base.len() || data_type.len() > base.len() + 1;
    if !matches!(base, "String" | "Number" | "Binary") || !labelled {
        return Err(wrong(format!(
            "The message attribute '{name}' has an invalid message attribute type, the set of supported type prefixes \
             is Binary, Number, and String."
        )));
    }
    let empty = || {
        wrong(format!(
            "The message attribute '{name}' must contain non-empty message attribute value for message attribute type \
             '{data_type}'."
        ))
    };
    let other_field = |field: &str| {
        wrong(format!("The message attribute '{name}' with type '{data_type}' must use field '{field}'."))
    };
    let value = match (base == "Binary", string_value, binary_value) {
        (_, None, None) => return Err(empty()),
        (true, _, None) => return Err(other_field("Binary")),
        (false, None, _) => return Err(other_field("String")),
        (true, _, Some(bytes)) if bytes.0.is_empty() => return Err(empty()),
        (false, Some(text), _) if text.is_empty() => return Err(empty()),
        (true, _, Some(bytes)) => Value::Binary(bytes.0.to_vec()),
        (false, Some(text), _) => Value::Text(text),
    };
    if base == "Number"
        && let Value::Text(text) = &value
        && text.trim().parse::<f64>().is_err()
    {
        return Err(wrong(format!("Could not cast message attribute '{name}' value to number.")));
    }
    Ok(Attribute { data_type, value })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PublishBatch {
    topic_arn: String,
    publish_batch_request_entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    id: String,
    message: String,
    subject: Option<String>,
    message_structure: Option<String>,
    message_attributes: Option<BTreeMap<String, AttributeValue>>,
    message_deduplication_id: Option<String>,
    message_group_id: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BatchPublished {
    successful: Vec<EntryPublished>,
    failed: Vec<EntryFailed>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct EntryPublished {
    id: String,
    message_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence_number: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct EntryFailed {
    id: String,
    code: &'static str,
    message: String,
    sender_fault: bool,
}

pub(crate) async fn publish_batch(
    sns: Arc<Sns>,
    call: Call,
    request: PublishBatch,
) -> Result<BatchPublished, SnsError> {
    let entries = request.publish_batch_request_entries;
    check_entries(&entries)?;
    let (address, known) = topic(&sns, &call, "TopicArn", &request.topic_arn)?;
    let (mut ids, mut messages, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
    for entry in entries {
        let said = Said {
            message: entry.message,
            subject: entry.subject,
            message_structure: entry.message_structure,
            message_attributes: entry.message_attributes.unwrap_or_default(),
            message_deduplication_id: entry.message_deduplication_id,
            message_group_id: entry.message_group_id,
        };
        check_text(&said)?;
        sizes.push(size(&said));
        if sizes.iter().sum::<usize>() > known.topic.maximum_message_bytes() as usize {
            return Err(SnsError::other(
                "BatchRequestTooLongException",
                "The length of all the messages put together is more than the limit.",
            ));
        }
        messages.push(message(&sns, &call, &known, said)?);
        ids.push(entry.id);
    }
    let counters = sns.metrics.of(&known.arn);
    sizes.into_iter().for_each(|bytes| counters.published(bytes));
    if known.topic.is_fifo() {
        let logged = sns.log(&address, &known, messages).await?;
        let successful = ids.into_iter().zip(logged).map(|(id, logged)| EntryPublished {
            id,
            message_id: logged.message_id,
            sequence_number: Some(logged.sequence_number),
        });
        return Ok(BatchPublished { successful: successful.collect(), failed: Vec::new() });
    }
    let messages: Vec<Arc<Published>> = messages.into_iter().map(Arc::new).collect();
    let deliveries = messages.iter().map(|message| sns.fan_out(&known, Arc::clone(message)));
    let outcomes = together::all(deliveries.collect(), ()).await;
    let mut answer = BatchPublished { successful: Vec::new(), failed: Vec::new() };
    for ((id, message), outcome) in ids.into_iter().zip(messages).zip(outcomes) {
        match outcome {
            Ok(()) => answer.successful.push(EntryPublished {
                id,
                message_id: message.message_id.clone(),
                sequence_number: None,
            }),
            Err(error) => {
                tracing::error!(%error, topic = known.arn, "a message of a batch was not taken");
                let message = "The message could not be published. Please try again.".to_owned();
                answer.failed.push(EntryFailed { id, code: "InternalError", message, sender_fault: false });
            }
        }
    }
    Ok(answer)
}

fn check_entries(entries: &[Entry]) -> Result<(), SnsError> {
    if entries.is_empty() {
        return Err(SnsError::other(
            "EmptyBatchRequestException",
            "The batch request doesn't contain any entries.",
        ));
    }
    if entries.len() > MAX_ENTRIES {
        return Err(SnsError::other(
            "TooManyEntriesInBatchRequestException",
            "The batch request contains more entries than permissible.",
        ));
    }
    let mut ids = HashSet::new();
    if !entries.iter().all(|entry| ids.insert(entry.id.as_str())) {
        return Err(SnsError::other(
            "BatchEntryIdsNotDistinctException",
            "Two or more batch entries in the request have the same Id.",
        ));
    }
    for Entry { id, .. } in entries {
        let wrong = |why: &str| {
            let message = format!("The Id of a batch entry in the batch request {why}: {id}");
            Err(SnsError::other("InvalidBatchEntryIdException", message))
        };
        if id.len() > MAX_ENTRY_ID {
            return wrong("is too long");
        }
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if id.is_empty() || !id.bytes().all(fits) {
            return wrong("contains an impermissible character");
        }
    }
    Ok(())
}

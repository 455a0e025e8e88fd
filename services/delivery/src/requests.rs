//! The requests to each service, as structs with the models' member names.
//!
//! | target | operation | form |
//! | --- | --- | --- |
//! | function | Invoke, `Event` | the message is the event |
//! | queue | GetQueueUrl, SendMessage | the message is the body |
//! | topic | Publish | the message is the message |
//! | bus | PutEvents | source `lambda`, the message is the detail |
//! | bucket | PutObject | `aws/lambda/async/<function>/<date>/<moment>-<random>` |

use std::collections::BTreeMap;

use base::{RequestId, Timestamp};
use bytes::Bytes;
use frontdoor::Call;
use serde::{Deserialize, Serialize};

use crate::destination::{Destination, Kind};
use crate::message::{Attribute, Message, Origin};
use crate::{DeliveryError, ask};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Invoke {
    function_name: String,
    invocation_type: &'static str,
    payload: wire::Blob,
}

pub(crate) async fn to_function(
    call: &Call,
    destination: &Destination,
    message: &Message<'_>,
) -> Result<(), DeliveryError> {
    let request = Invoke {
        function_name: destination.to_string(),
        invocation_type: "Event",
        payload: wire::Blob(message.body().clone()),
    };
    ask(call, Kind::Function, "Invoke", &request).await
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetQueueUrl<'a> {
    queue_name: &'a str,
    #[serde(rename = "QueueOwnerAWSAccountId")]
    owner: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct QueueUrl {
    queue_url: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessage<'a> {
    queue_url: String,
    message_body: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    message_attributes: BTreeMap<&'static str, AttributeValue>,
}

/// The attribute of a message, the same for SQS and SNS.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AttributeValue {
    data_type: &'static str,
    string_value: String,
}

pub(crate) async fn to_queue(
    call: &Call,
    destination: &Destination,
    message: &Message<'_>,
) -> Result<(), DeliveryError> {
    let arn = destination.arn();
    let url = GetQueueUrl { queue_name: &arn.resource, owner: &arn.account };
    let url: QueueUrl = call
        .service(Kind::Queue.model_id())
        .invoke("GetQueueUrl", &url)
        .await
        .map_err(DeliveryError::Refused)?;
    let request = SendMessage {
        queue_url: url.queue_url,
        message_body: text(message.body())?,
        message_attributes: attributes(message),
    };
    ask(call, Kind::Queue, "SendMessage", &request).await
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Publish<'a> {
    topic_arn: String,
    message: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    message_attributes: BTreeMap<&'static str, AttributeValue>,
}

pub(crate) async fn to_topic(
    call: &Call,
    destination: &Destination,
    message: &Message<'_>,
) -> Result<(), DeliveryError> {
    let request = Publish {
        topic_arn: destination.to_string(),
        message: text(message.body())?,
        message_attributes: attributes(message),
    };
    ask(call, Kind::Topic, "Publish", &request).await
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PutEvents<'a> {
    entries: [Entry<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<'a> {
    event_bus_name: String,
    source: &'static str,
    detail_type: &'static str,
    detail: &'a str,
    resources: [String; 2],
}

/// A bus may refuse an entry and still answer well.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EventsPut {
    entries: Vec<EntryResult>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EntryResult {
    error_code: Option<String>,
    error_message: Option<String>,
}

pub(crate) async fn to_bus(
    call: &Call,
    destination: &Destination,
    origin: &Origin,
    message: &Message<'_>,
) -> Result<(), DeliveryError> {
    let Message::Record { body, success, .. } = message else { return Err(no_dead_letters(Kind::Bus)) };
    let request = PutEvents {
        entries: [Entry {
            event_bus_name: destination.to_string(),
            source: "lambda",
            detail_type: if *success {
                "Lambda Function Invocation Result - Success"
            } else {
                "Lambda Function Invocation Result - Failure"
            },
            detail: text(body)?,
            resources: [destination.to_string(), origin.function_arn.clone()],
        }],
    };
    let answer: EventsPut = call
        .service(Kind::Bus.model_id())
        .invoke("PutEvents", &request)
        .await
        .map_err(DeliveryError::Refused)?;
    match answer.entries.into_iter().find_map(|entry| entry.error_code.zip(entry.error_message)) {
        Some((code, message)) => Err(DeliveryError::Unfit(format!("{code}: {message}"))),
        None => Ok(()),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PutObject {
    bucket: String,
    key: String,
    body: wire::Blob,
}

pub(crate) async fn to_bucket(
    call: &Call,
    destination: &Destination,
    origin: &Origin,
    message: &Message<'_>,
) -> Result<(), DeliveryError> {
    let Message::Record { body, at, .. } = message else { return Err(no_dead_letters(Kind::Bucket)) };
    let request = PutObject {
        bucket: destination.arn().resource.clone(),
        key: object_key(&origin.function_name, *at, RequestId::fresh().as_str()),
        body: wire::Blob((*body).clone()),
    };
    ask(call, Kind::Bucket, "PutObject", &request).await
}

/// `aws/lambda/async/hello/2026/11/23/2026-11-23T08.05.09-<random>`.
pub(crate) fn object_key(function_name: &str, at: Timestamp, random: &str) -> String {
    let (year, month, day, hour, minute, second, _) = at.civil();
    format!(
        "aws/lambda/async/{function_name}/{year:04}/{month:02}/{day:02}/\
         {year:04}-{month:02}-{day:02}T{hour:02}.{minute:02}.{second:02}-{random}"
    )
}

fn attributes(message: &Message<'_>) -> BTreeMap<&'static str, AttributeValue> {
    let value = |attribute: &Attribute| match attribute {
        Attribute::Text(text) => AttributeValue { data_type: "String", string_value: text.clone() },
        Attribute::Number(number) => AttributeValue { data_type: "Number", string_value: number.to_string() },
    };
    message.attributes().iter().map(|(name, attribute)| (*name, value(attribute))).collect()
}

fn text(body: &Bytes) -> Result<&str, DeliveryError> {
    std::str::from_utf8(body).map_err(|_| DeliveryError::Unfit("the message is not UTF-8".to_owned()))
}

fn no_dead_letters(kind: Kind) -> DeliveryError {
    DeliveryError::Unfit(format!("{} takes no dead letters", kind.service_name()))
}

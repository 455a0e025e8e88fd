//! The requests to each service, as structs with the models' member names.
//!
//! | target | operation | form |
//! | --- | --- | --- |
//! | function | Invoke, `Event` | the message is the event |
//! | queue | SendMessage | the message is the body; the URL is made from the ARN, whose host does not matter |
//! | topic | Publish | the message is the message |
//! | bus | PutEvents | source `lambda`, the message is the detail |
//! | bucket | PutObject | `aws/lambda/async/<function>/<date>/<moment>-<random>` |

use std::collections::BTreeMap;

use base::{RequestId, Timestamp};
use bytes::Bytes;
use frontdoor::Call;
use serde::{Deserialize, Serialize};

use crate::destination::{Destination, Kind};
use crate::message::{Attribute, AttributeValue, Message};
use crate::origin::Origin;
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
struct SendMessage<'a> {
    queue_url: String,
    message_body: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    message_attributes: BTreeMap<&'a str, AttributeMember<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    message_system_attributes: BTreeMap<&'static str, AttributeMember<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_group_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_deduplication_id: Option<&'a str>,
}

/// The attribute of a message, the same for SQS and SNS.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AttributeMember<'a> {
    data_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    string_value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binary_value: Option<wire::Blob>,
}

pub(crate) async fn to_queue(
    call: &Call,
    destination: &Destination,
    message: &Message<'_>,
) -> Result<(), DeliveryError> {
    let arn = destination.arn();
    let trace = call.trace_header().map(|header| ("AWSTraceHeader", string(header)));
    let request = SendMessage {
        queue_url: format!("http://localhost/{}/{}", arn.account, arn.resource),
        message_body: text(message.body())?,
        message_attributes: attributes(message),
        message_system_attributes: trace.into_iter().collect(),
        message_group_id: message.group_id(),
        message_deduplication_id: message.dedup_id(),
    };
    ask(call, Kind::Queue, "SendMessage", &request).await
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Publish<'a> {
    topic_arn: String,
    message: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    message_attributes: BTreeMap<&'a str, AttributeMember<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_group_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_deduplication_id: Option<&'a str>,
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
        message_group_id: message.group_id(),
        message_deduplication_id: message.dedup_id(),
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
    let (Message::Record { body, success, .. }, Origin::Function(function)) = (message, origin) else {
        return Err(records_only(Kind::Bus));
    };
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
            resources: [destination.to_string(), function.function_arn.clone()],
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
    let (Message::Record { body, at, .. }, Origin::Function(function)) = (message, origin) else {
        return Err(records_only(Kind::Bucket));
    };
    let request = PutObject {
        bucket: destination.arn().resource.clone(),
        key: object_key(&function.function_name, *at, RequestId::fresh().as_str()),
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

fn attributes<'a>(message: &'a Message<'_>) -> BTreeMap<&'a str, AttributeMember<'a>> {
    message.attributes().iter().map(|(name, attribute)| (name.as_ref(), member(attribute))).collect()
}

fn member(attribute: &Attribute) -> AttributeMember<'_> {
    let data_type = attribute.data_type.as_ref();
    match &attribute.value {
        AttributeValue::Text(text) => AttributeMember { data_type, ..string(text) },
        AttributeValue::Binary(bytes) => {
            AttributeMember { data_type, string_value: None, binary_value: Some(wire::Blob(bytes.clone())) }
        }
    }
}

fn string(text: &str) -> AttributeMember<'_> {
    AttributeMember { data_type: "String", string_value: Some(text), binary_value: None }
}

fn text(body: &Bytes) -> Result<&str, DeliveryError> {
    std::str::from_utf8(body).map_err(|_| DeliveryError::Unfit("the message is not UTF-8".to_owned()))
}

fn records_only(kind: Kind) -> DeliveryError {
    DeliveryError::Unfit(format!("{} takes only the records of functions", kind.service_name()))
}

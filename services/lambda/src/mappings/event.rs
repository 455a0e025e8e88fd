//! The event that a function gets: messages in the form that Lambda gives them.
//!
//! A message is written once, when it arrives: its bytes are what counts against the limit of an event, and what the
//! filters look at.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#example-standard-queue-message-event>.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;
use service_sources::sqs::{Attribute, Message};

/// The largest event: what a synchronous invoke takes, 6 MiB.
pub(crate) const MAX_EVENT_BYTES: usize = 6_291_456;
const HEAD: &[u8] = b"{\"Records\":[";
const TAIL: &[u8] = b"]}";

/// One record of an event.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    message_id: &'a str,
    receipt_handle: &'a str,
    body: &'a str,
    attributes: &'a BTreeMap<String, String>,
    message_attributes: BTreeMap<&'a str, AttributeForm<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    md5_of_message_attributes: Option<&'a str>,
    md5_of_body: &'a str,
    event_source: &'static str,
    #[serde(rename = "eventSourceARN")]
    event_source_arn: &'a str,
    aws_region: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AttributeForm<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    string_value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binary_value: Option<String>,
    string_list_values: &'a [String],
    binary_list_values: Vec<String>,
    data_type: &'a str,
}

impl<'a> AttributeForm<'a> {
    fn of(attribute: &'a Attribute) -> Self {
        AttributeForm {
            string_value: attribute.string_value.as_deref(),
            binary_value: attribute.binary_value.as_ref().map(|bytes| STANDARD.encode(bytes)),
            string_list_values: &attribute.string_list_values,
            binary_list_values: attribute
                .binary_list_values
                .iter()
                .map(|bytes| STANDARD.encode(bytes))
                .collect(),
            data_type: &attribute.data_type,
        }
    }
}

/// A message as a record of an event.
pub(super) fn record(message: &Message, source_arn: &str, region: &str) -> serde_json::Result<Vec<u8>> {
    let attributes = message.message_attributes.iter();
    serde_json::to_vec(&Record {
        message_id: &message.id,
        receipt_handle: &message.receipt_handle,
        body: &message.body,
        attributes: &message.attributes,
        message_attributes: attributes
            .map(|(name, value)| (name.as_str(), AttributeForm::of(value)))
            .collect(),
        md5_of_message_attributes: message.md5_of_message_attributes.as_deref(),
        md5_of_body: &message.md5_of_body,
        event_source: "aws:sqs",
        event_source_arn: source_arn,
        aws_region: region,
    })
}

/// How long an event with so many records, of so many bytes together, is.
pub(super) fn length(records: usize, bytes: usize) -> usize {
    HEAD.len() + bytes + records.saturating_sub(1) + TAIL.len()
}

/// The event with these records.
pub(super) fn of_records<'a>(records: impl ExactSizeIterator<Item = &'a [u8]>, bytes: usize) -> Bytes {
    let mut event = Vec::with_capacity(length(records.len(), bytes));
    event.extend_from_slice(HEAD);
    for (index, record) in records.enumerate() {
        if index > 0 {
            event.push(b',');
        }
        event.extend_from_slice(record);
    }
    event.extend_from_slice(TAIL);
    Bytes::from(event)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_event_has_aws_s_form() {
        let text = |text: &str| Attribute {
            data_type: "String".to_owned(),
            string_value: Some(text.to_owned()),
            ..Attribute::default()
        };
        let bytes = Attribute {
            data_type: "Binary".to_owned(),
            binary_value: Some(Bytes::from_static(&[0, 255])),
            ..Attribute::default()
        };
        let message = Message {
            id: "059f36b4-87a3-44ab-83d2-661975830a7d".to_owned(),
            receipt_handle: "AQEB".to_owned(),
            body: "{\"a\": \"\u{e9}\"}".to_owned(),
            md5_of_body: "e4e6".to_owned(),
            attributes: BTreeMap::from([("ApproximateReceiveCount".to_owned(), "1".to_owned())]),
            message_attributes: BTreeMap::from([("t".to_owned(), text("x")), ("b".to_owned(), bytes)]),
            md5_of_message_attributes: Some("00ff".to_owned()),
        };
        let arn = "arn:aws:sqs:us-east-2:123456789012:my-queue";
        let record = record(&message, arn, "us-east-2").unwrap();
        let event = of_records([record.as_slice(), record.as_slice()].into_iter(), 2 * record.len());
        assert_eq!(event.len(), length(2, 2 * record.len()));
        let expected = json!({
            "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d",
            "receiptHandle": "AQEB",
            "body": "{\"a\": \"\u{e9}\"}",
            "attributes": {"ApproximateReceiveCount": "1"},
            "messageAttributes": {
                "t": {"stringValue": "x", "stringListValues": [], "binaryListValues": [], "dataType": "String"},
                "b": {"binaryValue": "AP8=", "stringListValues": [], "binaryListValues": [], "dataType": "Binary"},
            },
            "md5OfMessageAttributes": "00ff",
            "md5OfBody": "e4e6",
            "eventSource": "aws:sqs",
            "eventSourceARN": arn,
            "awsRegion": "us-east-2",
        });
        let read: Value = serde_json::from_slice(&event).unwrap();
        assert_eq!(read, json!({ "Records": [expected.clone(), expected] }));
        assert_eq!(of_records(std::iter::empty(), 0), "{\"Records\":[]}");
    }
}

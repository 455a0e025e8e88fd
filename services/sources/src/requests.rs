//! SQS's operations as structs with the model's member names. Answers hold every member that a queue gives, so that they
//! are read in one round.
//!
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_Operations.html>.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ReceiveMessage<'a> {
    pub(crate) queue_url: &'a str,
    pub(crate) max_number_of_messages: i32,
    pub(crate) wait_time_seconds: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) visibility_timeout: Option<i32>,
    pub(crate) message_system_attribute_names: [&'static str; 1],
    pub(crate) message_attribute_names: [&'static str; 1],
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Received {
    pub(crate) messages: Option<Vec<ReceivedMessage>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ReceivedMessage {
    pub(crate) message_id: String,
    pub(crate) receipt_handle: String,
    pub(crate) body: String,
    #[serde(rename = "MD5OfBody")]
    pub(crate) md5_of_body: Option<String>,
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) message_attributes: BTreeMap<String, AttributeValue>,
    #[serde(rename = "MD5OfMessageAttributes")]
    pub(crate) md5_of_message_attributes: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AttributeValue {
    pub(crate) data_type: String,
    pub(crate) string_value: Option<String>,
    pub(crate) binary_value: Option<wire::Blob>,
    // No queue has these yet, in AWS neither; they are read so that nothing is unknown.
    #[serde(default)]
    pub(crate) string_list_values: Vec<String>,
    #[serde(default)]
    pub(crate) binary_list_values: Vec<wire::Blob>,
}

impl From<AttributeValue> for crate::sqs::Attribute {
    fn from(value: AttributeValue) -> Self {
        let bytes = |blob: wire::Blob| -> Bytes { blob.0 };
        crate::sqs::Attribute {
            data_type: value.data_type,
            string_value: value.string_value,
            binary_value: value.binary_value.map(bytes),
            string_list_values: value.string_list_values,
            binary_list_values: value.binary_list_values.into_iter().map(bytes).collect(),
        }
    }
}

/// DeleteMessageBatch and ChangeMessageVisibilityBatch.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Batch<'a> {
    pub(crate) queue_url: &'a str,
    pub(crate) entries: Vec<Entry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Entry<'a> {
    pub(crate) id: String,
    pub(crate) receipt_handle: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) visibility_timeout: Option<i32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct BatchResult {
    #[serde(default)]
    #[allow(dead_code)] // read so that nothing is unknown
    pub(crate) successful: Vec<Success>,
    #[serde(default)]
    pub(crate) failed: Vec<Failure>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Success {
    #[allow(dead_code)] // see above
    pub(crate) id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Failure {
    #[allow(dead_code)] // see above
    pub(crate) id: String,
    pub(crate) code: String,
    pub(crate) message: Option<String>,
    #[allow(dead_code)] // see above
    pub(crate) sender_fault: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetQueueAttributes<'a> {
    pub(crate) queue_url: &'a str,
    pub(crate) attribute_names: [&'static str; 1],
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct QueueAttributes {
    #[serde(default)]
    pub(crate) attributes: BTreeMap<String, String>,
}

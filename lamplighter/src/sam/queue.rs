//! `AWS::SQS::Queue`: made if it is not there, else brought to what the template says; its messages stay.
//!
//! A property that left the template goes back to AWS's default. Values are SQS's to judge.
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-sqs-queue.html>

use std::collections::BTreeMap;

use base::ApiError;
use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::SamError;
use super::deploy::{Deployed, Nothing, found};
use super::node::Node;
use super::tags;

/// A queue as its template describes it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct QueueSpec {
    pub(crate) name: String,
    /// As SQS names and writes them.
    attributes: BTreeMap<&'static str, String>,
    tags: BTreeMap<String, String>,
}

/// The attributes that can be changed, and what they are without being set.
const DEFAULTS: [(&str, &str); 12] = [
    ("ContentBasedDeduplication", "false"),
    ("DeduplicationScope", "queue"),
    ("DelaySeconds", "0"),
    ("FifoThroughputLimit", "perQueue"),
    ("KmsDataKeyReusePeriodSeconds", "300"),
    ("KmsMasterKeyId", ""),
    ("MaximumMessageSize", "1048576"),
    ("MessageRetentionPeriod", "345600"),
    ("ReceiveMessageWaitTimeSeconds", "0"),
    ("RedriveAllowPolicy", ""),
    ("RedrivePolicy", ""),
    ("VisibilityTimeout", "30"),
];

/// Reads a queue whose properties are resolved.
pub(super) fn read(logical_id: &str, name: &str, properties: &Node) -> Result<QueueSpec, SamError> {
    let mut spec = QueueSpec { name: name.to_owned(), attributes: BTreeMap::new(), tags: BTreeMap::new() };
    for (key, node) in properties.entries("Properties")? {
        let value = match key.as_str() {
            "QueueName" => continue,
            "Tags" => {
                spec.tags = tags::read(node)?;
                continue;
            }
            "DelaySeconds"
            | "KmsDataKeyReusePeriodSeconds"
            | "MaximumMessageSize"
            | "MessageRetentionPeriod"
            | "ReceiveMessageWaitTimeSeconds"
            | "VisibilityTimeout" => node.integer(key)?.to_string(),
            "FifoQueue" | "ContentBasedDeduplication" | "SqsManagedSseEnabled" => {
                node.truth(key)?.to_string()
            }
            "DeduplicationScope" | "FifoThroughputLimit" | "KmsMasterKeyId" => node.text(key)?.to_owned(),
            "RedrivePolicy" | "RedriveAllowPolicy" => document(node),
            other => {
                return Err(SamError::at(
                    node.line,
                    format!("the property '{other}' of the queue '{logical_id}' is not supported yet"),
                ));
            }
        };
        // FifoQueue may only be said where it is true.
        if key != "FifoQueue" || value == "true" {
            spec.attributes.insert(attribute(key), value);
        }
    }
    Ok(spec)
}

/// The attribute's name, which is the property's.
fn attribute(key: &str) -> &'static str {
    match key {
        "FifoQueue" => "FifoQueue",
        "SqsManagedSseEnabled" => "SqsManagedSseEnabled",
        _ => DEFAULTS.iter().map(|(name, _)| *name).find(|name| *name == key).unwrap_or_default(),
    }
}

/// A policy as JSON text; a template may write one as text, too.
pub(super) fn document(node: &Node) -> String {
    match node.text("") {
        Ok(text) => text.to_owned(),
        Err(_) => node.to_json().to_string(),
    }
}

/// Brings a queue to what the template says; its URL.
///
/// # Errors
/// What SQS says of the attributes.
pub(crate) async fn deploy(call: &Call, spec: &QueueSpec) -> Result<(Deployed, String), ApiError> {
    let sqs = call.service("sqs");
    let named = Named { queue_name: &spec.name };
    let Some(QueueUrl { queue_url }) = found(sqs.invoke("GetQueueUrl", &named).await)? else {
        let attributes = (!spec.attributes.is_empty()).then_some(&spec.attributes);
        let tags = (!spec.tags.is_empty()).then_some(&spec.tags);
        let create = CreateQueue { queue_name: &spec.name, attributes, tags };
        let made: QueueUrl = sqs.invoke("CreateQueue", &create).await?;
        return Ok((Deployed::Created, made.queue_url));
    };
    let ask = GetQueueAttributes { queue_url: &queue_url, attribute_names: ["All"] };
    let current: Attributes = sqs.invoke("GetQueueAttributes", &ask).await?;
    let attributes = spec.changes(&current.attributes);
    let is_changed = !attributes.is_empty();
    if is_changed {
        let set = SetQueueAttributes { queue_url: &queue_url, attributes };
        sqs.invoke::<_, Nothing>("SetQueueAttributes", &set).await?;
    }
    let is_tagged = set_tags(call, &queue_url, &spec.tags).await?;
    Ok((Deployed::updated(is_changed || is_tagged), queue_url))
}

impl QueueSpec {
    /// What must be set so that the queue is as the template says.
    fn changes(&self, current: &BTreeMap<String, String>) -> BTreeMap<&'static str, String> {
        // Of the two kinds of encryption one takes the other's place.
        let sse = (
            "SqsManagedSseEnabled",
            if self.attributes.contains_key("KmsMasterKeyId") { "false" } else { "true" },
        );
        let is_fifo = current.get("FifoQueue").is_some_and(|value| value == "true");
        let fifo_only = ["ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit"];
        let mut changes = BTreeMap::new();
        for (name, default) in DEFAULTS.into_iter().chain([sse]) {
            let own = self.attributes.get(name);
            if own.is_none() && fifo_only.contains(&name) && !is_fifo {
                continue;
            }
            let wanted = own.map_or(default, String::as_str);
            let is = current.get(name).map_or(default, String::as_str);
            if !same(is, wanted) {
                changes.insert(name, wanted.to_owned());
            }
        }
        // A queue that is of the other kind cannot be changed: let SQS say so.
        if self.attributes.contains_key("FifoQueue") && !is_fifo {
            changes.insert("FifoQueue", "true".to_owned());
        }
        changes
    }
}

/// Whether two attributes say the same: as text, or as JSON whatever its form. Numbers may be written as text.
pub(super) fn same(one: &str, other: &str) -> bool {
    fn plain(value: serde_json::Value) -> serde_json::Value {
        match value {
            serde_json::Value::Number(number) => number.to_string().into(),
            serde_json::Value::Array(items) => items.into_iter().map(plain).collect(),
            serde_json::Value::Object(map) => {
                map.into_iter().map(|(key, value)| (key, plain(value))).collect()
            }
            other => other,
        }
    }
    let read = |text: &str| serde_json::from_str(text).ok().map(plain);
    one == other || read(one).is_some_and(|one| read(other) == Some(one))
}

async fn set_tags(call: &Call, queue_url: &str, wanted: &BTreeMap<String, String>) -> Result<bool, ApiError> {
    let sqs = call.service("sqs");
    let current: QueueTags = sqs.invoke("ListQueueTags", &OfQueue { queue_url }).await?;
    let Some(change) = tags::change(&current.tags.unwrap_or_default(), wanted) else { return Ok(false) };
    if !change.gone.is_empty() {
        let untag = UntagQueue { queue_url, tag_keys: &change.gone };
        sqs.invoke::<_, Nothing>("UntagQueue", &untag).await?;
    }
    if !wanted.is_empty() {
        sqs.invoke::<_, Nothing>("TagQueue", &TagQueue { queue_url, tags: wanted }).await?;
    }
    Ok(true)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Named<'a> {
    queue_name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct OfQueue<'a> {
    queue_url: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct QueueUrl {
    queue_url: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CreateQueue<'a> {
    queue_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<&'a BTreeMap<&'static str, String>>,
    #[serde(rename = "tags", skip_serializing_if = "Option::is_none")]
    tags: Option<&'a BTreeMap<String, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetQueueAttributes<'a> {
    queue_url: &'a str,
    attribute_names: [&'static str; 1],
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attributes {
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SetQueueAttributes<'a> {
    queue_url: &'a str,
    attributes: BTreeMap<&'static str, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct QueueTags {
    tags: Option<BTreeMap<String, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TagQueue<'a> {
    queue_url: &'a str,
    tags: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct UntagQueue<'a> {
    queue_url: &'a str,
    tag_keys: &'a [String],
}

#[cfg(test)]
mod tests {
    use super::*;

    fn current(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn spec(text: &str) -> QueueSpec {
        read("Jobs", "jobs", &Node::parse(text).unwrap()).unwrap()
    }

    #[test]
    fn only_what_differs_is_set() {
        let spec =
            spec("{VisibilityTimeout: 60, RedrivePolicy: {maxReceiveCount: '3', deadLetterTargetArn: x}}");
        let as_is = current(&[
            ("VisibilityTimeout", "60"),
            ("DelaySeconds", "0"),
            ("RedrivePolicy", r#"{"deadLetterTargetArn":"x", "maxReceiveCount":3}"#),
            ("SqsManagedSseEnabled", "true"),
        ]);
        assert_eq!(spec.changes(&as_is), BTreeMap::new());
        let other = current(&[("VisibilityTimeout", "30"), ("DelaySeconds", "5"), ("RedrivePolicy", "{}")]);
        let changes = spec.changes(&other);
        assert_eq!(
            changes.keys().copied().collect::<Vec<_>>(),
            ["DelaySeconds", "RedrivePolicy", "VisibilityTimeout"]
        );
        assert_eq!(changes["DelaySeconds"], "0", "what left the template goes back to the default");
    }

    #[test]
    fn what_is_not_known_is_named_with_its_line() {
        let node = Node::parse("QueueName: x\nVisibilityTimeOut: 3\n").unwrap();
        let error = read("Jobs", "jobs", &node).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("'VisibilityTimeOut'"), "{error}");
        let node = Node::parse("DelaySeconds: soon\n").unwrap();
        assert!(read("Jobs", "jobs", &node).unwrap_err().to_string().contains("whole number"));
    }
}

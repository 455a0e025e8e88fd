//! `AWS::SNS::Topic`: made if it is not there, else brought to what the template says. Its inline subscriptions are made
//! as resources of their own would be; one that left the list stays.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-sns-topic.html>

use std::collections::BTreeMap;

use base::{ApiError, Arn};
use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::SamError;
use super::deploy::{Deployed, Nothing, found};
use super::node::Node;
use super::queue::{document, same};
use super::subscription::{self, SubscriptionSpec};
use super::tags;

/// A topic as its template describes it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TopicSpec {
    pub(crate) name: String,
    is_fifo: bool,
    /// As SNS names and writes them.
    attributes: BTreeMap<&'static str, String>,
    data_protection: Option<String>,
    tags: BTreeMap<String, String>,
    /// Protocol and endpoint.
    subscriptions: Vec<(String, String)>,
}

/// The attributes that can be changed, and what they are without being set.
const DEFAULTS: [(&str, &str); 7] = [
    ("ArchivePolicy", ""),
    ("ContentBasedDeduplication", "false"),
    ("DisplayName", ""),
    ("FifoThroughputScope", "Topic"),
    ("KmsMasterKeyId", ""),
    ("SignatureVersion", "1"),
    ("TracingConfig", "PassThrough"),
];

/// Reads a topic whose properties are resolved.
pub(super) fn read(logical_id: &str, name: &str, properties: &Node) -> Result<TopicSpec, SamError> {
    let mut spec = TopicSpec {
        name: name.to_owned(),
        is_fifo: false,
        attributes: BTreeMap::new(),
        data_protection: None,
        tags: BTreeMap::new(),
        subscriptions: Vec::new(),
    };
    for (key, node) in properties.entries("Properties")? {
        match key.as_str() {
            "TopicName" => {}
            "FifoTopic" => spec.is_fifo = node.truth(key)?,
            "Tags" => spec.tags = tags::read(node)?,
            "DataProtectionPolicy" => spec.data_protection = Some(document(node)),
            "Subscription" => {
                for item in node.items(key)? {
                    spec.subscriptions.push(inline(item)?);
                }
            }
            "ContentBasedDeduplication" => spec.set(key, node.truth(key)?.to_string()),
            "ArchivePolicy" => spec.set(key, document(node)),
            "DisplayName"
            | "FifoThroughputScope"
            | "KmsMasterKeyId"
            | "SignatureVersion"
            | "TracingConfig" => spec.set(key, node.text(key)?.to_owned()),
            other => {
                return Err(SamError::at(
                    node.line,
                    format!("the property '{other}' of the topic '{logical_id}' is not supported yet"),
                ));
            }
        }
    }
    Ok(spec)
}

fn inline(node: &Node) -> Result<(String, String), SamError> {
    match (node.get("Protocol"), node.get("Endpoint")) {
        (Some(protocol), Some(endpoint)) if node.entries("Subscription")?.len() == 2 => {
            Ok((protocol.text("Protocol")?.to_owned(), endpoint.text("Endpoint")?.to_owned()))
        }
        _ => Err(SamError::at(node.line, "a topic's 'Subscription' has a 'Protocol' and an 'Endpoint'")),
    }
}

/// Brings a topic and its inline subscriptions to what the template says.
///
/// # Errors
/// What SNS says.
pub(crate) async fn deploy(call: &Call, spec: &TopicSpec) -> Result<Deployed, ApiError> {
    let topic_arn = Arn::regional("sns", call.region(), call.account(), spec.name.clone()).to_string();
    let current: Option<Attributes> =
        found(call.service("sns").invoke("GetTopicAttributes", &OfTopic { topic_arn: &topic_arn }).await)?;
    let mut deployed = match &current {
        None => {
            create(call, spec).await?;
            Deployed::Created
        }
        Some(current) => Deployed::updated(update(call, spec, &topic_arn, current).await?),
    };
    for (protocol, endpoint) in &spec.subscriptions {
        let subscription = SubscriptionSpec::plain(&topic_arn, protocol, endpoint);
        let (made, _) = subscription::deploy(call, &subscription).await?;
        if deployed == Deployed::Unchanged && made != Deployed::Unchanged {
            deployed = Deployed::Updated;
        }
    }
    Ok(deployed)
}

async fn create(call: &Call, spec: &TopicSpec) -> Result<(), ApiError> {
    let mut attributes = spec.attributes.clone();
    if spec.is_fifo {
        attributes.insert("FifoTopic", "true".to_owned());
    }
    let create = CreateTopic {
        name: &spec.name,
        attributes: (!attributes.is_empty()).then_some(attributes),
        tags: (!spec.tags.is_empty()).then(|| listed(&spec.tags)),
        data_protection_policy: spec.data_protection.as_deref(),
    };
    call.service("sns").invoke::<_, Nothing>("CreateTopic", &create).await?;
    Ok(())
}

async fn update(
    call: &Call,
    spec: &TopicSpec,
    topic_arn: &str,
    current: &Attributes,
) -> Result<bool, ApiError> {
    let sns = call.service("sns");
    let mut changed = false;
    for (attribute_name, attribute_value) in spec.changes(&current.attributes) {
        let set = SetTopicAttributes { topic_arn, attribute_name, attribute_value: &attribute_value };
        sns.invoke::<_, Nothing>("SetTopicAttributes", &set).await?;
        changed = true;
    }
    if let Some(wanted) = &spec.data_protection {
        let ask = OfResource { resource_arn: topic_arn };
        let current: DataProtection = sns.invoke("GetDataProtectionPolicy", &ask).await?;
        if !same(current.data_protection_policy.as_deref().unwrap_or_default(), wanted) {
            let put = PutDataProtection { resource_arn: topic_arn, data_protection_policy: wanted };
            sns.invoke::<_, Nothing>("PutDataProtectionPolicy", &put).await?;
            changed = true;
        }
    }
    let current: Tags = sns.invoke("ListTagsForResource", &OfResource { resource_arn: topic_arn }).await?;
    let current = current.tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
    if let Some(change) = tags::change(&current, &spec.tags) {
        if !change.gone.is_empty() {
            let untag = Untag { resource_arn: topic_arn, tag_keys: &change.gone };
            sns.invoke::<_, Nothing>("UntagResource", &untag).await?;
        }
        if !spec.tags.is_empty() {
            let tag = TagResource { resource_arn: topic_arn, tags: listed(&spec.tags) };
            sns.invoke::<_, Nothing>("TagResource", &tag).await?;
        }
        changed = true;
    }
    Ok(changed)
}

impl TopicSpec {
    fn set(&mut self, key: &str, value: String) {
        if let Some((name, _)) = DEFAULTS.iter().find(|(name, _)| *name == key) {
            self.attributes.insert(name, value);
        }
    }

    /// What must be set so that the topic is as the template says.
    fn changes(&self, current: &BTreeMap<String, String>) -> Vec<(&'static str, String)> {
        let differing = DEFAULTS.into_iter().filter_map(|(name, default)| {
            let wanted = self.attributes.get(name).map_or(default, String::as_str);
            let is = current.get(name).map_or(default, String::as_str);
            // Standard topics have no such attributes, and do not take them.
            let is_for_fifo =
                ["ArchivePolicy", "ContentBasedDeduplication", "FifoThroughputScope"].contains(&name);
            let is_left_out = is_for_fifo && !self.is_fifo && !self.attributes.contains_key(name);
            (!is_left_out && !same(is, wanted)).then(|| (name, wanted.to_owned()))
        });
        let mut changes: Vec<_> = differing.collect();
        // A topic that is of the other kind cannot be changed: let SNS say so.
        if self.is_fifo && current.get("FifoTopic").is_none_or(|value| value != "true") {
            changes.push(("FifoTopic", "true".to_owned()));
        }
        changes
    }
}

fn listed(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag { key: key.clone(), value: value.clone() }).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct OfTopic<'a> {
    topic_arn: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct OfResource<'a> {
    resource_arn: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attributes {
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct CreateTopic<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<BTreeMap<&'static str, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Vec<Tag>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_protection_policy: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SetTopicAttributes<'a> {
    topic_arn: &'a str,
    attribute_name: &'a str,
    attribute_value: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DataProtection {
    data_protection_policy: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PutDataProtection<'a> {
    resource_arn: &'a str,
    data_protection_policy: &'a str,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    key: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tags {
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TagResource<'a> {
    resource_arn: &'a str,
    tags: Vec<Tag>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Untag<'a> {
    resource_arn: &'a str,
    tag_keys: &'a [String],
}

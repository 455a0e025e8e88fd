//! `AWS::SNS::Subscription`: found by its topic, protocol and endpoint; made, or brought to what the template says.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-sns-subscription.html>

use std::collections::BTreeMap;

use base::{ApiError, Region};
use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::SamError;
use super::deploy::{Deployed, Nothing};
use super::node::Node;
use super::queue::{document, same};

/// A subscription as its template describes it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SubscriptionSpec {
    pub(crate) topic_arn: String,
    pub(crate) protocol: String,
    pub(crate) endpoint: String,
    /// The topic's region, where it is another.
    region: Option<Region>,
    /// As SNS names and writes them.
    attributes: BTreeMap<&'static str, String>,
}

/// The attributes that can be changed, and what they are without being set.
const DEFAULTS: [(&str, &str); 7] = [
    ("DeliveryPolicy", ""),
    ("FilterPolicy", ""),
    ("FilterPolicyScope", "MessageAttributes"),
    ("RawMessageDelivery", "false"),
    ("RedrivePolicy", ""),
    ("ReplayPolicy", ""),
    ("SubscriptionRoleArn", ""),
];

impl SubscriptionSpec {
    /// One without attributes.
    pub(super) fn plain(topic_arn: &str, protocol: &str, endpoint: &str) -> Self {
        SubscriptionSpec {
            topic_arn: topic_arn.to_owned(),
            protocol: protocol.to_owned(),
            endpoint: endpoint.to_owned(),
            region: None,
            attributes: BTreeMap::new(),
        }
    }
}

/// Reads a subscription whose properties are resolved.
pub(super) fn read(logical_id: &str, properties: &Node) -> Result<SubscriptionSpec, SamError> {
    let mut spec = SubscriptionSpec::plain("", "", "");
    for (key, node) in properties.entries("Properties")? {
        match key.as_str() {
            "TopicArn" => node.text(key)?.clone_into(&mut spec.topic_arn),
            "Protocol" => node.text(key)?.clone_into(&mut spec.protocol),
            "Endpoint" => node.text(key)?.clone_into(&mut spec.endpoint),
            "Region" => {
                let region = node.text(key)?.parse();
                spec.region = Some(region.map_err(|_| SamError::at(node.line, "'Region' is no region"))?);
            }
            "RawMessageDelivery" => spec.set(key, node.truth(key)?.to_string()),
            "FilterPolicyScope" | "SubscriptionRoleArn" => spec.set(key, node.text(key)?.to_owned()),
            "DeliveryPolicy" | "FilterPolicy" | "RedrivePolicy" | "ReplayPolicy" => {
                spec.set(key, document(node));
            }
            other => {
                return Err(SamError::at(
                    node.line,
                    format!("the property '{other}' of the subscription '{logical_id}' is not supported yet"),
                ));
            }
        }
    }
    for (what, value) in [("TopicArn", &spec.topic_arn), ("Protocol", &spec.protocol)] {
        if value.is_empty() {
            return Err(SamError::at(
                properties.line,
                format!("the subscription '{logical_id}' has no '{what}'"),
            ));
        }
    }
    Ok(spec)
}

/// Brings a subscription to what the template says; its ARN.
///
/// # Errors
/// What SNS says.
pub(crate) async fn deploy(call: &Call, spec: &SubscriptionSpec) -> Result<(Deployed, String), ApiError> {
    let elsewhere = spec.region.as_ref().filter(|region| *region != call.region());
    let call = match elsewhere {
        Some(region) => &call.front_door().call(call.principal().clone(), call.account(), region.clone()),
        None => call,
    };
    match find(call, spec).await? {
        // One that waits for its confirmation has no ARN yet, and no attributes to compare; asking again is nobody's wish.
        Some(pending) if !pending.starts_with("arn:") => Ok((Deployed::Unchanged, pending)),
        Some(arn) => Ok((Deployed::updated(update(call, spec, &arn).await?), arn)),
        None => {
            let subscribe = Subscribe {
                topic_arn: &spec.topic_arn,
                protocol: &spec.protocol,
                endpoint: &spec.endpoint,
                attributes: (!spec.attributes.is_empty()).then_some(&spec.attributes),
                return_subscription_arn: true,
            };
            let made: Subscribed = call.service("sns").invoke("Subscribe", &subscribe).await?;
            Ok((Deployed::Created, made.subscription_arn))
        }
    }
}

async fn find(call: &Call, spec: &SubscriptionSpec) -> Result<Option<String>, ApiError> {
    let mut next_token = None;
    loop {
        let list = List { topic_arn: &spec.topic_arn, next_token: next_token.as_deref() };
        let page: Page = call.service("sns").invoke("ListSubscriptionsByTopic", &list).await?;
        let same = |known: &Known| known.protocol == spec.protocol && known.endpoint == spec.endpoint;
        if let Some(known) = page.subscriptions.into_iter().find(same) {
            return Ok(Some(known.subscription_arn));
        }
        next_token = page.next_token;
        if next_token.is_none() {
            return Ok(None);
        }
    }
}

async fn update(call: &Call, spec: &SubscriptionSpec, subscription_arn: &str) -> Result<bool, ApiError> {
    let sns = call.service("sns");
    let ask = OfSubscription { subscription_arn };
    let current: Attributes = sns.invoke("GetSubscriptionAttributes", &ask).await?;
    let changes = spec.changes(&current.attributes);
    for (attribute_name, attribute_value) in &changes {
        let set = SetAttribute { subscription_arn, attribute_name, attribute_value };
        sns.invoke::<_, Nothing>("SetSubscriptionAttributes", &set).await?;
    }
    Ok(!changes.is_empty())
}

impl SubscriptionSpec {
    fn set(&mut self, key: &str, value: String) {
        if let Some((name, _)) = DEFAULTS.iter().find(|(name, _)| *name == key) {
            self.attributes.insert(name, value);
        }
    }

    /// What must be set, in an order in which each is allowed: a filter policy goes by its scope.
    fn changes(&self, current: &BTreeMap<String, String>) -> Vec<(&'static str, String)> {
        let mut changes: Vec<(&'static str, String)> = DEFAULTS
            .into_iter()
            .filter_map(|(name, default)| {
                let wanted = self.attributes.get(name).map_or(default, String::as_str);
                let is = current.get(name).map_or(default, String::as_str);
                let is_same = same(is, wanted) || wanted.is_empty() && is == "{}";
                (!is_same).then(|| (name, if wanted.is_empty() { "{}" } else { wanted }.to_owned()))
            })
            .collect();
        changes.sort_by_key(|(name, _)| *name != "FilterPolicyScope");
        changes
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Subscribe<'a> {
    topic_arn: &'a str,
    protocol: &'a str,
    endpoint: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<&'a BTreeMap<&'static str, String>>,
    return_subscription_arn: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Subscribed {
    subscription_arn: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct List<'a> {
    topic_arn: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    subscriptions: Vec<Known>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Known {
    subscription_arn: String,
    protocol: String,
    endpoint: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct OfSubscription<'a> {
    subscription_arn: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attributes {
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SetAttribute<'a> {
    subscription_arn: &'a str,
    attribute_name: &'a str,
    attribute_value: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scope_is_set_before_the_filter() {
        let text = "{TopicArn: t, Protocol: sqs, Endpoint: q, FilterPolicy: {a: [x]}, FilterPolicyScope: MessageBody, RawMessageDelivery: true}";
        let spec = read("Sub", &Node::parse(text).unwrap()).unwrap();
        let names: Vec<_> = spec.changes(&BTreeMap::new()).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["FilterPolicyScope", "FilterPolicy", "RawMessageDelivery"]);
        let as_is = BTreeMap::from([
            ("FilterPolicy".to_owned(), r#"{"a": ["x"]}"#.to_owned()),
            ("FilterPolicyScope".to_owned(), "MessageBody".to_owned()),
            ("RawMessageDelivery".to_owned(), "true".to_owned()),
        ]);
        assert!(spec.changes(&as_is).is_empty());
        let plain = SubscriptionSpec::plain("t", "sqs", "q");
        assert_eq!(plain.changes(&as_is)[1], ("FilterPolicy", "{}".to_owned()), "it is taken away");
    }
}

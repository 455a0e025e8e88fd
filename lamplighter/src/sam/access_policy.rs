//! `AWS::SQS::QueuePolicy` and `AWS::SNS::TopicPolicy`: one policy for some queues or topics.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-sqs-queuepolicy.html>,
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-sns-topicpolicy.html>.

use std::collections::BTreeMap;

use base::ApiError;
use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::SamError;
use super::deploy::{Deployed, Nothing};
use super::layer::texts;
use super::node::Node;
use super::queue::{document, same};

/// A policy and whose it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PolicySpec {
    document: String,
    /// URLs of queues, or ARNs of topics.
    pub(crate) of: Vec<String>,
}

/// Reads a policy whose properties are resolved; `of` is the property that says whose it is.
pub(super) fn read(logical_id: &str, of: &str, properties: &Node) -> Result<PolicySpec, SamError> {
    let mut spec = PolicySpec { document: String::new(), of: Vec::new() };
    for (key, node) in properties.entries("Properties")? {
        match key.as_str() {
            "PolicyDocument" => spec.document = document(node),
            other if other == of => spec.of = texts(node, key)?,
            other => {
                return Err(SamError::at(
                    node.line,
                    format!("the property '{other}' of the policy '{logical_id}' is not supported yet"),
                ));
            }
        }
    }
    if spec.document.is_empty() || spec.of.is_empty() {
        let line = properties.line;
        return Err(SamError::at(
            line,
            format!("the policy '{logical_id}' needs 'PolicyDocument' and '{of}'"),
        ));
    }
    Ok(spec)
}

/// Gives queues their policy.
///
/// # Errors
/// What SQS says of the policy.
pub(crate) async fn deploy_to_queues(call: &Call, spec: &PolicySpec) -> Result<Deployed, ApiError> {
    let sqs = call.service("sqs");
    let mut changed = false;
    for queue_url in &spec.of {
        let ask = GetQueueAttributes { queue_url, attribute_names: ["Policy"] };
        let current: Attributes = sqs.invoke("GetQueueAttributes", &ask).await?;
        if current.is(&spec.document) {
            continue;
        }
        let set = SetQueueAttributes { queue_url, attributes: Policy { policy: &spec.document } };
        sqs.invoke::<_, Nothing>("SetQueueAttributes", &set).await?;
        changed = true;
    }
    Ok(Deployed::updated(changed))
}

/// Gives topics their policy.
///
/// # Errors
/// What SNS says of the policy.
pub(crate) async fn deploy_to_topics(call: &Call, spec: &PolicySpec) -> Result<Deployed, ApiError> {
    let sns = call.service("sns");
    let mut changed = false;
    for topic_arn in &spec.of {
        let current: Attributes = sns.invoke("GetTopicAttributes", &OfTopic { topic_arn }).await?;
        if current.is(&spec.document) {
            continue;
        }
        let set = SetTopicAttributes { topic_arn, attribute_name: "Policy", attribute_value: &spec.document };
        sns.invoke::<_, Nothing>("SetTopicAttributes", &set).await?;
        changed = true;
    }
    Ok(Deployed::updated(changed))
}

impl Attributes {
    fn is(&self, document: &str) -> bool {
        self.attributes.as_ref().and_then(|all| all.get("Policy")).is_some_and(|known| same(known, document))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attributes {
    attributes: Option<BTreeMap<String, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetQueueAttributes<'a> {
    queue_url: &'a str,
    attribute_names: [&'static str; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SetQueueAttributes<'a> {
    queue_url: &'a str,
    attributes: Policy<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Policy<'a> {
    policy: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct OfTopic<'a> {
    topic_arn: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SetTopicAttributes<'a> {
    topic_arn: &'a str,
    attribute_name: &'a str,
    attribute_value: &'a str,
}

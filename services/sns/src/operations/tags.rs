//! TagResource, UntagResource, ListTagsForResource: tags of topics, at most fifty.
//!
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-tags.html>.

use std::collections::BTreeMap;
use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};

use crate::Sns;
use crate::address::TopicAddress;
use crate::errors::SnsError;

const MAX_TAGS: usize = 50;

/// A tag. The model bounds the lengths of both.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Tag {
    key: String,
    value: String,
}

/// Tags as a topic keeps them.
///
/// # Errors
/// `InvalidParameter` for a key that is there twice or is AWS's, `TagLimitExceeded`.
pub(crate) fn checked(tags: Vec<Tag>) -> Result<BTreeMap<String, String>, SnsError> {
    let count = tags.len();
    let tags: BTreeMap<String, String> = tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
    if tags.len() < count {
        return Err(SnsError::invalid("Duplicated keys are not allowed."));
    }
    if tags.keys().any(|key| key.to_ascii_lowercase().starts_with("aws:")) {
        return Err(SnsError::invalid("Tag keys beginning with aws: are reserved for system use"));
    }
    within_limit(&tags)?;
    Ok(tags)
}

fn within_limit(tags: &BTreeMap<String, String>) -> Result<(), SnsError> {
    if tags.len() > MAX_TAGS {
        return Err(SnsError::other(
            "TagLimitExceededException",
            "Could not complete request: tag quota of per resource exceeded",
        ));
    }
    Ok(())
}

/// The topic of a request about tags, which has an error of its own for one that there is not.
fn resource(error: SnsError) -> SnsError {
    match error {
        SnsError::NoTopic => SnsError::other("ResourceNotFoundException", "Resource does not exist"),
        other => other,
    }
}

fn address(sns: &Sns, call: &Call, arn: &str, action: &'static str) -> Result<TopicAddress, SnsError> {
    Ok(sns.topic_for(call, "ResourceArn", arn, action).map_err(resource)?.0)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TagResource {
    resource_arn: String,
    tags: Vec<Tag>,
}

#[derive(Serialize)]
pub(crate) struct Nothing {}

pub(crate) async fn tag_resource(
    sns: Arc<Sns>,
    call: Call,
    request: TagResource,
) -> Result<Nothing, SnsError> {
    let address = address(&sns, &call, &request.resource_arn, "SNS:TagResource")?;
    let tags = checked(request.tags)?;
    sns.change_topic(&address, move |_, topic| {
        topic.tags.extend(tags.clone());
        Ok(within_limit(&topic.tags))
    })
    .await
    .map_err(resource)?;
    Ok(Nothing {})
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UntagResource {
    resource_arn: String,
    tag_keys: Vec<String>,
}

pub(crate) async fn untag_resource(
    sns: Arc<Sns>,
    call: Call,
    request: UntagResource,
) -> Result<Nothing, SnsError> {
    let address = address(&sns, &call, &request.resource_arn, "SNS:UntagResource")?;
    let keys = request.tag_keys;
    sns.change_topic(&address, move |_, topic| {
        topic.tags.retain(|key, _| !keys.contains(key));
        Ok(Ok(()))
    })
    .await
    .map_err(resource)?;
    Ok(Nothing {})
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListTags {
    resource_arn: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Tags {
    tags: Vec<Tag>,
}

pub(crate) async fn list_tags(sns: Arc<Sns>, call: Call, request: ListTags) -> Result<Tags, SnsError> {
    let found = sns.topic_for(&call, "ResourceArn", &request.resource_arn, "SNS:ListTagsForResource");
    let (_, topic) = found.map_err(resource)?;
    Ok(Tags { tags: topic.tags.into_iter().map(|(key, value)| Tag { key, value }).collect() })
}

//! Tags of groups, by ARN and, as older clients do it, by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::{Done, scope_of};
use crate::Logs;
use crate::errors::LogsError;
use crate::group;
use crate::identifier::name_in_arn;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TagResource {
    resource_arn: String,
    tags: BTreeMap<String, String>,
}

pub(crate) async fn tag_resource(logs: Arc<Logs>, call: Call, input: TagResource) -> Result<Done, LogsError> {
    let name = name_in_arn(&scope_of(&call), &input.resource_arn)?;
    add(&logs, &call, name, input.tags).await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UntagResource {
    resource_arn: String,
    tag_keys: Vec<String>,
}

pub(crate) async fn untag_resource(
    logs: Arc<Logs>,
    call: Call,
    input: UntagResource,
) -> Result<Done, LogsError> {
    let name = name_in_arn(&scope_of(&call), &input.resource_arn)?;
    remove(&logs, &call, name, input.tag_keys).await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListTagsForResource {
    resource_arn: String,
}

#[derive(Serialize)]
pub(crate) struct Tags {
    tags: BTreeMap<String, String>,
}

pub(crate) async fn list_tags_for_resource(
    logs: Arc<Logs>,
    call: Call,
    input: ListTagsForResource,
) -> Result<Tags, LogsError> {
    let scope = scope_of(&call);
    let name = name_in_arn(&scope, &input.resource_arn)?;
    Ok(Tags { tags: logs.group(&scope, &name)?.tags })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TagLogGroup {
    log_group_name: String,
    tags: BTreeMap<String, String>,
}

pub(crate) async fn tag_log_group(
    logs: Arc<Logs>,
    call: Call,
    input: TagLogGroup,
) -> Result<Done, LogsError> {
    add(&logs, &call, input.log_group_name, input.tags).await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UntagLogGroup {
    log_group_name: String,
    /// Keys, whatever the member is called.
    tags: Vec<String>,
}

pub(crate) async fn untag_log_group(
    logs: Arc<Logs>,
    call: Call,
    input: UntagLogGroup,
) -> Result<Done, LogsError> {
    remove(&logs, &call, input.log_group_name, input.tags).await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListTagsLogGroup {
    log_group_name: String,
}

pub(crate) async fn list_tags_log_group(
    logs: Arc<Logs>,
    call: Call,
    input: ListTagsLogGroup,
) -> Result<Tags, LogsError> {
    Ok(Tags { tags: logs.group(&scope_of(&call), &input.log_group_name)?.tags })
}

async fn add(
    logs: &Logs,
    call: &Call,
    name: String,
    added: BTreeMap<String, String>,
) -> Result<Done, LogsError> {
    logs.update_group(scope_of(call), name, move |record| group::merge_tags(&mut record.tags, added.clone()))
        .await?;
    Ok(Done {})
}

async fn remove(logs: &Logs, call: &Call, name: String, keys: Vec<String>) -> Result<Done, LogsError> {
    logs.update_group(scope_of(call), name, move |record| {
        record.tags.retain(|key, _| !keys.contains(key));
        Ok(())
    })
    .await?;
    Ok(Done {})
}

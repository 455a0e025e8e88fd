//! GetQueueAttributes, SetQueueAttributes, AddPermission, RemovePermission.

use std::collections::BTreeMap;
use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};

use crate::Sqs;
use crate::attributes::{self, Given};
use crate::dead_letters;
use crate::errors::SqsError;
use crate::messages::manage::Counts;
use crate::statements::{self, Permission};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetQueueAttributes {
    queue_url: String,
    #[serde(default)]
    attribute_names: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Shown {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<&'static str, String>,
}

pub(crate) async fn get_queue_attributes(
    sqs: Arc<Sqs>,
    call: Call,
    request: GetQueueAttributes,
) -> Result<Shown, SqsError> {
    let names = request.attribute_names;
    let queue = sqs.queue_for(&call, &request.queue_url, "sqs:GetQueueAttributes")?;
    if let Some(name) = names.iter().find(|name| !attributes::is_known(name)) {
        return Err(attributes::unknown(name));
    }
    let counted = names.iter().any(|name| attributes::is_number(name));
    let numbers = if counted { sqs.messages.counts(&queue).await? } else { Counts::default() };
    Ok(Shown { attributes: attributes::values(&queue, numbers, &names) })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SetQueueAttributes {
    queue_url: String,
    attributes: Given,
}

pub(crate) async fn set_queue_attributes(
    sqs: Arc<Sqs>,
    call: Call,
    request: SetQueueAttributes,
) -> Result<(), SqsError> {
    let given = request.attributes;
    let queue = sqs.own_queue_for(&call, &request.queue_url, "sqs:SetQueueAttributes")?;
    if given.is_empty() {
        return Err(SqsError::missing("Attribute.Name"));
    }
    let now = sqs.clock.now();
    sqs.update_queue(&queue, move |tx, queue| {
        let before = queue.attributes.redrive.clone();
        if let Err(error) = attributes::set(&mut queue.attributes, &given, &queue.name) {
            return Ok(Err(error));
        }
        queue.modified_at = now;
        let text = given.get("RedrivePolicy").and_then(Option::as_deref).filter(|text| !text.is_empty());
        dead_letters::link(tx, queue, before.as_ref(), text)
    })
    .await
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AddPermission {
    queue_url: String,
    label: String,
    #[serde(rename = "AWSAccountIds")]
    accounts: Vec<String>,
    actions: Vec<String>,
}

pub(crate) async fn add_permission(
    sqs: Arc<Sqs>,
    call: Call,
    request: AddPermission,
) -> Result<(), SqsError> {
    let queue = sqs.own_queue_for(&call, &request.queue_url, "sqs:AddPermission")?;
    let permission = Permission::new(request.label, &request.accounts, request.actions)?;
    let now = sqs.clock.now();
    sqs.update_queue(&queue, move |_, queue| {
        let policy = match permission.add_to(queue.attributes.policy.as_deref(), &queue.arn()) {
            Ok(policy) => policy,
            Err(error) => return Ok(Err(error)),
        };
        queue.attributes.policy = Some(policy);
        queue.modified_at = now;
        Ok(Ok(()))
    })
    .await
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RemovePermission {
    queue_url: String,
    label: String,
}

pub(crate) async fn remove_permission(
    sqs: Arc<Sqs>,
    call: Call,
    request: RemovePermission,
) -> Result<(), SqsError> {
    let queue = sqs.own_queue_for(&call, &request.queue_url, "sqs:RemovePermission")?;
    let now = sqs.clock.now();
    sqs.update_queue(&queue, move |_, queue| {
        queue.attributes.policy =
            match statements::without(queue.attributes.policy.as_deref(), &request.label) {
                Ok(policy) => policy,
                Err(error) => return Ok(Err(error)),
            };
        queue.modified_at = now;
        Ok(Ok(()))
    })
    .await
}

//! AddPermission and RemovePermission: statements in a topic's policy.

use std::sync::Arc;

use frontdoor::Call;
use serde::Deserialize;

use crate::Sns;
use crate::errors::SnsError;
use crate::topic_attributes;
use crate::topic_policy;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AddPermission {
    topic_arn: String,
    label: String,
    #[serde(rename = "AWSAccountId")]
    accounts: Vec<String>,
    #[serde(rename = "ActionName")]
    actions: Vec<String>,
}

pub(crate) async fn add_permission(
    sns: Arc<Sns>,
    call: Call,
    request: AddPermission,
) -> Result<(), SnsError> {
    let AddPermission { topic_arn, label, accounts, actions } = request;
    let (address, _) = sns.topic_for(&call, "TopicArn", &topic_arn, "SNS:AddPermission")?;
    sns.change_topic(&address, move |_, topic| {
        let policy = topic_attributes::policy_of(topic);
        Ok(topic_policy::with_statement(&policy, &topic_arn, &label, &accounts, &actions)
            .map(|policy| topic.settings.policy = Some(policy)))
    })
    .await
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RemovePermission {
    topic_arn: String,
    label: String,
}

pub(crate) async fn remove_permission(
    sns: Arc<Sns>,
    call: Call,
    request: RemovePermission,
) -> Result<(), SnsError> {
    let (address, _) = sns.topic_for(&call, "TopicArn", &request.topic_arn, "SNS:RemovePermission")?;
    sns.change_topic(&address, move |_, topic| {
        let policy = topic_attributes::policy_of(topic);
        Ok(topic_policy::without_statement(&policy, &request.label)
            .map(|policy| topic.settings.policy = Some(policy)))
    })
    .await
}

//! PutDataProtectionPolicy and GetDataProtectionPolicy.
//!
//! A policy is kept and shown. Statements (audit, de-identify, deny) are not carried out here yet, so a policy that has
//! some is refused by name rather than kept without effect.
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-message-data-protection-policies.html>.

use std::collections::BTreeMap;
use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Sns;
use crate::errors::SnsError;

const MAX_POLICY_CHARS: usize = 30_720;

/// Looks at a policy before it is kept; an empty text takes it away.
///
/// # Errors
/// `InvalidParameter`.
pub(crate) fn checked(text: &str) -> Result<Option<String>, SnsError> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.chars().count() > MAX_POLICY_CHARS {
        return Err(SnsError::invalid(
            "DataProtectionPolicy Reason: the policy is longer than 30720 characters",
        ));
    }
    let policy: BTreeMap<String, Value> = serde_json::from_str(text)
        .map_err(|_| SnsError::invalid("DataProtectionPolicy Reason: failed to parse JSON."))?;
    let Some(Value::Array(statements)) = policy.get("Statement") else {
        return Err(SnsError::invalid("DataProtectionPolicy Reason: Statement is required"));
    };
    if let Some(statement) = statements.first() {
        let operation = statement.get("Operation").and_then(Value::as_object);
        let operation =
            operation.and_then(|operation| operation.keys().next()).map_or("none", String::as_str);
        return Err(SnsError::invalid(format!(
            "DataProtectionPolicy Reason: data protection is not carried out here yet, so the operation {operation} \
             is not supported"
        )));
    }
    Ok(Some(text.to_owned()))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutPolicy {
    resource_arn: String,
    data_protection_policy: String,
}

pub(crate) async fn put_policy(sns: Arc<Sns>, call: Call, request: PutPolicy) -> Result<(), SnsError> {
    let (address, _) =
        sns.topic_for(&call, "ResourceArn", &request.resource_arn, "SNS:PutDataProtectionPolicy")?;
    let policy = checked(&request.data_protection_policy)?;
    sns.change_topic(&address, move |_, topic| {
        topic.settings.data_protection_policy.clone_from(&policy);
        Ok(Ok(()))
    })
    .await
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetPolicy {
    resource_arn: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Policy {
    #[serde(skip_serializing_if = "Option::is_none")]
    data_protection_policy: Option<String>,
}

pub(crate) async fn get_policy(sns: Arc<Sns>, call: Call, request: GetPolicy) -> Result<Policy, SnsError> {
    let (_, topic) =
        sns.topic_for(&call, "ResourceArn", &request.resource_arn, "SNS:GetDataProtectionPolicy")?;
    Ok(Policy { data_protection_policy: topic.settings.data_protection_policy })
}

//! PutResourcePolicy, GetResourcePolicy and DeleteResourcePolicy: a resource policy as a whole document.
//!
//! It is the same policy that AddPermission adds to. Policies of runtimes (`runtime/..` ARNs) are refused by name.
//! <https://docs.aws.amazon.com/lambda/latest/api/API_PutResourcePolicy.html>.

// Member names are the model's.
#![allow(missing_docs)]

use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::permissions::policy_row;
use super::target;
use crate::Lambda;
use crate::error::LambdaError;
use crate::name::Target;
use crate::policy::Policy;
use crate::policy::kept::{PolicyRow, kept_at};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutResourcePolicyRequest {
    resource_arn: String,
    policy: String,
    revision_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetResourcePolicyRequest {
    resource_arn: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeleteResourcePolicyRequest {
    resource_arn: String,
    revision_id: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ResourcePolicyResponse {
    policy: String,
    revision_id: String,
}

/// Replaces the policy of a function, a version or an alias.
pub(crate) async fn put_resource_policy(
    lambda: Arc<Lambda>,
    call: Call,
    request: PutResourcePolicyRequest,
) -> Result<ResourcePolicyResponse, LambdaError> {
    let target = owner(&call, "PutResourcePolicy", &request.resource_arn)?;
    lambda.functions.check_qualifier(&target)?;
    let policy = Policy::checked(&request.policy, &target.arn())?;
    let row = PolicyRow { revision_id: uuid::Uuid::new_v4().to_string(), text: policy.text()? };
    let put = {
        let row = row.clone();
        move |before: Option<PolicyRow>| {
            PolicyRow::check(before.as_ref(), request.revision_id.as_deref())?;
            Ok(Some(row.clone()))
        }
    };
    lambda.functions.change_aspect(&target, kept_at(&target), put).await?;
    Ok(ResourcePolicyResponse { policy: row.text, revision_id: row.revision_id })
}

/// The policy of a function, a version or an alias.
pub(crate) async fn get_resource_policy(
    lambda: Arc<Lambda>,
    call: Call,
    request: GetResourcePolicyRequest,
) -> Result<ResourcePolicyResponse, LambdaError> {
    let target = owner(&call, "GetResourcePolicy", &request.resource_arn)?;
    let row = policy_row(&lambda, &target)?;
    Ok(ResourcePolicyResponse { policy: row.text, revision_id: row.revision_id })
}

/// Removes the policy of a function, a version or an alias, all statements at once.
pub(crate) async fn delete_resource_policy(
    lambda: Arc<Lambda>,
    call: Call,
    request: DeleteResourcePolicyRequest,
) -> Result<(), LambdaError> {
    let target = owner(&call, "DeleteResourcePolicy", &request.resource_arn)?;
    policy_row(&lambda, &target)?;
    let delete = move |row: Option<PolicyRow>| {
        PolicyRow::check(row.as_ref(), request.revision_id.as_deref())?;
        Ok(None)
    };
    lambda.functions.change_aspect(&target, kept_at(&target), delete).await?;
    Ok(())
}

fn owner(call: &Call, operation: &'static str, resource_arn: &str) -> Result<Target, LambdaError> {
    if resource_arn.split(':').nth(5).is_some_and(|kind| kind.starts_with("runtime/")) {
        return Err(LambdaError::Unsupported {
            parameter: "ResourceArn",
            operation,
            why: "functions, versions and aliases have policies; runtimes have none".to_owned(),
        });
    }
    target(call, operation, resource_arn, None)
}

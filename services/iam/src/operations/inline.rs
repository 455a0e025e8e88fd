//! A role's inline policies.

use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::{Done, encoded_document};
use crate::Iam;
use crate::errors::IamError;
use crate::page::PageRequest;
use crate::role::Role;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PutRolePolicy {
    role_name: String,
    policy_name: String,
    policy_document: String,
}

pub(crate) async fn put_role_policy(
    iam: Arc<Iam>,
    call: Call,
    input: PutRolePolicy,
) -> Result<Done, IamError> {
    let PutRolePolicy { role_name, policy_name, policy_document } = input;
    iam.update(call.account(), role_name, move |role: &mut Role| {
        role.put_inline(policy_name.clone(), policy_document.clone())
    })
    .await?;
    Ok(Done {})
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct OnePolicyName {
    role_name: String,
    policy_name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RolePolicy {
    role_name: String,
    policy_name: String,
    policy_document: String,
}

pub(crate) async fn get_role_policy(
    iam: Arc<Iam>,
    call: Call,
    input: OnePolicyName,
) -> Result<RolePolicy, IamError> {
    let role: Role = iam.read(call.account(), &input.role_name)?;
    let document = role
        .inline
        .get(&input.policy_name)
        .ok_or_else(|| IamError::NoSuchRolePolicy(input.policy_name.clone()))?;
    Ok(RolePolicy {
        policy_document: encoded_document(document),
        role_name: role.name,
        policy_name: input.policy_name,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListRolePolicies {
    role_name: String,
    marker: Option<String>,
    max_items: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PolicyNames {
    policy_names: Vec<String>,
    is_truncated: bool,
    marker: Option<String>,
}

pub(crate) async fn list_role_policies(
    iam: Arc<Iam>,
    call: Call,
    input: ListRolePolicies,
) -> Result<PolicyNames, IamError> {
    let request = PageRequest::new(input.marker.as_deref(), input.max_items)?;
    let role: Role = iam.read(call.account(), &input.role_name)?;
    let page = request.of(role.inline.keys().map(|name| (name.as_str(), name.clone())));
    Ok(PolicyNames { policy_names: page.items, is_truncated: page.marker.is_some(), marker: page.marker })
}

pub(crate) async fn delete_role_policy(
    iam: Arc<Iam>,
    call: Call,
    input: OnePolicyName,
) -> Result<Done, IamError> {
    let OnePolicyName { role_name, policy_name } = input;
    iam.update(call.account(), role_name, move |role: &mut Role| {
        let removed = role.inline.remove(&policy_name);
        removed.map(|_| ()).ok_or_else(|| IamError::NoSuchRolePolicy(policy_name.clone()))
    })
    .await?;
    Ok(Done {})
}

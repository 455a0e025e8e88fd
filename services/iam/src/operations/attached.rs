//! Managed policies attached to a role.
//!
//! A policy of AWS's is taken by its name; a policy of the account must exist, and counts its attachments.

use std::sync::Arc;

use base::AccountId;
use frontdoor::Call;
use serde::{Deserialize, Serialize};
use store::Tx;

use super::Done;
use crate::Iam;
use crate::errors::{IamError, Stop};
use crate::page::PageRequest;
use crate::policy::{Policy, PolicyOwner, last_segment, owner};
use crate::role::Role;
use crate::state::{load, save};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RoleAndPolicy {
    role_name: String,
    policy_arn: String,
}

pub(crate) async fn attach_role_policy(
    iam: Arc<Iam>,
    call: Call,
    input: RoleAndPolicy,
) -> Result<Done, IamError> {
    let account = call.account();
    iam.change(move |tx| {
        let RoleAndPolicy { role_name, policy_arn } = &input;
        let mut role: Role = load(tx, account, role_name)?;
        let policy = attachable(tx, account, policy_arn)?;
        if !role.attach(policy_arn)? {
            return Ok(());
        }
        if let Some(mut policy) = policy {
            policy.attachments += 1;
            save(tx, account, &policy)?;
        }
        Ok(save(tx, account, &role)?)
    })
    .await?;
    Ok(Done {})
}

pub(crate) async fn detach_role_policy(
    iam: Arc<Iam>,
    call: Call,
    input: RoleAndPolicy,
) -> Result<Done, IamError> {
    let account = call.account();
    iam.change(move |tx| {
        let RoleAndPolicy { role_name, policy_arn } = &input;
        let mut role: Role = load(tx, account, role_name)?;
        if !role.attached.remove(policy_arn) {
            return Err(IamError::NoSuchPolicy(policy_arn.clone()).into());
        }
        if let Some(mut policy) = attachable(tx, account, policy_arn)? {
            policy.attachments = policy.attachments.saturating_sub(1);
            save(tx, account, &policy)?;
        }
        Ok(save(tx, account, &role)?)
    })
    .await?;
    Ok(Done {})
}

/// The record of a policy that can be attached; `None` for one of AWS's.
fn attachable(tx: &dyn Tx, account: AccountId, arn: &str) -> Result<Option<Policy>, Stop> {
    let missing = || Stop::No(IamError::NotAttachable(arn.to_owned()));
    let name = match owner(arn, account)? {
        PolicyOwner::Aws => return Ok(None),
        PolicyOwner::Account(name) => name,
        PolicyOwner::Other => return Err(missing()),
    };
    match load::<Policy>(tx, account, name) {
        Ok(policy) if policy.arn(account) == arn => Ok(Some(policy)),
        Ok(_) | Err(Stop::No(_)) => Err(missing()),
        Err(stop) => Err(stop),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListAttachedRolePolicies {
    role_name: String,
    /// The path of the policy.
    path_prefix: Option<String>,
    marker: Option<String>,
    max_items: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AttachedPolicies {
    attached_policies: Vec<AttachedPolicy>,
    is_truncated: bool,
    marker: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AttachedPolicy {
    policy_name: String,
    policy_arn: String,
}

pub(crate) async fn list_attached_role_policies(
    iam: Arc<Iam>,
    call: Call,
    input: ListAttachedRolePolicies,
) -> Result<AttachedPolicies, IamError> {
    let request = PageRequest::new(input.marker.as_deref(), input.max_items)?;
    let role: Role = iam.read(call.account(), &input.role_name)?;
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    // The path is what stands between `:policy` and the name.
    let below = |arn: &&String| arn.split_once(":policy").is_some_and(|(_, path)| path.starts_with(prefix));
    let page = request.of(role.attached.iter().filter(below).map(|arn| (arn.as_str(), arn)));
    let attached_policies = page
        .items
        .into_iter()
        .map(|arn| AttachedPolicy { policy_name: last_segment(arn).to_owned(), policy_arn: arn.clone() })
        .collect();
    Ok(AttachedPolicies { attached_policies, is_truncated: page.marker.is_some(), marker: page.marker })
}

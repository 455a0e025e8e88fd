//! The account's own managed policies. What AWS manages has no record here.

use std::sync::Arc;

use base::AccountId;
use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::{Done, encoded_document};
use crate::Iam;
use crate::errors::{IamError, Stop};
use crate::ids;
use crate::page::PageRequest;
use crate::policy::{self, ONLY_VERSION, Policy, PolicyOwner, owner};
use crate::state::{exists, load, remove, save};
use crate::tags::{self, Tag};

/// A policy as answers show it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PolicyShape {
    policy_name: String,
    policy_id: String,
    arn: String,
    path: String,
    default_version_id: &'static str,
    attachment_count: u32,
    permissions_boundary_usage_count: u32,
    is_attachable: bool,
    /// Lists of policies leave description and tags out, as on AWS.
    description: Option<String>,
    create_date: wire::Time,
    update_date: wire::Time,
    tags: Option<Vec<Tag>>,
}

impl PolicyShape {
    fn full(policy: Policy, account: AccountId) -> Self {
        let description = policy.description.clone();
        let tags = Some(policy.tags.clone());
        PolicyShape { description, tags, ..PolicyShape::listed(policy, account) }
    }

    fn listed(policy: Policy, account: AccountId) -> Self {
        PolicyShape {
            arn: policy.arn(account),
            policy_name: policy.name,
            policy_id: policy.id,
            path: policy.path,
            default_version_id: ONLY_VERSION,
            attachment_count: policy.attachments,
            permissions_boundary_usage_count: 0,
            is_attachable: true,
            description: None,
            create_date: wire::Time(policy.created),
            update_date: wire::Time(policy.created),
            tags: None,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct OnePolicy {
    policy: PolicyShape,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreatePolicy {
    policy_name: String,
    path: Option<String>,
    policy_document: String,
    description: Option<String>,
    tags: Option<Vec<Tag>>,
}

pub(crate) async fn create_policy(
    iam: Arc<Iam>,
    call: Call,
    input: CreatePolicy,
) -> Result<OnePolicy, IamError> {
    policy::check_document(&input.policy_document)?;
    let mut tags = Vec::new();
    tags::merge(&mut tags, &input.tags.unwrap_or_default(), "TagsPerPolicy")?;
    let policy = Policy {
        name: input.policy_name,
        path: input.path.unwrap_or_else(|| "/".to_owned()),
        id: ids::policy_id()?,
        created: iam.clock.now(),
        description: input.description,
        document: input.policy_document,
        tags,
        attachments: 0,
    };
    let account = call.account();
    let created = policy.clone();
    iam.change(move |tx| {
        if exists::<Policy>(tx, account, &policy.name)? {
            return Err(IamError::PolicyExists(policy.name.clone()).into());
        }
        Ok(save(tx, account, &policy)?)
    })
    .await?;
    Ok(OnePolicy { policy: PolicyShape::full(created, account) })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PolicyArn {
    policy_arn: String,
}

pub(crate) async fn get_policy(iam: Arc<Iam>, call: Call, input: PolicyArn) -> Result<OnePolicy, IamError> {
    let policy = find(&iam, call.account(), &input.policy_arn)?;
    Ok(OnePolicy { policy: PolicyShape::full(policy, call.account()) })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetPolicyVersion {
    policy_arn: String,
    version_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct OneVersion {
    policy_version: VersionShape,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct VersionShape {
    document: String,
    version_id: &'static str,
    is_default_version: bool,
    create_date: wire::Time,
}

pub(crate) async fn get_policy_version(
    iam: Arc<Iam>,
    call: Call,
    input: GetPolicyVersion,
) -> Result<OneVersion, IamError> {
    let policy = find(&iam, call.account(), &input.policy_arn)?;
    if input.version_id != ONLY_VERSION {
        return Err(IamError::NoSuchVersion { arn: input.policy_arn, version: input.version_id });
    }
    let policy_version = VersionShape {
        document: encoded_document(&policy.document),
        version_id: ONLY_VERSION,
        is_default_version: true,
        create_date: wire::Time(policy.created),
    };
    Ok(OneVersion { policy_version })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListPolicies {
    scope: Option<String>,
    only_attached: Option<bool>,
    path_prefix: Option<String>,
    marker: Option<String>,
    max_items: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PolicyList {
    policies: Vec<PolicyShape>,
    is_truncated: bool,
    marker: Option<String>,
}

pub(crate) async fn list_policies(
    iam: Arc<Iam>,
    call: Call,
    input: ListPolicies,
) -> Result<PolicyList, IamError> {
    if input.scope.as_deref() != Some("Local") {
        return Err(IamError::ScopeNotSupported);
    }
    let request = PageRequest::new(input.marker.as_deref(), input.max_items)?;
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let only_attached = input.only_attached.unwrap_or(false);
    let wanted = |policy: &Policy| !only_attached || policy.attachments > 0;
    let page = iam.list::<Policy>(call.account(), prefix, &request, wanted)?;
    Ok(PolicyList {
        policies: page.items.into_iter().map(|policy| PolicyShape::listed(policy, call.account())).collect(),
        is_truncated: page.marker.is_some(),
        marker: page.marker,
    })
}

pub(crate) async fn delete_policy(iam: Arc<Iam>, call: Call, input: PolicyArn) -> Result<Done, IamError> {
    let account = call.account();
    iam.change(move |tx| {
        let missing = || Stop::No(IamError::NoSuchPolicy(input.policy_arn.clone()));
        let PolicyOwner::Account(name) = owner(&input.policy_arn, account)? else { return Err(missing()) };
        let policy = match load::<Policy>(tx, account, name) {
            Ok(policy) if policy.arn(account) == input.policy_arn => policy,
            Ok(_) | Err(Stop::No(_)) => return Err(missing()),
            Err(stop) => return Err(stop),
        };
        if policy.attachments > 0 {
            return Err(IamError::PolicyIsAttached.into());
        }
        Ok(remove::<Policy>(tx, account, name)?)
    })
    .await?;
    Ok(Done {})
}

/// The policy an ARN names; errors name the ARN.
fn find(iam: &Iam, account: AccountId, arn: &str) -> Result<Policy, IamError> {
    let missing = || IamError::NoSuchPolicy(arn.to_owned());
    let PolicyOwner::Account(name) = owner(arn, account)? else { return Err(missing()) };
    match iam.read::<Policy>(account, name) {
        Ok(policy) if policy.arn(account) == arn => Ok(policy),
        Ok(_) | Err(IamError::NoSuchPolicy(_)) => Err(missing()),
        Err(error) => Err(error),
    }
}

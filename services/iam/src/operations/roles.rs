//! Roles themselves: create, read, list, change, delete.

use std::sync::Arc;

use base::AccountId;
use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::{Done, encoded_document};
use crate::Iam;
use crate::errors::IamError;
use crate::ids;
use crate::page::PageRequest;
use crate::role::{self, Role};
use crate::state::{exists, load, remove, save};
use crate::tags::{self, Tag};

/// A role as answers show it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RoleShape {
    path: String,
    role_name: String,
    role_id: String,
    arn: String,
    create_date: wire::Time,
    assume_role_policy_document: String,
    description: Option<String>,
    max_session_duration: u32,
    /// Lists of roles leave tags and last use out, as on AWS.
    tags: Option<Vec<Tag>>,
    role_last_used: Option<RoleLastUsed>,
}

/// Always empty: use is not recorded.
#[derive(Serialize)]
struct RoleLastUsed {}

impl RoleShape {
    fn full(role: Role, account: AccountId) -> Self {
        let tags = (!role.tags.is_empty()).then(|| role.tags.clone());
        RoleShape { tags, role_last_used: Some(RoleLastUsed {}), ..RoleShape::listed(role, account) }
    }

    fn listed(role: Role, account: AccountId) -> Self {
        RoleShape {
            arn: role.arn(account),
            path: role.path,
            role_name: role.name,
            role_id: role.id,
            create_date: wire::Time(role.created),
            assume_role_policy_document: encoded_document(&role.trust_policy),
            description: role.description,
            max_session_duration: role.max_session_s,
            tags: None,
            role_last_used: None,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct OneRole {
    role: RoleShape,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateRole {
    path: Option<String>,
    role_name: String,
    assume_role_policy_document: String,
    description: Option<String>,
    max_session_duration: Option<u32>,
    tags: Option<Vec<Tag>>,
}

pub(crate) async fn create_role(iam: Arc<Iam>, call: Call, input: CreateRole) -> Result<OneRole, IamError> {
    role::check_trust_policy(&input.assume_role_policy_document)?;
    let mut tags = Vec::new();
    tags::merge(&mut tags, &input.tags.unwrap_or_default(), "TagsPerRole")?;
    let role = Role {
        name: input.role_name,
        path: input.path.unwrap_or_else(|| "/".to_owned()),
        id: ids::role_id()?,
        created: iam.clock.now(),
        trust_policy: input.assume_role_policy_document,
        description: input.description,
        max_session_s: input.max_session_duration.unwrap_or(role::DEFAULT_MAX_SESSION_S),
        tags,
        inline: Default::default(),
        attached: Default::default(),
    };
    let account = call.account();
    let created = role.clone();
    iam.change(move |tx| {
        if exists::<Role>(tx, account, &role.name)? {
            return Err(IamError::RoleExists(role.name.clone()).into());
        }
        Ok(save(tx, account, &role)?)
    })
    .await?;
    let shape = RoleShape { role_last_used: None, ..RoleShape::full(created, account) };
    Ok(OneRole { role: shape })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RoleName {
    role_name: String,
}

pub(crate) async fn get_role(iam: Arc<Iam>, call: Call, input: RoleName) -> Result<OneRole, IamError> {
    let role = iam.read(call.account(), &input.role_name)?;
    Ok(OneRole { role: RoleShape::full(role, call.account()) })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListRoles {
    path_prefix: Option<String>,
    marker: Option<String>,
    max_items: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RoleList {
    roles: Vec<RoleShape>,
    is_truncated: bool,
    marker: Option<String>,
}

pub(crate) async fn list_roles(iam: Arc<Iam>, call: Call, input: ListRoles) -> Result<RoleList, IamError> {
    let request = PageRequest::new(input.marker.as_deref(), input.max_items)?;
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let page = iam.list::<Role>(call.account(), prefix, &request, |_| true)?;
    Ok(RoleList {
        roles: page.items.into_iter().map(|role| RoleShape::listed(role, call.account())).collect(),
        is_truncated: page.marker.is_some(),
        marker: page.marker,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateRole {
    role_name: String,
    description: Option<String>,
    max_session_duration: Option<u32>,
}

pub(crate) async fn update_role(iam: Arc<Iam>, call: Call, input: UpdateRole) -> Result<Done, IamError> {
    let UpdateRole { role_name, description, max_session_duration } = input;
    iam.update(call.account(), role_name, move |role: &mut Role| {
        if let Some(description) = &description {
            role.description = Some(description.clone());
        }
        if let Some(seconds) = max_session_duration {
            role.max_session_s = seconds;
        }
        Ok(())
    })
    .await?;
    Ok(Done {})
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateRoleDescription {
    role_name: String,
    description: String,
}

pub(crate) async fn update_role_description(
    iam: Arc<Iam>,
    call: Call,
    input: UpdateRoleDescription,
) -> Result<OneRole, IamError> {
    let UpdateRoleDescription { role_name, description } = input;
    let role = iam
        .update(call.account(), role_name, move |role: &mut Role| {
            role.description = Some(description.clone());
            Ok(role.clone())
        })
        .await?;
    Ok(OneRole { role: RoleShape::full(role, call.account()) })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UpdateAssumeRolePolicy {
    role_name: String,
    policy_document: String,
}

pub(crate) async fn update_assume_role_policy(
    iam: Arc<Iam>,
    call: Call,
    input: UpdateAssumeRolePolicy,
) -> Result<Done, IamError> {
    let UpdateAssumeRolePolicy { role_name, policy_document } = input;
    iam.update(call.account(), role_name, move |role: &mut Role| {
        role.set_trust_policy(policy_document.clone())
    })
    .await?;
    Ok(Done {})
}

pub(crate) async fn delete_role(iam: Arc<Iam>, call: Call, input: RoleName) -> Result<Done, IamError> {
    let account = call.account();
    iam.change(move |tx| {
        let role: Role = load(tx, account, &input.role_name)?;
        role.check_deletable()?;
        Ok(remove::<Role>(tx, account, &input.role_name)?)
    })
    .await?;
    Ok(Done {})
}

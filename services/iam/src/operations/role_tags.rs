//! A role's tags.

use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::Done;
use crate::Iam;
use crate::errors::IamError;
use crate::page::PageRequest;
use crate::role::Role;
use crate::tags::{self, Tag};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TagRole {
    role_name: String,
    tags: Vec<Tag>,
}

pub(crate) async fn tag_role(iam: Arc<Iam>, call: Call, input: TagRole) -> Result<Done, IamError> {
    let TagRole { role_name, tags: added } = input;
    iam.update(call.account(), role_name, move |role: &mut Role| {
        tags::merge(&mut role.tags, &added, "TagsPerRole")
    })
    .await?;
    Ok(Done {})
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UntagRole {
    role_name: String,
    tag_keys: Vec<String>,
}

pub(crate) async fn untag_role(iam: Arc<Iam>, call: Call, input: UntagRole) -> Result<Done, IamError> {
    let UntagRole { role_name, tag_keys } = input;
    iam.update(call.account(), role_name, move |role: &mut Role| {
        tags::remove(&mut role.tags, &tag_keys);
        Ok(())
    })
    .await?;
    Ok(Done {})
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListRoleTags {
    role_name: String,
    marker: Option<String>,
    max_items: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TagList {
    tags: Vec<Tag>,
    is_truncated: bool,
    marker: Option<String>,
}

pub(crate) async fn list_role_tags(
    iam: Arc<Iam>,
    call: Call,
    input: ListRoleTags,
) -> Result<TagList, IamError> {
    let request = PageRequest::new(input.marker.as_deref(), input.max_items)?;
    let mut role: Role = iam.read(call.account(), &input.role_name)?;
    role.tags.sort_by(|one, other| one.key.cmp(&other.key));
    let page = request.of(role.tags.iter().map(|tag| (tag.key.as_str(), tag.clone())));
    Ok(TagList { tags: page.items, is_truncated: page.marker.is_some(), marker: page.marker })
}

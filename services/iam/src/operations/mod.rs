//! The operations, one file per group, and their table of handlers.
//!
//! Handlers are thin: check what the model does not say, call the domain, shape the answer.

mod attached;
mod inline;
mod policies;
mod role_tags;
mod roles;

use std::sync::Arc;

use frontdoor::Service;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use crate::Iam;

pub(crate) fn table(iam: Arc<Iam>) -> Service {
    Service::new("iam", iam)
        .on("CreateRole", roles::create_role)
        .on("GetRole", roles::get_role)
        .on("ListRoles", roles::list_roles)
        .on("UpdateRole", roles::update_role)
        .on("UpdateRoleDescription", roles::update_role_description)
        .on("UpdateAssumeRolePolicy", roles::update_assume_role_policy)
        .on("DeleteRole", roles::delete_role)
        .on("PutRolePolicy", inline::put_role_policy)
        .on("GetRolePolicy", inline::get_role_policy)
        .on("ListRolePolicies", inline::list_role_policies)
        .on("DeleteRolePolicy", inline::delete_role_policy)
        .on("AttachRolePolicy", attached::attach_role_policy)
        .on("DetachRolePolicy", attached::detach_role_policy)
        .on("ListAttachedRolePolicies", attached::list_attached_role_policies)
        .on("TagRole", role_tags::tag_role)
        .on("UntagRole", role_tags::untag_role)
        .on("ListRoleTags", role_tags::list_role_tags)
        .on("CreatePolicy", policies::create_policy)
        .on("GetPolicy", policies::get_policy)
        .on("GetPolicyVersion", policies::get_policy_version)
        .on("ListPolicies", policies::list_policies)
        .on("DeletePolicy", policies::delete_policy)
        .partly("ListPolicies", "Scope", "`Local` only")
        .build()
}

/// An answer without members.
#[derive(Serialize)]
pub(crate) struct Done {}

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A policy document as answers carry it: percent-encoded after RFC 3986. (SDKs decode it.)
pub(crate) fn encoded_document(document: &str) -> String {
    utf8_percent_encode(document, UNRESERVED).to_string()
}

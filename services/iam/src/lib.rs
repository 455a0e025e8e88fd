//! AWS Identity and Access Management: roles and the policies they carry.
//!
//! It stores identities and policies and hands them back. It is not what decides whether a call is allowed: nothing
//! stored here is enforced yet. IAM is global: its keys have an account and no region.
//! API: <https://docs.aws.amazon.com/IAM/latest/APIReference/welcome.html>.
//!
//! Operations: CreateRole, GetRole, ListRoles, UpdateRole, UpdateRoleDescription, DeleteRole,
//! UpdateAssumeRolePolicy; PutRolePolicy, GetRolePolicy, ListRolePolicies, DeleteRolePolicy; AttachRolePolicy,
//! DetachRolePolicy, ListAttachedRolePolicies; TagRole, UntagRole, ListRoleTags; CreatePolicy, GetPolicy,
//! GetPolicyVersion, ListPolicies, DeletePolicy.
//!
//! **Limits** (AWS's defaults; sizes in characters without white space)
//! - trust policy 2,048; inline policies of a role 10,240 together; managed policy 6,144
//! - 10 attached policies and 50 tags for each role, 50 tags for each policy
//! - the numbers of roles and policies in an account are not limited
//!
//! **Not supported yet, and what happens instead**
//! - Policies are stored, checked for their grammar, and not enforced.
//! - Policies that AWS manages (`arn:aws:iam::aws:policy/...`) can be attached by any name and cannot be read:
//!   GetPolicy answers NoSuchEntity, ListPolicies needs `Scope=Local`.
//! - Permissions boundaries and further policy versions are refused by name.
//! - `RoleLastUsed` is always empty.
//!
//! Keys in the store: see [`keys`].

mod document;
mod errors;
mod ids;
mod keys;
mod operations;
mod page;
mod policy;
mod role;
mod state;
mod tags;

use std::sync::Arc;

use base::Clock;
use store::Store;

pub use crate::state::Iam;

/// What the service needs.
pub struct IamDeps {
    /// Where roles and policies live.
    pub store: Store,
    /// What creation dates go by.
    pub clock: Clock,
}

/// The table of handlers, for the front door.
#[must_use]
pub fn service(iam: Arc<Iam>) -> frontdoor::Service {
    operations::table(iam)
}

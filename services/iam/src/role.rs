//! A role: who may take it on, and the policies it carries.
//!
//! The record holds what the API shows; rules that need another record (does the attached policy exist?) are in
//! `operations`. <https://docs.aws.amazon.com/IAM/latest/APIReference/API_Role.html>.

use std::collections::{BTreeMap, BTreeSet};

use base::{AccountId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::document;
use crate::errors::IamError;
use crate::tags::Tag;

/// What a session of the role may last at most unless the role says otherwise, in seconds.
pub(crate) const DEFAULT_MAX_SESSION_S: u32 = 3_600;
const MAX_TRUST_POLICY_CHARS: usize = 2_048;
const MAX_INLINE_POLICIES_CHARS: usize = 10_240;
const MAX_ATTACHED_POLICIES: usize = 10;

/// A role as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Role {
    pub(crate) name: String,
    /// Begins and ends with `/`.
    pub(crate) path: String,
    pub(crate) id: String,
    pub(crate) created: Timestamp,
    /// The document as it came.
    pub(crate) trust_policy: String,
    pub(crate) description: Option<String>,
    pub(crate) max_session_s: u32,
    pub(crate) tags: Vec<Tag>,
    /// Documents by policy name.
    pub(crate) inline: BTreeMap<String, String>,
    /// ARNs of managed policies.
    pub(crate) attached: BTreeSet<String>,
}

impl Role {
    pub(crate) fn arn(&self, account: AccountId) -> String {
        format!("arn:aws:iam::{account}:role{}{}", self.path, self.name)
    }

    /// Sets who may assume the role.
    pub(crate) fn set_trust_policy(&mut self, document: String) -> Result<(), IamError> {
        check_trust_policy(&document)?;
        self.trust_policy = document;
        Ok(())
    }

    /// Adds or replaces an inline policy.
    pub(crate) fn put_inline(&mut self, name: String, document: String) -> Result<(), IamError> {
        document::check_identity(&document)?;
        let others = self.inline.iter().filter(|(known, _)| **known != name);
        let others_chars: usize = others.map(|(_, document)| document::size_chars(document)).sum();
        if others_chars + document::size_chars(&document) > MAX_INLINE_POLICIES_CHARS {
            return Err(IamError::InlinePoliciesTooLarge {
                limit: MAX_INLINE_POLICIES_CHARS,
                role: self.name.clone(),
            });
        }
        self.inline.insert(name, document);
        Ok(())
    }

    /// Attaches a managed policy; says whether it was not attached before.
    pub(crate) fn attach(&mut self, arn: &str) -> Result<bool, IamError> {
        if self.attached.contains(arn) {
            return Ok(false);
        }
        if self.attached.len() >= MAX_ATTACHED_POLICIES {
            return Err(IamError::Quota { quota: "PoliciesPerRole", limit: MAX_ATTACHED_POLICIES });
        }
        self.attached.insert(arn.to_owned());
        Ok(true)
    }

    /// Whether the role can go: nothing may depend on it.
    pub(crate) fn check_deletable(&self) -> Result<(), IamError> {
        if !self.attached.is_empty() {
            return Err(IamError::RoleHasAttachedPolicies);
        }
        if self.inline.is_empty() { Ok(()) } else { Err(IamError::RoleHasInlinePolicies) }
    }
}

/// Checks a trust policy's grammar and size.
pub(crate) fn check_trust_policy(document: &str) -> Result<(), IamError> {
    document::check_trust(document)?;
    if document::size_chars(document) > MAX_TRUST_POLICY_CHARS {
        return Err(IamError::Quota { quota: "ACLSizePerRole", limit: MAX_TRUST_POLICY_CHARS });
    }
    Ok(())
}

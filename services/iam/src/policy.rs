//! A customer's managed policy, and the forms of a managed policy's ARN.
//!
//! Every policy has one version, `v1`: it cannot be changed yet.
//! <https://docs.aws.amazon.com/IAM/latest/APIReference/API_Policy.html>.

use base::{AccountId, Arn, Timestamp};
use serde::{Deserialize, Serialize};

use crate::document;
use crate::errors::IamError;
use crate::tags::Tag;

/// The one version there is.
pub(crate) const ONLY_VERSION: &str = "v1";
const MAX_POLICY_CHARS: usize = 6_144;

/// A policy as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Policy {
    pub(crate) name: String,
    /// Begins and ends with `/`.
    pub(crate) path: String,
    pub(crate) id: String,
    pub(crate) created: Timestamp,
    pub(crate) description: Option<String>,
    pub(crate) document: String,
    pub(crate) tags: Vec<Tag>,
    /// How many roles it is attached to.
    pub(crate) attachments: u32,
}

impl Policy {
    pub(crate) fn arn(&self, account: AccountId) -> String {
        format!("arn:aws:iam::{account}:policy{}{}", self.path, self.name)
    }
}

/// Checks a managed policy's grammar and size.
pub(crate) fn check_document(document: &str) -> Result<(), IamError> {
    document::check_identity(document)?;
    if document::size_chars(document) > MAX_POLICY_CHARS {
        return Err(IamError::Quota { quota: "PolicySize", limit: MAX_POLICY_CHARS });
    }
    Ok(())
}

/// Whose policy an ARN names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PolicyOwner<'a> {
    /// AWS; it has no record here.
    Aws,
    /// The account, under this name (without its path).
    Account(&'a str),
    /// Another account: never to be found.
    Other,
}

/// Reads `arn:aws:iam::ACCOUNT-or-aws:policy/PATH/NAME`.
pub(crate) fn owner(text: &str, account: AccountId) -> Result<PolicyOwner<'_>, IamError> {
    let invalid = || IamError::InvalidPolicyArn(text.to_owned());
    let arn: Arn = text.parse().map_err(|_| invalid())?;
    let name = last_segment(text);
    if arn.service != "iam"
        || !arn.region.is_empty()
        || !arn.resource.starts_with("policy/")
        || name.is_empty()
    {
        return Err(invalid());
    }
    if arn.account == "aws" {
        return Ok(PolicyOwner::Aws);
    }
    Ok(if arn.account.parse() == Ok(account) { PolicyOwner::Account(name) } else { PolicyOwner::Other })
}

/// The name in an ARN or path: what stands after the last `/`.
pub(crate) fn last_segment(text: &str) -> &str {
    text.rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_tells_whose_policy_it_is() {
        let account = AccountId::DEFAULT;
        let managed = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole";
        assert_eq!(owner(managed, account).unwrap(), PolicyOwner::Aws);
        assert_eq!(last_segment(managed), "AWSLambdaBasicExecutionRole");
        assert_eq!(
            owner("arn:aws:iam::000000000000:policy/a/b/mine", account).unwrap(),
            PolicyOwner::Account("mine")
        );
        assert_eq!(owner("arn:aws:iam::000000000001:policy/mine", account).unwrap(), PolicyOwner::Other);
        for bad in ["mine", "arn:aws:iam::000000000000:role/mine", "arn:aws:iam::000000000000:policy/"] {
            assert!(owner(bad, account).is_err(), "{bad}");
        }
    }
}

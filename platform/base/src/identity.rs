//! Who calls, from which account, in which region, under which request id.
//!
//! Nothing here decides what a caller may do; that is `platform/policy`.
//! Forms: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html>.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A 12-digit AWS account id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AccountId(u64);

/// The text is not 12 decimal digits.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an account id has exactly 12 digits, got '{0}'")]
pub struct InvalidAccountId(pub String);

impl AccountId {
    /// The account of the default credentials `test`/`test`.
    pub const DEFAULT: AccountId = AccountId(0);
}

impl FromStr for AccountId {
    type Err = InvalidAccountId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit()) {
            text.parse().map(AccountId).map_err(|_| InvalidAccountId(text.to_owned()))
        } else {
            Err(InvalidAccountId(text.to_owned()))
        }
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every key of the store and every ARN has one, so it is written by hand.
        let (mut digits, mut rest) = ([b'0'; 12], self.0);
        for digit in digits.iter_mut().rev() {
            *digit += u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        f.write_str(std::str::from_utf8(&digits).unwrap_or_default())
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A region's name such as `us-east-1`. Any name of that shape is a region here: each is a namespace of its own.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Region(Arc<str>);

/// The text is not a region's name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is not a region name (letters, digits and '-', 1 to 32 of them)")]
pub struct InvalidRegion(pub String);

impl Region {
    /// The region's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Region {
    fn default() -> Self {
        Region(Arc::from("us-east-1"))
    }
}

impl FromStr for Region {
    type Err = InvalidRegion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let shape = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if (1..=32).contains(&text.len()) && text.bytes().all(shape) {
            Ok(Region(Arc::from(text)))
        } else {
            Err(InvalidRegion(text.to_owned()))
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id that an answer carries and every log line of its request repeats: a random UUID.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// A fresh id.
    #[must_use]
    pub fn fresh() -> Self {
        let mut buffer = uuid::Uuid::encode_buffer();
        RequestId(Arc::from(&*uuid::Uuid::new_v4().hyphenated().encode_lower(&mut buffer)))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who makes a call, after authentication.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Principal {
    /// The account's own (root) credentials.
    Root {
        /// The account.
        account: AccountId,
    },
    /// A user of the account.
    User {
        /// The account.
        account: AccountId,
        /// The user's name.
        name: Arc<str>,
    },
    /// A session of a role, such as a running function's.
    AssumedRole {
        /// The account.
        account: AccountId,
        /// The role's name without its path.
        role: Arc<str>,
        /// The session's name; for a function, the function's name.
        session: Arc<str>,
    },
    /// A service of the platform acting on its own behalf, such as `lambda.amazonaws.com`.
    Service(&'static str),
    /// An unsigned request.
    Anonymous,
}

impl Principal {
    /// The principal's ARN as GetCallerIdentity and access-denied messages show it; a service's is its host name.
    #[must_use]
    pub fn arn(&self) -> String {
        match self {
            Principal::Root { account } => format!("arn:aws:iam::{account}:root"),
            Principal::User { account, name } => format!("arn:aws:iam::{account}:user/{name}"),
            Principal::AssumedRole { account, role, session } => {
                format!("arn:aws:sts::{account}:assumed-role/{role}/{session}")
            }
            Principal::Service(host) => (*host).to_owned(),
            Principal::Anonymous => "anonymous".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_keeps_its_leading_zeros() {
        assert_eq!("000000000042".parse::<AccountId>().unwrap().to_string(), "000000000042");
        assert!("42".parse::<AccountId>().is_err());
        assert!("00000000004x".parse::<AccountId>().is_err());
        assert!("+00000000042".parse::<AccountId>().is_err());
    }

    #[test]
    fn a_region_is_lower_case_and_short() {
        assert_eq!("eu-central-1".parse::<Region>().unwrap().as_str(), "eu-central-1");
        assert!("EU".parse::<Region>().is_err());
        assert!("".parse::<Region>().is_err());
    }

    #[test]
    fn request_ids_differ() {
        assert_ne!(RequestId::fresh(), RequestId::fresh());
        assert_eq!(RequestId::fresh().as_str().len(), 36);
    }
}

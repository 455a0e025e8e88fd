//! Amazon Resource Names: `arn:partition:service:region:account:resource`.
//!
//! It splits the six fields and no more: what stands in `resource` is its service's business.
//! Form: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::identity::{AccountId, Region};

/// An ARN, its fields apart. Region and account are empty for global resources.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Arn {
    /// `aws`, `aws-cn`, `aws-us-gov`.
    pub partition: String,
    /// The service's namespace, such as `lambda`.
    pub service: String,
    /// The region, or empty.
    pub region: String,
    /// The account, or empty.
    pub account: String,
    /// The rest, which may itself hold `:` and `/`.
    pub resource: String,
}

/// The text is not an ARN.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is not an ARN (arn:partition:service:region:account:resource)")]
pub struct InvalidArn(pub String);

impl Arn {
    /// The ARN of a resource in an account and region, in partition `aws`.
    #[must_use]
    pub fn regional(service: &str, region: &Region, account: AccountId, resource: impl Into<String>) -> Self {
        Arn {
            partition: "aws".to_owned(),
            service: service.to_owned(),
            region: region.to_string(),
            account: account.to_string(),
            resource: resource.into(),
        }
    }

    /// The ARN of a resource that belongs to no region, such as a role, in partition `aws`.
    #[must_use]
    pub fn global(service: &str, account: AccountId, resource: impl Into<String>) -> Self {
        Arn {
            partition: "aws".to_owned(),
            service: service.to_owned(),
            region: String::new(),
            account: account.to_string(),
            resource: resource.into(),
        }
    }
}

impl FromStr for Arn {
    type Err = InvalidArn;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidArn(text.to_owned());
        let mut fields = text.splitn(6, ':');
        let mut next = || fields.next().map(str::to_owned).ok_or_else(invalid);
        if next()? != "arn" {
            return Err(invalid());
        }
        let arn = Arn {
            partition: next()?,
            service: next()?,
            region: next()?,
            account: next()?,
            resource: next()?,
        };
        if arn.partition.is_empty() || arn.service.is_empty() || arn.resource.is_empty() {
            return Err(invalid());
        }
        Ok(arn)
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Arn { partition, service, region, account, resource } = self;
        write!(f, "arn:{partition}:{service}:{region}:{account}:{resource}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resource_keeps_its_colons() {
        let text = "arn:aws:lambda:us-east-1:000000000000:function:hello:PROD";
        let arn: Arn = text.parse().unwrap();
        assert_eq!(arn.resource, "function:hello:PROD");
        assert_eq!(arn.to_string(), text);
    }

    #[test]
    fn a_shorter_text_is_no_arn() {
        assert!("arn:aws:iam::0".parse::<Arn>().is_err());
        assert!("hello".parse::<Arn>().is_err());
        assert!("arn:aws:iam::000000000000:".parse::<Arn>().is_err());
    }
}

//! Members that the API knows and this platform does not yet: taken when they ask for nothing, refused by name
//! when they ask for something.
//!
//! Tools send some of them always, with a value that means "none": an empty list of subnets, an empty key ARN. A
//! member that is not even here is refused by the front door.

// Member names are the model's.
#![allow(missing_docs)]

use serde::Deserialize;

use crate::error::LambdaError;

/// What the support table says of the members of [`Wishes`].
pub(crate) const TAKEN: [(&str, &str); 3] =
    [("VpcConfig", "empty only"), ("KMSKeyArn", "empty only"), ("ImageConfig", "empty only")];

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct VpcConfig {
    subnet_ids: Option<Vec<String>>,
    security_group_ids: Option<Vec<String>>,
    ipv6_allowed_for_dual_stack: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ImageConfig {
    entry_point: Option<Vec<String>>,
    command: Option<Vec<String>>,
    working_directory: Option<String>,
}

/// Those members of a request that the configuration operations share.
#[derive(Default)]
pub(crate) struct Wishes<'a> {
    pub(crate) vpc: Option<&'a VpcConfig>,
    pub(crate) kms_key_arn: Option<&'a str>,
    pub(crate) image: Option<&'a ImageConfig>,
}

impl Wishes<'_> {
    /// # Errors
    /// The first member that asks for something.
    pub(crate) fn refuse(&self, operation: &'static str) -> Result<(), LambdaError> {
        let some = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
        let text = |text: Option<&str>| text.is_some_and(|text| !text.is_empty());
        let asked = [
            (
                self.vpc.is_some_and(|vpc| {
                    some(&vpc.subnet_ids)
                        || some(&vpc.security_group_ids)
                        || vpc.ipv6_allowed_for_dual_stack == Some(true)
                }),
                "VpcConfig",
                "functions run outside of any VPC",
            ),
            (
                text(self.kms_key_arn),
                "KMSKeyArn",
                "environment variables are not encrypted with a key of yours",
            ),
            (
                self.image.is_some_and(|image| {
                    some(&image.entry_point)
                        || some(&image.command)
                        || text(image.working_directory.as_deref())
                }),
                "ImageConfig",
                "functions come from .zip packages only",
            ),
        ];
        match asked.into_iter().find(|(asked, ..)| *asked) {
            Some((_, parameter, why)) => {
                Err(LambdaError::Unsupported { parameter, operation, why: why.to_owned() })
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_asks_for_nothing_is_taken() {
        let vpc = VpcConfig {
            subnet_ids: Some(vec![]),
            security_group_ids: Some(vec![]),
            ipv6_allowed_for_dual_stack: Some(false),
        };
        let wishes = Wishes { vpc: Some(&vpc), kms_key_arn: Some(""), image: Some(&ImageConfig::default()) };
        assert!(wishes.refuse("CreateFunction").is_ok());
    }

    #[test]
    fn what_asks_for_something_is_named() {
        let vpc = VpcConfig { subnet_ids: Some(vec!["subnet-1".to_owned()]), ..VpcConfig::default() };
        let wishes = Wishes { vpc: Some(&vpc), ..Wishes::default() };
        assert_eq!(
            wishes.refuse("CreateFunction").unwrap_err().to_string(),
            "parameter VpcConfig of operation CreateFunction is not supported yet: functions run outside of any VPC"
        );
    }
}

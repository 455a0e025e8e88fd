//! The forms in which a request names a log group.
//!
//! `logGroupName` is a name. `logGroupIdentifier` and `resourceArn` may be an ARN, with or without the `:*` that
//! stands for the group's streams.

use base::Arn;

use crate::errors::LogsError;
use crate::keys::Scope;

/// The name in `logGroupName` or `logGroupIdentifier`, of which a request must have exactly one.
pub(crate) fn group_name(
    scope: &Scope,
    name: Option<String>,
    identifier: Option<String>,
) -> Result<String, LogsError> {
    match (name, identifier) {
        (Some(name), None) => Ok(name),
        (None, Some(identifier)) if identifier.starts_with("arn:") => name_in_arn(scope, &identifier),
        (None, Some(identifier)) => Ok(identifier),
        (Some(_), Some(_)) => Err(LogsError::invalid(
            "LogGroup name and LogGroup identifier are mutually exclusive parameters.",
        )),
        (None, None) => {
            Err(LogsError::invalid("Either logGroupName or logGroupIdentifier must be specified."))
        }
    }
}

/// The name in a group's ARN. A group of another account or region does not exist here.
pub(crate) fn name_in_arn(scope: &Scope, text: &str) -> Result<String, LogsError> {
    let invalid = || LogsError::invalid(format!("Invalid resource ARN: {text}"));
    let arn: Arn = text.parse().map_err(|_| invalid())?;
    if arn.service != "logs" {
        return Err(invalid());
    }
    let name = arn.resource.strip_prefix("log-group:").ok_or_else(invalid)?;
    let name = name.strip_suffix(":*").unwrap_or(name);
    if name.is_empty() || name.contains(':') {
        return Err(invalid());
    }
    let is_here = arn.account == scope.account.to_string() && arn.region == scope.region.as_str();
    if is_here { Ok(name.to_owned()) } else { Err(LogsError::NoGroup) }
}

#[cfg(test)]
mod tests {
    use base::{AccountId, Region};

    use super::*;

    #[test]
    fn a_group_is_named_in_several_forms() {
        let scope = Scope { account: AccountId::DEFAULT, region: Region::default() };
        let arn = "arn:aws:logs:us-east-1:000000000000:log-group:/aws/lambda/hello";
        let named = |name: Option<&str>, identifier: Option<&str>| {
            group_name(&scope, name.map(str::to_owned), identifier.map(str::to_owned))
        };
        assert_eq!(named(Some("a"), None).unwrap(), "a");
        assert_eq!(named(None, Some("a")).unwrap(), "a");
        assert_eq!(named(None, Some(arn)).unwrap(), "/aws/lambda/hello");
        assert_eq!(named(None, Some(&format!("{arn}:*"))).unwrap(), "/aws/lambda/hello");
        assert!(named(None, None).is_err());
        assert!(named(Some("a"), Some("a")).is_err());
        assert!(matches!(named(None, Some(&arn.replace("us-east-1", "eu-west-1"))), Err(LogsError::NoGroup)));
        for bad in
            ["arn:aws:s3:us-east-1:000000000000:log-group:a", "arn:aws:logs:us-east-1:000000000000:x:a"]
        {
            assert!(matches!(named(None, Some(bad)), Err(LogsError::Invalid(_))), "{bad}");
        }
    }
}

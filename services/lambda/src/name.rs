//! The forms in which a request may name a function, and what they come to.
//!
//! | form | example |
//! | --- | --- |
//! | name | `hello` |
//! | name and qualifier | `hello:PROD` |
//! | partial ARN | `000000000000:function:hello`, `function:hello`, `us-east-1:000000000000:function:hello` |
//! | ARN | `arn:aws:lambda:us-east-1:000000000000:function:hello` |
//!
//! Every form may end in a qualifier. It does not look whether the function exists.
//!
//! Form: <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_RequestParameters>.

use base::{AccountId, Principal, Region};

use crate::error::LambdaError;

/// The unpublished version.
pub(crate) const LATEST: &str = "$LATEST";
/// A function's own name may have this many characters; the ARN may have more.
const MAX_NAME_CHARS: usize = 64;
const PATTERN: &str = "(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\\d{1}:)?(\\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\\$LATEST|[a-zA-Z0-9-_]+))?";

/// A function as a request names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FunctionName {
    pub(crate) region: Option<String>,
    pub(crate) account: Option<String>,
    pub(crate) name: String,
    pub(crate) qualifier: Option<String>,
}

impl FunctionName {
    /// Reads any of the forms.
    ///
    /// # Errors
    /// `ValidationException` as AWS words it, when it is none of them or the name is too long.
    pub(crate) fn parse(text: &str) -> Result<Self, LambdaError> {
        let no_form = || {
            LambdaError::constraint(
                text,
                "functionName",
                &format!("Member must satisfy regular expression pattern: {PATTERN}"),
            )
        };
        let parsed = Self::read(text).ok_or_else(no_form)?;
        if parsed.name.chars().count() > MAX_NAME_CHARS {
            let limit = format!("Member must have length less than or equal to {MAX_NAME_CHARS}");
            return Err(LambdaError::constraint(text, "functionName", &limit));
        }
        Ok(parsed)
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts: Vec<&str> = text.split(':').collect();
        let arn = parts.len() > 2 && parts[0] == "arn";
        if arn {
            if parts.len() < 7 || !is_partition(parts[1]) || parts[2] != "lambda" {
                return None;
            }
            parts.drain(..3);
        }
        let mut parts = parts.into_iter().peekable();
        // Each optional part is one only when something follows that can still be the name.
        let mut optional = |is: &dyn Fn(&str) -> bool, more: usize| {
            let taken = parts.len() > more && parts.peek().is_some_and(|part| is(part));
            if taken { parts.next().map(str::to_owned) } else { None }
        };
        let region = optional(&is_region, 1);
        let account = optional(&is_account, 1);
        let function = optional(&|part| part == "function", 1);
        if arn && (region.is_none() || account.is_none() || function.is_none()) {
            return None;
        }
        let name = parts.next().filter(|name| is_word(name))?.to_owned();
        let qualifier = parts.next().map(str::to_owned);
        if parts.next().is_some() || qualifier.as_deref().is_some_and(|text| text != LATEST && !is_word(text))
        {
            return None;
        }
        Some(FunctionName { region, account, name, qualifier })
    }

    /// Checks the name against where the call is made and joins its qualifier with the request's.
    ///
    /// # Errors
    /// A function of another region or account, or two qualifiers that differ.
    pub(crate) fn within(self, place: &Place<'_>, qualifier: Option<&str>) -> Result<Target, LambdaError> {
        let target = self.of_any_account(place, qualifier)?;
        if target.account == place.account {
            return Ok(target);
        }
        let (caller, operation, arn) = (place.caller.arn(), place.operation, target.arn());
        Err(LambdaError::AccessDenied(format!(
            "User: {caller} is not authorized to perform: lambda:{operation} on resource: {arn} because no \
             resource-based policy allows the lambda:{operation} action"
        )))
    }

    /// The same, for operations that a resource policy may open to other accounts: who calls it looks at the policy.
    ///
    /// # Errors
    /// A function of another region, or two qualifiers that differ.
    pub(crate) fn of_any_account(
        self,
        place: &Place<'_>,
        qualifier: Option<&str>,
    ) -> Result<Target, LambdaError> {
        if let Some(region) = self.region.as_deref().filter(|region| *region != place.region.as_str()) {
            return Err(LambdaError::NotFound(format!(
                "Functions from '{region}' are not reachable in this region ('{}')",
                place.region
            )));
        }
        // The form has 12 digits there, or nothing.
        let named = self.account.as_deref().and_then(|account| account.parse().ok());
        let account = named.unwrap_or(place.account);
        let qualifier = match (self.qualifier, qualifier) {
            (Some(own), Some(other)) if own != other => {
                return Err(LambdaError::InvalidParameter(
                    "The derived qualifier from the function name does not match the specified qualifier."
                        .to_owned(),
                ));
            }
            (Some(own), _) => Some(own),
            (None, other) => other.map(str::to_owned),
        };
        Ok(Target { account, region: place.region.clone(), name: self.name, qualifier })
    }
}

/// Where a call is made, and by whom.
pub(crate) struct Place<'a> {
    pub(crate) account: AccountId,
    pub(crate) region: &'a Region,
    /// Who calls, for messages.
    pub(crate) caller: &'a Principal,
    /// The operation, for messages.
    pub(crate) operation: &'static str,
}

/// A function that may exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) account: AccountId,
    pub(crate) region: Region,
    pub(crate) name: String,
    pub(crate) qualifier: Option<String>,
}

impl Target {
    /// The ARN without a qualifier.
    pub(crate) fn arn(&self) -> String {
        function_arn(self.account, &self.region, &self.name)
    }

    /// The ARN as it was named: with the qualifier, if there was one.
    pub(crate) fn qualified_arn(&self) -> String {
        match &self.qualifier {
            Some(qualifier) => format!("{}:{qualifier}", self.arn()),
            None => self.arn(),
        }
    }

    /// AWS's words for a function, version or alias that is not there.
    pub(crate) fn not_found(&self) -> LambdaError {
        LambdaError::NotFound(format!("Function not found: {}", self.qualified_arn()))
    }
}

/// The unqualified ARN of a function.
pub(crate) fn function_arn(account: AccountId, region: &Region, name: &str) -> String {
    ["arn:aws:lambda:", region.as_str(), ":", &account.to_string(), ":function:", name].concat()
}

fn is_partition(text: &str) -> bool {
    text.is_empty()
        || text
            .strip_prefix("aws")
            .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-'))
}

/// `us-east-1`, `us-gov-west-1`: letters, dashes, and one digit at the end.
fn is_region(text: &str) -> bool {
    let Some((words, digit)) = text.rsplit_once('-') else { return false };
    words.contains('-')
        && words.split('-').all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()))
        && digit.len() == 1
        && digit.bytes().all(|b| b.is_ascii_digit())
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str, qualifier: Option<&str>) -> Result<(String, Option<String>), String> {
        let region = Region::default();
        let place = Place {
            account: AccountId::DEFAULT,
            region: &region,
            caller: &Principal::Root { account: AccountId::DEFAULT },
            operation: "GetFunction",
        };
        FunctionName::parse(text)
            .and_then(|name| name.within(&place, qualifier))
            .map(|target| (target.name, target.qualifier))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_form_names_the_same_function() {
        let forms = [
            "hello",
            "function:hello",
            "000000000000:hello",
            "000000000000:function:hello",
            "us-east-1:000000000000:function:hello",
            "arn:aws:lambda:us-east-1:000000000000:function:hello",
        ];
        for form in forms {
            assert_eq!(target(form, None).unwrap(), ("hello".to_owned(), None), "{form}");
            for qualifier in ["$LATEST", "PROD", "7"] {
                let expected = ("hello".to_owned(), Some(qualifier.to_owned()));
                assert_eq!(target(&format!("{form}:{qualifier}"), None).unwrap(), expected, "{form}");
                assert_eq!(target(form, Some(qualifier)).unwrap(), expected, "{form}");
                assert_eq!(
                    target(&format!("{form}:{qualifier}"), Some(qualifier)).unwrap(),
                    expected,
                    "{form}"
                );
            }
        }
    }

    #[test]
    fn words_that_could_be_something_else_are_names_when_nothing_follows() {
        assert_eq!(target("function", None).unwrap().0, "function");
        assert_eq!(target("us-east-1", None).unwrap().0, "us-east-1");
        assert_eq!(target("000000000000", None).unwrap().0, "000000000000");
        assert_eq!(target("arn", None).unwrap().0, "arn");
    }

    #[test]
    fn what_is_no_form_gets_the_validation_message() {
        let long = format!("{}:{}", "a".repeat(3), "b:c");
        for text in [
            "",
            "a b",
            "hello:",
            ":hello",
            "hello:PR$D",
            long.as_str(),
            "arn:aws:lambda:us-east-1:000000000000:layer:hello",
            "arn:aws:s3:us-east-1:000000000000:function:hello",
            "arn:aws:lambda:us-east-1:function:hello",
            "a.b",
        ] {
            let message = target(text, None).unwrap_err();
            assert!(message.starts_with("1 validation error detected: Value '"), "{text}: {message}");
            assert!(
                message.contains("' at 'functionName' failed to satisfy constraint: Member must satisfy"),
                "{text}"
            );
        }
        assert!(
            target(&"n".repeat(65), None)
                .unwrap_err()
                .ends_with("Member must have length less than or equal to 64")
        );
        assert!(target(&"n".repeat(64), None).is_ok());
    }

    #[test]
    fn other_places_and_other_qualifiers_are_refused() {
        assert_eq!(
            target("arn:aws:lambda:eu-west-1:000000000000:function:hello", None).unwrap_err(),
            "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')"
        );
        assert!(target("111122223333:function:hello", None).unwrap_err().contains(
            "is not authorized to perform: lambda:GetFunction on resource: \
             arn:aws:lambda:us-east-1:111122223333:function:hello"
        ));
        assert_eq!(
            target("hello:PROD", Some("TEST")).unwrap_err(),
            "The derived qualifier from the function name does not match the specified qualifier."
        );
    }

    #[test]
    fn what_is_not_found_is_named_by_its_arn() {
        let region = Region::default();
        let target = |qualifier: Option<&str>| Target {
            account: AccountId::DEFAULT,
            region: region.clone(),
            name: "nope".to_owned(),
            qualifier: qualifier.map(str::to_owned),
        };
        let arn = "Function not found: arn:aws:lambda:us-east-1:000000000000:function:nope";
        assert_eq!(target(None).not_found().to_string(), arn);
        assert_eq!(target(Some("3")).not_found().to_string(), format!("{arn}:3"));
    }
}

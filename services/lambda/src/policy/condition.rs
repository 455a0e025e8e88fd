//! Conditions of a policy's statements: which operators and keys there are, and whether they hold for a request.
//!
//! Only keys that a request to Lambda can have a value for are known; others are refused when a policy is stored
//! ([`check`]), because "absent" would make some of them true.
//! Operators: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>.

use super::document::{Conditions, OneOrMany, Pairs, Scalar};
use super::{Request, matches};

/// What an operator compares, without its prefix and suffix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equals,
    EqualsIgnoringCase,
    Like,
    Arn,
    Bool,
    Null,
}

#[derive(Clone, Copy, Debug)]
struct Operator {
    comparison: Comparison,
    negated: bool,
    /// `..IfExists`: holds when the key is absent. So do negated operators and `ForAllValues:`.
    holds_if_absent: bool,
}

impl Operator {
    fn read(name: &str) -> Option<Self> {
        let (name, for_all) = match name.split_once(':') {
            Some(("ForAllValues", name)) => (name, true),
            Some(("ForAnyValue", name)) => (name, false),
            Some(_) => return None,
            None => (name, false),
        };
        let (name, if_exists) = match name.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let (comparison, negated) = match name {
            "StringEquals" => (Comparison::Equals, false),
            "StringNotEquals" => (Comparison::Equals, true),
            "StringEqualsIgnoreCase" => (Comparison::EqualsIgnoringCase, false),
            "StringNotEqualsIgnoreCase" => (Comparison::EqualsIgnoringCase, true),
            "StringLike" => (Comparison::Like, false),
            "StringNotLike" => (Comparison::Like, true),
            "ArnEquals" | "ArnLike" => (Comparison::Arn, false),
            "ArnNotEquals" | "ArnNotLike" => (Comparison::Arn, true),
            "Bool" => (Comparison::Bool, false),
            "Null" if !if_exists => (Comparison::Null, false),
            _ => return None,
        };
        Some(Operator { comparison, negated, holds_if_absent: if_exists || negated || for_all })
    }

    fn holds(self, wanted: &[Scalar], found: Option<&str>) -> bool {
        if self.comparison == Comparison::Null {
            return wanted.iter().any(|wanted| wanted.to_string() == found.is_none().to_string());
        }
        let Some(found) = found else { return self.holds_if_absent };
        let any = wanted.iter().any(|wanted| {
            let wanted = wanted.to_string();
            match self.comparison {
                Comparison::Equals => wanted == found,
                Comparison::EqualsIgnoringCase | Comparison::Bool => wanted.eq_ignore_ascii_case(found),
                Comparison::Like => matches(&wanted, found),
                Comparison::Arn => arn_matches(&wanted, found),
                Comparison::Null => false,
            }
        });
        any != self.negated
    }
}

/// An ARN against a pattern: the six fields are compared apart, so that a `*` does not reach over a colon of the first
/// five.
fn arn_matches(pattern: &str, arn: &str) -> bool {
    let (pattern, arn): (Vec<&str>, Vec<&str>) =
        (pattern.splitn(6, ':').collect(), arn.splitn(6, ':').collect());
    pattern == ["*"]
        || (pattern.len() == arn.len()
            && pattern.iter().zip(&arn).all(|(pattern, field)| matches(pattern, field)))
}

/// The request's value of a key; the outer `None` is a key that is not known.
fn value_of(request: &Request<'_>, key: &str) -> Option<Option<String>> {
    let text = |value: Option<&str>| value.map(str::to_owned);
    let truth = |value: bool| Some(value.to_string());
    Some(match key.to_ascii_lowercase().as_str() {
        "aws:sourcearn" => text(request.source_arn),
        "aws:sourceaccount" => text(request.source_account),
        "aws:principalorgid" => text(request.principal_org_id),
        "aws:principalarn" => request.principal_arn(),
        "aws:principalaccount" => request.principal_account().map(|account| account.to_string()),
        "aws:principalisawsservice" => truth(request.is_service()),
        "aws:principalservicename" => request.is_service().then(|| request.principal.arn()),
        "lambda:functionurlauthtype" => text(request.function_url_auth_type),
        "lambda:invokedviafunctionurl" => truth(request.invoked_via_function_url),
        "lambda:eventsourcetoken" => text(request.event_source_token),
        _ => return None,
    })
}

/// Refuses what cannot be evaluated, by name.
pub(super) fn check(operator: &str, keys: &Pairs<OneOrMany<Scalar>>) -> Result<(), String> {
    if Operator::read(operator).is_none() {
        return Err(format!("the condition operator {operator}"));
    }
    let nobody = base::Principal::Anonymous;
    let request = Request::new("", &nobody, "");
    match keys.0.iter().find(|(key, _)| value_of(&request, key).is_none()) {
        Some((key, _)) => Err(format!("the condition key {key}")),
        None => Ok(()),
    }
}

/// Whether every condition holds. What cannot be evaluated (it cannot have been stored) holds for nobody.
pub(super) fn hold(conditions: &Conditions, request: &Request<'_>) -> bool {
    conditions.0.iter().all(|(operator, keys)| {
        let Some(operator) = Operator::read(operator) else { return false };
        keys.0.iter().all(|(key, wanted)| {
            value_of(request, key).is_some_and(|found| operator.holds(wanted.items(), found.as_deref()))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::Principal;

    const TOPIC: &str = "arn:aws:sns:us-east-1:111122223333:topic";

    fn holds(conditions: &str) -> bool {
        let conditions: Conditions = serde_json::from_str(conditions).unwrap();
        let service = Principal::Service("sns.amazonaws.com");
        let mut request = Request::new("lambda:InvokeFunction", &service, "arn");
        request.source_arn = Some(TOPIC);
        request.source_account = Some("111122223333");
        hold(&conditions, &request)
    }

    #[test]
    fn arns_are_compared_field_by_field() {
        assert!(arn_matches(TOPIC, TOPIC));
        assert!(arn_matches("arn:aws:sns:*:111122223333:t?pic", TOPIC));
        assert!(arn_matches(
            "arn:aws:sns:us-east-1:111122223333:*",
            "arn:aws:sns:us-east-1:111122223333:a:b"
        ));
        assert!(!arn_matches("arn:aws:*:topic", TOPIC));
        assert!(!arn_matches("arn:aws:sns:us-east-1:111122223333:topi", TOPIC));
        assert!(arn_matches("arn:aws:s3:::bucket", "arn:aws:s3:::bucket"));
    }

    #[test]
    fn operators_compare_as_iam_says() {
        assert!(holds(r#"{"ArnLike":{"AWS:SourceArn":"arn:aws:sns:*:*:topic"}}"#));
        assert!(holds(
            r#"{"StringEquals":{"aws:SourceAccount":["1","111122223333"]},"Bool":{"aws:PrincipalIsAWSService":"true"}}"#
        ));
        assert!(!holds(r#"{"StringEquals":{"aws:SourceAccount":"1"},"ArnLike":{"AWS:SourceArn":"*"}}"#));
        assert!(holds(r#"{"StringNotEquals":{"aws:SourceAccount":"1"}}"#));
        assert!(!holds(r#"{"StringEquals":{"aws:PrincipalOrgID":"o-1234567890"}}"#));
        assert!(holds(r#"{"StringEqualsIfExists":{"aws:PrincipalOrgID":"o-1234567890"}}"#));
        assert!(holds(r#"{"Null":{"aws:PrincipalOrgID":"true","aws:SourceArn":false}}"#));
        assert!(!holds(r#"{"Bool":{"lambda:InvokedViaFunctionUrl":true}}"#));
        assert!(holds(r#"{"StringLike":{"aws:SourceArn":"arn:*:to?ic"}}"#));
    }

    #[test]
    fn what_is_not_known_is_named() {
        let keys = |text: &str| serde_json::from_str::<Pairs<OneOrMany<Scalar>>>(text).unwrap();
        assert_eq!(check("StringEquals", &keys(r#"{"aws:sourcearn":"x"}"#)), Ok(()));
        assert!(check("DateLessThan", &keys("{}")).unwrap_err().contains("DateLessThan"));
        assert!(
            check("StringLike", &keys(r#"{"aws:UserAgent":"x"}"#)).unwrap_err().contains("aws:UserAgent")
        );
    }
}

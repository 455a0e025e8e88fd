//! Resource policies: who may use a function, a version or an alias beside its own account.
//!
//! The language and what it means is `platform/policy`'s; here is what Lambda asks of a document before it stores it, in
//! its words. Where a function's policies are kept, and what they come to for a call, is `kept`'s business. Identity
//! policies, and what they add within one account, are not evaluated yet. A layer's policies hold so much less that
//! `layers` has a form of its own.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/access-control-resource-based.html>.

pub(crate) mod kept;

use policy::{Document, Statement};

use crate::error::LambdaError;

/// The largest policy, in bytes of its text.
pub(crate) const MAX_POLICY_BYTES: usize = 20_480;

/// The condition keys that a request to Lambda can have a value for. Others are refused when a policy is stored, because
/// "absent" would make some of them true.
const KEYS: [&str; 19] = [
    "aws:CurrentTime",
    "aws:EpochTime",
    "aws:PrincipalAccount",
    "aws:PrincipalArn",
    "aws:PrincipalIsAWSService",
    "aws:PrincipalOrgID",
    "aws:PrincipalServiceName",
    "aws:PrincipalServiceNamesList",
    "aws:PrincipalType",
    "aws:RequestedRegion",
    "aws:ResourceAccount",
    "aws:SecureTransport",
    "aws:SourceAccount",
    "aws:SourceArn",
    "aws:SourceIp",
    "aws:username",
    "lambda:EventSourceToken",
    "lambda:FunctionUrlAuthType",
    "lambda:InvokedViaFunctionUrl",
];

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    document: Document,
}

impl Policy {
    /// A policy without statements, to be added to.
    pub(crate) fn empty() -> Self {
        Policy { document: Document { id: Some("default".to_owned()), ..Document::empty() } }
    }

    /// A policy document that a user wrote for the resource with this (unqualified or qualified) ARN.
    ///
    /// # Errors
    /// `InvalidParameterValueException`, or `UnsupportedParameterException` for what is not evaluated here.
    pub(crate) fn checked(text: &str, resource_arn: &str) -> Result<Self, LambdaError> {
        let document = Document::parse(text).map_err(|error| invalid(&error.to_string()))?;
        for statement in &document.statement {
            check(statement, resource_arn)?;
        }
        Ok(Policy { document })
    }

    /// A policy as [`Policy::text`] gave it.
    ///
    /// # Errors
    /// When the text is damaged.
    pub(crate) fn stored(text: &str) -> Result<Self, LambdaError> {
        Document::stored(text).map(|document| Policy { document }).map_err(unreadable)
    }

    /// The policy as JSON: what is stored, and what is shown.
    ///
    /// # Errors
    /// `PolicyLengthExceededException` above [`MAX_POLICY_BYTES`].
    pub(crate) fn text(&self) -> Result<String, LambdaError> {
        let text = to_json(&self.document)?;
        if text.len() > MAX_POLICY_BYTES {
            return Err(LambdaError::PolicyLength(text.len()));
        }
        Ok(text)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.document.statement.is_empty()
    }

    /// Adds a statement.
    ///
    /// # Errors
    /// `ResourceConflictException` when its id is taken.
    pub(crate) fn add(&mut self, statement: Statement) -> Result<(), LambdaError> {
        let statements = &mut self.document.statement;
        if statements.iter().any(|other| other.sid == statement.sid) {
            let sid = statement.sid.unwrap_or_default();
            return Err(LambdaError::Conflict(format!(
                "The statement id ({sid}) provided already exists. Please provide a new statement id, or remove the \
                 existing statement."
            )));
        }
        statements.push(statement);
        Ok(())
    }

    /// Removes the statement with this id; says whether there was one.
    pub(crate) fn remove(&mut self, sid: &str) -> bool {
        let statements = &mut self.document.statement;
        let before = statements.len();
        statements.retain(|statement| statement.sid.as_deref() != Some(sid));
        statements.len() < before
    }

    /// What the policy says of a request.
    #[cfg(test)]
    pub(crate) fn decide(&self, request: &policy::Request<'_>) -> policy::Decision {
        self.document.decide(request)
    }
}

/// What Lambda asks of a statement beyond the language.
fn check(statement: &Statement, resource_arn: &str) -> Result<(), LambdaError> {
    let wrong = |why: String| {
        let sid = statement.sid.as_deref().map(|sid| format!(" '{sid}'")).unwrap_or_default();
        invalid(&format!("statement{sid} {why}"))
    };
    for action in statement.actions() {
        let of_lambda = action.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("lambda:"));
        if !of_lambda && action != "*" {
            return Err(wrong(format!("has the action '{action}', which is none of Lambda's")));
        }
    }
    for resource in statement.resources() {
        let own = resource == "*"
            || resource == resource_arn
            || resource.strip_prefix(resource_arn).is_some_and(|rest| rest.starts_with([':', '*']))
            || policy::matches(resource, resource_arn);
        if !own {
            return Err(wrong(format!("has the resource '{resource}', which is not {resource_arn}")));
        }
    }
    if statement.resources().next().is_none() {
        return Err(wrong("must have either Resource or NotResource".to_owned()));
    }
    let conditions = statement.condition.iter().flat_map(|conditions| &conditions.0);
    for (key, _) in conditions.flat_map(|(_, keys)| &keys.0) {
        if !KEYS.iter().any(|known| known.eq_ignore_ascii_case(key)) {
            return Err(LambdaError::Unsupported {
                parameter: "Policy",
                operation: "PutResourcePolicy",
                why: format!("the condition key {key} is not evaluated"),
            });
        }
    }
    Ok(())
}

fn unreadable(error: policy::PolicyError) -> LambdaError {
    LambdaError::Internal(format!("store: a policy cannot be read: {error}"))
}

/// A statement or a document as JSON text.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, LambdaError> {
    serde_json::to_string(value)
        .map_err(|error| LambdaError::Internal(format!("a policy cannot be written: {error}")))
}

fn invalid(why: &str) -> LambdaError {
    LambdaError::InvalidParameter(format!("The policy is not valid: {why}."))
}

#[cfg(test)]
mod tests {
    use base::Principal;
    use policy::{Decision, Effect, OneOrMany, PrincipalBlock, Request};

    use super::*;

    const ARN: &str = "arn:aws:lambda:us-east-1:000000000000:function:f";

    fn policy(principal: &str, effect: &str, resource: &str) -> Policy {
        Policy::checked(
            &format!(
                r#"{{"Statement":{{"Effect":"{effect}","Principal":{principal},"Action":"lambda:Invoke*","Resource":"{resource}"}}}}"#
            ),
            ARN,
        )
        .unwrap()
    }

    #[test]
    fn resources_and_denials_count() {
        let ann = Principal::User { account: "111122223333".parse().unwrap(), name: "ann".into() };
        let alias = format!("{ARN}:live");
        let on = |policy: &Policy, resource: &str| {
            policy.decide(&Request::new("lambda:InvokeFunction", &ann, resource))
        };
        let own = policy(r#""*""#, "Allow", ARN);
        assert_eq!(on(&own, ARN), Decision::Allowed);
        assert_eq!(on(&own, &alias), Decision::Silent);
        assert_eq!(on(&policy(r#""*""#, "Allow", &format!("{ARN}:*")), &alias), Decision::Allowed);
        assert_eq!(on(&policy(r#""*""#, "Deny", "*"), ARN), Decision::Denied);
        assert_eq!(own.decide(&Request::new("lambda:GetFunction", &ann, ARN)), Decision::Silent);
    }

    #[test]
    fn statements_come_and_go_by_their_id() {
        let statement = |sid: &str| Statement {
            sid: Some(sid.to_owned()),
            effect: Effect::Allow,
            principal: Some(PrincipalBlock::one("Service", "sns.amazonaws.com")),
            not_principal: None,
            action: Some(OneOrMany::One("lambda:InvokeFunction".to_owned())),
            not_action: None,
            resource: Some(OneOrMany::One(ARN.to_owned())),
            not_resource: None,
            condition: None,
        };
        let mut policy = Policy::empty();
        policy.add(statement("a")).unwrap();
        assert!(policy.add(statement("a")).unwrap_err().to_string().contains("(a) provided already exists"));
        assert_eq!(
            policy.text().unwrap(),
            format!(
                r#"{{"Version":"2012-10-17","Id":"default","Statement":[{{"Sid":"a","Effect":"Allow","Principal":{{"Service":"sns.amazonaws.com"}},"Action":"lambda:InvokeFunction","Resource":"{ARN}"}}]}}"#
            )
        );
        assert!(!policy.remove("b") && policy.remove("a") && policy.is_empty());
    }

    fn why(statement: &str) -> String {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#);
        Policy::checked(&text, ARN).map_or_else(|error| error.to_string(), |_| "taken".to_owned())
    }

    #[test]
    fn what_is_no_policy_is_refused_with_the_reason() {
        let base = |more: &str| format!(r#"{{"Sid":"x","Effect":"Allow",{more}}}"#);
        let whole = |action: &str, resource: &str| {
            base(&format!(r#""Principal":"*","Action":"{action}","Resource":"{resource}""#))
        };
        assert_eq!(why(&whole("lambda:InvokeFunction", ARN)), "taken");
        assert_eq!(why(&whole("lambda:*", &format!("{ARN}:*"))), "taken");
        assert_eq!(why(&whole("*", "*")), "taken");
        assert!(why(&whole("s3:GetObject", ARN)).contains("none of Lambda's"));
        assert!(why(&whole("lambda:*", &format!("{ARN}x"))).contains("which is not"));
        assert!(why(&base(r#""Action":"*","Resource":"*""#)).contains("either Principal or NotPrincipal"));
        assert!(why(&base(r#""Principal":"*","Action":"*""#)).contains("either Resource or NotResource"));
        assert!(why(&base(r#""Principal":"me","Action":"*","Resource":"*""#)).contains("principal 'me'"));
        let condition = |operator: &str, key: &str| {
            why(&base(&format!(
                r#""Principal":"*","Action":"*","Resource":"*","Condition":{{"{operator}":{{"{key}":"10.0.0.0/8"}}}}"#
            )))
        };
        assert_eq!(condition("IpAddress", "AWS:SourceIP"), "taken");
        assert!(condition("IpAddresses", "aws:SourceIp").contains("IpAddresses"));
        assert!(condition("StringLike", "aws:UserAgent").contains("aws:UserAgent is not evaluated"));
        assert!(Policy::checked("{}", ARN).is_err());
        assert!(Policy::checked(r#"{"Version":"1999-01-01","Statement":[]}"#, ARN).is_err());
        assert!(Policy::checked(r#"{"Statement":[]}"#, ARN).is_err());
        let twice = whole("*", "*");
        assert!(why(&format!("{twice},{twice}")).contains("there twice"));
    }
}

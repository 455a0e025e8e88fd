//! Resource policies: who may use a function, a version or an alias beside its own account.
//!
//! A policy is the text that is stored and shown; [`Policy::decide`] says what it means for one request. Where a function's
//! policies are kept, and what they come to for a call, is `kept`'s business. Identity policies, and what they add within
//! one account, are not evaluated here. A layer's policies hold so much less that `layers` has a form of its own.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/access-control-resource-based.html>.

mod condition;
pub(crate) mod document;
pub(crate) mod kept;

use base::{AccountId, Principal};

pub(crate) use document::{Effect, OneOrMany, Pairs, PrincipalBlock, Scalar, Statement};

use crate::error::LambdaError;
use document::Document;

/// The largest policy, in bytes of its text.
pub(crate) const MAX_POLICY_BYTES: usize = 20_480;

/// What somebody wants to do, as far as a policy looks at it.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    /// Such as `lambda:InvokeFunction`.
    pub(crate) action: &'a str,
    pub(crate) principal: &'a Principal,
    /// The ARN as it was named: with the alias or version, if it was.
    pub(crate) resource: &'a str,
    /// The resource on whose behalf a service calls.
    pub(crate) source_arn: Option<&'a str>,
    pub(crate) source_account: Option<&'a str>,
    /// The organisation of the caller's account.
    pub(crate) principal_org_id: Option<&'a str>,
    /// `NONE` or `AWS_IAM`, when the request came to a function URL.
    pub(crate) function_url_auth_type: Option<&'a str>,
    pub(crate) invoked_via_function_url: bool,
    pub(crate) event_source_token: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// A request with nothing else known of it.
    pub(crate) fn new(action: &'a str, principal: &'a Principal, resource: &'a str) -> Self {
        Request {
            action,
            principal,
            resource,
            source_arn: None,
            source_account: None,
            principal_org_id: None,
            function_url_auth_type: None,
            invoked_via_function_url: false,
            event_source_token: None,
        }
    }

    fn is_service(&self) -> bool {
        matches!(self.principal, Principal::Service(_))
    }

    fn principal_account(&self) -> Option<AccountId> {
        account_of(self.principal)
    }

    /// The ARN as `aws:PrincipalArn` has it: a session's is its role's.
    fn principal_arn(&self) -> Option<String> {
        match self.principal {
            Principal::AssumedRole { account, role, .. } => {
                Some(format!("arn:aws:iam::{account}:role/{role}"))
            }
            Principal::Root { .. } | Principal::User { .. } => Some(self.principal.arn()),
            Principal::Service(_) | Principal::Anonymous => None,
        }
    }
}

/// The account that a principal belongs to: a service and a stranger belong to none.
pub(crate) fn account_of(principal: &Principal) -> Option<AccountId> {
    match principal {
        Principal::Root { account }
        | Principal::User { account, .. }
        | Principal::AssumedRole { account, .. } => Some(*account),
        Principal::Service(_) | Principal::Anonymous => None,
    }
}

/// What a policy says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// A statement allows it and none denies it.
    Allowed,
    /// A statement denies it.
    Denied,
    /// No statement is about it.
    Silent,
}

impl Decision {
    /// Of two policies for one resource: a denial wins over a permission, and that over silence.
    pub(crate) fn and(self, other: Decision) -> Decision {
        match (self, other) {
            (Decision::Denied, _) | (_, Decision::Denied) => Decision::Denied,
            (Decision::Allowed, _) | (_, Decision::Allowed) => Decision::Allowed,
            _ => Decision::Silent,
        }
    }
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    document: Document,
}

impl Policy {
    /// A policy without statements, to be added to.
    pub(crate) fn empty() -> Self {
        Policy { document: Document::empty() }
    }

    /// A policy document that a user wrote for the resource with this ARN.
    ///
    /// # Errors
    /// `InvalidParameterValueException`, or `UnsupportedParameterException` for what is not evaluated here.
    pub(crate) fn checked(text: &str, resource_arn: &str) -> Result<Self, LambdaError> {
        Document::checked(text, resource_arn).map(|document| Policy { document })
    }

    /// A policy as [`Policy::text`] gave it.
    ///
    /// # Errors
    /// When the text is damaged.
    pub(crate) fn stored(text: &str) -> Result<Self, LambdaError> {
        let document = serde_json::from_str(text)
            .map_err(|error| LambdaError::Internal(format!("store: a policy cannot be read: {error}")))?;
        Ok(Policy { document })
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
    pub(crate) fn decide(&self, request: &Request<'_>) -> Decision {
        let about = self.document.statement.iter().filter(|statement| statement.applies(request));
        about.fold(Decision::Silent, |so_far, statement| {
            so_far.and(match statement.effect {
                Effect::Allow => Decision::Allowed,
                Effect::Deny => Decision::Denied,
            })
        })
    }
}

/// A statement or a document as JSON text.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<String, LambdaError> {
    serde_json::to_string(value)
        .map_err(|error| LambdaError::Internal(format!("a policy cannot be written: {error}")))
}

impl Statement {
    fn applies(&self, request: &Request<'_>) -> bool {
        let listed = |names: &Option<OneOrMany<String>>,
                      not: &Option<OneOrMany<String>>,
                      is: &dyn Fn(&str) -> bool| {
            match (names, not) {
                (Some(names), _) => names.items().iter().any(|name| is(name)),
                (None, Some(not)) => !not.items().iter().any(|name| is(name)),
                (None, None) => false,
            }
        };
        let principal = match (&self.principal, &self.not_principal) {
            (Some(block), _) => block.covers(request.principal),
            (None, Some(block)) => !block.covers(request.principal),
            (None, None) => false,
        };
        principal
            && listed(&self.action, &self.not_action, &|action| {
                matches(&action.to_ascii_lowercase(), &request.action.to_ascii_lowercase())
            })
            && listed(&self.resource, &self.not_resource, &|resource| matches(resource, request.resource))
            && self.condition.as_ref().is_none_or(|conditions| condition::hold(conditions, request))
    }
}

impl PrincipalBlock {
    fn covers(&self, principal: &Principal) -> bool {
        match self {
            PrincipalBlock::Everyone(_) => true,
            PrincipalBlock::Kinds(kinds) => kinds.0.iter().any(|(kind, names)| {
                names.items().iter().any(|name| match (kind.as_str(), principal) {
                    ("AWS", _) if name == "*" => true,
                    ("AWS", principal) => covers_identity(name, principal),
                    ("Service", Principal::Service(host)) => name == host,
                    _ => false,
                })
            }),
        }
    }
}

/// An account (its number, or its root) covers everyone in it; a role covers its sessions.
fn covers_identity(name: &str, principal: &Principal) -> bool {
    let Some(account) = account_of(principal) else { return false };
    let account = account.to_string();
    if name == account {
        return true;
    }
    let mut fields = name.splitn(6, ':').skip(2);
    let (Some(service), Some(_), Some(owner), Some(resource)) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return false;
    };
    if owner != account {
        return false;
    }
    // Paths are no part of a principal here: the last segment is the name.
    let last = resource.rsplit('/').next().unwrap_or_default();
    match (service, resource.split_once('/'), principal) {
        ("iam", None, _) => resource == "root",
        ("iam", Some(("user", _)), Principal::User { name, .. }) => last == name.as_ref(),
        ("iam", Some(("role", _)), Principal::AssumedRole { role, .. }) => last == role.as_ref(),
        ("sts", Some(("assumed-role", rest)), Principal::AssumedRole { role, session, .. }) => {
            rest.split_once('/') == Some((role.as_ref(), session.as_ref()))
        }
        _ => false,
    }
}

/// `*` is any text, `?` any one character. Linear in both but for the last `*`, which is tried again.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(b'?') => (p, t) = (p + 1, t + 1),
            Some(byte) if *byte == text[t] => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                (p, t) = (at + 1, from + 1);
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
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

    fn user(account: u64, name: &str) -> Principal {
        Principal::User { account: format!("{account:012}").parse().unwrap(), name: name.into() }
    }

    #[test]
    fn principals_are_told_apart() {
        let role = Principal::AssumedRole {
            account: "111122223333".parse().unwrap(),
            role: "runner".into(),
            session: "s1".into(),
        };
        let ann = user(111_122_223_333, "ann");
        let sns = Principal::Service("sns.amazonaws.com");
        let covered = |block: &str, principal: &Principal| {
            let request = Request::new("lambda:InvokeFunction", principal, ARN);
            policy(block, "Allow", ARN).decide(&request) == Decision::Allowed
        };
        for everyone in [r#""*""#, r#"{"AWS":"*"}"#] {
            assert!(
                covered(everyone, &ann)
                    && covered(everyone, &sns)
                    && covered(everyone, &Principal::Anonymous)
            );
        }
        for account in [r#"{"AWS":"111122223333"}"#, r#"{"AWS":["x","arn:aws:iam::111122223333:root"]}"#] {
            assert!(covered(account, &ann) && covered(account, &role));
            assert!(!covered(account, &user(1, "ann")) && !covered(account, &sns));
        }
        assert!(covered(r#"{"AWS":"arn:aws:iam::111122223333:user/dept/ann"}"#, &ann));
        assert!(!covered(r#"{"AWS":"arn:aws:iam::111122223333:user/bob"}"#, &ann));
        assert!(covered(r#"{"AWS":"arn:aws:iam::111122223333:role/runner"}"#, &role));
        assert!(covered(r#"{"AWS":"arn:aws:sts::111122223333:assumed-role/runner/s1"}"#, &role));
        assert!(!covered(r#"{"AWS":"arn:aws:sts::111122223333:assumed-role/runner/s2"}"#, &role));
        assert!(covered(r#"{"Service":"sns.amazonaws.com"}"#, &sns));
        assert!(!covered(r#"{"Service":"s3.amazonaws.com"}"#, &sns));
    }

    #[test]
    fn resources_and_denials_count() {
        let ann = user(111_122_223_333, "ann");
        let alias = format!("{ARN}:live");
        let on = |policy: &Policy, resource: &str| {
            policy.decide(&Request::new("lambda:InvokeFunction", &ann, resource))
        };
        let own = policy(r#""*""#, "Allow", ARN);
        assert_eq!(on(&own, ARN), Decision::Allowed);
        assert_eq!(on(&own, &alias), Decision::Silent);
        assert_eq!(on(&policy(r#""*""#, "Allow", &format!("{ARN}:*")), &alias), Decision::Allowed);
        let denial = on(&policy(r#""*""#, "Deny", "*"), ARN);
        assert_eq!(denial, Decision::Denied);
        assert_eq!(denial.and(Decision::Allowed), Decision::Denied);
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

    #[test]
    fn wildcards_match_as_iam_says() {
        for (pattern, text) in [("*", ""), ("a*c", "abbc"), ("a?c", "abc"), ("*:x*y", "a:xx:y"), ("", "")] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a", "b"), ("a*c", "abd"), ("a?", "a"), ("", "a"), ("*b", "a")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}

//! What is known of a request: who, what, to which resource, and the condition keys.
//!
//! Keys that follow from the principal or the resource are worked out when a policy asks for them; others are given by
//! the service, and a key that nobody gave is absent.
//! Keys: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html>.

use std::borrow::Cow;

use base::{Principal, Timestamp};

use crate::principal::account_of;

/// What somebody wants to do.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Such as `sqs:SendMessage`.
    pub action: &'a str,
    /// Who.
    pub principal: &'a Principal,
    /// The ARN of the resource, as it was named.
    pub resource: &'a str,
    /// What else is known.
    pub context: Context<'a>,
}

impl<'a> Request<'a> {
    /// A request of which nothing else is known.
    #[must_use]
    pub fn new(action: &'a str, principal: &'a Principal, resource: &'a str) -> Self {
        Request { action, principal, resource, context: Context::default() }
    }

    /// The same with these condition keys.
    #[must_use]
    pub fn within(mut self, context: Context<'a>) -> Self {
        self.context = context;
        self
    }

    /// The values of a key; `None` when the request has no such key.
    pub(crate) fn values(&self, key: &str) -> Option<Values<'_>> {
        match self.context.get(key) {
            Some(values) => Some(values),
            None => self.derived(key),
        }
    }

    /// The value of a key that has one.
    pub(crate) fn single(&self, key: &str) -> Option<Cow<'_, str>> {
        match self.values(key)? {
            Values::One(value) => Some(value),
            Values::Many(_) => None,
        }
    }

    /// What follows from who asks, and for what.
    fn derived(&self, key: &str) -> Option<Values<'_>> {
        let name =
            key.get(..4).filter(|prefix| prefix.eq_ignore_ascii_case("aws:")).and_then(|_| key.get(4..))?;
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        let principal = self.principal;
        let value: Cow<'_, str> = if is("PrincipalArn") {
            principal_arn(principal)?.into()
        } else if is("PrincipalAccount") {
            account_of(principal)?.to_string().into()
        } else if is("PrincipalType") {
            principal_type(principal)?.into()
        } else if is("username") {
            let Principal::User { name, .. } = principal else { return None };
            Cow::Borrowed(name)
        } else if is("PrincipalIsAWSService") {
            if matches!(principal, Principal::Service(_)) { "true" } else { "false" }.into()
        } else if is("PrincipalServiceName") {
            let Principal::Service(host) = principal else { return None };
            (*host).into()
        } else if is("PrincipalServiceNamesList") {
            let Principal::Service(host) = principal else { return None };
            return Some(Values::Many(vec![(*host).into()]));
        } else if is("ResourceAccount") {
            self.resource.split(':').nth(4).filter(|account| !account.is_empty())?.into()
        } else {
            return None;
        };
        Some(Values::One(value))
    }
}

/// A session's ARN is its role's here.
fn principal_arn(principal: &Principal) -> Option<String> {
    match principal {
        Principal::AssumedRole { account, role, .. } => Some(format!("arn:aws:iam::{account}:role/{role}")),
        Principal::Root { .. } | Principal::User { .. } => Some(principal.arn()),
        Principal::Service(_) | Principal::Anonymous => None,
    }
}

fn principal_type(principal: &Principal) -> Option<&'static str> {
    match principal {
        Principal::Root { .. } => Some("Account"),
        Principal::User { .. } => Some("User"),
        Principal::AssumedRole { .. } => Some("AssumedRole"),
        Principal::Anonymous => Some("Anonymous"),
        Principal::Service(_) => None,
    }
}

/// One value, or the values of a key that may have several (none is like no key).
#[derive(Clone, Debug)]
pub(crate) enum Values<'a> {
    One(Cow<'a, str>),
    Many(Vec<Cow<'a, str>>),
}

impl Values<'_> {
    pub(crate) fn items(&self) -> &[Cow<'_, str>] {
        match self {
            Values::One(value) => std::slice::from_ref(value),
            Values::Many(values) => values,
        }
    }
}

/// Condition keys and their values. Names are compared without regard to case.
#[derive(Clone, Debug, Default)]
pub struct Context<'a> {
    entries: Vec<(&'a str, Values<'a>)>,
}

impl<'a> Context<'a> {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With a key of one value. What was said before of this key no longer counts.
    #[must_use]
    pub fn with(self, key: &'a str, value: impl Into<Cow<'a, str>>) -> Self {
        self.put(key, Values::One(value.into()))
    }

    /// With a key of one value, if there is one.
    #[must_use]
    pub fn with_some(self, key: &'a str, value: Option<impl Into<Cow<'a, str>>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// With a key that may have several values.
    #[must_use]
    pub fn with_all<V: Into<Cow<'a, str>>>(self, key: &'a str, values: impl IntoIterator<Item = V>) -> Self {
        self.put(key, Values::Many(values.into_iter().map(Into::into).collect()))
    }

    /// With the keys of another context, which count more.
    #[must_use]
    pub fn and(self, other: Context<'a>) -> Self {
        other.entries.into_iter().fold(self, |context, (key, values)| context.put(key, values))
    }

    /// With `aws:CurrentTime` and `aws:EpochTime`.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        let seconds = now.as_millis().div_euclid(1000).to_string();
        self.with("aws:CurrentTime", now.iso8601()).with("aws:EpochTime", seconds)
    }

    fn put(mut self, key: &'a str, values: Values<'a>) -> Self {
        self.entries.retain(|(other, _)| !other.eq_ignore_ascii_case(key));
        self.entries.push((key, values));
        self
    }

    fn get(&self, key: &str) -> Option<Values<'_>> {
        let (_, values) = self.entries.iter().find(|(name, _)| name.eq_ignore_ascii_case(key))?;
        match values {
            Values::One(value) => Some(Values::One(Cow::Borrowed(value))),
            Values::Many(values) if values.is_empty() => None,
            Values::Many(values) => {
                Some(Values::Many(values.iter().map(|value| Cow::Borrowed(value.as_ref())).collect()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(principal: &Principal, key: &str) -> Option<String> {
        let request = Request::new("a:B", principal, "arn:aws:sqs:us-east-1:000000000000:q");
        request.values(key).map(|values| values.items().join(","))
    }

    #[test]
    fn keys_follow_from_the_principal() {
        let account = "111122223333".parse().unwrap();
        let role = Principal::AssumedRole { account, role: "r".into(), session: "s".into() };
        let user = Principal::User { account, name: "ann".into() };
        let sns = Principal::Service("sns.amazonaws.com");
        assert_eq!(value(&role, "aws:PrincipalArn").unwrap(), "arn:aws:iam::111122223333:role/r");
        assert_eq!(value(&user, "AWS:principalarn").unwrap(), "arn:aws:iam::111122223333:user/ann");
        assert_eq!(value(&user, "aws:username").unwrap(), "ann");
        assert_eq!(value(&role, "aws:username"), None);
        assert_eq!(value(&role, "aws:PrincipalType").unwrap(), "AssumedRole");
        assert_eq!(value(&sns, "aws:PrincipalIsAWSService").unwrap(), "true");
        assert_eq!(value(&sns, "aws:PrincipalServiceNamesList").unwrap(), "sns.amazonaws.com");
        assert_eq!(value(&sns, "aws:PrincipalArn"), None);
        assert_eq!(value(&Principal::Anonymous, "aws:PrincipalAccount"), None);
        assert_eq!(value(&user, "aws:ResourceAccount").unwrap(), "000000000000");
        assert_eq!(value(&user, "sqs:PrincipalArn"), None);
    }

    #[test]
    fn what_is_given_counts_once() {
        let nobody = Principal::Anonymous;
        let context = Context::new()
            .with("aws:SourceIp", "10.0.0.1")
            .with("AWS:SourceIP", "10.0.0.2")
            .with_all("aws:TagKeys", Vec::<&str>::new())
            .at(Timestamp(1_795_420_000_123));
        let request = Request::new("a:B", &nobody, "arn").within(context);
        assert_eq!(request.single("aws:sourceip").unwrap(), "10.0.0.2");
        assert!(request.values("aws:TagKeys").is_none());
        assert_eq!(request.single("aws:CurrentTime").unwrap(), "2026-11-23T07:46:40.123Z");
        assert_eq!(request.single("aws:EpochTime").unwrap(), "1795420000");
    }
}

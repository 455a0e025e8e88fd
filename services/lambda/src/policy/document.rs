//! The grammar of resource policies: documents and their statements, read and written in the order they came.
//!
//! It checks what Lambda checks before it stores a document, and decides nothing about callers. An element whose
//! meaning cannot be evaluated here (a condition operator or key that is not known) is refused by name: a policy is
//! never half in force.
//! Grammar: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>.

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use super::condition;
use crate::error::LambdaError;

const CURRENT_VERSION: &str = "2012-10-17";
const OLD_VERSION: &str = "2008-10-17";

/// A policy document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Document {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// A single statement may stand without a list; it is kept as a list of one.
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) statement: Vec<Statement>,
}

/// By hand, so that an error names what is wrong in a statement.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Statement>, D::Error> {
    struct Reader;
    impl<'de> Visitor<'de> for Reader {
        type Value = Vec<Statement>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a statement or a list of statements")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Vec<Statement>, A::Error> {
            Statement::deserialize(MapAccessDeserializer::new(map)).map(|statement| vec![statement])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Vec<Statement>, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(seq))
        }
    }
    deserializer.deserialize_any(Reader)
}

/// One statement. Members stand in the order in which AWS writes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Statement {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sid: Option<String>,
    pub(crate) effect: Effect,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) principal: Option<PrincipalBlock>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) not_principal: Option<PrincipalBlock>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) action: Option<OneOrMany<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) not_action: Option<OneOrMany<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resource: Option<OneOrMany<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) not_resource: Option<OneOrMany<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) condition: Option<Conditions>,
}

/// Operator to key to values.
pub(crate) type Conditions = Pairs<Pairs<OneOrMany<Scalar>>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Effect {
    Allow,
    Deny,
}

/// One item, or a list of them; written as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    pub(crate) fn items(&self) -> &[T] {
        match self {
            OneOrMany::One(item) => std::slice::from_ref(item),
            OneOrMany::Many(items) => items,
        }
    }
}

/// A condition's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Scalar {
    Truth(bool),
    Number(serde_json::Number),
    Text(String),
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Truth(truth) => truth.fmt(f),
            Scalar::Number(number) => number.fmt(f),
            Scalar::Text(text) => text.fmt(f),
        }
    }
}

/// Whom a statement is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum PrincipalBlock {
    /// `"*"`, the only text there is.
    Everyone(String),
    /// `{"Service": "sns.amazonaws.com"}`.
    Kinds(Pairs<OneOrMany<String>>),
}

impl PrincipalBlock {
    /// `{"Service": ".."}` or `{"AWS": ".."}`.
    pub(crate) fn one(kind: &str, name: impl Into<String>) -> Self {
        PrincipalBlock::Kinds(Pairs(vec![(kind.to_owned(), OneOrMany::One(name.into()))]))
    }

    pub(crate) fn everyone() -> Self {
        PrincipalBlock::Everyone("*".to_owned())
    }
}

/// A JSON object whose members keep their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pairs<T>(pub(crate) Vec<(String, T)>);

impl<T: Serialize> Serialize for Pairs<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Pairs<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<T>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Reader(PhantomData))
    }
}

impl Document {
    /// The document that statements are added to one by one.
    pub(crate) fn empty() -> Self {
        Document {
            version: Some(CURRENT_VERSION.to_owned()),
            id: Some("default".to_owned()),
            statement: Vec::new(),
        }
    }

    /// Reads a document that somebody wrote, for the resource with this (unqualified or qualified) ARN.
    ///
    /// # Errors
    /// `InvalidParameterValueException` that says what is wrong; `UnsupportedParameterException` for what is not
    /// evaluated here.
    pub(crate) fn checked(text: &str, resource_arn: &str) -> Result<Self, LambdaError> {
        let document: Document = serde_json::from_str(text)
            .map_err(|error| invalid(format!("The policy is not valid: {error}.")))?;
        if !matches!(document.version.as_deref(), None | Some(CURRENT_VERSION | OLD_VERSION)) {
            return Err(invalid(format!("The policy is not valid: its version must be {CURRENT_VERSION}.")));
        }
        if document.statement.is_empty() {
            return Err(invalid("The policy is not valid: it has no statement."));
        }
        let mut sids = HashSet::new();
        for statement in &document.statement {
            if let Some(sid) = statement.sid.as_deref()
                && !sids.insert(sid)
            {
                return Err(invalid(format!(
                    "The policy is not valid: the statement id '{sid}' is there twice."
                )));
            }
            statement.check(resource_arn)?;
        }
        Ok(document)
    }
}

impl Statement {
    fn check(&self, resource_arn: &str) -> Result<(), LambdaError> {
        let wrong = |why: String| {
            let sid = self.sid.as_deref().map(|sid| format!(" '{sid}'")).unwrap_or_default();
            invalid(format!("The policy is not valid: statement{sid} {why}."))
        };
        for (name, one, other) in [
            ("Principal", self.principal.is_some(), self.not_principal.is_some()),
            ("Action", self.action.is_some(), self.not_action.is_some()),
            ("Resource", self.resource.is_some(), self.not_resource.is_some()),
        ] {
            if one == other {
                return Err(wrong(format!("must have either {name} or Not{name}")));
            }
        }
        for block in [&self.principal, &self.not_principal].into_iter().flatten() {
            check_principal(block).map_err(&wrong)?;
        }
        let actions = [&self.action, &self.not_action].into_iter().flatten().flat_map(|a| a.items());
        for action in actions {
            let of_lambda = action.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("lambda:"));
            if !of_lambda && action != "*" {
                return Err(wrong(format!("has the action '{action}', which is none of Lambda's")));
            }
        }
        let resources = [&self.resource, &self.not_resource].into_iter().flatten().flat_map(|r| r.items());
        for resource in resources {
            let own = resource == "*"
                || resource == resource_arn
                || resource.strip_prefix(resource_arn).is_some_and(|rest| rest.starts_with([':', '*']))
                || super::matches(resource, resource_arn);
            if !own {
                return Err(wrong(format!("has the resource '{resource}', which is not {resource_arn}")));
            }
        }
        for (operator, keys) in self.condition.iter().flat_map(|conditions| &conditions.0) {
            condition::check(operator, keys).map_err(|what| LambdaError::Unsupported {
                parameter: "Policy",
                operation: "PutResourcePolicy",
                why: format!("{what} is not evaluated"),
            })?;
        }
        Ok(())
    }
}

fn check_principal(block: &PrincipalBlock) -> Result<(), String> {
    const KINDS: [&str; 4] = ["AWS", "Service", "Federated", "CanonicalUser"];
    match block {
        PrincipalBlock::Everyone(text) if text == "*" => Ok(()),
        PrincipalBlock::Everyone(text) => Err(format!("has the principal '{text}'")),
        PrincipalBlock::Kinds(kinds) => {
            match kinds.0.iter().find(|(kind, _)| !KINDS.contains(&kind.as_str())) {
                Some((kind, _)) => Err(format!("has a principal of the unknown kind '{kind}'")),
                None if kinds.0.iter().any(|(_, names)| names.items().is_empty()) => {
                    Err("has an empty principal".to_owned())
                }
                None if kinds.0.is_empty() => Err("has an empty principal".to_owned()),
                None => Ok(()),
            }
        }
    }
}

fn invalid(message: impl Into<String>) -> LambdaError {
    LambdaError::InvalidParameter(message.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:lambda:us-east-1:000000000000:function:f";

    fn why(statement: &str) -> String {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#);
        Document::checked(&text, ARN).map_or_else(|error| error.to_string(), |_| "taken".to_owned())
    }

    #[test]
    fn a_document_is_written_as_it_was_read() {
        let text = format!(
            r#"{{"Version":"2012-10-17","Id":"default","Statement":[{{"Sid":"a","Effect":"Allow","Principal":{{"Service":"s3.amazonaws.com"}},"Action":"lambda:InvokeFunction","Resource":"{ARN}","Condition":{{"StringEquals":{{"AWS:SourceAccount":"111122223333"}},"ArnLike":{{"AWS:SourceArn":"arn:aws:s3:::b"}}}}}}]}}"#
        );
        let document = Document::checked(&text, ARN).unwrap();
        assert_eq!(serde_json::to_string(&document).unwrap(), text);
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
        assert!(why(&base(r#""Principal":"me","Action":"*","Resource":"*""#)).contains("principal 'me'"));
        assert!(
            why(&base(r#""Principal":"*","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#))
                .contains("IpAddress")
        );
        assert!(Document::checked("{}", ARN).is_err());
        assert!(Document::checked(r#"{"Version":"1999-01-01","Statement":[]}"#, ARN).is_err());
        assert!(Document::checked(r#"{"Statement":[]}"#, ARN).is_err());
        let twice = whole("*", "*");
        assert!(why(&format!("{twice},{twice}")).contains("there twice"));
    }
}

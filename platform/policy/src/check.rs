//! What a resource's policy must be before it is kept, beyond the grammar. An element that could not be evaluated (an
//! operator that there is not, a date that is none) is refused: a policy is never half in force.
//!
//! Which actions, resources and condition keys make sense for a resource is its service's business.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use crate::document::{CURRENT_VERSION, Document, OLD_VERSION, PrincipalBlock, Statement};
use crate::operator;
use crate::principal::KINDS;

/// Why a text is no policy. The message is a sentence without its end: "it has no statement".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// It is no JSON, or JSON of another form.
    #[error("{0}")]
    Form(String),
    /// There are two versions of the language.
    #[error("its version must be 2012-10-17 or 2008-10-17")]
    Version,
    /// A policy says something.
    #[error("it has no statement")]
    NoStatement,
    /// Ids are unique within a document.
    #[error("the statement id '{0}' is there twice")]
    SidTwice(String),
    /// One statement is wrong.
    #[error("statement{} {flaw}", sid.as_deref().map(|sid| format!(" '{sid}'")).unwrap_or_default())]
    Statement {
        /// Its id, if it has one.
        sid: Option<String>,
        /// What is wrong with it.
        flaw: Flaw,
    },
}

/// What is wrong with a statement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Both, or none, of an element and its `Not` form.
    #[error("must have either {0} or Not{0}")]
    NotOne(&'static str),
    /// An element that lists nothing.
    #[error("has an empty {0}")]
    Empty(&'static str),
    /// The only text that may stand as a principal is `*`.
    #[error("has the principal '{0}'")]
    Principal(String),
    /// `AWS`, `Service`, `Federated` and `CanonicalUser` are the kinds.
    #[error("has a principal of the unknown kind '{0}'")]
    PrincipalKind(String),
    /// An action is `*` or `service:Name`.
    #[error("has the action '{0}', which names no service")]
    Action(String),
    /// There is no such operator.
    #[error("has the condition operator {0}, which there is not")]
    Operator(String),
    /// A condition key is `service:Name`.
    #[error("has the condition key '{0}', which names no service")]
    Key(String),
    /// The operator cannot compare with this value.
    #[error("has the condition {operator} with the value '{value}'")]
    Value {
        /// The operator.
        operator: String,
        /// The value.
        value: String,
    },
}

impl Document {
    /// Reads the policy of a resource.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let document: Document =
            serde_json::from_str(text).map_err(|error| PolicyError::Form(error.to_string()))?;
        document.check()?;
        Ok(document)
    }

    /// Reads a policy that was checked when it was stored.
    ///
    /// # Errors
    /// When the text is damaged.
    pub fn stored(text: &str) -> Result<Self, PolicyError> {
        serde_json::from_str(text).map_err(|error| PolicyError::Form(error.to_string()))
    }

    /// As [`Document::stored`], and remembers what was read: for policies that are looked at again and again. The
    /// memory is small and forgets everything when it is full.
    ///
    /// # Errors
    /// As [`Document::stored`].
    pub fn remembered(text: &str) -> Result<Arc<Self>, PolicyError> {
        const MOST: usize = 1000;
        static MEMORY: LazyLock<RwLock<HashMap<Box<str>, Arc<Document>>>> = LazyLock::new(RwLock::default);
        let read = MEMORY.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(document) = read.get(text) {
            return Ok(Arc::clone(document));
        }
        drop(read);
        let document = Arc::new(Document::stored(text)?);
        let mut memory = MEMORY.write().unwrap_or_else(PoisonError::into_inner);
        if memory.len() >= MOST {
            memory.clear();
        }
        memory.insert(text.into(), Arc::clone(&document));
        Ok(document)
    }

    fn check(&self) -> Result<(), PolicyError> {
        if !matches!(self.version.as_deref(), None | Some(CURRENT_VERSION | OLD_VERSION)) {
            return Err(PolicyError::Version);
        }
        if self.statement.is_empty() {
            return Err(PolicyError::NoStatement);
        }
        let mut sids = HashSet::new();
        for statement in &self.statement {
            // An empty id is none: consoles write such.
            let sid = statement.sid.as_deref().filter(|sid| !sid.is_empty());
            if let Some(sid) = sid
                && !sids.insert(sid)
            {
                return Err(PolicyError::SidTwice(sid.to_owned()));
            }
            statement.check().map_err(|flaw| PolicyError::Statement { sid: sid.map(str::to_owned), flaw })?;
        }
        Ok(())
    }
}

impl Statement {
    fn check(&self) -> Result<(), Flaw> {
        let count = |list: &Option<crate::OneOrMany<String>>| list.as_ref().map(|list| list.items().len());
        one_of("Principal", self.principal.is_some(), self.not_principal.is_some())?;
        let (action, not_action) = (count(&self.action), count(&self.not_action));
        let (resource, not_resource) = (count(&self.resource), count(&self.not_resource));
        one_of("Action", action.is_some(), not_action.is_some())?;
        // Without either, the resource that has the policy is meant; a service may ask for one.
        if resource.is_some() && not_resource.is_some() {
            return Err(Flaw::NotOne("Resource"));
        }
        for (name, length) in [("Action", action.or(not_action)), ("Resource", resource.or(not_resource))] {
            if length == Some(0) {
                return Err(Flaw::Empty(name));
            }
        }
        for block in [&self.principal, &self.not_principal].into_iter().flatten() {
            check_principal(block)?;
        }
        for action in self.actions() {
            let named =
                action.split_once(':').is_some_and(|(service, name)| !service.is_empty() && !name.is_empty());
            if action != "*" && !named {
                return Err(Flaw::Action(action.to_owned()));
            }
        }
        for (operator, keys) in self.condition.iter().flat_map(|conditions| &conditions.0) {
            operator::check(operator, keys)?;
        }
        Ok(())
    }

    /// What stands under `Action` or `NotAction`.
    pub fn actions(&self) -> impl Iterator<Item = &str> {
        let lists = [&self.action, &self.not_action].into_iter().flatten();
        lists.flat_map(|list| list.items()).map(String::as_str)
    }

    /// What stands under `Resource` or `NotResource`.
    pub fn resources(&self) -> impl Iterator<Item = &str> {
        let lists = [&self.resource, &self.not_resource].into_iter().flatten();
        lists.flat_map(|list| list.items()).map(String::as_str)
    }

    /// What stands under `Principal` or `NotPrincipal`.
    pub fn principals(&self) -> impl Iterator<Item = &PrincipalBlock> {
        [&self.principal, &self.not_principal].into_iter().flatten()
    }
}

fn one_of(name: &'static str, one: bool, other: bool) -> Result<(), Flaw> {
    if one == other { Err(Flaw::NotOne(name)) } else { Ok(()) }
}

fn check_principal(block: &PrincipalBlock) -> Result<(), Flaw> {
    match block {
        PrincipalBlock::Everyone(text) if text == "*" => Ok(()),
        PrincipalBlock::Everyone(text) => Err(Flaw::Principal(text.clone())),
        PrincipalBlock::Kinds(kinds) => {
            if let Some((kind, _)) = kinds.0.iter().find(|(kind, _)| !KINDS.contains(&kind.as_str())) {
                return Err(Flaw::PrincipalKind(kind.clone()));
            }
            if kinds.0.is_empty() || kinds.0.iter().any(|(_, names)| names.items().is_empty()) {
                return Err(Flaw::Empty("principal"));
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(statement: &str) -> String {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#);
        Document::parse(&text).map_or_else(|error| error.to_string(), |_| "taken".to_owned())
    }

    fn with(more: &str) -> String {
        why(&format!(r#"{{"Sid":"x","Effect":"Allow","Principal":"*","Action":"*","Resource":"*"{more}}}"#))
    }

    #[test]
    fn a_document_is_written_as_it_was_read() {
        let text = r#"{"Version":"2012-10-17","Id":"default","Statement":[{"Sid":"a","Effect":"Allow","Principal":{"Service":"s3.amazonaws.com","AWS":["111122223333"]},"Action":"sqs:SendMessage","Resource":"arn:aws:sqs:us-east-1:000000000000:q","Condition":{"StringEquals":{"AWS:SourceAccount":"111122223333"},"ArnLike":{"AWS:SourceArn":["arn:aws:s3:::b"]},"NumericLessThan":{"s3:max-keys":10}}}]}"#;
        let document = Document::parse(text).unwrap();
        assert_eq!(serde_json::to_string(&document).unwrap(), text);
        let one =
            r#"{"Statement":{"Effect":"Deny","Principal":"*","NotAction":["sqs:*"],"NotResource":"*"}}"#;
        assert_eq!(Document::parse(one).unwrap().statement.len(), 1, "a statement may stand without a list");
    }

    #[test]
    fn a_document_is_read_once() {
        let text = r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"sqs:*"}}"#;
        let first = Document::remembered(text).unwrap();
        assert!(Arc::ptr_eq(&first, &Document::remembered(text).unwrap()));
        assert!(Document::remembered("{").is_err());
        for number in 0..2000 {
            Document::remembered(&text.replace("sqs:*", &format!("sqs:{number}"))).unwrap();
        }
        assert_eq!(first, Document::remembered(text).unwrap());
    }

    #[test]
    fn what_is_no_policy_is_refused_with_the_reason() {
        assert_eq!(with(""), "taken");
        assert!(with(r#","NotAction":"*""#).contains("must have either Action or NotAction"));
        assert!(with(r#","NotPrincipal":"*""#).contains("must have either Principal or NotPrincipal"));
        assert!(with(r#","Colour":"red""#).contains("unknown field"));
        assert!(with(r#","NotResource":"*""#).contains("must have either Resource or NotResource"));
        assert_eq!(
            why(r#"{"Effect":"Allow","Principal":"*","Action":"*"}"#),
            "taken",
            "it means its own resource"
        );
        assert!(why(r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#).contains("either Principal"));
        assert!(
            why(r#"{"Effect":"Perhaps","Principal":"*","Action":"*","Resource":"*"}"#).contains("Perhaps")
        );
        let principal = |block: &str| {
            why(&format!(r#"{{"Effect":"Allow","Principal":{block},"Action":"a:B","Resource":"*"}}"#))
        };
        assert!(principal("\"me\"").contains("principal 'me'"));
        assert!(principal(r#"{"Friend":"me"}"#).contains("unknown kind 'Friend'"));
        assert!(principal("{}").contains("empty principal") && principal(r#"{"AWS":[]}"#).contains("empty"));
        let action = |list: &str| {
            why(&format!(r#"{{"Effect":"Allow","Principal":"*","Action":{list},"Resource":"*"}}"#))
        };
        assert!(action("\"SendMessage\"").contains("'SendMessage', which names no service"));
        assert!(action("[]").contains("empty Action"));
        for (text, reason) in [
            ("nonsense", "expected"),
            ("[]", "expected"),
            ("{}", "missing field"),
            (r#"{"Version":"1999-01-01","Statement":[]}"#, "version must be"),
            (r#"{"Statement":[]}"#, "no statement"),
        ] {
            let error = Document::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
        let twice = r#"{"Sid":"x","Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}"#;
        assert!(why(&format!("{twice},{twice}")).contains("'x' is there twice"));
    }

    #[test]
    fn conditions_that_nobody_could_evaluate_are_refused() {
        let condition = |operator: &str, key: &str, value: &str| {
            with(&format!(r#","Condition":{{"{operator}":{{"{key}":{value}}}}}"#))
        };
        for (operator, value) in [
            ("StringEquals", "\"x\""),
            ("ForAllValues:StringLike", "[\"x\",\"y\"]"),
            ("ForAnyValue:ArnNotLikeIfExists", "\"arn:aws:s3:::b\""),
            ("NumericLessThanEquals", "-1.5"),
            ("DateGreaterThan", "\"2026-11-23\""),
            ("DateLessThanIfExists", "1795420000"),
            ("Bool", "true"),
            ("BinaryEquals", "\"QmluYXJ5\""),
            ("IpAddress", "[\"10.0.0.0/8\",\"2001:db8::/32\",\"192.0.2.1\"]"),
            ("Null", "\"false\""),
        ] {
            assert_eq!(condition(operator, "aws:x", value), "taken", "{operator}");
        }
        for (operator, value, reason) in [
            ("StringIs", "\"x\"", "operator StringIs"),
            ("stringequals", "\"x\"", "operator stringequals"),
            ("ForSomeValues:StringLike", "\"x\"", "operator ForSomeValues"),
            ("NullIfExists", "true", "operator NullIfExists"),
            ("NumericEquals", "\"many\"", "the value 'many'"),
            ("DateEquals", "\"yesterday\"", "the value 'yesterday'"),
            ("Bool", "\"perhaps\"", "the value 'perhaps'"),
            ("BinaryEquals", "\"%\"", "the value '%'"),
            ("NotIpAddress", "\"10.0.0.0/33\"", "the value '10.0.0.0/33'"),
            ("Null", "\"x\"", "the value 'x'"),
        ] {
            let found = condition(operator, "aws:x", value);
            assert!(found.contains(reason), "{operator}: {found}");
        }
        assert!(condition("StringEquals", "SourceArn", "\"x\"").contains("key 'SourceArn'"));
    }
}

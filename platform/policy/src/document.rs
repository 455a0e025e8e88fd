//! The grammar of policies: documents and their statements, read and written in the order they came.
//!
//! It checks nothing that the grammar does not say (`check` does), and decides nothing (`decide` does).
//! Grammar: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

pub(crate) const CURRENT_VERSION: &str = "2012-10-17";
pub(crate) const OLD_VERSION: &str = "2008-10-17";

/// A policy document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Document {
    /// `2012-10-17`, or `2008-10-17`, which is meant where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What its author calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// A single statement may stand without a list; it is kept as a list of one.
    #[serde(deserialize_with = "one_or_many")]
    pub statement: Vec<Statement>,
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
pub struct Statement {
    /// What its author calls it: once in a document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// What it does to a request that it is about.
    pub effect: Effect,
    /// Whom it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<PrincipalBlock>,
    /// Whom it is not about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_principal: Option<PrincipalBlock>,
    /// What it is about: `sqs:SendMessage`, `sqs:*`, `*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<OneOrMany<String>>,
    /// What it is not about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_action: Option<OneOrMany<String>>,
    /// The ARNs it is about, with wildcards and variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<OneOrMany<String>>,
    /// The ARNs it is not about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_resource: Option<OneOrMany<String>>,
    /// What must hold besides; all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Conditions>,
}

/// Operator to key to values.
pub type Conditions = Pairs<Pairs<OneOrMany<Scalar>>>;

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// Allows it.
    Allow,
    /// Denies it, whatever allows it.
    Deny,
}

/// One item, or a list of them; written as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// An item.
    One(T),
    /// A list.
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// The items.
    pub fn items(&self) -> &[T] {
        match self {
            OneOrMany::One(item) => std::slice::from_ref(item),
            OneOrMany::Many(items) => items,
        }
    }
}

/// A condition's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// `true` or `false`.
    Truth(bool),
    /// A number.
    Number(serde_json::Number),
    /// Text.
    Text(String),
}

/// Whom a statement is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PrincipalBlock {
    /// `"*"`, the only text there is.
    Everyone(String),
    /// `{"Service": "sns.amazonaws.com"}`.
    Kinds(Pairs<OneOrMany<String>>),
}

impl PrincipalBlock {
    /// `{"Service": ".."}` or `{"AWS": ".."}`.
    pub fn one(kind: &str, name: impl Into<String>) -> Self {
        PrincipalBlock::Kinds(Pairs(vec![(kind.to_owned(), OneOrMany::One(name.into()))]))
    }

    /// `"*"`.
    #[must_use]
    pub fn everyone() -> Self {
        PrincipalBlock::Everyone("*".to_owned())
    }
}

/// A JSON object whose members keep their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairs<T>(pub Vec<(String, T)>);

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
    /// A document of the current version without statements, which `parse` would not take.
    #[must_use]
    pub fn empty() -> Self {
        Document { version: Some(CURRENT_VERSION.to_owned()), id: None, statement: Vec::new() }
    }
}

impl Scalar {
    /// The value as text.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Scalar::Truth(true) => Cow::Borrowed("true"),
            Scalar::Truth(false) => Cow::Borrowed("false"),
            Scalar::Number(number) => Cow::Owned(number.to_string()),
            Scalar::Text(text) => Cow::Borrowed(text),
        }
    }
}

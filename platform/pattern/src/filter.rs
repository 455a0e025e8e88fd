//! SNS's filter policies: which messages a subscription wants, by their attributes or by their body.
//!
//! Limits: <https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html>.

use std::str::FromStr;

use serde_json::Value;

use crate::compile::{Compiled, Dialect, Field, compile};
use crate::condition::{Condition, Scalar};
use crate::error::PatternError;
use crate::matching::Alternatives;
use crate::number::Range;
use crate::reader::Refusal;

/// Keys of a policy's outermost object.
const MAX_KEYS: usize = 5;
/// Combinations of values: their counts multiplied, each with how deep its key is.
const MAX_COMBINATIONS: usize = 150;
/// Of a policy's text.
const MAX_SIZE_BYTES: usize = 256 * 1024;

/// What a policy looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// The message's attributes.
    #[default]
    MessageAttributes,
    /// The message's body, which is JSON then.
    MessageBody,
}

impl Scope {
    /// Its name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scope::MessageAttributes => "MessageAttributes",
            Scope::MessageBody => "MessageBody",
        }
    }
}

impl FromStr for Scope {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        [Scope::MessageAttributes, Scope::MessageBody].into_iter().find(|scope| scope.name() == text).ok_or_else(
            || {
                PatternError::new(format!(
                    "FilterPolicyScope: Invalid value [{text}]. Please use either MessageBody or MessageAttributes"
                ))
            },
        )
    }
}

/// A message attribute's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeValue<'a> {
    /// Of type `String`.
    String(&'a str),
    /// Of type `String.Array`: a JSON array as text.
    StringArray(&'a str),
    /// Of type `Number`: as it was sent.
    Number(&'a str),
    /// Of type `Binary`: no policy looks at it.
    Binary,
}

/// A policy that was understood.
#[derive(Clone, Debug)]
pub struct FilterPolicy {
    matcher: Matcher,
}

#[derive(Clone, Debug)]
enum Matcher {
    Attributes { alternatives: Vec<Vec<Field>>, numbers: Range },
    Body(Alternatives),
}

impl FilterPolicy {
    /// Reads a policy from its JSON text.
    ///
    /// # Errors
    ///
    /// SNS's text without what it begins with, which differs between operations: `Invalid parameter: ` for
    /// SetSubscriptionAttributes, `Invalid parameter: Attributes Reason: ` for Subscribe.
    pub fn parse(text: &str, scope: Scope) -> Result<FilterPolicy, PatternError> {
        if text.len() > MAX_SIZE_BYTES {
            return Err(PatternError::new(format!(
                "FilterPolicy: Filter policy can not be larger than {MAX_SIZE_BYTES} bytes"
            )));
        }
        let compiled = compile(text, Dialect::Filter).map_err(refusal)?;
        check(&compiled, scope)?;
        let matcher = match scope {
            Scope::MessageAttributes => {
                Matcher::Attributes { alternatives: compiled.alternatives, numbers: compiled.numbers }
            }
            Scope::MessageBody => Matcher::Body(Alternatives::new(compiled)),
        };
        Ok(FilterPolicy { matcher })
    }

    /// What it looks at.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self.matcher {
            Matcher::Attributes { .. } => Scope::MessageAttributes,
            Matcher::Body(_) => Scope::MessageBody,
        }
    }

    /// Whether a message with these attributes is wanted. A policy on the body wants none.
    #[must_use]
    pub fn matches_attributes(&self, attributes: &[(&str, AttributeValue<'_>)]) -> bool {
        let Matcher::Attributes { alternatives, numbers } = &self.matcher else { return false };
        let has = |field: &Field| {
            let value = attributes.iter().find(|(name, _)| *name == &*field.path).map(|(_, value)| *value);
            is_met(&field.conditions, value, *numbers)
        };
        alternatives.iter().any(|fields| fields.iter().all(has))
    }

    /// Whether a message with this body is wanted. A policy on attributes wants none; nor is a body that is no object.
    #[must_use]
    pub fn matches_body(&self, body: &Value) -> bool {
        match &self.matcher {
            Matcher::Attributes { .. } => false,
            Matcher::Body(alternatives) => alternatives.matches(body),
        }
    }
}

fn refusal(refusal: Refusal) -> PatternError {
    let lead = if refusal.is_syntax { "FilterPolicy: failed to parse JSON. " } else { "FilterPolicy: " };
    refusal.reason.after(lead)
}

fn check(compiled: &Compiled, scope: Scope) -> Result<(), PatternError> {
    if compiled.outer_keys > MAX_KEYS {
        return Err(PatternError::new("FilterPolicy: Filter policy can not have more than 5 keys"));
    }
    if scope == Scope::MessageAttributes && compiled.is_nested {
        return Err(PatternError::new(
            "Filter policy scope MessageAttributes does not support nested filter policy",
        ));
    }
    let count = |fields: &Vec<Field>| {
        let factors = fields.iter().map(|field| field.conditions.len() * field.depth);
        factors.fold(1usize, usize::saturating_mul)
    };
    let combinations = compiled.alternatives.iter().map(count).fold(0usize, usize::saturating_add);
    if combinations > MAX_COMBINATIONS {
        return Err(PatternError::new("FilterPolicy: Filter policy is too complex"));
    }
    Ok(())
}

fn is_met(conditions: &[Condition], value: Option<AttributeValue<'_>>, numbers: Range) -> bool {
    let any = |value: Scalar<'_>| conditions.iter().any(|condition| condition.matches(value, numbers));
    match value {
        Some(AttributeValue::String(text)) => any(Scalar::Text(text)),
        Some(AttributeValue::Number(text)) => any(Scalar::NumberText(text)),
        Some(AttributeValue::StringArray(text)) => match serde_json::from_str::<Vec<Value>>(text) {
            Ok(elements) if elements.is_empty() => conditions.contains(&Condition::Absent),
            Ok(elements) => elements.iter().filter_map(scalar).any(any),
            Err(_) => false,
        },
        // A binary attribute is not looked at, as if it were not there.
        Some(AttributeValue::Binary) | None => conditions.contains(&Condition::Absent),
    }
}

/// What an array of an attribute may hold.
fn scalar(value: &Value) -> Option<Scalar<'_>> {
    match value {
        Value::Null => Some(Scalar::Null),
        Value::Bool(value) => Some(Scalar::Bool(*value)),
        Value::Number(number) => Some(Scalar::Number(number)),
        Value::String(text) => Some(Scalar::Text(text)),
        Value::Array(_) | Value::Object(_) => None,
    }
}

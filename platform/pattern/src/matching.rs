//! Whether an event is meant: its structure beside the pattern's.
//!
//! A field is a value that is neither object nor array, under the names that lead to it; an array stands for each of its
//! elements. All fields of an alternative must be found without taking two elements of the same array, as AWS does it.
//! `exists: false` asks the whole event. Dots in an event's names are as good as objects in one another.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::compile::{Compiled, Field};
use crate::condition::{Condition, Scalar};
use crate::number::Range;

/// What a pattern came to: one of these must match.
#[derive(Clone, Debug)]
pub(crate) struct Alternatives {
    all: Vec<Alternative>,
    numbers: Range,
}

/// Fields as a tree of names.
#[derive(Clone, Debug, Default)]
struct Alternative {
    root: Node,
    /// Fields that need not be there: their names.
    optional: Vec<Box<[Box<str>]>>,
}

#[derive(Clone, Debug, Default)]
struct Node {
    conditions: Option<Arc<[Condition]>>,
    /// Where `optional` has it, if it need not be there.
    optional: Option<usize>,
    children: Vec<(Box<str>, Node)>,
}

impl Alternatives {
    pub(crate) fn new(compiled: Compiled) -> Self {
        let all = compiled.alternatives.iter().map(|fields| Alternative::new(fields)).collect();
        Alternatives { all, numbers: compiled.numbers }
    }

    pub(crate) fn matches(&self, event: &Value) -> bool {
        if !event.is_object() {
            return false;
        }
        let event = without_dots(event);
        self.all.iter().any(|alternative| alternative.matches(&event, self.numbers))
    }
}

impl Alternative {
    fn new(fields: &[Field]) -> Self {
        let mut alternative = Alternative::default();
        for field in fields {
            let mut node = &mut alternative.root;
            for name in field.path.split('.') {
                let known = node.children.iter().position(|(child, _)| **child == *name);
                let at = known.unwrap_or_else(|| {
                    node.children.push((name.into(), Node::default()));
                    node.children.len() - 1
                });
                node = &mut node.children[at].1;
            }
            node.conditions = Some(Arc::clone(&field.conditions));
            if field.conditions.contains(&Condition::Absent) {
                node.optional = Some(alternative.optional.len());
                alternative.optional.push(field.path.split('.').map(Box::from).collect());
            }
        }
        alternative
    }

    fn matches(&self, event: &Value, numbers: Range) -> bool {
        let absent = self.optional.iter().map(|names| !has_field(event, names)).collect();
        Matcher { absent, numbers }.fits(&self.root, Some(event))
    }
}

struct Matcher {
    /// Which optional fields the event lacks.
    absent: Vec<bool>,
    numbers: Range,
}

impl Matcher {
    fn fits(&self, node: &Node, value: Option<&Value>) -> bool {
        match value {
            Some(Value::Array(elements)) if !elements.is_empty() => {
                elements.iter().any(|element| self.fits(node, Some(element)))
            }
            None | Some(Value::Array(_)) => self.need_not_be(node) && self.children_fit(node, None),
            Some(Value::Object(map)) => self.need_not_be(node) && self.children_fit(node, Some(map)),
            Some(Value::Null) => self.is_right(node, Scalar::Null),
            Some(Value::Bool(value)) => self.is_right(node, Scalar::Bool(*value)),
            Some(Value::Number(number)) => self.is_right(node, Scalar::Number(number)),
            Some(Value::String(text)) => self.is_right(node, Scalar::Text(text)),
        }
    }

    fn is_right(&self, node: &Node, value: Scalar<'_>) -> bool {
        let is_met = node.conditions.as_ref().is_none_or(|conditions| {
            conditions.iter().any(|condition| condition.matches(value, self.numbers))
        });
        is_met && self.children_fit(node, None)
    }

    fn need_not_be(&self, node: &Node) -> bool {
        let is_absent = |at| self.absent.get(at).copied().unwrap_or(false);
        node.conditions.is_none() || node.optional.is_some_and(is_absent)
    }

    fn children_fit(&self, node: &Node, map: Option<&Map<String, Value>>) -> bool {
        node.children.iter().all(|(name, child)| self.fits(child, map.and_then(|map| map.get(&**name))))
    }
}

/// Whether there is a field of that name anywhere.
fn has_field(value: &Value, names: &[Box<str>]) -> bool {
    match (value, names) {
        (Value::Array(elements), names) => elements.iter().any(|element| has_field(element, names)),
        (Value::Object(map), [name, rest @ ..]) => {
            map.get(&**name).is_some_and(|value| has_field(value, rest))
        }
        (Value::Object(_), []) => false,
        (_, names) => names.is_empty(),
    }
}

/// The event with objects for dots in names; itself, if there are none.
fn without_dots(event: &Value) -> Cow<'_, Value> {
    if has_dots(event) { Cow::Owned(split_dots(event)) } else { Cow::Borrowed(event) }
}

fn has_dots(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.iter().any(|(name, value)| name.contains('.') || has_dots(value)),
        Value::Array(elements) => elements.iter().any(has_dots),
        _ => false,
    }
}

fn split_dots(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut split = Map::new();
            for (name, value) in map {
                let mut names = name.rsplit('.');
                let last = names.next().unwrap_or_default();
                let mut value = (last, split_dots(value));
                for name in names {
                    value = (name, Value::Object(Map::from_iter([(value.0.to_owned(), value.1)])));
                }
                join(&mut split, value.0, value.1);
            }
            Value::Object(split)
        }
        Value::Array(elements) => Value::Array(elements.iter().map(split_dots).collect()),
        other => other.clone(),
    }
}

/// Adds a field to those that are there: two objects become one, anything else an array of both.
fn join(map: &mut Map<String, Value>, name: &str, value: Value) {
    match (map.get_mut(name), value) {
        (Some(Value::Object(known)), Value::Object(more)) => {
            for (name, value) in more {
                join(known, &name, value);
            }
        }
        (Some(known), value) => *known = Value::Array(vec![known.take(), value]),
        (None, value) => {
            map.insert(name.to_owned(), value);
        }
    }
}

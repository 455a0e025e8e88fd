//! Patterns over JSON messages: `{ $.level = "error" && $.ms > 300 }`. What is not a JSON object matches none.
//!
//! A comparison with a property that is not there, or is of another type, does not hold; only `!=` holds between
//! types. Strings may have `*` for any text.

use serde_json::Value;

/// A condition, or conditions joined.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum JsonPattern {
    And(Vec<JsonPattern>),
    Or(Vec<JsonPattern>),
    Condition(Selector, Test),
}

/// Steps from the message to a property.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Selector(pub(super) Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Member(String),
    Index(usize),
    /// Any element of the list.
    Each,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Test {
    Number(Comparison, f64),
    Text { equal: bool, text: WildText },
    IsTrue,
    IsFalse,
    IsNull,
    NotExists,
    Exists,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Text cut at its `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WildText(Vec<String>);

impl JsonPattern {
    pub(super) fn matches(&self, message: &str) -> bool {
        if !message.trim_start().starts_with('{') {
            return false;
        }
        serde_json::from_str(message).is_ok_and(|message| self.holds(&message))
    }

    fn holds(&self, message: &Value) -> bool {
        match self {
            JsonPattern::And(all) => all.iter().all(|one| one.holds(message)),
            JsonPattern::Or(any) => any.iter().any(|one| one.holds(message)),
            JsonPattern::Condition(selector, test) => {
                let mut found = Vec::new();
                selector.select(message, &mut found);
                match test {
                    Test::NotExists => found.is_empty(),
                    test => found.into_iter().any(|value| test.holds(value)),
                }
            }
        }
    }
}

impl Selector {
    fn select<'a>(&self, message: &'a Value, found: &mut Vec<&'a Value>) {
        let mut values = vec![message];
        for step in &self.0 {
            values = match step {
                Step::Member(name) => values.into_iter().filter_map(|value| value.get(name)).collect(),
                Step::Index(index) => values.into_iter().filter_map(|value| value.get(*index)).collect(),
                Step::Each => values.into_iter().filter_map(Value::as_array).flatten().collect(),
            };
        }
        found.append(&mut values);
    }
}

impl Test {
    fn holds(&self, value: &Value) -> bool {
        match self {
            Test::Number(comparison, number) => match value.as_f64() {
                Some(actual) => comparison.holds(actual, *number),
                None => *comparison == Comparison::NotEqual && is_scalar(value),
            },
            Test::Text { equal, text } => match value.as_str() {
                Some(actual) => text.matches(actual) == *equal,
                None => !equal && is_scalar(value),
            },
            Test::IsTrue => *value == Value::Bool(true),
            Test::IsFalse => *value == Value::Bool(false),
            Test::IsNull => value.is_null(),
            Test::Exists => true,
            Test::NotExists => false,
        }
    }
}

fn is_scalar(value: &Value) -> bool {
    !value.is_array() && !value.is_object()
}

impl Comparison {
    #[allow(clippy::float_cmp)] // a pattern's number is meant exactly
    fn holds(self, actual: f64, wanted: f64) -> bool {
        match self {
            Comparison::Equal => actual == wanted,
            Comparison::NotEqual => actual != wanted,
            Comparison::Less => actual < wanted,
            Comparison::LessOrEqual => actual <= wanted,
            Comparison::Greater => actual > wanted,
            Comparison::GreaterOrEqual => actual >= wanted,
        }
    }
}

impl WildText {
    pub(super) fn new(text: &str) -> Self {
        WildText(text.split('*').map(str::to_owned).collect())
    }

    fn matches(&self, actual: &str) -> bool {
        let [first, middle @ .., last] = self.0.as_slice() else {
            return self.0.first().is_some_and(|only| only == actual);
        };
        let Some(mut rest) = actual.strip_prefix(first.as_str()) else { return false };
        for piece in middle {
            // The earliest place leaves the most for the pieces that follow.
            match rest.find(piece.as_str()) {
                Some(at) => rest = &rest[at + piece.len()..],
                None => return false,
            }
        }
        rest.ends_with(last.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::Pattern;

    const MESSAGE: &str = r#"{"level":"error","ms":12.5,"ok":true,"none":null,"user":{"name":"ada","tags":["a","b"]},
        "items":[{"id":1},{"id":2}],"odd.name":"x"}"#;

    fn check(pattern: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(MESSAGE)
    }

    #[test]
    fn conditions_hold_as_documented() {
        for holds in [
            r#"{ $.level = "error" }"#,
            "{ $.level = error }",
            "{$.level=err*}",
            "{ $.level = *ro* }",
            "{ $.level != \"warn\" }",
            "{ $.ms > 12 && $.ms <= 1.25e1 }",
            "{ $.ms != 3 }",
            "{ $.user.name = \"ada\" }",
            "{ $.user.tags[1] = \"b\" }",
            "{ $.items[*].id = 2 }",
            "{ $.ok IS TRUE }",
            "{ $.none IS NULL }",
            "{ $.missing NOT EXISTS }",
            "{ $.['odd.name'] = x }",
            r#"{ $["odd.name"] = "x" }"#,
            "{ ($.level = warn || $.ms > 1) && $.ok is true }",
            "{ $.level = warn || $.level = error && $.ms > 1 }",
        ] {
            assert!(check(holds), "{holds}");
        }
        for fails in [
            "{ $.level = warn }",
            "{ $.level != error }",
            "{ $.level = 3 }",
            "{ $.ms = \"12.5\" }",
            "{ $.missing = x }",
            "{ $.missing != x }",
            "{ $.ok IS FALSE }",
            "{ $.level IS NULL }",
            "{ $.level NOT EXISTS }",
            "{ $.items[2].id = 1 }",
            "{ $.user != x }",
        ] {
            assert!(!check(fails), "{fails}");
        }
        assert!(!Pattern::parse("{ $.a = b }").unwrap().matches("a = b"));
        assert!(!Pattern::parse("{ $.a NOT EXISTS }").unwrap().matches("{broken"));
    }

    #[test]
    fn wild_text_is_greedy_where_it_must_be() {
        assert!(WildText::new("a*a").matches("aa"));
        assert!(!WildText::new("a*a").matches("a"));
        assert!(WildText::new("*").matches(""));
        assert!(WildText::new("a**b").matches("axxb"));
        assert!(WildText::new("*ab*ab").matches("ab ab ab"));
    }
}

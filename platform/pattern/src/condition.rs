//! One condition of a pattern on one value: no structure, no names.

use crate::address::Block;
use crate::letters;
use crate::number::{Fixed, Range};
use crate::wildcard::Wildcard;

/// A value of an event that is neither object nor array.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scalar<'a> {
    Text(&'a str),
    Number(&'a serde_json::Number),
    /// As an attribute of a message has it.
    NumberText(&'a str),
    Bool(bool),
    Null,
}

/// One side of a numeric range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bound {
    pub(crate) value: Fixed,
    /// The value itself is within.
    pub(crate) is_included: bool,
}

/// What a value must be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Condition {
    Text(Box<str>),
    /// A text that is an IP address, whose other spellings match too.
    Address(Box<str>, Block),
    /// A number as written, and to compare unless it is out of range.
    Number(Box<str>, Option<Fixed>),
    Bool(bool),
    Null,
    /// Any value.
    Exists,
    /// No value. It is the field that is asked then, see `matching`.
    Absent,
    Begins(Box<str>),
    BeginsIgnoringCase(Box<str>),
    Ends(Box<str>),
    EndsIgnoringCase(Box<str>),
    IgnoringCase(Box<str>),
    Wildcard(Wildcard),
    Within(Block),
    Numeric(Option<Bound>, Option<Bound>),
    AnythingBut(Vec<Condition>),
}

impl Condition {
    /// Whether a value is such.
    pub(crate) fn matches(&self, value: Scalar<'_>, range: Range) -> bool {
        match (self, value) {
            (Condition::Exists, _) | (Condition::Null, Scalar::Null) => true,
            (Condition::AnythingBut(none_of), value) => {
                !none_of.iter().any(|condition| condition.matches(value, range))
            }
            (Condition::Bool(wanted), Scalar::Bool(value)) => *wanted == value,
            (condition, Scalar::Text(text)) => condition.matches_text(text),
            (condition, Scalar::Number(number)) => {
                let fixed = number.as_f64().and_then(|value| range.fixed(value));
                condition.matches_number(fixed, || number.to_string())
            }
            (condition, Scalar::NumberText(text)) => {
                condition.matches_number(range.read(text), || text.to_owned())
            }
            _ => false,
        }
    }

    fn matches_text(&self, text: &str) -> bool {
        match self {
            Condition::Text(wanted) => **wanted == *text,
            Condition::Address(wanted, block) => **wanted == *text || block.contains(text),
            Condition::Begins(wanted) => text.starts_with(&**wanted),
            Condition::BeginsIgnoringCase(wanted) => letters::begins(text, wanted),
            Condition::Ends(wanted) => text.ends_with(&**wanted),
            Condition::EndsIgnoringCase(wanted) => letters::ends(text, wanted),
            Condition::IgnoringCase(wanted) => letters::equals(text, wanted),
            Condition::Wildcard(wildcard) => wildcard.matches(text),
            Condition::Within(block) => block.contains(text),
            _ => false,
        }
    }

    fn matches_number(&self, fixed: Option<Fixed>, text: impl FnOnce() -> String) -> bool {
        match (self, fixed) {
            (Condition::Number(_, Some(wanted)), Some(value)) => *wanted == value,
            // Out of range: as it is written, such as an account's number.
            (Condition::Number(wanted, None), None) => **wanted == *text(),
            (Condition::Numeric(low, high), Some(value)) => {
                low.is_none_or(|low| value > low.value || low.is_included && value == low.value)
                    && high.is_none_or(|high| value < high.value || high.is_included && value == high.value)
            }
            _ => false,
        }
    }
}

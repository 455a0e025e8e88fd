//! Filter patterns: which messages a reader wants.
//!
//! Two of the three forms: terms (`ERROR -timeout`) and JSON (`{ $.level = "error" }`). The third, fields in brackets,
//! and regular expressions are refused by name.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html>.

mod json;
mod json_parse;
mod terms;

use crate::errors::LogsError;
use json::JsonPattern;
use terms::Terms;

/// A parsed pattern.
#[derive(Clone, Debug)]
pub(crate) enum Pattern {
    Everything,
    Terms(Terms),
    Json(JsonPattern),
}

impl Pattern {
    /// Reads a pattern.
    pub(crate) fn parse(text: &str) -> Result<Self, LogsError> {
        let trimmed = text.trim();
        match trimmed.chars().next() {
            None => Ok(Pattern::Everything),
            Some('{') => json_parse::parse(trimmed).map(Pattern::Json),
            Some('[') => Err(LogsError::invalid(
                "Filter patterns with fields in brackets ([a, b, ...]) are not supported yet",
            )),
            Some(_) => Terms::parse(trimmed).map(Pattern::Terms),
        }
    }

    /// Whether a message is wanted.
    pub(crate) fn matches(&self, message: &str) -> bool {
        match self {
            Pattern::Everything => true,
            Pattern::Terms(terms) => terms.matches(message),
            Pattern::Json(json) => json.matches(message),
        }
    }
}

fn no_regex() -> LogsError {
    LogsError::invalid("Regular expressions (%...%) in filter patterns are not supported yet")
}

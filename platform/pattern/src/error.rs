//! What is wrong with a pattern, as AWS says it.

/// Why a pattern is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct PatternError {
    text: String,
}

impl PatternError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        PatternError { text: text.into() }
    }

    /// The same with something said before it.
    pub(crate) fn after(self, lead: &str) -> Self {
        PatternError { text: format!("{lead}{}", self.text) }
    }
}

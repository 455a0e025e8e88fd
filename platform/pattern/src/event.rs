//! Event patterns, as EventBridge, Pipes and Lambda's filter criteria have them.

use serde_json::Value;

use crate::compile::{Dialect, compile};
use crate::error::PatternError;
use crate::matching::Alternatives;

/// A pattern that was understood.
#[derive(Clone, Debug)]
pub struct EventPattern {
    alternatives: Alternatives,
}

impl EventPattern {
    /// Reads a pattern from its JSON text. Its size is the caller's to limit (EventBridge 2,048, Lambda 4,096 characters).
    ///
    /// # Errors
    ///
    /// EventBridge's text, with the place: `Event pattern is not valid. Reason: ...`.
    pub fn parse(text: &str) -> Result<EventPattern, PatternError> {
        let compiled = compile(text, Dialect::Event)
            .map_err(|error| error.reason.after("Event pattern is not valid. Reason: "))?;
        Ok(EventPattern { alternatives: Alternatives::new(compiled) })
    }

    /// Whether an event is meant.
    #[must_use]
    pub fn matches(&self, event: &Value) -> bool {
        self.alternatives.matches(event)
    }
}

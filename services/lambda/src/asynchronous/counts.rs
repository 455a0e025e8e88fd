//! What became of asynchronous events, counted by function since the server started: what AWS has as the metrics
//! `AsyncEventsDropped`, `DestinationDeliveryFailures` and `DeadLetterErrors`. It is in memory only, and for who looks
//! (`GET /_lamplighter/events`); nothing is decided by it.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html>.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

/// So many functions are counted; then the counts start anew.
const MOST_FUNCTIONS: usize = 10_000;

/// The counts of one function, version or alias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EventCounts {
    /// Events that the function handled.
    pub handled: u64,
    /// Events that it did not: `AsyncEventsDropped`.
    pub dropped: u64,
    /// Records that reached their destination.
    pub records_delivered: u64,
    /// Records that did not: `DestinationDeliveryFailures`.
    pub destination_delivery_failures: u64,
    /// Dead letters that reached their queue or topic.
    pub dead_letters_delivered: u64,
    /// Dead letters that did not: `DeadLetterErrors`.
    pub dead_letter_errors: u64,
}

/// The counts of all functions, by ARN with version or alias.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<BTreeMap<String, EventCounts>>);

impl Counts {
    pub(super) fn add(&self, function_arn: &str, count: impl FnOnce(&mut EventCounts)) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = counts.get_mut(function_arn) {
            return count(found);
        }
        if counts.len() >= MOST_FUNCTIONS {
            counts.clear();
        }
        count(counts.entry(function_arn.to_owned()).or_default());
    }

    pub(crate) fn all(&self) -> BTreeMap<String, EventCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_function_has_its_counts_and_there_is_an_end_to_them() {
        let counts = Counts::default();
        counts.add("a", |count| count.dropped += 1);
        counts.add("a", |count| count.dropped += 1);
        counts.add("b", |count| count.handled += 1);
        assert_eq!(counts.all()["a"], EventCounts { dropped: 2, ..EventCounts::default() });
        for number in 0..MOST_FUNCTIONS {
            counts.add(&number.to_string(), |count| count.handled += 1);
        }
        assert!(counts.all().len() <= MOST_FUNCTIONS);
    }
}

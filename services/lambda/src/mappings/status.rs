//! What is known of a mapping at work: its counts, and how it went lastly. Memory only; none of it is the truth.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// What happened to a mapping's records since the server started: the metrics of `EventCount`.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html#event-source-mapping-metrics>.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MappingCounts {
    /// `PolledEventCount`: read from the source.
    pub polled: u64,
    /// `FilteredOutEventCount`: not meant by the filter criteria.
    pub filtered_out: u64,
    /// `InvokedEventCount`: the function was invoked with them.
    pub invoked: u64,
    /// `FailedInvokeEventCount`: it did not handle them.
    pub failed: u64,
    /// `DeletedEventCount`: deleted from the source after they were handled.
    pub deleted: u64,
}

/// How a mapping does.
#[derive(Debug, Default)]
pub(super) struct Status {
    polled: AtomicU64,
    filtered_out: AtomicU64,
    invoked: AtomicU64,
    failed: AtomicU64,
    deleted: AtomicU64,
    result: Mutex<Option<String>>,
    /// A batch came to its end: one that was throttled may try.
    pub(super) freed: Notify,
}

fn add(count: &AtomicU64, records: usize) {
    count.fetch_add(records as u64, Ordering::Relaxed);
}

impl Status {
    pub(super) fn polled(&self, records: usize) {
        add(&self.polled, records);
    }

    pub(super) fn filtered_out(&self, records: usize) {
        add(&self.filtered_out, records);
    }

    pub(super) fn invoked(&self, records: usize) {
        add(&self.invoked, records);
    }

    pub(super) fn failed(&self, records: usize) {
        add(&self.failed, records);
    }

    pub(super) fn deleted(&self, records: usize) {
        add(&self.deleted, records);
    }

    pub(super) fn counts(&self) -> MappingCounts {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        MappingCounts {
            polled: load(&self.polled),
            filtered_out: load(&self.filtered_out),
            invoked: load(&self.invoked),
            failed: load(&self.failed),
            deleted: load(&self.deleted),
        }
    }

    /// `LastProcessingResult`; `None` before anything was processed.
    pub(super) fn result(&self) -> Option<String> {
        self.result.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn went_well(&self) {
        self.set("OK".to_owned());
    }

    pub(super) fn problem(&self, what: &str) {
        self.set(format!("PROBLEM: {what}"));
    }

    fn set(&self, text: String) {
        *self.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }
}

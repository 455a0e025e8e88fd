//! A log stream: its record. All that describing a stream needs is in it; its events are not looked at.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_LogStream.html>.

use serde::{Deserialize, Serialize};

use crate::batch::Batch;

/// A stream as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) uid: u64,
    pub(crate) created_ms: i64,
    pub(crate) first_event_ms: Option<i64>,
    pub(crate) last_event_ms: Option<i64>,
    pub(crate) last_ingestion_ms: Option<i64>,
    /// Bytes of its events as AWS counts them.
    pub(crate) stored_bytes: i64,
    /// The number of the next chunk.
    pub(crate) next_seq: u64,
}

impl Stream {
    pub(crate) fn new(name: String, uid: u64, created_ms: i64) -> Self {
        Stream {
            name,
            uid,
            created_ms,
            first_event_ms: None,
            last_event_ms: None,
            last_ingestion_ms: None,
            stored_bytes: 0,
            next_seq: 1,
        }
    }

    /// Notes that a batch was stored.
    pub(crate) fn took(&mut self, batch: &Batch) {
        let first = self.first_event_ms.map_or(batch.first_ms, |known| known.min(batch.first_ms));
        let last = self.last_event_ms.map_or(batch.last_ms, |known| known.max(batch.last_ms));
        self.first_event_ms = Some(first);
        self.last_event_ms = Some(last);
        self.last_ingestion_ms = Some(batch.ingestion_ms);
        self.stored_bytes = self.stored_bytes.saturating_add(batch.stored_bytes);
    }

    /// Whether it may have events from `start_ms` up to, without, `end_ms`.
    pub(crate) fn overlaps(&self, start_ms: i64, end_ms: i64) -> bool {
        match (self.first_event_ms, self.last_event_ms) {
            (Some(first), Some(last)) => last >= start_ms && first < end_ms,
            _ => false,
        }
    }
}

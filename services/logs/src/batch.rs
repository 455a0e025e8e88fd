//! A batch on its way in: checked as a whole, cut at both ends where events are too old or too new, and packed.
//!
//! Packing happens before the transaction, because all transactions share one thread.
//! Rules: <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html>.

use crate::chunk::{self, PackedChunk};
use crate::errors::LogsError;

/// What AWS adds to each event's size, in bytes.
pub(crate) const EVENT_OVERHEAD_BYTES: usize = 26;
const MAX_EVENT_BYTES: usize = 1_048_576;
const MAX_BATCH_BYTES: usize = 1_048_576;
const MAX_BATCH_EVENTS: usize = 10_000;
const MAX_SPAN_MS: i64 = 24 * 3_600_000;
const MAX_AGE_MS: i64 = 14 * 24 * 3_600_000;
const MAX_AHEAD_MS: i64 = 2 * 3_600_000;

/// An event as a client sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewEvent {
    pub(crate) timestamp_ms: i64,
    pub(crate) message: String,
}

/// Which events of a batch were not taken: indexes into the batch as it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rejected {
    /// Everything from here on is too new.
    pub(crate) too_new_start: Option<usize>,
    /// Everything before this is more than 14 days old.
    pub(crate) too_old_end: Option<usize>,
    /// Everything before this is past the group's retention.
    pub(crate) expired_end: Option<usize>,
}

/// A batch ready to be stored; not empty.
pub(crate) struct Batch {
    pub(crate) chunks: Vec<PackedChunk>,
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    pub(crate) ingestion_ms: i64,
    pub(crate) stored_bytes: i64,
}

/// Checks what concerns the batch as a whole.
pub(crate) fn check(events: &[NewEvent]) -> Result<(), LogsError> {
    if events.len() > MAX_BATCH_EVENTS {
        return Err(LogsError::invalid(format!(
            "Upload too large: {} events exceeds limit of {MAX_BATCH_EVENTS}",
            events.len()
        )));
    }
    let sizes = events.iter().map(|event| event.message.len() + EVENT_OVERHEAD_BYTES);
    if let Some(size) = sizes.clone().find(|size| *size > MAX_EVENT_BYTES) {
        return Err(LogsError::invalid(format!(
            "Log event too large: {size} bytes exceeds limit of {MAX_EVENT_BYTES}"
        )));
    }
    let size: usize = sizes.sum();
    if size > MAX_BATCH_BYTES {
        return Err(LogsError::invalid(format!(
            "Upload too large: {size} bytes exceeds limit of {MAX_BATCH_BYTES}"
        )));
    }
    if !events.is_sorted_by_key(|event| event.timestamp_ms) {
        return Err(LogsError::invalid(
            "Log events in a single PutLogEvents request must be in chronological order.",
        ));
    }
    if let (Some(first), Some(last)) = (events.first(), events.last())
        && last.timestamp_ms.saturating_sub(first.timestamp_ms) > MAX_SPAN_MS
    {
        return Err(LogsError::invalid(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
        ));
    }
    Ok(())
}

/// Which of the (sorted) events are too old or too new. `cutoff_ms` is where the group's retention ends.
pub(crate) fn rejected(events: &[NewEvent], cutoff_ms: i64, now_ms: i64) -> Rejected {
    let before = |moment_ms: i64| events.partition_point(|event| event.timestamp_ms < moment_ms);
    let some = |index: usize| (index > 0).then_some(index);
    let too_new = events.partition_point(|event| event.timestamp_ms <= now_ms + MAX_AHEAD_MS);
    Rejected {
        too_new_start: (too_new < events.len()).then_some(too_new),
        too_old_end: some(before(now_ms - MAX_AGE_MS)),
        expired_end: some(before(cutoff_ms)),
    }
}

impl Batch {
    /// Packs what is not rejected; `None` when nothing is left.
    pub(crate) fn pack(mut events: Vec<NewEvent>, rejected: Rejected, now_ms: i64) -> Option<Batch> {
        events.truncate(rejected.too_new_start.unwrap_or(events.len()));
        let start = rejected.too_old_end.max(rejected.expired_end).unwrap_or(0).min(events.len());
        events.drain(..start);
        let (first_ms, last_ms) = (events.first()?.timestamp_ms, events.last()?.timestamp_ms);
        let stored: usize = events.iter().map(|event| event.message.len() + EVENT_OVERHEAD_BYTES).sum();
        Some(Batch {
            chunks: chunk::pack(events, now_ms),
            first_ms,
            last_ms,
            ingestion_ms: now_ms,
            stored_bytes: i64::try_from(stored).unwrap_or(i64::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;

    fn event(timestamp_ms: i64, bytes: usize) -> NewEvent {
        NewEvent { timestamp_ms, message: "x".repeat(bytes) }
    }

    #[test]
    fn the_limits_of_a_batch_are_exact() {
        assert!(check(&[event(NOW, MAX_EVENT_BYTES - 26)]).is_ok());
        let text = check(&[event(NOW, MAX_EVENT_BYTES - 25)]).unwrap_err().to_string();
        assert_eq!(text, "Log event too large: 1048577 bytes exceeds limit of 1048576");
        let half = MAX_BATCH_BYTES / 2 - 26;
        assert!(check(&[event(NOW, half), event(NOW, half)]).is_ok());
        let text = check(&[event(NOW, half), event(NOW, half + 1)]).unwrap_err().to_string();
        assert_eq!(text, "Upload too large: 1048577 bytes exceeds limit of 1048576");
        assert!(check(&vec![event(NOW, 1); MAX_BATCH_EVENTS]).is_ok());
        assert!(check(&vec![event(NOW, 1); MAX_BATCH_EVENTS + 1]).is_err());
        assert!(check(&[event(NOW, 1), event(NOW + MAX_SPAN_MS, 1)]).is_ok());
        assert!(check(&[event(NOW, 1), event(NOW + MAX_SPAN_MS + 1, 1)]).is_err());
        assert!(check(&[event(NOW, 1), event(NOW - 1, 1)]).is_err());
    }

    #[test]
    fn old_and_new_events_are_cut_off_by_index() {
        let events = vec![
            event(NOW - MAX_AGE_MS - 1, 1),
            event(NOW - MAX_AGE_MS, 1),
            event(NOW, 1),
            event(NOW + MAX_AHEAD_MS, 1),
            event(NOW + MAX_AHEAD_MS + 1, 1),
        ];
        let cut = rejected(&events, i64::MIN, NOW);
        assert_eq!(cut, Rejected { too_new_start: Some(4), too_old_end: Some(1), expired_end: None });
        let batch = Batch::pack(events.clone(), cut, NOW).unwrap();
        assert_eq!((batch.first_ms, batch.last_ms), (NOW - MAX_AGE_MS, NOW + MAX_AHEAD_MS));
        assert_eq!(batch.stored_bytes, 3 * 27);
        let cut = rejected(&events, NOW + 1, NOW);
        assert_eq!(cut.expired_end, Some(3));
        let old = vec![event(1, 1)];
        assert!(Batch::pack(old.clone(), rejected(&old, i64::MIN, NOW), NOW).is_none());
    }
}

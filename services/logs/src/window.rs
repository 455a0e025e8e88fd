//! The events nearest to a cursor, and no more: what a read keeps in memory while it scans.
//!
//! Candidates may come in any order. Kept are those that come first by key, as many as the limits of one answer
//! allow: what is kept is always a beginning of all candidates, without a gap. To read backwards, reverse the key.

use std::collections::BinaryHeap;

use crate::batch::EVENT_OVERHEAD_BYTES;

/// The most bytes of one answer.
const MAX_BYTES: usize = 1_048_576;

/// An event that a read may answer with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundEvent {
    pub(crate) timestamp_ms: i64,
    pub(crate) ingestion_ms: i64,
    pub(crate) message: String,
}

struct Candidate<K> {
    key: K,
    stream: usize,
    event: FoundEvent,
}

impl<K: Ord> PartialEq for Candidate<K> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}
impl<K: Ord> Eq for Candidate<K> {}
impl<K: Ord> PartialOrd for Candidate<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K: Ord> Ord for Candidate<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

/// See the module's text.
pub(crate) struct Window<K> {
    kept: BinaryHeap<Candidate<K>>,
    bytes: usize,
    max_events: usize,
    /// The first candidate that found no room. Nothing at or behind it is kept.
    overflow: Option<K>,
}

impl<K: Ord + Copy> Window<K> {
    pub(crate) fn new(max_events: usize) -> Self {
        Window { kept: BinaryHeap::new(), bytes: 0, max_events: max_events.max(1), overflow: None }
    }

    /// Whether a candidate with this key would be kept; ask before making one.
    pub(crate) fn wants(&self, key: &K) -> bool {
        self.overflow.as_ref().is_none_or(|overflow| key < overflow)
    }

    /// Offers a candidate; `stream` is handed back with it.
    pub(crate) fn offer(&mut self, key: K, stream: usize, event: FoundEvent) {
        if !self.wants(&key) {
            return;
        }
        self.bytes += size(&event);
        self.kept.push(Candidate { key, stream, event });
        // One event always fits, whatever its size.
        while self.kept.len() > self.max_events || (self.bytes > MAX_BYTES && self.kept.len() > 1) {
            let Some(last) = self.kept.pop() else { break };
            self.bytes -= size(&last.event);
            self.overflow = Some(last.key);
        }
    }

    /// The first candidate that found no room.
    pub(crate) fn overflow(&self) -> Option<K> {
        self.overflow
    }

    /// What is kept, in order of the keys.
    pub(crate) fn into_sorted(self) -> Vec<(K, usize, FoundEvent)> {
        let sorted = self.kept.into_sorted_vec();
        sorted.into_iter().map(|candidate| (candidate.key, candidate.stream, candidate.event)).collect()
    }
}

fn size(event: &FoundEvent) -> usize {
    event.message.len() + EVENT_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(bytes: usize) -> FoundEvent {
        FoundEvent { timestamp_ms: 0, ingestion_ms: 0, message: "x".repeat(bytes) }
    }

    fn keys(window: Window<u32>) -> Vec<u32> {
        window.into_sorted().into_iter().map(|(key, ..)| key).collect()
    }

    #[test]
    fn the_first_by_key_stay_whatever_the_order() {
        for order in [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1], [3, 5, 1, 4, 2]] {
            let mut window = Window::new(3);
            order.into_iter().for_each(|key| window.offer(key, 0, event(1)));
            assert_eq!(window.overflow(), Some(4));
            assert_eq!(keys(window), [1, 2, 3]);
        }
    }

    #[test]
    fn a_large_event_leaves_no_gap() {
        for order in [[1_u32, 2, 3], [2, 1, 3], [3, 1, 2], [3, 2, 1]] {
            let mut window = Window::new(10);
            for key in order {
                window.offer(key, 0, event(if key == 2 { MAX_BYTES } else { 1 }));
            }
            assert_eq!(window.overflow(), Some(2));
            assert_eq!(keys(window), [1]);
        }
    }

    #[test]
    fn one_event_always_fits() {
        let mut window = Window::new(10);
        window.offer(1, 0, event(MAX_BYTES));
        assert_eq!(window.overflow(), None);
        assert_eq!(keys(window), [1]);
    }
}

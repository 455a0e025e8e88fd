//! The layout of messages in the store.
//!
//! | key | value |
//! | --- | --- |
//! | `sqs, "m", queue, seq` | [`super::row`]: a message, with its content if that is small, version 1 |
//! | `sqs, "b", queue, seq, number` | a piece of a larger content, as it is |
//! | `sqs, "l", queue, seq` | [`super::row::Lease`]: what hides a message and how often it was received, version 1 |
//! | `sqs, "n", queue` | [`super::row::Ledger`]: how many messages there are and where they begin, version 1 |
//! | `sqs, "d", period, queue, hash` | [`super::row::Seen`]: a deduplication id of a FIFO queue, version 1 |
//! | `sqs, "c", queue` | the number below which everything of this queue is to be cleared; a counter |
//!
//! `queue` is a queue's uid, `seq` a message's number: higher for what was committed later. A period is the number of
//! [`DEDUPLICATION_MS`] since the epoch, so that what has run out lies together and goes at once.

use store::Range;
use store::key::Key;

/// How long a deduplication id is remembered.
pub(super) const DEDUPLICATION_MS: i64 = 5 * 60 * 1000;

fn table(name: &str) -> Key {
    Key::new("sqs").str(name)
}

pub(super) fn message(queue: u64, seq: u64) -> Key {
    table("m").u64(queue).u64(seq)
}

pub(super) fn chunk(queue: u64, seq: u64, number: u32) -> Key {
    table("b").u64(queue).u64(seq).u64(u64::from(number))
}

pub(super) fn lease(queue: u64, seq: u64) -> Key {
    table("l").u64(queue).u64(seq)
}

pub(super) fn ledger(queue: u64) -> Key {
    table("n").u64(queue)
}

pub(super) fn clearing(queue: u64) -> Key {
    table("c").u64(queue)
}

pub(super) fn clearings() -> Range {
    table("c").range()
}

/// The messages from `seq` on.
pub(super) fn messages_from(queue: u64, seq: u64) -> Range {
    Range::between(message(queue, seq), table("m").u64(queue).prefix_end())
}

/// The leases from `seq` on.
pub(super) fn leases_from(queue: u64, seq: u64) -> Range {
    Range::between(lease(queue, seq), table("l").u64(queue).prefix_end())
}

/// The leases of `first` up to and with `last`.
pub(super) fn leases_within(queue: u64, first: u64, last: u64) -> Range {
    Range::between(lease(queue, first), lease(queue, last).prefix_end())
}

/// Everything that belongs to messages below `seq`: messages, pieces, leases.
pub(super) fn below(queue: u64, seq: u64) -> [(Vec<u8>, Vec<u8>); 3] {
    ["m", "b", "l"].map(|name| {
        let of_queue = table(name).u64(queue);
        (of_queue.to_vec(), of_queue.u64(seq).build())
    })
}

pub(super) fn period(at_ms: i64) -> u64 {
    u64::try_from(at_ms / DEDUPLICATION_MS).unwrap_or(0)
}

pub(super) fn seen(period: u64, queue: u64, hash: &[u8; 16]) -> Key {
    table("d").u64(period).u64(queue).bytes(hash)
}

/// What was seen before this period.
pub(super) fn seen_before(period: u64) -> (Vec<u8>, Vec<u8>) {
    (table("d").build(), table("d").u64(period).build())
}

/// The number that a message's or a lease's key ends with.
pub(super) fn seq_of(key: &[u8]) -> u64 {
    key.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_gives_its_number_back() {
        for seq in [0, 1, 255, u64::MAX - 1] {
            assert_eq!(seq_of(&message(7, seq)), seq);
            assert_eq!(seq_of(&lease(7, seq)), seq);
        }
    }

    #[test]
    fn ranges_hold_what_they_say() {
        let inside =
            |range: &Range, key: &Key| range.from.as_slice() <= &**key && &**key < range.to.as_slice();
        let from = messages_from(7, 5);
        assert!(inside(&from, &message(7, 5)) && inside(&from, &message(7, u64::MAX)));
        assert!(!inside(&from, &message(7, 4)) && !inside(&from, &message(8, 5)));
        let within = leases_within(7, 5, 9);
        assert!(inside(&within, &lease(7, 5)) && inside(&within, &lease(7, 9)));
        assert!(!inside(&within, &lease(7, 10)) && !inside(&within, &lease(7, 4)));
        let [(from, to), ..] = below(7, 5);
        let below = Range::between(from, to);
        assert!(inside(&below, &message(7, 4)) && !inside(&below, &message(7, 5)));
    }
}

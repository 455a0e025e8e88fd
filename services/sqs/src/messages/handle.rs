//! Receipt handles: which receive of which message a client means.
//!
//! They are opaque to clients, and no secret: whoever may use the queue may use its handles. The nonce of a later receive
//! is always the higher one, and holds the time of the receive.
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-queue-message-identifiers.html>.

use base::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Receives within one millisecond that still have nonces of their own.
const PER_MS_BITS: u32 = 20;
const FORM: u8 = 1;
const LENGTH: usize = 29;

/// One receive of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle {
    /// The queue's uid.
    pub(super) queue: u64,
    pub(super) seq: u64,
    pub(super) nonce: u64,
}

impl Handle {
    pub(crate) fn encode(self) -> String {
        let mut bytes = [0; LENGTH];
        bytes[0] = FORM;
        bytes[1..9].copy_from_slice(&self.queue.to_be_bytes());
        bytes[9..17].copy_from_slice(&self.seq.to_be_bytes());
        bytes[17..25].copy_from_slice(&self.nonce.to_be_bytes());
        let check = check(&bytes[..25]);
        bytes[25..].copy_from_slice(&check.to_be_bytes());
        BASE64.encode(bytes)
    }

    /// `None`: this is no handle.
    pub(crate) fn decode(text: &str) -> Option<Handle> {
        let bytes: [u8; LENGTH] = BASE64.decode(text).ok()?.try_into().ok()?;
        let number = |at: usize| bytes[at..at + 8].try_into().map(u64::from_be_bytes).ok();
        let known = bytes[0] == FORM && bytes[25..] == check(&bytes[..25]).to_be_bytes();
        if !known {
            return None;
        }
        Some(Handle { queue: number(1)?, seq: number(9)?, nonce: number(17)? })
    }
}

/// FNV-1a, to tell a handle from a mistyped one.
fn check(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811C_9DC5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// The nonce of a receive at `now`, after one with the nonce `last`.
pub(super) fn next_nonce(last: u64, now: Timestamp) -> u64 {
    (u64::try_from(now.0).unwrap_or(0) << PER_MS_BITS).max(last + 1)
}

/// When the receive was that has this nonce.
pub(super) fn received_at(nonce: u64) -> Timestamp {
    Timestamp(i64::try_from(nonce >> PER_MS_BITS).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_comes_back_and_a_changed_one_does_not() {
        let handle = Handle { queue: u64::MAX, seq: 3, nonce: next_nonce(0, Timestamp(1_795_420_000_123)) };
        let text = handle.encode();
        assert_eq!(Handle::decode(&text), Some(handle));
        for at in 0..text.len() {
            let mut other = text.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).unwrap();
            assert!(Handle::decode(&other).is_none_or(|read| read == handle), "{other}");
        }
        assert_eq!(Handle::decode(""), None);
        assert_eq!(Handle::decode("not a handle"), None);
        assert_eq!(Handle::decode(&text[..20]), None);
    }

    #[test]
    fn nonces_grow_and_tell_the_time() {
        let now = Timestamp(1_795_420_000_123);
        let first = next_nonce(0, now);
        let second = next_nonce(first, now);
        assert!(second > first);
        assert_eq!((received_at(first), received_at(second)), (now, now));
        assert!(next_nonce(second, Timestamp(5)) > second);
    }
}

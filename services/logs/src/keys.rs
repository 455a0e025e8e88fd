//! The layout in the store.
//!
//! | key | value |
//! | --- | --- |
//! | `logs, "next-uid"` | counter: the last number given to a group or stream |
//! | `logs, "group", account, region, name` | [`crate::group::Group`], version 1 |
//! | `logs, "bytes", account, region, group uid` | counter: bytes stored in the group |
//! | `logs, "stream", account, region, group uid, name` | [`crate::stream::Stream`], version 1 |
//! | `logs, "event", account, region, stream uid, first ms, seq, part` | part 0: [`crate::chunk::Chunk`]; others: text that continues its message; version 1 |
//! | `logs, "trash", account, region, uid` | [`crate::sweep::Trash`], version 1: what the sweeper has yet to clear |
//!
//! The table's name comes before the account so that the sweeper walks one table over all accounts. A uid is never
//! used again, so a group made anew under an old name does not see the old one's streams.

use base::{AccountId, Region};
use store::Range;
use store::key::{Key, KeyReader};

/// Schema version of every value.
pub(crate) const VERSION: u8 = 1;

/// The account and region whose groups are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) account: AccountId,
    pub(crate) region: Region,
}

impl Scope {
    fn table(&self, name: &str) -> Key {
        Key::new("logs").str(name).str(self.account).str(self.region.as_str())
    }
}

/// The counter that uids come from.
pub(crate) fn next_uid() -> Vec<u8> {
    Key::new("logs").str("next-uid").build()
}

pub(crate) fn group(scope: &Scope, name: &str) -> Vec<u8> {
    scope.table("group").str(name).build()
}

/// The groups whose names begin with `prefix`.
pub(crate) fn groups(scope: &Scope, prefix: &str) -> Range {
    scope.table("group").range_of_strings(prefix)
}

/// The groups of all accounts.
pub(crate) fn all_groups() -> Range {
    Key::new("logs").str("group").range()
}

pub(crate) fn group_bytes(scope: &Scope, group_uid: u64) -> Vec<u8> {
    scope.table("bytes").u64(group_uid).build()
}

pub(crate) fn stream(scope: &Scope, group_uid: u64, name: &str) -> Vec<u8> {
    scope.table("stream").u64(group_uid).str(name).build()
}

/// The streams of a group whose names begin with `prefix`.
pub(crate) fn streams(scope: &Scope, group_uid: u64, prefix: &str) -> Range {
    scope.table("stream").u64(group_uid).range_of_strings(prefix)
}

/// What the keys of a stream's chunks begin with.
pub(crate) fn stream_events(scope: &Scope, stream_uid: u64) -> Key {
    scope.table("event").u64(stream_uid)
}

/// A chunk's value: part 0 is the chunk, further parts continue a long message.
pub(crate) fn chunk(stream_events: &Key, first_ms: i64, seq: u64, part: u64) -> Vec<u8> {
    stream_events.clone().i64(first_ms).u64(seq).u64(part).build()
}

/// First ms, seq and part of a chunk's key, whose stream's prefix has `prefix_length` bytes.
pub(crate) fn read_chunk(key: &[u8], prefix_length: usize) -> Option<(i64, u64, u64)> {
    let mut reader = KeyReader::new(key.get(prefix_length..)?);
    Some((reader.i64().ok()?, reader.u64().ok()?, reader.u64().ok()?))
}

pub(crate) fn trash(scope: &Scope, uid: u64) -> Vec<u8> {
    scope.table("trash").u64(uid).build()
}

/// The trash of all accounts.
pub(crate) fn all_trash() -> Range {
    Key::new("logs").str("trash").range()
}

/// What the keys of the trash begin with, to be watched.
pub(crate) fn trash_prefix() -> Vec<u8> {
    Key::new("logs").str("trash").build()
}

/// The uid at the end of a key of the trash.
pub(crate) fn read_trash_uid(key: &[u8]) -> Option<u64> {
    let mut reader = KeyReader::new(key);
    for _ in 0..4 {
        reader.str().ok()?;
    }
    reader.u64().ok()
}

/// Account and region of a key of any table above.
pub(crate) fn read_scope(key: &[u8]) -> Option<Scope> {
    let mut reader = KeyReader::new(key);
    reader.str().ok()?;
    reader.str().ok()?;
    let account = reader.str().ok()?.parse().ok()?;
    let region = reader.str().ok()?.parse().ok()?;
    Some(Scope { account, region })
}

/// The smallest key above `key`.
pub(crate) fn just_above(key: &[u8]) -> Vec<u8> {
    let mut above = key.to_vec();
    above.push(0);
    above
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_sort_by_time_then_sequence_then_part() {
        let scope = Scope { account: AccountId::DEFAULT, region: Region::default() };
        let stream = stream_events(&scope, 7);
        let keys = [(5, 1, 0), (5, 1, 1), (5, 2, 0), (6, 1, 0), (1_000_000, 0, 0)]
            .map(|(ms, seq, part)| (chunk(&stream, ms, seq, part), (ms, seq, part)));
        assert!(keys.is_sorted_by_key(|(key, _)| key.clone()));
        let prefix_length = stream.build().len();
        for (key, numbers) in &keys {
            assert_eq!(read_chunk(key, prefix_length), Some(*numbers));
            assert_eq!(read_scope(key), Some(scope.clone()));
        }
    }
}

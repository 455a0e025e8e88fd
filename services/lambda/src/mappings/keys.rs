//! Where mappings lie in the store. Every key begins with the elements `lambda`, `mapping`.
//!
//! | key after `mapping` | value | what it is |
//! | --- | --- | --- |
//! | `row`, account, region, id | [`Mapping`](super::record::Mapping), version 1 | a mapping |
//! | `by-source`, account, region, source's ARN, function's ARN | id, version 1 | one mapping for both |
//! | `by-function`, account, region, function's ARN, id | nothing, version 1 | the mappings of a function, version or alias |
//! | `filter`, account, region, id, number | text, version 1 | one pattern of a mapping's filter criteria |
//! | `tag`, account, region, id, tag key | text, version 1 | one tag of a mapping |
//! | `failed`, message id | [`Failure`](super::failures::Failure), version 1 | why a message failed; its place is in it |
//! | `failed-at`, milliseconds, message id | nothing, version 1 | the same by time, for the end of them |
//! | `failed-count` | number, version 1 | how many there are |
//!
//! Patterns and tags have rows of their own, because together they can be larger than a value may be.

use store::{Key, KeyReader};

use crate::keys::Space;

fn kind(kind: &str) -> Key {
    Key::new("lambda").str("mapping").str(kind)
}

fn of(kind_name: &str, space: &Space) -> Key {
    kind(kind_name).str(space.account()).str(space.region())
}

/// All mappings of all accounts.
pub(super) fn all_rows() -> Key {
    kind("row")
}

pub(super) fn rows(space: &Space) -> Key {
    of("row", space)
}

pub(super) fn row(space: &Space, id: &str) -> Key {
    rows(space).str(id)
}

pub(super) fn of_source(space: &Space, source_arn: &str) -> Key {
    of("by-source", space).str(source_arn)
}

pub(super) fn by_source(space: &Space, source_arn: &str, function_arn: &str) -> Key {
    of_source(space, source_arn).str(function_arn)
}

pub(super) fn of_function(space: &Space, function_arn: &str) -> Key {
    of("by-function", space).str(function_arn)
}

pub(super) fn by_function(space: &Space, function_arn: &str, id: &str) -> Key {
    of_function(space, function_arn).str(id)
}

pub(super) fn filters(space: &Space, id: &str) -> Key {
    of("filter", space).str(id)
}

pub(super) fn filter(space: &Space, id: &str, number: u64) -> Key {
    filters(space, id).u64(number)
}

pub(super) fn tags(space: &Space, id: &str) -> Key {
    of("tag", space).str(id)
}

pub(super) fn tag(space: &Space, id: &str, tag_key: &str) -> Key {
    tags(space, id).str(tag_key)
}

pub(super) fn failed(message_id: &str) -> Key {
    kind("failed").str(message_id)
}

pub(super) fn all_failed_at() -> Key {
    kind("failed-at")
}

pub(super) fn failed_at(at_ms: i64, message_id: &str) -> Key {
    all_failed_at().i64(at_ms).str(message_id)
}

pub(super) fn failed_count() -> Key {
    kind("failed-count")
}

/// The last string of a key with `before` elements after `lambda`, `mapping` and the kind.
fn last(key: &[u8], before: usize) -> Option<String> {
    let mut reader = KeyReader::new(key);
    for _ in 0..3 + before {
        reader.str().ok()?;
    }
    reader.str().ok()
}

/// The id at the end of a [`by_function`] key, and the tag key at the end of a [`tag`] key.
pub(super) fn last_after_three(key: &[u8]) -> Option<String> {
    last(key, 3)
}

/// The moment and the message of a [`failed_at`] key.
pub(super) fn failed_at_of(key: &[u8]) -> Option<(i64, String)> {
    let mut reader = KeyReader::new(key);
    for _ in 0..3 {
        reader.str().ok()?;
    }
    Some((reader.i64().ok()?, reader.str().ok()?))
}

#[cfg(test)]
mod tests {
    use base::{AccountId, Region};

    use super::*;

    #[test]
    fn keys_are_read_back() {
        let space = Space::new(AccountId::DEFAULT, &Region::default());
        assert_eq!(last_after_three(&by_function(&space, "arn:f", "id")).unwrap(), "id");
        assert_eq!(last_after_three(&tag(&space, "id", "team")).unwrap(), "team");
        assert_eq!(failed_at_of(&failed_at(-7, "m")).unwrap(), (-7, "m".to_owned()));
    }
}

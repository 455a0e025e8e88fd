//! The layout in the store.
//!
//! | key | value |
//! | --- | --- |
//! | `sqs, "queue", account, region, name` | [`crate::queue::Queue`], version 1 |
//!
//! Whatever belongs to a queue's messages goes by the queue's uid, which is never used again: a queue made anew under an
//! old name does not see the old one's messages.

use base::{AccountId, Region};
use store::Range;
use store::key::Key;

/// Schema version of every value.
pub(crate) const VERSION: u8 = 1;

/// The account and region whose queues are meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    pub(crate) account: AccountId,
    pub(crate) region: Region,
}

impl Scope {
    fn table(&self, name: &str) -> Key {
        Key::new("sqs").str(name).str(self.account).str(self.region.as_str())
    }
}

pub(crate) fn queue(scope: &Scope, name: &str) -> Vec<u8> {
    scope.table("queue").str(name).build()
}

/// The queues whose names begin with `prefix`.
#[allow(dead_code)] // until ListQueues is there
pub(crate) fn queues(scope: &Scope, prefix: &str) -> Range {
    scope.table("queue").range_of_strings(prefix)
}

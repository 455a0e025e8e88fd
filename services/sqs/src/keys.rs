//! The layout in the store.
//!
//! | key | value |
//! | --- | --- |
//! | `sqs, "queue", account, region, name` | [`crate::queue::Queue`], version 1 |
//! | `sqs, "deleted", account, region, name` | when that queue was deleted ([`base::Timestamp`]); goes a minute later |
//! | `sqs, "source", account, region, dead-letter queue, source queue` | nothing: the source's redrive policy names the other |
//! | `sqs, "unfinished", uid` | what a purge or deletion has left to do: see [`crate::unfinished`] |
//! | `sqs, "move", account, region, source queue, started at (ms), task` | [`crate::moves::MoveTask`], version 1 |
//! | `sqs, "moving", account, region, source queue` | the key of its running move task |
//!
//! Messages have tables of their own: [`crate::messages`]. Whatever belongs to a queue's messages goes by the queue's uid, which is never used again: a queue made anew under an
//! old name does not see the old one's messages.

use base::{AccountId, Region, Timestamp};
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
    /// The scope and the name in a queue's ARN.
    pub(crate) fn of_arn(arn: &str) -> Option<(Scope, &str)> {
        let mut parts = arn.strip_prefix("arn:")?.splitn(5, ':');
        let (_partition, service) = (parts.next()?, parts.next()?);
        let (region, account, name) = (parts.next()?, parts.next()?, parts.next()?);
        let scope = Scope { account: account.parse().ok()?, region: region.parse().ok()? };
        (service == "sqs" && !name.is_empty()).then_some((scope, name))
    }

    fn table(&self, name: &str) -> Key {
        Key::new("sqs").str(name).str(self.account).str(self.region.as_str())
    }
}

pub(crate) fn queue(scope: &Scope, name: &str) -> Vec<u8> {
    scope.table("queue").str(name).build()
}

/// The queues of all accounts and regions.
pub(crate) fn all_queues() -> Range {
    Key::new("sqs").str("queue").range()
}

/// The queues whose names begin with `prefix`.
pub(crate) fn queues(scope: &Scope, prefix: &str) -> Range {
    scope.table("queue").range_of_strings(prefix)
}

pub(crate) fn deleted(scope: &Scope, name: &str) -> Vec<u8> {
    scope.table("deleted").str(name).build()
}

/// All queues that were deleted lately.
pub(crate) fn all_deleted(scope: &Scope) -> Range {
    scope.table("deleted").range()
}

pub(crate) fn source(scope: &Scope, dead_letter_queue: &str, source: &str) -> Vec<u8> {
    scope.table("source").str(dead_letter_queue).str(source).build()
}

/// The queues that have this one as their dead-letter queue.
pub(crate) fn sources(scope: &Scope, dead_letter_queue: &str) -> Range {
    scope.table("source").str(dead_letter_queue).range()
}

pub(crate) fn unfinished(uid: u64) -> Vec<u8> {
    Key::new("sqs").str("unfinished").u64(uid).build()
}

pub(crate) fn all_unfinished() -> Range {
    Key::new("sqs").str("unfinished").range()
}

pub(crate) fn move_task(scope: &Scope, source: &str, started_at: Timestamp, id: &str) -> Vec<u8> {
    scope.table("move").str(source).i64(started_at.0).str(id).build()
}

/// The move tasks of a queue, oldest first.
pub(crate) fn move_tasks(scope: &Scope, source: &str) -> Range {
    scope.table("move").str(source).range()
}

pub(crate) fn moving(scope: &Scope, source: &str) -> Vec<u8> {
    scope.table("moving").str(source).build()
}

/// The running move tasks of all accounts and regions.
pub(crate) fn all_moving() -> Range {
    Key::new("sqs").str("moving").range()
}

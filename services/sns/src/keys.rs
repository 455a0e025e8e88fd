//! The layout in the store.
//!
//! | key | value |
//! | --- | --- |
//! | `sns, "topic", account, region, name` | [`crate::topic::Topic`], version 1 |
//! | `sns, "job", subscription's ARN, due at (ms), message's number, number` | [`crate::outside::Job`]: a delivery that waits |
//! | `sns, "message", number, "piece", n` | a part of a [`crate::message::Published`] that deliveries wait with |
//! | `sns, "message", number, "users"` | a counter: how many deliveries need it |
//! | `sns, "signing-key"` | the key and certificate of signatures ([`crate::outside`]) |
//! | `sns, "last-message"` | a counter: the last number that a message got |

use base::{AccountId, Region, Timestamp};
use store::key::Key;

/// Schema version of every value.
pub(crate) const VERSION: u8 = 1;

/// The account and region whose topics are meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scope {
    pub(crate) account: AccountId,
    pub(crate) region: Region,
}

impl Scope {
    fn table(&self, name: &str) -> Key {
        Key::new("sns").str(name).str(self.account).str(self.region.as_str())
    }
}

pub(crate) fn topic(scope: &Scope, name: &str) -> Vec<u8> {
    scope.table("topic").str(name).build()
}

/// All deliveries that wait.
pub(crate) fn jobs() -> Key {
    Key::new("sns").str("job")
}

/// The deliveries of one subscription that wait.
pub(crate) fn lane(subscription_arn: &str) -> Key {
    jobs().str(subscription_arn)
}

pub(crate) fn job(subscription_arn: &str, due: Timestamp, message: u64, number: u64) -> Vec<u8> {
    lane(subscription_arn).i64(due.as_millis()).u64(message).u64(number).build()
}

pub(crate) fn message(number: u64) -> Key {
    Key::new("sns").str("message").u64(number)
}

pub(crate) fn message_piece(number: u64, piece: u64) -> Vec<u8> {
    message(number).str("piece").u64(piece).build()
}

pub(crate) fn message_users(number: u64) -> Vec<u8> {
    message(number).str("users").build()
}

pub(crate) fn last_message() -> Vec<u8> {
    Key::new("sns").str("last-message").build()
}

pub(crate) fn signing_key() -> Vec<u8> {
    Key::new("sns").str("signing-key").build()
}

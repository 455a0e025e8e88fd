//! The layout in the store.
//!
//! | key | value |
//! | --- | --- |
//! | `sns, "topic", account, region, name` | [`crate::topic::Topic`], version 1 |
//! | `sns, "job", subscription's ARN, due at (ms), message's number, number` | [`crate::outside::Job`]: a delivery that waits |
//! | `sns, "message", number, "piece", n` | a part of a [`crate::message::Published`] that deliveries wait with |
//! | `sns, "message", number, "users"` | a counter: how many deliveries need it |
//! | `sns, "outbox", account, sequence` | [`crate::outside::outbox::OutboxRecord`]: what would have been sent |
//! | `sns, "outbox-counters", account, "last"\|"count"\|"bytes"` | counters: the last sequence, and what is there |
//! | `sns, "signing-key"` | the key and certificate of signatures ([`crate::outside`]) |
//! | `sns, "sms-settings", account, region` | a map: what SetSMSAttributes set |
//! | `sns, "opted-out", account, region, number` | [`crate::outside::phones::OptedOut`] |
//! | `sns, "sandbox", account, region, number` | [`crate::outside::phones::SandboxNumber`] |
//! | `sns, "application", account, region, platform, name` | [`crate::outside::apps::Application`] |
//! | `sns, "endpoint", account, region, platform, application, id` | [`crate::outside::apps::Endpoint`] |
//! | `sns, "endpoint-token", account, region, platform, application, SHA-256 of the token` | the endpoint's id |
//! | `sns, "last-message"` | a counter: the last number that a message got |

use base::{AccountId, Region, Timestamp};
use sha2::{Digest, Sha256};
use store::key::{Key, KeyReader};

use crate::outside::apps::{AppName, EndpointName};

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

/// The parts of a [`job`]'s key.
pub(crate) struct JobKey {
    pub(crate) lane: String,
    pub(crate) due_ms: i64,
    pub(crate) number: u64,
}

/// Reads a [`job`]'s key; `None` when it is none.
pub(crate) fn read_job(key: &[u8]) -> Option<JobKey> {
    let mut reader = KeyReader::new(key);
    reader.str().ok()?;
    reader.str().ok()?;
    let lane = reader.str().ok()?;
    let due_ms = reader.i64().ok()?;
    reader.u64().ok()?;
    Some(JobKey { lane, due_ms, number: reader.u64().ok()? })
}

/// All messages that deliveries wait with.
pub(crate) fn message_space() -> Key {
    Key::new("sns").str("message")
}

pub(crate) fn message(number: u64) -> Key {
    message_space().u64(number)
}

pub(crate) fn message_pieces(number: u64) -> Key {
    message(number).str("piece")
}

pub(crate) fn message_piece(number: u64, piece: u64) -> Vec<u8> {
    message_pieces(number).u64(piece).build()
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

/// The records of an account's outbox.
pub(crate) fn outbox(account: AccountId) -> Key {
    Key::new("sns").str("outbox").str(account)
}

pub(crate) fn outbox_record(account: AccountId, sequence: u64) -> Vec<u8> {
    outbox(account).u64(sequence).build()
}

fn outbox_counter(name: &str, account: AccountId) -> Vec<u8> {
    Key::new("sns").str("outbox-counters").str(account).str(name).build()
}

pub(crate) fn outbox_last(account: AccountId) -> Vec<u8> {
    outbox_counter("last", account)
}

pub(crate) fn outbox_count(account: AccountId) -> Vec<u8> {
    outbox_counter("count", account)
}

pub(crate) fn outbox_bytes(account: AccountId) -> Vec<u8> {
    outbox_counter("bytes", account)
}

pub(crate) fn sms_settings(scope: &Scope) -> Vec<u8> {
    scope.table("sms-settings").build()
}

/// The numbers that stopped their messages, and those that did once.
pub(crate) fn opted_out_numbers(scope: &Scope) -> Key {
    scope.table("opted-out")
}

pub(crate) fn opted_out(scope: &Scope, number: &str) -> Vec<u8> {
    opted_out_numbers(scope).str(number).build()
}

/// The sandbox's numbers.
pub(crate) fn sandbox_numbers(scope: &Scope) -> Key {
    scope.table("sandbox")
}

pub(crate) fn sandbox_number(scope: &Scope, number: &str) -> Vec<u8> {
    sandbox_numbers(scope).str(number).build()
}

/// The platform applications of an account.
pub(crate) fn applications(scope: &Scope) -> Key {
    scope.table("application")
}

pub(crate) fn application(name: &AppName) -> Vec<u8> {
    applications(&name.scope).str(&name.platform).str(&name.name).build()
}

/// The endpoints of a platform application.
pub(crate) fn endpoints(app: &AppName) -> Key {
    app.scope.table("endpoint").str(&app.platform).str(&app.name)
}

pub(crate) fn endpoint(name: &EndpointName) -> Vec<u8> {
    endpoints(&name.app).str(&name.id).build()
}

/// The endpoint's id by its token; tokens may be longer than a key.
pub(crate) fn endpoint_tokens(app: &AppName) -> Key {
    app.scope.table("endpoint-token").str(&app.platform).str(&app.name)
}

pub(crate) fn endpoint_token(app: &AppName, token: &str) -> Vec<u8> {
    endpoint_tokens(app).bytes(Sha256::digest(token.as_bytes())).build()
}

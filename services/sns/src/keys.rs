//! The layout in the store.
//!
//! | key | value |
//! | --- | --- |
//! | `sns, "topic", account, region, name` | [`crate::topic::Topic`] |
//! | `sns, "counts", topic uid` | [`crate::topic::Counts`]: its subscriptions, counted |
//! | `sns, "totals", account, region` | [`crate::topic::Totals`]: what AWS limits by account |
//! | `sns, "subscription", topic uid, id` | [`crate::subscription::Subscription`] |
//! | `sns, "subscribed", topic uid, hash` | the id of the subscription of that protocol, endpoint and owner |
//! | `sns, "owned", account, region, topic arn, id` | [`crate::subscription::Owned`]: one's subscriptions, for the list |
//! | `sns, "doomed", topic uid` | the topic is deleted; what belonged to it is being cleared away |
//! | `sns, "pending", moment, topic uid, id` | when a subscription that nobody confirmed goes |
//! | `sns, "token", hash` | [`crate::subscription::Token`]: which subscription it confirms |
//! | `sns, "last", topic uid` | the number of a FIFO topic's last message |
//! | `sns, "log", topic uid, number` | [`crate::fifo::Entry`]: a FIFO topic's message, without what it says |
//! | `sns, "said", topic uid, number, n` | a piece of what it says |
//! | `sns, "seen", topic uid, hash` | [`crate::fifo::Seen`]: a deduplication id, for five minutes |
//! | `sns, "forgets", topic uid, moment, hash` | when that is forgotten |
//! | `sns, "cursor", topic uid, subscription id` | [`crate::fifo::Cursor`]: how far a FIFO topic's subscription has come |
//! | `sns, "job", subscription's ARN, due at (ms), message's number, number` | [`crate::outside::jobs::Job`]: a delivery that waits |
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
//!
//! All values have version 1. What belongs to a topic goes by its uid, which is never used again: a topic made anew
//! under an old name knows nothing of the old one's.

use base::{AccountId, Region, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::Range;
use store::key::{Key, KeyReader};

use crate::outside::apps::{AppName, EndpointName};

/// Schema version of every value.
pub(crate) const VERSION: u8 = 1;

/// The account and region whose topics are meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

/// The topics, those after the name `after` alone.
pub(crate) fn topics(scope: &Scope, after: Option<&str>) -> Range {
    let table = scope.table("topic");
    let mut range = table.range();
    if let Some(after) = after {
        range.from = table.str(after).prefix_end();
    }
    range
}

pub(crate) fn counts(topic_uid: u64) -> Vec<u8> {
    Key::new("sns").str("counts").u64(topic_uid).build()
}

pub(crate) fn totals(scope: &Scope) -> Vec<u8> {
    scope.table("totals").build()
}

pub(crate) fn subscription(topic_uid: u64, id: &str) -> Vec<u8> {
    subscriptions_table(topic_uid).str(id).build()
}

fn subscriptions_table(topic_uid: u64) -> Key {
    Key::new("sns").str("subscription").u64(topic_uid)
}

/// A topic's subscriptions, those after the id `after` alone.
pub(crate) fn subscriptions(topic_uid: u64, after: Option<&str>) -> Range {
    let table = subscriptions_table(topic_uid);
    let mut range = table.range();
    if let Some(after) = after {
        range.from = table.str(after).prefix_end();
    }
    range
}

/// Endpoints may be long: they go by their hash.
pub(crate) fn subscribed(topic_uid: u64, owner: AccountId, protocol: &str, endpoint: &str) -> Vec<u8> {
    let hash = hash(&[&owner.to_string(), protocol, endpoint]);
    Key::new("sns").str("subscribed").u64(topic_uid).bytes(hash).build()
}

pub(crate) fn owned(scope: &Scope, topic_arn: &str, id: &str) -> Vec<u8> {
    scope.table("owned").str(topic_arn).str(id).build()
}

/// One's subscriptions, those after `after` (a topic's ARN and a subscription's id) alone.
pub(crate) fn all_owned(scope: &Scope, after: Option<(&str, &str)>) -> Range {
    let table = scope.table("owned");
    let mut range = table.range();
    if let Some((topic_arn, id)) = after {
        range.from = table.str(topic_arn).str(id).prefix_end();
    }
    range
}

pub(crate) fn token(token: &str) -> Vec<u8> {
    Key::new("sns").str("token").bytes(hash(&[token])).build()
}

/// The tables whose rows belong to one topic and go with it.
pub(crate) const OF_TOPIC: [&str; 9] =
    ["counts", "subscription", "subscribed", "last", "log", "said", "seen", "forgets", "cursor"];

pub(crate) fn of_topic(table: &str, topic_uid: u64) -> Range {
    Key::new("sns").str(table).u64(topic_uid).range()
}

pub(crate) fn doomed(topic_uid: u64) -> Vec<u8> {
    Key::new("sns").str("doomed").u64(topic_uid).build()
}

pub(crate) fn all_doomed() -> Range {
    Key::new("sns").str("doomed").range()
}

pub(crate) fn pending(until: Timestamp, topic_uid: u64, id: &str) -> Vec<u8> {
    Key::new("sns").str("pending").i64(until.0).u64(topic_uid).str(id).build()
}

pub(crate) fn all_pending() -> Range {
    Key::new("sns").str("pending").range()
}

pub(crate) fn last(topic_uid: u64) -> Vec<u8> {
    Key::new("sns").str("last").u64(topic_uid).build()
}

fn log_table(topic_uid: u64) -> Key {
    Key::new("sns").str("log").u64(topic_uid)
}

pub(crate) fn log(topic_uid: u64, number: u64) -> Vec<u8> {
    log_table(topic_uid).u64(number).build()
}

fn said_table(topic_uid: u64, number: u64) -> Key {
    Key::new("sns").str("said").u64(topic_uid).u64(number)
}

pub(crate) fn said_piece(topic_uid: u64, number: u64, piece: u64) -> Vec<u8> {
    said_table(topic_uid, number).u64(piece).build()
}

/// The pieces of one message.
pub(crate) fn said(topic_uid: u64, number: u64) -> Range {
    said_table(topic_uid, number).range()
}

/// The messages from `from` on.
pub(crate) fn log_from(topic_uid: u64, from: u64) -> Range {
    let table = log_table(topic_uid);
    let mut range = table.range();
    range.from = table.u64(from).build();
    range
}

pub(crate) fn seen(topic_uid: u64, hash: &[u8]) -> Vec<u8> {
    Key::new("sns").str("seen").u64(topic_uid).bytes(hash).build()
}

pub(crate) fn forgets(topic_uid: u64, at: Timestamp, hash: &[u8]) -> Vec<u8> {
    Key::new("sns").str("forgets").u64(topic_uid).i64(at.0).bytes(hash).build()
}

/// What is forgotten at `now`.
pub(crate) fn forgotten(topic_uid: u64, now: Timestamp) -> Range {
    let table = Key::new("sns").str("forgets").u64(topic_uid);
    let mut range = table.range();
    range.to = table.i64(now.0.saturating_add(1)).build();
    range
}

pub(crate) fn cursor(topic_uid: u64, id: &str) -> Vec<u8> {
    Key::new("sns").str("cursor").u64(topic_uid).str(id).build()
}

pub(crate) fn all_cursors() -> Range {
    Key::new("sns").str("cursor").range()
}

/// A digest of several texts that tells them apart.
pub(crate) fn hash(texts: &[&str]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for text in texts {
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text.as_bytes());
    }
    digest.finalize().into()
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

/// The last element of a key, if it is text: a number, an id.
pub(crate) fn last_text(key: &[u8]) -> Option<String> {
    let mut reader = KeyReader::new(key);
    let mut last = None;
    while !reader.is_at_end() {
        last = Some(reader.str().ok()?);
    }
    last
}

//! FIFO topics: a log of what was published, and how far each subscription has come in it.
//!
//! A message is in the log, with its number, before its publisher is answered; the couriers deliver from there, in order.
//! A subscription that fails waits at its place and holds up nobody else. Messages that all have got go, unless the topic
//! has an archive: then the log is the archive, and a replay is a subscription that goes back in it.
//!
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-fifo-topics.html>,
//! <https://docs.aws.amazon.com/sns/latest/dg/fifo-message-archiving-replay.html>.

use std::sync::Arc;

use base::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::{Store, Tx, TxError, counter, value};

use crate::Sns;
use crate::address::TopicAddress;
use crate::errors::SnsError;
use crate::keys::{self, VERSION};
use crate::known::Known;
use crate::message::Published;
use crate::subscription::Subscription;
use crate::topic::Topic;
use crate::topics::{InTx, read_if_there, write};

/// How long a deduplication id counts, in milliseconds.
const DEDUPLICATION_MS: i64 = 5 * 60 * 1000;
/// Deduplication ids that one publish forgets at most.
const FORGET_STEP: usize = 20;
/// Messages that one step removes from the log at most.
const TRIM_STEP: usize = 64;
/// The length of a message's pieces, in bytes.
const PIECE_BYTES: usize = 60 * 1024;
/// Sequence numbers have 20 digits.
const FIRST_SEQUENCE_NUMBER: u64 = 10_000_000_000_000_000_000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A message in the log, without what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) at: Timestamp,
    pub(crate) group_id: String,
}

/// A deduplication id that was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) message_id: String,
    pub(crate) sequence_number: String,
    pub(crate) until: Timestamp,
}

/// How far a subscription has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    pub(crate) topic: TopicAddress,
    /// The number of the next message.
    pub(crate) next: u64,
    /// What was delivered beyond that: other groups go on while one waits.
    pub(crate) done: Vec<u64>,
    /// How often deliveries failed since one succeeded.
    pub(crate) failures: u32,
    pub(crate) retry_at: Option<Timestamp>,
    pub(crate) replay: Option<Replaying>,
    /// Changes when somebody else moves the cursor.
    pub(crate) epoch: u64,
}

/// A replay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replaying {
    pub(crate) status: ReplayStatus,
    /// The first message that is not replayed.
    pub(crate) end: u64,
    /// Where deliveries go on after it.
    pub(crate) resume: u64,
}

/// `ReplayStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ReplayStatus {
    Pending,
    InProgress,
    Completed,
}

impl ReplayStatus {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            ReplayStatus::Pending => "Pending",
            ReplayStatus::InProgress => "In progress",
            ReplayStatus::Completed => "Completed",
        }
    }
}

impl Cursor {
    /// Whether the message of this number is delivered again.
    pub(crate) fn is_replayed(&self, number: u64) -> bool {
        self.replay.as_ref().is_some_and(|replay| number < replay.end && number < replay.resume)
    }

    /// Goes past the messages that are done, and out of a replay that is over.
    pub(crate) fn settle(&mut self) {
        loop {
            while let Some(at) = self.done.iter().position(|number| *number == self.next) {
                self.done.swap_remove(at);
                self.next += 1;
            }
            match &mut self.replay {
                Some(replay) if replay.status != ReplayStatus::Completed && self.next >= replay.end => {
                    replay.status = ReplayStatus::Completed;
                    self.next = self.next.max(replay.resume);
                    let next = self.next;
                    self.done.retain(|number| *number >= next);
                }
                _ => return,
            }
        }
    }
}

/// What a publish came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Logged {
    pub(crate) message_id: String,
    pub(crate) sequence_number: String,
}

impl Sns {
    /// Takes messages for a FIFO topic, in this order: durable when this returns.
    ///
    /// # Errors
    /// `NotFound`, when the store fails.
    pub(crate) async fn log(
        self: &Arc<Self>,
        address: &TopicAddress,
        known: &Known,
        messages: Vec<Published>,
    ) -> Result<Vec<Logged>, SnsError> {
        let (now, topic_key, uid) =
            (self.clock.now(), keys::topic(&address.scope, &address.name), known.topic.uid);
        let append = move |tx: &mut dyn Tx| -> InTx<Vec<Logged>> {
            let topic = read_if_there::<Topic>(tx, &topic_key)?.filter(|topic| topic.uid == uid);
            let Some(topic) = topic else { return Ok(Err(SnsError::NoTopic)) };
            forget_old(tx, uid, now)?;
            let logged = messages.iter().map(|message| append_one(tx, &topic, message, now));
            Ok(Ok(logged.collect::<Result<_, TxError>>()?))
        };
        let logged = self.store.transact_with(append).await??;
        self.couriers.wake(self, address);
        Ok(logged)
    }

    /// What a message of the log says.
    pub(crate) fn said(&self, topic_uid: u64, number: u64) -> Result<Option<Published>, SnsError> {
        let mut bytes = Vec::new();
        for (_, piece) in self.store.range(keys::said(topic_uid, number))? {
            bytes.extend_from_slice(&piece);
        }
        if bytes.is_empty() { Ok(None) } else { Ok(Some(value::decode(VERSION, &bytes)?)) }
    }

    /// Where a subscription stands; `None` when its topic is no FIFO topic.
    pub(crate) fn cursor(&self, topic_uid: u64, id: &str) -> Result<Option<Cursor>, SnsError> {
        let row = self.store.get(&keys::cursor(topic_uid, id))?;
        Ok(row.map(|row| value::decode(VERSION, &row)).transpose()?)
    }
}

fn append_one(
    tx: &mut dyn Tx,
    topic: &Topic,
    message: &Published,
    now: Timestamp,
) -> Result<Logged, TxError> {
    let uid = topic.uid;
    let per_group = topic.settings.fifo.as_ref().is_some_and(|fifo| fifo.per_group);
    let group_id = message.group_id.clone().unwrap_or_default();
    let id = message.deduplication_id.as_deref().unwrap_or_default();
    let hash = keys::hash(&[if per_group { &group_id } else { "" }, id]);
    if let Some(seen) = read_if_there::<Seen>(tx, &keys::seen(uid, &hash))?.filter(|seen| seen.until > now) {
        return Ok(Logged { message_id: seen.message_id, sequence_number: seen.sequence_number });
    }
    let number = u64::try_from(tx.add(&keys::last(uid), 1)?).unwrap_or_default();
    let sequence_number = (FIRST_SEQUENCE_NUMBER + number).to_string();
    let message = Published { sequence_number: Some(sequence_number.clone()), ..message.clone() };
    write(tx, keys::log(uid, number), &Entry { at: message.at, group_id })?;
    for (piece, bytes) in (0_u64..).zip(value::encode(VERSION, &message).chunks(PIECE_BYTES)) {
        tx.put(keys::said_piece(uid, number, piece), bytes.to_vec())?;
    }
    let until = Timestamp(now.0 + DEDUPLICATION_MS);
    let message_id = message.message_id;
    let seen = Seen { message_id: message_id.clone(), sequence_number: sequence_number.clone(), until };
    write(tx, keys::seen(uid, &hash), &seen)?;
    tx.put(keys::forgets(uid, until, &hash), Vec::new())?;
    Ok(Logged { message_id, sequence_number })
}

/// Forgets deduplication ids whose time is over.
fn forget_old(tx: &mut dyn Tx, topic_uid: u64, now: Timestamp) -> Result<(), TxError> {
    for (key, _) in tx.range(keys::forgotten(topic_uid, now).limit(FORGET_STEP))? {
        let mut reader = store::KeyReader::new(&key);
        let hash = (|| {
            let _ = (reader.str()?, reader.str()?, reader.u64()?, reader.i64()?);
            reader.bytes()
        })();
        if let Ok(hash) = hash {
            let seen = keys::seen(topic_uid, &hash);
            // It may have been used again since.
            if read_if_there::<Seen>(tx, &seen)?.is_some_and(|seen| seen.until <= now) {
                tx.delete(&seen)?;
            }
        }
        tx.delete(&key)?;
    }
    Ok(())
}

/// The deduplication id of a message without one: the digest of what it says.
pub(crate) fn content_id(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn last_number(tx: &dyn Tx, topic_uid: u64) -> Result<u64, TxError> {
    let last = tx.get(&keys::last(topic_uid))?.map_or(Ok(0), |row| counter(&row))?;
    Ok(u64::try_from(last).unwrap_or_default())
}

/// A subscription gets what is published from now on, and what its replay policy asks for.
pub(crate) fn start_now(tx: &mut dyn Tx, now: Timestamp, subscription: &Subscription) -> Result<(), TxError> {
    let Ok(topic) = TopicAddress::parse("TopicArn", &subscription.topic_arn) else { return Ok(()) };
    let cursor = Cursor {
        topic,
        next: last_number(tx, subscription.topic_uid)? + 1,
        done: Vec::new(),
        failures: 0,
        retry_at: None,
        replay: None,
        epoch: 0,
    };
    write(tx, keys::cursor(subscription.topic_uid, &subscription.id), &cursor)?;
    if subscription.settings.replay.is_some() { set_replay(tx, now, subscription) } else { Ok(()) }
}

/// Begins the replay that the subscription's policy asks for, or ends one.
pub(crate) fn set_replay(
    tx: &mut dyn Tx,
    _now: Timestamp,
    subscription: &Subscription,
) -> Result<(), TxError> {
    let uid = subscription.topic_uid;
    let key = keys::cursor(uid, &subscription.id);
    let Some(mut cursor) = read_if_there::<Cursor>(tx, &key)? else { return Ok(()) };
    let resume = match &cursor.replay {
        Some(replay) if replay.status != ReplayStatus::Completed => replay.resume.max(cursor.next),
        _ => cursor.next,
    };
    cursor.epoch += 1;
    (cursor.failures, cursor.retry_at) = (0, None);
    match &subscription.settings.replay {
        None => {
            cursor.next = resume;
            cursor.replay = None;
        }
        Some(replay) => {
            let end = match replay.until {
                Some(until) => first_since(tx, uid, Timestamp(until.0 + 1))?.min(resume),
                None => resume,
            };
            cursor.done.clear();
            cursor.next = first_since(tx, uid, replay.from)?.min(end);
            cursor.replay = Some(Replaying { status: ReplayStatus::Pending, end, resume });
        }
    }
    write(tx, key, &cursor)
}

/// The number of the first message of the log from `since` on. Numbers have no gaps, and times do not go back.
fn first_since(tx: &dyn Tx, topic_uid: u64, since: Timestamp) -> Result<u64, TxError> {
    let last = last_number(tx, topic_uid)?;
    let first = tx.range(keys::log_from(topic_uid, 0).limit(1))?;
    let Some(first) = first.first().and_then(|(key, _)| number_of(key)) else { return Ok(last + 1) };
    let (mut low, mut high) = (first, last + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let entry = read_if_there::<Entry>(tx, &keys::log(topic_uid, middle))?;
        if entry.is_none_or(|entry| entry.at < since) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// The number in a key of the log.
pub(crate) fn number_of(key: &[u8]) -> Option<u64> {
    let mut reader = store::KeyReader::new(key);
    let _ = (reader.str().ok()?, reader.str().ok()?, reader.u64().ok()?);
    reader.u64().ok()
}

/// Removes from the log what nobody needs any more: what all subscriptions have got, and with an archive what is too old.
pub(crate) async fn trim(
    store: &Store,
    topic_uid: u64,
    topic: &TopicAddress,
    now: Timestamp,
) -> Result<(), SnsError> {
    let topic_key = keys::topic(&topic.scope, &topic.name);
    store
        .transact(move |tx| {
            let topic = read_if_there::<Topic>(tx, &topic_key)?.filter(|topic| topic.uid == topic_uid);
            let Some(topic) = topic else { return Ok(()) };
            let archive = topic.settings.fifo.as_ref().and_then(|fifo| fifo.archive);
            let keep_since = archive.map(|archive| now.0 - i64::from(archive.retention_days) * DAY_MS);
            let mut needed = u64::MAX;
            for (_, row) in tx.range(keys::of_topic("cursor", topic_uid))? {
                let cursor: Cursor = value::decode(VERSION, &row)?;
                needed = needed.min(cursor.next);
            }
            for (key, row) in tx.range(keys::log_from(topic_uid, 0).limit(TRIM_STEP))? {
                let entry: Entry = value::decode(VERSION, &row)?;
                let Some(number) = number_of(&key) else { continue };
                if number >= needed || keep_since.is_some_and(|since| entry.at.0 >= since) {
                    break;
                }
                let said = keys::said(topic_uid, number);
                tx.clear_range(&said.from, &said.to)?;
                tx.delete(&key)?;
            }
            Ok(())
        })
        .await?;
    Ok(())
}

/// The subscription's cursor as it is stored, to be changed in a transaction.
pub(crate) fn stored_cursor(tx: &dyn Tx, topic_uid: u64, id: &str) -> Result<Option<Cursor>, TxError> {
    read_if_there(tx, &keys::cursor(topic_uid, id))
}

/// The number of the newest message.
pub(crate) fn newest(store: &Store, topic_uid: u64) -> Result<u64, SnsError> {
    let row = store.get(&keys::last(topic_uid))?;
    let last = row.map_or(Ok(0), |row| counter(&row))?;
    Ok(u64::try_from(last).unwrap_or_default())
}

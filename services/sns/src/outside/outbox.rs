//! The outbox: what would have left the platform as e-mail, text message or mobile push.
//!
//! Nothing is sent. Each is a record that the developer looks at (`lamplighter outbox`), with the link that confirms a
//! subscription where there is one. An account's outbox is bounded in number and bytes; the oldest go first.

use std::str::FromStr;

use base::AccountId;
use serde::{Deserialize, Serialize};
use store::{KeyReader, Store, StoreError, Tx, TxError, value};

use crate::keys::{self, VERSION};

/// The most records of an account.
const MAX_RECORDS: i64 = 1000;
/// The most bytes of an account's texts.
const MAX_BYTES: i64 = 16 * 1024 * 1024;
/// The longest text of one record, in bytes; a longer one is cut, and says so.
const MAX_TEXT_BYTES: usize = 48 * 1024;
const CUT: &str = "\n[the rest is not kept]";
/// The most records that go for a new one.
const MOST_REMOVED: usize = 64;

/// What a record would have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutboxKind {
    /// An e-mail with the message's text.
    Email,
    /// An e-mail with the message as JSON.
    EmailJson,
    /// A text message.
    Sms,
    /// A push notification to an app.
    Push,
}

impl FromStr for OutboxKind {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "email" => Ok(OutboxKind::Email),
            "email-json" => Ok(OutboxKind::EmailJson),
            "sms" => Ok(OutboxKind::Sms),
            "push" => Ok(OutboxKind::Push),
            _ => Err(format!("'{name}' is no kind: there are email, email-json, sms and push")),
        }
    }
}

/// What was not sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OutboxRecord {
    /// What it would have been.
    pub kind: OutboxKind,
    /// The address, telephone number, or the ARN of the app's endpoint.
    pub to: String,
    /// When the message was published, such as `2026-11-23T08:05:09.120Z`.
    pub at: String,
    /// The region it was published in.
    pub region: String,
    /// The topic, if there was one.
    pub topic_arn: Option<String>,
    /// The id that the publisher got.
    pub message_id: String,
    /// The subject line of an e-mail; the sender's name of a text message.
    pub subject: Option<String>,
    /// The text.
    pub text: String,
    /// For push: the platform, such as `GCM`; for text messages: `Promotional` or `Transactional`.
    pub channel: Option<String>,
    /// What confirms a subscription, or ends one, when it is visited.
    pub link: Option<String>,
}

/// A record of the outbox with its place.
#[derive(Clone, Debug, Serialize)]
pub struct OutboxEntry {
    /// Higher than that of every older record.
    pub sequence: u64,
    /// The account that the record belongs to.
    pub account: AccountId,
    /// The record.
    #[serde(flatten)]
    pub record: OutboxRecord,
}

/// Which records are wanted.
#[derive(Clone, Debug)]
pub struct OutboxQuery {
    /// Whose.
    pub account: AccountId,
    /// Of which kind; all without it.
    pub kind: Option<OutboxKind>,
    /// Only newer ones than this sequence.
    pub after: u64,
    /// The most records; the newest are given.
    pub limit: usize,
}

/// Adds a record to an account's outbox.
pub(crate) fn record(tx: &mut dyn Tx, account: AccountId, mut record: OutboxRecord) -> Result<(), TxError> {
    cut(&mut record.text);
    let bytes = i64::try_from(record.text.len()).unwrap_or(i64::MAX);
    let sequence = u64::try_from(tx.add(&keys::outbox_last(account), 1)?).unwrap_or_default();
    tx.put(keys::outbox_record(account, sequence), value::encode(VERSION, &record))?;
    let mut count = tx.add(&keys::outbox_count(account), 1)?;
    let mut total = tx.add(&keys::outbox_bytes(account), bytes)?;
    if count <= MAX_RECORDS && total <= MAX_BYTES {
        return Ok(());
    }
    for (key, old) in tx.range(keys::outbox(account).range().limit(MOST_REMOVED))? {
        if count <= MAX_RECORDS && total <= MAX_BYTES {
            break;
        }
        let old: OutboxRecord = value::decode(VERSION, &old)?;
        tx.delete(&key)?;
        count = tx.add(&keys::outbox_count(account), -1)?;
        total = tx.add(&keys::outbox_bytes(account), -i64::try_from(old.text.len()).unwrap_or(0))?;
    }
    Ok(())
}

fn cut(text: &mut String) {
    if text.len() > MAX_TEXT_BYTES {
        let mut end = MAX_TEXT_BYTES;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(CUT);
    }
}

/// The newest records that are wanted, the oldest of them first.
pub(crate) fn read(store: &Store, query: &OutboxQuery) -> Result<Vec<OutboxEntry>, StoreError> {
    let mut range = keys::outbox(query.account).range();
    range.from = keys::outbox_record(query.account, query.after.saturating_add(1));
    let mut found = Vec::new();
    // Bounded: an outbox has at most MAX_RECORDS.
    for (key, bytes) in store.range(range.reversed())? {
        if found.len() >= query.limit {
            break;
        }
        let record: OutboxRecord = value::decode(VERSION, &bytes).map_err(TxError::from)?;
        if query.kind.is_none_or(|kind| kind == record.kind) {
            found.push(OutboxEntry { sequence: sequence_of(&key), account: query.account, record });
        }
    }
    found.reverse();
    Ok(found)
}

fn sequence_of(key: &[u8]) -> u64 {
    let mut reader = KeyReader::new(key);
    // Written by `keys::outbox_record`: "sns", "outbox", account, sequence.
    let skipped = reader.str().and_then(|_| reader.str()).and_then(|_| reader.str());
    skipped.and_then(|_| reader.u64()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(text: &str) -> OutboxRecord {
        OutboxRecord {
            kind: OutboxKind::Sms,
            to: "+15550100".to_owned(),
            at: String::new(),
            region: String::new(),
            topic_arn: None,
            message_id: String::new(),
            subject: None,
            text: text.to_owned(),
            channel: None,
            link: None,
        }
    }

    fn all(store: &Store) -> Vec<OutboxEntry> {
        let query = OutboxQuery { account: AccountId::DEFAULT, kind: None, after: 0, limit: usize::MAX };
        read(store, &query).unwrap()
    }

    #[tokio::test]
    async fn the_oldest_go_when_there_are_too_many() {
        let store = Store::in_memory().unwrap();
        for from in (0..1100).step_by(100) {
            let added = store.transact(move |tx| {
                (from..from + 100)
                    .try_for_each(|number| record(tx, AccountId::DEFAULT, sample(&number.to_string())))
            });
            added.await.unwrap();
        }
        let kept = all(&store);
        assert_eq!((kept.len(), kept[0].record.text.as_str(), kept[0].sequence), (1000, "100", 101));
        let newest = OutboxQuery { account: AccountId::DEFAULT, kind: None, after: 1050, limit: 3 };
        let newest: Vec<u64> = read(&store, &newest).unwrap().iter().map(|entry| entry.sequence).collect();
        assert_eq!(newest, [1098, 1099, 1100]);
    }

    #[tokio::test]
    async fn long_texts_are_cut_between_characters() {
        let store = Store::in_memory().unwrap();
        let long = "é".repeat(40_000);
        store.transact(move |tx| record(tx, AccountId::DEFAULT, sample(&long))).await.unwrap();
        let text = &all(&store)[0].record.text;
        assert!(text.len() <= MAX_TEXT_BYTES + CUT.len() && text.ends_with(CUT));
    }
}

//! The topics of an account: made, found, changed and deleted.

use std::collections::BTreeMap;
use std::sync::Arc;

use frontdoor::Call;
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::{StoreError, Tx, TxError, value};

use crate::Sns;
use crate::access;
use crate::address::TopicAddress;
use crate::errors::SnsError;
use crate::keys::{self, Scope, VERSION};
use crate::subscription::Subscription;
use crate::topic::{Counts, Fifo, MAX_FIFO_TOPICS, MAX_STANDARD_TOPICS, Settings, Topic, Totals};
use crate::topic_attributes;

/// Longest name, in characters.
const MAX_NAME: usize = 256;
/// Subscriptions of a deleted topic that are cleared away in one transaction.
const CLEAR_STEP: usize = 200;

/// What CreateTopic asks for.
pub(crate) struct NewTopic {
    pub(crate) scope: Scope,
    pub(crate) name: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) data_protection_policy: Option<String>,
}

/// What a closure in a transaction gives back: its own error rolls everything back.
pub(crate) type InTx<T> = Result<Result<T, SnsError>, TxError>;

/// A row of the store, or its type's default.
pub(crate) fn read<T: DeserializeOwned + Default>(tx: &dyn Tx, key: &[u8]) -> Result<T, TxError> {
    Ok(read_if_there(tx, key)?.unwrap_or_default())
}

pub(crate) fn read_if_there<T: DeserializeOwned>(tx: &dyn Tx, key: &[u8]) -> Result<Option<T>, TxError> {
    tx.get(key)?.map(|row| value::decode(VERSION, &row).map_err(TxError::from)).transpose()
}

pub(crate) fn write<T: Serialize>(tx: &mut dyn Tx, key: Vec<u8>, row: &T) -> Result<(), TxError> {
    tx.put(key, value::encode(VERSION, row))
}

impl Sns {
    /// Makes a topic, or finds the one of that name, if it is as asked for. Its ARN.
    ///
    /// # Errors
    /// `InvalidParameter`, `TopicLimitExceeded`.
    pub(crate) async fn create_topic(&self, new: NewTopic) -> Result<String, SnsError> {
        let NewTopic { scope, name, attributes, tags, data_protection_policy } = new;
        let now = self.clock.now();
        let fifo = is_fifo(&name, &attributes)?;
        let mut topic = Topic {
            uid: uuid::Uuid::new_v4().as_u64_pair().0,
            account: scope.account,
            region: scope.region.clone(),
            name,
            created_at: now,
            settings: Settings {
                fifo: fifo.then(Fifo::default),
                data_protection_policy,
                ..Settings::default()
            },
            tags,
        };
        let arn = topic.arn();
        for (name, value) in attributes.iter().filter(|(name, _)| *name != "FifoTopic") {
            topic_attributes::set(&mut topic.settings, &arn, name, value, now)
                .map_err(|refusal| refusal.on_create(name))?;
        }
        let key = keys::topic(&scope, &topic.name);
        let add = move |tx: &mut dyn Tx| -> InTx<()> {
            if let Some(found) = read_if_there::<Topic>(tx, &key)? {
                return Ok(same_topic(&found, &topic, &attributes));
            }
            let mut totals: Totals = read(tx, &keys::totals(&scope))?;
            let (count, limit) = match fifo {
                true => (&mut totals.fifo_topics, MAX_FIFO_TOPICS),
                false => (&mut totals.standard_topics, MAX_STANDARD_TOPICS),
            };
            if *count >= limit {
                return Ok(Err(SnsError::other("TopicLimitExceededException", "Topic limit exceeded")));
            }
            *count += 1;
            write(tx, keys::totals(&scope), &totals)?;
            write(tx, key.clone(), &topic)?;
            Ok(Ok(()))
        };
        self.store.transact_with(add).await??;
        Ok(arn)
    }

    /// A topic as it is now.
    ///
    /// # Errors
    /// `NotFound`.
    pub(crate) fn find(&self, address: &TopicAddress) -> Result<Topic, SnsError> {
        let row = self.store.get(&keys::topic(&address.scope, &address.name))?.ok_or(SnsError::NoTopic)?;
        Ok(value::decode(VERSION, &row)?)
    }

    /// The topic that a request names, for a caller that may do `action` (such as `SNS:Publish`) to it.
    ///
    /// # Errors
    /// `InvalidParameter` for what is no ARN of this region, `NotFound`, `AuthorizationError`.
    pub(crate) fn topic_for(
        &self,
        call: &Call,
        parameter: &str,
        arn: &str,
        action: &'static str,
    ) -> Result<(TopicAddress, Topic), SnsError> {
        let (address, topic) = self.named(call, parameter, arn)?;
        access::permit(call, &topic, action)?;
        Ok((address, topic))
    }

    /// The topic that a request names, whoever asks.
    ///
    /// # Errors
    /// `InvalidParameter` for what is no ARN of this region, `NotFound`.
    pub(crate) fn named(
        &self,
        call: &Call,
        parameter: &str,
        arn: &str,
    ) -> Result<(TopicAddress, Topic), SnsError> {
        let address = TopicAddress::parse(parameter, arn)?;
        if address.scope.region != *call.region() {
            return Err(SnsError::invalid(parameter));
        }
        let topic = self.find(&address)?;
        Ok((address, topic))
    }

    /// Changes a topic.
    ///
    /// # Errors
    /// `NotFound`, and what the change answers.
    pub(crate) async fn change_topic<T: Send + 'static>(
        &self,
        address: &TopicAddress,
        mut change: impl FnMut(&mut dyn Tx, &mut Topic) -> InTx<T> + Send + 'static,
    ) -> Result<T, SnsError> {
        let key = keys::topic(&address.scope, &address.name);
        let changed = self
            .store
            .transact_with(move |tx| {
                let Some(mut topic) = read_if_there::<Topic>(tx, &key)? else {
                    return Ok(Err(SnsError::NoTopic));
                };
                let outcome = change(tx, &mut topic)?;
                if outcome.is_ok() {
                    write(tx, key.clone(), &topic)?;
                }
                Ok(outcome)
            })
            .await?;
        self.cache.forget(address);
        changed
    }

    /// Deletes a topic with all that belongs to it; one that is not there is deleted already.
    ///
    /// # Errors
    /// `InvalidState` while it has an archive.
    pub(crate) async fn delete_topic(self: &Arc<Self>, address: &TopicAddress) -> Result<(), SnsError> {
        let (key, scope) = (keys::topic(&address.scope, &address.name), address.scope.clone());
        let gone = self
            .store
            .transact_with(move |tx| -> InTx<Option<u64>> {
                let Some(topic) = read_if_there::<Topic>(tx, &key)? else { return Ok(Ok(None)) };
                if topic.settings.fifo.as_ref().is_some_and(|fifo| fifo.archive.is_some()) {
                    return Ok(Err(SnsError::other(
                        "InvalidStateException",
                        "Invalid state: Cannot delete a topic with an ArchivePolicy",
                    )));
                }
                let counts: Counts = read(tx, &keys::counts(topic.uid))?;
                let mut totals: Totals = read(tx, &keys::totals(&scope))?;
                match topic.is_fifo() {
                    true => totals.fifo_topics = totals.fifo_topics.saturating_sub(1),
                    false => totals.standard_topics = totals.standard_topics.saturating_sub(1),
                }
                let (pending, filtered) = (small(counts.pending), small(counts.filtered));
                totals.pending_subscriptions = totals.pending_subscriptions.saturating_sub(pending);
                totals.filter_policies = totals.filter_policies.saturating_sub(filtered);
                write(tx, keys::totals(&scope), &totals)?;
                write(tx, keys::doomed(topic.uid), &())?;
                tx.delete(&key)?;
                Ok(Ok(Some(topic.uid)))
            })
            .await??;
        self.cache.forget(address);
        if let Some(uid) = gone {
            let sns = Arc::clone(self);
            tokio::spawn(async move {
                if let Err(error) = sns.clear_away(uid).await {
                    tracing::warn!(%error, "what belonged to a deleted topic is cleared away at the next start");
                }
            });
        }
        Ok(())
    }

    /// Clears away what belonged to a deleted topic.
    pub(crate) async fn clear_away(&self, topic_uid: u64) -> Result<(), StoreError> {
        loop {
            let cleared = self
                .store
                .transact(move |tx| {
                    let rows = tx.range(keys::subscriptions(topic_uid, None).limit(CLEAR_STEP))?;
                    for (key, row) in &rows {
                        let subscription: Subscription = value::decode(VERSION, row)?;
                        subscription.remove_index(tx)?;
                        tx.delete(key)?;
                    }
                    Ok(rows.len())
                })
                .await?;
            if cleared < CLEAR_STEP {
                break;
            }
        }
        for table in keys::OF_TOPIC {
            let range = keys::of_topic(table, topic_uid);
            self.store.clear_in_steps(range.from, range.to).await?;
        }
        self.store.transact(move |tx| tx.delete(&keys::doomed(topic_uid))).await
    }
}

fn small(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Whether it is to be a FIFO topic; its name must fit that.
fn is_fifo(name: &str, attributes: &BTreeMap<String, String>) -> Result<bool, SnsError> {
    let fits = |stem: &str| {
        !stem.is_empty()
            && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let fifo = match attributes.get("FifoTopic").map(String::as_str) {
        None | Some("") => false,
        Some(text) => topic_attributes::boolean(text).ok_or_else(|| {
            SnsError::invalid(format!(
                "Attributes Reason: FifoTopic: Invalid value [{text}]. Must be true or false."
            ))
        })?,
    };
    let stem = if fifo { name.strip_suffix(".fifo").unwrap_or_default() } else { name };
    if name.len() <= MAX_NAME && fits(stem) {
        return Ok(fifo);
    }
    Err(SnsError::invalid(if fifo {
        "Topic Name Reason: Fifo Topic names must end with .fifo and must be made up of only uppercase and lowercase \
         ASCII letters, numbers, underscores, and hyphens, and must be between 1 and 256 characters long."
    } else {
        "Topic Name"
    }))
}

/// Whether the topic that is there is the one that is asked for, as far as the request says.
fn same_topic(found: &Topic, asked: &Topic, attributes: &BTreeMap<String, String>) -> Result<(), SnsError> {
    let same = |name: &String| {
        topic_attributes::one(&found.settings, name) == topic_attributes::one(&asked.settings, name)
    };
    if !attributes.keys().all(same) || found.is_fifo() != asked.is_fifo() {
        return Err(SnsError::invalid("Attributes Reason: Topic already exists with different attributes"));
    }
    if !asked.tags.is_empty() && found.tags != asked.tags {
        return Err(SnsError::invalid("Tags Reason: Topic already exists with different tags"));
    }
    let protection = &asked.settings.data_protection_policy;
    if protection.is_some() && *protection != found.settings.data_protection_policy {
        return Err(SnsError::invalid(
            "DataProtectionPolicy Reason: Topic already exists with different policy",
        ));
    }
    Ok(())
}

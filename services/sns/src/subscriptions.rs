//! Subscriptions: made, confirmed, changed and ended.
//!
//! Each is written with the rows that lead to it and the counts it belongs to in one transaction.
//! <https://docs.aws.amazon.com/sns/latest/api/API_Subscribe.html>.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{AccountId, Timestamp};
use store::{Tx, TxError, value};

use crate::Sns;
use crate::address::{SubscriptionAddress, TopicAddress};
use crate::errors::SnsError;
use crate::fifo;
use crate::keys::{self, VERSION};
use crate::message::Protocol;
use crate::outside::{self, Enqueued};
use crate::subscription::{
    Confirmation, MAX_FILTERS, MAX_FILTERS_OF_TOPIC, MAX_OF_FIFO_TOPIC, MAX_OF_LARGE_TOPIC, MAX_PENDING,
    Owned, Settings, Subscription, TOKEN_MS, Token,
};
use crate::subscription_attributes as attributes;
use crate::topic::{Counts, DEFAULT_MESSAGE_BYTES, Topic, Totals};
use crate::topics::{InTx, read, read_if_there, write};

/// What Subscribe asks for.
#[derive(Clone)]
pub(crate) struct NewSubscription {
    pub(crate) protocol: Protocol,
    pub(crate) endpoint: String,
    /// As given, to compare with what is there.
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) owner: AccountId,
    pub(crate) principal: String,
    /// Whether the endpoint's owner must agree first.
    pub(crate) needs_confirmation: bool,
    /// What links in the confirmation message begin with.
    pub(crate) base_url: String,
}

/// A subscription that was made or found.
pub(crate) struct Subscribed {
    pub(crate) arn: String,
    pub(crate) is_confirmed: bool,
}

impl Sns {
    /// Subscribes an endpoint, or finds its subscription, if it is as asked for.
    ///
    /// # Errors
    /// `NotFound`, `InvalidParameter`, `SubscriptionLimitExceeded`, `FilterPolicyLimitExceeded`.
    pub(crate) async fn subscribe(
        self: &Arc<Self>,
        address: &TopicAddress,
        new: NewSubscription,
    ) -> Result<Subscribed, SnsError> {
        let now = self.clock.now();
        let (key, token, id) = (keys::topic(&address.scope, &address.name), fresh_token(), fresh_id());
        let add = move |tx: &mut dyn Tx| -> InTx<(Subscribed, Enqueued, bool)> {
            let Some(topic) = read_if_there::<Topic>(tx, &key)? else { return Ok(Err(SnsError::NoTopic)) };
            let place = attributes::Place { topic: &topic, protocol: new.protocol, endpoint: &new.endpoint };
            let settings = match attributes::given(&place, &new.attributes) {
                Ok(settings) => settings,
                Err(error) => return Ok(Err(error)),
            };
            if let Some(found) = existing(tx, &topic, &new)? {
                return again(tx, now, &topic, &new, found, &settings);
            }
            if let Err(error) = check_limits(tx, &topic, &new, &settings)? {
                return Ok(Err(error));
            }
            let confirmation = match new.needs_confirmation {
                true => Confirmation::Pending { token: token.clone(), until: Timestamp(now.0 + TOKEN_MS) },
                false => Confirmation::Confirmed { authenticated: true },
            };
            let subscription = Subscription {
                id: id.clone(),
                topic_arn: topic.arn(),
                topic_uid: topic.uid,
                owner: new.owner,
                principal: new.principal.clone(),
                protocol: new.protocol,
                endpoint: new.endpoint.clone(),
                created_at: now,
                confirmation,
                authenticate_on_unsubscribe: false,
                settings,
            };
            insert(tx, now, &topic, &subscription)?;
            let enqueued = ask(tx, now, &topic, &subscription, &new.base_url)?;
            let subscribed =
                Subscribed { arn: subscription.arn(), is_confirmed: subscription.is_confirmed() };
            Ok(Ok((subscribed, enqueued, subscription.settings.replay.is_some())))
        };
        let (subscribed, enqueued, replays) = self.store.transact_with(add).await??;
        self.cache.forget(address);
        self.outside.wake(enqueued);
        if replays {
            self.couriers.wake(self, address);
        }
        Ok(subscribed)
    }

    /// A subscription and its topic as they are now.
    ///
    /// # Errors
    /// `NotFound`.
    pub(crate) fn find_subscription(
        &self,
        address: &SubscriptionAddress,
    ) -> Result<(Topic, Subscription), SnsError> {
        let topic = self.find(&address.topic).map_err(|error| match error {
            SnsError::NoTopic => SnsError::no_subscription(),
            other => other,
        })?;
        let row = self.store.get(&keys::subscription(topic.uid, &address.id))?;
        let row = row.ok_or_else(SnsError::no_subscription)?;
        Ok((topic, value::decode(VERSION, &row)?))
    }

    /// Changes a subscription's settings.
    ///
    /// # Errors
    /// `NotFound`, `FilterPolicyLimitExceeded`, and what the change answers.
    pub(crate) async fn change_subscription(
        self: &Arc<Self>,
        address: &SubscriptionAddress,
        name: String,
        value: String,
    ) -> Result<(), SnsError> {
        let (topic_key, id) = (keys::topic(&address.topic.scope, &address.topic.name), address.id.clone());
        let now = self.clock.now();
        let change = move |tx: &mut dyn Tx| -> InTx<bool> {
            let Some((topic, mut subscription)) = load(tx, &topic_key, &id)? else {
                return Ok(Err(SnsError::no_subscription()));
            };
            let before = subscription.settings.clone();
            let place = attributes::Place {
                topic: &topic,
                protocol: subscription.protocol,
                endpoint: &subscription.endpoint,
            };
            if let Err(why) = attributes::set(&mut subscription.settings, &place, &name, &value) {
                return Ok(Err(SnsError::invalid(why)));
            }
            let filtered = |settings: &Settings| settings.filter_policy.is_some();
            if filtered(&before) != filtered(&subscription.settings) {
                let more = filtered(&subscription.settings);
                if more && let Err(error) = check_filters(tx, &topic)? {
                    return Ok(Err(error));
                }
                count_filters(tx, &topic, if more { 1 } else { -1 })?;
            }
            let replays = name == "ReplayPolicy";
            if replays {
                fifo::set_replay(tx, now, &subscription)?;
            }
            write(tx, keys::subscription(topic.uid, &id), &subscription)?;
            Ok(Ok(replays))
        };
        let replays = self.store.transact_with(change).await??;
        self.cache.forget(&address.topic);
        if replays {
            self.couriers.wake(self, &address.topic);
        }
        Ok(())
    }

    /// Confirms a subscription by the token that its endpoint got. Its ARN. Doing it again is no error.
    ///
    /// # Errors
    /// `InvalidParameter` for a token that is none (any more).
    pub(crate) async fn confirm(
        &self,
        address: &TopicAddress,
        token: String,
        authenticated: bool,
        authenticate_on_unsubscribe: bool,
    ) -> Result<String, SnsError> {
        let (now, address_of_token) = (self.clock.now(), address.clone());
        let invalid = || SnsError::invalid("Token");
        let confirm = move |tx: &mut dyn Tx| -> InTx<String> {
            let Some(known) = read_if_there::<Token>(tx, &keys::token(&token))? else {
                return Ok(Err(invalid()));
            };
            let at_home = known.place == address_of_token.scope && known.topic_name == address_of_token.name;
            if !at_home || known.until <= now {
                return Ok(Err(invalid()));
            }
            let topic_key = keys::topic(&known.place, &known.topic_name);
            let topic = read_if_there::<Topic>(tx, &topic_key)?.filter(|topic| topic.uid == known.topic_uid);
            let Some(topic) = topic else { return Ok(Err(SnsError::NoTopic)) };
            let key = keys::subscription(topic.uid, &known.id);
            let mut subscription = match (read_if_there::<Subscription>(tx, &key)?, known.restores) {
                (Some(subscription), _) => subscription,
                (None, Some(ended)) => {
                    insert(tx, now, &topic, &ended)?;
                    *ended
                }
                (None, None) => return Ok(Err(invalid())),
            };
            if let Confirmation::Pending { until, .. } = subscription.confirmation {
                tx.delete(&keys::pending(until, topic.uid, &subscription.id))?;
                subscription.confirmation = Confirmation::Confirmed { authenticated };
                subscription.authenticate_on_unsubscribe = authenticate_on_unsubscribe;
                count(tx, &topic, |counts, totals| {
                    counts.pending = counts.pending.saturating_sub(1);
                    counts.confirmed += 1;
                    totals.pending_subscriptions = totals.pending_subscriptions.saturating_sub(1);
                })?;
                if topic.is_fifo() {
                    fifo::start_now(tx, now, &subscription)?;
                }
                write(tx, key, &subscription)?;
            }
            Ok(Ok(subscription.arn()))
        };
        let arn = self.store.transact_with(confirm).await??;
        self.cache.forget(address);
        Ok(arn)
    }

    /// Ends a subscription. One that is not there has ended already. With `farewell` (what links begin with) its
    /// endpoint is told, and how it can come back.
    pub(crate) async fn unsubscribe(
        &self,
        address: &SubscriptionAddress,
        farewell: Option<String>,
    ) -> Result<(), SnsError> {
        let (topic_key, id) = (keys::topic(&address.topic.scope, &address.topic.name), address.id.clone());
        let (now, token, place) = (self.clock.now(), fresh_token(), address.topic.clone());
        let end = move |tx: &mut dyn Tx| -> Result<Enqueued, TxError> {
            let Some((topic, subscription)) = load(tx, &topic_key, &id)? else {
                return Ok(Enqueued::default());
            };
            remove(tx, &topic, &subscription)?;
            let Some(base_url) = farewell.clone().filter(|_| subscription.is_confirmed()) else {
                return Ok(Enqueued::default());
            };
            let known = Token {
                place: place.scope.clone(),
                topic_name: place.name.clone(),
                topic_uid: topic.uid,
                id: id.clone(),
                until: Timestamp(now.0 + TOKEN_MS),
                restores: Some(Box::new(subscription.clone())),
            };
            write(tx, keys::token(&token), &known)?;
            let about = topic.about(base_url, now);
            let published = outside::farewell(about, &subscription.arn(), token.clone());
            outside::enqueue(tx, now, &published, &[subscription.target(&topic)])
        };
        let enqueued = self.store.transact(end).await?;
        self.cache.forget(&address.topic);
        self.outside.wake(enqueued);
        Ok(())
    }

    /// Takes away the pending subscriptions whose time is over. When the next one's is.
    pub(crate) async fn expire_pending(&self) -> Result<Option<Timestamp>, SnsError> {
        const STEP: usize = 100;
        loop {
            let now = self.clock.now();
            let rows = self.store.range(keys::all_pending().limit(STEP))?;
            let mut due = Vec::new();
            for (key, _) in &rows {
                let mut reader = store::KeyReader::new(key);
                let parts = (|| {
                    let _ = (reader.str()?, reader.str()?);
                    Ok::<_, store::KeyError>((reader.i64()?, reader.u64()?, reader.str()?))
                })();
                let Ok((until, topic_uid, id)) = parts else { continue };
                if until > now.0 {
                    if due.is_empty() {
                        return Ok(Some(Timestamp(until)));
                    }
                    break;
                }
                due.push((key.clone(), topic_uid, id));
            }
            if due.is_empty() {
                return Ok(None);
            }
            self.store
                .transact(move |tx| {
                    for (key, topic_uid, id) in &due {
                        let found = read_if_there::<Subscription>(tx, &keys::subscription(*topic_uid, id))?;
                        if let Some(subscription) = found.filter(|found| !found.is_confirmed())
                            && let Some(topic) = topic_of(tx, &subscription)?
                        {
                            remove(tx, &topic, &subscription)?;
                        }
                        tx.delete(key)?;
                    }
                    Ok(())
                })
                .await?;
        }
    }
}

fn topic_of(tx: &dyn Tx, subscription: &Subscription) -> Result<Option<Topic>, TxError> {
    let Ok(address) = TopicAddress::parse("TopicArn", &subscription.topic_arn) else { return Ok(None) };
    let topic = read_if_there::<Topic>(tx, &keys::topic(&address.scope, &address.name))?;
    Ok(topic.filter(|topic| topic.uid == subscription.topic_uid))
}

fn fresh_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// 288 hexadecimal digits, as AWS's tokens have.
fn fresh_token() -> String {
    (0..9).map(|_| uuid::Uuid::new_v4().simple().to_string()).collect()
}

fn load(tx: &dyn Tx, topic_key: &[u8], id: &str) -> Result<Option<(Topic, Subscription)>, TxError> {
    let Some(topic) = read_if_there::<Topic>(tx, topic_key)? else { return Ok(None) };
    let subscription = read_if_there(tx, &keys::subscription(topic.uid, id))?;
    Ok(subscription.map(|subscription| (topic, subscription)))
}

fn existing(tx: &dyn Tx, topic: &Topic, new: &NewSubscription) -> Result<Option<Subscription>, TxError> {
    let key = keys::subscribed(topic.uid, new.owner, new.protocol.as_str(), &new.endpoint);
    let Some(id) = read_if_there::<String>(tx, &key)? else { return Ok(None) };
    read_if_there(tx, &keys::subscription(topic.uid, &id))
}

/// The same endpoint once more: fine with the same attributes; one that is pending is asked again.
fn again(
    tx: &mut dyn Tx,
    now: Timestamp,
    topic: &Topic,
    new: &NewSubscription,
    mut found: Subscription,
    settings: &Settings,
) -> InTx<(Subscribed, Enqueued, bool)> {
    let same = |name: &String| attributes::one(&found.settings, name) == attributes::one(settings, name);
    if !new.attributes.keys().all(same) {
        return Ok(Err(SnsError::invalid(
            "Attributes Reason: Subscription already exists with different attributes",
        )));
    }
    let mut enqueued = Enqueued::default();
    if let Confirmation::Pending { token, until } = found.confirmation.clone() {
        tx.delete(&keys::pending(until, topic.uid, &found.id))?;
        let until = Timestamp(now.0 + TOKEN_MS);
        found.confirmation = Confirmation::Pending { token, until };
        write(tx, keys::subscription(topic.uid, &found.id), &found)?;
        enqueued = ask(tx, now, topic, &found, &new.base_url)?;
    }
    let subscribed = Subscribed { arn: found.arn(), is_confirmed: found.is_confirmed() };
    Ok(Ok((subscribed, enqueued, false)))
}

/// Writes a subscription that was not there, with all that leads to it.
fn insert(tx: &mut dyn Tx, now: Timestamp, topic: &Topic, new: &Subscription) -> Result<(), TxError> {
    write(tx, keys::subscription(topic.uid, &new.id), new)?;
    let endpoint = keys::subscribed(topic.uid, new.owner, new.protocol.as_str(), &new.endpoint);
    write(tx, endpoint, &new.id)?;
    let owned = Owned { topic_uid: topic.uid, topic_arn: new.topic_arn.clone(), id: new.id.clone() };
    write(tx, keys::owned(&topic.place_of(new.owner), &new.topic_arn, &new.id), &owned)?;
    if topic.is_fifo() && new.is_confirmed() {
        fifo::start_now(tx, now, new)?;
    }
    let (confirmed, filtered) = (new.is_confirmed(), new.settings.filter_policy.is_some());
    count(tx, topic, |counts, totals| {
        if confirmed {
            counts.confirmed += 1;
        } else {
            counts.pending += 1;
            totals.pending_subscriptions += 1;
        }
        if filtered {
            counts.filtered += 1;
            totals.filter_policies += 1;
        }
    })
}

/// Takes a subscription away with all that leads to it.
fn remove(tx: &mut dyn Tx, topic: &Topic, gone: &Subscription) -> Result<(), TxError> {
    gone.remove_index(tx)?;
    tx.delete(&keys::subscription(topic.uid, &gone.id))?;
    let (confirmed, filtered) = (gone.is_confirmed(), gone.settings.filter_policy.is_some());
    count(tx, topic, |counts, totals| {
        counts.deleted += 1;
        if confirmed {
            counts.confirmed = counts.confirmed.saturating_sub(1);
        } else {
            counts.pending = counts.pending.saturating_sub(1);
            totals.pending_subscriptions = totals.pending_subscriptions.saturating_sub(1);
        }
        if filtered {
            counts.filtered = counts.filtered.saturating_sub(1);
            totals.filter_policies = totals.filter_policies.saturating_sub(1);
        }
    })
}

fn count(
    tx: &mut dyn Tx,
    topic: &Topic,
    change: impl FnOnce(&mut Counts, &mut Totals),
) -> Result<(), TxError> {
    let (counts_key, totals_key) = (keys::counts(topic.uid), keys::totals(&topic.scope()));
    let (mut counts, mut totals) = (read(tx, &counts_key)?, read(tx, &totals_key)?);
    change(&mut counts, &mut totals);
    write(tx, counts_key, &counts)?;
    write(tx, totals_key, &totals)
}

fn count_filters(tx: &mut dyn Tx, topic: &Topic, by: i64) -> Result<(), TxError> {
    count(tx, topic, |counts, totals| {
        counts.filtered = counts.filtered.saturating_add_signed(by);
        totals.filter_policies = totals.filter_policies.saturating_add_signed(if by > 0 { 1 } else { -1 });
    })
}

fn check_filters(tx: &dyn Tx, topic: &Topic) -> InTx<()> {
    let counts: Counts = read(tx, &keys::counts(topic.uid))?;
    let totals: Totals = read(tx, &keys::totals(&topic.scope()))?;
    let why = if counts.filtered >= MAX_FILTERS_OF_TOPIC {
        format!("a topic has at most {MAX_FILTERS_OF_TOPIC} filter policies")
    } else if totals.filter_policies >= MAX_FILTERS {
        format!("an account has at most {MAX_FILTERS} filter policies in a region")
    } else {
        return Ok(Ok(()));
    };
    let message = format!("Filter policy limit exceeded: {why}");
    Ok(Err(SnsError::other("FilterPolicyLimitExceededException", message)))
}

fn check_limits(tx: &dyn Tx, topic: &Topic, new: &NewSubscription, settings: &Settings) -> InTx<()> {
    let counts: Counts = read(tx, &keys::counts(topic.uid))?;
    let totals: Totals = read(tx, &keys::totals(&topic.scope()))?;
    let exceeded = |why: &str| Ok(Err(SnsError::other("SubscriptionLimitExceededException", why)));
    let subscriptions = counts.confirmed + counts.pending;
    if topic.is_fifo() && subscriptions >= MAX_OF_FIFO_TOPIC {
        return exceeded("Subscription limit exceeded: a FIFO topic has at most 100 subscriptions");
    }
    if new.needs_confirmation && totals.pending_subscriptions >= MAX_PENDING {
        return exceeded("Subscription limit exceeded: an account has at most 5000 pending subscriptions");
    }
    if topic.maximum_message_bytes() > DEFAULT_MESSAGE_BYTES {
        if subscriptions >= MAX_OF_LARGE_TOPIC {
            return Ok(Err(SnsError::invalid(
                "Subscription limit of 100 reached for a topic with MaximumMessageSize above 262144",
            )));
        }
        if !matches!(new.protocol, Protocol::Sqs | Protocol::Lambda | Protocol::Firehose) {
            return Ok(Err(SnsError::invalid(format!(
                "Protocol {} is not supported for a topic with MaximumMessageSize above 262144",
                new.protocol
            ))));
        }
    }
    if settings.filter_policy.is_some() { check_filters(tx, topic) } else { Ok(Ok(())) }
}

/// Asks the endpoint whether it wants the subscription, if that is open.
fn ask(
    tx: &mut dyn Tx,
    now: Timestamp,
    topic: &Topic,
    subscription: &Subscription,
    base_url: &str,
) -> Result<Enqueued, TxError> {
    let Confirmation::Pending { token, until } = &subscription.confirmation else {
        return Ok(Enqueued::default());
    };
    let known = Token {
        place: topic.scope(),
        topic_name: topic.name.clone(),
        topic_uid: topic.uid,
        id: subscription.id.clone(),
        until: *until,
        restores: None,
    };
    write(tx, keys::token(token), &known)?;
    write(tx, keys::pending(*until, topic.uid, &subscription.id), &())?;
    let published = outside::confirmation(topic.about(base_url.to_owned(), now), token.clone());
    outside::enqueue(tx, now, &published, &[subscription.target(topic)])
}

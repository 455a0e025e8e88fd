//! A subscription as a record: who is told of what a topic gets, where, and how.
//!
//! What its attributes may be is `subscription_attributes`' business.

use base::{AccountId, Timestamp};
use pattern::{FilterPolicy, Scope as FilterScope};
use serde::{Deserialize, Serialize};
use store::{Tx, TxError};

use crate::keys::{self, Scope as Place};
use crate::message::Protocol;
use crate::outside::Target;
use crate::outside::policy::{DeliveryPolicy, SubscriptionPolicy, TopicPolicy, effective};
use crate::topic::Topic;

/// Subscriptions of a FIFO topic.
pub(crate) const MAX_OF_FIFO_TOPIC: u64 = 100;
/// Subscriptions of a topic that takes messages above 256 KiB.
pub(crate) const MAX_OF_LARGE_TOPIC: u64 = 100;
/// Subscriptions of an account that wait for their confirmation.
pub(crate) const MAX_PENDING: u32 = 5000;
/// Filter policies on one topic.
pub(crate) const MAX_FILTERS_OF_TOPIC: u64 = 200;
/// Filter policies in an account and region.
pub(crate) const MAX_FILTERS: u32 = 10_000;
/// How long a token confirms, in milliseconds.
pub(crate) const TOKEN_MS: i64 = 2 * 24 * 60 * 60 * 1000;

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subscription {
    /// A UUID: the last part of its ARN.
    pub(crate) id: String,
    pub(crate) topic_arn: String,
    pub(crate) topic_uid: u64,
    /// The account that subscribed.
    pub(crate) owner: AccountId,
    /// The ARN of who subscribed.
    pub(crate) principal: String,
    pub(crate) protocol: Protocol,
    pub(crate) endpoint: String,
    pub(crate) created_at: Timestamp,
    pub(crate) confirmation: Confirmation,
    /// Only its owner and the topic's may end it.
    pub(crate) authenticate_on_unsubscribe: bool,
    pub(crate) settings: Settings,
}

/// Whether the endpoint's owner wants it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Confirmation {
    /// Not yet known; after `until` it will not be.
    Pending {
        token: String,
        until: Timestamp,
    },
    Confirmed {
        authenticated: bool,
    },
}

/// What a subscription is set to, as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) raw: bool,
    pub(crate) filter_policy: Option<String>,
    pub(crate) filter_scope: Scope,
    pub(crate) redrive_policy: Option<String>,
    pub(crate) delivery_policy: Option<String>,
    pub(crate) replay: Option<Replay>,
}

/// What a filter policy looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Scope {
    #[default]
    MessageAttributes,
    MessageBody,
}

impl Scope {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Scope::MessageAttributes => "MessageAttributes",
            Scope::MessageBody => "MessageBody",
        }
    }

    pub(crate) fn of_pattern(self) -> FilterScope {
        match self {
            Scope::MessageAttributes => FilterScope::MessageAttributes,
            Scope::MessageBody => FilterScope::MessageBody,
        }
    }
}

/// `ReplayPolicy`: archived messages are delivered again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replay {
    /// The policy as it was written.
    pub(crate) text: String,
    pub(crate) from: Timestamp,
    /// `None`: up to the newest.
    pub(crate) until: Option<Timestamp>,
}

/// What a token confirms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Token {
    pub(crate) place: Place,
    pub(crate) topic_name: String,
    pub(crate) topic_uid: u64,
    pub(crate) id: String,
    pub(crate) until: Timestamp,
    /// The subscription that was ended, and comes back with this token.
    pub(crate) restores: Option<Box<Subscription>>,
}

/// What the list of one's subscriptions shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owned {
    pub(crate) topic_uid: u64,
    pub(crate) topic_arn: String,
    pub(crate) id: String,
}

impl Subscription {
    pub(crate) fn arn(&self) -> String {
        format!("{}:{}", self.topic_arn, self.id)
    }

    pub(crate) fn is_confirmed(&self) -> bool {
        matches!(self.confirmation, Confirmation::Confirmed { .. })
    }

    /// Takes away the rows that lead to it, but not its own.
    pub(crate) fn remove_index(&self, tx: &mut dyn Tx) -> Result<(), TxError> {
        tx.delete(&keys::subscribed(self.topic_uid, self.owner, self.protocol.as_str(), &self.endpoint))?;
        if let Some(place) = self.place() {
            tx.delete(&keys::owned(&place, &self.topic_arn, &self.id))?;
        }
        if let Confirmation::Pending { token, until } = &self.confirmation {
            tx.delete(&keys::token(token))?;
            tx.delete(&keys::pending(*until, self.topic_uid, &self.id))?;
        }
        tx.delete(&keys::cursor(self.topic_uid, &self.id))
    }

    fn place(&self) -> Option<Place> {
        let region = self.topic_arn.split(':').nth(3)?.parse().ok()?;
        Some(Place { account: self.owner, region })
    }

    /// As deliveries need it.
    pub(crate) fn target(&self, topic: &Topic) -> Target {
        Target {
            subscription_arn: self.arn(),
            owner: self.owner,
            protocol: self.protocol,
            endpoint: self.endpoint.clone(),
            raw: self.settings.raw,
            policy: self.effective_policy(topic),
            dead_letter: self.dead_letter_queue(),
        }
    }

    /// How failures of its endpoint are met: what topic and subscription say together. Both were read when they were set.
    pub(crate) fn effective_policy(&self, topic: &Topic) -> DeliveryPolicy {
        let of_topic =
            topic.settings.delivery_policy.as_deref().and_then(|text| TopicPolicy::parse(text).ok());
        let of_subscription =
            self.settings.delivery_policy.as_deref().and_then(|text| SubscriptionPolicy::parse(text).ok());
        effective(of_topic.as_ref(), of_subscription.as_ref())
    }

    /// The ARN of the queue for what cannot be delivered. The policy was read when it was set.
    pub(crate) fn dead_letter_queue(&self) -> Option<String> {
        let policy = self.settings.redrive_policy.as_deref()?;
        let policy: RedrivePolicy = serde_json::from_str(policy).ok()?;
        Some(policy.dead_letter_target_arn)
    }

    /// Its filter policy, read. One that was set can be read.
    pub(crate) fn filter(&self) -> Option<FilterPolicy> {
        let text = self.settings.filter_policy.as_deref()?;
        match FilterPolicy::parse(text, self.settings.filter_scope.of_pattern()) {
            Ok(policy) => Some(policy),
            Err(error) => {
                tracing::error!(subscription = self.arn(), %error, "a stored filter policy cannot be read");
                None
            }
        }
    }
}

/// The one member of a redrive policy.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RedrivePolicy {
    pub(crate) dead_letter_target_arn: String,
}

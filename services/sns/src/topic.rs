//! A topic as a record, and what is counted about it.
//!
//! What its attributes may be is `topic_attributes`' business.

use std::collections::BTreeMap;

use base::{AccountId, Region, Timestamp};
use serde::{Deserialize, Serialize};

use crate::keys::Scope;
use crate::message::SignatureVersion;
use crate::outside::About;

/// Standard topics in an account and region.
pub(crate) const MAX_STANDARD_TOPICS: u32 = 100_000;
/// FIFO topics in an account and region.
pub(crate) const MAX_FIFO_TOPICS: u32 = 1000;
/// Largest message when a topic says nothing else, in bytes.
pub(crate) const DEFAULT_MESSAGE_BYTES: u32 = 262_144;

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Topic {
    /// Never used again, also when the topic is deleted and made anew.
    pub(crate) uid: u64,
    pub(crate) account: AccountId,
    pub(crate) region: Region,
    pub(crate) name: String,
    pub(crate) created_at: Timestamp,
    pub(crate) settings: Settings,
    pub(crate) tags: BTreeMap<String, String>,
}

/// What a topic is set to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) display_name: String,
    /// The topic's policy as JSON; `None`: the default one. Checked when it was set.
    pub(crate) policy: Option<String>,
    /// How HTTP/S endpoints are tried, as JSON. Checked when it was set.
    pub(crate) delivery_policy: Option<String>,
    pub(crate) kms_master_key_id: Option<String>,
    /// `TracingConfig`: `Active` or `PassThrough`.
    pub(crate) tracing: Option<String>,
    pub(crate) signature_version: Option<SignatureVersion>,
    /// 1,024 to 1,048,576; `None`: 262,144.
    pub(crate) maximum_message_bytes: Option<u32>,
    /// The attributes about delivery status logging, as they were set.
    pub(crate) feedback: BTreeMap<String, String>,
    pub(crate) data_protection_policy: Option<String>,
    /// `None`: a standard topic.
    pub(crate) fifo: Option<Fifo>,
}

/// What only FIFO topics have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fifo {
    pub(crate) content_based_deduplication: bool,
    /// `FifoThroughputScope` is `MessageGroup`: deduplication is within a group.
    pub(crate) per_group: bool,
    pub(crate) archive: Option<Archive>,
}

/// `ArchivePolicy`: messages are kept to be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Archive {
    /// 1 to 365.
    pub(crate) retention_days: u16,
    /// When the policy came into force.
    pub(crate) since: Timestamp,
}

impl Topic {
    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:sns:{}:{}:{}", self.region, self.account, self.name)
    }

    pub(crate) fn scope(&self) -> Scope {
        Scope { account: self.account, region: self.region.clone() }
    }

    /// Where the list of an account's subscriptions in the topic's region is.
    pub(crate) fn place_of(&self, account: AccountId) -> Scope {
        Scope { account, region: self.region.clone() }
    }

    /// What its confirmation messages say about it.
    pub(crate) fn about(&self, base_url: String, at: Timestamp) -> About {
        About {
            account: self.account,
            region: self.region.clone(),
            topic_arn: self.arn(),
            signature_version: self.settings.signature_version.unwrap_or_default(),
            base_url,
            at,
        }
    }

    pub(crate) fn is_fifo(&self) -> bool {
        self.settings.fifo.is_some()
    }

    /// The largest message it takes, in bytes.
    pub(crate) fn maximum_message_bytes(&self) -> u32 {
        self.settings.maximum_message_bytes.unwrap_or(DEFAULT_MESSAGE_BYTES)
    }
}

/// A topic's subscriptions, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) confirmed: u64,
    pub(crate) pending: u64,
    pub(crate) deleted: u64,
    /// Those with a filter policy.
    pub(crate) filtered: u64,
}

/// What AWS limits by account and region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub(crate) standard_topics: u32,
    pub(crate) fifo_topics: u32,
    pub(crate) pending_subscriptions: u32,
    pub(crate) filter_policies: u32,
}

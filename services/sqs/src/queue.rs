//! A queue as a record: its name, its attributes, and what they may be.
//!
//! It holds no message and no count of them: that is the messages' business.
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html>.

use std::collections::BTreeMap;

use base::{AccountId, Region, Timestamp};
use serde::{Deserialize, Serialize};

use crate::keys::Scope;

/// A queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Queue {
    /// Never used again, also when the queue is deleted and made anew.
    pub(crate) uid: u64,
    pub(crate) account: AccountId,
    pub(crate) region: Region,
    pub(crate) name: String,
    pub(crate) created_at: Timestamp,
    pub(crate) modified_at: Timestamp,
    pub(crate) attributes: Attributes,
    pub(crate) tags: BTreeMap<String, String>,
    /// When it was last purged.
    pub(crate) purged_at: Option<Timestamp>,
}

/// What a queue is set to. The defaults are AWS's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attributes {
    /// 0 to 900.
    pub(crate) delay_s: u32,
    /// 1 KiB to 1 MiB.
    pub(crate) maximum_message_bytes: u32,
    /// 60 to 1,209,600.
    pub(crate) retention_s: u32,
    /// 0 to 20.
    pub(crate) receive_wait_s: u32,
    /// 0 to 43,200.
    pub(crate) visibility_timeout_s: u32,
    /// The queue's policy, as JSON; checked when it was set.
    pub(crate) policy: Option<String>,
    pub(crate) redrive: Option<Redrive>,
    pub(crate) redrive_allow: Option<RedriveAllow>,
    pub(crate) kms_master_key_id: Option<String>,
    /// 60 to 86,400; shown only where there is a key.
    pub(crate) kms_data_key_reuse_s: u32,
    pub(crate) sqs_managed_sse: bool,
    /// `None`: a standard queue.
    pub(crate) fifo: Option<Fifo>,
}

impl Default for Attributes {
    fn default() -> Self {
        Attributes {
            delay_s: 0,
            maximum_message_bytes: 1_048_576,
            retention_s: 345_600,
            receive_wait_s: 0,
            visibility_timeout_s: 30,
            policy: None,
            redrive: None,
            redrive_allow: None,
            kms_master_key_id: None,
            kms_data_key_reuse_s: 300,
            sqs_managed_sse: true,
            fifo: None,
        }
    }
}

/// `RedrivePolicy`: where messages go that were received too often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Redrive {
    /// The dead-letter queue: same account and region, same kind.
    pub(crate) dead_letter_target_arn: String,
    /// 1 to 1,000: a message that was received so often without being deleted goes to the dead-letter queue instead
    /// of being received once more.
    pub(crate) max_receive_count: u32,
}

/// `RedriveAllowPolicy`: which queues may have this one as their dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RedriveAllow {
    All,
    None,
    /// ARNs of at most ten queues.
    Queues(Vec<String>),
}

/// What only FIFO queues have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fifo {
    pub(crate) content_based_deduplication: bool,
    /// `DeduplicationScope` is `messageGroup`.
    pub(crate) deduplicate_per_group: bool,
    /// `FifoThroughputLimit` is `perMessageGroupId`.
    pub(crate) limit_per_group: bool,
}

impl Queue {
    /// A queue with the defaults.
    pub(crate) fn new(scope: &Scope, name: &str, uid: u64, now: Timestamp) -> Queue {
        Queue {
            uid,
            account: scope.account,
            region: scope.region.clone(),
            name: name.to_owned(),
            created_at: now,
            modified_at: now,
            attributes: Attributes::default(),
            tags: BTreeMap::new(),
            purged_at: None,
        }
    }

    pub(crate) fn scope(&self) -> Scope {
        Scope { account: self.account, region: self.region.clone() }
    }

    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:sqs:{}:{}:{}", self.region, self.account, self.name)
    }

    pub(crate) fn is_fifo(&self) -> bool {
        self.attributes.fifo.is_some()
    }
}

//! A topic as a record: its name, its attributes, and what they may be.

use std::collections::BTreeMap;

use base::{AccountId, Region, Timestamp};
use serde::{Deserialize, Serialize};

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Topic {
    /// Never used again, also when the topic is deleted and made anew.
    pub(crate) uid: u64,
    pub(crate) account: AccountId,
    pub(crate) region: Region,
    pub(crate) name: String,
    pub(crate) created_at: Timestamp,
    pub(crate) tags: BTreeMap<String, String>,
}

impl Topic {
    pub(crate) fn arn(&self) -> String {
        format!("arn:aws:sns:{}:{}:{}", self.region, self.account, self.name)
    }
}

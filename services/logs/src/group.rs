//! A log group: its record, its ARN, its retention.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_LogGroup.html>.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::errors::LogsError;
use crate::keys::Scope;

const DAY_MS: i64 = 86_400_000;
const MAX_TAGS: usize = 50;
const RETENTION_DAYS: [u32; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

/// A group as it is stored. Its stored bytes are a counter of their own, so that writers do not meet in this record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) uid: u64,
    pub(crate) created_ms: i64,
    /// `None`: events are kept for ever.
    pub(crate) retention_days: Option<u32>,
    pub(crate) tags: BTreeMap<String, String>,
}

impl Group {
    /// The ARN without the `:*` that stands for the group's streams.
    pub(crate) fn arn(&self, scope: &Scope) -> String {
        format!("arn:aws:logs:{}:{}:log-group:{}", scope.region, scope.account, self.name)
    }

    /// Events before this moment have expired, and are shown to nobody.
    pub(crate) fn cutoff_ms(&self, now_ms: i64) -> i64 {
        self.retention_days.map_or(i64::MIN, |days| now_ms.saturating_sub(i64::from(days) * DAY_MS))
    }
}

/// Adds tags; a key that is there gets the new value.
pub(crate) fn merge_tags(
    tags: &mut BTreeMap<String, String>,
    added: BTreeMap<String, String>,
) -> Result<(), LogsError> {
    tags.extend(added);
    if tags.len() > MAX_TAGS { Err(LogsError::TooManyTags(MAX_TAGS)) } else { Ok(()) }
}

/// Checks what the model does not say of a new group's name.
pub(crate) fn check_name(name: &str) -> Result<(), LogsError> {
    if name.starts_with("aws/") {
        return Err(LogsError::invalid("Log groups starting with AWS/ are reserved for AWS."));
    }
    Ok(())
}

/// Checks that a retention is one of those that AWS offers.
pub(crate) fn check_retention(days: u32) -> Result<(), LogsError> {
    if RETENTION_DAYS.contains(&days) {
        return Ok(());
    }
    let allowed: Vec<String> = RETENTION_DAYS.iter().map(u32::to_string).collect();
    Err(LogsError::invalid(format!(
        "1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy constraint: Member must \
         satisfy enum value set: [{}]",
        allowed.join(", ")
    )))
}

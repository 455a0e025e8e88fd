//! What FunctionEventInvokeConfig holds: how long and how often an event is tried, and where its record goes.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_FunctionEventInvokeConfig.html>.

use std::time::Duration;

use base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::aspects::Aspect;

/// AWS's defaults.
const DEFAULT_RETRIES: u32 = 2;
const DEFAULT_MAX_AGE_S: u32 = 21_600;

/// The configuration for a function, version or alias. `None` is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventInvokeConfig {
    pub(crate) modified_at: Timestamp,
    /// 0 to 2.
    pub(crate) max_retries: Option<u32>,
    /// 60 to 21,600 seconds.
    pub(crate) max_age_s: Option<u32>,
    /// ARNs.
    pub(crate) on_success: Option<String>,
    pub(crate) on_failure: Option<String>,
}

impl Aspect for EventInvokeConfig {
    const KIND: &'static str = "event-invoke";
}

impl EventInvokeConfig {
    pub(crate) fn retries(&self) -> u32 {
        self.max_retries.unwrap_or(DEFAULT_RETRIES)
    }

    pub(crate) fn has_destination(&self) -> bool {
        self.on_success.is_some() || self.on_failure.is_some()
    }

    pub(crate) fn max_age(&self) -> Duration {
        Duration::from_secs(u64::from(self.max_age_s.unwrap_or(DEFAULT_MAX_AGE_S)))
    }
}

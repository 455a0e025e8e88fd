//! How a web server's failures are met: AWS's delivery policies.
//!
//! The waiting itself is the worker's.
//!
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html#creating-delivery-policy>.

use serde::{Deserialize, Serialize};

/// How the delay grows from its least to its greatest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Backoff {
    Arithmetic,
    Exponential,
    Geometric,
    #[default]
    Linear,
}

/// What topic and subscription say together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeliveryPolicy {
    /// The least delay, in seconds.
    pub(crate) min_delay_s: u32,
    /// The greatest delay, in seconds.
    pub(crate) max_delay_s: u32,
    /// All retries together.
    pub(crate) retries: u32,
    /// The first so many come without delay,
    pub(crate) no_delay_retries: u32,
    /// so many with the least delay after them,
    pub(crate) min_delay_retries: u32,
    /// and the last so many with the greatest; the delay of those between grows.
    pub(crate) max_delay_retries: u32,
    pub(crate) backoff: Backoff,
    /// The most deliveries per second to one subscription.
    pub(crate) max_receives_per_second: Option<u32>,
    /// The content type of requests, if it was set.
    pub(crate) content_type: Option<String>,
}

impl Default for DeliveryPolicy {
    /// Three retries, 20 seconds apart.
    fn default() -> Self {
        DeliveryPolicy {
            min_delay_s: 20,
            max_delay_s: 20,
            retries: 3,
            no_delay_retries: 0,
            min_delay_retries: 0,
            max_delay_retries: 0,
            backoff: Backoff::Linear,
            max_receives_per_second: None,
            content_type: None,
        }
    }
}

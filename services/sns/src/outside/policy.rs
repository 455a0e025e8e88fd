//! How a web server's failures are met: AWS's delivery policies, as topics and subscriptions set them, and what they
//! say together.
//!
//! The waiting itself is the worker's. AWS publishes the four backoff functions as a picture only; ours agree with it at
//! both ends and in their order. There is no jitter: a moved clock shall tell when a retry comes.
//!
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html#creating-delivery-policy>.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::policy_json::{self as json, Retry};

/// All delays of a policy together are no longer than this.
const LONGEST: Duration = Duration::from_secs(3600);
/// What requests carry unless a policy says another.
pub(crate) const CONTENT_TYPE: &str = "text/plain; charset=UTF-8";

/// How the delay grows from its least to its greatest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Backoff {
    Arithmetic,
    Exponential,
    Geometric,
    #[default]
    Linear,
}

impl Backoff {
    pub(crate) const ALL: [Backoff; 4] =
        [Backoff::Arithmetic, Backoff::Exponential, Backoff::Geometric, Backoff::Linear];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Backoff::Arithmetic => "arithmetic",
            Backoff::Exponential => "exponential",
            Backoff::Geometric => "geometric",
            Backoff::Linear => "linear",
        }
    }
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

impl DeliveryPolicy {
    /// AWS's policy for queues, functions and streams. Nobody can change it.
    pub(crate) fn of_managed_endpoints() -> Self {
        DeliveryPolicy {
            min_delay_s: 1,
            max_delay_s: 20,
            retries: 100_015,
            no_delay_retries: 3,
            min_delay_retries: 2,
            max_delay_retries: 100_000,
            backoff: Backoff::Exponential,
            ..DeliveryPolicy::default()
        }
    }

    /// How long the retry after `failures` failed attempts waits; `None`: there is none.
    pub(crate) fn delay(&self, failures: u32) -> Option<Duration> {
        (failures <= self.retries).then(|| self.step(failures))
    }

    /// As [`DeliveryPolicy::delay`], with the limit that AWS has for web servers: an hour for all delays together.
    pub(crate) fn delay_for_web_server(&self, failures: u32) -> Option<Duration> {
        let delay = self.delay(failures)?;
        // At most 100 steps: no policy for web servers has more retries.
        let sum: Duration = (1..=failures).map(|retry| self.step(retry)).sum();
        (sum <= LONGEST).then_some(delay)
    }

    /// The delay before the `retry`-th retry; the first is 1.
    fn step(&self, retry: u32) -> Duration {
        let (least, greatest) = (f64::from(self.min_delay_s), f64::from(self.max_delay_s));
        let steady = self.no_delay_retries + self.min_delay_retries;
        let growing = self.retries.saturating_sub(steady + self.max_delay_retries);
        if retry <= self.no_delay_retries {
            return Duration::ZERO;
        }
        if retry <= steady {
            return Duration::from_secs(u64::from(self.min_delay_s));
        }
        let place = retry - steady; // from 1
        if place > growing {
            return Duration::from_secs(u64::from(self.max_delay_s));
        }
        let (n, i) = (f64::from(growing), f64::from(place - 1));
        if growing == 1 {
            return Duration::from_secs(u64::from(self.min_delay_s));
        }
        let share = match self.backoff {
            Backoff::Linear | Backoff::Geometric => i / (n - 1.0),
            Backoff::Arithmetic => i * (i + 1.0) / (n * (n - 1.0)),
            Backoff::Exponential => (i.exp2() - 1.0) / ((n - 1.0).exp2() - 1.0),
        };
        let seconds = match self.backoff {
            Backoff::Geometric => least * (greatest / least).powf(share),
            _ => least + (greatest - least) * share,
        };
        // Between the two, and so finite and not negative.
        Duration::from_secs_f64(seconds.clamp(least, greatest))
    }

    fn set_retry(&mut self, retry: &Retry) {
        self.min_delay_s = retry.min_delay_s;
        self.max_delay_s = retry.max_delay_s;
        self.retries = retry.retries;
        self.no_delay_retries = retry.no_delay_retries;
        self.min_delay_retries = retry.min_delay_retries;
        self.max_delay_retries = retry.max_delay_retries;
        self.backoff = retry.backoff;
    }

    /// A subscription's `EffectiveDeliveryPolicy`.
    pub(crate) fn to_json(&self) -> String {
        json::effective_of_subscription(self)
    }
}

/// A topic's `DeliveryPolicy`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TopicPolicy {
    pub(crate) retry: Option<Retry>,
    pub(crate) max_receives_per_second: Option<u32>,
    pub(crate) content_type: Option<String>,
    /// What subscriptions say does not count.
    pub(crate) overrides_disabled: bool,
}

impl TopicPolicy {
    /// Reads the JSON form.
    ///
    /// # Errors
    /// What AWS says of it, from `DeliveryPolicy: ` on.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        json::topic(text)
    }

    /// What the topic alone says.
    fn own(&self) -> DeliveryPolicy {
        let mut policy = DeliveryPolicy {
            max_receives_per_second: self.max_receives_per_second,
            content_type: self.content_type.clone(),
            ..DeliveryPolicy::default()
        };
        if let Some(retry) = &self.retry {
            policy.set_retry(retry);
        }
        policy
    }

    /// The topic's `EffectiveDeliveryPolicy`.
    pub(crate) fn effective_json(&self) -> String {
        json::effective_of_topic(&self.own(), self.overrides_disabled)
    }
}

/// A subscription's `DeliveryPolicy`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SubscriptionPolicy {
    pub(crate) retry: Option<Retry>,
    pub(crate) max_receives_per_second: Option<u32>,
    pub(crate) content_type: Option<String>,
}

impl SubscriptionPolicy {
    /// Reads the JSON form. `sicklyRetryPolicy` is checked and then means nothing, as with AWS.
    ///
    /// # Errors
    /// What AWS says of it, from `DeliveryPolicy: ` on.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        json::subscription(text)
    }
}

/// What a topic's and a subscription's policies say together.
pub(crate) fn effective(
    topic: Option<&TopicPolicy>,
    subscription: Option<&SubscriptionPolicy>,
) -> DeliveryPolicy {
    let mut policy = topic.map(TopicPolicy::own).unwrap_or_default();
    if topic.is_some_and(|topic| topic.overrides_disabled) {
        return policy;
    }
    let Some(subscription) = subscription else { return policy };
    if let Some(retry) = &subscription.retry {
        policy.set_retry(retry);
    }
    policy.max_receives_per_second = subscription.max_receives_per_second.or(policy.max_receives_per_second);
    policy.content_type = subscription.content_type.clone().or(policy.content_type);
    policy
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(policy: &DeliveryPolicy) -> Vec<f64> {
        (1..).map_while(|failures| policy.delay_for_web_server(failures)).map(|d| d.as_secs_f64()).collect()
    }

    #[test]
    fn without_a_policy_there_are_three_retries_20_seconds_apart() {
        assert_eq!(seconds(&DeliveryPolicy::default()), [20.0; 3]);
    }

    #[test]
    fn phases_follow_one_another() {
        let policy = DeliveryPolicy {
            min_delay_s: 10,
            max_delay_s: 40,
            retries: 9,
            no_delay_retries: 2,
            min_delay_retries: 1,
            max_delay_retries: 2,
            ..DeliveryPolicy::default()
        };
        assert_eq!(seconds(&policy), [0.0, 0.0, 10.0, 10.0, 20.0, 30.0, 40.0, 40.0, 40.0]);
    }

    #[test]
    fn every_backoff_grows_from_the_least_to_the_greatest() {
        for backoff in Backoff::ALL {
            let policy = DeliveryPolicy {
                min_delay_s: 5,
                max_delay_s: 260,
                retries: 10,
                backoff,
                ..DeliveryPolicy::default()
            };
            let delays = seconds(&policy);
            assert_eq!((delays.len(), delays[0]), (10, 5.0), "{backoff:?}");
            assert!((delays[9] - 260.0).abs() < 1e-6 && delays.is_sorted(), "{backoff:?} {delays:?}");
        }
    }

    #[test]
    fn web_servers_are_retried_for_an_hour_at_most() {
        let policy = |retries| DeliveryPolicy {
            min_delay_s: 3600,
            max_delay_s: 3600,
            retries,
            ..DeliveryPolicy::default()
        };
        assert_eq!(seconds(&policy(1)), [3600.0]);
        assert_eq!(seconds(&policy(2)), [3600.0]);
    }

    #[test]
    fn managed_endpoints_are_retried_for_23_days() {
        let policy = DeliveryPolicy::of_managed_endpoints();
        let delays: Vec<f64> =
            (1..).map_while(|failures| policy.delay(failures)).map(|d| d.as_secs_f64()).collect();
        assert_eq!(delays.len(), 100_015);
        assert_eq!(delays[..6], [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        assert_eq!(delays[14..16], [20.0, 20.0]);
        assert!((23.0..24.0).contains(&(delays.iter().sum::<f64>() / 86_400.0)));
    }

    #[test]
    fn the_subscription_has_the_last_word_unless_the_topic_keeps_it() {
        let topic = TopicPolicy::parse(
            r#"{"http":{"defaultHealthyRetryPolicy":{"minDelayTarget":1,"maxDelayTarget":2,"numRetries":7},
                "defaultThrottlePolicy":{"maxReceivesPerSecond":5}}}"#,
        )
        .unwrap();
        let own = SubscriptionPolicy::parse(r#"{"throttlePolicy":{"maxReceivesPerSecond":9}}"#).unwrap();
        let both = effective(Some(&topic), Some(&own));
        assert_eq!((both.retries, both.max_receives_per_second), (7, Some(9)));
        let kept = TopicPolicy { overrides_disabled: true, ..topic };
        assert_eq!(effective(Some(&kept), Some(&own)).max_receives_per_second, Some(5));
        assert_eq!(effective(None, None), DeliveryPolicy::default());
    }
}

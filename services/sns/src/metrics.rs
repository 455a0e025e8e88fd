//! What happens at topics, counted: the numbers that CloudWatch shows.
//!
//! They live in memory, from the start of the server on; whoever keeps metrics reads them from here.
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-monitoring-using-cloudwatch.html#SNS_metricscollected>.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

/// A topic's numbers since the start of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TopicMetrics {
    /// `NumberOfMessagesPublished`.
    pub published: u64,
    /// `PublishSize`, summed up, in bytes.
    pub published_bytes: u64,
    /// `NumberOfNotificationsDelivered`.
    pub delivered: u64,
    /// `NumberOfNotificationsFailed`: given up.
    pub failed: u64,
    /// `NumberOfNotificationsFilteredOut`.
    pub filtered_out: u64,
    /// `NumberOfNotificationsRedrivenToDlq`.
    pub redriven: u64,
    /// `NumberOfNotificationsFailedToRedriveToDlq`.
    pub failed_to_redrive: u64,
    /// Why the last delivery that was given up failed, and whose it was.
    pub last_failure: Option<String>,
}

/// A topic's counters.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    published: AtomicU64,
    published_bytes: AtomicU64,
    delivered: AtomicU64,
    failed: AtomicU64,
    filtered_out: AtomicU64,
    redriven: AtomicU64,
    failed_to_redrive: AtomicU64,
    last_failure: Mutex<Option<String>>,
}

impl Counters {
    pub(crate) fn published(&self, bytes: usize) {
        add(&self.published, 1);
        add(&self.published_bytes, bytes as u64);
    }

    pub(crate) fn delivered(&self) {
        add(&self.delivered, 1);
    }

    pub(crate) fn filtered_out(&self, count: usize) {
        add(&self.filtered_out, count as u64);
    }

    /// A delivery was given up.
    pub(crate) fn failed(&self, subscription_arn: &str, why: &str) {
        add(&self.failed, 1);
        let text = format!("{subscription_arn}: {why}");
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }

    pub(crate) fn redriven(&self) {
        add(&self.redriven, 1);
    }

    pub(crate) fn failed_to_redrive(&self) {
        add(&self.failed_to_redrive, 1);
    }

    fn read(&self) -> TopicMetrics {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TopicMetrics {
            published: get(&self.published),
            published_bytes: get(&self.published_bytes),
            delivered: get(&self.delivered),
            failed: get(&self.failed),
            filtered_out: get(&self.filtered_out),
            redriven: get(&self.redriven),
            failed_to_redrive: get(&self.failed_to_redrive),
            last_failure: self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// The counters of all topics that something happened at.
#[derive(Default)]
pub(crate) struct Metrics {
    topics: Mutex<HashMap<String, Arc<Counters>>>,
}

impl Metrics {
    /// A topic's counters.
    pub(crate) fn of(&self, topic_arn: &str) -> Arc<Counters> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counters) = topics.get(topic_arn) {
            return Arc::clone(counters);
        }
        Arc::clone(topics.entry(topic_arn.to_owned()).or_default())
    }

    /// The topic is gone.
    pub(crate) fn forget(&self, topic_arn: &str) {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).remove(topic_arn);
    }

    /// All numbers, by the topics' ARNs.
    pub(crate) fn read(&self) -> Vec<(String, TopicMetrics)> {
        let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = topics.iter().map(|(arn, counters)| (arn.clone(), counters.read())).collect();
        all.sort_by(|one, other| one.0.cmp(&other.0));
        all
    }
}

//! Amazon SNS: topics, their subscriptions, and what is published to them.
//!
//! It hands each message on to every subscriber; it keeps none for anybody to fetch (but the archive of FIFO topics).
//! API: <https://docs.aws.amazon.com/sns/latest/api/welcome.html>.
//!
//! Keys in the store: see [`keys`].

mod access;
mod address;
mod couriers;
mod deliver;
mod errors;
mod fifo;
mod housekeeping;
mod keys;
mod known;
mod message;
mod metrics;
mod moment;
mod operations;
mod outside;
mod publish;
mod subscription;
mod subscription_attributes;
mod subscriptions;
#[cfg(test)]
mod tests;
mod together;
mod topic;
mod topic_attributes;
mod topic_policy;
mod topics;

pub use metrics::TopicMetrics;
pub use outside::Certificates;
pub use outside::outbox::{OutboxEntry, OutboxKind, OutboxQuery, OutboxRecord};

use std::sync::Arc;

use base::Clock;
use frontdoor::Call;
use service_delivery::Delivery;
use store::Store;
use tokio_util::sync::CancellationToken;

/// What the service needs.
pub struct SnsDeps {
    /// Where topics, subscriptions and undelivered messages live.
    pub store: Store,
    /// What retries and archives go by.
    pub clock: Clock,
    /// The way to queues and functions.
    pub delivery: Delivery,
    /// Where clients reach the platform, such as `http://127.0.0.1:4566`: what messages link to begins so.
    pub endpoint: String,
}

/// The service. One per server.
pub struct Sns {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) delivery: Delivery,
    pub(crate) endpoint: String,
    pub(crate) outside: outside::Outside,
    pub(crate) cache: known::Cache,
    pub(crate) couriers: couriers::Couriers,
    pub(crate) metrics: metrics::Metrics,
    stopped: CancellationToken,
}

impl Sns {
    /// The service over its store.
    #[must_use]
    pub fn new(deps: SnsDeps) -> Arc<Sns> {
        Arc::new(Sns {
            outside: outside::Outside::new(deps.store.clone(), deps.clock.clone()),
            store: deps.store,
            clock: deps.clock,
            delivery: deps.delivery,
            endpoint: deps.endpoint,
            cache: known::Cache::default(),
            couriers: couriers::Couriers::default(),
            metrics: metrics::Metrics::default(),
            stopped: CancellationToken::new(),
        })
    }

    /// What happened at topics since the server started, by their ARNs.
    #[must_use]
    pub fn metrics(&self) -> Vec<(String, TopicMetrics)> {
        self.metrics.read()
    }

    /// What links in messages begin with: where the caller found the platform.
    pub(crate) fn base_url(&self, call: &Call) -> String {
        call.host().map_or_else(|| self.endpoint.clone(), |host| format!("http://{host}"))
    }

    /// Starts what works in the background: deliveries that a stopped server left.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn start(self: &Arc<Self>) -> Result<(), store::StoreError> {
        self.outside.start(Arc::clone(self));
        let as_store = |error| match error {
            errors::SnsError::Store(error) => error,
            // Nothing else comes of reading.
            _ => store::StoreError::Closed,
        };
        self.couriers.resume(self).map_err(as_store)?;
        housekeeping::start(self, self.stopped.clone())
    }

    /// Ends the background work, in order.
    pub async fn stop(&self) {
        self.outside.stop().await;
        self.stopped.cancel();
        self.couriers.stop();
    }
}

/// The table of handlers, for the front door.
#[must_use]
pub fn service(sns: Arc<Sns>) -> frontdoor::Service {
    operations::table(sns)
}

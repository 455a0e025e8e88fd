//! Amazon SNS: topics, their subscriptions, and what is published to them.
//!
//! It hands each message on to every subscriber; it keeps none for anybody to fetch (but the archive of FIFO topics).
//! API: <https://docs.aws.amazon.com/sns/latest/api/welcome.html>.
//!
//! Keys in the store: see [`keys`].

mod errors;
mod keys;
#[allow(dead_code)] // until topics publish
mod message;
mod operations;
#[allow(dead_code, unused_imports)] // until topics publish
mod outside;
mod topic;

pub use outside::Certificates;
pub use outside::outbox::{OutboxEntry, OutboxKind, OutboxQuery, OutboxRecord};

use std::sync::Arc;

use base::Clock;
use frontdoor::FrontDoorHandle;
use service_delivery::Delivery;
use store::Store;

/// What the service needs.
pub struct SnsDeps {
    /// Where topics, subscriptions and undelivered messages live.
    pub store: Store,
    /// What retries and archives go by.
    pub clock: Clock,
    /// The way to other services, for background work.
    pub front_door: FrontDoorHandle,
    /// The way to queues and functions.
    pub delivery: Delivery,
    /// Where clients reach the platform, such as `http://127.0.0.1:4566`: what messages link to begins so.
    pub endpoint: String,
}

/// The service. One per server.
#[allow(dead_code)] // until the operations use them
pub struct Sns {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) front_door: FrontDoorHandle,
    pub(crate) delivery: Delivery,
    pub(crate) endpoint: String,
    pub(crate) outside: outside::Outside,
}

impl Sns {
    /// The service over its store.
    #[must_use]
    pub fn new(deps: SnsDeps) -> Arc<Sns> {
        Arc::new(Sns {
            outside: outside::Outside::new(deps.store.clone(), deps.clock.clone()),
            store: deps.store,
            clock: deps.clock,
            front_door: deps.front_door,
            delivery: deps.delivery,
            endpoint: deps.endpoint,
        })
    }

    /// Starts what works in the background: deliveries that a stopped server left.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn start(self: &Arc<Self>) -> Result<(), store::StoreError> {
        self.outside.start(Arc::clone(self));
        Ok(())
    }

    /// Ends the background work, in order.
    pub async fn stop(&self) {
        self.outside.stop().await;
    }
}

/// The table of handlers, for the front door.
#[must_use]
pub fn service(sns: Arc<Sns>) -> frontdoor::Service {
    operations::table(sns)
}

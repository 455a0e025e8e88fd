//! Amazon SQS: queues, and the messages in them.
//!
//! It is the buffer between whoever sends and whoever handles; it pushes nothing to anybody. Both protocols (JSON and
//! query) come through the same handlers.
//! API: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/Welcome.html>; limits:
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-limits.html>.
//!
//! Keys in the store: see [`keys`].

mod access;
mod address;
mod errors;
mod keys;
mod operations;
mod queue;
mod queues;

use std::sync::Arc;

use base::Clock;
use store::Store;

/// What the service needs.
pub struct SqsDeps {
    /// Where queues and messages live.
    pub store: Store,
    /// What delays, leases and retention go by.
    pub clock: Clock,
    /// Where clients reach the platform, such as `http://127.0.0.1:4566`: queue URLs begin so when a call does not
    /// tell which host it came to.
    pub endpoint: String,
}

/// The service. One per server.
pub struct Sqs {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) endpoint: String,
}

impl Sqs {
    /// The service over its store.
    #[must_use]
    pub fn new(deps: SqsDeps) -> Arc<Sqs> {
        Arc::new(Sqs { store: deps.store, clock: deps.clock, endpoint: deps.endpoint })
    }
}

/// The table of handlers, for the front door.
#[must_use]
pub fn service(sqs: Arc<Sqs>) -> frontdoor::Service {
    operations::table(sqs)
}

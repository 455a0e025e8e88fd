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
mod attributes;
mod dead_letters;
mod errors;
mod keys;
mod look;
mod messages;
mod moves;
mod operations;
mod queue;
mod queues;
mod statements;
mod unfinished;

use std::sync::Arc;

use base::Clock;
use store::Store;

use crate::messages::Messages;
pub use crate::messages::manage::{Counts, Peeked, PeekedAttribute, PeekedState};

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
    pub(crate) remembered: Arc<queues::Remembered>,
    pub(crate) moves: moves::Moves,
    pub(crate) messages: Arc<Messages>,
    pub(crate) senders: operations::Senders,
}

impl Sqs {
    /// The service over its store.
    #[must_use]
    pub fn new(deps: SqsDeps) -> Arc<Sqs> {
        let messages = Messages::new(deps.store.clone(), deps.clock.clone());
        Arc::new(Sqs {
            store: deps.store,
            clock: deps.clock,
            endpoint: deps.endpoint,
            remembered: Arc::default(),
            moves: moves::Moves::default(),
            messages,
            senders: operations::Senders::default(),
        })
    }

    /// Goes on with what the last process left. Call it once, before the first request.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn start(self: &Arc<Self>) -> Result<(), base::ApiError> {
        self.finish_all().await?;
        self.messages.start();
        Ok(self.resume_moves()?)
    }

    /// Ends what runs in the background; the next process goes on with it. Who waits for messages gets an empty answer.
    pub fn stop(&self) {
        self.moves.stop();
        self.messages.stop();
    }
}

/// The table of handlers, for the front door.
#[must_use]
pub fn service(sqs: Arc<Sqs>) -> frontdoor::Service {
    operations::table(sqs)
}

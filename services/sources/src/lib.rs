//! Sources: read batches from whatever an ARN names, in its own API, and settle what was handled.
//!
//! Event source mappings read through it, and what else feeds on queues and streams later. It reads as the role that
//! the reader has, through the front door like any client.
//!
//! It has no API of its own and no rows in the store: who reads, keeps its checkpoints. It does not know what becomes of
//! a record, nor how a record looks in an event.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `sqs` | queues of Amazon SQS |
//! | `requests` | SQS's operations as structs with the model's member names |

mod requests;
pub mod sqs;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::time::Duration;

use base::{AccountId, ApiError, Arn, Principal, Region, RequestId};
use frontdoor::{Call, Caller, FrontDoorHandle};

/// Why a source gave nothing, or did not take what was settled.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SourceError {
    /// The source is not there.
    #[error("{0}")]
    Gone(ApiError),
    /// The reader's role may not read it.
    #[error("{0}")]
    Denied(ApiError),
    /// Its service answered with another error.
    #[error("{0}")]
    Failed(ApiError),
    /// The platform is going down.
    #[error("the platform is shutting down")]
    Closed,
}

impl SourceError {
    /// The error that the source's service gave.
    #[must_use]
    pub fn api_error(&self) -> Option<&ApiError> {
        match self {
            SourceError::Gone(error) | SourceError::Denied(error) | SourceError::Failed(error) => Some(error),
            SourceError::Closed => None,
        }
    }
}

/// What a reader wants of a source.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// At most so many records, at least one. A source may give fewer although it has more.
    pub most: usize,
    /// How long to wait for the first one; a source may cut it short. Zero: what is there.
    pub wait: Duration,
    /// For how long the records are the reader's alone, where a source knows that; `None`: for as long as the source is
    /// set to.
    pub lease: Option<Duration>,
}

/// Where records come from. A queue takes back what is not settled when a lease ends; a stream gives it to who reads on
/// from the same place.
pub trait Source: Send + Sync + 'static {
    /// A record, with what it takes to settle it.
    type Record: Send + Sync + 'static;

    /// Records, in the source's order. Empty: there were none. When the future is dropped, nothing is taken.
    fn read(&self, wish: Wish) -> impl Future<Output = Result<Vec<Self::Record>, SourceError>> + Send;

    /// These were handled: they do not come again. Gives those that the source did not let go of; they come again.
    fn settle(&self, records: &[Self::Record]) -> impl Future<Output = Vec<SourceError>> + Send;

    /// These stay the reader's for so long, from now on. Zero: anybody may have them at once.
    fn keep(
        &self,
        records: &[Self::Record],
        lease: Duration,
    ) -> impl Future<Output = Vec<SourceError>> + Send;
}

/// Who reads: a role, in a session that is named after what it reads for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// The account that the role belongs to.
    pub account: AccountId,
    /// The role's ARN.
    pub role_arn: String,
    /// The session's name, such as the function's.
    pub session: String,
}

impl Reader {
    /// The role's name: the last part of its ARN.
    fn role_name(&self) -> &str {
        self.role_arn.rsplit('/').next().unwrap_or(&self.role_arn)
    }
}

/// The way to all sources. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sources {
    front_door: FrontDoorHandle,
}

impl Sources {
    /// Reads through this front door, once it is built.
    #[must_use]
    pub fn new(front_door: FrontDoorHandle) -> Self {
        Sources { front_door }
    }

    /// The queue with this ARN, read by `reader`. Whether it exists is not looked at. `None`: it is no queue's ARN.
    #[must_use]
    pub fn queue(&self, arn: &str, reader: Reader) -> Option<sqs::Queue> {
        sqs::Queue::new(self.clone(), arn, reader)
    }

    /// A call by the reader, in the source's own place.
    fn call(&self, place: &Place, reader: &Reader) -> Result<Call, SourceError> {
        let front_door = self.front_door.try_get().ok_or(SourceError::Closed)?;
        Ok(front_door.call_from(Caller {
            principal: Principal::AssumedRole {
                account: reader.account,
                role: reader.role_name().into(),
                session: reader.session.as_str().into(),
            },
            account: place.account,
            region: place.region.clone(),
            request_id: RequestId::fresh(),
            source: frontdoor::Source::Service("lambda"),
            trace_header: None,
            on_behalf_of: None,
            host: None,
        }))
    }
}

/// Where a source is.
#[derive(Clone, Debug)]
struct Place {
    account: AccountId,
    region: Region,
}

impl Place {
    fn of(arn: &Arn) -> Option<Self> {
        Some(Place { account: arn.account.parse().ok()?, region: arn.region.parse().ok()? })
    }
}

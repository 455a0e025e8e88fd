//! Delivery: one message to one target of any kind, in the target's own API.
//!
//! A service that has something to hand on (the record of an asynchronous invoke, a dead letter, what was published to a
//! topic) names the target by its ARN and gives the bytes; which operation of which service that is, and how the message
//! looks there, is known here alone. It is delivered in the name of its [`Origin`], a function's execution role or a
//! service on behalf of a resource, through the front door like any client's call: one delivery is one operation.
//!
//! It is not a queue: it tries once and says how it went. Who wants another try keeps the message and asks again.
//! It has no API of its own and no rows in the store.
//!
//! Forms: <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html>.

mod destination;
mod message;
mod origin;
mod requests;
mod standing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use base::{AccountId, ApiError, Region, RequestId};
use frontdoor::{Call, Caller, FrontDoorHandle, Source};
use serde::Serialize;

pub use destination::{Destination, Kind};
pub use message::{Attribute, AttributeValue, Message, NamedAttribute, Plain};
pub use origin::{FunctionOrigin, Origin, ServiceOrigin};
pub use standing::Standing;

/// Codes that mean "not now", whatever status they come with.
const BUSY: [&str; 6] = [
    "RequestThrottled",
    "Throttled",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
];

/// Why a message did not arrive.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The platform has no such service.
    #[error("there is no {0} here yet")]
    NoService(&'static str),
    /// The message has no form that the target takes.
    #[error("{0}")]
    Unfit(String),
    /// The target's service answered with an error.
    #[error("{0}")]
    Refused(ApiError),
    /// The platform is going down.
    #[error("the platform is shutting down")]
    Closed,
}

impl DeliveryError {
    /// Whether another try can have another outcome: a service that failed or was busy may recover, one that refused
    /// the message will refuse it again.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            DeliveryError::Refused(error) => {
                error.http_status() >= 500
                    || error.http_status() == 429
                    || BUSY.contains(&error.code.as_ref())
            }
            DeliveryError::Closed => true,
            DeliveryError::NoService(_) | DeliveryError::Unfit(_) => false,
        }
    }
}

/// The way to all targets. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Delivery {
    front_door: FrontDoorHandle,
}

impl Delivery {
    /// Delivers through this front door, once it is built.
    #[must_use]
    pub fn new(front_door: FrontDoorHandle) -> Self {
        Delivery { front_door }
    }

    /// Whether the platform has the service that such a target belongs to.
    #[must_use]
    pub fn has(&self, kind: Kind) -> bool {
        self.front_door.try_get().is_some_and(|door| door.has_service(kind.model_id()))
    }

    /// Delivers a message once, in the origin's name. What comes of concurrent deliveries is committed together.
    ///
    /// # Errors
    /// Why it did not arrive; [`DeliveryError::may_pass`] says whether it is worth another try.
    pub async fn deliver(
        &self,
        destination: &Destination,
        origin: &Origin,
        message: &Message<'_>,
    ) -> Result<(), DeliveryError> {
        let kind = destination.kind();
        let call = self.call(destination, origin, message.trace_header())?;
        match kind {
            Kind::Function => requests::to_function(&call, destination, message).await,
            Kind::Queue => requests::to_queue(&call, destination, message).await,
            Kind::Topic => requests::to_topic(&call, destination, message).await,
            Kind::Bus => requests::to_bus(&call, destination, origin, message).await,
            Kind::Bucket => requests::to_bucket(&call, destination, origin, message).await,
        }
    }

    /// A call in the origin's name, in the target's own place.
    fn call(
        &self,
        destination: &Destination,
        origin: &Origin,
        trace_header: Option<&Arc<str>>,
    ) -> Result<Call, DeliveryError> {
        let front_door = self.front_door.try_get().ok_or(DeliveryError::Closed)?;
        let kind = destination.kind();
        if !front_door.has_service(kind.model_id()) {
            return Err(DeliveryError::NoService(kind.service_name()));
        }
        let region: Option<Region> = destination.arn().region.parse().ok();
        let account: Option<AccountId> = destination.arn().account.parse().ok();
        Ok(front_door.call_from(Caller {
            principal: origin.principal(),
            account: account.unwrap_or_else(|| origin.account()),
            region: region.unwrap_or_else(|| origin.region().clone()),
            request_id: RequestId::fresh(),
            source: Source::Service(origin.model_id()),
            trace_header: trace_header.or(origin.trace_header()).cloned(),
            on_behalf_of: origin.on_behalf_of(),
            host: None,
        }))
    }
}

/// One operation whose answer does not matter.
async fn ask<Req: Serialize>(
    call: &Call,
    kind: Kind,
    operation: &str,
    request: &Req,
) -> Result<(), DeliveryError> {
    call.service(kind.model_id()).invoke(operation, request).await.map_err(DeliveryError::Refused)
}

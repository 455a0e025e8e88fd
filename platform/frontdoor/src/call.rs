//! A call: who wants something, for which account and region, under which request id, and where it came from.

use std::net::IpAddr;
use std::sync::Arc;

use base::{AccountId, ApiError, Clock, Principal, Region, RequestId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::door::FrontDoor;
use crate::lenient;

/// Where a call came from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// An HTTP client outside.
    Http {
        /// The client's address.
        peer: IpAddr,
    },
    /// A function inside a box, through the listener that its box has.
    Box {
        /// The function.
        function_arn: Arc<str>,
    },
    /// A part of the platform: the model id of the service that calls, or the platform's own name for itself.
    Service(&'static str),
}

/// What a [`Call`] is made from.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who calls, authenticated.
    pub principal: Principal,
    /// The account whose resources are meant.
    pub account: AccountId,
    /// The region whose resources are meant.
    pub region: Region,
    /// The id of the request; calls that a service makes while it serves a request carry the same one.
    pub request_id: RequestId,
    /// Where it came from.
    pub source: Source,
    /// The `X-Amzn-Trace-Id` that the caller sent, as it came.
    pub trace_header: Option<Arc<str>>,
    /// For a service: the resource on whose behalf it calls. Resource policies look at it.
    pub on_behalf_of: Option<OnBehalf>,
    /// The `Host` that an HTTP client called: what answers with addresses of the platform build them from.
    pub host: Option<Arc<str>>,
}

/// The resource on whose behalf a service calls, such as the topic that delivers to a function.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OnBehalf {
    /// Its ARN: the condition key `aws:SourceArn`.
    pub source_arn: Arc<str>,
    /// The account that owns it: the condition key `aws:SourceAccount`.
    pub source_account: AccountId,
}

/// A call on its way through the platform. Cheap to clone.
#[derive(Clone)]
pub struct Call {
    caller: Arc<Caller>,
    front_door: FrontDoor,
    /// The service that serves this call at the moment: the source of the calls it makes in turn.
    within: &'static str,
    /// Cancelled when nobody waits for the answer any more.
    gone: CancellationToken,
}

impl Call {
    pub(crate) fn new(front_door: FrontDoor, caller: Caller) -> Self {
        let within = match caller.source {
            Source::Service(name) => name,
            _ => "",
        };
        Call { caller: Arc::new(caller), front_door, within, gone: CancellationToken::new() }
    }

    pub(crate) fn served_by(mut self, service: &'static str, gone: CancellationToken) -> Self {
        self.within = service;
        self.gone = gone;
        self
    }

    /// Waits until nobody waits for the answer any more: the client has closed its connection, or the service that
    /// called has dropped its call. A handler that was begun is carried out all the same; one that only waits for
    /// something to hand out (a long poll) looks at this, so that it hands nothing to nobody.
    pub async fn abandoned(&self) {
        self.gone.cancelled().await;
    }

    /// Whether nobody waits for the answer any more. See [`Call::abandoned`].
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.gone.is_cancelled()
    }

    /// The `Host` header of the HTTP request, such as `localhost:4566`; `None` for calls within the platform.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.caller.host.as_deref()
    }

    /// Who calls.
    #[must_use]
    pub fn principal(&self) -> &Principal {
        &self.caller.principal
    }

    /// The account whose resources are meant.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.caller.account
    }

    /// The region whose resources are meant.
    #[must_use]
    pub fn region(&self) -> &Region {
        &self.caller.region
    }

    /// The id that the answer carries.
    #[must_use]
    pub fn request_id(&self) -> &RequestId {
        &self.caller.request_id
    }

    /// Where the call came from.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.caller.source
    }

    /// The `X-Amzn-Trace-Id` that the caller sent; calls that a service makes while it serves a request have the same.
    #[must_use]
    pub fn trace_header(&self) -> Option<&Arc<str>> {
        self.caller.trace_header.as_ref()
    }

    /// The resource on whose behalf a service makes this call.
    #[must_use]
    pub fn on_behalf(&self) -> Option<&OnBehalf> {
        self.caller.on_behalf_of.as_ref()
    }

    /// The platform's time.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        self.front_door.clock()
    }

    /// The front door that the call came through.
    #[must_use]
    pub fn front_door(&self) -> &FrontDoor {
        &self.front_door
    }

    /// The same call made by the platform's service `host` (such as `lambda.amazonaws.com`) on its own behalf.
    #[must_use]
    pub fn as_service(&self, host: &'static str) -> Call {
        let principal = Principal::Service(host);
        let caller = Caller { principal, on_behalf_of: None, ..(*self.caller).clone() };
        Call { caller: Arc::new(caller), ..self.clone() }
    }

    /// The same call made on behalf of a resource: `call.as_service("sns.amazonaws.com").on_behalf_of(&topic_arn)`. An
    /// ARN that names no account (a bucket's) belongs to the account of the call.
    #[must_use]
    pub fn on_behalf_of(&self, source_arn: &str) -> Call {
        let named = source_arn.split(':').nth(4).and_then(|account| account.parse().ok());
        let source_account = named.unwrap_or(self.caller.account);
        let on_behalf_of = Some(OnBehalf { source_arn: Arc::from(source_arn), source_account });
        let caller = Caller { on_behalf_of, ..(*self.caller).clone() };
        Call { caller: Arc::new(caller), ..self.clone() }
    }

    /// Another service, by its model id, to be called with this call's principal, account, region and request id.
    #[must_use]
    pub fn service(&self, model_id: &'static str) -> ServiceClient<'_> {
        ServiceClient { call: self, model_id }
    }
}

/// A service as another service sees it: operation names and typed requests, in process.
pub struct ServiceClient<'a> {
    call: &'a Call,
    model_id: &'static str,
}

impl ServiceClient<'_> {
    /// Calls an operation. The request's and the answer's member names are the model's; the answer may hold members
    /// that `Res` lacks, they are left out.
    ///
    /// # Errors
    /// What the operation answers to any client; `InternalFailure` when a struct does not fit the model.
    pub async fn invoke<Req, Res>(&self, operation: &str, request: &Req) -> Result<Res, ApiError>
    where
        Req: Serialize,
        Res: DeserializeOwned,
    {
        let input = wire::doc::to_doc(request).map_err(|error| {
            ApiError::internal(format_args!("request of {}.{operation}: {error}", self.model_id))
        })?;
        let caller = Caller { source: Source::Service(self.call.within), ..(*self.call.caller).clone() };
        let front_door = &self.call.front_door;
        let output = front_door.enter(front_door.call_from(caller), self.model_id, operation, input).await?;
        lenient::from_doc(output).map_err(|error| {
            ApiError::internal(format_args!("answer of {}.{operation}: {error}", self.model_id))
        })
    }
}

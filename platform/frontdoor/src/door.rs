//! The door itself: finds the service and operation, checks, and runs the handler.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use base::{AccountId, ApiError, Clock, Principal, Region, RequestId};

use model::Operation;
use tokio_util::sync::CancellationToken;
use wire::Doc;

use crate::answer::Answer;
use crate::call::{Call, Caller, Source};
use crate::guard::Guarded;
use crate::service::{BodyLimit, Service};
use crate::support::{self, ServiceSupport};

/// Decides whether a caller may do what it asks. None is set yet: every authenticated caller may do everything in
/// its account.
pub trait Authorise: Send + Sync {
    /// Says yes, or why not.
    ///
    /// # Errors
    /// `AccessDeniedException` with AWS's text.
    fn authorise(&self, call: &Call, service: &str, operation: &str, input: &Doc) -> Result<(), ApiError>;
}

/// All services behind one entrance. Cheap to clone.
#[derive(Clone)]
pub struct FrontDoor {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Clock,
    services: HashMap<&'static str, Service>,
    authorise: Option<Arc<dyn Authorise>>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrontDoor").field("services", &self.services.keys()).finish_non_exhaustive()
    }
}

impl FrontDoor {
    /// Starts an empty front door.
    #[must_use]
    pub fn builder(clock: Clock) -> FrontDoorBuilder {
        FrontDoorBuilder { clock, services: HashMap::new(), authorise: None, handles: Vec::new() }
    }

    /// The platform's time.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// A call of the platform itself, with a fresh request id: for background workers, the command line and tests.
    #[must_use]
    pub fn call(&self, principal: Principal, account: AccountId, region: Region) -> Call {
        let source = match principal {
            Principal::Service(host) => Source::Service(host),
            _ => Source::Service("lamplighter"),
        };
        let request_id = RequestId::fresh();
        self.call_from(Caller {
            principal,
            account,
            region,
            request_id,
            source,
            trace_header: None,
            on_behalf_of: None,
            host: None,
        })
    }

    /// A call of anyone: the gateway makes these from requests.
    #[must_use]
    pub fn call_from(&self, caller: Caller) -> Call {
        Call::new(self.clone(), caller)
    }

    /// The body limit that the service declared for the operation.
    #[must_use]
    pub fn body_limit(&self, service: &str, operation: &str) -> Option<BodyLimit> {
        self.inner.services.get(service)?.body_limits.get(operation).copied()
    }

    /// [`FrontDoor::open`] for operations whose answer is no stream.
    ///
    /// # Errors
    /// As [`FrontDoor::open`]; `InternalFailure` when the answer is a stream.
    pub async fn enter(
        &self,
        call: Call,
        service: &str,
        operation: &str,
        input: Doc,
    ) -> Result<Doc, ApiError> {
        match self.open(call, service, operation, input).await? {
            Answer::Whole(output) => Ok(output),
            Answer::Stream { .. } => {
                Err(ApiError::internal(format_args!("{service}.{operation} answers with a stream")))
            }
        }
    }

    /// The one entrance. Everything that happens in a service happens in here: validation, authorisation, the
    /// handler.
    ///
    /// # Errors
    /// The operation's own errors; AWS's validation error; `UnsupportedOperationException` for an operation without
    /// a handler and `UnsupportedParameterException` for a member that its struct lacks (both 400, see
    /// `service.rs`); `InternalFailure` when the handler panics or its answer does not fit the model.
    pub async fn open(
        &self,
        call: Call,
        service: &str,
        operation: &str,
        input: Doc,
    ) -> Result<Answer, ApiError> {
        let unsupported = || {
            ApiError::new(
                "UnsupportedOperationException",
                format!("operation {operation} of service {service} is not supported yet"),
            )
        };
        let service = self.inner.services.get(service).ok_or_else(unsupported)?;
        let shape = service.model().and_then(|model| model.operation(operation)).ok_or_else(unsupported)?;
        let handler = service.handlers.get(operation).ok_or_else(unsupported)?;
        wire::validate(shape, &input)?;
        if let Some(authorise) = &self.inner.authorise {
            authorise.authorise(&call, service.model_id, operation, &input)?;
        }
        let request_id = call.request_id().clone();
        let gone = CancellationToken::new();
        let call = call.served_by(service.model_id, gone.clone());
        let result = match Guarded::new((handler.run)(call, input), gone).await {
            Ok(result) => result,
            Err(panic) => Err(ApiError::internal(format_args!("panic: {panic}"))),
        };
        let result = result.and_then(|output| checked(shape, output));
        if let Err(error) = &result {
            report(error, service.model_id, operation, &request_id);
        }
        result
    }

    /// Whether there is a service with this model id.
    #[must_use]
    pub fn has_service(&self, model_id: &str) -> bool {
        self.inner.services.contains_key(model_id)
    }

    /// What is supported, service by service: the facts of `docs/support.md`.
    #[must_use]
    pub fn supported(&self) -> Vec<ServiceSupport> {
        support::of(self.inner.services.values())
    }
}

impl fmt::Debug for FrontDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// Debug builds hold every answer against the model, so that tests with any client find a wrong one.
fn checked(operation: &'static Operation, answer: Answer) -> Result<Answer, ApiError> {
    if !cfg!(debug_assertions) {
        return Ok(answer);
    }
    let (Answer::Whole(output) | Answer::Stream { head: output, .. }) = &answer;
    if let Err(why) = wire::check_output(operation, output) {
        return Err(ApiError::internal(format_args!("the answer does not fit the model: {why}")));
    }
    Ok(match answer {
        Answer::Stream { head, events } => Answer::Stream { head, events: events.checked_by(operation) },
        whole => whole,
    })
}

/// Faults of ours go to the log with their cause; errors of the caller are the caller's to read.
fn report(error: &ApiError, service: &'static str, operation: &str, request_id: &RequestId) {
    if error.http_status() >= 500 {
        tracing::error!(
            service,
            operation,
            %request_id,
            code = %error.code,
            detail = error.detail.as_deref().unwrap_or(&error.message),
            "call failed"
        );
    }
}

/// Collects services.
pub struct FrontDoorBuilder {
    clock: Clock,
    services: HashMap<&'static str, Service>,
    authorise: Option<Arc<dyn Authorise>>,
    handles: Vec<FrontDoorHandle>,
}

impl FrontDoorBuilder {
    /// Adds a service. The last one with the same model id wins.
    #[must_use]
    #[allow(clippy::should_implement_trait)] // `add` as in a list, not `+`
    pub fn add(mut self, service: Service) -> Self {
        self.services.insert(service.model_id, service);
        self
    }

    /// Sets who decides what callers may do.
    #[must_use]
    pub fn authorise(mut self, authorise: Arc<dyn Authorise>) -> Self {
        self.authorise = Some(authorise);
        self
    }

    /// Fills this handle when the front door is built.
    #[must_use]
    pub fn handle(mut self, handle: &FrontDoorHandle) -> Self {
        self.handles.push(handle.clone());
        self
    }

    /// The front door. Every handle given before now leads to it.
    #[must_use]
    pub fn build(self) -> FrontDoor {
        let FrontDoorBuilder { clock, services, authorise, handles } = self;
        let front_door = FrontDoor { inner: Arc::new(Inner { clock, services, authorise }) };
        for handle in handles {
            handle.fill(&front_door);
        }
        front_door
    }
}

/// A front door that is yet to be built: services that call others from the background are built with one.
///
/// It does not keep the front door alive: the front door holds the services, and these hold the handle.
#[derive(Clone, Debug, Default)]
pub struct FrontDoorHandle {
    slot: Arc<OnceLock<Weak<Inner>>>,
}

impl FrontDoorHandle {
    /// An empty handle, to be given to services and then to [`FrontDoorBuilder::handle`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The front door.
    ///
    /// # Panics
    /// Before it is built and after it is gone. Whoever holds a [`Call`] has neither to fear; background work that
    /// may outlive the platform uses [`FrontDoorHandle::try_get`].
    #[must_use]
    #[allow(clippy::expect_used)] // see above
    pub fn get(&self) -> FrontDoor {
        self.try_get().expect("the front door is used before it is built, or after it is gone")
    }

    /// The front door, while it stands.
    #[must_use]
    pub fn try_get(&self) -> Option<FrontDoor> {
        self.slot.get()?.upgrade().map(|inner| FrontDoor { inner })
    }

    fn fill(&self, front_door: &FrontDoor) {
        // A handle leads to the first front door it was given to.
        let _ = self.slot.set(Arc::downgrade(&front_door.inner));
    }
}

//! One invoke: what goes in, what comes out, what can go wrong before the function has its say.
//!
//! [`run`] is the life of a request (INIT, INVOKE, the limits of both), `failure` the bodies of AWS's own errors,
//! `report` the platform's log lines. Which environment it runs in is the fleet's business.
//!
//! API: <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>.

mod begin;
pub(crate) mod events;
mod failure;
pub(crate) mod lineage;
mod phases;
pub(crate) mod report;
#[cfg(test)]
mod report_tests;
mod run;
mod streaming;
pub(crate) mod trace;

use std::sync::Arc;

use base::{ApiError, RequestId};
use bytes::Bytes;
use frontdoor::Call;
use serde::Serialize;

pub(crate) use begin::{start_ahead, start_template};
pub(crate) use failure::exit_words;
pub(crate) use run::run;
pub use streaming::Streaming;
pub(crate) use streaming::{Opened, Sink};

/// One event for a function.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The request id that the function sees and its log lines carry.
    pub request_id: RequestId,
    /// The ARN as the caller named it: with the version or alias, if it did. The function sees it in its context.
    pub invoked_arn: Arc<str>,
    /// The event, at most 6 MiB. The API has checked that it is JSON, or empty.
    pub payload: Bytes,
    /// The client context as JSON text, decoded from base64.
    pub client_context: Option<String>,
    /// Whether the last 4 KiB of the log are wanted.
    pub want_tail: bool,
    /// The `X-Amzn-Trace-Id` header of the caller.
    pub trace_header: Option<String>,
    /// How the event came in.
    pub origin: Origin,
    /// How long the event had waited in the queue; `None` unless it came through one.
    pub queue_age_ms: Option<u64>,
    /// Whose request it is, for a function with tenant isolation.
    pub tenant_id: Option<Arc<str>>,
}

impl Invocation {
    /// What a call asks for, with nothing beside its event.
    pub(crate) fn of_call(call: &Call, invoked_arn: Arc<str>, payload: Bytes, origin: Origin) -> Self {
        Invocation {
            request_id: call.request_id().clone(),
            invoked_arn,
            payload,
            client_context: None,
            want_tail: false,
            trace_header: call.trace_header().map(|header| header.as_ref().to_owned()),
            origin,
            queue_age_ms: None,
            tenant_id: None,
        }
    }
}

/// How an event came to the function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Invoke, answered as a whole.
    #[default]
    Request,
    /// An asynchronous event. The limit of requests per second is not for these.
    Event,
    /// A function URL.
    Url,
    /// Invoke with a response stream.
    Stream,
    /// A batch of an event source mapping.
    Source,
}

/// What a function answered, well or badly.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The function's answer, or AWS's body for its error.
    pub payload: Bytes,
    /// `Unhandled` when the function failed.
    pub function_error: Option<&'static str>,
    /// The last 4 KiB of the log in base64, when wanted.
    pub log_tail_base64: Option<String>,
    /// `$LATEST`.
    pub executed_version: String,
    /// Time in the handler.
    pub duration_ms: f64,
    /// Billed time, rounded up.
    pub billed_ms: u64,
    /// Time of the initialisation, when this invoke had one.
    pub init_ms: Option<f64>,
    /// Whether a new environment was started for it.
    pub cold: bool,
    /// The environment's peak.
    pub max_memory_mib: u32,
}

/// Why a function was not run.
#[derive(Clone, Debug, thiserror::Error)]
pub enum InvokeError {
    /// More invokes than may be: nothing was run.
    #[error("Rate Exceeded.")]
    Throttled(Throttle),
    /// The host is full: nothing was run.
    #[error("Rate Exceeded. {0}")]
    HostFull(Shortage),
    /// This host cannot run boxes.
    #[error(
        "functions cannot run here: the sandbox is not available on this host (see `lamplighter doctor`)"
    )]
    SandboxUnavailable,
    /// The function's interpreter is not on this host. The text has the remedy.
    #[error("{0}")]
    RuntimeMissing(String),
    /// STS refuses the function's role.
    #[error("The role defined for the function cannot be assumed by Lambda: {role}: {why}")]
    RoleNotAssumed {
        /// The role's ARN.
        role: String,
        /// What STS says.
        why: String,
    },
    /// The box could not be started.
    #[error("an execution environment could not be started: {0}")]
    LaunchFailed(String),
    /// A version with SnapStart did not come back from its snapshot.
    #[error("{0}")]
    SnapStart(RestoreFault),
    /// The server is going.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// The platform failed.
    #[error("{0}")]
    Internal(String),
}

/// What the host has too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// It runs as many environments as it may.
    Environments,
    /// Memory.
    Memory {
        /// What one environment more of this function is expected to need.
        needed_bytes: u64,
        /// What there is.
        left_bytes: u64,
        /// What all environments together may have.
        budget_bytes: u64,
    },
}

impl std::fmt::Display for Shortage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Shortage::Environments => f.write_str("Every environment that this host may run is in use."),
            Shortage::Memory { needed_bytes, left_bytes, budget_bytes } => write!(
                f,
                "This host's memory is in use: the function needs about {} MiB more, and {} MiB of {} MiB are left.",
                needed_bytes.div_ceil(1 << 20),
                left_bytes >> 20,
                budget_bytes >> 20,
            ),
        }
    }
}

/// Why a version with SnapStart did not run. The texts are AWS's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreFault {
    /// An after-restore hook failed, or the process ended: `SnapStartException`.
    #[error(
        "The afterRestore() runtime hook encountered an error. For more information, check the Amazon CloudWatch logs."
    )]
    Hook,
    /// It took longer than ten seconds: `SnapStartTimeoutException`.
    #[error("Lambda couldn't restore the snapshot within the timeout limit.")]
    Timeout,
    /// The snapshot is being made: `SnapStartNotReadyException`.
    #[error(
        "Lambda is initializing your function. It will be ready to invoke once your function state becomes ACTIVE."
    )]
    NotReady,
}

impl RestoreFault {
    fn code_and_status(self) -> (&'static str, u16) {
        match self {
            RestoreFault::Hook => ("SnapStartException", 400),
            RestoreFault::Timeout => ("SnapStartTimeoutException", 408),
            RestoreFault::NotReady => ("SnapStartNotReadyException", 409),
        }
    }
}

/// Which limit an invoke is beyond. The names are AWS's `ThrottleReason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Throttle {
    /// The function's reserved concurrency.
    ReservedFunctionConcurrentInvocationLimitExceeded,
    /// The part of the account's concurrency that is reserved for nobody; or the pace of new environments.
    ConcurrentInvocationLimitExceeded,
    /// Requests per second of a function with reserved concurrency: ten times that.
    ReservedFunctionInvocationRateLimitExceeded,
    /// Requests per second of the account: ten times its concurrency.
    FunctionInvocationRateLimitExceeded,
}

impl Throttle {
    /// AWS's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Throttle::ReservedFunctionConcurrentInvocationLimitExceeded => {
                "ReservedFunctionConcurrentInvocationLimitExceeded"
            }
            Throttle::ConcurrentInvocationLimitExceeded => "ConcurrentInvocationLimitExceeded",
            Throttle::ReservedFunctionInvocationRateLimitExceeded => {
                "ReservedFunctionInvocationRateLimitExceeded"
            }
            Throttle::FunctionInvocationRateLimitExceeded => "FunctionInvocationRateLimitExceeded",
        }
    }

    /// After how many seconds it is worth trying again, where that is known.
    fn retry_after_s(self) -> Option<u32> {
        match self {
            Throttle::ReservedFunctionInvocationRateLimitExceeded
            | Throttle::FunctionInvocationRateLimitExceeded => Some(1),
            _ => None,
        }
    }
}

impl InvokeError {
    /// Whether nothing was run because of a limit: the same event may be tried again later.
    #[must_use]
    pub fn is_throttle(&self) -> bool {
        matches!(self, InvokeError::Throttled(_) | InvokeError::HostFull(_))
    }
}

fn too_many(reason: Throttle, message: String) -> ApiError {
    let error =
        ApiError::new("TooManyRequestsException", message).status(429).member("Reason", reason.as_str());
    match reason.retry_after_s() {
        Some(seconds) => error.member("retryAfterSeconds", seconds.to_string()),
        None => error,
    }
}

impl From<InvokeError> for ApiError {
    fn from(error: InvokeError) -> Self {
        let message = error.to_string();
        match error {
            InvokeError::Throttled(reason) => too_many(reason, message),
            InvokeError::HostFull(shortage) => {
                too_many(Throttle::ConcurrentInvocationLimitExceeded, message).detail(shortage)
            }
            InvokeError::RuntimeMissing(_) => ApiError::new("InvalidRuntimeException", message).status(502),
            InvokeError::RoleNotAssumed { .. } => ApiError::new("AccessDeniedException", message).status(403),
            InvokeError::SnapStart(fault) => {
                let (code, status) = fault.code_and_status();
                ApiError::new(code, message).status(status).member("Type", "User")
            }
            InvokeError::SandboxUnavailable | InvokeError::LaunchFailed(_) | InvokeError::ShuttingDown => {
                ApiError::new("ServiceException", message).status(500)
            }
            InvokeError::Internal(detail) => ApiError::internal(detail),
        }
    }
}

//! One invoke: what goes in, what comes out, what can go wrong before the function has its say.
//!
//! [`run`] is the life of a request (INIT, INVOKE, the limits of both), `failure` the bodies of AWS's own errors,
//! `report` the platform's log lines. Which environment it runs in is the fleet's business.
//!
//! API: <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>.

mod failure;
mod report;
#[cfg(test)]
mod report_tests;
mod run;

use std::sync::Arc;

use base::{ApiError, RequestId};
use bytes::Bytes;

pub(crate) use run::run;

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
    /// The account already runs as many invokes as it may.
    #[error("Rate Exceeded.")]
    Throttled,
    /// The host already runs as many environments as it may.
    #[error("Rate Exceeded.")]
    HostFull,
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
    /// The server is going.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// The platform failed.
    #[error("{0}")]
    Internal(String),
}

impl From<InvokeError> for ApiError {
    fn from(error: InvokeError) -> Self {
        let message = error.to_string();
        match error {
            InvokeError::Throttled => ApiError::new("TooManyRequestsException", message)
                .status(429)
                .member("Reason", "ConcurrentInvocationLimitExceeded"),
            InvokeError::HostFull => ApiError::new("TooManyRequestsException", message)
                .status(429)
                .member("Reason", "ConcurrentInvocationLimitExceeded")
                .detail("every environment that this host may run is busy"),
            InvokeError::RuntimeMissing(_) => ApiError::new("InvalidRuntimeException", message).status(502),
            InvokeError::RoleNotAssumed { .. } => ApiError::new("AccessDeniedException", message).status(403),
            InvokeError::SandboxUnavailable | InvokeError::LaunchFailed(_) | InvokeError::ShuttingDown => {
                ApiError::new("ServiceException", message).status(500)
            }
            InvokeError::Internal(detail) => ApiError::internal(detail),
        }
    }
}

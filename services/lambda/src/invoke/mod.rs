//! One invoke: what goes in, what comes out, what can go wrong before the function has its say.

use base::{ApiError, RequestId};
use bytes::Bytes;

/// One event for a function.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The request id that the function sees and its log lines carry.
    pub request_id: RequestId,
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
    /// No free environment within the limits.
    #[error("Rate Exceeded.")]
    Throttled,
    /// The platform failed.
    #[error("{0}")]
    Internal(String),
}

impl From<InvokeError> for ApiError {
    fn from(error: InvokeError) -> Self {
        match error {
            InvokeError::Throttled => ApiError::new("TooManyRequestsException", "Rate Exceeded.")
                .status(429)
                .member("Reason", "ConcurrentInvocationLimitExceeded"),
            InvokeError::Internal(detail) => ApiError::internal(detail),
        }
    }
}

//! What the service answers when it says no, in AWS's words.

use base::ApiError;
use store::{StoreError, TxError};

/// Errors of the operations. A code of the model first, then what the model does not list.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SqsError {
    #[error("The specified queue does not exist.")]
    NoQueue,
    #[error("{0}")]
    InvalidParameter(String),
    #[error("Access to the resource {resource} is denied.")]
    AccessDenied { resource: String },
    #[error("{0}")]
    NotAuthorized(String),
    /// Any other of the service's errors: its code in the model, and the message.
    #[error("{message}")]
    Other { code: &'static str, message: String },
    #[error("store: {0}")]
    Store(#[from] StoreError),
    #[error("The server is stopping.")]
    Stopping,
    /// A change of messages that was not written, or of which nobody knows.
    #[error("messages: {0}")]
    Lost(std::sync::Arc<str>),
    /// What is stored makes no sense.
    #[error("store: {0}")]
    Damaged(String),
}

impl SqsError {
    pub(crate) fn invalid(why: impl Into<String>) -> Self {
        SqsError::InvalidParameter(why.into())
    }

    /// A move task's queue, or the task, is not there.
    pub(crate) fn no_resource(message: impl Into<String>) -> Self {
        SqsError::other("ResourceNotFoundException", message)
    }

    /// `Value {value} for parameter {name} is invalid. Reason: {reason}`.
    pub(crate) fn value(name: &str, value: impl std::fmt::Display, reason: &str) -> Self {
        SqsError::invalid(format!("Value {value} for parameter {name} is invalid. Reason: {reason}"))
    }

    pub(crate) fn missing(name: &str) -> Self {
        SqsError::other("MissingParameter", format!("The request must contain the parameter {name}."))
    }

    pub(crate) fn other(code: &'static str, message: impl Into<String>) -> Self {
        SqsError::Other { code, message: message.into() }
    }
}

impl From<SqsError> for ApiError {
    fn from(error: SqsError) -> Self {
        let message = error.to_string();
        match error {
            SqsError::NoQueue => ApiError::new("QueueDoesNotExist", message),
            SqsError::InvalidParameter(_) => ApiError::new("InvalidParameterValue", message),
            SqsError::AccessDenied { .. } | SqsError::NotAuthorized(_) => {
                ApiError::new("AccessDenied", message).status(403)
            }
            SqsError::Other { code: code @ "ResourceNotFoundException", .. } => {
                ApiError::new(code, message).status(404)
            }
            SqsError::Other { code, .. } => ApiError::new(code, message),
            SqsError::Stopping => ApiError::new("ServiceUnavailable", message).status(503),
            SqsError::Store(_) | SqsError::Damaged(_) | SqsError::Lost(_) => ApiError::internal(message),
        }
    }
}

impl From<TxError> for SqsError {
    /// A stored record that cannot be decoded, outside a transaction.
    fn from(error: TxError) -> Self {
        SqsError::Store(error.into())
    }
}

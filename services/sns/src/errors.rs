//! What the service answers when it says no, in AWS's words.

use base::ApiError;
use store::{StoreError, TxError};

/// Errors of the operations.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnsError {
    #[error("Topic does not exist")]
    NoTopic,
    #[error("Invalid parameter: {0}")]
    InvalidParameter(String),
    #[error("{0}")]
    NotAuthorized(String),
    /// Any other of the service's errors: its code in the model, and the message.
    #[error("{message}")]
    Other { code: &'static str, message: String },
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// What is stored makes no sense.
    #[error("store: {0}")]
    Damaged(String),
}

impl SnsError {
    /// `Invalid parameter: ` and what is wrong.
    pub(crate) fn invalid(why: impl Into<String>) -> Self {
        SnsError::InvalidParameter(why.into())
    }

    pub(crate) fn other(code: &'static str, message: impl Into<String>) -> Self {
        SnsError::Other { code, message: message.into() }
    }

    pub(crate) fn no_subscription() -> Self {
        SnsError::other("NotFoundException", "Subscription does not exist")
    }
}

impl From<SnsError> for ApiError {
    fn from(error: SnsError) -> Self {
        let message = error.to_string();
        match error {
            SnsError::NoTopic => ApiError::new("NotFoundException", message).status(404),
            SnsError::InvalidParameter(_) => ApiError::new("InvalidParameterException", message),
            SnsError::NotAuthorized(_) => ApiError::new("AuthorizationErrorException", message).status(403),
            SnsError::Other { code, .. } => ApiError::new(code, message),
            SnsError::Store(_) | SnsError::Damaged(_) => ApiError::internal(message),
        }
    }
}

impl From<TxError> for SnsError {
    /// A stored record that cannot be decoded, outside a transaction.
    fn from(error: TxError) -> Self {
        SnsError::Store(error.into())
    }
}

impl From<store::ValueError> for SnsError {
    fn from(error: store::ValueError) -> Self {
        SnsError::Store(TxError::from(error).into())
    }
}

//! What the service answers when it says no, in AWS's words.

use base::ApiError;
use store::{StoreError, TxError};

/// Errors of the operations.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogsError {
    #[error("The specified log group does not exist.")]
    NoGroup,
    #[error("The specified log stream does not exist.")]
    NoStream,
    #[error("The specified log group already exists")]
    GroupExists,
    #[error("The specified log stream already exists")]
    StreamExists,
    #[error("{0}")]
    Invalid(String),
    #[error("The specified nextToken is invalid.")]
    BadToken,
    #[error("A resource can have at most {0} tags.")]
    TooManyTags(usize),
    #[error("a reading task ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
    #[error("store: {0}")]
    Store(#[from] StoreError),
}

impl LogsError {
    pub(crate) fn invalid(why: impl Into<String>) -> Self {
        LogsError::Invalid(why.into())
    }
}

impl From<LogsError> for ApiError {
    fn from(error: LogsError) -> Self {
        use LogsError as E;
        let message = error.to_string();
        match error {
            E::NoGroup | E::NoStream => ApiError::new("ResourceNotFoundException", message),
            E::GroupExists | E::StreamExists => ApiError::new("ResourceAlreadyExistsException", message),
            E::Invalid(_) | E::BadToken => ApiError::new("InvalidParameterException", message),
            E::TooManyTags(_) => ApiError::new("TooManyTagsException", message),
            E::Task(_) | E::Store(_) => ApiError::internal(message),
        }
    }
}

impl From<TxError> for LogsError {
    /// A stored record that cannot be decoded, outside a transaction.
    fn from(error: TxError) -> Self {
        LogsError::Store(error.into())
    }
}

/// What ends a transaction early: the service's own no, or the store's failure.
pub(crate) enum Stop {
    No(LogsError),
    Store(TxError),
}

impl From<LogsError> for Stop {
    fn from(error: LogsError) -> Self {
        Stop::No(error)
    }
}

impl From<TxError> for Stop {
    fn from(error: TxError) -> Self {
        Stop::Store(error)
    }
}

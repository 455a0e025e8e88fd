//! What the service answers when it says no, in AWS's words.

use base::ApiError;

use crate::session::MintError;

/// Errors of the operations.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StsError {
    #[error("{0} is invalid")]
    InvalidArn(String),
    #[error("Request ARN is invalid")]
    NotARole,
    #[error(
        "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
    )]
    ChainingTooLong,
    #[error("Cannot call GetSessionToken with session credentials")]
    SessionFromSession,
    #[error("Roles may not be assumed by an unauthenticated caller.")]
    Anonymous,
    #[error(transparent)]
    Mint(#[from] MintError),
}

impl From<StsError> for ApiError {
    fn from(error: StsError) -> Self {
        let message = error.to_string();
        match error {
            StsError::InvalidArn(_) | StsError::NotARole | StsError::ChainingTooLong => {
                ApiError::new("ValidationError", message)
            }
            StsError::SessionFromSession | StsError::Anonymous => {
                ApiError::new("AccessDenied", message).status(403)
            }
            StsError::Mint(cause) => ApiError::internal(cause),
        }
    }
}

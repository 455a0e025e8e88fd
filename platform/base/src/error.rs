//! The error a client sees: AWS's code, a message, an HTTP status, and the members the error's shape has.
//!
//! Layers below the front door have enums of their own and know no HTTP; each service turns its enum into this at
//! its edge. What the client reads (`message`) and what the operator reads (`detail`) are two fields, and only the
//! first ever leaves the process. The protocol's form of an error is `platform/wire`'s.

use std::borrow::Cow;
use std::fmt;

/// An error answer. Build it with [`ApiError::new`] (the caller's fault) or [`ApiError::internal`] (ours).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    /// The code as AWS documents it: `ResourceNotFoundException`.
    pub code: Cow<'static, str>,
    /// 400 to 599. The model's own status for the code, where it has one, wins over this.
    status: u16,
    /// What happened, which value, what to do. For the client.
    pub message: String,
    /// Further string members of the error's shape, such as Lambda's `Type` or `Reason`.
    pub members: Vec<(&'static str, String)>,
    /// For the log only.
    pub detail: Option<String>,
}

impl ApiError {
    /// An error that the caller can mend: status 400 unless the model or [`ApiError::status`] says otherwise.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        ApiError {
            code: code.into(),
            status: 400,
            message: message.into(),
            members: Vec::new(),
            detail: None,
        }
    }

    /// A fault of ours. The cause goes to the log, never to the client.
    pub fn internal(detail: impl fmt::Display) -> Self {
        ApiError {
            code: Cow::Borrowed("InternalFailure"),
            status: 500,
            message: "The request processing has failed because of an unknown error, exception or failure."
                .to_owned(),
            members: Vec::new(),
            detail: Some(detail.to_string()),
        }
    }

    /// Sets the HTTP status. A status that is no error (below 400 or above 599) becomes 500.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = if (400..=599).contains(&status) { status } else { 500 };
        self
    }

    /// Adds a string member of the error's shape.
    #[must_use]
    pub fn member(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.members.push((name, value.into()));
        self
    }

    /// Says more to the operator.
    #[must_use]
    pub fn detail(mut self, detail: impl fmt::Display) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    /// The HTTP status, 400 to 599.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        self.status
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for ApiError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_that_is_no_error_cannot_be_built() {
        assert_eq!(ApiError::new("A", "b").status(200).http_status(), 500);
        assert_eq!(ApiError::new("A", "b").status(404).http_status(), 404);
        assert_eq!(ApiError::new("A", "b").http_status(), 400);
    }

    #[test]
    fn an_internal_error_hides_its_cause() {
        let error = ApiError::internal("disk on fire");
        assert!(!error.message.contains("fire"));
        assert_eq!(error.detail.as_deref(), Some("disk on fire"));
    }
}

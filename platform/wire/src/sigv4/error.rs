//! Why a request is not authentic, and how AWS says so in each protocol.
//!
//! The codes differ by protocol family: the JSON protocols say `InvalidSignatureException` where the query protocol
//! says `SignatureDoesNotMatch`. Listed on each service's "Common Errors" page, such as
//! <https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html>.

use base::ApiError;

/// The protocol family whose codes and statuses an answer uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// JSON 1.0, JSON 1.1 and CBOR: `...Exception` codes with status 400.
    Json,
    /// REST-JSON: `...Exception` codes with status 403.
    RestJson,
    /// Query and REST-XML: codes without `Exception`, status 403.
    Xml,
}

/// Why a request is not taken for authentic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The request is not signed at all.
    #[error("the request is not signed")]
    Missing,
    /// The signature's form is wrong; the text says what is missing.
    #[error("{0}")]
    Incomplete(String),
    /// The signature is older than it may be.
    #[error("{0}")]
    Expired(String),
    /// The signature comes from the future.
    #[error("{0}")]
    NotYetCurrent(String),
    /// The signature is not the one that the key gives.
    #[error("the signature does not match")]
    Mismatch {
        /// What was computed, for the log.
        detail: String,
    },
    /// No such key, or its session token is not the one that belongs to it.
    #[error("the access key is not known")]
    UnknownKey,
    /// The session of a temporary key is over.
    #[error("the session token is expired")]
    ExpiredToken,
}

impl AuthError {
    /// The answer to the client.
    #[must_use]
    pub fn to_api(&self, dialect: Dialect) -> ApiError {
        let (json_code, xml_code) = match self {
            AuthError::Missing => ("MissingAuthenticationTokenException", "MissingAuthenticationToken"),
            AuthError::Incomplete(_) => ("IncompleteSignatureException", "IncompleteSignature"),
            AuthError::Expired(_) | AuthError::NotYetCurrent(_) | AuthError::Mismatch { .. } => {
                ("InvalidSignatureException", "SignatureDoesNotMatch")
            }
            AuthError::UnknownKey => ("UnrecognizedClientException", "InvalidClientTokenId"),
            AuthError::ExpiredToken => ("ExpiredTokenException", "ExpiredToken"),
        };
        let code = if dialect == Dialect::Xml { xml_code } else { json_code };
        let status = match (self, dialect) {
            (_, Dialect::Json) | (AuthError::Incomplete(_), Dialect::Xml) => 400,
            _ => 403,
        };
        let error = ApiError::new(code, self.message(dialect)).status(status);
        match self {
            AuthError::Mismatch { detail } => error.detail(detail),
            _ => error,
        }
    }

    fn message(&self, dialect: Dialect) -> String {
        match self {
            AuthError::Missing if dialect == Dialect::RestJson => "Missing Authentication Token".to_owned(),
            AuthError::Missing => "Request is missing Authentication Token".to_owned(),
            AuthError::Incomplete(text) | AuthError::Expired(text) | AuthError::NotYetCurrent(text) => {
                text.clone()
            }
            AuthError::Mismatch { .. } => {
                "The request signature we calculated does not match the signature you \
                 provided. Check your AWS Secret Access Key and signing method. Consult the service \
                 documentation for details."
                    .to_owned()
            }
            AuthError::UnknownKey => "The security token included in the request is invalid.".to_owned(),
            AuthError::ExpiredToken => "The security token included in the request is expired".to_owned(),
        }
    }
}

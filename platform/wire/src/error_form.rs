//! How a client wants its errors: the protocol, and what the model says about the service's errors.
//!
//! When routing fails there may be no service yet: then the form is guessed from the request's own marks.

use http::request::Parts;
use model::{Operation, Protocol, ServiceModel};

/// The form of an error answer. Taken from a [`crate::Route`], or guessed from a request.
#[derive(Clone, Copy, Debug)]
pub struct ErrorForm {
    /// The protocol to answer in.
    pub protocol: Protocol,
    /// The service, when it is known.
    pub service: Option<&'static ServiceModel>,
    /// The operation, when it is known.
    pub operation: Option<&'static Operation>,
    /// The client asks for the error codes of the service's `query` days.
    pub query_mode: bool,
}

impl ErrorForm {
    /// Guesses the form from a request that has no route, such as one that fails authentication.
    #[must_use]
    pub fn guess(parts: &Parts) -> Self {
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
        let content_type = header("content-type");
        let protocol = if header("smithy-protocol") == "rpc-v2-cbor" {
            Protocol::RpcV2Cbor
        } else if parts.headers.contains_key("x-amz-target") {
            if content_type.ends_with("json-1.0") { Protocol::Json10 } else { Protocol::Json11 }
        } else if content_type.starts_with("application/x-www-form-urlencoded")
            || parts.uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("Action=")))
        {
            Protocol::Query
        } else if parts.headers.contains_key("x-amz-content-sha256") && content_type.ends_with("xml") {
            Protocol::RestXml
        } else {
            Protocol::RestJson
        };
        let query_mode = header("x-amzn-query-mode").eq_ignore_ascii_case("true");
        ErrorForm { protocol, service: None, operation: None, query_mode }
    }
}

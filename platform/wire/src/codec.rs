//! One codec per protocol.
use base::{ApiError, RequestId};
use bytes::Bytes;
use http::request::Parts;

use crate::{Doc, ErrorForm, Route};

/// Decodes a request's input.
///
/// # Errors
/// What the client sent wrong.
pub fn decode(route: &Route, parts: &Parts, body: Bytes) -> Result<Doc, ApiError> {
    let _ = (parts, body);
    Err(route.not_implemented())
}

/// Encodes a success.
#[must_use]
pub fn encode_output(route: &Route, output: &Doc, request_id: &RequestId) -> http::Response<Bytes> {
    let _ = (route, output, request_id);
    http::Response::new(Bytes::new())
}

/// Encodes an error.
#[must_use]
pub fn encode_error(form: &ErrorForm, error: &ApiError, request_id: &RequestId) -> http::Response<Bytes> {
    let _ = (form, error, request_id);
    http::Response::new(Bytes::new())
}

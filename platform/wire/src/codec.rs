//! From requests to documents and from documents to answers: one module per protocol, one place that chooses.
//!
//! The codecs check types, because a document cannot hold a wrong one; constraints are [`crate::validate`]'s.

mod cbor;
mod errors;
pub(crate) mod events;
mod json;
mod query;
mod rest;
#[cfg(test)]
mod round_trip;
mod xml;

use base::{ApiError, RequestId};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{HeaderName, Response, StatusCode};
use model::{Protocol, ServiceModel, Shape};

use crate::{Doc, ErrorForm, Route};
use json::BadJson;

/// The header that carries the request id.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
/// The same for the services that speak rest-xml.
const REST_XML_REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");

/// Decodes a request's input. A blob that is the whole body shares its bytes with `body`.
///
/// # Errors
/// What the client sent wrong, as the service says it: a body that cannot be read, a value of the wrong type.
pub fn decode(route: &Route, parts: &Parts, body: Bytes) -> Result<Doc, ApiError> {
    let service = route.service;
    let Some(shape) = route.operation.input_shape() else { return Ok(Doc::empty()) };
    match route.protocol {
        Protocol::Json10 | Protocol::Json11 => json_body(service, shape, &body),
        Protocol::RestJson | Protocol::RestXml => rest::decode(route, shape, parts, body),
        Protocol::Query => query::decode(service, shape, parts, &body),
        Protocol::RpcV2Cbor if body.is_empty() => Ok(Doc::empty()),
        Protocol::RpcV2Cbor => cbor::read(service, shape, &body).map_err(serialization),
    }
}

fn json_body(service: &'static ServiceModel, shape: &'static Shape, body: &[u8]) -> Result<Doc, ApiError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Doc::empty());
    }
    match json::read(service, shape, body) {
        Ok(Doc::Null) => Ok(Doc::empty()),
        Ok(doc) => Ok(doc),
        Err(BadJson::Type(problem)) => Err(serialization(problem)),
        Err(BadJson::Syntax(problem)) => Err(match service.malformed_body {
            Some((code, message)) => ApiError::new(code, format!("{message}{problem}")),
            None => serialization(format!("Could not parse request body into json: {problem}")),
        }),
    }
}

fn serialization(problem: impl Into<String>) -> ApiError {
    ApiError::new("SerializationException", problem)
}

/// Encodes a success. Members that the model lacks are left out (`check_output` reports them in debug builds).
#[must_use]
pub fn encode_output(route: &Route, output: &Doc, request_id: &RequestId) -> Response<Bytes> {
    let (service, operation) = (route.service, route.operation);
    let shape = operation.output_shape();
    let mut response = match route.protocol {
        Protocol::Json10 | Protocol::Json11 => {
            let mut body = Vec::with_capacity(256);
            match shape {
                Some(shape) => json::write(service, shape, output, &mut body),
                None => body.extend_from_slice(b"{}"),
            }
            answer(operation.status, content_type(route.protocol), body)
        }
        Protocol::RestJson | Protocol::RestXml => rest::encode(route, output),
        Protocol::Query => {
            answer(operation.status, content_type(route.protocol), query::encode(route, output, request_id))
        }
        Protocol::RpcV2Cbor => {
            let mut body = Vec::with_capacity(256);
            match shape {
                Some(shape) => cbor::write(service, shape, output, &mut body),
                None => cbor::write_empty(&mut body),
            }
            let mut response = answer(operation.status, content_type(route.protocol), body);
            mark_rpc(&mut response);
            response
        }
    };
    stamp(&mut response, route.protocol, request_id);
    response
}

/// Encodes an error. The model's status for the code wins over the error's own.
#[must_use]
pub fn encode_error(form: &ErrorForm, error: &ApiError, request_id: &RequestId) -> Response<Bytes> {
    let mut response = errors::encode(form, error, request_id);
    stamp(&mut response, form.protocol, request_id);
    response
}

fn answer(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn content_type(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Json10 => "application/x-amz-json-1.0",
        Protocol::Json11 => "application/x-amz-json-1.1",
        Protocol::RestJson => "application/json",
        Protocol::Query => "text/xml",
        Protocol::RestXml => "application/xml",
        Protocol::RpcV2Cbor => "application/cbor",
    }
}

fn mark_rpc(response: &mut Response<Bytes>) {
    let name = HeaderName::from_static("smithy-protocol");
    response.headers_mut().insert(name, HeaderValue::from_static("rpc-v2-cbor"));
}

fn stamp(response: &mut Response<Bytes>, protocol: Protocol, request_id: &RequestId) {
    let name = if protocol == Protocol::RestXml { REST_XML_REQUEST_ID } else { REQUEST_ID };
    if let Ok(value) = HeaderValue::from_str(request_id.as_str()) {
        response.headers_mut().insert(name, value);
    }
}

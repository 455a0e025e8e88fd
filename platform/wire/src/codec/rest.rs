//! HTTP bindings of the REST protocols: members in the path, the query string, headers, the status code, the body.
//!
//! What is in the body is JSON's or XML's business. A stream of events as an answer is `events`'s; as an input it is
//! not supported: an operation that needs one gets a clear error. Rules: <https://smithy.io/2.0/spec/http-bindings.html>.

use std::borrow::Cow;

use base::ApiError;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};
use model::{Kind, Location, Member, Protocol, Shape, TimeFormat};

use super::{answer, content_type, json, json_body, serialization, xml};
use crate::doc::Key;
use crate::{Doc, Route, text};

type Entries = Vec<(Key, Doc)>;

/// Decodes an input from everywhere its members travel.
pub(super) fn decode(
    route: &Route,
    shape: &'static Shape,
    parts: &Parts,
    body: Bytes,
) -> Result<Doc, ApiError> {
    let mut entries = match shape.payload_member() {
        Some(member) => payload(route, member, body)?,
        None if shape.members.iter().any(|member| member.location == Location::Body) => {
            let doc = match route.protocol {
                Protocol::RestXml if body.is_empty() => Doc::empty(),
                Protocol::RestXml => xml::read(route.service, shape, &body).map_err(malformed_xml)?,
                _ => json_body(route.service, shape, &body)?,
            };
            if let Doc::Map(entries) = doc { entries } else { Entries::new() }
        }
        None => Entries::new(),
    };
    let mut bound = Bound { route, shape, parts, query: None };
    for member in &shape.members {
        let value = match member.location {
            Location::Body | Location::StatusCode | Location::EventPayload | Location::EventHeader => {
                continue;
            }
            Location::Uri => bound.label(member)?,
            Location::Query => bound.query(member)?,
            Location::Header => bound.header(member)?,
            Location::Headers => bound.headers(member),
        };
        if let Some(value) = value {
            entries.push((Cow::Borrowed(member.name), value));
        }
    }
    Ok(Doc::Map(entries))
}

/// The member that is the whole body.
fn payload(route: &Route, member: &'static Member, body: Bytes) -> Result<Entries, ApiError> {
    let shape = route.service.shape(member.shape);
    if shape.event_stream {
        return Err(event_stream(route));
    }
    let value = match shape.kind {
        Kind::Blob => Doc::Blob(body),
        // An absent body is an absent member.
        _ if body.is_empty() => return Ok(Entries::new()),
        Kind::String => {
            let text = String::from_utf8(body.to_vec());
            Doc::Str(text.map_err(|_| serialization("The request body is not valid UTF-8."))?)
        }
        _ if route.protocol == Protocol::RestXml => {
            xml::read(route.service, shape, &body).map_err(malformed_xml)?
        }
        _ => json_body(route.service, shape, &body)?,
    };
    Ok(vec![(Cow::Borrowed(member.name), value)])
}

fn event_stream(route: &Route) -> ApiError {
    let name = route.operation.name;
    let message = format!("event streams, which {name} needs, are not supported yet");
    ApiError::new("UnsupportedOperationException", message)
}

fn malformed_xml(problem: String) -> ApiError {
    ApiError::new("MalformedXML", problem)
}

/// The places outside the body.
struct Bound<'a> {
    route: &'a Route,
    shape: &'static Shape,
    parts: &'a Parts,
    /// The decoded query string, once a member has asked for it.
    query: Option<Vec<(String, String)>>,
}

impl Bound<'_> {
    fn simple(&self, member: &Member, text: &str, format: TimeFormat) -> Result<Doc, ApiError> {
        let shape = self.route.service.shape(member.shape);
        let format = member.time_format.unwrap_or(format);
        text::parse(shape, text, format).map_err(|bad| serialization(bad.0))
    }

    fn label(&self, member: &Member) -> Result<Option<Doc>, ApiError> {
        let label = self.route.labels.iter().find(|(name, _)| *name == member.wire_name);
        label.map(|(_, value)| self.simple(member, value, TimeFormat::DateTime)).transpose()
    }

    fn query(&mut self, member: &Member) -> Result<Option<Doc>, ApiError> {
        let Some(raw) = self.parts.uri.query().filter(|raw| !raw.is_empty()) else { return Ok(None) };
        if self.query.is_none() {
            let decoded = text::pairs(raw).collect::<Option<Vec<_>>>();
            self.query = Some(decoded.ok_or_else(|| serialization("The query string is not valid UTF-8."))?);
        }
        let pairs = self.query.as_deref().unwrap_or_default();
        let shape = self.route.service.shape(member.shape);
        let mut values = pairs.iter().filter(|(name, _)| name == member.wire_name).map(|(_, value)| value);
        match shape.kind {
            Kind::Map => Ok(self.other_parameters(shape, pairs)),
            Kind::List => {
                let Some(element) = shape.element() else { return Ok(None) };
                let items = values.map(|value| self.simple(element, value, TimeFormat::DateTime));
                let items = items.collect::<Result<Vec<_>, _>>()?;
                Ok((!items.is_empty()).then_some(Doc::List(items)))
            }
            _ => values.next().map(|value| self.simple(member, value, TimeFormat::DateTime)).transpose(),
        }
    }

    /// All parameters that no other member takes, as a map of strings or of lists of strings.
    fn other_parameters(&self, shape: &Shape, pairs: &[(String, String)]) -> Option<Doc> {
        let lists =
            shape.element().is_some_and(|value| self.route.service.shape(value.shape).kind == Kind::List);
        let taken = |name: &str| {
            let by_member = |m: &&Member| m.location == Location::Query && m.wire_name == name;
            self.shape.members.iter().any(|member| by_member(&member))
        };
        let mut entries = Entries::new();
        for (name, value) in pairs.iter().filter(|(name, _)| !taken(name)) {
            let value = Doc::Str(value.clone());
            match entries.iter_mut().find(|(key, _)| key == name) {
                Some((_, Doc::List(items))) => items.push(value),
                Some(_) => {}
                None if lists => entries.push((Cow::Owned(name.clone()), Doc::List(vec![value]))),
                None => entries.push((Cow::Owned(name.clone()), value)),
            }
        }
        (!entries.is_empty()).then_some(Doc::Map(entries))
    }

    fn header(&self, member: &Member) -> Result<Option<Doc>, ApiError> {
        let Some(value) = self.parts.headers.get(member.wire_name) else { return Ok(None) };
        let shape = self.route.service.shape(member.shape);
        // Header text is UTF-8 or Latin-1; the services take what they can read.
        let value = String::from_utf8_lossy(value.as_bytes());
        if shape.kind != Kind::List {
            return self.simple(member, &value, TimeFormat::HttpDate).map(Some);
        }
        let Some(element) = shape.element() else { return Ok(None) };
        let all = self.parts.headers.get_all(member.wire_name).iter();
        let texts: Vec<String> =
            all.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
        let split =
            texts.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|item| !item.is_empty());
        let items = split.map(|item| self.simple(element, item.trim_matches('"'), TimeFormat::HttpDate));
        items.collect::<Result<Vec<_>, _>>().map(|items| Some(Doc::List(items)))
    }

    fn headers(&self, member: &Member) -> Option<Doc> {
        let mut entries = Entries::new();
        for (name, value) in &self.parts.headers {
            if let Some(key) = name.as_str().strip_prefix(member.wire_name) {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                entries.push((Cow::Owned(key.to_owned()), Doc::Str(value)));
            }
        }
        (!entries.is_empty()).then_some(Doc::Map(entries))
    }
}

/// Encodes an output to everywhere its members travel.
pub(super) fn encode(route: &Route, output: &Doc) -> Response<Bytes> {
    let operation = route.operation;
    let Some(shape) = operation.output_shape() else {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::from_u16(operation.status).unwrap_or(StatusCode::OK);
        return response;
    };
    let mut response = body(route, shape, output);
    for (key, value) in output.entries().unwrap_or_default() {
        let Some(member) = shape.member(key) else { continue };
        match member.location {
            Location::StatusCode => {
                if let Some(status) = value.as_int().and_then(|n| u16::try_from(n).ok()) {
                    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
                }
            }
            Location::Header => {
                put_header(&mut response, member.wire_name, &header_text(route, member, value))
            }
            Location::Headers => {
                for (suffix, value) in value.entries().unwrap_or_default() {
                    let name = format!("{}{suffix}", member.wire_name);
                    put_header(&mut response, &name, value.as_str().unwrap_or_default());
                }
            }
            Location::Body
            | Location::Uri
            | Location::Query
            | Location::EventPayload
            | Location::EventHeader => {}
        }
    }
    response
}

fn body(route: &Route, shape: &'static Shape, output: &Doc) -> Response<Bytes> {
    let (service, status) = (route.service, route.operation.status);
    let kind = content_type(route.protocol);
    let write = |shape: &'static Shape, doc: &Doc, name: &str| {
        let mut out = Vec::with_capacity(512);
        match route.protocol {
            Protocol::RestXml => xml::write_document(service, shape, doc, name, &mut out),
            _ => json::write(service, shape, doc, &mut out),
        }
        Bytes::from(out)
    };
    if let Some(member) = shape.payload_member() {
        let inner = service.shape(member.shape);
        return match output.get(member.name) {
            None => answer(status, kind, Bytes::new()),
            Some(Doc::Blob(bytes)) => answer(status, kind, bytes.clone()),
            Some(Doc::Str(text)) => answer(status, kind, text.clone()),
            Some(doc) => {
                let name =
                    if member.renamed { member.wire_name } else { inner.xml_name.unwrap_or(inner.name) };
                answer(status, kind, write(inner, doc, name))
            }
        };
    }
    let in_body = shape.members.iter().any(|member| member.location == Location::Body);
    if status == 204 || (!in_body && (route.protocol == Protocol::RestXml || !shape.members.is_empty())) {
        let mut response = answer(status, kind, Bytes::new());
        if status == 204 {
            response.headers_mut().remove(CONTENT_TYPE);
        }
        return response;
    }
    answer(status, kind, write(shape, output, shape.xml_name.unwrap_or(shape.name)))
}

fn header_text(route: &Route, member: &Member, value: &Doc) -> String {
    let shape = route.service.shape(member.shape);
    let one = |shape: &Shape, value: &Doc| {
        text::write(shape, value, member.time_format.unwrap_or(TimeFormat::HttpDate)).unwrap_or_default()
    };
    match (value, shape.element()) {
        (Doc::List(items), Some(element)) => {
            let element = route.service.shape(element.shape);
            items.iter().map(|item| one(element, item)).collect::<Vec<_>>().join(",")
        }
        _ => one(shape, value),
    }
}

/// Sets a header; characters that no header can carry become spaces, so that a value never splits an answer.
pub(super) fn put_header(response: &mut Response<Bytes>, name: &str, value: &str) {
    let Ok(name) = HeaderName::try_from(name) else { return };
    let clean = |byte: u8| if byte < b' ' && byte != b'\t' || byte == 0x7F { b' ' } else { byte };
    let bytes: Vec<u8> = value.bytes().map(clean).collect();
    if let Ok(value) = HeaderValue::from_bytes(&bytes) {
        response.headers_mut().insert(name, value);
    }
}

//! Answers that are streams of events: `application/vnd.amazon.eventstream`, written, not read.
//!
//! A message is a prelude (its length, its headers' length, a CRC-32 of both), headers, a payload, and a CRC-32 of all
//! before it. What is in a payload is JSON's, XML's or CBOR's business. A large payload is passed on as it is; only what
//! stands around it is made here. Reading such messages, and signing them one by one, is not done: no operation that
//! takes a stream as its input is served.
//!
//! Messages: <https://smithy.io/2.0/aws/amazon-eventstream.html>.
//! What stands where: <https://smithy.io/2.0/spec/streaming.html#event-streams>.

use std::collections::VecDeque;

use base::{ApiError, RequestId};
use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use model::{Kind, Location, Protocol, ServiceModel, Shape};

use super::{cbor, json, mark_rpc, rest, stamp, xml};
use crate::{Doc, Route, text};

/// The type of an answer that is a stream of events.
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("application/vnd.amazon.eventstream");
/// Up to here a payload is copied between its message's other parts, so that one piece leaves instead of three.
const INLINE_PAYLOAD_BYTES: usize = 4096;
const PRELUDE_BYTES: usize = 12;
const CRC_BYTES: usize = 4;
/// The type number of text among a header's types.
const TEXT: u8 = 7;

/// The bytes of encoded messages, in order, ready to be sent.
pub type Pieces = VecDeque<Bytes>;

/// The head of an answer whose body is a stream of events: status and headers. Members of `head` that travel in the
/// body come with the first event, see [`EventEncoder::initial_response`].
#[must_use]
pub fn encode_stream_head(route: &Route, head: &Doc, request_id: &RequestId) -> Response<()> {
    let mut response = match route.protocol {
        Protocol::RestJson | Protocol::RestXml => rest::encode(route, head),
        _ => {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = StatusCode::from_u16(route.operation.status).unwrap_or(StatusCode::OK);
            if route.protocol == Protocol::RpcV2Cbor {
                mark_rpc(&mut response);
            }
            response
        }
    };
    // Also where a member is bound to this header, as Lambda's content type of the function's answer is: clients find
    // out by it how to read the body.
    response.headers_mut().insert(CONTENT_TYPE, EVENT_STREAM);
    stamp(&mut response, route.protocol, request_id);
    response.map(|_| ())
}

/// Encodes the events of one answer.
#[derive(Clone, Copy, Debug)]
pub struct EventEncoder {
    service: &'static ServiceModel,
    /// The structure that is the answer.
    output: &'static Shape,
    /// The union of its events.
    events: &'static Shape,
    protocol: Protocol,
}

impl EventEncoder {
    /// The encoder for a route's answers; `None` when they are no streams of events.
    #[must_use]
    pub fn of(route: &Route) -> Option<Self> {
        let (service, protocol) = (route.service, route.protocol);
        let output = route.operation.output_shape()?;
        let mut shapes = output.members.iter().map(|member| service.shape(member.shape));
        let events = shapes.find(|shape| shape.event_stream)?;
        Some(EventEncoder { service, output, events, protocol })
    }

    /// What comes before the first event: the answer's other members, where the protocol has no place for them in the
    /// head. The REST protocols have one; nothing is written then.
    pub fn initial_response(&self, head: &Doc, out: &mut Pieces) {
        if matches!(self.protocol, Protocol::RestJson | Protocol::RestXml) {
            return;
        }
        let (content_type, payload) = self.document(self.output, head);
        let headers = [
            (":event-type", "initial-response"),
            (":content-type", content_type),
            (":message-type", "event"),
        ];
        message(headers.into_iter(), payload, out);
    }

    /// An event: a map of one entry, the event's name. What the model does not know of it is left out
    /// ([`check_event`](crate::check_event) reports it in debug builds).
    pub fn event(&self, event: Doc, out: &mut Pieces) {
        let Doc::Map(entries) = event else { return };
        for (name, value) in entries {
            let Some(member) = self.events.member(&name) else { continue };
            let shape = self.service.shape(member.shape);
            self.one(member.wire_name, shape, value, out);
        }
    }

    fn one(&self, name: &str, shape: &'static Shape, value: Doc, out: &mut Pieces) {
        let mut extra: Vec<(&str, String)> = Vec::new();
        for member in shape.members.iter().filter(|member| member.location == Location::EventHeader) {
            // Headers of our models' events are text; the other types of the format have no use yet.
            let inner = self.service.shape(member.shape);
            let format = member.time_format.unwrap_or(model::TimeFormat::DateTime);
            if let Some(text) = value.get(member.name).and_then(|value| text::write(inner, value, format)) {
                extra.push((member.wire_name, text));
            }
        }
        let (content_type, payload) = self.payload(shape, value);
        let kind = content_type.map(|content_type| (":content-type", content_type));
        let headers = std::iter::once((":event-type", name))
            .chain(kind)
            .chain(std::iter::once((":message-type", "event")))
            .chain(extra.iter().map(|(name, value)| (*name, value.as_str())));
        message(headers, payload, out);
    }

    fn payload(&self, shape: &'static Shape, mut value: Doc) -> (Option<&'static str>, Bytes) {
        let Some(member) = shape.members.iter().find(|member| member.location == Location::EventPayload)
        else {
            if shape.members.is_empty() {
                return (None, Bytes::new());
            }
            let (content_type, payload) = self.document(shape, &value);
            return (Some(content_type), payload);
        };
        let inner = self.service.shape(member.shape);
        let content = match &mut value {
            Doc::Map(entries) => entries.iter_mut().find(|(key, _)| key == member.name),
            _ => None,
        };
        match content.map(|(_, content)| std::mem::take(content)) {
            Some(Doc::Blob(bytes)) => (Some("application/octet-stream"), bytes),
            Some(Doc::Str(text)) => (Some("text/plain"), Bytes::from(text)),
            None | Some(Doc::Null) if inner.kind == Kind::Blob => {
                (Some("application/octet-stream"), Bytes::new())
            }
            None | Some(Doc::Null) if inner.kind == Kind::String => (Some("text/plain"), Bytes::new()),
            other => {
                let (content_type, payload) = self.document(inner, &other.unwrap_or_default());
                (Some(content_type), payload)
            }
        }
    }

    /// A structure in the protocol's own form.
    fn document(&self, shape: &'static Shape, value: &Doc) -> (&'static str, Bytes) {
        let mut out = Vec::with_capacity(256);
        let content_type = match self.protocol {
            Protocol::RestXml | Protocol::Query => {
                xml::write_document(
                    self.service,
                    shape,
                    value,
                    shape.xml_name.unwrap_or(shape.name),
                    &mut out,
                );
                "text/xml"
            }
            Protocol::RpcV2Cbor => {
                cbor::write(self.service, shape, value, &mut out);
                "application/cbor"
            }
            Protocol::RestJson | Protocol::Json10 | Protocol::Json11 => {
                json::write(self.service, shape, value, &mut out);
                "application/json"
            }
        };
        (content_type, Bytes::from(out))
    }

    /// The end of a stream that went wrong: an exception where the model has one of this code among the events, the
    /// format's own error otherwise. No event may follow.
    pub fn failure(&self, error: &ApiError, out: &mut Pieces) {
        let known = self.events.members.iter().find(|member| {
            let shape = self.service.shape(member.shape);
            shape.error.is_some_and(|facts| facts.code == error.code || shape.name == error.code)
        });
        let Some(member) = known else {
            let headers = [
                (":message-type", "error"),
                (":error-code", error.code.as_ref()),
                (":error-message", error.message.as_str()),
            ];
            return message(headers.into_iter(), Bytes::new(), out);
        };
        let shape = self.service.shape(member.shape);
        let text = shape.members.iter().find(|member| member.name.eq_ignore_ascii_case("message"));
        let body = text.map_or_else(Doc::empty, |text| {
            Doc::Map(vec![(text.name.into(), Doc::Str(error.message.clone()))])
        });
        let (content_type, payload) = self.document(shape, &body);
        let headers = [
            (":exception-type", member.wire_name),
            (":content-type", content_type),
            (":message-type", "exception"),
        ];
        message(headers.into_iter(), payload, out);
    }
}

/// Frames a message.
fn message<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>, payload: Bytes, out: &mut Pieces) {
    let inline = payload.len() <= INLINE_PAYLOAD_BYTES;
    let mut head = BytesMut::with_capacity(128 + if inline { payload.len() + CRC_BYTES } else { 0 });
    head.put_bytes(0, PRELUDE_BYTES);
    for (name, value) in headers {
        put_header(&mut head, name, value);
    }
    let headers_bytes = head.len() - PRELUDE_BYTES;
    let total_bytes = head.len() + payload.len() + CRC_BYTES;
    let number = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes();
    head[..4].copy_from_slice(&number(total_bytes));
    head[4..8].copy_from_slice(&number(headers_bytes));
    let prelude_crc = crc32fast::hash(&head[..8]);
    head[8..PRELUDE_BYTES].copy_from_slice(&prelude_crc.to_be_bytes());

    let mut crc = crc32fast::Hasher::new();
    crc.update(&head);
    crc.update(&payload);
    let crc = crc.finalize().to_be_bytes();
    if inline {
        head.extend_from_slice(&payload);
        head.extend_from_slice(&crc);
        out.push_back(head.freeze());
    } else {
        out.push_back(head.freeze());
        out.push_back(payload);
        out.push_back(Bytes::copy_from_slice(&crc));
    }
}

/// A header with text in it. The format has 255 bytes for a name and 65,535 for a value; what is longer is cut.
fn put_header(out: &mut BytesMut, name: &str, value: &str) {
    let name = cut(name, usize::from(u8::MAX));
    let value = cut(value, usize::from(u16::MAX));
    out.put_u8(u8::try_from(name.len()).unwrap_or(u8::MAX));
    out.put_slice(name.as_bytes());
    out.put_u8(TEXT);
    out.put_u16(u16::try_from(value.len()).unwrap_or(u16::MAX));
    out.put_slice(value.as_bytes());
}

fn cut(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_payload_is_not_copied() {
        let payload = Bytes::from(vec![7; INLINE_PAYLOAD_BYTES + 1]);
        let mut out = Pieces::new();
        message([("a", "b")].into_iter(), payload.clone(), &mut out);
        assert_eq!(out.len(), 3);
        assert_eq!(out[1].as_ptr(), payload.as_ptr());
        let total: usize = out.iter().map(Bytes::len).sum();
        assert_eq!(out[0][..4], u32::try_from(total).unwrap().to_be_bytes());
        let whole: Vec<u8> = out.iter().flatten().copied().collect();
        let crc = crc32fast::hash(&whole[..total - 4]);
        assert_eq!(whole[total - 4..], crc.to_be_bytes());
    }

    #[test]
    fn a_value_that_no_header_holds_is_cut_between_its_letters() {
        let mut out = BytesMut::new();
        put_header(&mut out, "n", &"ü".repeat(40_000));
        assert_eq!(out[3..5], 65_534_u16.to_be_bytes());
    }
}

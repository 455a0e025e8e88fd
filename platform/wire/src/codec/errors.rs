//! Errors in each protocol's form.
//!
//! The model tells the status, the code on the wire and the members; what it does not know (an error that every service
//! can answer, such as `SerializationException`) keeps the error's own status and a plain message.

use base::{ApiError, RequestId};
use bytes::Bytes;
use http::Response;
use model::{ErrorFacts, Kind, Location, Protocol, Shape};

use super::{answer, cbor, content_type, json, mark_rpc, rest, xml};
use crate::ErrorForm;

/// An error with what the model says about it.
struct Known<'a> {
    form: &'a ErrorForm,
    error: &'a ApiError,
    shape: Option<&'static Shape>,
    code: &'a str,
    status: u16,
}

impl<'a> Known<'a> {
    fn new(form: &'a ErrorForm, error: &'a ApiError) -> Self {
        let shape = form.service.and_then(|service| service.error(&error.code));
        let facts: Option<&ErrorFacts> = shape.and_then(|shape| shape.error.as_ref());
        let is_query = form.protocol == Protocol::Query;
        let of_query = facts.filter(|_| is_query);
        let status = of_query
            .and_then(|facts| facts.query_status)
            .or(facts.and_then(|facts| facts.status))
            .unwrap_or_else(|| error.http_status());
        let code = of_query
            .and_then(|facts| facts.query_code)
            .or(facts.map(|facts| facts.code))
            .unwrap_or(error.code.as_ref());
        Known { form, error, shape, code, status }
    }

    /// The caller's fault.
    fn sender(&self) -> bool {
        self.status < 500
    }

    /// The name of the member that holds the message: services differ in its first letter.
    fn message_name(&self) -> &'static str {
        let members = self.shape.map(|shape| shape.members.as_slice()).unwrap_or_default();
        let found = members.iter().find(|member| member.name.eq_ignore_ascii_case("message"));
        found.map_or("message", |member| member.wire_name)
    }

    /// The members of the body beside the message: name, text, and whether it is a number or boolean.
    fn members(&self) -> Vec<(&'static str, &str, bool)> {
        let mut members: Vec<(&'static str, &str, bool)> = Vec::new();
        for (name, value) in &self.error.members {
            let found = self.shape.and_then(|shape| shape.member(name));
            match found {
                Some(member) if member.location == Location::Body => {
                    let kind = self.form.service.map(|service| service.shape(member.shape).kind);
                    let bare = kind.is_some_and(|kind| {
                        matches!(kind, Kind::Integer | Kind::Long | Kind::Float | Kind::Boolean)
                    });
                    members.push((member.wire_name, value, bare));
                }
                Some(_) => {}
                None => members.push((name, value, false)),
            }
        }
        // Some services tell in the body whose fault it was.
        let tells = self.shape.and_then(|shape| shape.member("Type"));
        if tells.is_some() && !members.iter().any(|(name, _, _)| *name == "Type") {
            members.insert(0, ("Type", if self.sender() { "User" } else { "Service" }, false));
        }
        members
    }

    fn json_body(&self, with_type: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(128 + self.error.message.len());
        out.push(b'{');
        if with_type {
            out.extend_from_slice(b"\"__type\":");
            json::write_string(&self.typed_code(), &mut out);
            out.push(b',');
        }
        for (name, value, bare) in self.members() {
            json::write_string(name, &mut out);
            out.push(b':');
            if bare {
                out.extend_from_slice(value.as_bytes());
            } else {
                json::write_string(value, &mut out);
            }
            out.push(b',');
        }
        json::write_string(self.message_name(), &mut out);
        out.push(b':');
        json::write_string(&self.error.message, &mut out);
        out.push(b'}');
        out
    }

    fn typed_code(&self) -> String {
        let codes = self.form.service.map_or(&[][..], |service| &service.json_codes);
        if let Ok(at) = codes.binary_search_by_key(&self.code, |(code, _)| code)
            && self.shape.is_none()
        {
            return codes[at].1.to_owned();
        }
        let namespace = self.form.service.and_then(|service| service.error_namespace);
        match namespace.filter(|_| self.shape.is_some()) {
            Some(namespace) => format!("{namespace}#{}", self.shape.map_or(self.code, |shape| shape.name)),
            None => self.shape.map_or(self.code, |shape| shape.name).to_owned(),
        }
    }

    fn xml_error(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<Error>");
        if !self.bare() {
            xml::write_text_element("Type", if self.sender() { "Sender" } else { "Receiver" }, out);
        }
        xml::write_text_element("Code", self.code, out);
        xml::write_text_element("Message", &self.error.message, out);
        for (name, value, _) in self.members() {
            xml::write_text_element(name, value, out);
        }
    }

    /// The service writes `<Error>` as the root.
    fn bare(&self) -> bool {
        self.form.protocol == Protocol::RestXml
            && self.form.service.is_none_or(|service| service.bare_xml_errors)
    }

    fn xml_body(&self, request_id: &RequestId) -> Vec<u8> {
        let mut out = Vec::with_capacity(256 + self.error.message.len());
        if self.bare() {
            out.extend_from_slice(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
            self.xml_error(&mut out);
            xml::write_text_element("RequestId", request_id.as_str(), &mut out);
            out.extend_from_slice(b"</Error>");
            return out;
        }
        let namespace = self.form.service.and_then(|service| service.xml_namespace);
        xml::open_root("ErrorResponse", namespace, &mut out);
        self.xml_error(&mut out);
        out.extend_from_slice(b"</Error>");
        xml::write_text_element("RequestId", request_id.as_str(), &mut out);
        out.extend_from_slice(b"</ErrorResponse>\n");
        out
    }

    fn cbor_body(&self) -> Vec<u8> {
        let code = self.typed_code();
        let mut texts = vec![("__type", code.as_str())];
        texts.extend(self.members().into_iter().map(|(name, value, _)| (name, value)));
        texts.push((self.message_name(), self.error.message.as_str()));
        let mut out = Vec::with_capacity(128);
        cbor::write_texts(&texts, &mut out);
        out
    }
}

pub(super) fn encode(form: &ErrorForm, error: &ApiError, request_id: &RequestId) -> Response<Bytes> {
    let known = Known::new(form, error);
    let body = match form.protocol {
        Protocol::Json10 | Protocol::Json11 => known.json_body(true),
        Protocol::RestJson => known.json_body(false),
        Protocol::Query | Protocol::RestXml => known.xml_body(request_id),
        Protocol::RpcV2Cbor => known.cbor_body(),
    };
    let mut response = answer(known.status, content_type(form.protocol), body);
    match form.protocol {
        Protocol::RestJson => rest::put_header(&mut response, "x-amzn-errortype", known.code),
        Protocol::RpcV2Cbor => mark_rpc(&mut response),
        _ => {}
    }
    if form.query_mode {
        let facts = known.shape.and_then(|shape| shape.error.as_ref());
        let code = facts.and_then(|facts| facts.query_code).unwrap_or(known.code);
        let fault = if known.sender() { "Sender" } else { "Receiver" };
        rest::put_header(&mut response, "x-amzn-query-error", &format!("{code};{fault}"));
    }
    for (name, value) in &error.members {
        let bound = known.shape.and_then(|shape| shape.member(name));
        if let Some(member) = bound.filter(|member| member.location == Location::Header) {
            rest::put_header(&mut response, member.wire_name, value);
        }
    }
    response
}

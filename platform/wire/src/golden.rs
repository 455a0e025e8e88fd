//! Golden files: what clients send and what they get back, to the letter.
//!
//! A file in `tests/golden/` gives a request (as SDKs really send it) and, where the case goes that far, an output or an
//! error. The test adds what the crate makes of it: the input document and the answer. To accept new
//! answers, run it with `GOLDEN=write` and read the diff. Bodies that are not text stand in hex.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use base::{ApiError, RequestId, Timestamp};
use bytes::Bytes;
use http::Response;
use http::request::Parts;
use model::{Catalog, Kind, ServiceModel, Shape};

use crate::{
    Doc, ErrorForm, EventEncoder, Pieces, Route, check_event, check_output, decode, encode_error,
    encode_output, encode_stream_head, route, validate,
};

/// The given sections; the others are computed.
const GIVEN: [&str; 6] = ["signing name", "request", "output", "error", "events", "failure"];

#[test]
fn every_golden_file_is_met() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert!(names.len() > 30, "golden files are missing");
    let mut wrong = Vec::new();
    for path in names {
        let text = fs::read_to_string(&path).unwrap();
        let made = make(&text);
        if env::var_os("GOLDEN").is_some_and(|mode| mode == "write") {
            fs::write(&path, &made).unwrap();
        } else if made != text {
            wrong.push(format!("{}:\n{made}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "these differ:\n{}", wrong.join("\n"));
}

/// The file anew: its comment and given sections, with what is computed from them.
fn make(text: &str) -> String {
    let (comment, rest) = text.split_once("== ").unwrap();
    let mut given: Vec<(&str, &str)> = Vec::new();
    for section in format!("\n== {rest}").leak().split("\n== ").skip(1) {
        let (name, content) = section.split_once(" ==\n").unwrap();
        if GIVEN.contains(&name) {
            given.push((name, content.trim_end_matches('\n')));
        }
    }
    let section = |name: &str| given.iter().find(|(known, _)| *known == name).map(|(_, content)| *content);
    let mut out = String::from(comment);
    let mut put = |name: &str, content: &str| write!(out, "== {name} ==\n{content}\n").unwrap();
    put("signing name", section("signing name").unwrap());
    let request = section("request").unwrap();
    put("request", request);

    let (parts, body) = read_request(request);
    let id = serde_json::from_str::<RequestId>("\"00000000-0000-4000-8000-000000000000\"").unwrap();
    let refuse = |form: &ErrorForm, error: &ApiError| show_response(&encode_error(form, error, &id));
    let route = match route(Catalog::embedded(), &parts, &body, section("signing name")) {
        Ok(route) => route,
        Err(failed) => {
            put("refused", &refuse(&failed.form, &failed.error));
            return out;
        }
    };
    let input =
        decode(&route, &parts, body).and_then(|input| validate(route.operation, &input).map(|()| input));
    match input {
        Ok(input) => {
            let mut shown = format!("{}.{} ", route.service.id, route.operation.name);
            show(&input, 0, &mut shown);
            put("input", &shown);
        }
        Err(error) => put("refused", &refuse(&route.error_form(), &error)),
    }
    if let Some(output) = section("output") {
        put("output", output);
        let value: serde_json::Value = serde_json::from_str(output).unwrap();
        let doc = match route.operation.output_shape() {
            Some(shape) => read_output(route.service, shape, &value),
            None => Doc::empty(),
        };
        assert_eq!(check_output(route.operation, &doc), Ok(()));
        match EventEncoder::of(&route) {
            None => put("answer", &show_response(&encode_output(&route, &doc, &id))),
            Some(encoder) => {
                let head = encode_stream_head(&route, &doc, &id);
                put("answer", &show_response(&head.map(|()| Bytes::new())));
                let (events, failure) = (section("events").unwrap(), section("failure"));
                put("events", events);
                failure.inspect(|failure| put("failure", failure));
                put("messages", &stream(&route, encoder, &doc, events, failure.map(read_error).as_ref()));
            }
        }
    }
    if let Some(error) = section("error") {
        put("error", error);
        put("error answer", &refuse(&route.error_form(), &read_error(error)));
    }
    out
}

/// The messages of a streamed answer, each in hex: prelude, headers and payload, checksum.
fn stream(
    route: &Route,
    encoder: EventEncoder,
    head: &Doc,
    events: &str,
    failure: Option<&ApiError>,
) -> String {
    let shapes = route.operation.output_shape().unwrap().members.iter();
    let union = shapes.map(|member| route.service.shape(member.shape)).find(|shape| shape.event_stream);
    let mut pieces = Pieces::new();
    encoder.initial_response(head, &mut pieces);
    for line in events.lines() {
        let event = read_output(route.service, union.unwrap(), &serde_json::from_str(line).unwrap());
        assert_eq!(check_event(route.operation, &event), Ok(()));
        encoder.event(event, &mut pieces);
    }
    failure.inspect(|failure| encoder.failure(failure, &mut pieces));
    let mut out = String::new();
    for piece in pieces {
        let length = piece.len();
        let shown = |bytes: &[u8]| bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
        let readable: String = piece[12..length - 4]
            .iter()
            .map(|byte| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' })
            .collect();
        let (prelude, crc) = (shown(&piece[..12]), shown(&piece[length - 4..]));
        writeln!(out, "{prelude} {readable} {crc}").unwrap();
    }
    out.trim_end().to_owned()
}

fn read_request(text: &'static str) -> (Parts, Bytes) {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ');
    let mut request = http::Request::builder().method(first.next().unwrap()).uri(first.next().unwrap());
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        request = request.header(name, value);
    }
    let body = match body.strip_prefix("hex: ") {
        Some(hex) => {
            let digits: Vec<char> = hex.chars().collect();
            let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
            digits.chunks(2).map(byte).collect::<Vec<u8>>().into()
        }
        None => Bytes::from_static(body.as_bytes()),
    };
    (request.body(()).unwrap().into_parts().0, body)
}

fn read_error(text: &'static str) -> ApiError {
    let mut error = ApiError::new("", "");
    for line in text.lines() {
        let (name, value) = line.split_once(": ").unwrap();
        match name {
            "code" => error.code = value.into(),
            "message" => error.message = value.to_owned(),
            _ => error = error.member(name.strip_prefix("member ").unwrap(), value),
        }
    }
    error
}

/// An output written as JSON with the model's own member names; `{"$time": milliseconds}` is a moment.
fn read_output(service: &'static ServiceModel, shape: &'static Shape, value: &serde_json::Value) -> Doc {
    use serde_json::Value;
    let element = || service.shape(shape.element().unwrap().shape);
    match (shape.kind, value) {
        (Kind::Timestamp, value) => Doc::Time(Timestamp(value["$time"].as_i64().unwrap())),
        (Kind::Blob, value) => Doc::Blob(Bytes::from(value.as_str().unwrap().to_owned())),
        (_, Value::Bool(value)) => Doc::Bool(*value),
        (Kind::Float, Value::Number(value)) => Doc::Float(value.as_f64().unwrap()),
        (_, Value::Number(value)) => Doc::Int(value.as_i64().unwrap()),
        (_, Value::String(value)) => Doc::Str(value.clone()),
        (_, Value::Array(items)) => {
            Doc::List(items.iter().map(|item| read_output(service, element(), item)).collect())
        }
        (_, Value::Object(entries)) => {
            let inner = |key: &str| match shape.has_named_members() {
                true => service.shape(shape.member(key).unwrap_or_else(|| panic!("{key}")).shape),
                false => element(),
            };
            let read = |(key, value): (&String, &Value)| {
                (key.clone().into(), read_output(service, inner(key), value))
            };
            Doc::Map(entries.iter().map(read).collect())
        }
        (_, Value::Null) => Doc::Null,
    }
}

fn show_response(response: &Response<Bytes>) -> String {
    let mut out = format!("{}\n", response.status());
    let mut headers: Vec<_> = response.headers().iter().collect();
    headers.sort_by_key(|(name, _)| name.as_str());
    for (name, value) in headers {
        writeln!(out, "{name}: {}", value.to_str().unwrap()).unwrap();
    }
    let body = response.body();
    let shown = match std::str::from_utf8(body) {
        Ok(text) if !text.contains(|c: char| c.is_control() && c != '\n') => text.to_owned(),
        _ => body.iter().fold("hex: ".to_owned(), |hex, byte| hex + &format!("{byte:02x}")),
    };
    write!(out, "\n{}", shown.trim_end_matches('\n')).unwrap();
    out.trim_end_matches('\n').to_owned()
}

fn show(doc: &Doc, depth: usize, out: &mut String) {
    let pad = "  ".repeat(depth + 1);
    match doc {
        Doc::Map(entries) if entries.is_empty() => out.push_str("{}"),
        Doc::List(items) if items.is_empty() => out.push_str("[]"),
        Doc::Map(entries) => {
            out.push_str("{\n");
            for (key, value) in entries {
                write!(out, "{pad}{key}: ").unwrap();
                show(value, depth + 1, out);
                out.push('\n');
            }
            write!(out, "{}}}", "  ".repeat(depth)).unwrap();
        }
        Doc::List(items) => {
            out.push_str("[\n");
            for item in items {
                out.push_str(&pad);
                show(item, depth + 1, out);
                out.push('\n');
            }
            write!(out, "{}]", "  ".repeat(depth)).unwrap();
        }
        Doc::Time(moment) => write!(out, "time {}", moment.iso8601()).unwrap(),
        Doc::Blob(bytes) => write!(out, "blob {bytes:?}").unwrap(),
        Doc::Int(number) => write!(out, "int {number}").unwrap(),
        Doc::Float(number) => write!(out, "float {number:?}").unwrap(),
        other => match other {
            Doc::Str(text) => write!(out, "{text:?}").unwrap(),
            Doc::Bool(value) => write!(out, "{value}").unwrap(),
            _ => out.push_str("null"),
        },
    }
}

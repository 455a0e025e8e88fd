//! JSON bodies, read and written along the shapes of the model. Shared by the JSON 1.x and rest-json protocols.
//!
//! Members that the model does not know are skipped, as AWS does. Documents (open JSON) become untyped `Doc`s.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

use model::{Kind, Location, ServiceModel, Shape, TimeFormat};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::Doc;
use crate::doc::Key;
use crate::text;

/// Why a body is not its shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BadJson {
    /// Not JSON at all.
    Syntax(String),
    /// A value of the wrong type.
    Type(String),
}

/// Reads a body of a shape. Members that travel elsewhere (paths, headers) are not looked for.
pub(crate) fn read(
    service: &'static ServiceModel,
    shape: &'static Shape,
    body: &[u8],
) -> Result<Doc, BadJson> {
    let problem = RefCell::new(None);
    let mut json = serde_json::Deserializer::from_slice(body);
    let seed = Seed { service, shape, format: None, problem: &problem };
    let read = seed.deserialize(&mut json).and_then(|doc| json.end().map(|()| doc));
    read.map_err(|error| match problem.take() {
        Some(problem) if error.is_data() => BadJson::Type(problem),
        _ => BadJson::Syntax(error.to_string()),
    })
}

#[derive(Clone, Copy)]
struct Seed<'a> {
    service: &'static ServiceModel,
    shape: &'static Shape,
    format: Option<TimeFormat>,
    /// The reason for a refusal, kept here because serde turns errors into prose.
    problem: &'a RefCell<Option<String>>,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Doc;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Doc, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Seed<'_> {
    fn refuse<T, E: serde::de::Error>(&self, problem: String) -> Result<T, E> {
        let error = E::custom(&problem);
        self.problem.replace(Some(problem));
        Err(error)
    }

    /// A simple value of the wrong type; `token` is the JSON token that was found.
    fn mismatch<E: serde::de::Error>(&self, token: &str) -> Result<Doc, E> {
        let wanted = match self.shape.kind {
            Kind::String => "a String",
            Kind::Blob => "a Blob",
            Kind::Boolean => "a Boolean",
            Kind::Integer => "an Integer",
            Kind::Long => "a Long",
            Kind::Float => "a Double",
            Kind::Timestamp => "a Timestamp",
            Kind::List => return self.refuse("Expected list or null".to_owned()),
            Kind::Structure | Kind::Union | Kind::Map | Kind::Document => {
                return self.refuse("Expected structure, map or null".to_owned());
            }
        };
        self.refuse(format!("{token} can not be converted to {wanted}"))
    }

    fn child(&self, shape: &'static Shape, format: Option<TimeFormat>) -> Self {
        Seed { shape, format, ..*self }
    }

    fn structure<'de, A: MapAccess<'de>>(self, mut map: A) -> Result<Doc, A::Error> {
        let mut entries: Vec<(Key, Doc)> = Vec::with_capacity(self.shape.members.len().min(16));
        while let Some(name) = map.next_key_seed(Name)? {
            let member = self.shape.member_on_wire(&name).filter(|member| member.location == Location::Body);
            let Some(member) = member else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let child = self.child(self.service.shape(member.shape), member.time_format);
            let value = map.next_value_seed(child)?;
            if value != Doc::Null {
                // The last of several counts, as in every JSON parser the services use.
                entries.retain(|(key, _)| key != member.name);
                entries.push((Cow::Borrowed(member.name), value));
            }
        }
        Ok(Doc::Map(entries))
    }

    fn map<'de, A: MapAccess<'de>>(self, mut map: A) -> Result<Doc, A::Error> {
        let Some(element) = self.shape.element() else { return Ok(Doc::empty()) };
        let child = self.child(self.service.shape(element.shape), element.time_format);
        let mut entries: Vec<(Key, Doc)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            entries.push((Cow::Owned(key), map.next_value_seed(child)?));
        }
        Ok(Doc::Map(entries))
    }
}

/// A member's name, borrowed from the body where it has no escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }
    fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(v))
    }
    fn visit_str<E>(self, v: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(v.to_owned()))
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Doc;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.shape.name)
    }

    fn visit_unit<E>(self) -> Result<Doc, E> {
        Ok(Doc::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, v: bool) -> Result<Doc, E> {
        match self.shape.kind {
            Kind::Boolean | Kind::Document => Ok(Doc::Bool(v)),
            _ => self.mismatch(if v { "TRUE_VALUE" } else { "FALSE_VALUE" }),
        }
    }

    fn visit_i64<E: serde::de::Error>(self, v: i64) -> Result<Doc, E> {
        match self.shape.kind {
            Kind::Integer if i32::try_from(v).is_err() => {
                self.refuse(format!("{v} can not be converted to an Integer"))
            }
            Kind::Integer | Kind::Long | Kind::Document => Ok(Doc::Int(v)),
            #[allow(clippy::cast_precision_loss)] // what JSON numbers do
            Kind::Float | Kind::Timestamp => self.visit_f64(v as f64),
            _ => self.mismatch("NUMBER_VALUE"),
        }
    }

    fn visit_u64<E: serde::de::Error>(self, v: u64) -> Result<Doc, E> {
        match i64::try_from(v) {
            Ok(v) => self.visit_i64(v),
            Err(_) if self.shape.kind == Kind::Long => {
                self.refuse(format!("{v} can not be converted to a Long"))
            }
            #[allow(clippy::cast_precision_loss)] // what JSON numbers do
            Err(_) => self.visit_f64(v as f64),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<Doc, E> {
        match self.shape.kind {
            Kind::Float | Kind::Document => Ok(Doc::Float(v)),
            Kind::Timestamp => match text::from_epoch(v) {
                Some(moment) => Ok(Doc::Time(moment)),
                None => self.mismatch("NUMBER_VALUE"),
            },
            #[allow(clippy::cast_possible_truncation)] // whole and within 2^53
            Kind::Integer | Kind::Long if v.fract() == 0.0 && v.abs() < 9e15 => self.visit_i64(v as i64),
            Kind::Integer | Kind::Long => self.mismatch("DECIMAL_VALUE"),
            _ => self.mismatch("NUMBER_VALUE"),
        }
    }

    fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<Doc, E> {
        match self.shape.kind {
            Kind::String | Kind::Document => Ok(Doc::Str(v.to_owned())),
            Kind::Blob => text::decode_base64(v).map(Doc::Blob).or_else(|bad| self.refuse(bad.0)),
            Kind::Timestamp => {
                let format = self.format.or(self.shape.time_format).unwrap_or(TimeFormat::DateTime);
                match text::parse_time(v, format) {
                    Some(moment) => Ok(Doc::Time(moment)),
                    None => self.mismatch("STRING_VALUE"),
                }
            }
            Kind::Float => match v {
                "NaN" => Ok(Doc::Float(f64::NAN)),
                "Infinity" => Ok(Doc::Float(f64::INFINITY)),
                "-Infinity" => Ok(Doc::Float(f64::NEG_INFINITY)),
                _ => self.mismatch("STRING_VALUE"),
            },
            _ => self.mismatch("STRING_VALUE"),
        }
    }

    fn visit_string<E: serde::de::Error>(self, v: String) -> Result<Doc, E> {
        if self.shape.kind == Kind::String { Ok(Doc::Str(v)) } else { self.visit_str(&v) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Doc, A::Error> {
        let child = match (self.shape.kind, self.shape.element()) {
            (Kind::List, Some(element)) => self.child(self.service.shape(element.shape), element.time_format),
            (Kind::Document, _) => self,
            _ => return self.refuse("Start of list found where not expected".to_owned()),
        };
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(child)? {
            items.push(item);
        }
        Ok(Doc::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Doc, A::Error> {
        match self.shape.kind {
            Kind::Structure | Kind::Union => self.structure(map),
            Kind::Map => self.map(map),
            Kind::Document => {
                let mut entries: Vec<(Key, Doc)> = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    entries.push((Cow::Owned(key), map.next_value_seed(self)?));
                }
                Ok(Doc::Map(entries))
            }
            _ => self.refuse("Start of structure or map found where not expected.".to_owned()),
        }
    }
}

/// Writes a value of a shape. Members that travel elsewhere are left out.
pub(crate) fn write(service: &'static ServiceModel, shape: &Shape, value: &Doc, out: &mut Vec<u8>) {
    write_value(service, shape, None, value, out);
}

fn write_value(
    service: &'static ServiceModel,
    shape: &Shape,
    format: Option<TimeFormat>,
    value: &Doc,
    out: &mut Vec<u8>,
) {
    match value {
        Doc::Null => out.extend_from_slice(b"null"),
        Doc::Bool(true) => out.extend_from_slice(b"true"),
        Doc::Bool(false) => out.extend_from_slice(b"false"),
        Doc::Int(number) => out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
        Doc::Float(number) if number.is_finite() => out.extend_from_slice(text::float(*number).as_bytes()),
        Doc::Float(number) => write_string(&text::float(*number), out),
        Doc::Str(text) => write_string(text, out),
        Doc::Blob(_) => {
            write_string(&text::write(shape, value, TimeFormat::EpochSeconds).unwrap_or_default(), out)
        }
        Doc::Time(moment) => match format.or(shape.time_format).unwrap_or(TimeFormat::EpochSeconds) {
            TimeFormat::EpochSeconds => out.extend_from_slice(text::epoch(*moment).as_bytes()),
            other => write_string(&text::write_time(*moment, other), out),
        },
        Doc::List(items) => {
            let element = shape.element().map(|element| (service.shape(element.shape), element.time_format));
            let (inner, format) = element.unwrap_or((shape, None));
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(service, inner, format, item, out);
            }
            out.push(b']');
        }
        Doc::Map(entries) => write_entries(service, shape, entries, out),
    }
}

fn write_entries(service: &'static ServiceModel, shape: &Shape, entries: &[(Key, Doc)], out: &mut Vec<u8>) {
    out.push(b'{');
    let mut first = true;
    for (key, value) in entries {
        let (name, inner, format) = if shape.has_named_members() {
            // A member that the model lacks is found by `check_output`; it must not reach a client.
            let Some(member) = shape.member(key) else { continue };
            if member.location != Location::Body || *value == Doc::Null {
                continue;
            }
            (member.wire_name, service.shape(member.shape), member.time_format)
        } else {
            let element = shape.element().map(|element| (service.shape(element.shape), element.time_format));
            let (inner, format) = element.unwrap_or((shape, None));
            (key.as_ref(), inner, format)
        };
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        write_string(name, out);
        out.push(b':');
        write_value(service, inner, format, value, out);
    }
    out.push(b'}');
}

/// Writes a JSON string.
pub(crate) fn write_string(text: &str, out: &mut Vec<u8>) {
    // Writing a string into a vector cannot fail: neither side has an error to give.
    let _ = serde_json::to_writer(out, text);
}

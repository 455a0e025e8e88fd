//! CBOR along the shapes of the model, for smithy-rpc-v2-cbor.
//!
//! Reads every well-formed item (definite and indefinite lengths, half floats); writes definite lengths and the
//! shortest integers. Rules: <https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html>, RFC 8949.

use std::borrow::Cow;

use bytes::Bytes;
use model::{Kind, Location, ServiceModel, Shape};

use crate::doc::Key;
use crate::{Doc, text};

/// Items nest no deeper than this in any model.
const MAX_DEPTH: usize = 64;

/// Reads a body of a shape. The message says what is wrong.
pub(super) fn read(
    service: &'static ServiceModel,
    shape: &'static Shape,
    body: &[u8],
) -> Result<Doc, String> {
    let mut reader = Reader { rest: body, depth: 0 };
    let item = reader.item()?;
    if !reader.rest.is_empty() {
        return Err("there is more than one CBOR item in the body".to_owned());
    }
    shaped(service, shape, item)
}

/// An item before it is measured against a shape.
enum Item {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Bytes(Vec<u8>),
    Text(String),
    List(Vec<Item>),
    Map(Vec<(String, Item)>),
    Tagged(u64, Box<Item>),
}

struct Reader<'a> {
    rest: &'a [u8],
    depth: usize,
}

const BREAK: u8 = 0xFF;

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Result<&[u8], String> {
        let (head, tail) = self.rest.split_at_checked(count).ok_or("the CBOR body ends too early")?;
        self.rest = tail;
        Ok(head)
    }

    /// Major type, and the argument or none for an indefinite length.
    fn head(&mut self) -> Result<(u8, u8, Option<u64>), String> {
        let first = self.take(1)?[0];
        let (major, info) = (first >> 5, first & 0x1F);
        let argument = match info {
            0..=23 => Some(u64::from(info)),
            24..=27 => {
                let bytes = self.take(1 << (info - 24))?;
                Some(bytes.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte)))
            }
            31 => None,
            _ => return Err("a CBOR head uses a reserved value".to_owned()),
        };
        Ok((major, info, argument))
    }

    fn at_break(&mut self) -> bool {
        if self.rest.first() == Some(&BREAK) {
            self.rest = &self.rest[1..];
            return true;
        }
        false
    }

    fn item(&mut self) -> Result<Item, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("the CBOR items nest too deeply".to_owned());
        }
        let (major, info, argument) = self.head()?;
        let too_large = |_| "a CBOR integer does not fit 64 bits signed".to_owned();
        let item = match (major, argument) {
            (0, Some(value)) => Item::Int(i64::try_from(value).map_err(too_large)?),
            (1, Some(value)) => Item::Int(-1 - i64::try_from(value).map_err(too_large)?),
            (2, _) => Item::Bytes(self.string(2, argument)?),
            (3, _) => {
                let text = String::from_utf8(self.string(3, argument)?);
                Item::Text(text.map_err(|_| "a CBOR text is not valid UTF-8".to_owned())?)
            }
            (4, _) => {
                let mut items = Vec::new();
                while self.more(argument, items.len()) {
                    items.push(self.item()?);
                }
                Item::List(items)
            }
            (5, _) => {
                let mut entries = Vec::new();
                while self.more(argument, entries.len()) {
                    let Item::Text(key) = self.item()? else {
                        return Err("a CBOR map's key is no text".to_owned());
                    };
                    entries.push((key, self.item()?));
                }
                Item::Map(entries)
            }
            (6, Some(tag)) => Item::Tagged(tag, Box::new(self.item()?)),
            (7, Some(value)) => simple(info, value)?,
            _ => return Err("a CBOR item of indefinite length is not allowed here".to_owned()),
        };
        self.depth -= 1;
        Ok(item)
    }

    fn more(&mut self, length: Option<u64>, so_far: usize) -> bool {
        match length {
            Some(length) => (so_far as u64) < length,
            None => !self.at_break(),
        }
    }

    fn string(&mut self, major: u8, length: Option<u64>) -> Result<Vec<u8>, String> {
        let sized = |length: u64| usize::try_from(length).map_err(|_| "a CBOR string is too long".to_owned());
        if let Some(length) = length {
            return Ok(self.take(sized(length)?)?.to_vec());
        }
        let mut all = Vec::new();
        while !self.at_break() {
            match self.head()? {
                (chunk, _, Some(length)) if chunk == major => {
                    all.extend_from_slice(self.take(sized(length)?)?)
                }
                _ => return Err("a CBOR string has a part of another type".to_owned()),
            }
        }
        Ok(all)
    }
}

fn simple(info: u8, value: u64) -> Result<Item, String> {
    Ok(match (info, value) {
        (_, 20) if info < 24 => Item::Bool(false),
        (_, 21) if info < 24 => Item::Bool(true),
        (_, 22 | 23) if info < 24 => Item::Null,
        (25, half) => Item::Float(from_half(half)),
        (26, bits) => Item::Float(f32::from_bits(u32::try_from(bits).unwrap_or_default()).into()),
        (27, bits) => Item::Float(f64::from_bits(bits)),
        _ => return Err("a CBOR simple value is not known".to_owned()),
    })
}

fn from_half(bits: u64) -> f64 {
    let (sign, exponent, fraction) = (bits >> 15, (bits >> 10) & 0x1F, bits & 0x3FF);
    #[allow(clippy::cast_precision_loss)] // 10 bits
    let fraction = fraction as f64 / 1024.0;
    let size = match exponent {
        0 => fraction * 2f64.powi(-14),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction) * 2f64.powi(i32::try_from(exponent).unwrap_or_default() - 15),
    };
    if sign == 1 { -size } else { size }
}

fn shaped(service: &'static ServiceModel, shape: &'static Shape, item: Item) -> Result<Doc, String> {
    let element = || shape.element().map(|element| service.shape(element.shape));
    Ok(match (shape.kind, item) {
        (_, Item::Null) => Doc::Null,
        (Kind::Boolean, Item::Bool(value)) => Doc::Bool(value),
        (Kind::Integer, Item::Int(value)) if i32::try_from(value).is_ok() => Doc::Int(value),
        (Kind::Long, Item::Int(value)) => Doc::Int(value),
        (Kind::Float, Item::Float(value)) => Doc::Float(value),
        #[allow(clippy::cast_precision_loss)] // what a float of that size is
        (Kind::Float, Item::Int(value)) => Doc::Float(value as f64),
        (Kind::String, Item::Text(value)) => Doc::Str(value),
        (Kind::Blob, Item::Bytes(value)) => Doc::Blob(Bytes::from(value)),
        (Kind::Timestamp, Item::Tagged(1, moment)) => timestamp(&moment)?,
        (Kind::List, Item::List(items)) => {
            let inner = element().unwrap_or(shape);
            Doc::List(items.into_iter().map(|item| shaped(service, inner, item)).collect::<Result<_, _>>()?)
        }
        (Kind::Map, Item::Map(entries)) => {
            let inner = element().unwrap_or(shape);
            let entry = |(key, item)| shaped(service, inner, item).map(|value| (Key::Owned(key), value));
            Doc::Map(entries.into_iter().map(entry).collect::<Result<_, _>>()?)
        }
        (Kind::Structure | Kind::Union, Item::Map(entries)) => {
            let mut members: Vec<(Key, Doc)> = Vec::with_capacity(entries.len());
            for (key, item) in entries {
                // Members that the model does not know are skipped, as AWS does.
                let Some(member) = shape.member_on_wire(&key) else { continue };
                let value = shaped(service, service.shape(member.shape), item)?;
                if value != Doc::Null {
                    members.push((Cow::Borrowed(member.name), value));
                }
            }
            Doc::Map(members)
        }
        (kind, _) => {
            return Err(format!("a CBOR item is not of the expected type {kind:?} ({})", shape.name));
        }
    })
}

fn timestamp(item: &Item) -> Result<Doc, String> {
    #[allow(clippy::cast_precision_loss)] // seconds
    let seconds = match item {
        Item::Int(seconds) => *seconds as f64,
        Item::Float(seconds) => *seconds,
        _ => return Err("a CBOR timestamp is no number".to_owned()),
    };
    text::from_epoch(seconds).map(Doc::Time).ok_or_else(|| "a CBOR timestamp is out of range".to_owned())
}

/// Writes a value of a shape.
pub(super) fn write(service: &'static ServiceModel, shape: &Shape, value: &Doc, out: &mut Vec<u8>) {
    match value {
        Doc::Null => out.push(0xF6),
        Doc::Bool(value) => out.push(if *value { 0xF5 } else { 0xF4 }),
        Doc::Int(number) => write_int(*number, out),
        Doc::Float(number) => {
            out.push(0xFB);
            out.extend_from_slice(&number.to_bits().to_be_bytes());
        }
        Doc::Str(text) => write_text(text, out),
        Doc::Blob(bytes) => {
            write_head(2, bytes.len() as u64, out);
            out.extend_from_slice(bytes);
        }
        Doc::Time(moment) => {
            out.push(0xC1);
            if moment.0.rem_euclid(1000) == 0 {
                write_int(moment.0.div_euclid(1000), out);
            } else {
                write(service, shape, &Doc::Float(moment.as_secs_f64()), out);
            }
        }
        Doc::List(items) => {
            let inner = shape.element().map_or(shape, |element| service.shape(element.shape));
            write_head(4, items.len() as u64, out);
            for item in items {
                write(service, inner, item, out);
            }
        }
        Doc::Map(entries) if shape.has_named_members() => {
            let mut members = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                let member = shape.member(key).filter(|member| member.location == Location::Body);
                members.extend(member.filter(|_| *value != Doc::Null).map(|member| (member, value)));
            }
            write_head(5, members.len() as u64, out);
            for (member, value) in members {
                write_text(member.wire_name, out);
                write(service, service.shape(member.shape), value, out);
            }
        }
        Doc::Map(entries) => {
            let inner = shape.element().map_or(shape, |element| service.shape(element.shape));
            write_head(5, entries.len() as u64, out);
            for (key, value) in entries {
                write_text(key, out);
                write(service, inner, value, out);
            }
        }
    }
}

/// An answer without members.
pub(super) fn write_empty(out: &mut Vec<u8>) {
    write_head(5, 0, out);
}

/// A map of texts.
pub(super) fn write_texts(entries: &[(&str, &str)], out: &mut Vec<u8>) {
    write_head(5, entries.len() as u64, out);
    for (key, value) in entries {
        write_text(key, out);
        write_text(value, out);
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    write_head(3, text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

fn write_int(number: i64, out: &mut Vec<u8>) {
    if number >= 0 {
        write_head(0, number.unsigned_abs(), out);
    } else {
        write_head(1, number.unsigned_abs() - 1, out);
    }
}

fn write_head(major: u8, argument: u64, out: &mut Vec<u8>) {
    let major = major << 5;
    let bytes = argument.to_be_bytes();
    match argument {
        0..=23 => out.push(major | bytes[7]),
        24..=0xFF => out.extend_from_slice(&[major | 24, bytes[7]]),
        0x100..=0xFFFF => {
            out.push(major | 25);
            out.extend_from_slice(&bytes[6..]);
        }
        0x1_0000..=0xFFFF_FFFF => {
            out.push(major | 26);
            out.extend_from_slice(&bytes[4..]);
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&bytes);
        }
    }
}

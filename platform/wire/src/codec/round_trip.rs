//! A property: what a codec writes along a shape, it reads back. Tried on made-up values of every input and output of
//! every embedded model, in each body format.

use std::borrow::Cow;

use base::Timestamp;
use bytes::Bytes;
use model::{Catalog, Kind, Location, ServiceModel, Shape};

use super::{cbor, json, xml};
use crate::Doc;
use crate::doc::Key;

/// A small generator with a fixed seed: a failing case fails again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn text(&mut self) -> String {
        const PIECES: [&str; 8] = ["a", "Z", " ", "ü", "<&>\"", "\n", "\u{1F600}", "'\\"];
        (0..self.roll(6)).map(|_| PIECES[self.roll(8) as usize]).collect()
    }

    fn value(&mut self, service: &'static ServiceModel, shape: &'static Shape, depth: usize) -> Doc {
        let element = || service.shape(shape.element().unwrap().shape);
        match shape.kind {
            Kind::Structure | Kind::Union => self.structure(service, shape, depth),
            Kind::List => {
                let count = if depth > 5 { 1 } else { 1 + self.roll(3) };
                Doc::List((0..count).map(|_| self.value(service, element(), depth + 1)).collect())
            }
            Kind::Map => {
                let entry = |n| (Key::Owned(format!("k{n}<")), self.value(service, element(), depth + 1));
                Doc::Map((0..2).map(entry).collect())
            }
            Kind::String => Doc::Str(self.text()),
            Kind::Blob => Doc::Blob(Bytes::from(self.text())),
            Kind::Boolean => Doc::Bool(self.roll(2) == 1),
            Kind::Integer => Doc::Int(self.roll(2000) as i64 - 1000),
            Kind::Long => Doc::Int((self.roll(1 << 30) as i64 - (1 << 29)) << 20),
            Kind::Float => Doc::Float(self.roll(1000) as f64 / 8.0 - 50.0),
            // HTTP dates hold no fraction.
            Kind::Timestamp => Doc::Time(Timestamp(self.roll(4_000_000_000) as i64 * 1000)),
            Kind::Document => Doc::Str(self.text()),
        }
    }

    fn structure(&mut self, service: &'static ServiceModel, shape: &'static Shape, depth: usize) -> Doc {
        let mut entries: Vec<(Key, Doc)> = Vec::new();
        for member in shape.members.iter().filter(|member| member.location == Location::Body) {
            let inner = service.shape(member.shape);
            let simple = inner.members.is_empty();
            // One deprecated shape has two members of one name on the wire; no reader can tell them apart.
            let same = shape.members.iter().filter(|other| other.form_name() == member.form_name());
            let unique = same.count() == 1;
            if unique && (simple || depth < 6) && self.roll(3) > 0 {
                entries.push((Cow::Borrowed(member.name), self.value(service, inner, depth + 1)));
            }
        }
        Doc::Map(entries)
    }
}

/// Maps as sets: codecs that walk the shape change the order of members.
fn sorted(doc: Doc) -> Doc {
    match doc {
        Doc::Map(entries) => {
            let mut entries: Vec<_> = entries.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Doc::Map(entries)
        }
        Doc::List(items) => Doc::List(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

#[test]
fn what_is_written_can_be_read_back() {
    let mut dice = Dice(7);
    let mut tried = 0;
    for slot in 0..Catalog::embedded().entries().len() {
        let service = Catalog::embedded().at(slot).unwrap();
        for operation in &service.operations {
            for shape in [operation.input_shape(), operation.output_shape()].into_iter().flatten() {
                let doc = sorted(dice.structure(service, shape, 0));
                let name = format!("{} {}", service.id, shape.name);
                let mut out = Vec::new();
                json::write(service, shape, &doc, &mut out);
                assert_eq!(json::read(service, shape, &out).map(sorted), Ok(doc.clone()), "json {name}");
                out.clear();
                cbor::write(service, shape, &doc, &mut out);
                assert_eq!(cbor::read(service, shape, &out).map(sorted), Ok(doc.clone()), "cbor {name}");
                out.clear();
                xml::write_document(service, shape, &doc, "Root", &mut out);
                let text = String::from_utf8_lossy(&out).into_owned();
                assert_eq!(xml::read(service, shape, &out).map(sorted), Ok(doc), "xml {name}: {text}");
                tried += 1;
            }
        }
    }
    assert!(tried > 500);
}

/// No body makes a codec panic: every prefix of a good one, and every good one with a byte changed.
#[test]
fn damaged_bodies_are_refused_or_read_but_never_panic() {
    let mut dice = Dice(11);
    let service = Catalog::embedded().service("lambda").unwrap();
    let shape = service.operation("CreateFunction").unwrap().input_shape().unwrap();
    for _ in 0..20 {
        let doc = dice.structure(service, shape, 0);
        let mut bodies = [Vec::new(), Vec::new(), Vec::new()];
        json::write(service, shape, &doc, &mut bodies[0]);
        cbor::write(service, shape, &doc, &mut bodies[1]);
        xml::write_document(service, shape, &doc, "Root", &mut bodies[2]);
        for _ in 0..200 {
            for body in &bodies {
                let mut damaged = body.clone();
                let at = dice.roll(damaged.len() as u64) as usize;
                if dice.roll(2) == 0 {
                    damaged.truncate(at);
                } else {
                    damaged[at] = dice.roll(256) as u8;
                }
                let _ = json::read(service, shape, &damaged);
                let _ = cbor::read(service, shape, &damaged);
                let _ = xml::read(service, shape, &damaged);
            }
        }
    }
}

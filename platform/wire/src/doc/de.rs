//! A serde deserializer that takes a [`Doc`] apart, strictly.
//!
//! Nulls count as absent. An integer serves where a number with a fraction is wanted; nothing else is converted.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::value::{CowStrDeserializer, I64Deserializer};
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};

use super::{Blob, Doc, DocError, Key, handover};

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(handover::BLOB, BlobVisitor)
    }
}

struct BlobVisitor;

impl<'de> Visitor<'de> for BlobVisitor {
    type Value = Blob;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a blob")
    }
    /// Our own reader: the bytes wait at the handover.
    fn visit_unit<E: de::Error>(self) -> Result<Blob, E> {
        handover::take().map(Blob).ok_or_else(|| E::invalid_type(Unexpected::Unit, &self))
    }
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Blob, D::Error> {
        deserializer.deserialize_byte_buf(self)
    }
    fn visit_bytes<E: de::Error>(self, v: &[u8]) -> Result<Blob, E> {
        Ok(Blob(Bytes::copy_from_slice(v)))
    }
    fn visit_byte_buf<E: de::Error>(self, v: Vec<u8>) -> Result<Blob, E> {
        Ok(Blob(Bytes::from(v)))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Blob, A::Error> {
        let mut bytes = Vec::with_capacity(seq.size_hint().unwrap_or(0).min(64 * 1024));
        while let Some(byte) = seq.next_element::<u8>()? {
            bytes.push(byte);
        }
        Ok(Blob(Bytes::from(bytes)))
    }
}

pub(super) struct Reader(pub(super) Doc);

impl Reader {
    fn unexpected<T>(&self, wanted: &str) -> Result<T, DocError> {
        Err(DocError::invalid(format_args!("{} where {wanted} is expected", self.0.kind())))
    }
}

impl<'de> Deserializer<'de> for Reader {
    type Error = DocError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DocError> {
        match self.0 {
            Doc::Null => visitor.visit_unit(),
            Doc::Bool(v) => visitor.visit_bool(v),
            Doc::Int(v) => visitor.visit_i64(v),
            Doc::Float(v) => visitor.visit_f64(v),
            Doc::Str(v) => visitor.visit_string(v),
            Doc::Blob(v) => visitor.visit_byte_buf(v.to_vec()),
            Doc::Time(v) => visitor.visit_i64(v.0),
            Doc::List(items) => read_list(items, visitor),
            Doc::Map(entries) => read_map(entries, visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DocError> {
        if self.0 == Doc::Null { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DocError> {
        match self.0 {
            Doc::Null => visitor.visit_unit(),
            Doc::Map(entries) => match entries.into_iter().find(|(_, value)| *value != Doc::Null) {
                Some((key, _)) => Err(DocError::unknown_field(&key, &[])),
                None => visitor.visit_unit(),
            },
            _ => self.unexpected("an empty structure"),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DocError> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DocError> {
        match (name, self.0) {
            (handover::BLOB, Doc::Blob(bytes)) => {
                handover::put(bytes);
                visitor.visit_unit()
            }
            (handover::BLOB, other) => Reader(other).unexpected("a blob"),
            (handover::TIME, Doc::Time(moment)) => {
                visitor.visit_newtype_struct(I64Deserializer::new(moment.0))
            }
            (handover::TIME, other) => Reader(other).unexpected("a timestamp"),
            (_, other) => visitor.visit_newtype_struct(Reader(other)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DocError> {
        let Doc::Map(entries) = self.0 else { return self.unexpected("a structure") };
        for (key, value) in &entries {
            if *value != Doc::Null && !fields.contains(&key.as_ref()) {
                return Err(DocError::unknown_field(key, fields));
            }
        }
        read_map(entries, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DocError> {
        match self.0 {
            Doc::Str(text) => visitor.visit_enum(text.into_deserializer()),
            Doc::Map(entries) => {
                let mut set = entries.into_iter().filter(|(_, value)| *value != Doc::Null);
                let (Some((name, content)), None) = (set.next(), set.next()) else {
                    return Err(DocError::invalid("exactly one member of a union must be set"));
                };
                if !variants.contains(&name.as_ref()) {
                    return Err(DocError::unknown_field(&name, variants));
                }
                visitor.visit_enum(Union { name, content })
            }
            _ => self.unexpected("an enum or union"),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DocError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string
        bytes byte_buf seq tuple tuple_struct map identifier
    }
}

fn read_list<'de, V: Visitor<'de>>(items: Vec<Doc>, visitor: V) -> Result<V::Value, DocError> {
    visitor.visit_seq(Items { rest: items.into_iter(), index: 0 })
}

fn read_map<'de, V: Visitor<'de>>(entries: Vec<(Key, Doc)>, visitor: V) -> Result<V::Value, DocError> {
    visitor.visit_map(Entries { rest: entries.into_iter(), current: None })
}

struct Items {
    rest: std::vec::IntoIter<Doc>,
    index: usize,
}

impl<'de> SeqAccess<'de> for Items {
    type Error = DocError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DocError> {
        let Some(item) = self.rest.next() else { return Ok(None) };
        let index = self.index;
        self.index += 1;
        seed.deserialize(Reader(item)).map(Some).map_err(|error| error.within(&index.to_string()))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

struct Entries {
    rest: std::vec::IntoIter<(Key, Doc)>,
    current: Option<(Key, Doc)>,
}

impl<'de> MapAccess<'de> for Entries {
    type Error = DocError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DocError> {
        let Some((key, value)) = self.rest.find(|(_, value)| *value != Doc::Null) else { return Ok(None) };
        let deserializer: CowStrDeserializer<'_, DocError> = Cow::Borrowed(key.as_ref()).into_deserializer();
        let read = seed.deserialize(deserializer).map(Some).map_err(|error| error.within(&key));
        self.current = Some((key, value));
        read
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, DocError> {
        let (key, value) =
            self.current.take().ok_or_else(|| DocError::invalid("a value asked for before its key"))?;
        seed.deserialize(Reader(value)).map_err(|error| error.within(&key))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// A structure with one member, read as an enum with content.
struct Union {
    name: Key,
    content: Doc,
}

impl<'de> EnumAccess<'de> for Union {
    type Error = DocError;
    type Variant = Content;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Content), DocError> {
        let deserializer: CowStrDeserializer<'_, DocError> =
            Cow::Borrowed(self.name.as_ref()).into_deserializer();
        let variant = seed.deserialize(deserializer)?;
        Ok((variant, Content { name: self.name, content: self.content }))
    }
}

struct Content {
    name: Key,
    content: Doc,
}

impl<'de> VariantAccess<'de> for Content {
    type Error = DocError;

    fn unit_variant(self) -> Result<(), DocError> {
        Err(DocError::invalid(format_args!("'{}' takes no content", self.name)))
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, DocError> {
        seed.deserialize(Reader(self.content)).map_err(|error| error.within(&self.name))
    }
    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, DocError> {
        Reader(self.content).deserialize_any(visitor).map_err(|error| error.within(&self.name))
    }
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DocError> {
        let read = Reader(self.content).deserialize_struct("", fields, visitor);
        read.map_err(|error| error.within(&self.name))
    }
}

//! A serde serializer whose output is a [`Doc`].
//!
//! Structs become maps with borrowed names, enums become their variant's name (or, with content, a union: a map of
//! one entry). Members that are null are left out of structs; entries of maps that are null stay.

use std::borrow::Cow;

use base::Timestamp;
use bytes::Bytes;
use serde::ser::{
    Impossible, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct,
};
use serde::{Serialize, Serializer};

use super::{Blob, Doc, DocError, Key, handover};

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Slice<'a>(&'a [u8]);
        impl Serialize for Slice<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(self.0)
            }
        }
        handover::put(self.0.clone());
        let result = serializer.serialize_newtype_struct(handover::BLOB, &Slice(&self.0));
        handover::take();
        result
    }
}

pub(super) struct Writer;

type Done = Result<Doc, DocError>;

impl Serializer for Writer {
    type Ok = Doc;
    type Error = DocError;
    type SerializeSeq = Items;
    type SerializeTuple = Items;
    type SerializeTupleStruct = Items;
    type SerializeTupleVariant = Impossible<Doc, DocError>;
    type SerializeMap = Entries;
    type SerializeStruct = Entries;
    type SerializeStructVariant = Entries;

    fn serialize_bool(self, v: bool) -> Done {
        Ok(Doc::Bool(v))
    }
    fn serialize_i8(self, v: i8) -> Done {
        Ok(Doc::Int(v.into()))
    }
    fn serialize_i16(self, v: i16) -> Done {
        Ok(Doc::Int(v.into()))
    }
    fn serialize_i32(self, v: i32) -> Done {
        Ok(Doc::Int(v.into()))
    }
    fn serialize_i64(self, v: i64) -> Done {
        Ok(Doc::Int(v))
    }
    fn serialize_u8(self, v: u8) -> Done {
        Ok(Doc::Int(v.into()))
    }
    fn serialize_u16(self, v: u16) -> Done {
        Ok(Doc::Int(v.into()))
    }
    fn serialize_u32(self, v: u32) -> Done {
        Ok(Doc::Int(v.into()))
    }
    fn serialize_u64(self, v: u64) -> Done {
        let number = i64::try_from(v);
        number.map(Doc::Int).map_err(|_| DocError::invalid(format_args!("{v} does not fit 64 bits signed")))
    }
    fn serialize_f32(self, v: f32) -> Done {
        Ok(Doc::Float(v.into()))
    }
    fn serialize_f64(self, v: f64) -> Done {
        Ok(Doc::Float(v))
    }
    fn serialize_char(self, v: char) -> Done {
        Ok(Doc::Str(v.to_string()))
    }
    fn serialize_str(self, v: &str) -> Done {
        Ok(Doc::Str(v.to_owned()))
    }
    fn serialize_bytes(self, v: &[u8]) -> Done {
        Ok(Doc::Blob(Bytes::copy_from_slice(v)))
    }
    fn serialize_none(self) -> Done {
        Ok(Doc::Null)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Done {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Done {
        Ok(Doc::empty())
    }
    fn serialize_unit_struct(self, _name: &'static str) -> Done {
        Ok(Doc::empty())
    }
    fn serialize_unit_variant(self, _name: &'static str, _index: u32, variant: &'static str) -> Done {
        Ok(Doc::Str(variant.to_owned()))
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Done {
        match name {
            handover::BLOB => match handover::take() {
                Some(bytes) => Ok(Doc::Blob(bytes)),
                None => value.serialize(self),
            },
            handover::TIME => match value.serialize(self)? {
                Doc::Int(millis) => Ok(Doc::Time(Timestamp(millis))),
                other => Ok(other),
            },
            _ => value.serialize(self),
        }
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Done {
        let inner = value.serialize(self).map_err(|error| error.within(variant))?;
        Ok(Doc::Map(vec![(Cow::Borrowed(variant), inner)]))
    }
    fn serialize_seq(self, len: Option<usize>) -> Result<Items, DocError> {
        Ok(Items(Vec::with_capacity(len.unwrap_or(0))))
    }
    fn serialize_tuple(self, len: usize) -> Result<Items, DocError> {
        self.serialize_seq(Some(len))
    }
    fn serialize_tuple_struct(self, _name: &'static str, len: usize) -> Result<Items, DocError> {
        self.serialize_seq(Some(len))
    }
    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeTupleVariant, DocError> {
        Err(DocError::invalid(format_args!("tuple variant {name}::{variant} has no form in a document")))
    }
    fn serialize_map(self, len: Option<usize>) -> Result<Entries, DocError> {
        Ok(Entries::new(len.unwrap_or(0), None))
    }
    fn serialize_struct(self, _name: &'static str, len: usize) -> Result<Entries, DocError> {
        Ok(Entries::new(len, None))
    }
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Entries, DocError> {
        Ok(Entries::new(len, Some(variant)))
    }
}

pub(super) struct Items(Vec<Doc>);

impl Items {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), DocError> {
        let item = value.serialize(Writer).map_err(|error| error.within(&self.0.len().to_string()))?;
        self.0.push(item);
        Ok(())
    }
}

impl SerializeSeq for Items {
    type Ok = Doc;
    type Error = DocError;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), DocError> {
        self.push(value)
    }
    fn end(self) -> Done {
        Ok(Doc::List(self.0))
    }
}

impl SerializeTuple for Items {
    type Ok = Doc;
    type Error = DocError;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), DocError> {
        self.push(value)
    }
    fn end(self) -> Done {
        Ok(Doc::List(self.0))
    }
}

impl SerializeTupleStruct for Items {
    type Ok = Doc;
    type Error = DocError;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), DocError> {
        self.push(value)
    }
    fn end(self) -> Done {
        Ok(Doc::List(self.0))
    }
}

pub(super) struct Entries {
    entries: Vec<(Key, Doc)>,
    key: Option<String>,
    variant: Option<&'static str>,
}

impl Entries {
    fn new(capacity: usize, variant: Option<&'static str>) -> Self {
        Entries { entries: Vec::with_capacity(capacity), key: None, variant }
    }

    fn member<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), DocError> {
        let value = value.serialize(Writer).map_err(|error| error.within(name))?;
        if value != Doc::Null {
            self.entries.push((Cow::Borrowed(name), value));
        }
        Ok(())
    }
}

impl SerializeMap for Entries {
    type Ok = Doc;
    type Error = DocError;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), DocError> {
        let key = match key.serialize(Writer)? {
            Doc::Str(text) => text,
            Doc::Int(number) => number.to_string(),
            other => {
                return Err(DocError::invalid(format_args!("a map's key is {}, not text", other.kind())));
            }
        };
        self.key = Some(key);
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), DocError> {
        let key = self.key.take().ok_or_else(|| DocError::invalid("a map's value came before its key"))?;
        let value = value.serialize(Writer).map_err(|error| error.within(&key))?;
        self.entries.push((Cow::Owned(key), value));
        Ok(())
    }
    fn end(self) -> Done {
        Ok(Doc::Map(self.entries))
    }
}

impl SerializeStruct for Entries {
    type Ok = Doc;
    type Error = DocError;
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), DocError> {
        self.member(name, value)
    }
    fn end(self) -> Done {
        Ok(Doc::Map(self.entries))
    }
}

impl SerializeStructVariant for Entries {
    type Ok = Doc;
    type Error = DocError;
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), DocError> {
        self.member(name, value)
    }
    fn end(self) -> Done {
        let inner = Doc::Map(self.entries);
        Ok(match self.variant {
            Some(variant) => Doc::Map(vec![(Cow::Borrowed(variant), inner)]),
            None => inner,
        })
    }
}

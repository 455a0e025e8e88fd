//! `Doc`: the protocol-neutral document that stands between the codecs and the handlers.
//!
//! Codecs make it from a request and write it into an answer; serde turns it into a handler's struct and back. A
//! blob keeps its `Bytes` on the way, in both directions: a payload is never copied. It is not a general JSON value:
//! it has a type for each simple type of the AWS models (<https://smithy.io/2.0/spec/simple-types.html>), so a
//! blob is no string and a timestamp is no number.
//!
//! **Invariant:** turning a `Doc` into a struct is strict. A member that the struct lacks is an error which names it,
//! so no parameter is ever ignored silently.

mod de;
mod probe;
mod ser;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use base::Timestamp;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use probe::members_of;

/// A member's or a map entry's name. The names of the models are borrowed, the names of map entries owned.
pub type Key = Cow<'static, str>;

/// A document. Entries of a map keep their order.
#[derive(Clone, Debug, PartialEq, Default)]
pub enum Doc {
    /// An explicit null, or an absent value.
    #[default]
    Null,
    /// A boolean.
    Bool(bool),
    /// Any integer.
    Int(i64),
    /// Any number with a fraction.
    Float(f64),
    /// Text, also of an enum.
    Str(String),
    /// Bytes, shared rather than copied.
    Blob(Bytes),
    /// A moment.
    Time(Timestamp),
    /// A list.
    List(Vec<Doc>),
    /// A structure, a union (one entry) or a map.
    Map(Vec<(Key, Doc)>),
}

/// Why a document is not the struct it was meant to be. `path` is dotted: `Code.ZipFile`, `Tags.0.Key`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocError {
    /// The document holds a member that the struct lacks.
    #[error("member '{path}' is not supported")]
    UnsupportedMember {
        /// Where.
        path: String,
    },
    /// The struct needs a member that the document lacks.
    #[error("member '{path}' is missing")]
    MissingMember {
        /// Where.
        path: String,
    },
    /// A value of the wrong type, or one that the struct's own parsing refused.
    #[error("member '{path}': {message}")]
    Invalid {
        /// Where; empty for the document itself.
        path: String,
        /// What is wrong.
        message: String,
    },
}

impl DocError {
    /// The dotted path of the member in question.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            DocError::UnsupportedMember { path }
            | DocError::MissingMember { path }
            | DocError::Invalid { path, .. } => path,
        }
    }

    /// The same error seen from the container that holds it under `name`.
    fn within(mut self, name: &str) -> Self {
        let (DocError::UnsupportedMember { path }
        | DocError::MissingMember { path }
        | DocError::Invalid { path, .. }) = &mut self;
        *path = if path.is_empty() { name.to_owned() } else { format!("{name}.{path}") };
        self
    }

    fn invalid(message: impl fmt::Display) -> Self {
        DocError::Invalid { path: String::new(), message: message.to_string() }
    }
}

impl serde::ser::Error for DocError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        DocError::invalid(message)
    }
}

impl serde::de::Error for DocError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        DocError::invalid(message)
    }

    fn missing_field(field: &'static str) -> Self {
        DocError::MissingMember { path: field.to_owned() }
    }

    fn unknown_field(field: &str, _expected: &'static [&'static str]) -> Self {
        DocError::UnsupportedMember { path: field.to_owned() }
    }
}

/// Turns a struct into a document. Members that are `None` are left out.
///
/// # Errors
/// When the struct has something the models have no type for: a map whose keys are not text, an integer beyond
/// 64 bits signed.
pub fn to_doc<T: Serialize + ?Sized>(value: &T) -> Result<Doc, DocError> {
    value.serialize(ser::Writer)
}

/// Turns a document into a struct, strictly. Explicit nulls count as absent.
///
/// # Errors
/// [`DocError::UnsupportedMember`] when the document holds a member that the struct lacks,
/// [`DocError::MissingMember`] for the opposite, [`DocError::Invalid`] for a value of the wrong type.
pub fn from_doc<T: DeserializeOwned>(doc: Doc) -> Result<T, DocError> {
    T::deserialize(de::Reader(doc))
}

impl Doc {
    /// An empty structure.
    #[must_use]
    pub fn empty() -> Doc {
        Doc::Map(Vec::new())
    }

    /// The value under a name, when this is a map that has it and it is not null.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Doc> {
        let Doc::Map(entries) = self else { return None };
        entries.iter().find(|(key, value)| key == name && *value != Doc::Null).map(|(_, value)| value)
    }

    /// Takes the value under a name out of a map.
    pub fn take(&mut self, name: &str) -> Option<Doc> {
        let Doc::Map(entries) = self else { return None };
        let at = entries.iter().position(|(key, _)| key == name)?;
        Some(entries.remove(at).1)
    }

    /// The text, when this is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Doc::Str(text) = self { Some(text) } else { None }
    }

    /// The integer, when this is one.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        if let Doc::Int(number) = self { Some(*number) } else { None }
    }

    /// The bytes, when this is a blob. Cloning `Bytes` is cheap.
    #[must_use]
    pub fn as_blob(&self) -> Option<&Bytes> {
        if let Doc::Blob(bytes) = self { Some(bytes) } else { None }
    }

    /// The entries, when this is a map.
    #[must_use]
    pub fn entries(&self) -> Option<&[(Key, Doc)]> {
        if let Doc::Map(entries) = self { Some(entries) } else { None }
    }

    /// The elements, when this is a list.
    #[must_use]
    pub fn items(&self) -> Option<&[Doc]> {
        if let Doc::List(items) = self { Some(items) } else { None }
    }

    /// What the document is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Doc::Null => "null",
            Doc::Bool(_) => "a boolean",
            Doc::Int(_) => "an integer",
            Doc::Float(_) => "a number",
            Doc::Str(_) => "a string",
            Doc::Blob(_) => "a blob",
            Doc::Time(_) => "a timestamp",
            Doc::List(_) => "a list",
            Doc::Map(_) => "a structure or map",
        }
    }
}

/// Bytes in a handler's struct. It moves its `Bytes` through [`to_doc`] and [`from_doc`] without a copy; with other
/// serde formats it is a plain byte string.
#[derive(Clone, PartialEq, Eq, Default, Hash)]
pub struct Blob(pub Bytes);

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl From<Bytes> for Blob {
    fn from(bytes: Bytes) -> Self {
        Blob(bytes)
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Blob(Bytes::from(bytes))
    }
}

/// A moment in a handler's struct. `base::Timestamp` itself is understood too: both become [`Doc::Time`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(pub Timestamp);

impl From<Timestamp> for Time {
    fn from(timestamp: Timestamp) -> Self {
        Time(timestamp)
    }
}

/// How [`Blob`] hands its `Bytes` over. Serde's traits only pass slices, so the two sides, which always run on one
/// thread with nothing between them, meet at a thread-local instead.
mod handover {
    use std::cell::Cell;

    use bytes::Bytes;

    /// The newtype name by which [`super::Blob`] makes itself known.
    pub(super) const BLOB: &str = "$lamplighter.Blob";
    /// The newtype name that `base::Timestamp` has by its derive.
    pub(super) const TIME: &str = "Timestamp";

    thread_local! {
        static PASSING: Cell<Option<Bytes>> = const { Cell::new(None) };
    }

    pub(super) fn put(bytes: Bytes) {
        PASSING.set(Some(bytes));
    }

    pub(super) fn take() -> Option<Bytes> {
        PASSING.take()
    }
}

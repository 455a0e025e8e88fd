//! A message on its way: what it says, and what is said beside it.

use std::borrow::Cow;
use std::sync::Arc;

use base::Timestamp;
use bytes::Bytes;

/// What is delivered.
#[derive(Clone, Debug)]
pub enum Message<'a> {
    /// The record of an asynchronous invoke.
    Record {
        /// The record as JSON.
        body: &'a Bytes,
        /// Whether the invoke went well.
        success: bool,
        /// When the record was made.
        at: Timestamp,
    },
    /// An event that could not be handled: as it came, with attributes that say why. For queues and topics only.
    DeadLetter {
        /// The event.
        body: &'a Bytes,
        /// Why.
        attributes: &'a [NamedAttribute],
    },
    /// A message that is handed over as it is. For functions, queues and topics.
    Plain(Plain<'a>),
}

/// A message that is handed over as it is.
#[derive(Clone, Debug)]
pub struct Plain<'a> {
    /// What it says: text for queues and topics, JSON for functions.
    pub body: &'a Bytes,
    /// What is said beside it. A function does not get these.
    pub attributes: &'a [NamedAttribute],
    /// Where its order counts; FIFO queues and topics need one. A function does not get it.
    pub group_id: Option<&'a str>,
    /// What FIFO queues and topics tell duplicates by. A function does not get it.
    pub dedup_id: Option<&'a str>,
    /// The trace that the message belongs to, as `X-Amzn-Trace-Id` has it.
    pub trace_header: Option<&'a Arc<str>>,
}

impl<'a> Plain<'a> {
    /// A message of a body alone.
    #[must_use]
    pub fn new(body: &'a Bytes) -> Self {
        Plain { body, attributes: &[], group_id: None, dedup_id: None, trace_header: None }
    }
}

impl Message<'_> {
    pub(crate) fn body(&self) -> &Bytes {
        match self {
            Message::Record { body, .. } | Message::DeadLetter { body, .. } => body,
            Message::Plain(plain) => plain.body,
        }
    }

    pub(crate) fn attributes(&self) -> &[NamedAttribute] {
        match self {
            Message::Record { .. } => &[],
            Message::DeadLetter { attributes, .. } => attributes,
            Message::Plain(plain) => plain.attributes,
        }
    }

    pub(crate) fn group_id(&self) -> Option<&str> {
        match self {
            Message::Plain(plain) => plain.group_id,
            _ => None,
        }
    }

    pub(crate) fn dedup_id(&self) -> Option<&str> {
        match self {
            Message::Plain(plain) => plain.dedup_id,
            _ => None,
        }
    }

    pub(crate) fn trace_header(&self) -> Option<&Arc<str>> {
        match self {
            Message::Plain(plain) => plain.trace_header,
            _ => None,
        }
    }
}

/// An attribute and its name.
pub type NamedAttribute = (Cow<'static, str>, Attribute);

/// An attribute of a message, the same for SQS and SNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// `String`, `Number`, `Binary`, `String.Array`, or one of these with a label: `Number.byte`.
    pub data_type: Cow<'static, str>,
    /// Its value.
    pub value: AttributeValue,
}

/// The value of a message's attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue {
    /// Text, also of a number.
    Text(String),
    /// Bytes.
    Binary(Bytes),
}

impl Attribute {
    /// Text.
    pub fn text(text: impl Into<String>) -> Self {
        Attribute { data_type: Cow::Borrowed("String"), value: AttributeValue::Text(text.into()) }
    }

    /// A number.
    pub fn number(number: impl Into<u64>) -> Self {
        let text = number.into().to_string();
        Attribute { data_type: Cow::Borrowed("Number"), value: AttributeValue::Text(text) }
    }

    /// Bytes.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Attribute { data_type: Cow::Borrowed("Binary"), value: AttributeValue::Binary(bytes.into()) }
    }
}

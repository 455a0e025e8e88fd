//! A message on its way: what it says, and in whose name.

use std::sync::Arc;

use base::{AccountId, Region, Timestamp};
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
        attributes: &'a [(&'static str, Attribute)],
    },
}

impl Message<'_> {
    pub(crate) fn body(&self) -> &Bytes {
        match self {
            Message::Record { body, .. } | Message::DeadLetter { body, .. } => body,
        }
    }

    pub(crate) fn attributes(&self) -> &[(&'static str, Attribute)] {
        match self {
            Message::Record { .. } => &[],
            Message::DeadLetter { attributes, .. } => attributes,
        }
    }
}

/// The value of a message's attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// Text.
    Text(String),
    /// A number.
    Number(u32),
}

/// In whose name a message is delivered.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The function's account.
    pub account: AccountId,
    /// The function's region.
    pub region: Region,
    /// The function's name.
    pub function_name: String,
    /// The function's ARN with its version or alias.
    pub function_arn: String,
    /// The ARN of its execution role, which must be allowed to deliver.
    pub role_arn: String,
    /// The trace that the message belongs to.
    pub trace_header: Option<Arc<str>>,
}

impl Origin {
    /// The role's name without its path.
    pub(crate) fn role_name(&self) -> &str {
        self.role_arn.rsplit('/').next().unwrap_or_default()
    }
}

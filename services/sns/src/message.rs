//! A message on its way from a topic to its subscribers, as it is kept while some of them still wait for it.
//!
//! It knows the forms that AWS gives names to (protocols, attributes, kinds of message), not how anything is delivered.
//!
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html>,
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html>.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use base::{AccountId, Region, Timestamp};
use serde::{Deserialize, Serialize};

/// What a subscription is reached by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Protocol {
    Http,
    Https,
    Email,
    EmailJson,
    Sms,
    Sqs,
    Application,
    Lambda,
    Firehose,
}

impl Protocol {
    pub(crate) const ALL: [Protocol; 9] = [
        Protocol::Http,
        Protocol::Https,
        Protocol::Email,
        Protocol::EmailJson,
        Protocol::Sms,
        Protocol::Sqs,
        Protocol::Application,
        Protocol::Lambda,
        Protocol::Firehose,
    ];

    /// Its name in the API.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Protocol::Http => "http",
            Protocol::Https => "https",
            Protocol::Email => "email",
            Protocol::EmailJson => "email-json",
            Protocol::Sms => "sms",
            Protocol::Sqs => "sqs",
            Protocol::Application => "application",
            Protocol::Lambda => "lambda",
            Protocol::Firehose => "firehose",
        }
    }

    /// Whether a web server of the user's is called.
    pub(crate) fn is_http(self) -> bool {
        matches!(self, Protocol::Http | Protocol::Https)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// There is no such protocol.
#[derive(Debug)]
pub(crate) struct UnknownProtocol;

impl FromStr for Protocol {
    type Err = UnknownProtocol;
    fn from_str(text: &str) -> Result<Self, UnknownProtocol> {
        Protocol::ALL.into_iter().find(|protocol| protocol.as_str() == text).ok_or(UnknownProtocol)
    }
}

/// The digest that signatures are made over: SHA-1 (1) or SHA-256 (2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SignatureVersion {
    #[default]
    V1,
    V2,
}

impl SignatureVersion {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            SignatureVersion::V1 => "1",
            SignatureVersion::V2 => "2",
        }
    }
}

/// What a message is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// Somebody published it.
    Notification,
    /// Asks a new subscriber whether it wants to be one.
    SubscriptionConfirmation { token: String },
    /// Tells a subscriber that it no longer is one, and how to be one again.
    UnsubscribeConfirmation { token: String },
}

impl Kind {
    /// Its name in messages and headers.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Kind::Notification => "Notification",
            Kind::SubscriptionConfirmation { .. } => "SubscriptionConfirmation",
            Kind::UnsubscribeConfirmation { .. } => "UnsubscribeConfirmation",
        }
    }

    pub(crate) fn token(&self) -> Option<&str> {
        match self {
            Kind::Notification => None,
            Kind::SubscriptionConfirmation { token } | Kind::UnsubscribeConfirmation { token } => Some(token),
        }
    }
}

/// A message's text, for each protocol if the publisher gave several (`MessageStructure: json`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Text {
    pub(crate) default: String,
    /// By the protocol's name; for mobile push by the platform's (`APNS`, `GCM`, ...).
    pub(crate) by_protocol: BTreeMap<String, String>,
}

/// The value of a message attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Value {
    Text(String),
    Binary(Vec<u8>),
}

/// A message attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attribute {
    /// `String`, `String.Array`, `Number` or `Binary`.
    pub(crate) data_type: String,
    pub(crate) value: Value,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Published {
    pub(crate) message_id: String,
    /// The topic's account and region.
    pub(crate) account: AccountId,
    pub(crate) region: Region,
    pub(crate) topic_arn: String,
    pub(crate) kind: Kind,
    pub(crate) subject: Option<String>,
    pub(crate) text: Text,
    pub(crate) attributes: Vec<(String, Attribute)>,
    pub(crate) at: Timestamp,
    pub(crate) signature_version: SignatureVersion,
    /// What links in the message begin with, such as `http://localhost:4566`: where its sender found the platform.
    pub(crate) base_url: String,
    /// FIFO topics number their messages.
    pub(crate) sequence_number: Option<String>,
    pub(crate) group_id: Option<String>,
    pub(crate) deduplication_id: Option<String>,
    pub(crate) trace_header: Option<String>,
    /// It comes from a FIFO topic's archive, once more.
    pub(crate) replayed: bool,
}

impl Published {
    /// The text that subscribers of this protocol get.
    pub(crate) fn text_for(&self, protocol: Protocol) -> &str {
        self.text.by_protocol.get(protocol.as_str()).unwrap_or(&self.text.default)
    }

    /// Whether its topic is a FIFO topic.
    pub(crate) fn is_fifo(&self) -> bool {
        self.topic_arn.ends_with(".fifo")
    }
}

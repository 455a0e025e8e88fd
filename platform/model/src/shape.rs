//! Shapes: the types of members, with their constraints and their names on the wire.
//!
//! The traits are Smithy's under botocore's older names: <https://smithy.io/2.0/spec/index.html>.

use serde::{Deserialize, Serialize};

use crate::pattern::Pattern;

/// A shape's index in its service's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ShapeId(pub u16);

/// What a shape is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Named members.
    Structure,
    /// Named members of which exactly one is set.
    Union,
    /// One member, `member`.
    List,
    /// Two members, `key` and `value`.
    Map,
    /// Text, also of an enum.
    String,
    /// Bytes.
    Blob,
    /// True or false.
    Boolean,
    /// 32 bits signed (also byte and short, which the models do not use).
    Integer,
    /// 64 bits signed.
    Long,
    /// A number with a fraction (float or double).
    Float,
    /// A moment.
    Timestamp,
    /// An open document.
    Document,
}

/// A bound of a number or of a length.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Bound {
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Bound::Int(number) => write!(f, "{number}"),
            Bound::Float(number) => write!(f, "{number}"),
        }
    }
}

/// How a timestamp is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimeFormat {
    /// Seconds since the epoch, with a fraction.
    EpochSeconds,
    /// `2026-11-23T08:05:09Z`.
    DateTime,
    /// `Mon, 23 Nov 2026 08:05:09 GMT`.
    HttpDate,
}

/// Where in an HTTP message a member travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Location {
    /// In the body.
    #[default]
    Body,
    /// In the path.
    Uri,
    /// In the query string; a map takes every parameter that no other member takes.
    Query,
    /// In a header.
    Header,
    /// In all headers with a prefix.
    Headers,
    /// It is the status code.
    StatusCode,
    /// It is the payload of its event, in a stream of events.
    EventPayload,
    /// In a header of its event, in a stream of events.
    EventHeader,
}

/// What makes a structure an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorFacts {
    /// The code on the wire, which may differ from the shape's name.
    pub code: &'static str,
    /// The HTTP status, where the model tells.
    pub status: Option<u16>,
    /// The caller's fault (`Sender`) rather than the service's.
    pub sender: bool,
    /// The code of the days when the service spoke `query`.
    pub query_code: Option<&'static str>,
    /// The HTTP status in the `query` protocol, where it differs.
    pub query_status: Option<u16>,
}

/// A shape.
#[derive(Debug, Serialize, Deserialize)]
pub struct Shape {
    /// The shape's name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Members of a structure or union in the model's order; of a list `member`; of a map `key` and `value`.
    pub members: Vec<Member>,
    /// Indexes of `members`, sorted by wire name.
    pub by_wire_name: Vec<u16>,
    /// The member that is the whole body.
    pub payload: Option<u16>,
    /// Smallest number or length.
    pub min: Option<Bound>,
    /// Largest number or length.
    pub max: Option<Bound>,
    /// What text must look like.
    pub pattern: Option<Pattern>,
    /// What text may be; empty: anything.
    pub values: Vec<&'static str>,
    /// An error.
    pub error: Option<ErrorFacts>,
    /// Its value is not shown in messages and logs.
    pub sensitive: bool,
    /// The elements of a list or map stand without a wrapper.
    pub flattened: bool,
    /// Bytes that may come as a stream.
    pub streaming: bool,
    /// A union whose members are events of a stream.
    pub event_stream: bool,
    /// How a timestamp is written, where it differs from the protocol's own form.
    pub time_format: Option<TimeFormat>,
    /// The name of the XML element, where it differs from the shape's name.
    pub xml_name: Option<&'static str>,
    /// The XML namespace: prefix, uri.
    pub xml_namespace: Option<(Option<&'static str>, &'static str)>,
}

/// A reference from a shape to another, with a name.
#[derive(Debug, Serialize, Deserialize)]
pub struct Member {
    /// The name in the model and in handlers' structs.
    pub name: &'static str,
    /// The name on the wire.
    pub wire_name: &'static str,
    /// The name in the forms of the `query` protocol, where it differs: see [`Member::form_name`].
    pub query_name: Option<&'static str>,
    /// The member's shape.
    pub shape: ShapeId,
    /// It must be there.
    pub required: bool,
    /// Where it travels.
    pub location: Location,
    /// The elements of its list or map stand without a wrapper.
    pub flattened: bool,
    /// It is an attribute of the XML element.
    pub xml_attribute: bool,
    /// Bytes that may come as a stream.
    pub streaming: bool,
    /// SDKs put it before the host name.
    pub host_label: bool,
    /// SDKs fill it with a random token.
    pub idempotency_token: bool,
    /// It has a name of its own on the wire (a list's elements, a map's keys).
    pub renamed: bool,
    /// How a timestamp is written, where it differs.
    pub time_format: Option<TimeFormat>,
    /// The XML namespace: prefix, uri.
    pub xml_namespace: Option<(Option<&'static str>, &'static str)>,
}

impl Member {
    /// The name in the forms of the `query` protocol and in XML. It differs from `wire_name` only for services whose
    /// model tells how they speak JSON, and which still take `query`.
    #[must_use]
    pub fn form_name(&self) -> &'static str {
        self.query_name.unwrap_or(self.wire_name)
    }
}

impl Shape {
    /// The member with a name on the wire, and its index.
    #[must_use]
    pub fn member_on_wire(&self, wire_name: &str) -> Option<&Member> {
        let name_at =
            |index: &u16| self.members.get(usize::from(*index)).map_or("", |member| member.wire_name);
        let at = self.by_wire_name.binary_search_by(|index| name_at(index).cmp(wire_name)).ok()?;
        self.members.get(usize::from(*self.by_wire_name.get(at)?))
    }

    /// The member with a name in the model.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// The member that is the whole body.
    #[must_use]
    pub fn payload_member(&self) -> Option<&Member> {
        self.members.get(usize::from(self.payload?))
    }

    /// Whether the shape is a structure or a union.
    #[must_use]
    pub fn has_named_members(&self) -> bool {
        matches!(self.kind, Kind::Structure | Kind::Union)
    }

    /// A list's element, or a map's value.
    #[must_use]
    pub fn element(&self) -> Option<&Member> {
        self.members.last()
    }

    /// A map's key.
    #[must_use]
    pub fn key(&self) -> Option<&Member> {
        self.members.first()
    }
}

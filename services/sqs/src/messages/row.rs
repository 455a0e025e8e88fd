//! What of messages is on disk: their rows, and content that is too large for a row in pieces.
//!
//! A row never changes once it is written: what a receive changes lies in the message's lease.

use base::Timestamp;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use store::value::{self, ValueError};
use wire::Blob;

use crate::keys::VERSION;

/// Content up to this size lies in the message's row: a value may have 64 KiB, and the rest of the row needs some.
const INLINE_BYTES: usize = 48 * 1024;
/// The size of a piece of larger content.
const CHUNK_BYTES: usize = 60 * 1024;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) head: Head,
    pub(crate) content: Content,
}

/// What is known of a message without its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// Its UUID.
    pub(crate) id: [u8; 16],
    /// What retention goes by, and `SentTimestamp`.
    pub(crate) sent_at: Timestamp,
    pub(crate) sender: String,
    pub(crate) body_md5: [u8; 16],
    pub(crate) group: Option<String>,
    pub(crate) deduplication_id: Option<String>,
    pub(crate) trace_header: Option<String>,
    /// The queue that it came from, if this is a dead-letter queue and the service moved it here.
    pub(crate) source_arn: Option<String>,
    /// How often it was received in queues that it was in before.
    pub(crate) received_before: u32,
    /// Body and attributes, as AWS counts them.
    pub(crate) bytes: u32,
}

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Content {
    pub(crate) body: String,
    /// In the order of their names.
    pub(crate) attributes: Vec<(String, Attribute)>,
}

/// A message attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attribute {
    pub(crate) data_type: String,
    pub(crate) value: AttributeValue,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AttributeValue {
    Text(String),
    Binary(Blob),
}

impl Message {
    /// The message's id as text.
    pub(crate) fn id(&self) -> String {
        id_text(self.head.id)
    }
}

/// A message's id as clients see it.
pub(crate) fn id_text(id: [u8; 16]) -> String {
    uuid::Uuid::from_bytes(id).hyphenated().to_string()
}

#[derive(Serialize)]
struct RowRef<'a> {
    head: &'a Head,
    content: PlaceRef<'a>,
}

#[derive(Serialize)]
enum PlaceRef<'a> {
    Here(&'a Content),
    Pieces { count: u32 },
}

/// A row as it is read.
#[derive(Deserialize)]
pub(super) struct Row {
    pub(super) head: Head,
    pub(super) content: Place,
}

#[derive(Deserialize)]
pub(super) enum Place {
    Here(Content),
    /// In so many rows of its own.
    Pieces {
        count: u32,
    },
}

impl Place {
    /// How many rows the content has of its own.
    pub(super) fn pieces(&self) -> u32 {
        match self {
            Place::Here(_) => 0,
            Place::Pieces { count } => *count,
        }
    }
}

/// A message as bytes: its row, and the pieces of its content.
pub(super) struct Encoded {
    pub(super) row: Vec<u8>,
    pub(super) pieces: Vec<Bytes>,
}

pub(super) fn encode(message: &Message) -> Encoded {
    let Message { head, content } = message;
    let pieces = pieces_of(content);
    let place = match u32::try_from(pieces.len()).unwrap_or(u32::MAX) {
        0 => PlaceRef::Here(content),
        count => PlaceRef::Pieces { count },
    };
    Encoded { row: value::encode(VERSION, &RowRef { head, content: place }), pieces }
}

/// A row like `row` under another head; its pieces are the same.
pub(super) fn encode_again(head: &Head, place: &Place) -> Vec<u8> {
    let content = match place {
        Place::Here(content) => PlaceRef::Here(content),
        Place::Pieces { count } => PlaceRef::Pieces { count: *count },
    };
    value::encode(VERSION, &RowRef { head, content })
}

fn pieces_of(content: &Content) -> Vec<Bytes> {
    let size = |(name, attribute): &(String, Attribute)| {
        let value = match &attribute.value {
            AttributeValue::Text(text) => text.len(),
            AttributeValue::Binary(bytes) => bytes.0.len(),
        };
        name.len() + attribute.data_type.len() + value
    };
    if content.body.len() + content.attributes.iter().map(size).sum::<usize>() <= INLINE_BYTES {
        return Vec::new();
    }
    let whole = Bytes::from(value::encode(VERSION, content));
    let starts = (0..whole.len()).step_by(CHUNK_BYTES);
    starts.map(|from| whole.slice(from..whole.len().min(from + CHUNK_BYTES))).collect()
}

pub(super) fn decode(row: &[u8]) -> Result<Row, ValueError> {
    value::decode(VERSION, row)
}

/// Content from its pieces, put together.
pub(super) fn join(pieces: &[u8]) -> Result<Content, ValueError> {
    value::decode(VERSION, pieces)
}

/// What hides a message, and what is known of its receives. A delayed message has one with no receive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lease {
    pub(super) until: Timestamp,
    /// Receives in this queue.
    pub(super) count: u32,
    pub(super) first_received_at: Timestamp,
    /// What the receipt handle of the last receive holds; grows with every receive.
    pub(super) nonce: u64,
    /// So that a FIFO queue knows which groups are blocked without reading the messages.
    pub(super) group: Option<String>,
}

/// What is known of a queue's messages as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ledger {
    pub(super) total: u64,
    /// No message has a lower number, so no search has to begin below.
    pub(super) low: u64,
    /// Messages below are gone, whether their rows are or not.
    pub(super) purged: u64,
    /// The queue was deleted.
    pub(super) gone: bool,
}

/// The first message that was sent with a deduplication id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) seq: u64,
    pub(super) id: [u8; 16],
    pub(super) at: Timestamp,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn message(body: &str) -> Message {
        let head = Head {
            id: *uuid::Uuid::new_v4().as_bytes(),
            sent_at: Timestamp(1_000),
            sender: "000000000000".to_owned(),
            body_md5: [7; 16],
            group: None,
            deduplication_id: None,
            trace_header: None,
            source_arn: None,
            received_before: 0,
            bytes: u32::try_from(body.len()).unwrap(),
        };
        Message { head, content: Content { body: body.to_owned(), attributes: Vec::new() } }
    }

    fn read(encoded: &Encoded) -> Message {
        let row = decode(&encoded.row).unwrap();
        assert_eq!(row.content.pieces() as usize, encoded.pieces.len());
        let content = match row.content {
            Place::Here(content) => content,
            Place::Pieces { .. } => join(&encoded.pieces.concat()).unwrap(),
        };
        Message { head: row.head, content }
    }

    #[test]
    fn what_is_written_comes_back_whatever_its_size() {
        for size in [1, INLINE_BYTES, INLINE_BYTES + 1, 1024 * 1024] {
            let mut sent = message(&"x".repeat(size));
            let encoded = encode(&sent);
            assert!(encoded.row.len() <= store::limits::VALUE_BYTES);
            assert!(encoded.pieces.iter().all(|piece| piece.len() <= store::limits::VALUE_BYTES));
            assert_eq!(encoded.pieces.is_empty(), size <= INLINE_BYTES);
            assert_eq!(read(&encoded), sent);
            let row = decode(&encoded.row).unwrap();
            sent.head.source_arn = Some("arn".to_owned());
            let again = Encoded { row: encode_again(&sent.head, &row.content), pieces: encoded.pieces };
            assert_eq!(read(&again), sent);
        }
    }
}

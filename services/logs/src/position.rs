//! Where an event stands: in its stream, and among all streams of a group.
//!
//! Events of one millisecond keep the order in which they came: by the number of their chunk, then by their place in
//! it.

/// A place in a stream. Also a boundary: "everything before this position", "this one and everything after it".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) timestamp_ms: i64,
    pub(crate) seq: u64,
    pub(crate) index: u64,
}

impl Position {
    /// The boundary before every event of this moment.
    pub(crate) fn at(timestamp_ms: i64) -> Self {
        Position { timestamp_ms, seq: 0, index: 0 }
    }

    /// The boundary just behind the event at this position.
    pub(crate) fn behind(self) -> Self {
        Position { index: self.index.saturating_add(1), ..self }
    }
}

/// A place among all streams of a group: by time, then by stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GroupPosition {
    pub(crate) timestamp_ms: i64,
    pub(crate) stream_uid: u64,
    pub(crate) seq: u64,
    pub(crate) index: u64,
}

impl GroupPosition {
    /// The boundary before every event of this moment.
    pub(crate) fn at(timestamp_ms: i64) -> Self {
        GroupPosition { timestamp_ms, stream_uid: 0, seq: 0, index: 0 }
    }

    pub(crate) fn of(stream_uid: u64, position: Position) -> Self {
        let Position { timestamp_ms, seq, index } = position;
        GroupPosition { timestamp_ms, stream_uid, seq, index }
    }

    /// An id that no other event of the account and region has: 56 digits, like AWS's.
    pub(crate) fn event_id(self) -> String {
        let GroupPosition { timestamp_ms, stream_uid, seq, index } = self;
        format!("{:016}{stream_uid:015}{seq:015}{index:010}", timestamp_ms.max(0))
    }
}

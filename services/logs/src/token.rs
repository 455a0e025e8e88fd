//! Tokens that continue a list or a read. They are opaque to clients; a token that is none is `BadToken`.
//!
//! A token holds a position and nothing of the query: sent with another query, it continues that one from there.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use crate::errors::LogsError;
use crate::position::{GroupPosition, Position};

/// Which way a GetLogEvents token reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cursor {
    /// The event at this boundary and those after it.
    Forward(Position),
    /// The events before this boundary.
    Backward(Position),
}

impl Cursor {
    /// `f/56 digits/s` or `b/56 digits/s`.
    pub(crate) fn token(self) -> String {
        let (way, Position { timestamp_ms, seq, index }) = match self {
            Cursor::Forward(position) => ('f', position),
            Cursor::Backward(position) => ('b', position),
        };
        format!("{way}/{:016}{seq:020}{index:020}/s", timestamp_ms.max(0))
    }

    pub(crate) fn parse(token: &str) -> Result<Self, LogsError> {
        let way = token.get(..2).ok_or(LogsError::BadToken)?;
        let digits = token.get(2..).and_then(|rest| rest.strip_suffix("/s")).ok_or(LogsError::BadToken)?;
        if digits.len() != 56 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(LogsError::BadToken);
        }
        let position = Position {
            timestamp_ms: digits[..16].parse().map_err(|_| LogsError::BadToken)?,
            seq: number(&digits[16..36])?,
            index: number(&digits[36..])?,
        };
        match way {
            "f/" => Ok(Cursor::Forward(position)),
            "b/" => Ok(Cursor::Backward(position)),
            _ => Err(LogsError::BadToken),
        }
    }
}

/// The token of the FilterLogEvents page that begins at a position.
pub(crate) fn of_group_position(position: GroupPosition) -> String {
    let GroupPosition { timestamp_ms, stream_uid, seq, index } = position;
    of_text(&format!("{timestamp_ms}/{stream_uid}/{seq}/{index}"))
}

pub(crate) fn parse_group_position(token: &str) -> Result<GroupPosition, LogsError> {
    let text = parse_text(token)?;
    let mut fields = text.split('/');
    let mut next = || fields.next().ok_or(LogsError::BadToken);
    let position = GroupPosition {
        timestamp_ms: next()?.parse().map_err(|_| LogsError::BadToken)?,
        stream_uid: number(next()?)?,
        seq: number(next()?)?,
        index: number(next()?)?,
    };
    if fields.next().is_some() { Err(LogsError::BadToken) } else { Ok(position) }
}

/// The token of the page after a name.
pub(crate) fn of_text(text: &str) -> String {
    BASE64.encode(text)
}

pub(crate) fn parse_text(token: &str) -> Result<String, LogsError> {
    let bytes = BASE64.decode(token).map_err(|_| LogsError::BadToken)?;
    String::from_utf8(bytes).map_err(|_| LogsError::BadToken)
}

/// The token of the page after a stream in a list by time.
pub(crate) fn of_time_and_name(time_ms: i64, name: &str) -> String {
    of_text(&format!("{time_ms}/{name}"))
}

pub(crate) fn parse_time_and_name(token: &str) -> Result<(i64, String), LogsError> {
    let text = parse_text(token)?;
    let (time, name) = text.split_once('/').ok_or(LogsError::BadToken)?;
    Ok((time.parse().map_err(|_| LogsError::BadToken)?, name.to_owned()))
}

fn number(text: &str) -> Result<u64, LogsError> {
    text.parse().map_err(|_| LogsError::BadToken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back() {
        let position = Position { timestamp_ms: 1_700_000_000_000, seq: u64::MAX, index: 42 };
        for cursor in [Cursor::Forward(position), Cursor::Backward(position)] {
            assert_eq!(Cursor::parse(&cursor.token()).unwrap(), cursor);
        }
        let position = GroupPosition::of(9, position);
        assert_eq!(parse_group_position(&of_group_position(position)).unwrap(), position);
        assert_eq!(parse_time_and_name(&of_time_and_name(-1, "a/b")).unwrap(), (-1, "a/b".to_owned()));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let digits = "9".repeat(56);
        for bad in
            ["", "f", "f/", "f/12/s", "x/1", &format!("x/{digits}/s"), &format!("f/{digits}/s"), "é/é/s"]
        {
            assert!(Cursor::parse(bad).is_err(), "{bad}");
        }
        for bad in ["", "***", &of_text("1/2/3"), &of_text("1/2/3/4/5"), &of_text("a/b/c/d")] {
            assert!(parse_group_position(bad).is_err(), "{bad}");
        }
    }
}

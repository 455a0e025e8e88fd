//! From what a box writes to log events: lines of the output pipe, frames of the telemetry pipe, and the tail.
//!
//! It does no I/O and knows no log service. Frames are how runtime clients say where an event with several lines
//! begins and ends: 4 bytes type (`0xA55A` and flags), 4 bytes length, 8 bytes microseconds since the epoch when the
//! flag 2 is set, then the text; all numbers big-endian.

/// A longer line or frame becomes several events. In bytes.
pub(crate) const MAX_EVENT_BYTES: usize = 256 * 1024;
/// What an invoke's `LogResult` shows, in bytes.
pub(crate) const TAIL_BYTES: usize = 4 * 1024;

const FRAME_MAGIC: [u8; 2] = [0xA5, 0x5A];
const FRAME_HAS_TIME: u8 = 0b10;
const SHORT_HEAD: usize = 8;
const LONG_HEAD: usize = 16;

/// Cuts a byte stream into lines, line break included.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Takes bytes and gives the lines that are complete with them.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut emit: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            let room = MAX_EVENT_BYTES - self.partial.len();
            let end = bytes.iter().take(room).position(|&b| b == b'\n').map(|at| at + 1);
            let (now, later) = bytes.split_at(end.unwrap_or(room.min(bytes.len())));
            bytes = later;
            if end.is_none() && now.len() < room {
                self.partial.extend_from_slice(now);
                return;
            }
            if self.partial.is_empty() {
                emit(now);
            } else {
                self.partial.extend_from_slice(now);
                emit(&self.partial);
                self.partial.clear();
            }
        }
    }

    /// Gives what has no line break yet, with one.
    pub(crate) fn flush(&mut self, mut emit: impl FnMut(&[u8])) {
        if !self.partial.is_empty() {
            self.partial.push(b'\n');
            emit(&self.partial);
            self.partial.clear();
        }
    }
}

/// Cuts the telemetry stream into frames. What is not framed is taken as lines, so that nothing is lost.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    pending: Vec<u8>,
    plain: Lines,
}

impl Frames {
    /// Takes bytes and gives the texts of the frames that are complete with them.
    pub(crate) fn push(&mut self, bytes: &[u8], mut emit: impl FnMut(&[u8])) {
        self.pending.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(taken) = self.take_one(at, &mut emit) {
            at += taken;
        }
        self.pending.drain(..at);
    }

    /// One frame or stretch of plain text at `at`; `None` when more bytes are needed.
    fn take_one(&mut self, at: usize, emit: &mut impl FnMut(&[u8])) -> Option<usize> {
        let rest = self.pending.get(at..).filter(|rest| !rest.is_empty())?;
        if !FRAME_MAGIC.starts_with(&rest[..rest.len().min(2)]) {
            let plain = find(rest, &FRAME_MAGIC).unwrap_or(rest.len());
            self.plain.push(&rest[..plain], emit);
            return Some(plain);
        }
        let flags = *rest.get(3)?;
        let head = if flags & FRAME_HAS_TIME == 0 { SHORT_HEAD } else { LONG_HEAD };
        let length = u32::from_be_bytes(rest.get(4..SHORT_HEAD)?.try_into().ok()?) as usize;
        let text_so_far = rest.get(head..)?;
        if length > MAX_EVENT_BYTES * 8 {
            // No runtime client writes such a frame: the head is chance. Go on behind it.
            return Some(2);
        }
        let text = text_so_far.get(..length)?;
        self.plain.flush(&mut *emit);
        text.chunks(MAX_EVENT_BYTES).for_each(emit);
        Some(head + length)
    }

    /// Gives plain text that has no line break yet. An incomplete frame stays: its rest is on the way.
    pub(crate) fn flush(&mut self, emit: impl FnMut(&[u8])) {
        self.plain.flush(emit);
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// The last [`TAIL_BYTES`] of what it is given.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    bytes: Vec<u8>,
    wanted: bool,
}

impl Tail {
    /// Starts anew; collects nothing unless `wanted`.
    pub(crate) fn begin(&mut self, wanted: bool) {
        self.bytes.clear();
        self.wanted = wanted;
    }

    /// Adds to the end.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if !self.wanted {
            return;
        }
        // An event may lack its line end; people read the tail as lines.
        if self.bytes.last().is_some_and(|&last| last != b'\n') {
            self.bytes.push(b'\n');
        }
        self.bytes.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..]);
        if self.bytes.len() > 4 * TAIL_BYTES {
            self.bytes.drain(..self.bytes.len() - TAIL_BYTES);
        }
    }

    /// The tail, when it was wanted.
    pub(crate) fn take(&mut self) -> Option<Vec<u8>> {
        if !std::mem::take(&mut self.wanted) {
            return None;
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.drain(..bytes.len().saturating_sub(TAIL_BYTES));
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, text: &str) -> Vec<u8> {
        let mut bytes = vec![0xA5, 0x5A, 0, kind];
        bytes.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
        if kind & 2 != 0 {
            bytes.extend_from_slice(&1_700_000_000_000_000_u64.to_be_bytes());
        }
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }

    fn collect(emit: impl FnOnce(&mut dyn FnMut(&[u8]))) -> Vec<String> {
        let mut all = Vec::new();
        emit(&mut |bytes| all.push(String::from_utf8(bytes.to_vec()).unwrap()));
        all
    }

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let mut lines = Lines::default();
        assert_eq!(collect(|emit| lines.push(b"one\ntw", emit)), ["one\n"]);
        assert_eq!(collect(|emit| lines.push(b"o\n\nthree", emit)), ["two\n", "\n"]);
        assert_eq!(collect(|emit| lines.flush(emit)), ["three\n"]);
        assert!(collect(|emit| lines.flush(emit)).is_empty());
    }

    #[test]
    fn a_line_beyond_the_limit_is_cut() {
        let mut lines = Lines::default();
        let long = vec![b'x'; MAX_EVENT_BYTES + 10];
        let mut sizes = Vec::new();
        for piece in long.chunks(1000) {
            lines.push(piece, |line| sizes.push(line.len()));
        }
        lines.flush(|line| sizes.push(line.len()));
        assert_eq!(sizes, [MAX_EVENT_BYTES, 11]);
    }

    #[test]
    fn frames_keep_their_lines_together_however_they_arrive() {
        let mut bytes = frame(3, "Traceback:\n  line 1\n");
        bytes.extend(frame(1, "short head"));
        bytes.extend(frame(0x0e, "{\"level\":\"INFO\"}"));
        let expected = ["Traceback:\n  line 1\n", "short head", "{\"level\":\"INFO\"}"];
        for step in [1, 3, 7, bytes.len()] {
            let mut frames = Frames::default();
            let got = collect(|emit| bytes.chunks(step).for_each(|piece| frames.push(piece, &mut *emit)));
            assert_eq!(got, expected, "in steps of {step}");
        }
    }

    #[test]
    fn plain_text_on_the_telemetry_pipe_is_kept() {
        let mut frames = Frames::default();
        let mut bytes = b"plain\nunfinished".to_vec();
        bytes.extend(frame(3, "framed"));
        assert_eq!(collect(|emit| frames.push(&bytes, emit)), ["plain\n", "unfinished\n", "framed"]);
    }

    #[test]
    fn the_tail_is_the_last_four_kibibytes() {
        let mut tail = Tail::default();
        tail.begin(true);
        for n in 0..5000 {
            tail.push(format!("{n:07}\n").as_bytes());
        }
        let got = tail.take().unwrap();
        assert_eq!(got.len(), TAIL_BYTES);
        assert!(got.ends_with(b"0004999\n"));
        tail.begin(false);
        tail.push(b"x");
        assert_eq!(tail.take(), None);
    }
}

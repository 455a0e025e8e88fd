//! Chunks: runs of events of one batch, packed into one value each, and the scan that reads them back.
//!
//! A chunk spans at most [`MAX_SPAN_MS`], so a read that begins at some moment finds every event by beginning that
//! much earlier in the keys. A message too long for one value goes on in further values (parts) behind its chunk.
//! Parts without their chunk (a write that was cut off between two transactions, and so never acknowledged) are
//! passed over.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use store::{Key, Range, Snapshot, StoreError};

use crate::batch::NewEvent;
use crate::keys::{self, VERSION};

/// The longest time between a chunk's first and last event.
pub(crate) const MAX_SPAN_MS: i64 = 10_000;
/// What a value may hold of messages; the store's limit is 64 KiB, the rest is for lengths and times.
const MAX_VALUE_BYTES: usize = 60 * 1024;
/// The most that packing adds to a message: its offset and its length.
const PACKED_OVERHEAD_BYTES: usize = 10;
/// Values read at once while scanning.
const SCAN_BATCH: usize = 16;

/// A run of events as it is stored.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chunk {
    ingestion_ms: i64,
    /// How many values behind this one continue the message of the (then only) event.
    further_parts: u64,
    events: Vec<ChunkEvent>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ChunkEvent {
    /// Milliseconds after the chunk's first event.
    offset_ms: u32,
    message: String,
}

/// A chunk on its way in: its values, part 0 first.
pub(crate) struct PackedChunk {
    pub(crate) first_ms: i64,
    pub(crate) parts: Vec<Vec<u8>>,
}

/// Packs sorted events.
pub(crate) fn pack(events: Vec<NewEvent>, ingestion_ms: i64) -> Vec<PackedChunk> {
    let mut chunks = Vec::new();
    let mut open: Option<(i64, usize, Vec<ChunkEvent>)> = None;
    for NewEvent { timestamp_ms, message } in events {
        let size = message.len() + PACKED_OVERHEAD_BYTES;
        let fits = open.as_ref().is_some_and(|(first_ms, bytes, _)| {
            bytes + size <= MAX_VALUE_BYTES && timestamp_ms - first_ms <= MAX_SPAN_MS
        });
        if !fits {
            chunks.extend(open.take().map(|open| close(open, ingestion_ms)));
        }
        if size > MAX_VALUE_BYTES {
            chunks.push(pack_long(timestamp_ms, &message, ingestion_ms));
            continue;
        }
        let (first_ms, bytes, events) = open.get_or_insert_with(|| (timestamp_ms, 0, Vec::new()));
        *bytes += size;
        // A chunk's span is far below 2^32 ms.
        let offset_ms = u32::try_from(timestamp_ms - *first_ms).unwrap_or(0);
        events.push(ChunkEvent { offset_ms, message });
    }
    chunks.extend(open.map(|open| close(open, ingestion_ms)));
    chunks
}

fn close((first_ms, _, events): (i64, usize, Vec<ChunkEvent>), ingestion_ms: i64) -> PackedChunk {
    let chunk = Chunk { ingestion_ms, further_parts: 0, events };
    PackedChunk { first_ms, parts: vec![store::value::encode(VERSION, &chunk)] }
}

fn pack_long(first_ms: i64, message: &str, ingestion_ms: i64) -> PackedChunk {
    let mut pieces = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(piece_end(rest));
        pieces.push(piece);
        rest = after;
    }
    let chunk = Chunk {
        ingestion_ms,
        further_parts: pieces.len() as u64 - 1,
        events: vec![ChunkEvent { offset_ms: 0, message: pieces[0].to_owned() }],
    };
    let mut parts = vec![store::value::encode(VERSION, &chunk)];
    parts.extend(pieces[1..].iter().map(|piece| store::value::encode(VERSION, *piece)));
    PackedChunk { first_ms, parts }
}

/// Where to cut a text so that its beginning fits a value: never within a character.
fn piece_end(text: &str) -> usize {
    let mut end = text.len().min(MAX_VALUE_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}

/// A chunk read back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StoredChunk {
    pub(crate) first_ms: i64,
    pub(crate) seq: u64,
    pub(crate) ingestion_ms: i64,
    pub(crate) further_parts: u64,
    /// Time and message of each event.
    pub(crate) events: Vec<(i64, String)>,
    /// What the chunk's values have in the store.
    pub(crate) value_bytes: usize,
}

/// Reads a stream's chunks in order of their first event, one way or the other, a few values at a time.
pub(crate) struct ChunkScan<'a> {
    snapshot: &'a Snapshot,
    range: Range,
    prefix_length: usize,
    buffer: VecDeque<(Bytes, Bytes)>,
    at_end: bool,
}

impl<'a> ChunkScan<'a> {
    /// The chunks of a stream whose first event is at `from_ms` or later and before `to_ms`.
    pub(crate) fn new(
        snapshot: &'a Snapshot,
        stream_events: &Key,
        from_ms: i64,
        to_ms: i64,
        reverse: bool,
    ) -> Self {
        let from = stream_events.clone().i64(from_ms).build();
        let to = stream_events.clone().i64(to_ms).build();
        let at_end = from >= to;
        let range = Range { from, to, reverse, limit: SCAN_BATCH };
        let prefix_length = stream_events.len();
        ChunkScan { snapshot, range, prefix_length, buffer: VecDeque::new(), at_end }
    }

    /// The next chunk.
    pub(crate) fn next(&mut self) -> Result<Option<StoredChunk>, StoreError> {
        // Parts that stand before their chunk: only when reading backwards. (seq, part, text)
        let mut waiting: Vec<(u64, u64, String)> = Vec::new();
        while let Some((first_ms, seq, part, value)) = self.next_value()? {
            if part > 0 {
                if self.range.reverse {
                    waiting.retain(|(waiting_seq, ..)| *waiting_seq == seq);
                    waiting.push((seq, part, store::value::decode(VERSION, &value)?));
                }
                continue;
            }
            let chunk: Chunk = store::value::decode(VERSION, &value)?;
            waiting.retain(|(waiting_seq, ..)| *waiting_seq == seq);
            waiting.reverse();
            return Ok(Some(self.complete(first_ms, seq, chunk, value.len(), waiting)?));
        }
        Ok(None)
    }

    fn complete(
        &mut self,
        first_ms: i64,
        seq: u64,
        chunk: Chunk,
        mut value_bytes: usize,
        before: Vec<(u64, u64, String)>,
    ) -> Result<StoredChunk, StoreError> {
        let mut events: Vec<(i64, String)> = chunk
            .events
            .into_iter()
            .map(|event| (first_ms.saturating_add(i64::from(event.offset_ms)), event.message))
            .collect();
        if let Some((_, message)) = events.first_mut() {
            for (.., text) in &before {
                value_bytes += text.len();
                message.push_str(text);
            }
            if !self.range.reverse {
                for _ in 0..chunk.further_parts {
                    let Some((.., value)) = self.next_value()? else { break };
                    value_bytes += value.len();
                    message.push_str(&store::value::decode::<String>(VERSION, &value)?);
                }
            }
        }
        Ok(StoredChunk {
            first_ms,
            seq,
            ingestion_ms: chunk.ingestion_ms,
            further_parts: chunk.further_parts,
            events,
            value_bytes,
        })
    }

    /// First ms, seq, part and value of the next key.
    fn next_value(&mut self) -> Result<Option<(i64, u64, u64, Bytes)>, StoreError> {
        loop {
            let Some((key, value)) = self.buffer.pop_front() else {
                if self.at_end {
                    return Ok(None);
                }
                self.fill()?;
                continue;
            };
            if let Some((first_ms, seq, part)) = keys::read_chunk(&key, self.prefix_length) {
                return Ok(Some((first_ms, seq, part, value)));
            }
        }
    }

    fn fill(&mut self) -> Result<(), StoreError> {
        let entries = self.snapshot.range(self.range.clone())?;
        self.at_end = entries.len() < SCAN_BATCH;
        if let Some((last, _)) = entries.last() {
            if self.range.reverse {
                self.range.to = last.to_vec();
            } else {
                self.range.from = keys::just_above(last);
            }
        }
        self.buffer.extend(entries);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use base::{AccountId, Region};
    use store::Store;

    use super::*;
    use crate::keys::Scope;

    fn event(timestamp_ms: i64, message: impl Into<String>) -> NewEvent {
        NewEvent { timestamp_ms, message: message.into() }
    }

    async fn store_with(chunks: Vec<PackedChunk>) -> (Store, Key) {
        let scope = Scope { account: AccountId::DEFAULT, region: Region::default() };
        let stream = keys::stream_events(&scope, 1);
        let store = Store::in_memory().unwrap();
        for (seq, chunk) in chunks.into_iter().enumerate() {
            for (part, value) in chunk.parts.into_iter().enumerate() {
                let key = keys::chunk(&stream, chunk.first_ms, seq as u64 + 1, part as u64);
                store.transact(move |tx| tx.put(key.clone(), value.clone())).await.unwrap();
            }
        }
        (store, stream)
    }

    fn read(store: &Store, stream: &Key, reverse: bool) -> Vec<StoredChunk> {
        let snapshot = store.snapshot().unwrap();
        let mut scan = ChunkScan::new(&snapshot, stream, 0, i64::MAX, reverse);
        std::iter::from_fn(|| scan.next().unwrap()).collect()
    }

    #[tokio::test]
    async fn what_is_packed_is_read_both_ways() {
        // Long messages with characters of three bytes, so that pieces cannot be cut anywhere.
        let long = "ああ€".repeat(100_000);
        let mut events: Vec<NewEvent> = (0..400).map(|n| event(n, format!("line {n}"))).collect();
        events.push(event(401, long.clone()));
        events.push(event(401, "after"));
        events.push(event(401 + MAX_SPAN_MS + 1, "much later"));
        events.extend((0..40).map(|n| event(20_000 + n * 20_000, "sparse")));
        let chunks = pack(events.clone(), 9);
        assert!(chunks.iter().flat_map(|chunk| &chunk.parts).all(|part| part.len() <= 64 * 1024));
        let (store, stream) = store_with(chunks).await;
        let chunks = read(&store, &stream, false);
        let spans = chunks.iter().map(|chunk| chunk.events.last().unwrap().0 - chunk.first_ms);
        assert!(spans.max().unwrap() <= MAX_SPAN_MS);
        let back: Vec<NewEvent> = chunks
            .iter()
            .flat_map(|chunk| &chunk.events)
            .map(|(ms, text)| event(*ms, text.clone()))
            .collect();
        assert_eq!(back, events);
        let mut reversed = read(&store, &stream, true);
        reversed.reverse();
        assert!(reversed.iter().zip(&chunks).all(|(one, other)| one.events == other.events));
        assert_eq!(reversed.len(), chunks.len());
    }

    #[tokio::test]
    async fn parts_without_their_chunk_are_passed_over() {
        let mut chunks = pack(vec![event(1, "a"), event(2, "x".repeat(200_000)), event(3, "b")], 9);
        assert_eq!(chunks.len(), 3);
        let long = chunks.remove(1);
        let (store, stream) = store_with(chunks).await;
        for (part, value) in long.parts.into_iter().enumerate().skip(1) {
            let key = keys::chunk(&stream, 2, 9, part as u64);
            store.transact(move |tx| tx.put(key.clone(), value.clone())).await.unwrap();
        }
        for reverse in [false, true] {
            let texts: Vec<String> = read(&store, &stream, reverse)
                .into_iter()
                .flat_map(|chunk| chunk.events.into_iter().map(|(_, text)| text))
                .collect();
            assert_eq!(texts, if reverse { ["b", "a"] } else { ["a", "b"] });
        }
    }
}

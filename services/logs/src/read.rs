//! Reading events: of one stream either way, of many streams of a group by time.
//!
//! Synchronous, over a snapshot; callers run it where it may block. It knows no tokens and no shapes.

use std::cmp::Reverse;
use std::collections::HashSet;

use store::Snapshot;

use crate::chunk::{ChunkScan, MAX_SPAN_MS, StoredChunk};
use crate::errors::LogsError;
use crate::keys::{self, Scope};
use crate::pattern::Pattern;
use crate::position::{GroupPosition, Position};
use crate::state::{decode, stream_at};
use crate::stream::Stream;
use crate::window::{FoundEvent, Window};

/// What one read over many streams takes from the store before it answers with what it has, in bytes.
pub(crate) const READ_BUDGET_BYTES: usize = 64 * 1024 * 1024;
/// What it takes from each stream at least.
const STREAM_BUDGET_BYTES: usize = 128 * 1024;
/// Stream records read at once.
const STREAM_BATCH: usize = 256;

/// Times from `start_ms` up to, without, `end_ms`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Period {
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
}

/// Where a read of one stream begins, and which way it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    /// Onwards from a boundary.
    Onwards(Position),
    /// Back from a boundary.
    Back(Position),
}

/// Events of one stream in order, and the boundaries at both their ends.
#[derive(Debug)]
pub(crate) struct StreamPage {
    pub(crate) events: Vec<FoundEvent>,
    /// Events before this are before the page.
    pub(crate) start: Position,
    /// Events from this on are behind the page.
    pub(crate) end: Position,
}

/// Reads a page of one stream.
pub(crate) fn stream_page(
    snapshot: &Snapshot,
    scope: &Scope,
    stream: &Stream,
    period: Period,
    from: Start,
    max_events: usize,
) -> Result<StreamPage, LogsError> {
    let events = keys::stream_events(scope, stream.uid);
    let found: Vec<(Position, FoundEvent)> = match from {
        Start::Onwards(boundary) => {
            let lower = boundary.max(Position::at(period.start_ms));
            let begin_ms = lower.timestamp_ms.saturating_sub(MAX_SPAN_MS);
            let mut scan = ChunkScan::new(snapshot, &events, begin_ms, period.end_ms, false);
            let mut window = Window::new(max_events);
            while let Some(chunk) = scan.next()? {
                if !window.wants(&Position::at(chunk.first_ms)) {
                    break;
                }
                for (position, event) in events_of(chunk) {
                    if position >= lower && position.timestamp_ms < period.end_ms {
                        window.offer(position, 0, event);
                    }
                }
            }
            window.into_sorted().into_iter().map(|(position, _, event)| (position, event)).collect()
        }
        Start::Back(boundary) => {
            let upper = boundary.min(Position::at(period.end_ms));
            let begin_ms = period.start_ms.saturating_sub(MAX_SPAN_MS);
            let end_ms = upper.timestamp_ms.saturating_add(1);
            let mut scan = ChunkScan::new(snapshot, &events, begin_ms, end_ms, true);
            let mut window = Window::new(max_events);
            while let Some(chunk) = scan.next()? {
                // The latest that this chunk, or one before it, can hold.
                if !window.wants(&Reverse(Position::at(chunk.first_ms.saturating_add(MAX_SPAN_MS + 1)))) {
                    break;
                }
                for (position, event) in events_of(chunk) {
                    if position < upper && position.timestamp_ms >= period.start_ms {
                        window.offer(Reverse(position), 0, event);
                    }
                }
            }
            let sorted = window.into_sorted().into_iter().rev();
            sorted.map(|(Reverse(position), _, event)| (position, event)).collect()
        }
    };
    let (start, end) = match (found.first(), found.last()) {
        (Some((first, _)), Some((last, _))) => (*first, last.behind()),
        _ => {
            let (Start::Onwards(boundary) | Start::Back(boundary)) = from;
            (boundary, boundary)
        }
    };
    Ok(StreamPage { events: found.into_iter().map(|(_, event)| event).collect(), start, end })
}

/// A chunk's events with their positions.
fn events_of(chunk: StoredChunk) -> impl Iterator<Item = (Position, FoundEvent)> {
    let StoredChunk { seq, ingestion_ms, events, .. } = chunk;
    events.into_iter().zip(0..).map(move |((timestamp_ms, message), index)| {
        (Position { timestamp_ms, seq, index }, FoundEvent { timestamp_ms, ingestion_ms, message })
    })
}

/// Which streams of a group are meant.
#[derive(Clone, Debug)]
pub(crate) enum Streams {
    /// Those whose names begin with this.
    Prefix(String),
    /// These; one that does not exist is an error.
    Named(Vec<String>),
}

/// A read over many streams.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    pub(crate) streams: Streams,
    pub(crate) period: Period,
    /// The boundary to begin at.
    pub(crate) from: GroupPosition,
    pub(crate) pattern: Pattern,
    pub(crate) max_events: usize,
    /// What the read may take from the store, in bytes; each stream may have [`STREAM_BUDGET_BYTES`] at least.
    pub(crate) budget_bytes: usize,
}

/// Events of many streams in order of time, and where the next page begins, if there may be more.
#[derive(Debug)]
pub(crate) struct SearchPage {
    /// Position, stream name and event.
    pub(crate) events: Vec<(GroupPosition, String, FoundEvent)>,
    pub(crate) next: Option<GroupPosition>,
}

/// Reads a page of a group. It visits stream by stream and keeps the earliest matches of all; when a stream has more
/// than its share of the budget, the page ends at the moment the reading of that stream got to.
pub(crate) fn search(
    snapshot: &Snapshot,
    scope: &Scope,
    group_uid: u64,
    search: &Search,
) -> Result<SearchPage, LogsError> {
    let mut reader = Reader {
        snapshot,
        scope,
        search,
        window: Window::new(search.max_events),
        names: Vec::new(),
        lower: search.from.max(GroupPosition::at(search.period.start_ms)),
        end_ms: search.period.end_ms,
        budget_bytes: search.budget_bytes,
    };
    match &search.streams {
        Streams::Named(names) => {
            let mut seen = HashSet::new();
            for name in names.iter().filter(|name| seen.insert(name.as_str())) {
                reader.visit(stream_at(snapshot, scope, group_uid, name)?)?;
            }
        }
        Streams::Prefix(prefix) => {
            let mut range = keys::streams(scope, group_uid, prefix).limit(STREAM_BATCH);
            loop {
                let batch = snapshot.range(range.clone())?;
                for (_, stored) in &batch {
                    reader.visit(decode(stored)?)?;
                }
                match batch.last() {
                    Some((key, _)) if batch.len() == STREAM_BATCH => range.from = keys::just_above(key),
                    _ => break,
                }
            }
        }
    }
    Ok(reader.finish())
}

struct Reader<'a> {
    snapshot: &'a Snapshot,
    scope: &'a Scope,
    search: &'a Search,
    window: Window<GroupPosition>,
    /// Names of the streams that have offered events; the window keeps indexes into this.
    names: Vec<String>,
    lower: GroupPosition,
    /// Where the page ends at the latest. Moves down when a stream's share of the budget is used up.
    end_ms: i64,
    budget_bytes: usize,
}

impl Reader<'_> {
    fn visit(&mut self, stream: Stream) -> Result<(), LogsError> {
        let lower_ms = self.lower.timestamp_ms;
        if !stream.overlaps(lower_ms, self.end_ms) {
            return Ok(());
        }
        let events = keys::stream_events(self.scope, stream.uid);
        let begin_ms = lower_ms.saturating_sub(MAX_SPAN_MS);
        let mut scan = ChunkScan::new(self.snapshot, &events, begin_ms, self.end_ms, false);
        let mut share_bytes = (self.budget_bytes / 4).max(STREAM_BUDGET_BYTES);
        let name_at = self.names.len();
        let mut offered = false;
        while let Some(chunk) = scan.next()? {
            if !self.window.wants(&GroupPosition::at(chunk.first_ms)) {
                break;
            }
            // Always past the page's beginning, so that the next page begins later than this one.
            if share_bytes == 0 && chunk.first_ms > lower_ms {
                self.end_ms = self.end_ms.min(chunk.first_ms);
                break;
            }
            share_bytes = share_bytes.saturating_sub(chunk.value_bytes);
            self.budget_bytes = self.budget_bytes.saturating_sub(chunk.value_bytes);
            for (position, event) in events_of(chunk) {
                let position = GroupPosition::of(stream.uid, position);
                let is_meant = position >= self.lower && position.timestamp_ms < self.end_ms;
                if is_meant && self.window.wants(&position) && self.search.pattern.matches(&event.message) {
                    offered = true;
                    self.window.offer(position, name_at, event);
                }
            }
        }
        if offered {
            self.names.push(stream.name);
        }
        Ok(())
    }

    fn finish(self) -> SearchPage {
        let cut = (self.end_ms < self.search.period.end_ms).then(|| GroupPosition::at(self.end_ms));
        let next = match (self.window.overflow(), cut) {
            (Some(overflow), Some(cut)) => Some(overflow.min(cut)),
            (overflow, cut) => overflow.or(cut),
        };
        let names = self.names;
        let is_before_next = |position: &GroupPosition| next.is_none_or(|next| *position < next);
        let events = self
            .window
            .into_sorted()
            .into_iter()
            .take_while(|(position, ..)| is_before_next(position))
            .map(|(position, stream, event)| (position, names[stream].clone(), event))
            .collect();
        SearchPage { events, next }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base::{AccountId, Clock, Region, Timestamp};
    use store::Store;

    use super::*;
    use crate::batch::NewEvent;
    use crate::group::Group;
    use crate::{Logs, LogsDeps};

    const NOW: i64 = 1_700_000_000_000;

    /// Streams of large events, one chunk each; every fifth has a needle.
    async fn haystack(scope: &Scope, times_ms: &[i64]) -> Arc<Logs> {
        let clock = Clock::frozen(Timestamp(NOW));
        let logs = Logs::new(LogsDeps { store: Store::in_memory().unwrap(), clock });
        let group = Group {
            name: "g".into(),
            uid: 0,
            created_ms: NOW,
            retention_days: None,
            tags: Default::default(),
        };
        logs.create_group(scope.clone(), group).await.unwrap();
        for stream in ["a", "b", "c"] {
            logs.create_stream(scope.clone(), "g".into(), stream.into()).await.unwrap();
            for (at, timestamp_ms) in times_ms.iter().copied().enumerate() {
                let word = if at % 5 == 0 { "needle" } else { "hay" };
                let message = format!("{stream} {at:02} {word} {}", "x".repeat(50_000));
                let events = vec![NewEvent { timestamp_ms, message }];
                logs.put_events(scope.clone(), "g".into(), stream.into(), events).await.unwrap();
            }
        }
        logs
    }

    /// The beginnings of all needles found, and the number of pages it took.
    fn needles(logs: &Logs, scope: &Scope) -> (Vec<String>, usize) {
        let group = logs.group(scope, "g").unwrap();
        let snapshot = logs.store.snapshot().unwrap();
        let mut query = Search {
            streams: Streams::Prefix(String::new()),
            period: Period { start_ms: 0, end_ms: i64::MAX },
            from: GroupPosition::at(0),
            pattern: Pattern::parse("needle").unwrap(),
            max_events: 10_000,
            budget_bytes: 0,
        };
        let (mut found, mut pages) = (Vec::new(), 0);
        loop {
            let page = search(&snapshot, scope, group.uid, &query).unwrap();
            pages += 1;
            found.extend(page.events.into_iter().map(|(.., event)| event.message[..4].to_owned()));
            let Some(next) = page.next else { return (found, pages) };
            assert!(next > query.from, "every page begins later than the one before");
            query.from = next;
        }
    }

    #[tokio::test]
    async fn a_page_that_uses_up_its_budget_goes_on_where_it_stopped() {
        let scope = Scope { account: AccountId::DEFAULT, region: Region::default() };
        let apart: Vec<i64> = (0..20).map(|n| NOW + n * 1_000).collect();
        let (found, pages) = needles(&*haystack(&scope, &apart).await, &scope);
        let by_time =
            ["a 00", "b 00", "c 00", "a 05", "b 05", "c 05", "a 10", "b 10", "c 10", "a 15", "b 15", "c 15"];
        assert_eq!(found, by_time);
        assert!(pages > 2, "{pages}");
        // All in one millisecond: no place to stop, so it reads on.
        let (found, pages) = needles(&*haystack(&scope, &[NOW; 20]).await, &scope);
        let by_stream =
            ["a 00", "a 05", "a 10", "a 15", "b 00", "b 05", "b 10", "b 15", "c 00", "c 05", "c 10", "c 15"];
        assert_eq!(found, by_stream);
        assert!(pages <= 2, "{pages}");
    }
}

//! Streams: create, delete, describe.

use std::collections::BinaryHeap;
use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};
use store::Snapshot;

use super::{Done, scope_of};
use crate::Logs;
use crate::errors::LogsError;
use crate::group::Group;
use crate::identifier;
use crate::keys::{self, Scope};
use crate::state::decode;
use crate::stream::Stream;
use crate::token;

const DEFAULT_LIMIT: usize = 50;
const SCAN_BATCH: usize = 256;
/// AWS still gives one, and no longer looks at it.
pub(super) const SEQUENCE_TOKEN: &str = "49039859636642503112867456741894834276549352741436555474";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamName {
    log_group_name: String,
    log_stream_name: String,
}

pub(crate) async fn create_log_stream(
    logs: Arc<Logs>,
    call: Call,
    input: StreamName,
) -> Result<Done, LogsError> {
    logs.create_stream(scope_of(&call), input.log_group_name, input.log_stream_name).await?;
    Ok(Done {})
}

pub(crate) async fn delete_log_stream(
    logs: Arc<Logs>,
    call: Call,
    input: StreamName,
) -> Result<Done, LogsError> {
    logs.delete_stream(scope_of(&call), input.log_group_name, input.log_stream_name).await?;
    Ok(Done {})
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DescribeLogStreams {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_name_prefix: Option<String>,
    order_by: Option<String>,
    descending: Option<bool>,
    next_token: Option<String>,
    limit: Option<usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogStreams {
    log_streams: Vec<LogStream>,
    next_token: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogStream {
    log_stream_name: String,
    creation_time: i64,
    first_event_timestamp: Option<i64>,
    last_event_timestamp: Option<i64>,
    last_ingestion_time: Option<i64>,
    upload_sequence_token: &'static str,
    arn: String,
    /// Always 0, as on AWS since 2019.
    stored_bytes: i64,
}

pub(crate) async fn describe_log_streams(
    logs: Arc<Logs>,
    call: Call,
    input: DescribeLogStreams,
) -> Result<LogStreams, LogsError> {
    let scope = scope_of(&call);
    let name = identifier::group_name(&scope, input.log_group_name, input.log_group_identifier)?;
    let group = logs.group(&scope, &name)?;
    let snapshot = logs.store.snapshot()?;
    let limit = input.limit.unwrap_or(DEFAULT_LIMIT);
    let descending = input.descending.unwrap_or(false);
    let by_time = input.order_by.as_deref() == Some("LastEventTime");
    let (streams, next_token) = if by_time {
        if input.log_stream_name_prefix.is_some() {
            return Err(LogsError::invalid("Cannot order by LastEventTime with a logStreamNamePrefix."));
        }
        let after = input.next_token.as_deref().map(token::parse_time_and_name).transpose()?;
        let page = by_last_event(&snapshot, &scope, &group, after, descending, limit)?;
        let token = page.last_if_more().map(|last| token::of_time_and_name(last_event_ms(last), &last.name));
        (page.streams, token)
    } else {
        let prefix = input.log_stream_name_prefix.as_deref().unwrap_or("");
        let after = input.next_token.as_deref().map(token::parse_text).transpose()?;
        let page = by_name(&snapshot, &scope, &group, prefix, after.as_deref(), descending, limit)?;
        let token = page.last_if_more().map(|last| token::of_text(&last.name));
        (page.streams, token)
    };
    let group_arn = group.arn(&scope);
    Ok(LogStreams {
        log_streams: streams.into_iter().map(|one| shape(&group_arn, one)).collect(),
        next_token,
    })
}

struct Page {
    streams: Vec<Stream>,
    has_more: bool,
}

impl Page {
    fn last_if_more(&self) -> Option<&Stream> {
        self.streams.last().filter(|_| self.has_more)
    }
}

fn by_name(
    snapshot: &Snapshot,
    scope: &Scope,
    group: &Group,
    prefix: &str,
    after: Option<&str>,
    descending: bool,
    limit: usize,
) -> Result<Page, LogsError> {
    let mut range = keys::streams(scope, group.uid, prefix).limit(limit + 1);
    range.reverse = descending;
    if let Some(after) = after {
        let key = keys::stream(scope, group.uid, after);
        if descending {
            range.to = range.to.min(key);
        } else {
            range.from = range.from.max(keys::just_above(&key));
        }
    }
    if range.from >= range.to {
        return Ok(Page { streams: Vec::new(), has_more: false });
    }
    let entries = snapshot.range(range)?;
    let has_more = entries.len() > limit;
    let streams: Result<Vec<Stream>, _> =
        entries.iter().take(limit).map(|(_, stored)| decode(stored)).collect();
    Ok(Page { streams: streams?, has_more })
}

/// Walks all records of the group (not its events) and keeps one page.
fn by_last_event(
    snapshot: &Snapshot,
    scope: &Scope,
    group: &Group,
    after: Option<(i64, String)>,
    descending: bool,
    limit: usize,
) -> Result<Page, LogsError> {
    // A greater rank comes later. Descending order turns both parts around.
    let rank_of = |time_ms: i64, name: &str| Rank { time_ms, name: name.to_owned(), descending };
    let after = after.map(|(time_ms, name)| rank_of(time_ms, &name));
    let mut kept: BinaryHeap<Ranked> = BinaryHeap::new();
    let mut has_more = false;
    let mut range = keys::streams(scope, group.uid, "").limit(SCAN_BATCH);
    loop {
        let batch = snapshot.range(range.clone())?;
        for (_, stored) in &batch {
            let stream: Stream = decode(stored)?;
            let rank = rank_of(last_event_ms(&stream), &stream.name);
            if after.as_ref().is_some_and(|after| rank <= *after) {
                continue;
            }
            kept.push(Ranked { rank, stream });
            if kept.len() > limit {
                kept.pop();
                has_more = true;
            }
        }
        match batch.last() {
            Some((key, _)) if batch.len() == SCAN_BATCH => range.from = keys::just_above(key),
            _ => break,
        }
    }
    let streams = kept.into_sorted_vec().into_iter().map(|ranked| ranked.stream).collect();
    Ok(Page { streams, has_more })
}

#[derive(PartialEq, Eq)]
struct Rank {
    time_ms: i64,
    name: String,
    descending: bool,
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let order = (self.time_ms, &self.name).cmp(&(other.time_ms, &other.name));
        if self.descending { order.reverse() } else { order }
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

struct Ranked {
    rank: Rank,
    stream: Stream,
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Ranked {}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank.cmp(&other.rank)
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// What a stream is ordered by; one without events comes before all others.
fn last_event_ms(stream: &Stream) -> i64 {
    stream.last_event_ms.unwrap_or(-1)
}

fn shape(group_arn: &str, stream: Stream) -> LogStream {
    LogStream {
        arn: format!("{group_arn}:log-stream:{}", stream.name),
        log_stream_name: stream.name,
        creation_time: stream.created_ms,
        first_event_timestamp: stream.first_event_ms,
        last_event_timestamp: stream.last_event_ms,
        last_ingestion_time: stream.last_ingestion_ms,
        upload_sequence_token: SEQUENCE_TOKEN,
        stored_bytes: 0,
    }
}

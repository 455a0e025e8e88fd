//! FilterLogEvents: the streams of a group together, in order of time.

use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::scope_of;
use crate::Logs;
use crate::errors::LogsError;
use crate::identifier;
use crate::pattern::Pattern;
use crate::position::GroupPosition;
use crate::read::{self, Period, READ_BUDGET_BYTES, Search, Streams};
use crate::token;

const DEFAULT_LIMIT: usize = 10_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FilterLogEvents {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_names: Option<Vec<String>>,
    log_stream_name_prefix: Option<String>,
    /// From this moment on.
    start_time: Option<i64>,
    /// Up to and with this moment.
    end_time: Option<i64>,
    filter_pattern: Option<String>,
    next_token: Option<String>,
    limit: Option<usize>,
    /// Answers are always interleaved, as on AWS since 2019.
    #[serde(rename = "interleaved")]
    _interleaved: Option<bool>,
    /// Nothing is masked here, so there is nothing to show or hide.
    #[serde(rename = "unmask")]
    _unmask: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FilteredEvents {
    events: Vec<FilteredLogEvent>,
    /// Always empty, as on AWS.
    searched_log_streams: Vec<SearchedLogStream>,
    next_token: Option<String>,
}

#[derive(Serialize)]
struct SearchedLogStream {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FilteredLogEvent {
    log_stream_name: String,
    timestamp: i64,
    message: String,
    ingestion_time: i64,
    event_id: String,
}

pub(crate) async fn filter_log_events(
    logs: Arc<Logs>,
    call: Call,
    input: FilterLogEvents,
) -> Result<FilteredEvents, LogsError> {
    let scope = scope_of(&call);
    let name = identifier::group_name(&scope, input.log_group_name, input.log_group_identifier)?;
    let streams = match (input.log_stream_names, input.log_stream_name_prefix) {
        (Some(_), Some(_)) => {
            return Err(LogsError::invalid(
                "Cannot specify both logStreamNamePrefix and logStreamNames in the same request.",
            ));
        }
        (Some(names), None) => Streams::Named(names),
        (None, prefix) => Streams::Prefix(prefix.unwrap_or_default()),
    };
    let pattern = Pattern::parse(input.filter_pattern.as_deref().unwrap_or(""))?;
    let from = input.next_token.as_deref().map(token::parse_group_position).transpose()?;
    let group = logs.group(&scope, &name)?;
    let start_ms = input.start_time.unwrap_or(0).max(group.cutoff_ms(logs.now_ms())).max(0);
    let search = Search {
        streams,
        period: Period { start_ms, end_ms: input.end_time.map_or(i64::MAX, |end| end.saturating_add(1)) },
        from: from.unwrap_or(GroupPosition::at(start_ms)),
        pattern,
        max_events: input.limit.unwrap_or(DEFAULT_LIMIT),
        budget_bytes: READ_BUDGET_BYTES,
    };
    let reader = Arc::clone(&logs);
    let page = tokio::task::spawn_blocking(move || {
        let snapshot = reader.store.snapshot()?;
        read::search(&snapshot, &scope, group.uid, &search)
    })
    .await??;
    Ok(FilteredEvents {
        events: page
            .events
            .into_iter()
            .map(|(position, stream, event)| FilteredLogEvent {
                log_stream_name: stream,
                timestamp: event.timestamp_ms,
                message: event.message,
                ingestion_time: event.ingestion_ms,
                event_id: position.event_id(),
            })
            .collect(),
        searched_log_streams: Vec::new(),
        next_token: page.next.map(token::of_group_position),
    })
}

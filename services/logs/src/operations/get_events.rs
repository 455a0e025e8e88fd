//! GetLogEvents: one stream, either way, with tokens that stay good at both ends.

use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::scope_of;
use crate::Logs;
use crate::errors::LogsError;
use crate::identifier;
use crate::position::Position;
use crate::read::{self, Period, Start};
use crate::state::stream_at;
use crate::token::Cursor;

const DEFAULT_LIMIT: usize = 10_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GetLogEvents {
    log_group_name: Option<String>,
    log_group_identifier: Option<String>,
    log_stream_name: String,
    /// From this moment on.
    start_time: Option<i64>,
    /// Before this moment.
    end_time: Option<i64>,
    next_token: Option<String>,
    limit: Option<usize>,
    start_from_head: Option<bool>,
    /// Nothing is masked here, so there is nothing to show or hide.
    #[serde(rename = "unmask")]
    _unmask: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LogEvents {
    events: Vec<OutputLogEvent>,
    next_forward_token: String,
    next_backward_token: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OutputLogEvent {
    timestamp: i64,
    message: String,
    ingestion_time: i64,
}

pub(crate) async fn get_log_events(
    logs: Arc<Logs>,
    call: Call,
    input: GetLogEvents,
) -> Result<LogEvents, LogsError> {
    let scope = scope_of(&call);
    let name = identifier::group_name(&scope, input.log_group_name, input.log_group_identifier)?;
    let cursor = input.next_token.as_deref().map(Cursor::parse).transpose()?;
    let group = logs.group(&scope, &name)?;
    let start_ms = input.start_time.unwrap_or(0).max(group.cutoff_ms(logs.now_ms())).max(0);
    let period = Period { start_ms, end_ms: input.end_time.unwrap_or(i64::MAX) };
    let start = match cursor {
        Some(Cursor::Forward(boundary)) => Start::Onwards(boundary),
        Some(Cursor::Backward(boundary)) => Start::Back(boundary),
        None if input.start_from_head.unwrap_or(false) => Start::Onwards(Position::at(start_ms)),
        None => Start::Back(Position::at(period.end_ms)),
    };
    let limit = input.limit.unwrap_or(DEFAULT_LIMIT);
    let reader = Arc::clone(&logs);
    let mut page = tokio::task::spawn_blocking(move || {
        let snapshot = reader.store.snapshot()?;
        let stream = stream_at(&snapshot, &scope, group.uid, &input.log_stream_name)?;
        read::stream_page(&snapshot, &scope, &stream, period, start, limit)
    })
    .await??;
    if page.events.is_empty() && cursor.is_none() {
        // What comes later is behind this boundary, whatever its time.
        (page.start, page.end) = (Position::at(start_ms), Position::at(start_ms));
    }
    Ok(LogEvents {
        next_forward_token: Cursor::Forward(page.end).token(),
        next_backward_token: Cursor::Backward(page.start).token(),
        events: page
            .events
            .into_iter()
            .map(|event| OutputLogEvent {
                timestamp: event.timestamp_ms,
                message: event.message,
                ingestion_time: event.ingestion_ms,
            })
            .collect(),
    })
}

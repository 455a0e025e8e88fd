//! PutLogEvents.

use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::scope_of;
use super::streams::SEQUENCE_TOKEN;
use crate::Logs;
use crate::batch::{NewEvent, Rejected};
use crate::errors::LogsError;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PutLogEvents {
    log_group_name: String,
    log_stream_name: String,
    log_events: Vec<InputLogEvent>,
    /// Any token is good, as on AWS since 2023.
    #[serde(rename = "sequenceToken")]
    _sequence_token: Option<String>,
}

#[derive(Deserialize)]
struct InputLogEvent {
    timestamp: i64,
    message: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Put {
    next_sequence_token: &'static str,
    rejected_log_events_info: Option<RejectedInfo>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RejectedInfo {
    too_new_log_event_start_index: Option<usize>,
    too_old_log_event_end_index: Option<usize>,
    expired_log_event_end_index: Option<usize>,
}

pub(crate) async fn put_log_events(
    logs: Arc<Logs>,
    call: Call,
    input: PutLogEvents,
) -> Result<Put, LogsError> {
    let events = input
        .log_events
        .into_iter()
        .map(|event| NewEvent { timestamp_ms: event.timestamp, message: event.message })
        .collect();
    let (group, stream) = (input.log_group_name, input.log_stream_name);
    let rejected = logs.put_events(scope_of(&call), group, stream, events).await?;
    let info = RejectedInfo {
        too_new_log_event_start_index: rejected.too_new_start,
        too_old_log_event_end_index: rejected.too_old_end,
        expired_log_event_end_index: rejected.expired_end,
    };
    Ok(Put {
        next_sequence_token: SEQUENCE_TOKEN,
        rejected_log_events_info: (rejected != Rejected::default()).then_some(info),
    })
}

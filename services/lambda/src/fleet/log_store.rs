//! The log service as the log worker sees it: create a stream, put events. The real one is behind the front door.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use base::{ApiError, Principal};
use frontdoor::{Call, FrontDoorHandle};
use serde::{Deserialize, Serialize};

use super::log_sink::{LogEvent, StreamName};

type Storing<'a> = Pin<Box<dyn Future<Output = Result<(), ApiError>> + Send + 'a>>;

/// Where log events are kept.
pub(crate) trait LogStore: Send + Sync {
    /// Creates the group and the stream unless they exist.
    fn create<'a>(&'a self, name: &'a StreamName) -> Storing<'a>;
    /// Appends events, in order of time, within the limits of one batch.
    fn put<'a>(&'a self, name: &'a StreamName, events: Arc<[LogEvent]>) -> Storing<'a>;
}

/// CloudWatch Logs through the front door, as the service principal of Lambda.
pub(crate) struct FrontDoorLogs {
    front_door: FrontDoorHandle,
}

impl FrontDoorLogs {
    pub(crate) fn new(front_door: FrontDoorHandle) -> Self {
        FrontDoorLogs { front_door }
    }

    fn call(&self, name: &StreamName) -> Result<Call, ApiError> {
        let front_door =
            self.front_door.try_get().ok_or_else(|| ApiError::internal("the front door is closed"))?;
        Ok(front_door.call(Principal::Service("lambda.amazonaws.com"), name.account, name.region.clone()))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateLogGroup<'a> {
    log_group_name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CreateLogStream<'a> {
    log_group_name: &'a str,
    log_stream_name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PutLogEvents<'a> {
    log_group_name: &'a str,
    log_stream_name: &'a str,
    log_events: Vec<InputLogEvent<'a>>,
}

#[derive(Serialize)]
struct InputLogEvent<'a> {
    timestamp: i64,
    message: &'a str,
}

/// An answer of which nothing matters.
#[derive(Deserialize)]
struct Nothing {}

/// Fine if it exists already.
fn settled(result: Result<Nothing, ApiError>) -> Result<(), ApiError> {
    match result {
        Err(error) if error.code != "ResourceAlreadyExistsException" => Err(error),
        _ => Ok(()),
    }
}

impl LogStore for FrontDoorLogs {
    fn create<'a>(&'a self, name: &'a StreamName) -> Storing<'a> {
        Box::pin(async move {
            let call = self.call(name)?;
            let stream = CreateLogStream { log_group_name: &name.group, log_stream_name: &name.stream };
            // The group is there all but the first time: ask for the stream first.
            match settled(call.service("logs").invoke("CreateLogStream", &stream).await) {
                Err(error) if error.code == "ResourceNotFoundException" => {
                    let group = CreateLogGroup { log_group_name: &name.group };
                    settled(call.service("logs").invoke("CreateLogGroup", &group).await)?;
                    settled(call.service("logs").invoke("CreateLogStream", &stream).await)
                }
                other => other,
            }
        })
    }

    fn put<'a>(&'a self, name: &'a StreamName, events: Arc<[LogEvent]>) -> Storing<'a> {
        Box::pin(async move {
            let call = self.call(name)?;
            let request = PutLogEvents {
                log_group_name: &name.group,
                log_stream_name: &name.stream,
                log_events: events
                    .iter()
                    .map(|event| InputLogEvent { timestamp: event.timestamp_ms, message: &event.message })
                    .collect(),
            };
            let _: Nothing = call.service("logs").invoke("PutLogEvents", &request).await?;
            Ok(())
        })
    }
}

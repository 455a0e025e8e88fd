//! `lamplighter logs NAME`: a function's log events, oldest first; with `--follow`, new ones as they come.
//!
//! An ordinary client of CloudWatch Logs: FilterLogEvents, again and again when following.

use std::collections::HashSet;
use std::process::ExitCode;
use std::time::Duration;

use base::Timestamp;
use bytes::Bytes;
use clap::Args;
use http::{Method, Request, header};
use serde::{Deserialize, Serialize};

use super::Ending;
use crate::client::{Client, ClientArgs};
use crate::ui;

/// How often a followed log is asked for.
const POLL: Duration = Duration::from_millis(300);
/// How far back each poll looks again: events of several environments do not arrive in the order of their times.
const OVERLAP_MS: i64 = 5_000;

/// Show a function's logs.
#[derive(Args)]
pub(crate) struct Logs {
    /// The function's name, or a log group's (starting with '/')
    name: String,
    /// Keep showing new events
    #[arg(long, short)]
    follow: bool,
    /// Only events that match a CloudWatch filter pattern
    #[arg(long, value_name = "PATTERN")]
    filter: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FilterLogEvents<'a> {
    log_group_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter_pattern: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FilterLogEventsResult {
    #[serde(default)]
    events: Vec<Event>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    event_id: String,
    timestamp: i64,
    message: String,
}

impl Logs {
    pub(crate) async fn run(self) -> Ending {
        let client = Client::new(&self.client)?;
        let group =
            if self.name.starts_with('/') { self.name.clone() } else { format!("/aws/lambda/{}", self.name) };
        let mut shown: HashSet<String> = HashSet::new();
        let mut start_time = None;
        loop {
            let events = self.events(&client, &group, start_time).await?;
            for event in events.iter().filter(|event| !shown.contains(&event.event_id)) {
                let time = Timestamp(event.timestamp).iso8601();
                ui::line(&format!("{} {}", ui::dim(&time), event.message.trim_end()));
            }
            if !self.follow {
                return Ok(ExitCode::SUCCESS);
            }
            if let Some(newest) = events.iter().map(|event| event.timestamp).max() {
                start_time = Some(newest - OVERLAP_MS);
                shown = events.into_iter().map(|event| event.event_id).collect();
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn events(
        &self,
        client: &Client,
        group: &str,
        start_time: Option<i64>,
    ) -> Result<Vec<Event>, String> {
        let mut events = Vec::new();
        let mut next_token = None;
        loop {
            let input = FilterLogEvents {
                log_group_name: group,
                filter_pattern: self.filter.as_deref(),
                start_time,
                next_token: next_token.take(),
            };
            let body = serde_json::to_vec(&input).map_err(|error| error.to_string())?;
            let request = Request::builder()
                .method(Method::POST)
                .uri("/")
                .header(header::CONTENT_TYPE, "application/x-amz-json-1.1")
                .header("x-amz-target", "Logs_20140328.FilterLogEvents")
                .body(Bytes::from(body))
                .map_err(|error| error.to_string())?;
            let answer = match client.signed("logs", request).await {
                Ok(answer) => answer,
                // A function that has not run yet has no log group; whoever follows waits for it.
                Err(error) if self.follow && error.contains("ResourceNotFoundException") => {
                    return Ok(events);
                }
                Err(error) => return Err(error),
            };
            let page: FilterLogEventsResult = serde_json::from_slice(answer.body())
                .map_err(|error| format!("not an answer of Logs: {error}"))?;
            events.extend(page.events);
            match page.next_token {
                Some(token) => next_token = Some(token),
                None => return Ok(events),
            }
        }
    }
}

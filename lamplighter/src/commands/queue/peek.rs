//! `lamplighter queue peek`: what is in a queue, without receiving it; and for what failed, why.
//!
//! Why a message failed is known from three places: what Lambda noted when a function that reads the queue failed, the
//! attributes that Lambda gives an asynchronous event's dead letter, and the record that a destination gets.

use std::process::ExitCode;

use base::Timestamp;
use clap::Args;
use serde::{Deserialize, Serialize};

use super::super::Ending;
use super::sqs::{QueueRef, name_of};
use crate::client::{Client, encode_segment};
use crate::ui;

/// Look at a queue's messages without receiving them.
#[derive(Args)]
pub(crate) struct Peek {
    /// The queue's name, URL or ARN
    queue: String,
    /// So many messages at most
    #[arg(long, default_value_t = 10)]
    limit: usize,
    /// As JSON, with all there is to know
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Time {
    now_ms: i64,
}

#[derive(Deserialize)]
struct Answer {
    messages: Vec<Peeked>,
}

/// A message as the server shows it.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Peeked {
    message_id: String,
    body: String,
    attributes: Vec<Attribute>,
    state: String,
    receive_count: u32,
    sent_at_ms: i64,
    first_received_at_ms: Option<i64>,
    hidden_until_ms: Option<i64>,
    sender_id: String,
    group_id: Option<String>,
    deduplication_id: Option<String>,
    dead_letter_source_arn: Option<String>,
    /// What Lambda noted of it.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Attribute {
    name: String,
    data_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    string_value: Option<String>,
    /// As base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    binary_value: Option<String>,
}

/// What Lambda noted when a function did not handle a message.
#[derive(Deserialize, Serialize)]
struct Failure {
    #[serde(skip_serializing)]
    message_id: String,
    source_arn: String,
    function_arn: String,
    attempts: u32,
    first_failed_at: i64,
    last_failed_at: i64,
    error_type: String,
    error_message: String,
    request_ids: Vec<String>,
}

impl Peek {
    pub(crate) async fn run(self, client: &Client) -> Ending {
        let queue = QueueRef::find(client, &self.queue).await?;
        let path = format!(
            "queues/messages?account={}&region={}&queue={}&limit={}",
            queue.account,
            client.region(),
            encode_segment(&queue.name),
            self.limit
        );
        let answer = client.admin("GET", &path, String::new()).await?;
        let mut answer: Answer = serde_json::from_slice(&answer)
            .map_err(|error| format!("the server's answer is no list of messages: {error}"))?;
        note_failures(client, &mut answer.messages).await?;
        if self.json {
            let text = serde_json::to_string_pretty(&answer.messages).map_err(|error| error.to_string())?;
            ui::line(&text);
        } else if answer.messages.is_empty() {
            ui::note(&format!("{} has no messages", queue.name));
        } else {
            // The server's time may have been moved.
            let clock = client.admin("GET", "clock", String::new()).await?;
            let Time { now_ms } = serde_json::from_slice(&clock)
                .map_err(|error| format!("the server's answer is not its clock: {error}"))?;
            for message in &answer.messages {
                message.show(now_ms);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// So many messages are asked about at once.
const AT_ONCE: usize = 100;

/// Adds what Lambda noted of the messages.
async fn note_failures(client: &Client, messages: &mut [Peeked]) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Answer {
        failures: Vec<Failure>,
    }
    for part in messages.chunks_mut(AT_ONCE) {
        let ids: Vec<String> = part.iter().map(|message| format!("id={}", message.message_id)).collect();
        let answer = client.admin("GET", &format!("failures?{}", ids.join("&")), String::new()).await?;
        let answer: Answer = serde_json::from_slice(&answer)
            .map_err(|error| format!("the server's answer is no list of failures: {error}"))?;
        for failure in answer.failures {
            let message = part.iter_mut().find(|message| message.message_id == failure.message_id);
            if let Some(message) = message {
                message.failure = Some(failure);
            }
        }
    }
    Ok(())
}

impl Peeked {
    fn show(&self, now_ms: i64) {
        let state = match (self.state.as_str(), self.hidden_until_ms) {
            ("inFlight", Some(until)) => format!("in flight for {}", span(until - now_ms)),
            ("inFlight", None) => "in flight".to_owned(),
            ("delayed", Some(until)) => format!("delayed for {}", span(until - now_ms)),
            (state, _) => state.to_owned(),
        };
        let received = match self.receive_count {
            0 => "never received".to_owned(),
            1 => "received once".to_owned(),
            count => format!("received {count} times"),
        };
        let age = span(now_ms - self.sent_at_ms);
        ui::line(&format!("{}  {state}, {received}, {age} old", ui::bold(&self.message_id)));
        let part = |name: &str, text: &str| ui::line(&format!("  {name:<10} {text}"));
        part("body", &shortened(&self.body));
        for Attribute { name, data_type, string_value, binary_value } in &self.attributes {
            let value = string_value.as_ref().or(binary_value.as_ref()).map_or("", String::as_str);
            part("attribute", &format!("{name} = {} ({data_type})", shortened(value)));
        }
        if let Some(group) = &self.group_id {
            part("group", group);
        }
        if let Some(source) = &self.dead_letter_source_arn {
            part("came from", name_of(source));
        }
        for line in self.why() {
            part("failed", &line);
        }
    }

    /// Why the message failed, as far as it is known.
    fn why(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(failure) = &self.failure {
            lines.push(format!(
                "{} in {} after {} ({}): {}",
                failure.error_type,
                function_of(&failure.function_arn),
                if failure.attempts == 1 {
                    "1 attempt".to_owned()
                } else {
                    format!("{} attempts", failure.attempts)
                },
                Timestamp(failure.last_failed_at).iso8601(),
                shortened(&failure.error_message),
            ));
            lines.push(format!("in requests {}", failure.request_ids.join(", ")));
        }
        let attribute = |name: &str| {
            let found = self.attributes.iter().find(|attribute| attribute.name == name)?;
            found.string_value.as_deref()
        };
        if let (Some(request), Some(message)) = (attribute("RequestID"), attribute("ErrorMessage")) {
            let code = attribute("ErrorCode").unwrap_or("?");
            lines.push(format!("asynchronous invoke {request}, status {code}: {}", shortened(message)));
        }
        if let Ok(record) = serde_json::from_str::<Record>(&self.body) {
            lines.push(record.why());
        }
        lines
    }
}

/// The record of an asynchronous invoke, as a destination gets it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    request_context: RecordContext,
    response_payload: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RecordContext {
    request_id: String,
    function_arn: String,
    condition: String,
    approximate_invoke_count: u32,
}

impl Record {
    fn why(&self) -> String {
        let context = &self.request_context;
        let error = self.response_payload.as_ref().and_then(|payload| payload["errorMessage"].as_str());
        format!(
            "{} of {} after {} invokes, request {}{}",
            context.condition,
            function_of(&context.function_arn),
            context.approximate_invoke_count,
            context.request_id,
            error.map(|error| format!(": {}", shortened(error))).unwrap_or_default(),
        )
    }
}

/// A function's name in its ARN, with its version or alias.
fn function_of(arn: &str) -> &str {
    arn.split_once(":function:").map_or(arn, |(_, name)| name)
}

/// One line of at most 300 characters.
fn shortened(text: &str) -> String {
    const MOST: usize = 300;
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST).collect();
    if text.chars().nth(MOST).is_some() { format!("{line}... ({} bytes)", text.len()) } else { line }
}

/// A time span for a person.
fn span(ms: i64) -> String {
    match ms.max(0) / 1000 {
        s if s < 120 => format!("{s} s"),
        s if s < 7200 => format!("{} min", s / 60),
        s if s < 172_800 => format!("{} h", s / 3600),
        s => format!("{} days", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_the_unit_that_fits() {
        let told: Vec<String> = [0, 119_000, 120_000, 7_200_000, 172_800_000].into_iter().map(span).collect();
        assert_eq!(told, ["0 s", "119 s", "2 min", "2 h", "2 days"]);
    }

    #[test]
    fn a_destination_record_says_why() {
        let body = r#"{"version":"1.0","requestContext":{"requestId":"r","functionArn":"arn:aws:lambda:us-east-1:1:function:f:$LATEST","condition":"RetriesExhausted","approximateInvokeCount":3},"responsePayload":{"errorMessage":"no"}}"#;
        let record: Record = serde_json::from_str(body).unwrap();
        assert_eq!(record.why(), "RetriesExhausted of f:$LATEST after 3 invokes, request r: no");
    }
}

//! `lamplighter queue replay`: chosen messages of a dead-letter queue once more: sent back to the queue that they came
//! from, or handed to a function here and now.
//!
//! It receives messages as any client does. One that was sent or handled is deleted after that, so an interruption may
//! repeat a message and loses none; one that was not chosen, or failed again, is given back at once.

use std::collections::BTreeSet;
use std::process::ExitCode;

use base::Clock;
use bytes::Bytes;
use clap::Args;
use http::{Method, Request};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::Ending;
use super::sqs::{Message, QueueRef, name_of};
use crate::client::{Client, encode_segment};
use crate::ui;

/// How long a message that is sent back is taken for, and one that a function handles: longer than functions run.
const SEND_LEASE_S: u32 = 60;
const INVOKE_LEASE_S: u32 = 1_000;

/// Send chosen messages of a dead-letter queue back, or hand them to a function.
#[derive(Args)]
pub(crate) struct Replay {
    /// The dead-letter queue's name, URL or ARN
    queue: String,
    /// Only the message with this id; may be repeated [default: all]
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<String>,
    /// Hand each message to this function, as a queue would, and show its answer
    #[arg(long, value_name = "NAME", conflicts_with = "to")]
    function: Option<String>,
    /// The queue they go to [default: each message's own]
    #[arg(long, value_name = "QUEUE")]
    to: Option<String>,
}

impl Replay {
    pub(crate) async fn run(self, client: &Client) -> Ending {
        let queue = QueueRef::find(client, &self.queue).await?;
        let to = match &self.to {
            Some(to) => Some(QueueRef::find(client, to).await?),
            None => None,
        };
        let mut round =
            Round { replay: &self, client, queue: &queue, to, seen: BTreeSet::new(), kept: Vec::new() };
        let outcome = round.all().await;
        for message in &round.kept {
            // It comes back by itself when its time is over.
            let _ = queue.release(client, message).await;
        }
        let Outcome { done, failed } = outcome?;
        let lost: Vec<&String> = self.ids.iter().filter(|id| !round.seen.contains(*id)).collect();
        if !lost.is_empty() {
            let lost: Vec<&str> = lost.into_iter().map(String::as_str).collect();
            return Err(format!(
                "{} has no such message that can be received: {}",
                queue.name,
                lost.join(", ")
            ));
        }
        ui::note(&match failed {
            0 => format!("{done} replayed"),
            _ => format!("{done} replayed, {failed} failed and stay in {}", queue.name),
        });
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(2) })
    }
}

#[derive(Default)]
struct Outcome {
    done: usize,
    failed: usize,
}

/// One run through the queue.
struct Round<'a> {
    replay: &'a Replay,
    client: &'a Client,
    queue: &'a QueueRef,
    to: Option<QueueRef>,
    /// Ids that were received.
    seen: BTreeSet<String>,
    /// Messages that go back when all is done: at once they would only be received again.
    kept: Vec<Message>,
}

impl Round<'_> {
    async fn all(&mut self) -> Result<Outcome, String> {
        let mut outcome = Outcome::default();
        let (most, lease_s) =
            if self.replay.function.is_some() { (1, INVOKE_LEASE_S) } else { (10, SEND_LEASE_S) };
        loop {
            let ids = &self.replay.ids;
            if !ids.is_empty() && ids.iter().all(|id| self.seen.contains(id)) {
                return Ok(outcome);
            }
            let messages = self.queue.receive(self.client, most, lease_s).await?;
            // Ones that come again are those that were kept for too long: the round is over.
            let mut is_new = false;
            let mut pending = messages.into_iter();
            while let Some(message) = pending.next() {
                let is_first = self.seen.insert(message.message_id.clone());
                is_new |= is_first;
                let is_wanted = ids.is_empty() || ids.contains(&message.message_id);
                if !is_wanted || !is_first {
                    self.kept.push(message);
                    continue;
                }
                match self.one(&message).await {
                    Ok(true) => outcome.done += 1,
                    Ok(false) => {
                        outcome.failed += 1;
                        self.kept.push(message);
                    }
                    Err(error) => {
                        self.kept.push(message);
                        self.kept.extend(pending);
                        return Err(error);
                    }
                }
            }
            if !is_new {
                return Ok(outcome);
            }
        }
    }

    /// Replays one message and deletes it if that went well.
    async fn one(&self, message: &Message) -> Result<bool, String> {
        let is_done = match &self.replay.function {
            Some(function) => self.invoke(function, message).await?,
            None => self.send(message).await?,
        };
        if is_done {
            self.queue.delete(self.client, message).await?;
        }
        Ok(is_done)
    }

    async fn send(&self, message: &Message) -> Result<bool, String> {
        let source = message.attributes.get("DeadLetterQueueSourceArn");
        let to = match (&self.to, source) {
            (Some(to), _) => to.clone(),
            (None, Some(source)) => QueueRef::find(self.client, source).await?,
            (None, None) => {
                return Err(format!(
                    "the message {} does not say which queue it came from; name one with --to QUEUE",
                    message.message_id
                ));
            }
        };
        let input = back(message, &to, Clock::system().now().as_millis());
        let _: Value = self.client.json("sqs", "AmazonSQS.SendMessage", &input).await?;
        ui::line(&format!("{}  sent to {}", message.message_id, to.name));
        Ok(true)
    }

    async fn invoke(&self, function: &str, message: &Message) -> Result<bool, String> {
        let source = message.attributes.get("DeadLetterQueueSourceArn");
        let source = source.cloned().unwrap_or_else(|| self.queue.arn(self.client));
        let event = event(message, &source, self.client.region()).to_string();
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/2015-03-31/functions/{}/invocations", encode_segment(function)))
            .body(Bytes::from(event))
            .map_err(|error| error.to_string())?;
        let answer = self.client.signed("lambda", request).await?;
        let is_error = answer.headers().contains_key("x-amz-function-error");
        let is_done = !is_error && !reports(answer.body(), &message.message_id);
        let verdict = if is_done { "handled" } else { "failed" };
        let text = String::from_utf8_lossy(answer.body());
        ui::line(&format!("{}  {verdict} by {}: {text}", message.message_id, name_of(function)));
        Ok(is_done)
    }
}

/// The message as it is sent back.
fn back(message: &Message, to: &QueueRef, now_ms: i64) -> Value {
    let mut input = json!({"QueueUrl": to.url, "MessageBody": message.body});
    if !message.message_attributes.is_empty() {
        input["MessageAttributes"] = json!(message.message_attributes);
    }
    if let Some(trace) = message.attributes.get("AWSTraceHeader") {
        input["MessageSystemAttributes"] =
            json!({"AWSTraceHeader": {"DataType": "String", "StringValue": trace}});
    }
    if let Some(group) = message.attributes.get("MessageGroupId") {
        input["MessageGroupId"] = json!(group);
    }
    if to.name.ends_with(".fifo") {
        // Its own id would make it a duplicate of itself for five minutes.
        input["MessageDeduplicationId"] = json!(format!("{}-{now_ms}", message.message_id));
        if input.get("MessageGroupId").is_none() {
            input["MessageGroupId"] = json!(message.message_id);
        }
    }
    input
}

/// The event that a function gets for one message of a queue.
/// <https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#example-standard-queue-message-event>
fn event(message: &Message, source_arn: &str, region: &str) -> Value {
    let attributes: serde_json::Map<String, Value> = message
        .message_attributes
        .iter()
        .map(|(name, attribute)| {
            let mut form =
                json!({"stringListValues": [], "binaryListValues": [], "dataType": attribute["DataType"]});
            for (from, to) in [("StringValue", "stringValue"), ("BinaryValue", "binaryValue")] {
                if let Some(value) = attribute.get(from) {
                    form[to] = value.clone();
                }
            }
            (name.clone(), form)
        })
        .collect();
    json!({"Records": [{
        "messageId": message.message_id,
        "receiptHandle": message.receipt_handle,
        "body": message.body,
        "attributes": message.attributes,
        "messageAttributes": attributes,
        "md5OfBody": message.md5_of_body,
        "eventSource": "aws:sqs",
        "eventSourceARN": source_arn,
        "awsRegion": region,
    }]})
}

/// Whether a function's answer names the message among its failures.
fn reports(answer: &[u8], message_id: &str) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        batch_item_failures: Vec<Item>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Item {
        item_identifier: String,
    }
    serde_json::from_slice::<Answer>(answer)
        .is_ok_and(|answer| answer.batch_item_failures.iter().any(|item| item.item_identifier == message_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        serde_json::from_value(json!({
            "MessageId": "m", "ReceiptHandle": "h", "Body": "b", "MD5OfBody": "x",
            "Attributes": {"ApproximateReceiveCount": "3", "MessageGroupId": "g", "AWSTraceHeader": "Root=1"},
            "MessageAttributes": {"kind": {"DataType": "String", "StringValue": "goods"}},
        }))
        .unwrap()
    }

    #[test]
    fn a_message_goes_back_with_all_it_had() {
        let to = QueueRef::of_url("http://h/000000000000/q.fifo").unwrap();
        assert_eq!(
            back(&message(), &to, 7),
            json!({
                "QueueUrl": "http://h/000000000000/q.fifo", "MessageBody": "b", "MessageGroupId": "g",
                "MessageDeduplicationId": "m-7",
                "MessageAttributes": {"kind": {"DataType": "String", "StringValue": "goods"}},
                "MessageSystemAttributes": {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1"}},
            })
        );
    }

    #[test]
    fn a_function_gets_the_form_of_a_queue() {
        let record = event(&message(), "arn:q", "us-east-1")["Records"][0].clone();
        assert_eq!(record["messageAttributes"]["kind"]["stringValue"], "goods");
        assert_eq!(
            (&record["eventSourceARN"], &record["attributes"]["MessageGroupId"]),
            (&json!("arn:q"), &json!("g"))
        );
    }

    #[test]
    fn a_reported_message_is_no_success() {
        let answer = br#"{"batchItemFailures":[{"itemIdentifier":"m"}]}"#;
        assert!(
            reports(answer, "m") && !reports(answer, "n") && !reports(b"null", "m") && !reports(b"{}", "m")
        );
    }
}

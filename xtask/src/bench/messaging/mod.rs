//! Queues, topics and functions fed by queues: what the scenarios about them share.

mod cycle;
mod fan_out;
mod handler;
mod idle;
mod million;

use std::net::SocketAddr;
use std::thread;

use serde_json::{Value, json};

pub(super) use cycle::cycle;
pub(super) use fan_out::fan_out;
pub(super) use handler::handler;
pub(super) use idle::idle;
pub(super) use million::million;

use super::http::Connection;
use super::platform::signed_for;
use super::report::Findings;

/// Where queues are of an account that has no other name.
const QUEUE_ARN: &str = "arn:aws:sqs:us-east-1:000000000000:";

/// A client of one service over one connection.
struct Client {
    address: SocketAddr,
    connection: Connection,
    /// After so many requests a new connection is opened: some peers end theirs.
    limit: usize,
    used: usize,
}

impl Client {
    fn open(address: SocketAddr) -> Result<Self, String> {
        let connection = Connection::open(address).map_err(|error| format!("no connection: {error}"))?;
        Ok(Client { address, connection, limit: usize::MAX, used: 0 })
    }

    /// An answer's body, which is a good one.
    fn exchange(&mut self, request: &[u8]) -> Result<&[u8], String> {
        self.used += 1;
        if self.used > self.limit {
            self.used = 1;
            self.connection = Connection::open(self.address).map_err(|error| error.to_string())?;
        }
        self.connection.exchange(request).map_err(|error| error.to_string())?.good_body()
    }

    fn sqs(&mut self, operation: &str, body: &Value) -> Result<Value, String> {
        let request = sqs_request(self.address, operation, &body.to_string());
        self.json(&request).map_err(|error| format!("{operation}: {error}"))
    }

    fn json(&mut self, request: &[u8]) -> Result<Value, String> {
        let body = self.exchange(request)?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(body).map_err(|error| format!("no JSON: {error}"))
    }

    /// Creates a queue; gives its URL.
    fn create_queue(&mut self, name: &str, attributes: &Value) -> Result<String, String> {
        let answer = self.sqs("CreateQueue", &json!({ "QueueName": name, "Attributes": attributes }))?;
        answer["QueueUrl"].as_str().map(str::to_owned).ok_or_else(|| "a queue without a URL".to_owned())
    }
}

/// A request to SQS as an SDK signs it.
fn sqs_request(address: SocketAddr, operation: &str, body: &str) -> Vec<u8> {
    let target = format!("AmazonSQS.{operation}");
    let headers = [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", target.as_str())];
    signed_for("sqs", address, "POST", "/", &headers, body)
}

/// The text of a JSON member that has no escapes in it.
fn member<'a>(body: &'a [u8], name: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(body).ok()?;
    let quoted = format!("\"{name}\"");
    let rest = &text[text.find(&quoted)? + quoted.len()..];
    let rest = rest.trim_start_matches([':', ' ']).strip_prefix('"')?;
    rest.split('"').next()
}

/// Does `work` in several threads at once; the first error, or all results.
fn in_threads<T: Send>(
    count: usize,
    work: impl Fn(usize) -> Result<T, String> + Sync,
) -> Result<Vec<T>, String> {
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|number| scope.spawn(move || work(number))).collect();
        let broken = |_| Err("a client thread panicked".to_owned());
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(broken)).collect()
    })
}

/// A server that lacks an operation is no failure, but has no numbers.
fn or_skipped(scenario: &str, outcome: Result<Findings, String>) -> Result<Findings, String> {
    match outcome {
        Err(error) if error.contains("Unsupported") || error.contains("UnknownOperation") => {
            // The body is the last line of what an answer says.
            let reason = error.lines().last().unwrap_or_default().trim();
            let mut findings = Findings::default();
            findings.note(scenario, format!("skipped, the server cannot do it: {reason}"));
            Ok(findings)
        }
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_in_both_spellings() {
        assert_eq!(
            member(br#"{"Messages":[{"ReceiptHandle":"a+/=","Body":"x"}]}"#, "ReceiptHandle"),
            Some("a+/=")
        );
        assert_eq!(member(br#"{"Messages": [{"ReceiptHandle": "b"}]}"#, "ReceiptHandle"), Some("b"));
        assert_eq!(member(b"{}", "ReceiptHandle"), None);
    }

    #[test]
    fn what_is_not_there_is_skipped() {
        let lacks = Err("SendMessage: 400 UnsupportedOperationException".to_owned());
        assert_eq!(or_skipped("queue", lacks).unwrap().notes.len(), 1);
        assert!(or_skipped("queue", Err("500".to_owned())).is_err());
    }
}

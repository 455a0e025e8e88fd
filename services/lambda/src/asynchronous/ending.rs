//! An event that came to its end: its record for a destination, and the event itself for the dead-letter queue.
//!
//! Deliveries that fail are tried again a few times; then the record is dropped, with a line in the server's log. AWS
//! counts these as `DestinationDeliveryFailures` and `DeadLetterErrors`.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html>.

use std::sync::Arc;
use std::time::Duration;

use base::Timestamp;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use service_delivery::{
    Attribute, DeliveryError, Destination, FunctionOrigin, Message, NamedAttribute, Origin,
};
use tokio::sync::watch;

use super::config::EventInvokeConfig;
use super::record::{EventRecord, LastAnswer};
use crate::Lambda;
use crate::function::FunctionConfig;
use crate::invoke::lineage;
use crate::invoke::trace::TraceHeader;

/// How long a delivery waits before another try. By the platform's clock.
const DELIVERY_WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];
/// Of the function's error message, the attribute of a dead letter has the first kilobyte.
const MAX_ERROR_BYTES: usize = 1024;

/// Why an event came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Condition {
    /// The function handled it.
    Success,
    /// The function failed in every attempt.
    RetriesExhausted,
    /// It waited for too long.
    EventAgeExceeded,
    /// The function's reserved concurrency is zero.
    ZeroReservedConcurrency,
    /// The chain that it belongs to went round in circles.
    RecursiveInvocation,
}

/// An event at its end.
pub(super) struct Ending {
    pub(super) record: EventRecord,
    pub(super) chunks: Option<u64>,
    pub(super) payload: Bytes,
    pub(super) config: EventInvokeConfig,
    /// With version or alias.
    pub(super) function_arn: String,
    pub(super) function: Option<Arc<FunctionConfig>>,
    pub(super) condition: Condition,
    pub(super) answer: Option<LastAnswer>,
    /// What the function answered, well or badly.
    pub(super) response: Option<Bytes>,
}

impl Ending {
    pub(super) fn chunks(&self) -> Option<u64> {
        self.chunks
    }

    /// Hands on what is to be handed on. `false` when the server stops before that is done.
    pub(super) async fn tell(&self, lambda: &Lambda, mut stop: watch::Receiver<bool>) -> bool {
        let success = self.condition == Condition::Success;
        lambda.events.counts.add(&self.function_arn, |counts| {
            *(if success { &mut counts.handled } else { &mut counts.dropped }) += 1;
        });
        let destination = if success { &self.config.on_success } else { &self.config.on_failure };
        let dead_letters = self
            .function
            .as_ref()
            .filter(|_| !success)
            .and_then(|function| function.dead_letter_arn.as_ref());
        if !success {
            tracing::info!(function = self.function_arn, request_id = %self.record.request_id, condition = ?self.condition, "an asynchronous event failed");
        }
        if destination.is_none() && dead_letters.is_none() {
            return true;
        }
        let Some(origin) = self.origin() else { return true };
        if let Some(arn) = destination {
            let at = lambda.clock.now();
            let body = self.invocation_record(at);
            let message = Message::Record { body: &body, success, at };
            if !self.deliver(lambda, arn, &origin, &message, &mut stop).await {
                return false;
            }
        }
        if let Some(arn) = dead_letters {
            let attributes = self.attributes();
            let message = Message::DeadLetter { body: &self.payload, attributes: &attributes };
            if !self.deliver(lambda, arn, &origin, &message, &mut stop).await {
                return false;
            }
        }
        true
    }

    /// In the name of the function, as its role, at the end of the chain that led through it.
    fn origin(&self) -> Option<Origin> {
        let function = self.function.as_ref()?;
        let header = self.record.trace_header.as_deref().and_then(TraceHeader::parse);
        let trace_header = header.map(|header| {
            let lineage = lineage::through(header.lineage(), &function.arn);
            Arc::from(header.with_lineage(lineage).to_string())
        });
        Some(Origin::Function(FunctionOrigin {
            account: function.account,
            region: function.region.clone(),
            function_name: function.name.clone(),
            function_arn: self.function_arn.clone(),
            role_arn: function.role.clone(),
            trace_header,
        }))
    }

    /// `false` when the server stops meanwhile; a delivery that fails for good is over, too.
    async fn deliver(
        &self,
        lambda: &Lambda,
        arn: &str,
        origin: &Origin,
        message: &Message<'_>,
        stop: &mut watch::Receiver<bool>,
    ) -> bool {
        let Some(destination) = Destination::parse(arn) else { return true };
        let is_dead_letter = matches!(message, Message::DeadLetter { .. });
        let mut waits = DELIVERY_WAITS.iter();
        loop {
            let error = match lambda.events.delivery().deliver(&destination, origin, message).await {
                Ok(()) => {
                    lambda.events.counts.add(&self.function_arn, |counts| {
                        *(if is_dead_letter {
                            &mut counts.dead_letters_delivered
                        } else {
                            &mut counts.records_delivered
                        }) += 1;
                    });
                    return true;
                }
                Err(error) => error,
            };
            if *stop.borrow() || matches!(error, DeliveryError::Closed) {
                return false;
            }
            match waits.next().filter(|_| error.may_pass()) {
                Some(wait) => {
                    let again = lambda.clock.now().after(*wait);
                    tokio::select! {
                        () = lambda.clock.sleep_until(again) => {}
                        _ = stop.changed() => return false,
                    }
                }
                None => {
                    lambda.events.counts.add(&self.function_arn, |counts| {
                        *(if is_dead_letter {
                            &mut counts.dead_letter_errors
                        } else {
                            &mut counts.destination_delivery_failures
                        }) += 1;
                    });
                    let kind =
                        if is_dead_letter { "DeadLetterErrors" } else { "DestinationDeliveryFailures" };
                    tracing::error!(
                        metric = kind, function = self.function_arn, request_id = %self.record.request_id,
                        destination = arn, %error, "the record of an asynchronous event was dropped"
                    );
                    return true;
                }
            }
        }
    }

    /// The record as a destination gets it.
    fn invocation_record(&self, at: Timestamp) -> Bytes {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct RequestContext<'a> {
            request_id: &'a str,
            function_arn: &'a str,
            condition: Condition,
            approximate_invoke_count: u32,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct ResponseContext<'a> {
            status_code: u16,
            #[serde(skip_serializing_if = "Option::is_none")]
            executed_version: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            function_error: Option<&'a str>,
        }
        let request = RequestContext {
            request_id: self.record.request_id.as_str(),
            function_arn: &self.function_arn,
            condition: self.condition,
            approximate_invoke_count: self.record.attempts,
        };
        let mut body = Vec::with_capacity(self.payload.len() + 1024);
        body.extend_from_slice(
            format!("{{\"version\":\"1.0\",\"timestamp\":\"{}\"", at.iso8601()).as_bytes(),
        );
        put(&mut body, "requestContext", &json(&request));
        put(&mut body, "requestPayload", &self.payload);
        if let Some(answer) = &self.answer {
            let response = ResponseContext {
                status_code: answer.status_code,
                executed_version: answer.executed_version.as_deref(),
                function_error: answer.function_error.as_deref(),
            };
            put(&mut body, "responseContext", &json(&response));
        }
        if let Some(response) = &self.response {
            put(&mut body, "responsePayload", &as_json(response));
        }
        body.push(b'}');
        body.into()
    }

    /// Why the event is a dead letter.
    fn attributes(&self) -> Vec<NamedAttribute> {
        let mut attributes = vec![("RequestID".into(), Attribute::text(self.record.request_id.as_str()))];
        if let Some(answer) = &self.answer {
            attributes.push(("ErrorCode".into(), Attribute::number(answer.status_code)));
        }
        attributes.push(("ErrorMessage".into(), Attribute::text(self.error_message())));
        attributes
    }

    fn error_message(&self) -> String {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Error {
            error_message: String,
        }
        let told = self.response.as_ref().and_then(|body| serde_json::from_slice::<Error>(body).ok());
        let message = match (told, self.condition) {
            (Some(error), _) => error.error_message,
            (None, Condition::ZeroReservedConcurrency) => {
                // AWS's words, with AWS's slip.
                "Function not invoked. Function isconfigured with zero reserved concurrent executions"
                    .to_owned()
            }
            (None, Condition::RecursiveInvocation) => crate::error::RECURSIVE.to_owned(),
            (None, condition) => format!("{condition:?}"),
        };
        let mut end = message.len().min(MAX_ERROR_BYTES);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message[..end].to_owned()
    }
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    // Structs of text and numbers always have a form in JSON.
    serde_json::to_vec(value).unwrap_or_default()
}

/// A function may answer with anything; what is no JSON goes into the record as text.
fn as_json(body: &Bytes) -> Vec<u8> {
    match serde_json::from_slice::<serde::de::IgnoredAny>(body) {
        Ok(_) => body.to_vec(),
        Err(_) => json(&String::from_utf8_lossy(body)),
    }
}

fn put(body: &mut Vec<u8>, name: &str, value: &[u8]) {
    body.extend_from_slice(b",\"");
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(b"\":");
    body.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use base::RequestId;
    use serde_json::{Value, json};
    use service_delivery::AttributeValue;

    use super::super::record::PayloadRecord;
    use super::*;

    fn ending(condition: Condition, answer: Option<LastAnswer>, response: Option<&str>) -> Ending {
        Ending {
            record: EventRecord {
                request_id: RequestId::fresh(),
                qualifier: None,
                client_context: None,
                trace_header: None,
                tenant_id: None,
                accepted_at: Timestamp(0),
                attempts: 3,
                last: None,
                payload: PayloadRecord::default(),
            },
            chunks: None,
            payload: Bytes::from_static(b"{\"order\": 1}"),
            config: EventInvokeConfig::default(),
            function_arn: "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST".to_owned(),
            function: None,
            condition,
            answer,
            response: response.map(|text| Bytes::copy_from_slice(text.as_bytes())),
        }
    }

    fn answer(status_code: u16, function_error: Option<&str>) -> Option<LastAnswer> {
        let function_error = function_error.map(str::to_owned);
        Some(LastAnswer { status_code, executed_version: Some("$LATEST".to_owned()), function_error })
    }

    fn record(ending: &Ending) -> Value {
        serde_json::from_slice(&ending.invocation_record(Timestamp(1_795_420_000_123))).unwrap()
    }

    #[test]
    fn a_record_is_as_aws_documents_it() {
        let failed = ending(
            Condition::RetriesExhausted,
            answer(200, Some("Unhandled")),
            Some("{\"errorMessage\":\"boom\"}"),
        );
        assert_eq!(
            record(&failed),
            json!({
                "version": "1.0",
                "timestamp": "2026-11-23T07:46:40.123Z",
                "requestContext": {
                    "requestId": failed.record.request_id.as_str(),
                    "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST",
                    "condition": "RetriesExhausted",
                    "approximateInvokeCount": 3
                },
                "requestPayload": { "order": 1 },
                "responseContext": {
                    "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"
                },
                "responsePayload": { "errorMessage": "boom" }
            })
        );
    }

    #[test]
    fn what_there_was_not_is_not_in_the_record() {
        let old = record(&ending(Condition::EventAgeExceeded, None, None));
        assert_eq!(old["requestContext"]["condition"], "EventAgeExceeded");
        assert!(old.get("responseContext").is_none() && old.get("responsePayload").is_none());
        let good = record(&ending(Condition::Success, answer(200, None), Some("not json")));
        assert_eq!(good["responsePayload"], "not json");
        assert!(good["responseContext"].get("functionError").is_none());
    }

    #[test]
    fn a_dead_letter_says_why() {
        let long = format!("{{\"errorMessage\":\"{}\"}}", "é".repeat(1000));
        let failed = ending(Condition::RetriesExhausted, answer(200, Some("Unhandled")), Some(&long));
        let attributes = failed.attributes();
        assert_eq!(attributes[1], ("ErrorCode".into(), Attribute::number(200_u16)));
        assert_eq!(attributes[2], ("ErrorMessage".into(), Attribute::text("é".repeat(512))));
        let off = ending(Condition::ZeroReservedConcurrency, None, None).attributes();
        assert_eq!(off.len(), 2);
        assert!(
            matches!(&off[1].1.value, AttributeValue::Text(text) if text.contains("zero reserved concurrent"))
        );
    }
}

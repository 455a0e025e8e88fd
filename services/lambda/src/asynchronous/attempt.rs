//! One event, one invoke, and what becomes of the event.
//!
//! Function errors count as attempts. A throttle or an error of the platform is none: the event is tried again until it
//! is too old. The queue's task is told as soon as the invoke is over, so that the next one can start while this event's
//! record is handed on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base::Timestamp;
use bytes::Bytes;
use store::value;
use tokio::sync::watch;

use super::config::EventInvokeConfig;
use super::ending::{Condition, Ending};
use super::index::Entry;
use super::queue::Queue;
use super::record::{EventRecord, LastAnswer, PayloadRecord};
use super::retry;
use crate::Lambda;
use crate::capacity::Reserved;
use crate::error::LambdaError;
use crate::function::FunctionConfig;
use crate::functions::decode;
use crate::invoke::trace::TraceHeader;
use crate::invoke::{Invocation, InvokeError, Origin, Outcome, lineage};
use crate::keys::V1;
use crate::name::LATEST;
use crate::resolve::Resolved;

/// What the invoke says about the function's pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ran {
    /// In a warm environment, for so long.
    Warm(Duration),
    /// In a new environment.
    Cold,
    /// It was throttled, or the platform failed.
    Refused,
    /// It was not tried.
    Not,
}

/// What becomes of an event.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    /// It is done with; its payload lies in these rows.
    Handled { chunks: Option<u64> },
    /// It waits for another attempt, as this row.
    Again { due: Timestamp, row: Vec<u8> },
    /// It did not reach the function, and is too old at `expires`.
    Refused { expires: Timestamp },
    /// Nothing: its row is gone, or stays for the next process.
    Left,
}

/// An attempt whose invoke is over.
pub(super) struct Attempt {
    ran: Ran,
    state: State,
}

enum State {
    Settled(Verdict),
    /// The event came to its end; this is to be told.
    Ended(Box<Ending>),
}

impl Attempt {
    fn settled(ran: Ran, verdict: Verdict) -> Self {
        Attempt { ran, state: State::Settled(verdict) }
    }

    fn ended(ran: Ran, ending: Ending) -> Self {
        Attempt { ran, state: State::Ended(Box::new(ending)) }
    }

    pub(super) fn ran(&self) -> Ran {
        self.ran
    }

    /// Hands on the record of an event that came to its end.
    pub(super) async fn conclude(self, lambda: &Arc<Lambda>, stop: watch::Receiver<bool>) -> Verdict {
        match self.state {
            State::Settled(verdict) => verdict,
            State::Ended(ending) => {
                if ending.tell(lambda, stop).await {
                    Verdict::Handled { chunks: ending.chunks() }
                } else {
                    Verdict::Left
                }
            }
        }
    }
}

/// Invokes the function with the event, if that is still to be done.
pub(super) async fn invoke(
    lambda: &Arc<Lambda>,
    queue: &Queue,
    entry: &Entry,
    stop: &watch::Receiver<bool>,
) -> Attempt {
    match Event::read(lambda, queue, entry).await {
        Ok(Some(event)) => event.invoke(lambda, stop).await,
        Ok(None) => Attempt::settled(Ran::Not, Verdict::Left),
        Err(error) => {
            tracing::error!(function = %queue.id(), %error, "an asynchronous event cannot be read; it stays in the queue");
            Attempt::settled(Ran::Not, Verdict::Left)
        }
    }
}

/// An event with all that its attempt needs.
struct Event {
    record: EventRecord,
    chunks: Option<u64>,
    payload: Bytes,
    config: EventInvokeConfig,
    /// The ARN with the qualifier that the caller named, or `$LATEST`.
    function_arn: String,
    resolved: Result<Resolved, LambdaError>,
    /// The function itself is there, whatever became of its version or alias.
    exists: bool,
}

impl Event {
    /// `None` when the event is gone.
    async fn read(lambda: &Arc<Lambda>, queue: &Queue, entry: &Entry) -> Result<Option<Self>, LambdaError> {
        let row = match &entry.row {
            Some(row) => row.clone(),
            None => match queue.row(entry.place)? {
                Some(row) => row,
                None => return Ok(None),
            },
        };
        let mut record: EventRecord = decode(&row)?;
        let payload = std::mem::take(&mut record.payload);
        let chunks = payload.chunks();
        let payload = queue.payload(payload)?;
        let target = queue.id().target(record.qualifier.clone());
        let qualifier = target.qualifier.as_deref().unwrap_or(LATEST);
        let config = lambda.functions.aspect::<EventInvokeConfig>(&target, qualifier)?.unwrap_or_default();
        let mut resolved = lambda.resolve(&target).await;
        if let Ok(found) = &resolved
            && let Err(error) = lambda.check_ready(&found.function).await
        {
            resolved = Err(error);
        }
        let exists = resolved.is_ok() || queue.is_live()?;
        if record.trace_header.is_none()
            && config.has_destination()
            && let Ok(resolved) = &resolved
        {
            // The record that is handed on belongs to the same trace as the invoke.
            let header = TraceHeader::of_event(resolved.function.tracing_mode, lambda.clock.now());
            record.trace_header = Some(header.to_string());
        }
        Ok(Some(Event {
            chunks,
            payload,
            config,
            function_arn: format!("{}:{qualifier}", target.arn()),
            resolved,
            exists,
            record,
        }))
    }

    fn expires(&self) -> Timestamp {
        self.record.accepted_at.after(self.config.max_age())
    }

    async fn invoke(mut self, lambda: &Arc<Lambda>, stop: &watch::Receiver<bool>) -> Attempt {
        let now = lambda.clock.now();
        if !self.exists {
            return Attempt::settled(Ran::Not, Verdict::Handled { chunks: self.chunks });
        }
        if now >= self.expires() {
            let last = self.record.last.take();
            return self.ended(Ran::Not, Condition::EventAgeExceeded, last, None);
        }
        let (function, invoked_arn) = match &self.resolved {
            Ok(resolved) => (Arc::clone(&resolved.function), Arc::clone(&resolved.invoked_arn)),
            Err(LambdaError::NotFound(_)) => {
                return self.ended(Ran::Not, Condition::RetriesExhausted, Some(refusal(404, None)), None);
            }
            Err(error) => {
                tracing::warn!(function = self.function_arn, %error, "an asynchronous event waits");
                let expires = self.expires();
                return Attempt::settled(Ran::Refused, Verdict::Refused { expires });
            }
        };
        match self.is_loop(lambda, &function) {
            Ok(false) => {}
            Ok(true) => {
                tracing::warn!(function = self.function_arn, request_id = %self.record.request_id, "a recursive loop was stopped");
                let answer = refusal(400, Some("RecursiveInvocationException"));
                return self.ended(Ran::Not, Condition::RecursiveInvocation, Some(answer), None);
            }
            Err(error) => {
                tracing::error!(function = self.function_arn, %error, "an asynchronous event cannot be run");
                return Attempt::settled(Ran::Not, Verdict::Left);
            }
        }
        let began = Instant::now();
        match lambda.invoker.invoke(function, self.invocation(invoked_arn, now)).await {
            Ok(outcome) => {
                let ran = if outcome.cold { Ran::Cold } else { Ran::Warm(began.elapsed()) };
                self.answered(lambda, ran, outcome, stop)
            }
            Err(error) => self.refused(lambda, &error),
        }
    }

    /// Whether the chain that the event belongs to may not pass the function again.
    fn is_loop(&self, lambda: &Lambda, function: &FunctionConfig) -> Result<bool, LambdaError> {
        if !lineage::is_loop(self.record.trace_header.as_deref(), &function.arn) {
            return Ok(false);
        }
        lambda.stops_loops(function)
    }

    fn invocation(&self, invoked_arn: Arc<str>, now: Timestamp) -> Invocation {
        let age_ms = now.as_millis().saturating_sub(self.record.accepted_at.as_millis());
        Invocation {
            request_id: self.record.request_id.clone(),
            invoked_arn,
            payload: self.payload.clone(),
            client_context: self.record.client_context.clone(),
            want_tail: false,
            trace_header: self.record.trace_header.clone(),
            origin: Origin::Event,
            queue_age_ms: Some(u64::try_from(age_ms).unwrap_or(0)),
            tenant_id: self.record.tenant_id.clone(),
        }
    }

    fn answered(
        mut self,
        lambda: &Lambda,
        ran: Ran,
        outcome: Outcome,
        stop: &watch::Receiver<bool>,
    ) -> Attempt {
        let answer = LastAnswer {
            status_code: 200,
            executed_version: Some(outcome.executed_version),
            function_error: outcome.function_error.map(str::to_owned),
        };
        self.record.attempts += 1;
        if outcome.function_error.is_none() {
            return self.ended(ran, Condition::Success, Some(answer), Some(outcome.payload));
        }
        if *stop.borrow() {
            // Its environment may have been taken away from it: the next process tries again.
            return Attempt::settled(ran, Verdict::Left);
        }
        if self.record.attempts > self.config.retries() {
            return self.ended(ran, Condition::RetriesExhausted, Some(answer), Some(outcome.payload));
        }
        let wait = retry::after_failure(self.record.attempts, retry::lot());
        // When it is too old by then, that is found out when it is.
        let due = lambda.clock.now().after(wait).min(self.expires());
        self.record.last = Some(answer);
        Attempt::settled(ran, Verdict::Again { due, row: self.row() })
    }

    fn refused(self, lambda: &Lambda, error: &InvokeError) -> Attempt {
        if matches!(error, InvokeError::ShuttingDown) {
            return Attempt::settled(Ran::Not, Verdict::Left);
        }
        if error.is_throttle() && self.is_switched_off(lambda) {
            return self.ended(Ran::Refused, Condition::ZeroReservedConcurrency, None, None);
        }
        if !error.is_throttle() {
            tracing::warn!(function = self.function_arn, request_id = %self.record.request_id, %error, "an asynchronous event waits");
        }
        let expires = self.expires();
        Attempt::settled(Ran::Refused, Verdict::Refused { expires })
    }

    /// Whether the function's reserved concurrency is zero: its events are told of at once.
    fn is_switched_off(&self, lambda: &Lambda) -> bool {
        let Ok(resolved) = &self.resolved else { return false };
        let target = resolved.function.target();
        matches!(lambda.functions.aspect(&target, ""), Ok(Some(Reserved(0))))
    }

    /// The event as it is stored.
    fn row(mut self) -> Vec<u8> {
        self.record.payload = match self.chunks {
            Some(id) => {
                PayloadRecord::Chunks { id, bytes: u32::try_from(self.payload.len()).unwrap_or(u32::MAX) }
            }
            None => PayloadRecord::inline(&self.payload),
        };
        value::encode(V1, &self.record)
    }

    fn ended(
        self,
        ran: Ran,
        condition: Condition,
        answer: Option<LastAnswer>,
        response: Option<Bytes>,
    ) -> Attempt {
        let ending = Ending {
            record: self.record,
            chunks: self.chunks,
            payload: self.payload,
            config: self.config,
            function_arn: self.function_arn,
            function: self.resolved.ok().map(|resolved| resolved.function),
            condition,
            answer,
            response,
        };
        Attempt::ended(ran, ending)
    }
}

/// The answer of the platform in the function's place.
fn refusal(status_code: u16, error: Option<&str>) -> LastAnswer {
    LastAnswer { status_code, executed_version: None, function_error: error.map(str::to_owned) }
}

//! One batch: the function is invoked with it, what was handled is deleted, and why the rest failed is noted.
//!
//! | what happens | what becomes of the messages |
//! | --- | --- |
//! | the function answers | they are deleted, but for those that it reports as failed |
//! | it fails, or takes too long | they stay in flight until their visibility timeout is over, as at AWS |
//! | it cannot be run now: throttled, or the host has no room | they are kept, and it is tried again; no receive is counted |
//! | the mapping is switched off meanwhile, or the server stops | they are given back |
//!
//! A message is deleted after its function handled it and never before: a server that is killed between the two hands it
//! out again.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base::RequestId;
use bytes::Bytes;
use serde::Deserialize;
use service_sources::Source;
use service_sources::sqs::{Message, Queue};
use tokio::sync::watch;

use super::answer::{self, Report};
use super::event;
use super::failures::{Attempt, Tried};
use super::gather::{Item, fitting, give_back};
use super::pace::Pace;
use super::record::Mapping;
use super::status::Status;
use crate::Lambda;
use crate::error::{LambdaError, RECURSIVE};
use crate::function::FunctionConfig;
use crate::invoke::{Invocation, InvokeError, Origin, Outcome, lineage};
use crate::resolve::Resolved;

/// How long to wait after a first refusal, and after any further one.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// All that a batch needs beside its messages.
#[derive(Clone)]
pub(super) struct Job {
    pub(super) lambda: Arc<Lambda>,
    pub(super) mapping: Arc<Mapping>,
    /// What the mapping has become; `None` when it is to stop.
    pub(super) config: watch::Receiver<Option<Arc<Mapping>>>,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) queue: Queue,
    pub(super) status: Arc<Status>,
    pub(super) pace: Arc<Mutex<Pace>>,
    pub(super) fifo: bool,
}

/// How an invoke ended.
enum Ended {
    Answered(Outcome, RequestId),
    /// It is not to be tried again.
    GivenUp,
}

/// What is told of an error.
struct Why {
    error_type: String,
    error_message: String,
    request_id: RequestId,
}

impl Job {
    /// Runs a batch. Of a FIFO queue it may be more than one event holds: then one event after the other, and none of a
    /// group of which a message failed.
    pub(super) async fn run(mut self, mut items: Vec<Item>) {
        let mut failed_groups: HashSet<String> = HashSet::new();
        while !items.is_empty() {
            let rest = items.split_off(fitting(&items));
            let part = std::mem::replace(&mut items, rest);
            let (left, part): (Vec<Item>, Vec<Item>) =
                part.into_iter().partition(|item| is_of(&failed_groups, &item.message));
            // These stay in flight behind the one that failed, and come again after it.
            drop(left);
            if part.is_empty() {
                continue;
            }
            match self.event(part).await {
                Some(groups) if self.fifo => failed_groups.extend(groups),
                Some(_) => {}
                None => {
                    give_back(&self.queue, items).await;
                    break;
                }
            }
        }
        self.status.freed.notify_one();
    }

    /// Runs one event, and settles its messages. Gives the groups of which messages failed; `None` when it was given up.
    async fn event(&mut self, items: Vec<Item>) -> Option<Vec<String>> {
        let mut items = items;
        let looped = self.take_looped(&mut items).await;
        let mut groups = groups_of(looped.iter());
        if items.is_empty() {
            return Some(groups);
        }
        let (outcome, request_id) = match self.invoke(&mut items).await {
            Ended::Answered(outcome, request_id) => (outcome, request_id),
            Ended::GivenUp => {
                give_back(&self.queue, items).await;
                return None;
            }
        };
        if outcome.function_error.is_some() && *self.stop.borrow() {
            // Its environment may have been taken away from it.
            give_back(&self.queue, items).await;
            return None;
        }
        let messages: Vec<Message> = items.into_iter().map(|item| item.message).collect();
        self.status.invoked(messages.len());
        let (done, failed, why) = self.judge(messages, &outcome, request_id);
        groups.extend(groups_of(failed.iter()));
        self.note(&done, &failed, why).await;
        Some(groups)
    }

    /// Invokes the function, however long it takes until it can be run.
    async fn invoke(&mut self, items: &mut [Item]) -> Ended {
        let bytes = items.iter().map(|item| item.record.len()).sum();
        let payload = event::of_records(items.iter().map(|item| item.record.as_slice()), bytes);
        let trace_header = items.iter().find_map(|item| item.message.trace_header()).map(str::to_owned);
        let mut wait = FIRST_WAIT;
        loop {
            let error = match self.attempt(payload.clone(), trace_header.clone()).await {
                Ok(ended) => return ended,
                Err(error) => error,
            };
            if error.is_throttle() {
                self.pace.lock().unwrap_or_else(PoisonError::into_inner).throttled(Instant::now());
                self.status.problem("Function call was throttled");
            } else {
                tracing::warn!(mapping = self.mapping.id, %error, "a batch waits: its function cannot be run");
                self.status.problem(&error.to_string());
            }
            let until = self.lambda.clock.now().after(wait);
            wait = (wait * 2).min(LONGEST_WAIT);
            tokio::select! {
                () = self.lambda.clock.sleep_until(until) => {}
                () = self.status.freed.notified() => {}
                _ = self.config.changed() => {}
                _ = self.stop.changed() => {}
            }
            if *self.stop.borrow() || self.config.borrow().is_none() {
                return Ended::GivenUp;
            }
            self.renew(items).await;
        }
    }

    /// Tries once. The error is one that may pass.
    async fn attempt(&self, payload: Bytes, trace_header: Option<String>) -> Result<Ended, InvokeError> {
        let Resolved { function, invoked_arn } = match self.resolve().await {
            Ok(resolved) => resolved,
            Err(LambdaError::NotFound(why)) => {
                // The messages are for whatever has the name next.
                self.status.problem(&why);
                return Ok(Ended::GivenUp);
            }
            Err(error) => return Err(InvokeError::Internal(error.to_string())),
        };
        let request_id = RequestId::fresh();
        let invocation = Invocation {
            request_id: request_id.clone(),
            invoked_arn,
            payload,
            client_context: None,
            want_tail: false,
            trace_header,
            origin: Origin::Source,
            queue_age_ms: None,
            tenant_id: None,
        };
        match self.lambda.invoker.invoke(function, invocation).await {
            Ok(outcome) => Ok(Ended::Answered(outcome, request_id)),
            Err(InvokeError::ShuttingDown) => Ok(Ended::GivenUp),
            Err(error) => Err(error),
        }
    }

    async fn resolve(&self) -> Result<Resolved, LambdaError> {
        let resolved = self.lambda.resolve(&self.mapping.target()).await?;
        self.lambda.check_ready(&resolved.function).await?;
        Ok(resolved)
    }

    /// Keeps messages from coming again while they wait.
    async fn renew(&self, items: &mut [Item]) {
        let now = self.lambda.clock.now();
        let timeout_s = self.resolve().await.map_or(0, |resolved| resolved.function.timeout_s);
        let needed = now.after(Duration::from_secs(u64::from(timeout_s)) + 2 * LONGEST_WAIT);
        if items.iter().all(|item| item.leased_until > needed) {
            return;
        }
        let Ok(facts) = self.queue.facts().await else { return };
        let lease = Duration::from_secs(u64::from(facts.visibility_timeout_s.max(timeout_s)));
        let messages: Vec<Message> = items.iter().map(|item| item.message.clone()).collect();
        let errors = self.queue.keep(&messages, lease).await;
        if let Some(error) = errors.first() {
            tracing::debug!(mapping = self.mapping.id, %error, "messages that wait for their function may come twice");
        }
        for item in items {
            item.leased_until = now.after(lease);
        }
    }

    /// Takes out messages of chains that passed the function too often: these count as failed.
    async fn take_looped(&self, items: &mut Vec<Item>) -> Vec<Message> {
        let arn = self.mapping.target().arn();
        let is_loop = |item: &Item| lineage::is_loop(item.message.trace_header(), &arn);
        if !items.iter().any(is_loop) {
            return Vec::new();
        }
        match self.resolve().await {
            Ok(resolved) if self.stops_loops(&resolved.function) => {}
            _ => return Vec::new(),
        }
        let (looped, rest): (Vec<Item>, Vec<Item>) = std::mem::take(items).into_iter().partition(is_loop);
        *items = rest;
        tracing::warn!(function = arn, messages = looped.len(), "a recursive loop was stopped");
        let looped: Vec<Message> = looped.into_iter().map(|item| item.message).collect();
        let why = Why {
            error_type: "RecursiveInvocationException".to_owned(),
            error_message: RECURSIVE.to_owned(),
            request_id: RequestId::fresh(),
        };
        self.note(&[], &looped, Some(why)).await;
        looped
    }

    fn stops_loops(&self, function: &FunctionConfig) -> bool {
        self.lambda.stops_loops(function).unwrap_or(false)
    }

    /// Which messages were handled, which not, and why.
    fn judge(
        &self,
        messages: Vec<Message>,
        outcome: &Outcome,
        request_id: RequestId,
    ) -> (Vec<Message>, Vec<Message>, Option<Why>) {
        let why = |error_type: &str, error_message: String| {
            Some(Why { error_type: error_type.to_owned(), error_message, request_id: request_id.clone() })
        };
        if outcome.function_error.is_some() {
            let error: ErrorForm = serde_json::from_slice(&outcome.payload).unwrap_or_default();
            let kind = error.error_type.unwrap_or_else(|| "Unhandled".to_owned());
            return (Vec::new(), messages, why(&kind, error.error_message.unwrap_or_default()));
        }
        if !self.mapping.settings.reports_failures {
            return (messages, Vec::new(), None);
        }
        let ids: HashSet<&str> = messages.iter().map(|message| message.id.as_str()).collect();
        match answer::read(&outcome.payload, |id| ids.contains(id)) {
            Report::Unfit(reason) => (Vec::new(), messages, why("BatchItemFailures.Invalid", reason)),
            Report::These(failed) if failed.is_empty() => (messages, Vec::new(), None),
            Report::These(failed) => {
                let (failed, done) = messages.into_iter().partition(|message| failed.contains(&message.id));
                let reason = "the function named the message in batchItemFailures".to_owned();
                (done, failed, why("BatchItemFailure", reason))
            }
        }
    }

    /// Deletes what was handled, and notes why the rest was not.
    async fn note(&self, done: &[Message], failed: &[Message], why: Option<Why>) {
        let errors = self.queue.settle(done).await;
        for error in &errors {
            tracing::warn!(mapping = self.mapping.id, %error, "a message that was handled comes again");
        }
        self.status.deleted(done.len().saturating_sub(errors.len()));
        let again = done.iter().filter(|message| message.receive_count() > 1);
        let again: Vec<String> = again.map(|message| message.id.clone()).collect();
        let notes = &self.lambda.mappings.failures;
        let mut noted = Ok(());
        if !again.is_empty() {
            noted = notes.forget(again).await;
        }
        if let Some(why) = why.filter(|_| !failed.is_empty()) {
            self.status.failed(failed.len());
            self.status.problem("Function call failed");
            if done.is_empty() {
                self.pace.lock().unwrap_or_else(PoisonError::into_inner).failed();
            }
            let attempt = Attempt {
                source_arn: self.mapping.source_arn.clone(),
                function_arn: self.mapping.target().qualified_arn(),
                at: self.lambda.clock.now(),
                error_type: why.error_type,
                error_message: why.error_message,
                request_id: why.request_id.to_string(),
            };
            let tried: Vec<Tried> =
                failed.iter().map(|message| (message.id.clone(), message.receive_count())).collect();
            noted = noted.and(notes.note(attempt, &tried).await);
        } else {
            self.status.went_well();
        }
        if let Err(error) = noted {
            tracing::warn!(mapping = self.mapping.id, %error, "why messages failed cannot be noted");
        }
    }
}

/// The members of a function's error that are noted.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ErrorForm {
    error_type: Option<String>,
    error_message: Option<String>,
}

fn is_of(groups: &HashSet<String>, message: &Message) -> bool {
    message.group_id().is_some_and(|group| groups.contains(group))
}

fn groups_of<'a>(messages: impl Iterator<Item = &'a Message>) -> Vec<String> {
    messages.filter_map(|message| message.group_id().map(str::to_owned)).collect()
}

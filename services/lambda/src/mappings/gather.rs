//! Batches: messages are read until there are enough of them, their event would become too large, or the batching window
//! is over.
//!
//! What is read and not yet handed out stays here when a wait is cut off; who stops gives it back to the queue.

use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Timestamp};
use service_sources::sqs::{LONGEST_POLL, MOST_MESSAGES, Message, Queue};
use service_sources::{Source, SourceError, Wish};

use super::event::{self, MAX_EVENT_BYTES};
use super::filter::Filters;
use super::record::Mapping;
use super::status::Status;

/// A message on its way to the function.
#[derive(Debug)]
pub(super) struct Item {
    /// The message without its body, which is in `record`.
    pub(super) message: Message,
    /// Its part of the event.
    pub(super) record: Vec<u8>,
    /// About when the queue gives it to others.
    pub(super) leased_until: Timestamp,
}

/// How batches of a mapping are made.
#[derive(Debug)]
pub(super) struct Plan {
    source_arn: String,
    region: String,
    filters: Filters,
    most: usize,
    window: Duration,
    /// Whether the order within groups is kept.
    pub(super) fifo: bool,
}

impl Plan {
    pub(super) fn of(mapping: &Mapping) -> Self {
        let filters = Filters::parse(&mapping.filters).unwrap_or_else(|error| {
            // They were checked when they were set.
            tracing::error!(mapping = mapping.id, %error, "filter criteria cannot be read; every message is meant");
            Filters::default()
        });
        Plan {
            source_arn: mapping.source_arn.clone(),
            region: mapping.region.to_string(),
            filters,
            most: mapping.settings.batch_size as usize,
            window: Duration::from_secs(u64::from(mapping.settings.window_s)),
            fifo: is_fifo(&mapping.source_arn),
        }
    }
}

/// The name of a FIFO queue ends so.
pub(super) fn is_fifo(source_arn: &str) -> bool {
    source_arn.ends_with(".fifo")
}

/// What is read and not handed out yet.
pub(super) struct Gatherer {
    clock: Clock,
    status: Arc<Status>,
    pending: Vec<Item>,
    /// Of `pending`, without what joins them.
    bytes: usize,
    /// When the first of them came.
    since: Option<Timestamp>,
    /// The queue's visibility timeout, where a window must be added to it.
    visibility: Duration,
}

impl Gatherer {
    pub(super) fn new(clock: Clock, status: Arc<Status>) -> Self {
        let visibility = Duration::from_secs(30);
        Gatherer { clock, status, pending: Vec::new(), bytes: 0, since: None, visibility }
    }

    /// The next batch. Empty: the queue had nothing for as long as a poll may take. Cutting it off loses nothing.
    ///
    /// # Errors
    /// When the queue cannot be read; what is gathered stays.
    pub(super) async fn next(&mut self, queue: &Queue, plan: &Plan) -> Result<Vec<Item>, SourceError> {
        loop {
            let now = self.clock.now();
            let until = self.since.map(|since| since.after(plan.window));
            if self.is_full(plan) || until.is_some_and(|until| until <= now) {
                return Ok(self.take(plan, now));
            }
            if until.is_none() && !plan.window.is_zero() {
                self.visibility = Duration::from_secs(u64::from(queue.facts().await?.visibility_timeout_s));
            }
            let wish = Wish {
                most: (plan.most - self.pending.len()).min(MOST_MESSAGES),
                wait: until.map_or(LONGEST_POLL, |until| between(now, until)),
                // So the whole of the queue's own timeout is left when the batch is handed out.
                lease: (!plan.window.is_zero()).then_some(self.visibility + plan.window),
            };
            let read = queue.read(wish);
            let messages = match until {
                None => read.await?,
                Some(until) => tokio::select! {
                    messages = read => messages?,
                    () = self.clock.sleep_until(until) => continue,
                },
            };
            if messages.is_empty() && self.pending.is_empty() {
                return Ok(Vec::new());
            }
            self.add(messages, queue, plan);
        }
    }

    fn is_full(&self, plan: &Plan) -> bool {
        self.pending.len() >= plan.most || event::length(self.pending.len(), self.bytes) >= MAX_EVENT_BYTES
    }

    /// Takes in what was read, without what the filters do not mean.
    fn add(&mut self, messages: Vec<Message>, queue: &Queue, plan: &Plan) {
        self.status.polled(messages.len());
        let now = self.clock.now();
        let leased_until = now.after(self.visibility + plan.window);
        let mut not_meant = Vec::new();
        for mut message in messages {
            let Ok(record) = event::record(&message, &plan.source_arn, &plan.region) else { continue };
            if !plan.filters.mean(&record, &message.body) {
                not_meant.push(message);
                continue;
            }
            message.body = String::new();
            self.bytes += record.len();
            self.pending.push(Item { message, record, leased_until });
            self.since.get_or_insert(now);
        }
        if !not_meant.is_empty() {
            self.status.filtered_out(not_meant.len());
            let queue = queue.clone();
            tokio::spawn(async move {
                for error in queue.settle(&not_meant).await {
                    tracing::warn!(%error, "a message that a filter does not mean stays in its queue");
                }
            });
        }
    }

    /// As much as an event holds; of a FIFO queue all, because who runs it keeps the order.
    fn take(&mut self, plan: &Plan, now: Timestamp) -> Vec<Item> {
        let count = if plan.fifo { self.pending.len() } else { fitting(&self.pending) };
        let rest = self.pending.split_off(count);
        let batch = std::mem::replace(&mut self.pending, rest);
        self.bytes = self.pending.iter().map(|item| item.record.len()).sum();
        self.since = (!self.pending.is_empty()).then_some(now);
        batch
    }

    /// Gives back to the queue what is not handed out.
    pub(super) async fn give_back(&mut self, queue: &Queue) {
        self.bytes = 0;
        self.since = None;
        give_back(queue, std::mem::take(&mut self.pending)).await;
    }
}

/// Lets anybody have these at once.
pub(super) async fn give_back(queue: &Queue, items: Vec<Item>) {
    let messages: Vec<Message> = items.into_iter().map(|item| item.message).collect();
    for error in queue.keep(&messages, Duration::ZERO).await {
        tracing::debug!(%error, "a message comes back only when its visibility timeout is over");
    }
}

/// How many of these, from the first on, one event holds; at least one.
pub(super) fn fitting(items: &[Item]) -> usize {
    let mut bytes = 0;
    for (index, item) in items.iter().enumerate() {
        bytes += item.record.len();
        if index > 0 && event::length(index + 1, bytes) > MAX_EVENT_BYTES {
            return index;
        }
    }
    items.len()
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(to.as_millis() - from.as_millis()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(bytes: usize) -> Item {
        let message = Message {
            id: String::new(),
            receipt_handle: String::new(),
            body: String::new(),
            md5_of_body: String::new(),
            attributes: std::collections::BTreeMap::default(),
            message_attributes: std::collections::BTreeMap::default(),
            md5_of_message_attributes: None,
        };
        Item { message, record: vec![b' '; bytes], leased_until: Timestamp(0) }
    }

    #[test]
    fn an_event_is_six_megabytes_at_most() {
        let half = MAX_EVENT_BYTES / 2;
        let overhead = event::length(2, 0);
        assert_eq!(fitting(&[item(half), item(half - overhead), item(1)]), 2);
        assert_eq!(fitting(&[item(half), item(half - overhead + 1)]), 1);
        assert_eq!(fitting(&[item(MAX_EVENT_BYTES), item(1)]), 1);
        assert_eq!(fitting(&[]), 0);
    }
}

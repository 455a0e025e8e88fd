//! Where log events go: a bounded queue, and one worker that writes it to CloudWatch Logs through the front door.
//!
//! An invoke only ever appends to the queue. When the queue is full the stream that has most in it loses its oldest
//! events, and says how many: a log store that is slow or broken never blocks a function, and one that floods costs the
//! others nothing.
//! Events of one stream are written in the order in which they were pushed.
//!
//! Limits of a batch: <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html>.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use base::{AccountId, ApiError, Clock, Region, Timestamp};
use frontdoor::FrontDoorHandle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use super::log_store::{FrontDoorLogs, LogStore};

/// A batch holds at most this many events.
pub(crate) const MAX_BATCH_EVENTS: usize = 10_000;
/// A batch holds at most this many bytes, counted with [`EVENT_OVERHEAD_BYTES`].
pub(crate) const MAX_BATCH_BYTES: usize = 1_048_576;
/// What AWS counts per event besides its text.
pub(crate) const EVENT_OVERHEAD_BYTES: usize = 26;
/// A batch spans less than this.
const MAX_BATCH_SPAN_MS: i64 = 24 * 3600 * 1000;
/// What the queue holds before it drops, in bytes counted as in a batch.
const QUEUE_BYTES: usize = 64 * 1024 * 1024;
/// How often a batch is tried before it is given up, and how long to wait in between.
const ATTEMPTS: u32 = 3;
const RETRY_DELAY: Duration = Duration::from_millis(100);
/// How long events gather before they are written, so that a busy function costs few transactions.
const GATHER: Duration = Duration::from_millis(100);
/// How often the worker looks whether the queue still has users.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How many streams are written at a time. What is written at the same time meets in the store's group commit: one sync
/// for all of them, where one after another would be one sync each.
const WRITES_AT_A_TIME: usize = 64;

/// One log event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogEvent {
    pub(crate) timestamp_ms: i64,
    pub(crate) message: String,
}

impl LogEvent {
    pub(crate) fn new(timestamp_ms: i64, message: String) -> Self {
        LogEvent { timestamp_ms, message }
    }

    fn cost(&self) -> usize {
        self.message.len() + EVENT_OVERHEAD_BYTES
    }
}

/// The name of a log stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StreamName {
    pub(crate) account: AccountId,
    pub(crate) region: Region,
    pub(crate) group: String,
    pub(crate) stream: String,
}

/// A log stream that events can be pushed to. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LogStream {
    target: Arc<Target>,
    sink: Arc<Inner>,
}

struct Target {
    name: StreamName,
    /// The stream (and its group) exist in the log service. Only the worker touches it.
    created: AtomicBool,
}

/// The queue and its worker. Cheap to clone.
#[derive(Clone)]
pub struct LogSink {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for LogSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogSink").field("queued_bytes", &self.inner.lock().bytes).finish_non_exhaustive()
    }
}

struct Inner {
    queue: Mutex<Queue>,
    filled: Notify,
    /// Someone waits for the queue to be written.
    hurry: Notify,
    /// How many events have been stored, given up or dropped so far.
    settled: watch::Sender<u64>,
    max_bytes: usize,
    clock: Clock,
}

#[derive(Default)]
struct Queue {
    /// Streams in the order of their first event.
    streams: Vec<Waiting>,
    /// Where a stream is among them, by the address of its target.
    places: HashMap<usize, usize>,
    bytes: usize,
    /// Events dropped since the stream was last told.
    dropped: Vec<(Arc<Target>, u64)>,
    /// How many events have ever been put in.
    pushed: u64,
}

/// One stream's events, in their order.
struct Waiting {
    target: Arc<Target>,
    events: VecDeque<LogEvent>,
    bytes: usize,
}

impl LogSink {
    /// Starts the worker; needs a Tokio runtime. The worker ends when the last clone and stream are gone.
    #[must_use]
    pub fn new(front_door: FrontDoorHandle, clock: Clock) -> Self {
        Self::with_store(Arc::new(FrontDoorLogs::new(front_door)), clock, QUEUE_BYTES)
    }

    pub(crate) fn with_store(store: Arc<dyn LogStore>, clock: Clock, max_bytes: usize) -> Self {
        let inner = Arc::new(Inner {
            queue: Mutex::default(),
            filled: Notify::new(),
            hurry: Notify::new(),
            settled: watch::Sender::new(0),
            max_bytes,
            clock,
        });
        tokio::spawn(work(Arc::downgrade(&inner), store));
        LogSink { inner }
    }

    pub(crate) fn stream(&self, name: StreamName) -> LogStream {
        let target = Arc::new(Target { name, created: AtomicBool::new(false) });
        LogStream { target, sink: Arc::clone(&self.inner) }
    }

    /// Waits until everything that was pushed before this call is stored, or given up.
    pub async fn flush(&self) {
        let goal = self.inner.lock().pushed;
        self.inner.hurry.notify_one();
        let mut settled = self.inner.settled.subscribe();
        // The sender lives in `self.inner`, so waiting cannot fail.
        let _ = settled.wait_for(|settled| *settled >= goal).await;
    }
}

impl LogStream {
    /// Appends events; takes them out of `events`. Never blocks.
    pub(crate) fn push(&self, events: &mut Vec<LogEvent>) {
        let mut queue = self.sink.lock();
        for event in events.drain(..) {
            queue.put(&self.target, event);
        }
        let dropped = queue.shrink(self.sink.max_bytes);
        drop(queue);
        if dropped > 0 {
            self.sink.settled.send_modify(|settled| *settled += dropped);
        }
        self.sink.filled.notify_one();
    }
}

impl LogStream {
    /// Appends whole lines.
    pub(crate) fn write_lines(&self, now: Timestamp, lines: Vec<String>) {
        let mut events = lines.into_iter().map(|line| LogEvent::new(now.as_millis(), line)).collect();
        self.push(&mut events);
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn put(&mut self, target: &Arc<Target>, event: LogEvent) {
        let Queue { streams, places, bytes, pushed, .. } = self;
        let at = *places.entry(Arc::as_ptr(target).addr()).or_insert_with(|| {
            streams.push(Waiting { target: Arc::clone(target), events: VecDeque::new(), bytes: 0 });
            streams.len() - 1
        });
        let cost = event.cost();
        *bytes += cost;
        *pushed += 1;
        streams[at].bytes += cost;
        streams[at].events.push_back(event);
    }

    /// Drops the oldest events of whoever has most until the rest fits; gives how many went.
    fn shrink(&mut self, max_bytes: usize) -> u64 {
        let mut count = 0;
        while self.bytes > max_bytes
            && let Some(largest) = self.streams.iter_mut().max_by_key(|stream| stream.bytes)
        {
            let mut lost = 0;
            while self.bytes > max_bytes
                && let Some(event) = largest.events.pop_front()
            {
                self.bytes -= event.cost();
                largest.bytes -= event.cost();
                lost += 1;
            }
            let target = Arc::clone(&largest.target);
            self.note_dropped(&target, lost);
            count += lost;
        }
        count
    }

    fn note_dropped(&mut self, target: &Arc<Target>, count: u64) {
        match self.dropped.iter_mut().find(|(known, _)| Arc::ptr_eq(known, target)) {
            Some((_, total)) => *total += count,
            None => self.dropped.push((Arc::clone(target), count)),
        }
    }
}

async fn work(inner: Weak<Inner>, store: Arc<dyn LogStore>) {
    loop {
        let Some(sink) = inner.upgrade() else { return };
        // Also when there are events already: a log that never rests gathers, too.
        if !wait(&sink).await {
            continue;
        }
        let (events, dropped) = {
            let mut queue = sink.lock();
            queue.bytes = 0;
            queue.places.clear();
            (std::mem::take(&mut queue.streams), std::mem::take(&mut queue.dropped))
        };
        let taken: u64 = events.iter().map(|stream| stream.events.len() as u64).sum();
        write_all(&store, by_stream(events, dropped, sink.clock.now().as_millis())).await;
        sink.settled.send_modify(|settled| *settled += taken);
    }
}

/// Waits until there are events, and while they gather. False: there are none yet, look whether anybody is there.
async fn wait(sink: &Inner) -> bool {
    // Nobody tells when the last user is gone: look now and then.
    if tokio::time::timeout(LOOK_EVERY, sink.filled.notified()).await.is_err() {
        return false;
    }
    tokio::select! {
        () = tokio::time::sleep(GATHER) => {}
        () = sink.hurry.notified() => {}
    }
    true
}

/// Each stream's events with what it lost in front of them, because the oldest were dropped.
fn by_stream(
    waiting: Vec<Waiting>,
    mut dropped: Vec<(Arc<Target>, u64)>,
    now_ms: i64,
) -> Vec<(Arc<Target>, Vec<LogEvent>)> {
    let mut streams: Vec<(Arc<Target>, Vec<LogEvent>)> = Vec::new();
    for Waiting { target, events, .. } in waiting {
        let lost = dropped.iter().position(|(known, _)| Arc::ptr_eq(known, &target));
        let lost = lost.map(|at| note(dropped.swap_remove(at).1, now_ms));
        streams.push((target, lost.into_iter().chain(events).collect()));
    }
    for (target, count) in dropped {
        streams.push((target, vec![note(count, now_ms)]));
    }
    for (_, events) in &mut streams {
        in_order_of_time(events);
    }
    streams
}

fn note(count: u64, now_ms: i64) -> LogEvent {
    let text = format!(
        "[lamplighter] {count} log events were dropped here: they came faster than the log store took them\n"
    );
    LogEvent::new(now_ms, text)
}

/// A batch must be in the order of time. Events are pushed in order, so a time that goes back is a note's or a step of
/// the clock: it is raised or lowered, the order stays.
fn in_order_of_time(events: &mut [LogEvent]) {
    if let [first, second, ..] = events
        && first.timestamp_ms > second.timestamp_ms
    {
        first.timestamp_ms = second.timestamp_ms;
    }
    let mut latest = i64::MIN;
    for event in events {
        latest = latest.max(event.timestamp_ms);
        event.timestamp_ms = latest;
    }
}

/// Cuts a stream's events into batches that AWS would take.
fn batches(events: Vec<LogEvent>) -> Vec<Vec<LogEvent>> {
    let mut batches = Vec::new();
    let (mut batch, mut bytes): (Vec<LogEvent>, usize) = (Vec::new(), 0);
    for event in events {
        let span_ms = batch.first().map_or(0, |first| event.timestamp_ms - first.timestamp_ms);
        let full = batch.len() == MAX_BATCH_EVENTS
            || bytes + event.cost() > MAX_BATCH_BYTES
            || span_ms >= MAX_BATCH_SPAN_MS;
        if full && !batch.is_empty() {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
        bytes += event.cost();
        batch.push(event);
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

/// Writes the events of different streams side by side. Returns when all are stored, or given up.
async fn write_all(store: &Arc<dyn LogStore>, streams: Vec<(Arc<Target>, Vec<LogEvent>)>) {
    let mut writes = JoinSet::new();
    for (target, events) in streams {
        if writes.len() == WRITES_AT_A_TIME {
            writes.join_next().await;
        }
        let store = Arc::clone(store);
        writes.spawn(async move { write(&*store, &target, events).await });
    }
    while writes.join_next().await.is_some() {}
}

async fn write(store: &dyn LogStore, target: &Target, events: Vec<LogEvent>) {
    for batch in batches(events) {
        let count = batch.len();
        let batch: Arc<[LogEvent]> = batch.into();
        if let Err(error) = write_batch(store, target, &batch).await {
            tracing::warn!(
                group = target.name.group,
                stream = target.name.stream,
                events = count,
                %error,
                "log events could not be stored and are lost"
            );
        }
    }
}

async fn write_batch(store: &dyn LogStore, target: &Target, batch: &Arc<[LogEvent]>) -> Result<(), ApiError> {
    let mut attempt = 1;
    loop {
        let result = async {
            if !target.created.load(Ordering::Relaxed) {
                store.create(&target.name).await?;
                target.created.store(true, Ordering::Relaxed);
            }
            store.put(&target.name, Arc::clone(batch)).await
        };
        let Err(error) = result.await else { return Ok(()) };
        if error.code == "ResourceNotFoundException" {
            // Somebody deleted the group or the stream: it comes back, as with AWS.
            target.created.store(false, Ordering::Relaxed);
        } else if error.http_status() < 500 || attempt == ATTEMPTS {
            return Err(error);
        } else {
            tokio::time::sleep(RETRY_DELAY).await;
        }
        if attempt == ATTEMPTS {
            return Err(error);
        }
        attempt += 1;
    }
}

#[cfg(test)]
#[path = "log_sink_tests.rs"]
mod tests;

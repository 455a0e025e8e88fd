//! What extensions hear that subscribed through the Telemetry API or the Logs API: platform events, and the lines of
//! the function and of extensions.
//!
//! Extensions subscribe during INIT; what happened before is kept for them until it is over. When nobody subscribed,
//! nothing is made and nothing is kept: it then costs one load per line. Each subscriber has a bounded queue and a task
//! that delivers it into the box (`delivery`); what does not fit is dropped and counted, and never holds anybody up.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api.html>.

mod delivery;
mod subscription;

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{Clock, Timestamp};
use serde::Serialize;
use serde::de::IgnoredAny;
use tokio::sync::watch;

use self::delivery::Delivery;
use self::subscription::Request;
use super::boxes::EnvBox;
use super::env_log::EnvLog;
use crate::invoke::events::{Event, Schema};
use crate::runtime_api::{Subscribe, SubscriptionApi};

/// What is kept for subscribers during INIT, in records; more is dropped and counted.
const MAX_EARLY: usize = 1_000;

/// The streams that can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stream {
    Platform = 1,
    Function = 2,
    Extension = 4,
}

impl Stream {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "platform" => Some(Stream::Platform),
            "function" => Some(Stream::Function),
            "extension" => Some(Stream::Extension),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Stream::Platform => "platform",
            Stream::Function => "function",
            Stream::Extension => "extension",
        }
    }
}

/// All streams at once.
const ALL: u8 = 7;

/// What was heard before anybody could subscribe, in the forms that subscribers may want.
struct Past {
    stream: Stream,
    telemetry: Option<String>,
    logs: Option<String>,
}

struct Early {
    past: Vec<Past>,
    dropped: u64,
}

struct State {
    /// Until INIT is over.
    early: Option<Early>,
    subscribers: Vec<Subscriber>,
}

struct Subscriber {
    name: Arc<str>,
    api: SubscriptionApi,
    schema: Schema,
    streams: u8,
    delivery: Delivery,
}

/// One environment's telemetry.
pub(crate) struct Telemetry {
    state: Mutex<State>,
    /// The streams that somebody hears, or may still subscribe to.
    wanted: AtomicU8,
    subscribed: AtomicBool,
    /// Lines that are JSON objects are records, not texts.
    json_lines: bool,
    inner_box: Arc<dyn EnvBox>,
    clock: Clock,
    /// Whether the box runs: a frozen one takes nothing.
    awake: watch::Sender<bool>,
}

/// The answer to a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subscribed {
    New,
    Already,
}

impl Telemetry {
    /// For a box whose INIT begins. Lines are kept only where an external extension may subscribe to them.
    pub(crate) fn new(
        inner_box: Arc<dyn EnvBox>,
        clock: Clock,
        json_lines: bool,
        keeps_lines: bool,
    ) -> Arc<Self> {
        let wanted = if keeps_lines { ALL } else { Stream::Platform as u8 };
        Arc::new(Telemetry {
            state: Mutex::new(State {
                early: Some(Early { past: Vec::new(), dropped: 0 }),
                subscribers: Vec::new(),
            }),
            wanted: AtomicU8::new(wanted),
            subscribed: AtomicBool::new(false),
            json_lines,
            inner_box,
            clock,
            awake: watch::Sender::new(true),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody hears this stream, or may soon.
    pub(crate) fn wants(&self, stream: Stream) -> bool {
        self.wanted.load(Ordering::Relaxed) & stream as u8 != 0
    }

    /// A line of the function or of an extension. To be called only when it is wanted.
    pub(crate) fn line(&self, stream: Stream, now: Timestamp, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        self.hear(stream, |_| Some(line_record(now, stream, &text, self.json_lines)));
    }

    /// An event of the platform.
    pub(crate) fn event(&self, now: Timestamp, event: &Event<'_>) {
        if self.wants(Stream::Platform) {
            self.hear(Stream::Platform, |schema| event.record(now, schema));
        }
    }

    fn hear(&self, stream: Stream, record: impl Fn(Schema) -> Option<String>) {
        let mut state = self.lock();
        for subscriber in state.subscribers.iter().filter(|known| known.streams & stream as u8 != 0) {
            if let Some(record) = record(subscriber.schema) {
                subscriber.delivery.push(record);
            }
        }
        if let Some(early) = &mut state.early {
            if early.past.len() < MAX_EARLY {
                let logs = record(Schema::Logs { with_runtime_done: false });
                early.past.push(Past { stream, telemetry: record(Schema::Telemetry), logs });
            } else {
                early.dropped += 1;
            }
        }
    }

    /// Takes a subscription. Needs a Tokio runtime.
    ///
    /// # Errors
    /// The other API was used before.
    pub(crate) fn subscribe(
        &self,
        name: &Arc<str>,
        api: SubscriptionApi,
        request: Request,
    ) -> Result<Subscribed, String> {
        let mut state = self.lock();
        if let Some(known) = state.subscribers.iter().find(|known| known.name == *name) {
            return if known.api == api {
                Ok(Subscribed::Already)
            } else {
                Err(format!("the extension is subscribed through the {} API already", known.api.name()))
            };
        }
        let delivery = Delivery::start(
            request.destination,
            request.buffering,
            Arc::clone(&self.inner_box),
            self.clock.clone(),
            self.awake.subscribe(),
        );
        let subscriber = Subscriber {
            name: Arc::clone(name),
            api,
            schema: request.schema,
            streams: request.streams.iter().fold(0, |all, stream| all | *stream as u8),
            delivery,
        };
        if let Some(early) = &state.early {
            for past in early.past.iter().filter(|past| subscriber.streams & past.stream as u8 != 0) {
                let record = if request.schema == Schema::Telemetry { &past.telemetry } else { &past.logs };
                if let Some(record) = record {
                    subscriber.delivery.push(record.clone());
                }
            }
            if early.dropped > 0 {
                subscriber.delivery.note_dropped(early.dropped, 0);
            }
        }
        state.subscribers.push(subscriber);
        self.subscribed.store(true, Ordering::Relaxed);
        Ok(Subscribed::New)
    }

    /// INIT is over: nobody subscribes any more.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.early = None;
        let wanted = state.subscribers.iter().fold(0, |all, subscriber| all | subscriber.streams);
        self.wanted.store(wanted, Ordering::Relaxed);
    }

    /// The box runs, or does not.
    pub(crate) fn set_awake(&self, awake: bool) {
        if self.subscribed.load(Ordering::Relaxed) {
            self.awake.send_replace(awake);
        }
    }

    /// The box is about to end: what is there is delivered at once from now on.
    pub(crate) fn hurry(&self) {
        self.set_awake(true);
        for subscriber in &self.lock().subscribers {
            subscriber.delivery.hurry();
        }
    }

    /// Waits until what was heard so far is delivered.
    pub(crate) async fn settled(&self) {
        let all: Vec<_> = self.lock().subscribers.iter().map(|known| known.delivery.settled()).collect();
        for mut settled in all {
            let _ = settled.wait_for(|settled| *settled).await;
        }
    }

    /// The box is gone.
    pub(crate) fn stop(&self) {
        self.lock().subscribers.clear();
    }
}

fn line_record(now: Timestamp, stream: Stream, text: &str, json_lines: bool) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        time: String,
        #[serde(rename = "type")]
        kind: &'static str,
        record: &'a str,
    }
    let (time, kind) = (now.iso8601(), stream.name());
    let object = text.trim();
    let is_object = || object.starts_with('{') && serde_json::from_str::<IgnoredAny>(object).is_ok();
    if json_lines && is_object() {
        // As it is: it was just seen to be JSON.
        return format!(r#"{{"time":"{time}","type":"{kind}","record":{object}}}"#);
    }
    // Strings always serialise.
    serde_json::to_string(&Line { time, kind, record: text }).unwrap_or_default()
}

/// Takes the subscriptions of one environment's extensions, and tells its log of them.
pub(crate) struct Subscriptions {
    pub(crate) log: Arc<EnvLog>,
}

impl Subscribe for Subscriptions {
    fn subscribe(&self, extension: &Arc<str>, api: SubscriptionApi, body: &[u8]) -> Result<(), String> {
        let request = Request::read(api, body)?;
        let streams: Vec<&'static str> = request.streams.iter().map(|stream| stream.name()).collect();
        let state = match self.log.telemetry().subscribe(extension, api, request)? {
            Subscribed::New => "Subscribed",
            Subscribed::Already => "Already subscribed",
        };
        self.log.tell([Event::Subscription { api, name: extension, state, streams: &streams }]);
        Ok(())
    }
}

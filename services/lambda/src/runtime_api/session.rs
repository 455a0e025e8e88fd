//! What one environment's runtime may do next, and who waits for it: the state machine behind the Runtime API.
//!
//! It does no I/O. Connections report what the runtime asked ([`Session::next`], [`Session::respond`], ...), the
//! invoke side offers events ([`Session::offer`]), the box's watcher reports the end ([`Session::depart`]).
//!
//! States and refusals: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::RequestId;
use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use super::extension_api::{About, Subscribe};
use super::extensions::Extensions;
use super::restore::{Snap, SnapRole};
use super::streaming::StreamedAnswer;

/// One event as the runtime gets it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) request_id: RequestId,
    /// When the function will be stopped, in milliseconds since the epoch on the host's real clock.
    pub(crate) deadline_ms: i64,
    pub(crate) function_arn: Arc<str>,
    pub(crate) trace_id: String,
    pub(crate) client_context: Option<String>,
    pub(crate) tenant_id: Option<Arc<str>>,
    pub(crate) payload: Bytes,
}

/// How the first process of an environment ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Departure {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) oom_killed: bool,
    /// The most memory the box used; 0 when unknown.
    pub(crate) peak_memory_bytes: u64,
}

/// What became of an event.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The handler returned.
    Response(Bytes),
    /// The handler failed. The body is the runtime's own.
    Error { body: Bytes, error_type: Option<String> },
    /// The answer was larger than [`super::MAX_RESPONSE_BYTES`].
    TooLarge,
    /// The handler has begun to answer, and goes on.
    Stream(StreamedAnswer),
    /// A streamed answer went on beyond [`super::MAX_STREAM_BYTES`].
    StreamTooLarge,
    /// A streamed answer broke off.
    Truncated,
    /// The process ended first.
    Gone { departure: Departure, delivered: bool },
}

/// How the initialisation ended.
#[derive(Debug)]
pub(crate) enum InitResult {
    /// The runtime asked for its first event.
    Ready,
    /// The runtime reported an error.
    Failed { body: Bytes, error_type: Option<String> },
    /// The process ended first.
    Gone(Departure),
}

/// A request that the state does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The id is not the current event's.
    UnknownRequestId,
    /// Such a request is not allowed now.
    Transition { from: &'static str, to: &'static str },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Started,
    Ready,
    Running,
    /// Its answer is on the way.
    Responding,
    ResponseSent,
    InitError,
    /// It has initialised, and writes its image.
    Snapshot,
    RestoreError,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Stage::Started => "RuntimeStarted",
            Stage::Ready => "RuntimeReady",
            Stage::Running => "RuntimeRunning",
            Stage::Responding => "InvocationResponse",
            Stage::ResponseSent => "RuntimeResponseSent",
            Stage::InitError => "RuntimeInitError",
            Stage::Snapshot => "RuntimeRestoreReady",
            Stage::RestoreError => "RuntimeRestoreError",
        }
    }
}

struct Current {
    id: RequestId,
    delivered: bool,
    /// The connection that it was written to has ended, and told what it knew.
    is_settled: bool,
    answer: oneshot::Sender<Answer>,
}

struct State {
    stage: Stage,
    init: Option<oneshot::Sender<InitResult>>,
    /// The connection that waits for an event.
    waiting: Option<oneshot::Sender<Event>>,
    /// The event that waits for a connection.
    queued: Option<Event>,
    current: Option<Current>,
    departed: Option<Departure>,
    /// Why a runtime that was to write its image cannot, in its own words.
    no_image: Option<Bytes>,
}

/// One environment's runtime.
pub(crate) struct Session {
    state: Mutex<State>,
    /// Ticks when the runtime has asked for an event and there is none.
    parked: Notify,
    pub(crate) extensions: Extensions,
    about: About,
    subscriptions: Option<Arc<dyn Subscribe>>,
    snap: Snap,
}

/// What `/invocation/next` gives at once.
pub(crate) enum Next {
    Event(Event),
    Wait(oneshot::Receiver<Event>),
}

impl Session {
    /// A runtime that is about to start beside these external extensions, and the place where the end of its
    /// initialisation is told.
    pub(crate) fn with(
        about: About,
        external: &[Arc<str>],
        subscriptions: Option<Arc<dyn Subscribe>>,
        snap: Snap,
    ) -> (Arc<Self>, oneshot::Receiver<InitResult>) {
        let (init, result) = oneshot::channel();
        let state = State {
            stage: Stage::Started,
            init: Some(init),
            waiting: None,
            queued: None,
            current: None,
            departed: None,
            no_image: None,
        };
        let session = Session {
            state: Mutex::new(state),
            parked: Notify::new(),
            extensions: Extensions::new(external),
            about,
            subscriptions,
            snap,
        };
        (Arc::new(session), result)
    }

    /// What it has to do with snapshots.
    pub(super) fn snap(&self) -> &Snap {
        &self.snap
    }

    /// What extensions are told of the function.
    pub(super) fn about(&self) -> &About {
        &self.about
    }

    /// Where extensions subscribe to telemetry.
    pub(super) fn subscriptions(&self) -> Option<&Arc<dyn Subscribe>> {
        self.subscriptions.as_ref()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; a poisoned state is still a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands the runtime an event, now or as soon as it asks. The answer comes through the receiver; it never comes
    /// if the session is dropped.
    pub(crate) fn offer(&self, event: Event) -> oneshot::Receiver<Answer> {
        let (answer, receiver) = oneshot::channel();
        let mut state = self.lock();
        if let Some(departure) = state.departed {
            let _ = answer.send(Answer::Gone { departure, delivered: false });
            return receiver;
        }
        let id = event.request_id.clone();
        state.current = Some(Current { id, delivered: false, is_settled: false, answer });
        state.deliver(event);
        receiver
    }

    /// The runtime asks for an event.
    pub(crate) fn next(&self) -> Result<Next, Refusal> {
        let mut state = self.lock();
        match state.stage {
            // Asking twice is allowed: a client whose connection broke asks again.
            Stage::Started | Stage::Ready | Stage::ResponseSent => {}
            // A runtime need not wait until we have read its stream to the end, and a slow caller makes that late.
            Stage::Responding => {
                let (sender, receiver) = oneshot::channel();
                state.waiting = Some(sender);
                return Ok(Next::Wait(receiver));
            }
            from => return Err(Refusal::Transition { from: from.name(), to: Stage::Ready.name() }),
        }
        state.stage = Stage::Ready;
        if let Some(init) = state.init.take() {
            let _ = init.send(InitResult::Ready);
        }
        if let Some(event) = state.queued.take() {
            state.mark_delivered();
            return Ok(Next::Event(event));
        }
        let (sender, receiver) = oneshot::channel();
        state.waiting = Some(sender);
        drop(state);
        self.parked.notify_waiters();
        Ok(Next::Wait(receiver))
    }

    /// The event could not be written to the connection that asked for it: the next one gets it.
    pub(crate) fn give_back(&self, event: Event) {
        let mut state = self.lock();
        let is_current = state.current.as_ref().is_some_and(|current| current.id == event.request_id);
        if !is_current || state.stage != Stage::Running {
            return;
        }
        if let Some(current) = &mut state.current {
            current.delivered = false;
        }
        state.stage = Stage::Ready;
        state.deliver(event);
    }

    /// The runtime answers event `id`.
    pub(crate) fn respond(&self, id: &str, answer: Answer) -> Result<(), Refusal> {
        let to = if matches!(answer, Answer::Error { .. }) {
            "InvocationErrorResponse"
        } else {
            "InvocationResponse"
        };
        let mut state = self.lock();
        if state.stage != Stage::Running {
            return Err(Refusal::Transition { from: state.stage.name(), to });
        }
        match state.current.take() {
            Some(current) if current.id.as_str() == id => {
                let goes_on = matches!(answer, Answer::Stream(_));
                state.stage = if goes_on { Stage::Responding } else { Stage::ResponseSent };
                let _ = current.answer.send(answer);
                Ok(())
            }
            other => {
                state.current = other;
                Err(Refusal::UnknownRequestId)
            }
        }
    }

    /// The answer that [`Session::respond`] began as a stream has ended, well or badly.
    pub(crate) fn end_stream(&self) {
        let mut state = self.lock();
        if state.stage != Stage::Responding {
            return;
        }
        let asks = state.waiting.as_ref().is_some_and(|waiting| !waiting.is_closed());
        state.stage = if asks { Stage::Ready } else { Stage::ResponseSent };
        drop(state);
        if asks {
            self.parked.notify_waiters();
        }
    }

    /// The runtime's initialisation failed.
    pub(crate) fn fail_init(&self, body: Bytes, error_type: Option<String>) -> Result<(), Refusal> {
        let mut state = self.lock();
        if state.stage != Stage::Started {
            let from = state.stage.name();
            return Err(Refusal::Transition { from, to: Stage::InitError.name() });
        }
        state.stage = Stage::InitError;
        if let Some(init) = state.init.take() {
            let _ = init.send(InitResult::Failed { body, error_type });
        }
        Ok(())
    }

    /// The runtime has initialised and run its before-snapshot hooks. In the environment from which a snapshot is taken
    /// that is the end of the initialisation.
    pub(crate) fn restore_next(&self) -> Result<(), Refusal> {
        let mut state = self.lock();
        if state.stage != Stage::Started || self.snap.role == SnapRole::None {
            return Err(Refusal::Transition { from: state.stage.name(), to: Stage::Snapshot.name() });
        }
        if self.snap.role == SnapRole::Template {
            state.stage = Stage::Snapshot;
            if let Some(init) = state.init.take() {
                let _ = init.send(InitResult::Ready);
            }
        }
        Ok(())
    }

    /// An after-restore hook failed; or the runtime that was to write its image tells why it cannot.
    pub(crate) fn fail_restore(&self, body: Bytes, error_type: Option<String>) -> Result<(), Refusal> {
        let mut state = self.lock();
        match (state.stage, self.snap.role) {
            (Stage::Snapshot, _) => {
                state.no_image = Some(body);
                return Ok(());
            }
            (Stage::Started, SnapRole::Instance) => {}
            (from, _) => {
                return Err(Refusal::Transition { from: from.name(), to: Stage::RestoreError.name() });
            }
        }
        state.stage = Stage::RestoreError;
        if let Some(init) = state.init.take() {
            let _ = init.send(InitResult::Failed { body, error_type });
        }
        Ok(())
    }

    /// What the runtime told of why it cannot write its image.
    pub(crate) fn why_no_image(&self) -> Option<Bytes> {
        self.lock().no_image.clone()
    }

    /// The first process of the environment has ended.
    pub(crate) fn depart(&self, departure: Departure) {
        let mut state = self.lock();
        state.departed = Some(departure);
        if let Some(init) = state.init.take() {
            let _ = init.send(InitResult::Gone(departure));
        }
        state.waiting = None;
        state.queued = None;
        // Whether a process that was killed had read its event is known from its connection, which ended before it.
        if state.current.as_ref().is_none_or(|current| !current.delivered || current.is_settled) {
            state.answer_gone(departure);
        }
        drop(state);
        self.parked.notify_waiters();
    }

    /// The connection to which event `id` was written has ended. A peer that is killed before it has read everything
    /// resets its connection: it never saw the event.
    pub(crate) fn connection_ended(&self, id: &RequestId, unread: bool) {
        let mut state = self.lock();
        if let Some(current) = state.current.as_mut().filter(|current| current.id == *id) {
            current.is_settled = true;
            current.delivered &= !unread;
            state.settle();
        }
    }

    /// Nothing more will be known of a process that has departed.
    pub(crate) fn settle(&self) {
        self.lock().settle();
    }

    /// How the process has ended, if it has.
    pub(crate) fn departure(&self) -> Option<Departure> {
        self.lock().departed
    }

    /// Whether the process has ended.
    pub(crate) fn has_departed(&self) -> bool {
        self.lock().departed.is_some()
    }

    /// Whether the runtime waits for an event.
    pub(crate) fn is_parked(&self) -> bool {
        let state = self.lock();
        state.stage == Stage::Ready && state.waiting.as_ref().is_some_and(|waiting| !waiting.is_closed())
    }

    /// Waits until the runtime waits for an event, or has ended.
    pub(crate) async fn parked(&self) {
        self.ticked_until(|| self.is_parked() || self.has_departed()).await;
    }

    /// Waits until the process has ended.
    pub(crate) async fn departed(&self) {
        self.ticked_until(|| self.has_departed()).await;
    }

    async fn ticked_until(&self, is_met: impl Fn() -> bool) {
        loop {
            let ticked = self.parked.notified();
            tokio::pin!(ticked);
            ticked.as_mut().enable();
            if is_met() {
                return;
            }
            ticked.await;
        }
    }
}

impl State {
    /// To the connection that waits, or into the queue.
    fn deliver(&mut self, event: Event) {
        let event = match self.waiting.take() {
            Some(waiting) => match waiting.send(event) {
                Ok(()) => return self.mark_delivered(),
                Err(event) => event,
            },
            None => event,
        };
        self.queued = Some(event);
    }

    fn settle(&mut self) {
        if let Some(departure) = self.departed {
            self.answer_gone(departure);
        }
    }

    /// Tells who waits for the answer that there will be none.
    fn answer_gone(&mut self, departure: Departure) {
        if let Some(current) = self.current.take() {
            // One that ended by itself while it read an event is no accident that another environment would mend.
            let was_killed = departure.signal.is_some() && !departure.oom_killed;
            let delivered = current.delivered || (current.is_settled && !was_killed);
            let _ = current.answer.send(Answer::Gone { departure, delivered });
        }
    }

    fn mark_delivered(&mut self) {
        self.stage = Stage::Running;
        if let Some(current) = &mut self.current {
            current.delivered = true;
        }
    }
}

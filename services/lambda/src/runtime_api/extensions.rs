//! What the extensions of one environment may do next, and who waits for them: the state machine behind the
//! Extensions API.
//!
//! External extensions are processes of their own (`/opt/extensions`) and known by name before they register;
//! internal ones are threads of the runtime and known by registering. It does no I/O, starts nothing and stops
//! nothing: `extension_api` reports what extensions ask, the environment's watcher reports the ends of processes.
//!
//! States and refusals: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html>.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

/// The most extensions of a function, of both kinds together.
pub(crate) const MAX_EXTENSIONS: usize = 10;

/// What an extension can register for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventKind {
    Invoke,
    Shutdown,
}

impl EventKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            EventKind::Invoke => "INVOKE",
            EventKind::Shutdown => "SHUTDOWN",
        }
    }
}

/// Where an extension stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Started,
    Registered,
    Ready,
    Running,
    InitError,
    ExitError,
    Exited,
}

impl Stage {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Stage::Started => "Started",
            Stage::Registered => "Registered",
            Stage::Ready => "Ready",
            Stage::Running => "Running",
            Stage::InitError => "InitError",
            Stage::ExitError => "ExitError",
            Stage::Exited => "Exited",
        }
    }
}

/// An extension that failed takes its environment with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) extension: Arc<str>,
    pub(crate) kind: FaultKind,
}

/// How it failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// It could not be started; why.
    Launch(String),
    /// Its process ended: `exit status 1`, `signal: killed`.
    Crash(String),
    /// It reported an error of this type while it initialised.
    Init(String),
    /// It reported an error of this type before it ends.
    Exit(String),
}

/// A request that the state does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Registration ends with INIT.
    Closed,
    TooMany,
    NameTaken,
    UnknownExtension,
    /// `SHUTDOWN` is for external extensions.
    NoShutdownForInternal,
    Transition {
        from: Stage,
        to: Stage,
        name: Arc<str>,
    },
}

/// What `/extension/event/next` gives at once.
pub(crate) enum Next {
    Event(Bytes),
    Wait(oneshot::Receiver<Bytes>),
}

/// What is told of an extension at the end of INIT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) name: Arc<str>,
    pub(crate) state: &'static str,
    pub(crate) events: Vec<&'static str>,
    pub(crate) error_type: Option<String>,
}

struct Extension {
    id: String,
    name: Arc<str>,
    external: bool,
    events: Vec<EventKind>,
    stage: Stage,
    /// The connection that waits for an event.
    waiting: Option<oneshot::Sender<Bytes>>,
    /// The event that waits for a connection.
    queued: Option<Bytes>,
    error_type: Option<String>,
}

struct State {
    extensions: Vec<Extension>,
    /// INIT lasts: extensions may register.
    open: bool,
    shutting_down: bool,
    fault: Option<Fault>,
}

/// One environment's extensions.
pub(crate) struct Extensions {
    state: Mutex<State>,
    /// Ticks with every change.
    changed: Notify,
    /// There is one that is told of invokes; what a function without extensions pays is this load.
    told_of_invokes: AtomicBool,
    external: usize,
}

impl Extensions {
    /// With these external ones, which are being started.
    pub(crate) fn new(external: &[Arc<str>]) -> Self {
        let extensions: Vec<Extension> =
            external.iter().map(|name| Extension::new(Arc::clone(name), true)).collect();
        Extensions {
            external: extensions.len(),
            state: Mutex::new(State { extensions, open: true, shutting_down: false, fault: None }),
            changed: Notify::new(),
            told_of_invokes: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many external ones there are.
    pub(crate) fn external(&self) -> usize {
        self.external
    }

    /// Whether there is one of any kind.
    pub(crate) fn any(&self) -> bool {
        !self.lock().extensions.is_empty()
    }

    /// Whether one of the runtime's own threads is an extension.
    pub(crate) fn any_internal(&self) -> bool {
        self.lock().extensions.iter().any(|extension| !extension.external)
    }

    /// Whether an invoke has to be told to an extension.
    pub(crate) fn hear_of_invokes(&self) -> bool {
        self.told_of_invokes.load(Ordering::Acquire)
    }

    /// An extension introduces itself; gives its identifier.
    pub(crate) fn register(&self, name: &str, events: &[EventKind]) -> Result<String, Refusal> {
        let mut state = self.lock();
        let known = state.extensions.iter().position(|extension| &*extension.name == name);
        let at = match known {
            Some(at) if state.extensions[at].external => at,
            _ if events.contains(&EventKind::Shutdown) => return Err(Refusal::NoShutdownForInternal),
            _ if !state.open => return Err(Refusal::Closed),
            Some(_) => return Err(Refusal::NameTaken),
            None if state.extensions.len() >= MAX_EXTENSIONS => return Err(Refusal::TooMany),
            None => {
                state.extensions.push(Extension::new(Arc::from(name), false));
                state.extensions.len() - 1
            }
        };
        let extension = &mut state.extensions[at];
        extension.advance(&[Stage::Started], Stage::Registered)?;
        for event in events {
            if !extension.events.contains(event) {
                extension.events.push(*event);
            }
        }
        let id = extension.id.clone();
        drop(state);
        self.changed.notify_waiters();
        Ok(id)
    }

    /// The name of the extension with this identifier, if it has registered.
    pub(crate) fn name_of(&self, id: &str) -> Option<Arc<str>> {
        let state = self.lock();
        let known = state.extensions.iter().find(|known| known.id == id && known.stage != Stage::Started);
        known.map(|known| Arc::clone(&known.name))
    }

    /// Whether INIT lasts.
    pub(crate) fn is_open(&self) -> bool {
        self.lock().open
    }

    /// The extension has done what it had to, and asks for an event.
    pub(crate) fn next(&self, id: &str) -> Result<Next, Refusal> {
        let mut state = self.lock();
        let extension = state.find(id)?;
        // Asking twice is allowed: a client whose connection broke asks again.
        extension.advance(&[Stage::Registered, Stage::Ready, Stage::Running], Stage::Ready)?;
        let next = match extension.queued.take() {
            Some(event) => {
                extension.stage = Stage::Running;
                Next::Event(event)
            }
            None => {
                let (sender, receiver) = oneshot::channel();
                extension.waiting = Some(sender);
                Next::Wait(receiver)
            }
        };
        drop(state);
        self.changed.notify_waiters();
        Ok(next)
    }

    /// The extension could not initialise.
    pub(crate) fn init_error(&self, id: &str, error_type: String) -> Result<(), Refusal> {
        self.report(id, &[Stage::Registered], Stage::InitError, error_type)
    }

    /// The extension is about to end, with an error.
    pub(crate) fn exit_error(&self, id: &str, error_type: String) -> Result<(), Refusal> {
        let from = [Stage::Registered, Stage::Ready, Stage::Running];
        self.report(id, &from, Stage::ExitError, error_type)
    }

    fn report(&self, id: &str, from: &[Stage], to: Stage, error_type: String) -> Result<(), Refusal> {
        let mut state = self.lock();
        let extension = state.find(id)?;
        extension.advance(from, to)?;
        extension.error_type = Some(error_type.clone());
        let kind =
            if to == Stage::InitError { FaultKind::Init(error_type) } else { FaultKind::Exit(error_type) };
        let fault = Fault { extension: Arc::clone(&extension.name), kind };
        state.fail(fault);
        drop(state);
        self.changed.notify_waiters();
        Ok(())
    }

    /// The process of an external extension has ended.
    pub(crate) fn ended(&self, at: usize, how: String) {
        let mut state = self.lock();
        let Some(extension) = state.extensions.get_mut(at) else { return };
        if !matches!(extension.stage, Stage::InitError | Stage::ExitError) {
            extension.stage = Stage::Exited;
        }
        extension.waiting = None;
        let fault = Fault { extension: Arc::clone(&extension.name), kind: FaultKind::Crash(how) };
        state.fail(fault);
        drop(state);
        self.changed.notify_waiters();
    }

    /// Waits until every external extension has registered.
    pub(crate) async fn registered(&self) -> Result<(), Fault> {
        self.until(|state| state.extensions.iter().all(|extension| extension.stage != Stage::Started)).await
    }

    /// Waits until every extension has asked for its first event.
    pub(crate) async fn ready(&self) -> Result<(), Fault> {
        self.until(|state| state.extensions.iter().all(|extension| extension.stage == Stage::Ready)).await
    }

    /// INIT is over: nobody registers any more.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.open = false;
        let told = state.extensions.iter().any(|extension| extension.hears(EventKind::Invoke));
        self.told_of_invokes.store(told, Ordering::Release);
    }

    /// Tells those that registered for it of an invoke.
    pub(crate) fn offer(&self, event: &Bytes) {
        self.tell(EventKind::Invoke, event);
    }

    /// Waits until all that were told of the invoke are done with it.
    pub(crate) async fn done(&self) -> Result<(), Fault> {
        self.until(|state| {
            let mut told = state.extensions.iter().filter(|extension| extension.hears(EventKind::Invoke));
            told.all(|extension| extension.stage == Stage::Ready)
        })
        .await
    }

    /// Whether one has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.lock().fault.is_some()
    }

    /// Waits for a failure.
    pub(crate) async fn fault(&self) -> Fault {
        match self.until(|_| false).await {
            Err(fault) => fault,
            // It waits for what never is.
            Ok(()) => std::future::pending().await,
        }
    }

    /// Tells those that registered for it that the environment ends. From now on their ends are no failures.
    pub(crate) fn shut_down(&self, event: &Bytes) {
        self.lock().shutting_down = true;
        self.tell(EventKind::Shutdown, event);
    }

    /// How each stands, for the log.
    pub(crate) fn standings(&self) -> Vec<Standing> {
        let standing = |extension: &Extension| Standing {
            name: Arc::clone(&extension.name),
            state: extension.stage.name(),
            events: extension.events.iter().map(|event| event.name()).collect(),
            error_type: extension.error_type.clone(),
        };
        self.lock().extensions.iter().map(standing).collect()
    }

    fn tell(&self, kind: EventKind, event: &Bytes) {
        let mut state = self.lock();
        for extension in state.extensions.iter_mut().filter(|extension| extension.hears(kind)) {
            if matches!(extension.stage, Stage::Ready | Stage::Running) {
                extension.deliver(event.clone());
            }
        }
    }

    async fn until(&self, is_so: impl Fn(&State) -> bool) -> Result<(), Fault> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let state = self.lock();
                if let Some(fault) = &state.fault {
                    return Err(fault.clone());
                }
                if is_so(&state) {
                    return Ok(());
                }
            }
            changed.await;
        }
    }
}

impl State {
    fn find(&mut self, id: &str) -> Result<&mut Extension, Refusal> {
        let registered = |extension: &&mut Extension| extension.id == id && extension.stage != Stage::Started;
        self.extensions.iter_mut().find(registered).ok_or(Refusal::UnknownExtension)
    }

    /// The first failure counts.
    fn fail(&mut self, fault: Fault) {
        if !self.shutting_down {
            self.fault.get_or_insert(fault);
        }
    }
}

impl Extension {
    fn new(name: Arc<str>, external: bool) -> Self {
        Extension {
            id: uuid::Uuid::new_v4().to_string(),
            name,
            external,
            events: Vec::new(),
            stage: Stage::Started,
            waiting: None,
            queued: None,
            error_type: None,
        }
    }

    fn hears(&self, kind: EventKind) -> bool {
        self.events.contains(&kind)
    }

    fn advance(&mut self, from: &[Stage], to: Stage) -> Result<(), Refusal> {
        if !from.contains(&self.stage) {
            return Err(Refusal::Transition { from: self.stage, to, name: Arc::clone(&self.name) });
        }
        self.stage = to;
        Ok(())
    }

    /// To the connection that waits, or into the queue.
    fn deliver(&mut self, event: Bytes) {
        let event = match self.waiting.take() {
            Some(waiting) => match waiting.send(event) {
                Ok(()) => {
                    self.stage = Stage::Running;
                    return;
                }
                Err(event) => event,
            },
            None => event,
        };
        self.stage = Stage::Running;
        self.queued = Some(event);
    }
}

#[cfg(test)]
#[path = "extensions_tests.rs"]
mod tests;

//! One execution environment: a box, the runtime inside it, its log, and the tasks that serve them.
//!
//! It runs one request at a time; who may use it is the pool's business. It is frozen when it has nothing to do.
//! Dropping it kills the box and ends the tasks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use base::{Clock, Timestamp};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;

use super::boxes::EnvBox;
use super::ending::{Endings, Held, Reason};
use super::env_log::{EnvLog, Pipes};
use super::ledger::Share;
use super::log_sink::LogStream;
use super::pool::{Pooled, Wish};
use super::snapshots::ImagePipe;
use super::telemetry::{Subscriptions, Telemetry};
use super::ticket::wish_of;
use super::{BoxGateway, NoBox, blueprint};
use crate::function::{FunctionConfig, LogFormat};
use crate::invoke::events::Event;
use crate::invoke::report::InitPhase;
use crate::invoke::{self, InvokeError};
use crate::runtime_api::restore::Snap;
use crate::runtime_api::{self, About, InitResult, Session};

/// An execution environment.
pub(crate) struct Environment {
    function: Arc<FunctionConfig>,
    /// The only one whose requests it may see.
    tenant: Option<Arc<str>>,
    arn: Arc<str>,
    pub(crate) session: Arc<Session>,
    pub(crate) log: Arc<EnvLog>,
    inner_box: Arc<dyn EnvBox>,
    fresh_until: Timestamp,
    gate: Mutex<Gate>,
    /// Tells the freezer that the environment has become idle.
    idle: Arc<Notify>,
    share: Arc<Share>,
    peak: Mutex<Peak>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    clock: Clock,
    endings: Endings,
}

/// Whether it runs. The lock is held across freeze and thaw, so that they never overtake each other.
struct Gate {
    frozen: bool,
    in_use: bool,
    /// When it was last taken into use, or became idle.
    since: Instant,
    /// The freezer waits to be told that the environment is idle. While requests come fast it looks by itself
    /// instead: telling it after every request would cost more than the request's own bookkeeping.
    freezer_waits: bool,
    /// No freeze any more: it is going.
    closed: bool,
}

/// The highest memory use that was seen, and when.
#[derive(Clone, Copy, Default)]
struct Peak {
    bytes: u64,
    measured: Option<Instant>,
    /// When what is in use was measured, too.
    weighed: Option<Instant>,
}

/// Measuring takes longer than a short request: one that took less than this is reported with the peak as it was
/// measured less than [`PEAK_AGE`] ago.
const SHORT_REQUEST: Duration = Duration::from_millis(10);
const PEAK_AGE: Duration = Duration::from_millis(200);
/// What is in use takes longer still to measure, and matters less while the environment is busy.
const WEIGHT_AGE: Duration = Duration::from_millis(500);
/// An environment that is busy all the time is looked at this many times less often; so many times longer it may take
/// until it is frozen once it is idle.
const MAX_BACK_OFF: u32 = 5;
/// A request that lasts longer than this is not worth looking at its end again and again.
const LONG_USE: Duration = Duration::from_millis(50);

/// The connections of a process end before it does, but may be heard of a little later.
const LAST_CONNECTION: Duration = Duration::from_millis(200);

/// What an environment is built around.
pub(crate) struct Parts {
    pub(crate) function: Arc<FunctionConfig>,
    pub(crate) tenant: Option<Arc<str>>,
    pub(crate) inner_box: Box<dyn EnvBox>,
    pub(crate) log_stream: LogStream,
    /// The runtime client frames its events within the output.
    pub(crate) frames_in_output: bool,
    pub(crate) clock: Clock,
    /// Until when its credentials are good for new requests.
    pub(crate) fresh_until: Timestamp,
    pub(crate) gateway: Arc<dyn BoxGateway>,
    pub(crate) freeze_after: Duration,
    /// Called when the box's memory was measured or the box has died while idle.
    pub(crate) on_change: OnChange,
    /// Its external extensions, in the order of the box's companions.
    pub(crate) extensions: Vec<Arc<str>>,
    pub(crate) endings: Endings,
    pub(crate) phase: InitPhase,
    /// Its part of the host's memory.
    pub(crate) share: Arc<Share>,
    pub(crate) snap: Snap,
    /// Who gets the pipe of a template's image.
    pub(crate) image_pipe: Option<ImagePipe>,
}

/// What an idle environment tells the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Its memory was measured.
    Measured,
    /// Its process has ended.
    Died,
}

/// An environment that is starting, and the end of its initialisation.
pub(crate) type Starting = (Arc<Environment>, oneshot::Receiver<InitResult>);

impl Environment {
    /// Wires a running box up: Runtime API, gateway, log, watcher. Needs a Tokio runtime.
    pub(crate) fn start(parts: Parts) -> std::io::Result<Starting> {
        let Parts {
            function,
            tenant,
            inner_box,
            log_stream,
            frames_in_output,
            clock,
            fresh_until,
            gateway,
            freeze_after,
            on_change,
            extensions,
            endings,
            phase,
            share,
            snap,
            image_pipe,
        } = parts;
        let inner_box: Arc<dyn EnvBox> = Arc::from(inner_box);
        let mut ends = inner_box.take_parts();
        if let Some(taker) = image_pipe {
            // The log has another one, at whose other end is nobody.
            let (nobody, _) = std::io::pipe()?;
            let nobody =
                tokio::net::unix::pipe::Receiver::from_owned_fd(nobody.into())?.into_nonblocking_fd()?;
            // Who wanted it may have given up: then it is closed.
            let _ = taker.send(std::mem::replace(&mut ends.telemetry, nobody));
        }
        let pipes = Pipes {
            output: ends.output,
            telemetry: ends.telemetry,
            extensions: ends.companion_output,
            frames_in_output,
        };
        let json_lines = function.log_format == LogFormat::Json;
        let telemetry =
            Telemetry::new(Arc::clone(&inner_box), clock.clone(), json_lines, !extensions.is_empty());
        let log = EnvLog::new(pipes, log_stream, clock.clone(), Arc::clone(&function), telemetry)?;
        log.tell([Event::InitStart { function: &function, phase }]);
        // From the first line on, whoever reads it: who starts this says later whether it is wanted.
        log.begin_tail(true);
        let subscriptions = Arc::new(Subscriptions { log: Arc::clone(&log) });
        let (session, init) = Session::with(about(&function), &extensions, Some(subscriptions), snap);
        let arn: Arc<str> = Arc::from(function.arn.as_str());
        let mut tasks = vec![tokio::spawn(Arc::clone(&log).pump())];
        let mut listeners = ends.listeners.into_iter();
        if let Some(listener) = listeners.next() {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tasks.push(tokio::spawn(runtime_api::accept(listener, Arc::clone(&session))));
        }
        if let Some(listener) = listeners.next() {
            tasks.push(gateway.serve(tokio::net::TcpListener::from_std(listener)?, Arc::clone(&arn)));
        }
        let gate = Mutex::new(Gate {
            frozen: false,
            in_use: true,
            since: Instant::now(),
            freezer_waits: false,
            closed: false,
        });
        let environment = Arc::new(Environment {
            function,
            tenant,
            arn,
            session,
            log,
            inner_box,
            fresh_until,
            gate,
            idle: Arc::new(Notify::new()),
            share: Arc::clone(&share),
            peak: Mutex::default(),
            tasks: Mutex::default(),
            clock,
            endings,
        });
        // Its memory is free when its last process is gone, however long that takes after everybody let go of it.
        let gone = environment.inner_box.gone();
        tokio::spawn(async move {
            gone.await;
            drop(share);
        });
        let weak = Arc::downgrade(&environment);
        if !extensions.is_empty() {
            let ended = environment.inner_box.ended();
            tasks.push(tokio::spawn(watch_extensions(weak.clone(), ended, Arc::clone(&on_change))));
        }
        tasks.push(tokio::spawn(watch(weak.clone(), environment.inner_box.exited(), Arc::clone(&on_change))));
        tasks.push(tokio::spawn(freeze_when_idle(weak, freeze_after, on_change)));
        *environment.tasks.lock().unwrap_or_else(PoisonError::into_inner) = tasks;
        Ok((environment, init))
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether its credentials are good for another request.
    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        now < self.fresh_until
    }

    /// Makes it run. Must be called before it gets an event.
    pub(crate) fn wake(&self) {
        let mut gate = self.gate();
        gate.in_use = true;
        gate.since = Instant::now();
        if gate.frozen {
            gate.frozen = false;
            self.log.telemetry().set_awake(true);
            if let Err(error) = self.inner_box.thaw() {
                // Its process has ended meanwhile, most likely; the session says so to whoever offers an event.
                tracing::debug!(function = &*self.arn, %error, "thaw failed");
            }
        }
    }

    /// It has nothing to do from now on and may be frozen.
    pub(crate) fn rest(&self) {
        let mut gate = self.gate();
        gate.in_use = false;
        gate.since = Instant::now();
        if std::mem::take(&mut gate.freezer_waits) {
            self.idle.notify_one();
        }
    }

    /// The initialisation is over: from now on it has the CPU share of its memory size.
    pub(crate) fn end_of_init(&self) {
        let share = blueprint::cpu_millis(self.function.memory_mib);
        if let Err(error) = self.inner_box.set_cpu_millis(share) {
            tracing::debug!(function = &*self.arn, %error, "cpu share not set");
        }
    }

    /// The most memory it has used, in whole MiB, rounded up, after a request that took so long.
    pub(crate) fn peak_memory_mib(&self, took: Duration) -> u32 {
        let known = *self.peak.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = known.measured.is_some_and(|measured| measured.elapsed() < PEAK_AGE);
        if took < SHORT_REQUEST && is_fresh {
            return mebibytes(known.bytes);
        }
        if took < SHORT_REQUEST && known.weighed.is_some_and(|weighed| weighed.elapsed() < WEIGHT_AGE) {
            let peak_bytes = self.inner_box.peak_memory_bytes();
            return mebibytes(self.note_peak(peak_bytes, false));
        }
        mebibytes(self.measure())
    }

    /// Measures its memory and gives the peak in bytes. The peak is kept when the box can no longer be asked.
    fn measure(&self) -> u64 {
        let now = self.inner_box.memory();
        self.share.measured(now.current_bytes);
        self.note_peak(now.peak_bytes, true)
    }

    /// The highest peak there was, in bytes.
    fn note_peak(&self, bytes: u64, has_weight: bool) -> u64 {
        let mut peak = self.peak.lock().unwrap_or_else(PoisonError::into_inner);
        peak.bytes = peak.bytes.max(bytes);
        peak.measured = Some(Instant::now());
        if has_weight {
            peak.weighed = peak.measured;
        }
        peak.bytes
    }

    /// It has run a request to its end. True for the first one.
    pub(crate) fn has_run(&self) -> bool {
        self.share.has_run()
    }

    /// What it uses, and its peak, as they were measured last, in bytes.
    pub(crate) fn memory_bytes(&self) -> (u64, u64) {
        (self.share.used_bytes(), self.peak.lock().unwrap_or_else(PoisonError::into_inner).bytes)
    }

    /// Measures one that is busy for a longer time and may have grown; says whether it is.
    pub(crate) fn measure_if_busy(&self) -> bool {
        let (is_busy, lasted) = {
            let gate = self.gate();
            (gate.in_use && !gate.closed, gate.since.elapsed())
        };
        let is_due = is_busy && lasted > LONG_USE;
        if is_due {
            self.measure();
        }
        is_due
    }

    /// When `left` is over, in milliseconds since the epoch on the host's real clock: what processes inside compare
    /// with.
    pub(crate) fn real_deadline_ms(&self, left: Duration) -> i64 {
        let offset_ms = i64::try_from(self.clock.offset().as_millis()).unwrap_or(0);
        self.clock.now().after(left).as_millis() - offset_ms
    }

    /// Whether it can take a request: its runtime lives, and no extension has failed.
    pub(crate) fn is_well(&self) -> bool {
        let failed = self.has_extensions() && self.session.extensions.has_failed();
        !failed && !self.session.has_departed()
    }

    /// Whether there is an extension that could fail, or has to hear of invokes.
    pub(crate) fn has_extensions(&self) -> bool {
        self.session.extensions.hear_of_invokes() || self.session.extensions.external() > 0
    }

    /// Starts the runtime, which waited for the extensions.
    pub(crate) async fn start_runtime(&self) -> Result<(), NoBox> {
        let inner_box = Arc::clone(&self.inner_box);
        let started = tokio::task::spawn_blocking(move || inner_box.start_command()).await;
        let started = started.map_err(|error| InvokeError::Internal(error.to_string()))?;
        started.map_err(|error| blueprint::launch_failed(&self.function, &error))
    }

    /// SIGTERM, or SIGKILL by force, to the runtime.
    pub(crate) async fn signal_runtime(&self, force: bool) {
        let inner_box = Arc::clone(&self.inner_box);
        let signalled = tokio::task::spawn_blocking(move || inner_box.signal_command(force)).await;
        if let Ok(Err(error)) = signalled {
            tracing::debug!(function = &*self.arn, %error, "the runtime was not signalled");
        }
    }

    /// Waits for the end of the runtime.
    pub(crate) async fn runtime_ended(&self) {
        self.inner_box.exited().await;
    }

    /// Waits for the end of the last process.
    pub(crate) async fn gone(&self) {
        self.inner_box.gone().await;
    }

    /// A server that stops waits until this is dropped, for a while.
    pub(crate) fn hold(&self) -> Held {
        self.endings.hold()
    }

    /// It is not needed any more, or of no use: it ends, in the background if it has extensions that must be told.
    pub(crate) fn end(self: &Arc<Self>, reason: Reason) {
        if !self.session.extensions.any() {
            return self.kill();
        }
        let mut gate = self.gate();
        if std::mem::replace(&mut gate.closed, true) {
            return;
        }
        if std::mem::take(&mut gate.frozen)
            && let Err(error) = self.inner_box.thaw()
        {
            tracing::debug!(function = &*self.arn, %error, "thaw failed");
        }
        drop(gate);
        self.endings.begin(Arc::clone(self), reason);
    }

    /// Kills the box. Its tasks end with the last owner.
    pub(crate) fn kill(&self) {
        self.gate().closed = true;
        self.inner_box.kill();
    }

    /// Freezes it if it has been idle for `after`; says how long to wait otherwise.
    fn try_freeze(&self, after: Duration) -> Freeze {
        let mut gate = self.gate();
        let lasted = gate.since.elapsed();
        if gate.frozen || gate.closed || (gate.in_use && lasted > LONG_USE) {
            gate.freezer_waits = true;
            return Freeze::Wait;
        }
        if gate.in_use {
            return Freeze::In(after);
        }
        if lasted < after {
            return Freeze::In(after - lasted);
        }
        if !self.session.is_parked() {
            return Freeze::NotParked;
        }
        match self.inner_box.freeze() {
            Ok(()) => {
                gate.frozen = true;
                self.log.telemetry().set_awake(false);
            }
            Err(error) => {
                tracing::debug!(function = &*self.arn, %error, "freeze failed");
                gate.freezer_waits = true;
                return Freeze::Wait;
            }
        }
        Freeze::Done
    }
}

enum Freeze {
    Done,
    /// Until it is told.
    Wait,
    In(Duration),
    /// The runtime has answered but not asked for the next event yet.
    NotParked,
}

/// Bytes in whole MiB, rounded up.
pub(crate) fn mebibytes(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1024 * 1024)).unwrap_or(u32::MAX)
}

impl Pooled for Environment {
    fn wanted_by(&self) -> Wish<'_> {
        Wish { tenant: self.tenant.as_ref(), ..wish_of(&self.function) }
    }

    fn fresh_until(&self) -> Timestamp {
        self.fresh_until
    }

    fn share(&self) -> &Share {
        &self.share
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        self.inner_box.kill();
        self.log.telemetry().stop();
        for task in self.tasks.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
    }
}

/// Who hears of changes.
pub(crate) type OnChange = Arc<dyn Fn(&Arc<Environment>, Change) + Send + Sync>;

/// Tells the session, and the fleet, when the box ends.
async fn watch(
    environment: Weak<Environment>,
    exited: super::boxes::Later<runtime_api::Departure>,
    on_change: OnChange,
) {
    let departure = exited.await;
    let Some(environment) = environment.upgrade() else { return };
    environment.session.depart(departure);
    on_change(&environment, Change::Died);
    let session = Arc::clone(&environment.session);
    drop(environment);
    tokio::time::sleep(LAST_CONNECTION).await;
    session.settle();
}

/// Tells the session of the ends of extensions, and the fleet of those that nobody asked for.
async fn watch_extensions(
    environment: Weak<Environment>,
    mut ended: watch::Receiver<sandbox::Ended>,
    on_change: OnChange,
) {
    let mut told = 0;
    loop {
        let all = ended.borrow_and_update().companions.clone();
        let Some(environment) = environment.upgrade() else { return };
        for (at, end) in all.iter().skip(told) {
            environment.session.extensions.ended(*at, invoke::exit_words(end.code, end.signal));
        }
        if all.len() > told {
            told = all.len();
            on_change(&environment, Change::Died);
        }
        drop(environment);
        if ended.changed().await.is_err() {
            return;
        }
    }
}

/// What extensions are told of the function.
fn about(function: &FunctionConfig) -> About {
    About {
        name: function.name.clone(),
        version: function.version.clone(),
        handler: function.handler.clone().unwrap_or_default(),
        account: function.account.to_string(),
    }
}

/// Freezes the environment a moment after it became idle. The moment spares a busy function the freezing and thawing
/// between two requests. While it waits it keeps nothing of the environment alive.
async fn freeze_when_idle(weak: Weak<Environment>, after: Duration, on_change: OnChange) {
    // While requests come all the time it looks less and less often.
    let mut looks: u32 = 0;
    loop {
        let Some(environment) = weak.upgrade() else { return };
        let next = environment.try_freeze(after);
        let (idle, session) = (Arc::clone(&environment.idle), Arc::clone(&environment.session));
        if let Freeze::Done = next {
            environment.measure();
            on_change(&environment, Change::Measured);
        }
        drop(environment);
        match next {
            Freeze::Wait => idle.notified().await,
            Freeze::Done => looks = 0,
            Freeze::In(left) => {
                tokio::time::sleep(left.saturating_mul(looks.clamp(1, MAX_BACK_OFF))).await;
                looks = looks.saturating_add(1);
            }
            Freeze::NotParked => {
                session.parked().await;
                if session.has_departed() {
                    return;
                }
            }
        }
    }
}

//! The fleet: execution environments, started when needed, reused, frozen, retired.
//!
//! [`Fleet::invoke`] counts the request against the account, takes the most recently used idle environment of exactly
//! the function's generation or starts a new one at once, and runs the request in it. Launches run side by side; no
//! lock is held across one. `pool` decides who may run where, `environment` is one box with its runtime, `blueprint`
//! says what a box is made from, `log_sink` carries what functions write. The life of one request is `invoke::run`.
//!
//! How many may run at a time is `admission`'s, and `keeper` starts the provisioned ones ahead. How much memory they may
//! have is `ledger`'s, from what `host_memory` reads; `overseer` looks at it, and lets those in who wait for room.
//!
//! An environment with extensions ends in the background: `ending`.
//!
//! `snapshots` takes images of versions with SnapStart, from which their environments are restored.
//!
//! Life cycle: <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html>.
//! Scaling: <https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html>.
//!
//! **Invariant:** an environment only ever runs one generation of one function, one request at a time.

mod admission;
mod blueprint;
mod boxes;
mod credentials;
mod ending;
mod env_log;
mod environ;
mod environment;
mod generic;
pub mod host_memory;
mod images;
mod keeper;
mod ledger;
mod log_lines;
mod log_sink;
mod log_store;
mod opt_extensions;
mod overseer;
mod pool;
mod snapshots;
mod stock;
mod telemetry;
mod ticket;
mod worker;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use base::{Clock, Timestamp};
use frontdoor::FrontDoorHandle;
use runtimes::RuntimeMap;
use sandbox::{BoxSpec, Sandbox};
use tokio::sync::oneshot;

pub(crate) use blueprint::{NoBox, Prepared};
pub(crate) use boxes::Later;
pub(crate) use ending::Reason;
pub(crate) use environment::{Environment, mebibytes};
pub use generic::ImageStarts;
pub(crate) use images::ImageFile;
pub(crate) use ledger::Share;
pub use log_sink::LogSink;
pub(crate) use log_sink::{LogStream, StreamName};
pub use overseer::FleetStatus;
pub(crate) use snapshots::ImagePipe;
pub use stock::{StockLimits, WorkersStatus};
pub(crate) use ticket::{Orphan, Ticket, Turn};

use self::blueprint::Workshop;
use self::boxes::{EnvBox, Launcher};
use self::credentials::CredentialCache;
use self::ending::Endings;
use self::environment::{Change, Parts, Starting};
use self::generic::Generic;
use self::host_memory::MemorySource;
use self::images::Images;
use self::keeper::Keeper;
use self::ledger::Ledger;
use self::overseer::{Overseer, Spare};
use self::pool::{Pool, PoolLimits};
use self::snapshots::{Snapshots, Vendor};
use self::stock::Stock;
use self::worker::Unusual;
use crate::capacity::{Capacity, ProvisionedState};
use crate::function::FunctionConfig;
use crate::invoke::report::InitPhase;
use crate::invoke::trace::{Sampler, Trace};
use crate::invoke::{self, Invocation, InvokeError, Opened, Outcome, Sink, Streaming};
use crate::invoker::{Invoker, Invoking, Opening, Snapshotting};
use crate::metering::Meter;
use crate::runtime_api::Departure;
use crate::runtime_api::restore::{Snap, SnapRole};

/// Serves the platform's API into a box, on a listener that is bound inside it.
pub trait BoxGateway: Send + Sync {
    /// Serves `listener` for the function until the handle is aborted.
    fn serve(&self, listener: tokio::net::TcpListener, function_arn: Arc<str>)
    -> tokio::task::JoinHandle<()>;
}

/// What a fleet is built from.
pub struct FleetDeps {
    /// Starts boxes. Without one every invoke answers with a clear error.
    pub sandbox: Option<Sandbox>,
    /// The platform's time.
    pub clock: Clock,
    /// For the credentials of roles.
    pub front_door: FrontDoorHandle,
    /// Where logs go.
    pub logs: LogSink,
    /// Which runtimes are served by another one's interpreter.
    pub runtime_map: RuntimeMap,
    /// A directory of the fleet's own: the runtime clients are unpacked into it.
    pub runtimes_dir: PathBuf,
    /// A directory of the fleet's own for process images, from which environments start. `None`: every start is plain.
    pub images_dir: Option<PathBuf>,
    /// Serves the platform's API into boxes.
    pub gateway: Arc<dyn BoxGateway>,
    /// The port of the platform's API, the same inside a box as outside.
    pub gateway_port: u16,
    /// The most invokes that run at a time per account and region; AWS's default is 1,000.
    pub account_concurrency: u32,
    /// The host's own limits.
    pub limits: FleetLimits,
    /// How much memory the host has.
    pub memory: Arc<dyn MemorySource>,
}

/// Limits that are not AWS's but the host's.
#[derive(Clone, Copy, Debug)]
pub struct FleetLimits {
    /// The most environments at a time, idle ones included. Beyond, the longest idle one goes; when all are busy an
    /// invoke waits.
    pub max_environments: usize,
    /// How much memory all environments together may use, in bytes, if that is less than the host has.
    pub memory_budget_bytes: Option<u64>,
    /// How long an invoke waits for room before it is throttled, unless its function's own limit is shorter. By real
    /// time.
    pub wait_limit: Duration,
    /// The most invokes that wait. 0: none does.
    pub max_waiting: usize,
    /// An environment idle for longer goes; earlier when memory is short. By the platform's clock.
    pub idle_timeout: Duration,
    /// When the idle environments together use more memory, the longest idle ones go. In bytes.
    pub idle_memory_bytes: u64,
    /// How long after a request an environment is frozen, unless the next one comes first. By real time.
    pub freeze_after: Duration,
    /// How long an initialisation may take; AWS's limit is 10 seconds. By real time.
    pub init_timeout: Duration,
    /// Workers that are booted before anybody needs them.
    pub stock: StockLimits,
}

impl Default for FleetLimits {
    fn default() -> Self {
        FleetLimits {
            max_environments: 1000,
            idle_timeout: Duration::from_secs(600),
            memory_budget_bytes: None,
            wait_limit: Duration::from_secs(10),
            max_waiting: 1000,
            idle_memory_bytes: host_memory::HostMemory::total_bytes() / 2,
            freeze_after: Duration::from_millis(10),
            init_timeout: Duration::from_secs(10),
            stock: StockLimits::for_host(host_memory::HostMemory::total_bytes()),
        }
    }
}

/// How an environment is started.
pub(crate) struct Start<'a> {
    pub(crate) phase: InitPhase,
    /// From this image of the function.
    pub(crate) image: Option<&'a ImageFile>,
    /// As a template, whose image comes out there.
    pub(crate) image_pipe: Option<ImagePipe>,
}

/// For whom an environment is started.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whose<'a> {
    /// For an invoke, of this tenant if the function isolates tenants.
    Invoke { tenant: Option<&'a Arc<str>> },
    /// For nobody yet: it is provisioned.
    Nobody,
}

impl<'a> Whose<'a> {
    fn tenant(self) -> Option<&'a Arc<str>> {
        match self {
            Whose::Invoke { tenant } => tenant,
            Whose::Nobody => None,
        }
    }

    /// What is started ahead shall not have to be replaced as soon as it is there.
    fn credentials_good_for(self) -> Duration {
        match self {
            Whose::Invoke { .. } => Duration::ZERO,
            Whose::Nobody => 2 * keeper::REPLACE_AHEAD,
        }
    }
}

/// All execution environments. Cheap to clone.
#[derive(Clone)]
pub struct Fleet {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (environments, idle) = self.inner.pool().count();
        f.debug_struct("Fleet")
            .field("environments", &environments)
            .field("idle", &idle)
            .finish_non_exhaustive()
    }
}

pub(crate) struct Inner {
    launcher: Option<Arc<dyn Launcher>>,
    clock: Clock,
    logs: LogSink,
    workshop: Arc<Workshop>,
    credentials: CredentialCache,
    gateway: Arc<dyn BoxGateway>,
    limits: FleetLimits,
    pool: Mutex<Pool<Environment>>,
    ledger: Arc<Ledger>,
    overseer: Overseer,
    keeper: Arc<Keeper>,
    meter: Arc<Meter>,
    snapshots: Arc<Snapshots>,
    next_box: AtomicU64,
    closing: AtomicBool,
    sampler: Sampler,
    endings: Endings,
    /// `None`: every start is a plain one.
    stock: Option<Arc<Stock>>,
}

impl Fleet {
    /// A fleet without environments. Needs a Tokio runtime.
    #[must_use]
    pub fn new(deps: FleetDeps) -> Self {
        let launcher = deps.sandbox.clone().map(|sandbox| Arc::new(sandbox) as Arc<dyn Launcher>);
        Self::with_launcher(deps, launcher)
    }

    pub(crate) fn with_launcher(deps: FleetDeps, launcher: Option<Arc<dyn Launcher>>) -> Self {
        let limits = PoolLimits {
            account_concurrency: deps.account_concurrency,
            max_environments: deps.limits.max_environments,
            idle_memory_bytes: deps.limits.idle_memory_bytes,
            max_waiting: deps.limits.max_waiting,
        };
        let ledger = Ledger::new(deps.limits.memory_budget_bytes);
        let pool = Pool::new(limits, Arc::clone(&ledger));
        let images = deps.images_dir.clone().map(|dir| Arc::new(Images::new(dir)));
        let generic = match (&images, &launcher) {
            (Some(images), Some(launcher)) => {
                Some(Arc::new(Generic::new(Arc::clone(images), Arc::clone(launcher))))
            }
            _ => None,
        };
        let snapshots = Arc::new(Snapshots::new(images.zip(deps.images_dir)));
        let stock = launcher.as_ref().and_then(|launcher| {
            let dir = deps.runtimes_dir.join("stock");
            Stock::start(Arc::clone(launcher), deps.clock.clone(), deps.limits.stock, &dir)
        });
        let workshop = Workshop::new(deps.runtime_map, deps.runtimes_dir, deps.gateway_port, generic);
        let inner = Arc::new(Inner {
            launcher,
            stock,
            credentials: CredentialCache::new(deps.front_door, deps.clock.clone()),
            clock: deps.clock,
            logs: deps.logs,
            workshop: Arc::new(workshop),
            gateway: deps.gateway,
            limits: deps.limits,
            pool: Mutex::new(pool),
            overseer: Overseer::new(deps.memory),
            ledger,
            keeper: Arc::new(Keeper::new()),
            meter: Arc::default(),
            snapshots,
            next_box: AtomicU64::new(1),
            closing: AtomicBool::new(false),
            sampler: Sampler::default(),
            endings: Endings::default(),
        });
        tokio::spawn(reap(Arc::downgrade(&inner), inner.clock.clone(), inner.limits.idle_timeout));
        tokio::spawn(keeper::keep(Arc::downgrade(&inner), inner.clock.clone()));
        if let Some(stock) = &inner.stock {
            let stock: Arc<dyn Spare> = Arc::clone(stock) as Arc<dyn Spare>;
            inner.add_spare(Arc::downgrade(&stock));
        }
        inner.look_at_memory();
        tokio::spawn(overseer::watch_memory(Arc::downgrade(&inner)));
        tokio::spawn(overseer::let_in(Arc::downgrade(&inner), Arc::clone(&inner.ledger)));
        Fleet { inner }
    }

    /// Runs the function once. Dropping the returned future cuts the request off and kills its environment; the front
    /// door never does that to a handler.
    ///
    /// # Errors
    /// Why the function was not run. A function that failed is an [`Outcome`] with `function_error`.
    pub async fn invoke(
        &self,
        function: Arc<FunctionConfig>,
        invocation: Invocation,
    ) -> Result<Outcome, InvokeError> {
        let (ticket, turn) = Ticket::enter(&self.inner, function, &invocation)?;
        invoke::run(ticket, turn, invocation, &mut Sink::Whole).await
    }

    /// Runs the function once and gives its answer as it comes. The function runs to its end whoever drops what.
    ///
    /// # Errors
    /// Why the function was not run.
    pub async fn invoke_streaming(
        &self,
        function: Arc<FunctionConfig>,
        invocation: Invocation,
    ) -> Result<Streaming, InvokeError> {
        let (ticket, turn) = Ticket::enter(&self.inner, function, &invocation)?;
        let (caller, opened) = oneshot::channel();
        let (finish, done) = oneshot::channel();
        let running = tokio::spawn(async move {
            let mut sink = Sink::Caller(caller);
            let result = invoke::run(ticket, turn, invocation, &mut sink).await;
            match (sink, result) {
                // Only a function that was run has answered.
                (Sink::Open, Ok(outcome)) => finish.send(outcome).map_err(Ok).err(),
                (_, result) => Some(result),
            }
        });
        if let Ok(Opened { content_type, chunks }) = opened.await {
            return Ok(Streaming { content_type, chunks, done });
        }
        match running.await {
            Ok(Some(result)) => result.map(Streaming::whole),
            Ok(None) => Err(InvokeError::Internal("a stream ended before it began".to_owned())),
            Err(error) => Err(InvokeError::Internal(error.to_string())),
        }
    }

    /// Lets go of every environment of the version with this key older than `before_generation`: idle ones at once, busy ones
    /// after their request.
    pub fn retire(&self, key: &str, before_generation: u64) {
        let gone = self.inner.pool().retire(key, before_generation);
        kill_all(&gone);
    }

    /// Where the record of every invocation goes.
    #[must_use]
    pub fn meter(&self) -> &Arc<Meter> {
        &self.inner.meter
    }

    /// Kills every environment and writes out the logs. Requests that still run fail.
    pub async fn shutdown(&self) {
        self.inner.closing.store(true, Ordering::Release);
        let gone = self.inner.pool().close();
        kill_all(&gone);
        drop(gone);
        if let Some(stock) = &self.inner.stock {
            stock.close();
        }
        self.inner.endings.settled().await;
        self.inner.logs.flush().await;
    }
}

impl Invoker for Fleet {
    fn invoke(&self, function: Arc<FunctionConfig>, invocation: Invocation) -> Invoking<'_> {
        Box::pin(Fleet::invoke(self, function, invocation))
    }

    fn invoke_streaming(&self, function: Arc<FunctionConfig>, invocation: Invocation) -> Opening<'_> {
        Box::pin(Fleet::invoke_streaming(self, function, invocation))
    }

    fn retire(&self, key: &str, before_generation: u64) {
        Fleet::retire(self, key, before_generation);
    }

    fn foresee(&self, function: Arc<FunctionConfig>) {
        let inner = Arc::clone(&self.inner);
        // Why it cannot be prepared, whoever invokes it will hear.
        tokio::spawn(async move {
            let Ok(prepared) = inner.prepare(&function).await else { return };
            let kind = prepared.worker_kind(&function, inner.workshop.gateway_port);
            if let (Some(stock), Ok(kind)) = (&inner.stock, kind) {
                stock.expect(kind);
            }
        });
    }

    fn set_capacity(&self, capacity: Capacity) {
        self.inner.set_capacity(&capacity);
    }

    fn provisioned_state(&self, key: &str) -> ProvisionedState {
        self.inner.provisioned_state(key)
    }

    fn make_snapshot(&self, function: Arc<FunctionConfig>) -> Snapshotting<'_> {
        Box::pin(async move { self.inner.make_snapshot(&function).await })
    }

    fn forget_snapshot(&self, key: &str) {
        self.inner.snapshots.forget(key);
    }

    fn keep_snapshots(&self, functions: Vec<Arc<FunctionConfig>>) {
        self.inner.keep_snapshots(functions);
    }
}

fn kill_all(environments: &[Arc<Environment>]) {
    for environment in environments {
        environment.end(Reason::Spindown);
    }
}

impl Inner {
    pub(crate) fn pool(&self) -> MutexGuard<'_, Pool<Environment>> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The trace of a request whose caller sent this header.
    pub(crate) fn trace_of(&self, function: &FunctionConfig, caller: Option<&str>) -> Trace {
        let now = self.clock.now();
        let decide = || self.sampler.decide(&function.key, now);
        Trace::of_request(caller, &function.arn, function.tracing_mode, now, decide)
    }

    pub(crate) fn keeper(&self) -> &Arc<Keeper> {
        &self.keeper
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    pub(crate) fn limits(&self) -> &FleetLimits {
        &self.limits
    }

    /// A new log stream of the function, named as AWS names them.
    pub(crate) fn new_log_stream(&self, function: &FunctionConfig) -> (String, LogStream) {
        let (year, month, day, ..) = self.clock.now().civil();
        let id = uuid::Uuid::new_v4().simple();
        // In a group that other functions may share, its streams say whose they are.
        let is_own = function.log_group.strip_prefix("/aws/lambda/") == Some(&function.name);
        let name = if is_own { "" } else { &function.name };
        let stream = format!("{year:04}/{month:02}/{day:02}/{name}[{}]{id}", function.version);
        let name = StreamName {
            account: function.account,
            region: function.region.clone(),
            group: function.log_group.clone(),
            stream: stream.clone(),
        };
        (stream, self.logs.stream(name))
    }

    pub(crate) async fn prepare(&self, function: &Arc<FunctionConfig>) -> Result<Prepared, NoBox> {
        self.workshop.prepare(function).await
    }

    /// A process started as `prepared` says has ended before its first event: whether the function shall be started
    /// again, plainly, because it may be the fault of an image.
    pub(crate) fn blame(&self, prepared: &Prepared, function: &FunctionConfig, end: &Departure) -> bool {
        self.workshop.blame(prepared, function, end)
    }

    fn next_box_id(&self) -> String {
        format!("fn-{}", self.next_box.fetch_add(1, Ordering::Relaxed))
    }

    /// Starts an environment. Its initialisation goes on when this returns.
    pub(crate) async fn launch(
        self: &Arc<Self>,
        function: &Arc<FunctionConfig>,
        prepared: &Prepared,
        log: &(String, LogStream),
        whose: Whose<'_>,
        start: Start<'_>,
        share: Arc<Share>,
    ) -> Result<Starting, NoBox> {
        if self.closing.load(Ordering::Acquire) {
            return Err(InvokeError::ShuttingDown.into());
        }
        let launcher = self.launcher.as_ref().ok_or(InvokeError::SandboxUnavailable)?;
        let credentials = self.credentials.get(function, whose.credentials_good_for()).await?;
        let id = self.next_box_id();
        self.workshop.count(prepared);
        let mut spec = prepared.spec(function, id, &credentials, &log.0, self.workshop.gateway_port);
        if let Whose::Nobody = whose {
            environ::set(&mut spec.env, "AWS_LAMBDA_INITIALIZATION_TYPE", "provisioned-concurrency");
        }
        let mut fresh_until = credentials.fresh_until();
        let mut snap = Snap::default();
        if snapshots::is_snap_start(function, prepared) {
            self.snapshots.adapt(function, &mut spec.env);
            snap.role = if start.image_pipe.is_some() { SnapRole::Template } else { SnapRole::Instance };
            snap.vendor = Some(Vendor::new(self, function, start.image_pipe.is_some()));
            // Its SDKs ask for newer ones.
            fresh_until = Timestamp(i64::MAX);
        }
        if start.image_pipe.is_some() {
            prepared.without_image(function, &mut spec);
            snapshots::as_template(&mut spec.env);
        }
        if let Some(image) = start.image {
            prepared.without_image(function, &mut spec);
            let (mounts, command) = image.shown();
            spec.mounts.extend(mounts);
            spec.command = command;
        }
        // What failed once is tried as plainly as can be.
        let is_plain =
            start.image.is_some() || start.image_pipe.is_some() || start.phase == InitPhase::Invoke;
        let bound = if is_plain { None } else { self.bind_worker(function, prepared, &spec).await };
        let inner_box = match bound {
            Some(bound) => bound,
            None => launcher.launch(spec).await.map_err(|e| blueprint::launch_failed(function, &e))?,
        };
        let fleet = Arc::downgrade(self);
        let starting = Environment::start(Parts {
            function: Arc::clone(function),
            tenant: whose.tenant().cloned(),
            inner_box,
            log_stream: log.1.clone(),
            frames_in_output: environ::frames_in_output(prepared.language()),
            clock: self.clock.clone(),
            fresh_until,
            gateway: Arc::clone(&self.gateway),
            freeze_after: self.limits.freeze_after,
            extensions: prepared.extensions().to_vec(),
            endings: self.endings.clone(),
            phase: start.phase,
            snap,
            image_pipe: start.image_pipe,
            share,
            on_change: Arc::new(move |environment, change| {
                if let Some(fleet) = fleet.upgrade() {
                    fleet.on_change(environment, change);
                }
            }),
        })
        .map_err(|error| InvokeError::LaunchFailed(error.to_string()))?;
        self.overseer.has_come(&starting.0);
        Ok(starting)
    }

    /// A waiting worker, if the function may have one and one waits.
    async fn bind_worker(
        &self,
        function: &FunctionConfig,
        prepared: &Prepared,
        spec: &BoxSpec,
    ) -> Option<Box<dyn EnvBox>> {
        let stock = self.stock.as_ref()?;
        match prepared.worker_kind(function, self.workshop.gateway_port) {
            Ok(kind) => stock.bind(kind, spec).await,
            Err(Unusual::Language) => None,
            Err(why) => {
                stock.counts().unusual.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(function = &*function.key, %why, "a plain start");
                None
            }
        }
    }

    fn on_change(&self, environment: &Arc<Environment>, change: Change) {
        // What is taken out is dropped after the lock.
        let gone = match change {
            Change::Died => {
                let gone = self.pool().remove(environment);
                // It may have been a provisioned one.
                self.keeper.look();
                gone.into_iter().collect()
            }
            Change::Measured => {
                let (used_bytes, peak_bytes) = environment.memory_bytes();
                let mut pool = self.pool();
                pool.measured(environment, used_bytes, peak_bytes);
                pool.shrink_to_budget()
            }
        };
        kill_all(&gone);
    }
}

/// Kills what has been idle for too long, by the platform's clock.
async fn reap(fleet: Weak<Inner>, clock: Clock, idle_timeout: Duration) {
    let step = (idle_timeout / 10).clamp(Duration::from_millis(100), Duration::from_secs(30));
    loop {
        clock.sleep_until(clock.now().after(step)).await;
        let Some(fleet) = fleet.upgrade() else { return };
        let idle_ms = i64::try_from(idle_timeout.as_millis()).unwrap_or(i64::MAX);
        let now = clock.now();
        let limit = Timestamp(now.as_millis().saturating_sub(idle_ms));
        let gone = fleet.pool().expire(limit, now);
        kill_all(&gone);
    }
}

#[cfg(test)]
mod capacity_tests;
#[cfg(test)]
mod extension_tests;
#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod generic_tests;
#[cfg(test)]
mod stock_tests;
#[cfg(test)]
mod streaming_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod waiting_tests;

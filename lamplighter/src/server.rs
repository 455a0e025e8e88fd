//! Assembly: store, services, front door, sandbox and gateway put together and served on one port.
//!
//! It holds no behaviour of its own. Whoever wants to know what the platform consists of reads [`assemble`].

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use base::Clock;
use frontdoor::{FrontDoor, FrontDoorHandle};
use gateway::{AuthMode, Downloads, Gateway, GatewayConfig, SourceKind};
use sandbox::{Sandbox, SandboxConfig, SandboxError};
use service_delivery::Delivery;
use service_lambda::fleet::host_memory::HostMemory;
use service_lambda::fleet::{BoxGateway, Fleet, FleetDeps, FleetLimits, LogSink, StockLimits};
use service_lambda::{AccountLimits, FunctionUrls, Lambda, LambdaDeps};
use service_logs::{Logs, LogsDeps};
use service_sns::{Certificates, Sns, SnsDeps};
use service_sources::Sources;
use service_sqs::{Sqs, SqsDeps};
use service_sts::{Sts, StsDeps};
use store::{BlobStore, EngineKind, Store, StoreConfig, StoreError};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::{Auth, Settings, StoreEngine, Switch};

/// The kind of download that a function's package is.
const PACKAGES: &str = "package";
/// How often unused blobs are looked for: by far more than any upload takes from its blob to its commit.
const SWEEP_EVERY: Duration = Duration::from_secs(30 * 60);
/// How long background work may take to finish when the server stops.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Why the server did not start: one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The address cannot be listened on.
    #[error("{address} cannot be listened on: {cause}{}", hint(.cause))]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// The system's reason.
        cause: io::Error,
    },
    /// The data directory cannot be made.
    #[error("the data directory {} cannot be used: {cause}; choose another with --data DIR", .dir.display())]
    Data {
        /// The directory.
        dir: PathBuf,
        /// The system's reason.
        cause: io::Error,
    },
    /// The store did not open.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A service did not start.
    #[error("{0}")]
    Service(String),
}

fn hint(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::AddrInUse => " (another program has it; stop it, or choose another with --listen)",
        io::ErrorKind::PermissionDenied => " (choose a port above 1023 with --listen)",
        _ => "",
    }
}

/// A running server.
pub(crate) struct Server {
    address: SocketAddr,
    front_door: FrontDoor,
    gateway: Gateway,
    fleet: Fleet,
    lambda: Arc<Lambda>,
    sns: Arc<Sns>,
    sqs: Arc<Sqs>,
    sandbox: Option<Sandbox>,
    logs_stop: watch::Sender<bool>,
    logs_worker: JoinHandle<()>,
    warnings: Vec<String>,
}

impl Server {
    /// Starts everything and listens.
    pub(crate) async fn start(settings: Settings) -> Result<Server, StartError> {
        trace(&settings.log);
        raise_file_limit();
        // Boxes have other users: what is made for them must be readable whatever the caller's mask. What is nobody
        // else's business lies in folders that are the server's alone.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        // The port comes first: it tells two servers apart before either touches data.
        let listen = |cause| StartError::Listen { address: settings.listen, cause };
        let listener = TcpListener::bind(settings.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        make_data_dir(&settings.data)?;
        // Side by side: the one waits for the disk, the other for a process.
        let (store, sandbox) = tokio::join!(open_store(&settings), sandbox(&settings));
        let (store, blobs) = store?;
        let (sandbox, warnings) = sandbox?;
        let parts = Parts {
            store,
            blobs,
            sandbox: sandbox.clone(),
            clock: Clock::system(),
            settings: settings.clone(),
            address,
        };
        let assembled = assemble(parts).await?;
        assembled.lambda.start_events().map_err(|error| StartError::Service(error.to_string()))?;
        assembled.sqs.start().await.map_err(|error| StartError::Service(error.to_string()))?;
        assembled.sns.start()?;
        assembled.gateway.serve(listener, SourceKind::Outside);
        let (logs_stop, stopped) = watch::channel(false);
        let logs_worker = tokio::spawn(assembled.logs.run_worker(stopped));
        Ok(Server {
            address,
            front_door: assembled.front_door,
            gateway: assembled.gateway,
            fleet: assembled.fleet,
            lambda: assembled.lambda,
            sns: assembled.sns,
            sqs: assembled.sqs,
            sandbox,
            logs_stop,
            logs_worker,
            warnings,
        })
    }

    /// Where clients reach it.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The way in for callers in this process.
    pub(crate) fn front_door(&self) -> &FrontDoor {
        &self.front_door
    }

    /// What the operator should know, such as missing protections.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Stops in order: no new requests, running functions end, logs are written, boxes go.
    pub(crate) async fn stop(self) {
        let ordered = async {
            // What feeds functions ends first: where there is nothing to wait for any more it would ask on and on.
            let feeding = self.lambda.stop_events();
            let serving = async {
                // Who waits for messages would wait on.
                self.sqs.stop();
                self.gateway.shutdown().await;
            };
            tokio::join!(biased; feeding, serving);
            self.sns.stop().await;
            self.fleet.shutdown().await;
            let _ = self.logs_stop.send(true); // the worker may have ended already
            let _ = self.logs_worker.await;
            if let Some(sandbox) = &self.sandbox {
                sandbox.shutdown().await;
            }
        };
        if tokio::time::timeout(STOP_LIMIT, ordered).await.is_err() {
            tracing::warn!(limit = ?STOP_LIMIT, "stopping took too long; what is left is cut off");
        }
    }
}

async fn open_store(settings: &Settings) -> Result<(Store, BlobStore), StartError> {
    let (kind, data) = (engine(settings.store), settings.data.clone());
    let opened = tokio::task::spawn_blocking(move || {
        let store = Store::open(StoreConfig { engine: kind, dir: data.join("store") })?;
        Ok((store, BlobStore::open(data.join("blobs"))?))
    });
    opened.await.map_err(|error| StartError::Service(error.to_string()))?
}

/// What [`assemble`] puts together.
struct Parts {
    store: Store,
    blobs: BlobStore,
    sandbox: Option<Sandbox>,
    clock: Clock,
    settings: Settings,
    address: SocketAddr,
}

struct Assembled {
    front_door: FrontDoor,
    gateway: Gateway,
    fleet: Fleet,
    lambda: Arc<Lambda>,
    logs: Arc<Logs>,
    sns: Arc<Sns>,
    sqs: Arc<Sqs>,
}

/// The platform: every service, the front door before them, the gateway before that.
async fn assemble(parts: Parts) -> Result<Assembled, StartError> {
    let Parts { store, blobs, sandbox, clock, settings, address } = parts;
    let endpoint = format!("http://{address}");
    let failed = |error: &dyn std::fmt::Display| StartError::Service(error.to_string());
    let handle = FrontDoorHandle::new();
    let downloads = Downloads::new(clock.clone(), endpoint.clone()).map_err(|e| failed(&e))?;
    let sts =
        Sts::new(StsDeps { store: store.clone(), clock: clock.clone() }).await.map_err(|e| failed(&e))?;
    let logs = Logs::new(LogsDeps { store: store.clone(), clock: clock.clone() });
    let sqs = Sqs::new(SqsDeps { store: store.clone(), clock: clock.clone(), endpoint: endpoint.clone() });
    let sns = Sns::new(SnsDeps {
        store: store.clone(),
        clock: clock.clone(),
        delivery: Delivery::new(handle.clone()),
        endpoint: endpoint.clone(),
    });
    let iam = service_iam::Iam::new(service_iam::IamDeps { store: store.clone(), clock: clock.clone() });
    let boxes = Arc::new(GatewayOfBoxes::default());
    let fleet = Fleet::new(FleetDeps {
        sandbox,
        clock: clock.clone(),
        front_door: handle.clone(),
        logs: LogSink::new(handle.clone(), clock.clone()),
        runtime_map: settings.runtime_map.clone(),
        runtimes_dir: settings.data.join("runtimes"),
        images_dir: (settings.images == Switch::On).then(|| settings.data.join("images")),
        gateway: boxes.clone(),
        gateway_port: address.port(),
        account_concurrency: settings.account_concurrency,
        limits: match settings.stock {
            Switch::On => settings.fleet,
            Switch::Off => FleetLimits { stock: StockLimits::OFF, ..settings.fleet },
        },
        memory: Arc::new(HostMemory::new()),
    });
    let lambda = Lambda::new(LambdaDeps {
        store,
        blobs: blobs.clone(),
        invoker: Arc::new(fleet.clone()),
        delivery: Delivery::new(handle.clone()),
        sources: Sources::new(handle.clone()),
        clock: clock.clone(),
        data_dir: settings.data.clone(),
        runtimes: service_lambda::host_runtimes(settings.runtime_map.clone()),
        limits: AccountLimits {
            concurrent_executions: settings.account_concurrency,
            ..AccountLimits::default()
        },
        access_points: settings.access_points.clone(),
        code_url: Some(Arc::new({
            let downloads = downloads.clone();
            move |digest: &str| downloads.url(PACKAGES, digest)
        })),
        gateway_port: address.port(),
    })
    .map_err(|e| failed(&e))?;
    downloads.offer(PACKAGES, {
        let lambda = Arc::downgrade(&lambda);
        move |digest| lambda.upgrade()?.zip_path(digest).ok()?
    });
    tokio::spawn(lambda.clone().run_sweeper());
    tokio::spawn(sweep_blobs(blobs, Arc::downgrade(&lambda)));
    let urls = FunctionUrls::new(lambda.clone(), handle.clone());
    let front_door = FrontDoor::builder(clock.clone())
        .add(service_sts::service(sts.clone()))
        .add(service_iam::service(iam))
        .add(service_logs::service(logs.clone()))
        .add(service_lambda::service(lambda.clone()))
        .add(service_sns::service(sns.clone()))
        .add(service_sqs::service(sqs.clone()))
        .handle(&handle)
        .build();
    let mut config = GatewayConfig::new(auth(settings.auth), settings.region.clone(), clock);
    config.downloads = Some(downloads);
    config.sites = vec![Arc::new(urls), Arc::new(Certificates::new(sns.clone()))];
    let gateway = Gateway::new(front_door.clone(), sts, config);
    // Set once, here: the boxes that use it cannot exist before.
    let _ = boxes.0.set(gateway.clone());
    crate::records::offer(&gateway, &fleet, &lambda);
    crate::outbox::offer(&gateway, &sns, settings.region.clone());
    crate::queues::offer(&gateway, &sqs, &settings.region);
    crate::topics::offer(&gateway, &sns);
    // After what its environments need is there, and before the first request.
    lambda.restore_capacity().await.map_err(|e| failed(&e))?;
    lambda.restore_snapshots().await.map_err(|e| failed(&e))?;
    Ok(Assembled { front_door, gateway, fleet, lambda, logs, sns, sqs })
}

/// Removes blobs that no service names: what an upload left that was cut off before its commit. Every service that
/// puts blobs has its part in the live set. Ends with the service.
async fn sweep_blobs(blobs: BlobStore, lambda: Weak<Lambda>) {
    let mut ticks = tokio::time::interval(SWEEP_EVERY);
    loop {
        ticks.tick().await;
        let Some(lambda) = lambda.upgrade() else { return };
        let live = match lambda.live_blobs() {
            Ok(live) => live.into_iter().collect(),
            Err(error) => {
                tracing::warn!(%error, "blobs are not swept: the live ones are not known");
                continue;
            }
        };
        match blobs.sweep(live).await {
            Ok(swept) => tracing::debug!(removed = swept.removed, bytes = swept.removed_bytes, "blobs swept"),
            Err(error) => tracing::warn!(%error, "blobs could not be swept"),
        }
    }
}

/// The front door over an empty store in memory, for the pages that are made from its tables.
pub(crate) async fn for_documentation() -> Result<FrontDoor, StartError> {
    let dir = tempfile::tempdir().map_err(|cause| StartError::Data { dir: std::env::temp_dir(), cause })?;
    let parts = Parts {
        store: Store::in_memory()?,
        blobs: BlobStore::open(dir.path().join("blobs"))?,
        sandbox: None,
        clock: Clock::system(),
        settings: Settings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data: dir.path().to_owned(),
            auth: Auth::Audit,
            store: StoreEngine::Fjall,
            runtime_map: runtimes::RuntimeMap::default(),
            access_points: service_lambda::AccessPoints::default(),
            region: base::Region::default(),
            account_concurrency: 1000,
            fleet: FleetLimits::default(),
            images: Switch::Off,
            stock: Switch::Off,
            log: "off".to_owned(),
        },
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
    };
    Ok(assemble(parts).await?.front_door)
}

/// The gateway as the fleet sees it; filled once both exist.
#[derive(Default)]
struct GatewayOfBoxes(OnceLock<Gateway>);

impl BoxGateway for GatewayOfBoxes {
    fn serve(&self, listener: TcpListener, function_arn: Arc<str>) -> JoinHandle<()> {
        match self.0.get() {
            Some(gateway) => gateway.serve(listener, SourceKind::Box(function_arn)),
            None => tokio::spawn(async {}),
        }
    }
}

async fn sandbox(settings: &Settings) -> Result<(Option<Sandbox>, Vec<String>), StartError> {
    let own = SandboxConfig::new(settings.data.join("boxes"));
    match Sandbox::start(SandboxConfig { stock: settings.stock == Switch::On, ..own }).await {
        Ok(sandbox) => Ok((Some(sandbox), Vec::new())),
        Err(error @ SandboxError::Unsupported { .. }) => {
            Ok((None, vec![format!("functions cannot run on this host: {error}; see `lamplighter doctor`")]))
        }
        Err(error) => Err(StartError::Service(format!("the sandbox could not be started: {error}"))),
    }
}

/// What is kept is for the server's user alone: there are secrets among it, and other people's code. A directory that
/// the operator made keeps its mode; what is ours in it does not depend on that.
fn make_data_dir(dir: &Path) -> Result<(), StartError> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    let private = |dir: &Path| {
        let made = std::fs::DirBuilder::new().mode(0o700).create(dir);
        match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            other => other.map(|()| true),
        }
    };
    let make = || -> io::Result<()> {
        dir.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        private(dir)?;
        for part in ["store", "blobs", "packages", "boxes"] {
            let part = dir.join(part);
            if !private(&part)? {
                std::fs::set_permissions(&part, std::fs::Permissions::from_mode(0o700))?;
            }
        }
        Ok(())
    };
    make().map_err(|cause| StartError::Data { dir: dir.to_owned(), cause })
}

fn engine(engine: StoreEngine) -> EngineKind {
    match engine {
        StoreEngine::Fjall => EngineKind::Fjall,
        StoreEngine::Sqlite => EngineKind::Sqlite,
    }
}

fn auth(auth: Auth) -> AuthMode {
    match auth {
        Auth::Off => AuthMode::Off,
        Auth::Audit => AuthMode::Audit,
        Auth::Enforce => AuthMode::Enforce,
    }
}

/// As many open files as the system lets us have: an environment needs about seven.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

fn trace(filter: &str) {
    let filter = tracing_subscriber::EnvFilter::try_new(filter).unwrap_or_else(|_| "warn".into());
    // A second server in one process (tests) keeps the first one's subscriber.
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(std::io::stderr)
        .try_init();
}

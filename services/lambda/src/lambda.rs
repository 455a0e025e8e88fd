//! The service's state: what the operations share, and the sweep of packages that nobody uses.
//! `resolve` is the way from a name to what is run.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use base::Clock;
use service_delivery::Delivery;
use service_sources::Sources;
use store::{BlobId, BlobStore, Store};

use crate::asynchronous::Events;
use crate::error::LambdaError;
use crate::functions::Functions;
use crate::invoker::Invoker;
use crate::mappings::Mappings;
use crate::package::{Digest, PackageError, Packages};
use crate::resolve::{Draws, Snapshot};
use crate::settings::{AccessPoints, RuntimeCheck};
use crate::snapstart::Board;

/// More snapshots than this are not kept; the cache then starts anew.
pub(crate) const MAX_SNAPSHOTS: usize = 10_000;
/// How often unused packages are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(10 * 60);

/// Where the zip of a package can be fetched, by the package's SHA-256 in hexadecimal.
pub type CodeUrl = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// The limits of an account in a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountLimits {
    /// Invokes at one time.
    pub concurrent_executions: u32,
    /// All uploaded zips together, in bytes.
    pub code_bytes: u64,
}

impl Default for AccountLimits {
    /// AWS's: 1,000 invokes, 75 GiB.
    fn default() -> Self {
        AccountLimits { concurrent_executions: 1000, code_bytes: 80_530_636_800 }
    }
}

/// What the service is made from.
pub struct LambdaDeps {
    /// Functions and tags.
    pub store: Store,
    /// Uploaded zips.
    pub blobs: BlobStore,
    /// What runs functions: the [`Fleet`](crate::fleet::Fleet).
    pub invoker: Arc<dyn Invoker>,
    /// Where the records of asynchronous invokes go.
    pub delivery: Delivery,
    /// Where event source mappings read.
    pub sources: Sources,
    /// The platform's time.
    pub clock: Clock,
    /// Packages are unpacked in `packages` below it.
    pub data_dir: PathBuf,
    /// Which runtimes this host can run: [`host_runtimes`](crate::host_runtimes).
    pub runtimes: RuntimeCheck,
    /// The limits that GetAccountSettings shows.
    pub limits: AccountLimits,
    /// The folders of this host that functions may be given.
    pub access_points: AccessPoints,
    /// What GetFunction gives as `Code.Location`; without it the member is left out.
    pub code_url: Option<CodeUrl>,
    /// The port that function URLs name: the gateway's.
    pub gateway_port: u16,
}

/// The Lambda service. Shared as `Arc<Lambda>`.
pub struct Lambda {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) functions: Functions,
    pub(crate) packages: Packages,
    pub(crate) invoker: Arc<dyn Invoker>,
    pub(crate) events: Events,
    pub(crate) mappings: Mappings,
    pub(crate) runtimes: RuntimeCheck,
    pub(crate) limits: AccountLimits,
    pub(crate) access_points: AccessPoints,
    pub(crate) code_url: Option<CodeUrl>,
    pub(crate) gateway_port: u16,
    /// Who tells the fleet what is set apart for functions.
    pub(crate) capacity_turn: tokio::sync::Mutex<()>,
    /// The draws of weighted aliases.
    pub(crate) draws: Draws,
    /// A cache: see `snapstart`.
    pub(crate) snapshot_board: Board,
    /// A cache: see `resolve`.
    pub(crate) snapshots: RwLock<HashMap<String, Snapshot>>,
}

impl Lambda {
    /// Opens the service over its store and data directory.
    ///
    /// # Errors
    /// When the directory for packages cannot be used.
    pub fn new(deps: LambdaDeps) -> Result<Arc<Lambda>, PackageError> {
        Ok(Arc::new(Lambda {
            functions: Functions::new(deps.store.clone(), deps.clock.clone(), deps.limits.code_bytes),
            mappings: Mappings::new(deps.store.clone(), deps.sources),
            store: deps.store,
            clock: deps.clock,
            packages: Packages::open(&deps.data_dir, deps.blobs)?,
            invoker: deps.invoker,
            events: Events::new(deps.delivery),
            runtimes: deps.runtimes,
            limits: deps.limits,
            access_points: deps.access_points,
            code_url: deps.code_url,
            gateway_port: deps.gateway_port,
            capacity_turn: tokio::sync::Mutex::default(),
            draws: Draws::random(),
            snapshot_board: Board::new(),
            snapshots: RwLock::default(),
        }))
    }

    /// The zips that functions use: what a sweep of the blob store must keep.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn live_blobs(&self) -> Result<Vec<BlobId>, LambdaError> {
        Ok(self.functions.used_packages()?.iter().map(|digest| BlobId(*digest.as_bytes())).collect())
    }

    /// The file of a package's zip, for who serves [`CodeUrl`]s; `None` when no function uses such a package.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn zip_path(&self, sha256_hex: &str) -> Result<Option<PathBuf>, LambdaError> {
        let Some(digest) = Digest::from_hex(sha256_hex) else { return Ok(None) };
        Ok(if self.functions.uses(&digest)? { Some(self.packages.zip_path(&digest)) } else { None })
    }

    /// Removes the directories of packages that no function uses any more: at once those that this process never
    /// touched, the others after a while. Returns how many. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn sweep_packages(&self, now: Instant) -> Result<usize, LambdaError> {
        self.packages.sweep(now, |digest| self.functions.uses(digest))
    }

    /// Sweeps packages now and every ten minutes, for as long as the service is used elsewhere. To be spawned.
    pub async fn run_sweeper(self: Arc<Self>) {
        let weak = Arc::downgrade(&self);
        drop(self);
        // Real time, not the clock: what matters is how long a running box may still need its files.
        let mut ticks = tokio::time::interval(SWEEP_EVERY);
        loop {
            ticks.tick().await;
            let Some(lambda) = weak.upgrade() else { return };
            match tokio::task::spawn_blocking(move || lambda.sweep_packages(Instant::now())).await {
                Ok(Ok(0)) => {}
                Ok(Ok(removed)) => tracing::info!(removed, "unused packages removed"),
                Ok(Err(error)) => tracing::warn!(%error, "unused packages cannot be looked for"),
                Err(error) => tracing::error!(%error, "the sweep of packages stopped"),
            }
        }
    }
}

//! The gateway: the one HTTP port of the platform, HTTP/1.1 and HTTP/2 with prior knowledge.
//!
//! A request is routed, authenticated, decoded, taken through the front door, and its answer encoded. The gateway
//! knows no AWS service: the models say what an operation looks like, the front door who serves it. It adds what
//! belongs to HTTP: limits and time-outs, CORS, the access log, and guards against web pages that try to reach a
//! platform on the developer's own machine.
//!
//! Simplifying assumptions: no TLS (put a proxy before it), and a request's body is in memory while it is served. An
//! answer's may be a stream.
//!
//! **Invariant:** no service is named in this crate.
//! **Invariant:** on a client's behalf nothing is called but the front door and, for what is no AWS API, the [`Sites`]
//! that the assembly gives.

mod admin;
mod again;
mod answer;
mod auth;
mod body;
mod downloads;
mod flow;
mod origin;
mod server;
mod sites;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Region};
use frontdoor::{Credentials, FrontDoor};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use admin::{AdminAnswer, AdminRequest};
pub use answer::{Body, BodyFault, Piece};
pub use auth::AuthMode;
pub use downloads::Downloads;
pub use sites::{Refused, Serving, Site, Sites, Visit, Visitor, host_of};

/// What a listener's clients are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// Clients outside of boxes.
    Outside,
    /// A function: the listener stands inside its box.
    Box(Arc<str>),
}

/// Settings of the gateway.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// How requests are authenticated.
    pub auth: AuthMode,
    /// The region of requests that name none.
    pub default_region: Region,
    /// The platform's time.
    pub clock: Clock,
    /// The largest body of an operation that declares no limit of its own, in bytes.
    pub max_body_bytes: usize,
    /// The most connections of one listener; further ones wait in the listener's queue.
    pub max_connections: usize,
    /// The same for a listener inside a box.
    pub max_box_connections: usize,
    /// The most bytes of request bodies that one box may have in memory here; further requests are refused for now.
    pub max_box_body_bytes: usize,
    /// How long a client may take to send a request's head, or the next piece of its body.
    pub read_timeout: Duration,
    /// Files on offer under addresses that expire.
    pub downloads: Option<Downloads>,
    /// Who may claim requests before the AWS APIs do, in this order.
    pub sites: Vec<Arc<dyn Sites>>,
    /// How long requests in flight may take to finish once the gateway shuts down.
    pub shutdown_grace: Duration,
}

impl GatewayConfig {
    /// The usual limits: bodies of 80 MiB, 4,096 connections (128 of a box), 30 s to read, 5 s to finish.
    #[must_use]
    pub fn new(auth: AuthMode, default_region: Region, clock: Clock) -> Self {
        GatewayConfig {
            auth,
            default_region,
            clock,
            max_body_bytes: 80 * 1024 * 1024,
            max_connections: 4096,
            max_box_connections: 128,
            max_box_body_bytes: 160 * 1024 * 1024,
            read_timeout: Duration::from_secs(30),
            downloads: None,
            sites: Vec::new(),
            shutdown_grace: Duration::from_secs(5),
        }
    }
}

/// The gateway. Cheap to clone; all clones are one gateway.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    front_door: FrontDoor,
    credentials: Arc<dyn Credentials>,
    config: GatewayConfig,
    signing_keys: wire::sigv4::SigningKeys,
    admin: admin::Routes,
    downloads: Option<Downloads>,
    phase: watch::Sender<server::Phase>,
}

impl Gateway {
    /// A gateway before `front_door`; it listens nowhere yet.
    #[must_use]
    pub fn new(front_door: FrontDoor, credentials: Arc<dyn Credentials>, config: GatewayConfig) -> Self {
        let admin = admin::Routes::standard(config.clock.clone());
        let downloads = config.downloads.clone();
        Gateway {
            inner: Arc::new(Inner {
                front_door,
                credentials,
                config,
                signing_keys: wire::sigv4::SigningKeys::new(),
                admin,
                downloads,
                phase: watch::Sender::new(server::Phase::Open),
            }),
        }
    }

    /// Adds a route of the private API: `path` is what follows `/_lamplighter/`. A later handler replaces an earlier.
    pub fn admin_route<F, Fut>(&self, path: &str, handler: F)
    where
        F: Fn(AdminRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = AdminAnswer> + Send + 'static,
    {
        self.inner.admin.add(path, handler);
    }

    /// Serves a listener until the gateway shuts down or the task is aborted. Connections that are open when the task
    /// is aborted stay until their client, or the gateway, ends them.
    pub fn serve(&self, listener: TcpListener, kind: SourceKind) -> JoinHandle<()> {
        tokio::spawn(server::serve(Arc::clone(&self.inner), listener, kind))
    }

    /// Stops listening, lets requests in flight finish for [`GatewayConfig::shutdown_grace`], then ends the rest.
    pub async fn shutdown(&self) {
        server::shutdown(&self.inner).await;
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

/// Whether only this machine's own programs can connect to an address.
#[must_use]
pub fn is_local(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

//! Listeners and connections: accept, limit, serve, end.
//!
//! What happens to a request is `flow.rs`'s business.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::again::Again;
use crate::body::Budget;
use crate::{Inner, SourceKind, flow};

/// How long to wait after a failed accept: out of file descriptors is the usual reason, and it passes.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Requests that one HTTP/2 connection may have open.
const MAX_STREAMS: u32 = 1024;

/// The gateway's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It serves.
    Open,
    /// No new connection; open requests finish.
    Draining,
    /// Open connections are dropped.
    Closed,
}

/// One listener's side of a connection.
pub(crate) struct Gate {
    pub(crate) inner: Arc<Inner>,
    pub(crate) kind: SourceKind,
    /// The listener stands on a loopback address.
    pub(crate) local: bool,
    /// For request bodies: a function must not fill this process's memory.
    pub(crate) body_bytes: Option<Budget>,
}

pub(crate) async fn serve(inner: Arc<Inner>, listener: TcpListener, kind: SourceKind) {
    let local = listener.local_addr().is_ok_and(|address| crate::is_local(&address));
    let config = &inner.config;
    let (connections, body_bytes) = match &kind {
        SourceKind::Outside => (config.max_connections, None),
        SourceKind::Box(_) => (config.max_box_connections, Some(Budget::new(config.max_box_body_bytes))),
    };
    let slots = Arc::new(Semaphore::new(connections));
    let mut phase = inner.phase.subscribe();
    let gate = Arc::new(Gate { inner, kind, local, body_bytes });
    loop {
        // A semaphore that nobody closes gives its permits.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = phase.wait_for(|phase| *phase >= Phase::Draining) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (gate, phase) = (Arc::clone(&gate), gate.inner.phase.subscribe());
                tokio::spawn(async move {
                    connection(gate, stream, peer.ip().to_canonical(), phase).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves a connection to its end. Holding `phase` keeps [`shutdown`] waiting.
async fn connection(gate: Arc<Gate>, stream: TcpStream, peer: IpAddr, mut phase: watch::Receiver<Phase>) {
    // Without it small answers wait for the client's delayed acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let config = &gate.inner.config;
    // The version of HTTP is told by the first bytes; a client that sends none must not hold the connection for ever.
    let mut first_byte = [0];
    let first = tokio::select! {
        first = tokio::time::timeout(config.read_timeout, stream.peek(&mut first_byte)) => first,
        _ = phase.wait_for(|phase| *phase >= Phase::Draining) => return,
    };
    if !matches!(first, Ok(Ok(1))) {
        return;
    }
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(config.read_timeout);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(MAX_STREAMS);
    let service = service_fn(|request| {
        let gate = Arc::clone(&gate);
        async move { Ok::<_, Infallible>(flow::answer(&gate, peer, request).await) }
    });
    let mut served = Again::new(builder.serve_connection(TokioIo::new(stream), service));
    let mut draining = false;
    loop {
        let wanted = if draining { Phase::Closed } else { Phase::Draining };
        tokio::select! {
            ended = &mut served => {
                if let Err(error) = ended {
                    tracing::debug!(%peer, error = %error, "connection ended early");
                }
                return;
            }
            _ = phase.wait_for(|phase| *phase >= wanted) => {
                if draining {
                    return;
                }
                draining = true;
                served.inner().graceful_shutdown();
            }
        }
    }
}

pub(crate) async fn shutdown(inner: &Inner) {
    inner.phase.send_replace(Phase::Draining);
    if tokio::time::timeout(inner.config.shutdown_grace, inner.phase.closed()).await.is_err() {
        inner.phase.send_replace(Phase::Closed);
        inner.phase.closed().await;
    }
}

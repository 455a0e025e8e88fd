//! The private API of the command line, under `/_lamplighter/`.
//!
//! It is for the operator on the same machine and for nobody else: it answers on listeners outside of boxes, to peers
//! on a loopback address, without an `Origin` header, and with the header `x-lamplighter: 1`, which a web page cannot
//! send without a preflight that is never granted. It is no AWS API and needs no signature.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base::Clock;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::SourceKind;

/// Where the private API starts.
pub(crate) const PREFIX: &str = "/_lamplighter/";
/// The largest body it takes, in bytes.
pub(crate) const MAX_BODY_BYTES: usize = 1024 * 1024;
/// The furthest that one request moves the clock: ten years. Mistyped units shall not end the platform's calendar.
const MAX_ADVANCE_MS: u64 = 10 * 366 * 86_400_000;

/// A request to the private API.
#[derive(Clone, Debug)]
pub struct AdminRequest {
    /// The method.
    pub method: Method,
    /// The query string, raw; empty when there is none.
    pub query: String,
    /// The body.
    pub body: Bytes,
}

/// The answer: JSON.
#[derive(Clone, Debug)]
pub struct AdminAnswer {
    status: StatusCode,
    body: Bytes,
}

impl AdminAnswer {
    /// 200 with a value as JSON; 500 if it cannot be written as such.
    pub fn ok<T: Serialize>(value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => AdminAnswer { status: StatusCode::OK, body: Bytes::from(body) },
            Err(error) => AdminAnswer::error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }

    /// An error: `{"message": ".."}`.
    #[must_use]
    pub fn error(status: StatusCode, message: &str) -> Self {
        let body = serde_json::json!({ "message": message }).to_string();
        AdminAnswer { status, body: Bytes::from(body) }
    }

    pub(crate) fn into_response(self) -> Response<Bytes> {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

type Answering = Pin<Box<dyn Future<Output = AdminAnswer> + Send>>;
type Handler = Arc<dyn Fn(AdminRequest) -> Answering + Send + Sync>;

/// The routes, by what follows the prefix.
#[derive(Default)]
pub(crate) struct Routes {
    handlers: RwLock<HashMap<String, Handler>>,
}

impl Routes {
    /// `health` and `clock`.
    pub(crate) fn standard(clock: Clock) -> Self {
        let routes = Routes::default();
        routes.add("health", |_| async {
            AdminAnswer::ok(&Health { status: "ok", name: "lamplighter", version: env!("CARGO_PKG_VERSION") })
        });
        routes.add("clock", move |request| {
            let clock = clock.clone();
            async move { serve_clock(&clock, &request) }
        });
        routes
    }

    pub(crate) fn add<F, Fut>(&self, path: &str, handler: F)
    where
        F: Fn(AdminRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = AdminAnswer> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |request| Box::pin(handler(request)));
        let mut handlers = self.handlers.write().unwrap_or_else(PoisonError::into_inner);
        handlers.insert(path.trim_matches('/').to_owned(), handler);
    }

    fn find(&self, path: &str) -> Option<Handler> {
        self.handlers.read().unwrap_or_else(PoisonError::into_inner).get(path).cloned()
    }

    /// Answers a request that passed [`refusal`].
    pub(crate) async fn answer(&self, parts: &Parts, body: Bytes) -> AdminAnswer {
        let path = parts.uri.path().strip_prefix(PREFIX).unwrap_or("").trim_end_matches('/');
        let Some(handler) = self.find(path) else {
            return AdminAnswer::error(StatusCode::NOT_FOUND, &format!("no such path: {PREFIX}{path}"));
        };
        let query = parts.uri.query().unwrap_or("").to_owned();
        handler(AdminRequest { method: parts.method.clone(), query, body }).await
    }
}

/// Why this request may not use the private API, if it may not.
pub(crate) fn refusal(parts: &Parts, kind: &SourceKind, peer: IpAddr) -> Option<AdminAnswer> {
    let why = if matches!(kind, SourceKind::Box(_)) {
        "this path is closed to functions"
    } else if !peer.is_loopback() {
        "this path is open to clients on the same machine only"
    } else if parts.headers.contains_key(header::ORIGIN) {
        "this path is closed to web pages"
    } else if parts.headers.get("x-lamplighter").is_none_or(|value| value != "1") {
        "this path needs the header 'x-lamplighter: 1'"
    } else {
        return None;
    };
    Some(AdminAnswer::error(StatusCode::FORBIDDEN, why))
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct ClockState {
    now: String,
    now_ms: i64,
    /// How far the clock stands ahead of the system's.
    offset_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_ms: u64,
}

fn serve_clock(clock: &Clock, request: &AdminRequest) -> AdminAnswer {
    if request.method == Method::POST {
        match serde_json::from_slice::<Advance>(&request.body) {
            Ok(Advance { advance_ms }) if advance_ms <= MAX_ADVANCE_MS => {
                clock.advance(Duration::from_millis(advance_ms));
            }
            Ok(Advance { advance_ms }) => {
                return AdminAnswer::error(
                    StatusCode::BAD_REQUEST,
                    &format!("advance_ms is {advance_ms}: {MAX_ADVANCE_MS} at most"),
                );
            }
            Err(error) => {
                return AdminAnswer::error(
                    StatusCode::BAD_REQUEST,
                    &format!("the body must be {{\"advance_ms\": number}}: {error}"),
                );
            }
        }
    } else if request.method != Method::GET {
        return AdminAnswer::error(StatusCode::METHOD_NOT_ALLOWED, "GET reads the clock, POST advances it");
    }
    let now = clock.now();
    let offset_ms = u64::try_from(clock.offset().as_millis()).unwrap_or(u64::MAX);
    AdminAnswer::ok(&ClockState { now: now.iso8601(), now_ms: now.as_millis(), offset_ms })
}

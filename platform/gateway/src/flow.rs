//! A request's way: guards, route, authentication, body, front door, answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use base::{ApiError, RequestId};
use bytes::Bytes;
use frontdoor::{Answer, Caller, Source};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use model::{Catalog, Protocol};
use wire::sigv4::{AuthError, Dialect, Signature};
use wire::{ErrorForm, EventEncoder, Pieces, Route, WireError};

use crate::answer::Body;
use crate::auth::{self, Sender};
use crate::body::{self, BodyError, Taken};
use crate::origin::{self, Verdict};
use crate::server::Gate;
use crate::sites::{self, Site};
use crate::{AuthMode, SourceKind, admin, downloads};

/// What the access log tells of a request beyond its head and its status.
#[derive(Default)]
struct Noted {
    service: &'static str,
    operation: &'static str,
    body_bytes: usize,
}

/// Answers a request, whatever it is.
pub(crate) async fn answer(gate: &Gate, peer: IpAddr, request: Request<Incoming>) -> Response<Body> {
    let started = Instant::now();
    let request_id = RequestId::fresh();
    let (parts, body) = request.into_parts();
    let mut noted = Noted::default();
    let verdict = match origin::host_refusal(&parts, gate.local) {
        Some(why) => Verdict::Refused(why),
        None => {
            if let Some(site) = sites::claim(&gate.inner.config.sites, &parts) {
                return visit(gate, peer, request_id, site, parts, body).await;
            }
            origin::judge(&parts)
        }
    };
    let mut response = match verdict {
        Verdict::Plain => serve(gate, peer, &request_id, &parts, body, &mut noted).await,
        Verdict::Page(origin) => {
            let mut response = match origin::preflight(&parts) {
                Some(response) => response.map(Body::from),
                None => serve(gate, peer, &request_id, &parts, body, &mut noted).await,
            };
            origin::allow(response.headers_mut(), origin);
            response
        }
        Verdict::Refused(why) => {
            body::discard(body, &parts.headers).await;
            let error = ApiError::new("AccessDeniedException", why).status(403);
            wire::encode_error(&ErrorForm::guess(&parts), &error, &request_id).map(Body::from)
        }
    };
    name(&mut response, &request_id);
    tracing::debug!(
        target: "access",
        %request_id,
        %peer,
        method = %parts.method,
        path = parts.uri.path(),
        service = noted.service,
        operation = noted.operation,
        status = response.status().as_u16(),
        request_bytes = noted.body_bytes,
        answer_bytes = response.body().whole().map(Bytes::len),
        duration_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        "request"
    );
    response
}

/// Answers a request that a site has claimed.
async fn visit(
    gate: &Gate,
    peer: IpAddr,
    request_id: RequestId,
    site: Box<dyn Site>,
    parts: Parts,
    body: Incoming,
) -> Response<Body> {
    let started = Instant::now();
    let (method, uri) = (parts.method.clone(), parts.uri.clone());
    let mut response = sites::answer(gate, peer, &request_id, site, parts, body).await;
    name(&mut response, &request_id);
    tracing::debug!(
        target: "access",
        %request_id,
        %peer,
        %method,
        path = uri.path(),
        status = response.status().as_u16(),
        answer_bytes = response.body().whole().map(Bytes::len),
        duration_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        "visit"
    );
    response
}

/// Every answer carries its request's id.
fn name(response: &mut Response<Body>, request_id: &RequestId) {
    if let Ok(value) = HeaderValue::from_str(request_id.as_str()) {
        response.headers_mut().entry("x-amzn-requestid").or_insert(value);
    }
}

async fn serve(
    gate: &Gate,
    peer: IpAddr,
    request_id: &RequestId,
    parts: &Parts,
    body: Incoming,
    noted: &mut Noted,
) -> Response<Body> {
    if is_greeting(parts) {
        return greeting().map(Body::from);
    }
    if parts.uri.path().starts_with(admin::PREFIX) {
        return serve_admin(gate, peer, parts, body).await.map(Body::from);
    }
    if let Some(downloads) = gate.inner.downloads.as_ref().filter(|_| is_download(parts)) {
        body::discard(body, &parts.headers).await;
        return downloads
            .answer(parts)
            .await
            .unwrap_or_else(|error| wire::encode_error(&ErrorForm::guess(parts), &error, request_id))
            .map(Body::from);
    }
    match call(gate, peer, request_id, parts, body, noted).await {
        Ok(response) => response,
        Err(Failed { error, form, close }) => {
            if let Some(detail) = &error.detail {
                tracing::debug!(%request_id, code = %error.code, detail, "request refused");
            }
            let mut response = wire::encode_error(&form, &error, request_id);
            // HTTP/2 has no such header, and needs none: its streams end apart.
            if close && parts.version < http::Version::HTTP_2 {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            response.map(Body::from)
        }
    }
}

/// An error on its way to the client.
struct Failed {
    error: ApiError,
    form: ErrorForm,
    /// Part of the body was left unread, so the connection cannot go on.
    close: bool,
}

impl Failed {
    fn new(error: ApiError, form: ErrorForm) -> Self {
        Failed { error, form, close: false }
    }
}

impl From<WireError> for Failed {
    fn from(error: WireError) -> Self {
        Failed::new(error.error, error.form)
    }
}

/// The AWS part.
async fn call(
    gate: &Gate,
    peer: IpAddr,
    request_id: &RequestId,
    parts: &Parts,
    body: Incoming,
    noted: &mut Noted,
) -> Result<Response<Body>, Failed> {
    // Kept until the request is served.
    let mut taken = Taken::nothing(gate.body_bytes.as_ref());
    let Admitted { route, sender, body } = admit(gate, parts, body, &mut taken).await?;
    *noted = Noted { service: route.service.id, operation: route.operation.name, body_bytes: body.len() };
    let failed = |error| Failed::new(error, route.error_form());

    let input = wire::decode(&route, parts, body).map_err(failed)?;
    let source = match &gate.kind {
        SourceKind::Outside => Source::Http { peer },
        SourceKind::Box(function_arn) => Source::Box { function_arn: function_arn.clone() },
    };
    let caller = Caller {
        principal: sender.principal,
        account: sender.account,
        region: sender.region,
        request_id: request_id.clone(),
        source,
        trace_header: trace_header(parts),
        on_behalf_of: None,
        host: sites::host_of(parts).map(Arc::from),
    };
    let front_door = &gate.inner.front_door;
    let answer = front_door
        .open(front_door.call_from(caller), route.service.id, route.operation.name, input)
        .await
        .map_err(failed)?;
    let (head, events) = match answer {
        Answer::Whole(output) => return Ok(wire::encode_output(&route, &output, request_id).map(Body::from)),
        Answer::Stream { head, events } => (head, events),
    };
    let no_stream =
        || ApiError::internal(format_args!("{} is modelled without events", route.operation.name));
    let encoder = EventEncoder::of(&route).ok_or_else(|| failed(no_stream()))?;
    let mut ready = Pieces::new();
    encoder.initial_response(&head, &mut ready);
    let response = wire::encode_stream_head(&route, &head, request_id);
    Ok(response.map(|()| Body::events(encoder, ready, events)))
}

/// The caller's trace header, unless it is none: longer, or no text.
fn trace_header(parts: &Parts) -> Option<Arc<str>> {
    const MAX_BYTES: usize = 1024;
    let value = parts.headers.get("x-amzn-trace-id")?.to_str().ok()?;
    (value.len() <= MAX_BYTES).then(|| Arc::from(value))
}

/// A request that is what it says it is.
struct Admitted {
    route: Route,
    sender: Sender,
    body: Bytes,
}

/// The longest unsigned form that is looked into for an operation that needs no signature, in bytes.
const UNSIGNED_FORM_BYTES: usize = 16 * 1024;

/// Routes and authenticates a request and reads its body, none of it before what comes before it is settled.
async fn admit(
    gate: &Gate,
    parts: &Parts,
    body: Incoming,
    taken: &mut Taken<'_>,
) -> Result<Admitted, Failed> {
    let inner = &*gate.inner;
    let found = Signature::find(parts);
    let signature = found.as_ref().ok().and_then(Option::as_ref);
    let signing_name = signature.map(|signature| signature.service.clone());

    // The query protocol names its operation in the body; all others in the head, so that limits hold before it.
    let early = match route_by_head(parts, signing_name.as_deref()) {
        Ok(early) => early,
        Err(error) => {
            body::discard(body, &parts.headers).await;
            return Err((*error).into());
        }
    };
    let (form, dialect) = match &early {
        Some(route) => (route.error_form(), dialect_of(route.protocol)),
        None => (ErrorForm::guess(parts), Dialect::Xml),
    };
    if early.is_none() && matches!(found, Ok(None)) && inner.config.auth != AuthMode::Off {
        return admit_unsigned_form(gate, parts, body, taken).await;
    }
    let unsigned_allowed = early.as_ref().is_some_and(|route| route.operation.unsigned);
    let claim = match auth::claim(inner, found, unsigned_allowed) {
        Ok(claim) => claim,
        Err(refusal) => {
            body::discard(body, &parts.headers).await;
            return Err(Failed::new(refusal.to_api(dialect), form));
        }
    };

    let declared =
        early.as_ref().and_then(|route| inner.front_door.body_limit(route.service.id, route.operation.name));
    let limit_bytes = declared.map_or(inner.config.max_body_bytes, |limit| limit.bytes);
    let body = body::read(body, &parts.headers, limit_bytes, inner.config.read_timeout, taken)
        .await
        .map_err(|error| body_failure(error, form, declared.map(|limit| limit.message), limit_bytes))?;

    let sender =
        claim.confirm(inner, parts, &body).map_err(|refusal| Failed::new(refusal.to_api(dialect), form))?;
    let route = match early {
        Some(route) => route,
        None => wire::route(Catalog::embedded(), parts, &body, signing_name.as_deref())?,
    };
    Ok(Admitted { route, sender, body })
}

/// Admits a form without a signature if the operation that it names needs none. A stranger makes us read a little for
/// that, and no more.
async fn admit_unsigned_form(
    gate: &Gate,
    parts: &Parts,
    body: Incoming,
    taken: &mut Taken<'_>,
) -> Result<Admitted, Failed> {
    let inner = &*gate.inner;
    let missing = |form, close| {
        let error = AuthError::Missing.to_api(Dialect::Xml);
        Failed { error, form, close }
    };
    let form = ErrorForm::guess(parts);
    let timeout = inner.config.read_timeout;
    let body = match body::read(body, &parts.headers, UNSIGNED_FORM_BYTES, timeout, taken).await {
        Ok(body) => body,
        Err(BodyError::TooLarge) => return Err(missing(form, true)),
        Err(error) => return Err(body_failure(error, form, None, UNSIGNED_FORM_BYTES)),
    };
    let route = match wire::route(Catalog::embedded(), parts, &body, None) {
        Ok(route) if route.operation.unsigned => route,
        _ => return Err(missing(form, false)),
    };
    let refused = |refusal: auth::Refusal| Failed::new(refusal.to_api(Dialect::Xml), route.error_form());
    let claim = auth::claim(inner, Ok(None), true).map_err(refused)?;
    let sender = claim.confirm(inner, parts, &body).map_err(refused)?;
    Ok(Admitted { route, sender, body })
}

/// The route, as far as the head tells it: `None` for the query protocol, whose bodies name the operation.
fn route_by_head(parts: &Parts, signing_name: Option<&str>) -> Result<Option<Route>, Box<WireError>> {
    if is_form(parts) {
        return Ok(None);
    }
    wire::route(Catalog::embedded(), parts, &Bytes::new(), signing_name).map(Some).map_err(Box::new)
}

fn body_failure(
    error: BodyError,
    form: ErrorForm,
    message: Option<&'static str>,
    limit_bytes: usize,
) -> Failed {
    let error = match error {
        BodyError::TooLarge => {
            let message = message
                .map_or_else(|| format!("Request must be smaller than {limit_bytes} bytes"), str::to_owned);
            ApiError::new("RequestEntityTooLargeException", message).status(413)
        }
        BodyError::Busy => ApiError::new(
            "TooManyRequestsException",
            "The function has too many bytes of requests in flight at once.",
        )
        .status(429),
        BodyError::TimedOut => {
            ApiError::new("RequestTimeoutException", "The request's body did not arrive in time.").status(408)
        }
        BodyError::Broken(cause) => {
            ApiError::new("IncompleteBody", "The request's body ended early or is badly framed.")
                .detail(cause)
        }
    };
    Failed { error, form, close: true }
}

/// The query protocol's bodies.
fn is_form(parts: &Parts) -> bool {
    const FORM: &[u8] = b"application/x-www-form-urlencoded";
    parts.method == Method::POST
        && parts
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.as_bytes().get(..FORM.len()))
            .is_some_and(|start| start.eq_ignore_ascii_case(FORM))
}

fn dialect_of(protocol: Protocol) -> Dialect {
    match protocol {
        Protocol::Json10 | Protocol::Json11 | Protocol::RpcV2Cbor => Dialect::Json,
        Protocol::RestJson => Dialect::RestJson,
        Protocol::Query | Protocol::RestXml => Dialect::Xml,
    }
}

/// A look at the bare address, such as a browser's or a health check's.
fn is_greeting(parts: &Parts) -> bool {
    matches!(parts.method, Method::GET | Method::HEAD)
        && parts.uri.path() == "/"
        && parts.uri.query().is_none()
        && !parts.headers.contains_key(header::AUTHORIZATION)
}

fn is_download(parts: &Parts) -> bool {
    parts.uri.path().starts_with(downloads::PREFIX)
}

fn greeting() -> Response<Bytes> {
    const BODY: &str = concat!("{\"name\":\"lamplighter\",\"version\":\"", env!("CARGO_PKG_VERSION"), "\"}");
    let mut response = Response::new(Bytes::from_static(BODY.as_bytes()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn serve_admin(gate: &Gate, peer: IpAddr, parts: &Parts, body: Incoming) -> Response<Bytes> {
    if let Some(refusal) = admin::refusal(parts, &gate.kind, peer) {
        return refusal.into_response();
    }
    let inner = &gate.inner;
    let mut taken = Taken::nothing(None);
    let timeout = inner.config.read_timeout;
    let read = body::read(body, &parts.headers, admin::MAX_BODY_BYTES, timeout, &mut taken);
    match read.await {
        Ok(body) => inner.admin.answer(parts, body).await.into_response(),
        Err(error) => {
            tracing::debug!(?error, "private request refused");
            admin::AdminAnswer::error(StatusCode::BAD_REQUEST, "the body could not be read").into_response()
        }
    }
}

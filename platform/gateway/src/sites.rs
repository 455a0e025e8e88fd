//! Sites: addresses of the gateway that belong to no AWS API, such as those that users' functions have.
//!
//! A [`Sites`] looks at a request's head and claims it by host or path before the AWS routing; the [`Site`] that it gives
//! then answers in words of its own. The gateway reads the body, up to the site's limit, and checks the signature where
//! the site wants one; what the site does with the request is none of its business, and it names none.
//!
//! The guard against foreign web pages (`origin.rs`) is for the AWS APIs: a site is meant for pages, and has its own
//! rules for origins. `Host` is judged for sites too.

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use base::{ApiError, Principal, RequestId};
use bytes::Bytes;
use frontdoor::Source;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode, header};
use hyper::body::Incoming;
use wire::sigv4::{AuthError, Dialect, Signature};

use crate::answer::Body;
use crate::auth;
use crate::body::{self, BodyError, Taken};
use crate::server::Gate;
use crate::{AuthMode, SourceKind};

/// Claims requests. It is asked for every one: look at the host and the path first, and read no more than a row.
pub trait Sites: fmt::Debug + Send + Sync {
    /// The site that a request is for; `None` leaves it to others.
    fn claim(&self, head: &Parts) -> Option<Box<dyn Site>>;
}

/// Where a request was claimed for; made for this one request.
pub trait Site: Send + Sync {
    /// The largest body it takes, in bytes.
    fn max_body_bytes(&self) -> usize;

    /// The signing name that a request must be signed for; `None`: signatures are not looked at.
    fn signing_name(&self) -> Option<&'static str>;

    /// An answer that needs neither the sender nor the body, such as to a browser's preflight.
    fn answer_early(&self, head: &Parts) -> Option<Response<Body>>;

    /// Puts a refusal of the gateway into the site's form.
    fn refuse(&self, head: &Parts, refused: &Refused) -> Response<Body>;

    /// Answers a request. It ends also when the client is gone.
    fn serve(self: Box<Self>, visit: Visit) -> Serving;
}

/// An answer, later.
pub type Serving = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// A request to a site, read whole.
#[derive(Debug)]
pub struct Visit {
    /// Its head, as it came.
    pub head: Parts,
    /// Its body.
    pub body: Bytes,
    /// The client's address.
    pub peer: IpAddr,
    /// Where it came from.
    pub source: Source,
    /// The id that the answer carries.
    pub request_id: RequestId,
    /// Who signed it, where the site wanted a signature.
    pub visitor: Option<Visitor>,
}

/// Who signed a request.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The signature's principal.
    pub principal: Principal,
    /// The key that it was made with; `None` when signatures are not checked and there was none.
    pub access_key_id: Option<String>,
}

/// Why the gateway did not pass a request on.
#[derive(Debug)]
pub enum Refused {
    /// There is no signature, and there must be one.
    Unsigned,
    /// The signature does not hold.
    Signature(ApiError),
    /// The body is larger than the site takes.
    TooLarge,
    /// The body did not come, or not in time; or the sender has too much in flight. The status is the error's.
    Body(ApiError),
}

/// The host that the client thinks it talks to, with its port if it named one. Empty when it is not text.
#[must_use]
pub fn host_of(head: &Parts) -> Option<&str> {
    match head.headers.get(header::HOST) {
        Some(host) => Some(host.to_str().unwrap_or("")),
        // HTTP/2 has it in the URI.
        None => head.uri.authority().map(http::uri::Authority::as_str),
    }
}

/// The first of these that claims the request.
pub(crate) fn claim(sites: &[Arc<dyn Sites>], head: &Parts) -> Option<Box<dyn Site>> {
    sites.iter().find_map(|sites| sites.claim(head))
}

/// Answers a request that a site has claimed.
pub(crate) async fn answer(
    gate: &Gate,
    peer: IpAddr,
    request_id: &RequestId,
    site: Box<dyn Site>,
    head: Parts,
    body: Incoming,
) -> Response<Body> {
    if let Some(response) = site.answer_early(&head) {
        body::discard(body, &head.headers).await;
        return response;
    }
    let mut taken = Taken::nothing(gate.body_bytes.as_ref());
    let (body, visitor) = match admit(gate, site.as_ref(), &head, body, &mut taken).await {
        Ok(admitted) => admitted,
        Err((refused, close)) => {
            let mut response = site.refuse(&head, &refused);
            if close && head.version < http::Version::HTTP_2 {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            return response;
        }
    };
    let source = match &gate.kind {
        SourceKind::Outside => Source::Http { peer },
        SourceKind::Box(function_arn) => Source::Box { function_arn: function_arn.clone() },
    };
    let visit = Visit { head, body, peer, source, request_id: request_id.clone(), visitor };
    // A task of its own: what has begun ends also when the client is gone, and a panic is this request's alone.
    match tokio::spawn(site.serve(visit)).await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(%request_id, %error, "a site failed");
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

/// Checks the sender and reads the body; with a refusal, whether part of the body was left unread.
async fn admit(
    gate: &Gate,
    site: &dyn Site,
    head: &Parts,
    body: Incoming,
    taken: &mut Taken<'_>,
) -> Result<(Bytes, Option<Visitor>), (Refused, bool)> {
    let inner = &*gate.inner;
    let mut claim = None;
    if let Some(name) = site.signing_name() {
        match sender(gate, head, name) {
            Ok(found) => claim = Some(found),
            Err(refused) => {
                body::discard(body, &head.headers).await;
                return Err((refused, false));
            }
        }
    }
    let limit_bytes = site.max_body_bytes();
    let read = body::read(body, &head.headers, limit_bytes, inner.config.read_timeout, taken);
    let body = read.await.map_err(|error| (unread(error), true))?;
    let Some((claim, access_key_id)) = claim else { return Ok((body, None)) };
    let sender = claim
        .confirm(inner, head, &body)
        .map_err(|refusal| (Refused::Signature(refusal.to_api(Dialect::RestJson)), false))?;
    Ok((body, Some(Visitor { principal: sender.principal, access_key_id })))
}

/// Who the request says that it is from, and the key's id.
fn sender(gate: &Gate, head: &Parts, name: &str) -> Result<(auth::Claim, Option<String>), Refused> {
    let inner = &*gate.inner;
    let found = Signature::find(head);
    let checked = inner.config.auth != AuthMode::Off;
    let access_key_id = match &found {
        Ok(Some(signature)) if checked && signature.service != name => {
            let error = AuthError::Mismatch { detail: format!("signed for {}", signature.service) };
            return Err(Refused::Signature(error.to_api(Dialect::RestJson)));
        }
        Ok(Some(signature)) => Some(signature.access_key_id.clone()),
        Ok(None) if checked => return Err(Refused::Unsigned),
        Ok(None) | Err(_) => None,
    };
    let claim = auth::claim(inner, found, false)
        .map_err(|refusal| Refused::Signature(refusal.to_api(Dialect::RestJson)))?;
    Ok((claim, access_key_id))
}

fn unread(error: BodyError) -> Refused {
    let refused = |code: &'static str, message: &'static str, status| {
        Refused::Body(ApiError::new(code, message).status(status))
    };
    match error {
        BodyError::TooLarge => Refused::TooLarge,
        BodyError::Busy => refused(
            "TooManyRequestsException",
            "The function has too many bytes of requests in flight at once.",
            429,
        ),
        BodyError::TimedOut => {
            refused("RequestTimeoutException", "The request's body did not arrive in time.", 408)
        }
        BodyError::Broken(_) => {
            refused("IncompleteBody", "The request's body ended early or is badly framed.", 400)
        }
    }
}

//! One POST to a subscriber's web server, and how it ended.
//!
//! The server may be on this machine or in the local network: that is what developers have. Addresses that only machines
//! talk to among themselves (link-local ones, such as those of cloud metadata) are refused after the name is resolved,
//! so that no name leads there. Redirects are not followed. The request carries no header that its sender could choose,
//! but `Content-Type`, from a list, and the credentials of the URL: so the platform's private API, which wants a header of
//! its own, cannot be reached by a subscription. Credentials are sent after the server asked for them, as AWS does it.
//!
//! Neither URL nor body is ever part of an error or a log line.
//!
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-http-https-endpoint-as-subscriber.html>.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue, USER_AGENT, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::{Failed, Target};
use crate::message::{Kind, Published};
use crate::outside::policy::CONTENT_TYPE as PLAIN_TEXT;
use crate::outside::policy_json::fits_an_envelope;

/// How long a server may take from the first try to connect to the head of its answer.
const TIME_LIMIT: Duration = Duration::from_secs(15);
/// How much of an answer's body is read, in bytes, so that servers end their connections in peace.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// How long reading that may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
const AGENT: HeaderValue = HeaderValue::from_static("Amazon Simple Notification Service Agent");
/// The metadata service of EC2 on IPv6, which is no link-local address.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xFD00, 0x0EC2, 0, 0, 0, 0, 0, 0x0254);

/// Sends to web servers. One per service.
#[derive(Default)]
pub(crate) struct Web {
    /// The roots of the system are read when the first HTTPS server is called.
    tls: OnceCell<TlsConnector>,
}

/// A server's address, taken apart.
struct Place {
    tls: bool,
    host: String,
    port: u16,
    /// As the `Host` header has it.
    authority: String,
    path: String,
    /// `user:password`, if the URL had it.
    credentials: Option<String>,
}

fn permanent(why: impl Into<String>) -> Failed {
    Failed { may_pass: false, why: why.into() }
}

fn passing(why: impl Into<String>) -> Failed {
    Failed { may_pass: true, why: why.into() }
}

impl Web {
    /// Sends a message's body to a subscription's server.
    pub(crate) async fn post(
        &self,
        target: &Target,
        published: &Published,
        body: Bytes,
    ) -> Result<(), Failed> {
        let place = Place::of(&target.endpoint)?;
        let headers = headers(target, published)?;
        let exchange = self.exchange(&place, &headers, body);
        match tokio::time::timeout(TIME_LIMIT, exchange).await {
            Ok(outcome) => judge(outcome?),
            Err(_) => Err(passing(format!("no answer within {} s", TIME_LIMIT.as_secs()))),
        }
    }

    /// The server's status; the request is sent again with credentials if the server wants them.
    async fn exchange(&self, place: &Place, headers: &HeaderMap, body: Bytes) -> Result<StatusCode, Failed> {
        let answer = self.send(place, headers, None, body.clone()).await?;
        let (status, wants_basic) = (answer.status(), wants_basic(&answer));
        drain(answer).await;
        match &place.credentials {
            Some(credentials) if status == StatusCode::UNAUTHORIZED && wants_basic => {
                let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(credentials)))
                    .map_err(|_| permanent("the URL's credentials cannot be sent"))?;
                value.set_sensitive(true);
                let answer = self.send(place, headers, Some(value), body).await?;
                let status = answer.status();
                drain(answer).await;
                Ok(status)
            }
            _ => Ok(status),
        }
    }

    async fn send(
        &self,
        place: &Place,
        headers: &HeaderMap,
        authorization: Option<HeaderValue>,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failed> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = place.path.parse().map_err(|_| permanent("the URL's path is no path"))?;
        *request.headers_mut() = headers.clone();
        let host = HeaderValue::from_str(&place.authority).map_err(|_| permanent("the URL has no host"))?;
        request.headers_mut().insert(HOST, host);
        if let Some(value) = authorization {
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let stream = connect(place).await?;
        if !place.tls {
            return converse(stream, request).await;
        }
        let name = ServerName::try_from(place.host.clone())
            .map_err(|_| permanent("the URL's host cannot have a certificate"))?;
        let connector = self.tls.get_or_try_init(tls).await?;
        match connector.connect(name, stream).await {
            Ok(stream) => converse(stream, request).await,
            Err(error) => Err(passing(format!("no TLS connection: {error}"))),
        }
    }
}

/// The TLS client with the system's roots. Reading them takes milliseconds and files: off the async threads.
async fn tls() -> Result<TlsConnector, Failed> {
    let made = tokio::task::spawn_blocking(|| {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (_, unusable) = roots.add_parsable_certificates(found.certs);
        tracing::debug!(roots = roots.len(), unusable, errors = found.errors.len(), "the system's roots");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| passing(format!("TLS: {error}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    });
    made.await.map_err(|_| passing("TLS could not be prepared"))?
}

/// Connects to the first address that answers.
async fn connect(place: &Place) -> Result<TcpStream, Failed> {
    let found = tokio::net::lookup_host((place.host.as_str(), place.port)).await;
    let addresses: Vec<SocketAddr> = found.map_err(|_| passing("the host's name is not known"))?.collect();
    let mut last = permanent("the host's address is for the use of machines only");
    for address in addresses.into_iter().filter(|address| may_be_called(address.ip())) {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                let _ = stream.set_nodelay(true); // slower without, no worse
                return Ok(stream);
            }
            Err(error) => last = passing(unreachable(&error)),
        }
    }
    Err(last)
}

fn unreachable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => format!("no connection: {error}"),
    }
}

/// Whether an address may be a subscriber's: not one that names no machine, or that machines keep to themselves.
fn may_be_called(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            !(ip.is_link_local() || ip.is_multicast() || ip.is_broadcast() || ip.is_unspecified())
        }
        IpAddr::V6(ip) => {
            !(ip.is_unicast_link_local() || ip.is_multicast() || ip.is_unspecified() || ip == METADATA_V6)
        }
    }
}

/// One request on a connection of its own.
async fn converse<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failed>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken = |error: hyper::Error| passing(format!("the connection broke: {error}"));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Ends with the answer's body, or when that is dropped.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(broken)
}

fn wants_basic(answer: &Response<Incoming>) -> bool {
    let basic = |value: &HeaderValue| {
        value.as_bytes().get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"basic"))
    };
    answer.headers().get_all(WWW_AUTHENTICATE).iter().any(basic)
}

async fn drain(answer: Response<Incoming>) {
    let rest = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect();
    // What the server says beyond its status is nobody's business.
    let _ = tokio::time::timeout(ANSWER_LIMIT, rest).await;
}

/// AWS's rule: what the server's side got wrong may pass, as may "too many requests"; anything else will not.
fn judge(status: StatusCode) -> Result<(), Failed> {
    if status.is_success() {
        return Ok(());
    }
    let may_pass = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
    Err(Failed { may_pass, why: format!("the server answered {}", status.as_u16()) })
}

fn headers(target: &Target, published: &Published) -> Result<HeaderMap, Failed> {
    let mut headers = HeaderMap::new();
    let mut set = |name: &'static str, value: &str| -> Result<(), Failed> {
        let value = HeaderValue::from_str(value).map_err(|_| permanent("a header cannot be written"))?;
        headers.insert(HeaderName::from_static(name), value);
        Ok(())
    };
    set("x-amz-sns-message-type", published.kind.as_str())?;
    set("x-amz-sns-message-id", &published.message_id)?;
    set("x-amz-sns-topic-arn", &published.topic_arn)?;
    // A subscription that is not confirmed yet has no ARN that anybody may know.
    if !matches!(published.kind, Kind::SubscriptionConfirmation { .. }) {
        set("x-amz-sns-subscription-arn", &target.subscription_arn)?;
    }
    let raw = target.is_raw(published);
    if raw {
        set("x-amz-sns-rawdelivery", "true")?;
    }
    let wanted = target.policy.content_type.as_deref();
    let content_type = wanted.filter(|kind| raw || fits_an_envelope(kind)).unwrap_or(PLAIN_TEXT);
    set("content-type", content_type)?;
    headers.insert(USER_AGENT, AGENT);
    Ok(headers)
}

impl Place {
    /// Takes a URL apart.
    fn of(endpoint: &str) -> Result<Place, Failed> {
        let uri: Uri = endpoint.parse().map_err(|_| permanent("the endpoint is no URL"))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(permanent("the endpoint's scheme is neither http nor https")),
        };
        let authority = uri.authority().ok_or_else(|| permanent("the endpoint has no host"))?.as_str();
        let (credentials, address) = match authority.rsplit_once('@') {
            Some((credentials, address)) => (Some(decode(credentials)), address),
            None => (None, authority),
        };
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        Ok(Place {
            tls,
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authority: address.to_owned(),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            credentials: credentials.map(|text| if text.contains(':') { text } else { format!("{text}:") }),
        })
    }
}

/// The host and port of an endpoint, which its deliveries share; no credentials.
pub(crate) fn host_of(endpoint: &str) -> String {
    Place::of(endpoint).map(|place| format!("{}:{}", place.host, place.port)).unwrap_or_default()
}

/// Decodes `%41`; what is no such triple stays as it is.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let code = bytes.get(at + 1..at + 3).and_then(|code| std::str::from_utf8(code).ok());
        match code.filter(|_| byte == b'%').and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(decoded) => {
                out.push(decoded);
                at += 3;
            }
            None => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_without_its_credentials_leaking() {
        let place = Place::of("https://me%40x:p%3Aw@example.com:8443/hook?a=1").unwrap();
        assert_eq!(place.credentials.as_deref(), Some("me@x:p:w"));
        assert_eq!((place.authority.as_str(), place.port), ("example.com:8443", 8443));
        assert_eq!(place.path, "/hook?a=1");
        assert_eq!(host_of("http://me:pw@localhost/x"), "localhost:80");
        assert_eq!(Place::of("http://[::1]:99").unwrap().host, "::1");
        assert!(Place::of("ftp://example.com").is_err());
        assert_eq!(Place::of("http://me@h/").unwrap().credentials.as_deref(), Some("me:"));
    }

    #[test]
    fn machines_own_addresses_are_not_called() {
        for ip in ["127.0.0.1", "::1", "10.0.0.1", "192.168.1.1", "8.8.8.8", "fd00::1"] {
            assert!(may_be_called(ip.parse().unwrap()), "{ip}");
        }
        for ip in
            ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "fd00:ec2::254", "224.0.0.1", "0.0.0.0"]
        {
            assert!(!may_be_called(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn only_the_servers_own_failures_pass() {
        let outcome = |code| judge(StatusCode::from_u16(code).unwrap()).map_err(|failed| failed.may_pass);
        for code in [200, 202, 204, 299] {
            assert_eq!(outcome(code), Ok(()), "{code}");
        }
        for code in [429, 500, 503, 599] {
            assert_eq!(outcome(code), Err(true), "{code}");
        }
        for code in [301, 302, 400, 401, 403, 404, 410, 428, 430] {
            assert_eq!(outcome(code), Err(false), "{code}");
        }
    }
}

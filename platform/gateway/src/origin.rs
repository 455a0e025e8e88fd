//! Guards against web pages, and CORS for those that are the developer's own.
//!
//! A page on the internet runs in the developer's browser, on the same machine as the platform. Two rules keep it
//! out, both only on what a browser cannot forge:
//! - a request with an `Origin` is served only when that origin is a loopback one (`http://localhost:3000`);
//! - on a loopback listener, `Host` must be `localhost`, `*.localhost`, an IP address, or a host name of AWS's
//!   (clients that keep AWS's host names and resolve them to the platform), or the name that another emulator's users
//!   have in their settings and that always means 127.0.0.1. A name that somebody else's DNS points at 127.0.0.1 (DNS
//!   rebinding) is none of these.
//!
//! Origins are judged for the AWS APIs only: `sites` have rules of their own.
//!
//! CORS: <https://fetch.spec.whatwg.org/#http-cors-protocol>.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode};

use http::request::Parts;

use crate::sites::host_of;

/// Names that only AWS can point anywhere.
const AWS_DOMAINS: [&str; 4] = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".on.aws"];

/// The other emulator's name for 127.0.0.1: `sqs.us-east-1.localhost.localstack.cloud`.
const EMULATOR_NAME: &str = "localhost.localstack.cloud";

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "x-amzn-requestid, x-amzn-errortype, x-amzn-query-error, x-amz-function-error, x-amz-log-result, \
     x-amz-executed-version, x-amz-request-id, x-amz-id-2, x-amz-version-id, x-amzn-trace-id, etag, \
     content-length, date, location",
);

/// What the guards say of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Serve it; it comes from no web page.
    Plain,
    /// Serve it, and let the page of this origin read the answer.
    Page(HeaderValue),
    /// Refuse it, and say why.
    Refused(String),
}

/// Why the request's `Host` is not served, if it is not.
pub(crate) fn host_refusal(parts: &Parts, local: bool) -> Option<String> {
    let host = host_of(parts).filter(|host| local && !may_be_host(host))?;
    Some(format!("Host '{host}' is not served: use localhost, an IP address or a host name of AWS's"))
}

/// Judges `Origin`, for the AWS APIs.
pub(crate) fn judge(parts: &Parts) -> Verdict {
    match parts.headers.get(header::ORIGIN) {
        None => Verdict::Plain,
        Some(origin) if origin.to_str().is_ok_and(is_local_origin) => Verdict::Page(origin.clone()),
        Some(origin) => Verdict::Refused(format!(
            "Origin {origin:?} is not served: only pages from localhost may call this endpoint"
        )),
    }
}

/// The answer to a browser's question whether it may send a request. `None`: this is no such question.
pub(crate) fn preflight(parts: &Parts) -> Option<Response<Bytes>> {
    if parts.method != Method::OPTIONS || !parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
        return None;
    }
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let headers = answer.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    if let Some(asked) = parts.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    // Pages on a public address ask this before they reach a private one; ours are local themselves.
    if parts.headers.contains_key("access-control-request-private-network") {
        headers.insert("access-control-allow-private-network", HeaderValue::from_static("true"));
    }
    Some(answer)
}

/// Lets the page of `origin` read the answer.
pub(crate) fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}

fn may_be_host(host: &str) -> bool {
    let name = without_port(host);
    is_local_name(name)
        || name.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case(EMULATOR_NAME)
        || ends_with_ignoring_case(name, ".localhost.localstack.cloud")
        || AWS_DOMAINS.iter().any(|domain| ends_with_ignoring_case(name, domain))
}

fn is_local_origin(origin: &str) -> bool {
    let Some((scheme, host)) = origin.split_once("://") else { return false };
    let name = without_port(host);
    matches!(scheme, "http" | "https")
        && (is_local_name(name) || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback()))
}

fn is_local_name(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || ends_with_ignoring_case(name, ".localhost")
}

/// The name without `:port`, an IPv6 address without its brackets.
fn without_port(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').map_or("", |(address, _)| address);
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

fn ends_with_ignoring_case(name: &str, end: &str) -> bool {
    name.len()
        .checked_sub(end.len())
        .and_then(|start| name.get(start..))
        .is_some_and(|tail| tail.eq_ignore_ascii_case(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_nobody_can_rebind_are_hosts() {
        for host in [
            "localhost:4566",
            "LOCALHOST",
            "bucket.localhost:4566",
            "127.0.0.1:4566",
            "[::1]:4566",
            "10.0.0.7",
            "lambda.us-east-1.amazonaws.com",
            "Logs.eu-central-1.API.AWS:443",
            "sqs.us-east-1.localhost.localstack.cloud:4566",
            "localhost.localstack.cloud:4566",
        ] {
            assert!(may_be_host(host), "{host}");
        }
        for host in [
            "evil.example:4566",
            "localhost.evil.example",
            "amazonaws.com.evil.example",
            "",
            "[::1",
            "xamazonaws.com",
            "localstack.cloud",
            "xlocalhost.localstack.cloud",
        ] {
            assert!(!may_be_host(host), "{host}");
        }
    }

    #[test]
    fn only_loopback_origins_are_local() {
        for origin in
            ["http://localhost:3000", "https://app.localhost", "http://127.0.0.1", "http://[::1]:5173"]
        {
            assert!(is_local_origin(origin), "{origin}");
        }
        for origin in
            ["null", "http://10.0.0.7", "https://example.com", "file://localhost", "http://localhost.example"]
        {
            assert!(!is_local_origin(origin), "{origin}");
        }
    }
}

//! The body of a subscription: what it may say, and what is wrong with it.
//!
//! Bounds: <https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api-reference.html>.

use std::time::Duration;

use serde::Deserialize;

use super::Stream;
use crate::fleet::blueprint::RUNTIME_API_PORT;
use crate::invoke::events::Schema;
use crate::runtime_api::SubscriptionApi;

/// How much is gathered before it is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Buffering {
    pub(crate) max_items: usize,
    pub(crate) max_bytes: usize,
    pub(crate) timeout: Duration,
}

/// Where it is delivered, inside the box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    Http { method: &'static str, port: u16, path: String },
    Tcp { port: u16 },
}

/// A valid subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) schema: Schema,
    pub(crate) streams: Vec<Stream>,
    pub(crate) buffering: Buffering,
    pub(crate) destination: Destination,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    schema_version: Option<String>,
    #[serde(default)]
    types: Vec<String>,
    buffering: Option<BufferingBody>,
    destination: Option<DestinationBody>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BufferingBody {
    max_items: Option<i64>,
    max_bytes: Option<i64>,
    timeout_ms: Option<i64>,
}

#[derive(Deserialize)]
struct DestinationBody {
    protocol: Option<String>,
    #[serde(rename = "URI")]
    uri: Option<String>,
    port: Option<u16>,
    method: Option<String>,
    encoding: Option<String>,
}

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    /// Everything that is wrong with it, as one sentence.
    pub(crate) fn read(api: SubscriptionApi, body: &[u8]) -> Result<Request, String> {
        let body: Body = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let mut wrong = Vec::new();
        let schema = schema(api, body.schema_version.as_deref()).unwrap_or_else(|why| {
            wrong.push(why);
            Schema::Telemetry
        });
        let mut streams = Vec::new();
        if body.types.is_empty() {
            wrong.push("types should not be empty".to_owned());
        }
        for name in &body.types {
            match Stream::parse(name) {
                Some(stream) if streams.contains(&stream) => {}
                Some(stream) => streams.push(stream),
                None => wrong.push(format!("type '{name}' is not one of platform, function, extension")),
            }
        }
        let mut within = |name: &str, value: Option<i64>, default: i64, least: i64, most: i64| {
            let value = value.unwrap_or(default);
            if !(least..=most).contains(&value) {
                wrong.push(format!("buffering.{name} should be between {least} and {most}"));
            }
            value.unsigned_abs()
        };
        let buffering = body.buffering.unwrap_or_default();
        let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        let buffering = Buffering {
            max_items: size(within("maxItems", buffering.max_items, 10_000, 1_000, 10_000)),
            max_bytes: size(within("maxBytes", buffering.max_bytes, 262_144, 262_144, 1_048_576)),
            timeout: Duration::from_millis(within("timeoutMs", buffering.timeout_ms, 1_000, 25, 30_000)),
        };
        let destination = match body.destination {
            Some(body) => destination(api, body),
            None => Err("destination is not provided".to_owned()),
        };
        match destination {
            Ok(destination) if wrong.is_empty() => Ok(Request { schema, streams, buffering, destination }),
            Ok(_) => Err(wrong.join("; ")),
            Err(why) => {
                wrong.insert(0, why);
                Err(wrong.join("; "))
            }
        }
    }
}

fn schema(api: SubscriptionApi, version: Option<&str>) -> Result<Schema, String> {
    match (api, version) {
        (SubscriptionApi::Telemetry, Some("2022-07-01" | "2022-12-13" | "2025-01-29")) => {
            Ok(Schema::Telemetry)
        }
        (SubscriptionApi::Logs, None | Some("2020-08-15")) => Ok(Schema::Logs { with_runtime_done: false }),
        (SubscriptionApi::Logs, Some("2021-03-18")) => Ok(Schema::Logs { with_runtime_done: true }),
        (_, None) => Err("schemaVersion is not provided".to_owned()),
        (_, Some(other)) => Err(format!("schemaVersion '{other}' is not supported")),
    }
}

fn destination(api: SubscriptionApi, body: DestinationBody) -> Result<Destination, String> {
    if body.encoding.as_deref().is_some_and(|encoding| encoding != "JSON") {
        return Err("destination.encoding should be JSON".to_owned());
    }
    match body.protocol.as_deref() {
        Some("HTTP") => {
            let (port, path) = address(body.uri.as_deref().unwrap_or_default(), "http://")?;
            let method = match body.method.as_deref() {
                None | Some("POST") => "POST",
                Some("PUT") if api == SubscriptionApi::Logs => "PUT",
                Some(other) => return Err(format!("destination.method '{other}' is not supported")),
            };
            Ok(Destination::Http { method, port, path })
        }
        Some("TCP") => {
            let port = match (body.port, body.uri.as_deref()) {
                (Some(port), _) => check_port(port)?,
                (None, Some(uri)) => address(uri, "tcp://")?.0,
                (None, None) => return Err("port is not provided".to_owned()),
            };
            Ok(Destination::Tcp { port })
        }
        Some(other) => Err(format!("destination.protocol '{other}' is not one of HTTP, TCP")),
        None => Err("destination.protocol is not provided".to_owned()),
    }
}

/// Port and path of a URI. Only what is inside the environment can be named.
fn address(uri: &str, scheme: &str) -> Result<(u16, String), String> {
    let rest = uri.strip_prefix(scheme).ok_or_else(|| format!("URI should begin with {scheme}"))?;
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let (host, port) = authority.split_once(':').ok_or("URI port is not provided")?;
    if !matches!(host, "sandbox.localdomain" | "sandbox") {
        return Err(format!("URI host '{host}' should be sandbox.localdomain"));
    }
    let port = port.parse().map_err(|_| format!("URI port '{port}' is not valid"))?;
    if path.bytes().any(|b| !b.is_ascii_graphic()) {
        return Err("URI path is not valid".to_owned());
    }
    Ok((check_port(port)?, path.to_owned()))
}

fn check_port(port: u16) -> Result<u16, String> {
    match port {
        0 | RUNTIME_API_PORT => Err(format!("port {port} is reserved")),
        port => Ok(port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(api: SubscriptionApi, body: &str) -> Result<Request, String> {
        Request::read(api, body.as_bytes())
    }

    fn telemetry(buffering: &str, uri: &str) -> Result<Request, String> {
        let body = format!(
            r#"{{"schemaVersion":"2022-12-13","types":["platform"],"buffering":{buffering},
                "destination":{{"protocol":"HTTP","URI":"{uri}"}}}}"#
        );
        read(SubscriptionApi::Telemetry, &body)
    }

    const URI: &str = "http://sandbox.localdomain:8080/x";

    #[test]
    fn a_plain_subscription_has_the_documented_defaults() {
        let request = telemetry("{}", URI).unwrap();
        let buffering = Buffering { max_items: 10_000, max_bytes: 262_144, timeout: Duration::from_secs(1) };
        assert_eq!(request.buffering, buffering);
        let there = Destination::Http { method: "POST", port: 8080, path: "/x".to_owned() };
        assert_eq!(request.destination, there);
    }

    #[test]
    fn buffering_has_bounds() {
        for good in [
            r#"{"maxItems":1000,"maxBytes":262144,"timeoutMs":25}"#,
            r#"{"maxItems":10000,"maxBytes":1048576,"timeoutMs":30000}"#,
        ] {
            telemetry(good, URI).unwrap();
        }
        for (bad, name) in [
            (r#"{"maxItems":999}"#, "maxItems should be between 1000 and 10000"),
            (r#"{"maxItems":10001}"#, "maxItems"),
            (r#"{"maxBytes":262143}"#, "maxBytes should be between 262144 and 1048576"),
            (r#"{"maxBytes":1048577}"#, "maxBytes"),
            (r#"{"timeoutMs":24}"#, "timeoutMs should be between 25 and 30000"),
            (r#"{"timeoutMs":30001}"#, "timeoutMs"),
        ] {
            assert!(telemetry(bad, URI).unwrap_err().contains(name), "{bad}");
        }
    }

    #[test]
    fn a_destination_is_inside() {
        for bad in [
            "https://sandbox.localdomain:1",
            "http://example.com:80",
            "http://sandbox.localdomain",
            "http://sandbox.localdomain:9001",
            "http://sandbox.localdomain:0",
            "http://sandbox.localdomain:99999",
        ] {
            telemetry("{}", bad).unwrap_err();
        }
        let body = r#"{"types":["function"],"destination":{"protocol":"TCP","port":7}}"#;
        assert_eq!(read(SubscriptionApi::Logs, body).unwrap().destination, Destination::Tcp { port: 7 });
        let body = r#"{"destination":{"protocol":"HTTP","URI":"http://sandbox.localdomain"}}"#;
        assert_eq!(
            read(SubscriptionApi::Logs, body).unwrap_err(),
            "URI port is not provided; types should not be empty"
        );
        assert!(
            read(SubscriptionApi::Telemetry, "{}").unwrap_err().contains("schemaVersion is not provided")
        );
    }
}

//! From a request to the event that the function gets: payload format 2.0.
//!
//! Header names are in lower case, and several values of one header or parameter are joined by commas. Cookies stand in
//! a list of their own and not among the headers. A body is text when its content type says so and it is UTF-8; any other
//! is base64, also a form's, as with AWS. Members without a value are left out.
//! <https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-request-payload>.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use base::{RequestId, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{COOKIE, HeaderMap};
use http::request::Parts;
use percent_encoding::percent_decode_str;
use serde::Serialize;

/// What an event is made of, beside the request itself.
pub(super) struct About<'a> {
    pub(super) id: &'a str,
    pub(super) domain_name: &'a str,
    /// The path without a prefix of ours.
    pub(super) path: &'a str,
    pub(super) peer: IpAddr,
    pub(super) request_id: &'a RequestId,
    pub(super) now: Timestamp,
    pub(super) port: u16,
    /// The function's account with IAM; `None` without.
    pub(super) iam: Option<Iam>,
    pub(super) account: String,
}

/// Who signed the request.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Iam {
    pub(super) access_key: Option<String>,
    pub(super) account_id: Option<String>,
    pub(super) caller_id: String,
    pub(super) cognito_identity: Option<()>,
    pub(super) principal_org_id: Option<String>,
    pub(super) user_arn: String,
    pub(super) user_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    version: &'static str,
    route_key: &'static str,
    raw_path: &'a str,
    raw_query_string: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cookies: Vec<Cow<'a, str>>,
    headers: BTreeMap<&'a str, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    query_string_parameters: BTreeMap<String, String>,
    request_context: Context<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Cow<'a, str>>,
    is_base64_encoded: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Context<'a> {
    account_id: &'a str,
    api_id: &'a str,
    authentication: Option<()>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorizer: Option<Authorizer<'a>>,
    domain_name: &'a str,
    domain_prefix: &'a str,
    http: HttpPart<'a>,
    request_id: &'a str,
    route_key: &'static str,
    stage: &'static str,
    time: String,
    time_epoch: i64,
}

#[derive(Serialize)]
struct Authorizer<'a> {
    iam: &'a Iam,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HttpPart<'a> {
    method: &'a str,
    path: &'a str,
    protocol: String,
    source_ip: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
}

/// The event as JSON.
pub(super) fn event(about: &About<'_>, head: &Parts, body: &Bytes) -> Result<Vec<u8>, serde_json::Error> {
    let raw_query_string = head.uri.query().unwrap_or_default();
    let mut headers = headers_of(&head.headers);
    if let Some(authority) = head.uri.authority().filter(|_| !headers.contains_key("host")) {
        headers.insert("host", authority.to_string());
    }
    let source_ip = about.peer.to_string();
    forwarded(&mut headers, &source_ip, about.port);
    let (body, is_base64_encoded) = body_of(&head.headers, body);
    let event = Event {
        version: "2.0",
        route_key: "$default",
        raw_path: about.path,
        raw_query_string,
        cookies: cookies_of(&head.headers),
        query_string_parameters: parameters_of(raw_query_string),
        request_context: Context {
            account_id: if about.iam.is_some() { &about.account } else { "anonymous" },
            api_id: about.id,
            authentication: None,
            authorizer: about.iam.as_ref().map(|iam| Authorizer { iam }),
            domain_name: about.domain_name,
            domain_prefix: about.id,
            http: HttpPart {
                method: head.method.as_str(),
                path: about.path,
                protocol: format!("{:?}", head.version),
                user_agent: headers.get("user-agent").cloned(),
                source_ip,
            },
            request_id: about.request_id.as_str(),
            route_key: "$default",
            stage: "$default",
            time: log_time(about.now),
            time_epoch: about.now.as_millis(),
        },
        headers,
        body,
        is_base64_encoded,
    };
    serde_json::to_vec(&event)
}

fn text_of(value: &http::HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}

fn headers_of(headers: &HeaderMap) -> BTreeMap<&str, String> {
    let mut joined: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in headers.iter().filter(|(name, _)| **name != COOKIE) {
        let value = text_of(value);
        joined
            .entry(name.as_str())
            .and_modify(|all| {
                all.push(',');
                all.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    joined
}

/// What AWS's front end adds: frameworks make addresses from it.
fn forwarded(headers: &mut BTreeMap<&str, String>, source_ip: &str, port: u16) {
    headers
        .entry("x-forwarded-for")
        .and_modify(|all| {
            all.push_str(", ");
            all.push_str(source_ip);
        })
        .or_insert_with(|| source_ip.to_owned());
    headers.entry("x-forwarded-proto").or_insert_with(|| "http".to_owned());
    headers.entry("x-forwarded-port").or_insert_with(|| port.to_string());
}

fn cookies_of(headers: &HeaderMap) -> Vec<Cow<'_, str>> {
    let pairs = |value| match text_of(value) {
        Cow::Borrowed(text) => text.split(';').map(|pair| Cow::Borrowed(pair.trim())).collect::<Vec<_>>(),
        Cow::Owned(text) => text.split(';').map(|pair| Cow::Owned(pair.trim().to_owned())).collect(),
    };
    headers.get_all(COOKIE).iter().flat_map(pairs).filter(|pair| !pair.is_empty()).collect()
}

fn parameters_of(query: &str) -> BTreeMap<String, String> {
    let mut joined: BTreeMap<String, String> = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decoded(value);
        joined
            .entry(decoded(key))
            .and_modify(|all| {
                all.push(',');
                all.push_str(&value);
            })
            .or_insert(value);
    }
    joined
}

fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

fn body_of<'a>(headers: &HeaderMap, body: &'a Bytes) -> (Option<Cow<'a, str>>, bool) {
    if body.is_empty() {
        return (None, false);
    }
    match std::str::from_utf8(body) {
        Ok(text) if is_text(headers) => (Some(Cow::Borrowed(text)), false),
        _ => (Some(Cow::Owned(STANDARD.encode(body))), true),
    }
}

/// Whether the content type is one of text: any `text/..`, JSON, XML and JavaScript in all their forms.
fn is_text(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(http::header::CONTENT_TYPE) else { return false };
    let value = text_of(value).to_ascii_lowercase();
    let kind = value.split(';').next().unwrap_or_default().trim();
    kind.starts_with("text/") || ["json", "xml", "javascript"].iter().any(|word| kind.contains(word))
}

/// `12/Mar/2020:19:03:58 +0000`.
fn log_time(at: Timestamp) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (year, month, day, hour, minute, second, _) = at.civil();
    let month = MONTHS.get(usize::from(month).saturating_sub(1)).unwrap_or(&"Jan");
    format!("{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn seen(iam: Option<Iam>, request: http::request::Builder, body: &'static [u8]) -> Value {
        let (head, ()) = request.body(()).unwrap().into_parts();
        let request_id = RequestId::fresh();
        let about = About {
            id: "abc",
            domain_name: "abc.lambda-url.us-east-1.localhost",
            path: head.uri.path(),
            peer: IpAddr::from([127, 0, 0, 1]),
            request_id: &request_id,
            now: Timestamp(1_584_039_838_390),
            port: 4566,
            iam,
            account: "000000000000".to_owned(),
        };
        serde_json::from_slice(&event(&about, &head, &Bytes::from_static(body)).unwrap()).unwrap()
    }

    #[test]
    fn a_request_becomes_an_event() {
        let request = http::Request::builder()
            .method("POST")
            .uri("/my/path%20x?a=1&a=2&b=x%20y+z&c")
            .header("Host", "h:1")
            .header("X-Two", "1")
            .header("X-Two", "2")
            .header("Cookie", "c1=v1; c2=v2")
            .header("Cookie", "c3=v3")
            .header("User-Agent", "agent")
            .header("Content-Type", "application/json; charset=utf-8");
        let event = seen(None, request, b"{\"k\":\"\xc3\xa4\"}");
        assert_eq!(event["version"], "2.0");
        assert_eq!(event["rawPath"], "/my/path%20x");
        assert_eq!(event["rawQueryString"], "a=1&a=2&b=x%20y+z&c");
        assert_eq!(event["queryStringParameters"], json!({"a": "1,2", "b": "x y z", "c": ""}));
        assert_eq!(event["cookies"], json!(["c1=v1", "c2=v2", "c3=v3"]));
        assert_eq!(event["headers"]["x-two"], "1,2");
        assert!(event["headers"].get("cookie").is_none());
        assert_eq!(event["headers"]["x-forwarded-for"], "127.0.0.1");
        assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("{\"k\":\"ä\"}"), &json!(false)));
        let context = &event["requestContext"];
        assert_eq!(context["accountId"], "anonymous");
        assert_eq!(context["authentication"], Value::Null);
        assert!(context.get("authorizer").is_none());
        assert_eq!(context["time"], "12/Mar/2020:19:03:58 +0000");
        assert_eq!(context["timeEpoch"], json!(1_584_039_838_390_i64));
        assert_eq!(
            context["http"],
            json!({"method": "POST", "path": "/my/path%20x", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1",
                   "userAgent": "agent"})
        );
    }

    #[test]
    fn what_is_no_text_is_base64() {
        let typed =
            |kind: &str, body| seen(None, http::Request::builder().header("content-type", kind), body);
        for kind in ["application/octet-stream", "application/x-www-form-urlencoded", "image/png"] {
            let event = typed(kind, b"a=b");
            assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("YT1i"), &json!(true)), "{kind}");
        }
        for kind in ["text/plain", "application/vnd.api+json", "application/xml", "text/javascript"] {
            assert_eq!(typed(kind, b"a=b")["isBase64Encoded"], json!(false), "{kind}");
        }
        assert_eq!(typed("text/plain", b"\xff")["body"], "/w==");
        assert_eq!(seen(None, http::Request::builder(), b"x")["isBase64Encoded"], json!(true));
        let event = seen(None, http::Request::builder(), b"");
        assert!(event.get("body").is_none() && event.get("cookies").is_none());
        assert!(event.get("queryStringParameters").is_none());
    }

    #[test]
    fn a_signer_is_named() {
        let iam = Iam {
            access_key: Some("AKIA".to_owned()),
            account_id: Some("000000000000".to_owned()),
            caller_id: "AIDA".to_owned(),
            cognito_identity: None,
            principal_org_id: None,
            user_arn: "arn:aws:iam::000000000000:user/u".to_owned(),
            user_id: "AIDA".to_owned(),
        };
        let context = seen(Some(iam), http::Request::builder(), b"")["requestContext"].clone();
        assert_eq!(context["accountId"], "000000000000");
        assert_eq!(context["authorizer"]["iam"]["userArn"], "arn:aws:iam::000000000000:user/u");
        assert_eq!(context["authorizer"]["iam"]["cognitoIdentity"], Value::Null);
    }
}

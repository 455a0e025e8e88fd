//! Just enough HTTP/1.1 for the Runtime API: request heads in, answers out.
//!
//! It is not a general server: one request at a time per connection, heads up to 64 KiB, bodies by length or in
//! chunks. A hand-written loop saves the wake-ups and copies of a general one on the warm path.
//!
//! Messages: RFC 9112.

use bytes::{Buf, Bytes, BytesMut};

use super::extension_api::{self, Headers, Wish};
use super::restore::CREDENTIALS_PATH;
use super::session::{Event, Refusal};

/// Heads beyond this many bytes are refused.
pub(super) const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_HEADERS: usize = 64;

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    Next,
    Response { id: String },
    Error { id: String },
    InitError,
    RestoreNext,
    RestoreError,
    Credentials,
    Extension(Wish),
    WrongMethod,
    Unknown,
}

/// How long the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyLength {
    Exactly(u64),
    Chunked,
}

/// The head of a request, as far as it matters here.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) route: Route,
    pub(super) body: BodyLength,
    pub(super) expects_continue: bool,
    pub(super) keep_alive: bool,
    /// `Lambda-Runtime-Function-Error-Type`.
    pub(super) error_type: Option<String>,
    /// `Lambda-Runtime-Function-Response-Mode: streaming`.
    pub(super) streaming: bool,
    /// `Content-Type` of a streamed response.
    pub(super) content_type: Option<String>,
    /// `Authorization`, of a request for credentials.
    pub(super) authorization: Option<String>,
    /// Those of the Extensions API.
    pub(super) extension: Headers,
}

impl Head {
    /// A plain question for the next event.
    pub(super) fn asks_for_next(&self) -> bool {
        self.route == Route::Next && self.body == BodyLength::Exactly(0)
    }
}

/// The bytes are no HTTP/1.1 request that is served here.
#[derive(Debug, thiserror::Error)]
#[error("not an HTTP/1.1 request: {0}")]
pub(super) struct BadRequest(pub(super) &'static str);

/// Takes a whole head off the buffer; `None` when more bytes are needed.
pub(super) fn take_head(buffer: &mut BytesMut) -> Result<Option<Head>, BadRequest> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if buffer.len() < MAX_HEAD_BYTES => return Ok(None),
        Ok(httparse::Status::Partial) => return Err(BadRequest("the head is too long")),
        Err(_) => return Err(BadRequest("the head cannot be parsed")),
    };
    let mut head = Head {
        route: route(request.method.unwrap_or_default(), request.path.unwrap_or_default()),
        body: BodyLength::Exactly(0),
        expects_continue: false,
        keep_alive: request.version == Some(1),
        error_type: None,
        streaming: false,
        content_type: None,
        authorization: None,
        extension: Headers::default(),
    };
    for header in request.headers.iter() {
        apply(&mut head, header)?;
    }
    if head.streaming {
        let given = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-type"));
        head.content_type = given.map(|header| String::from_utf8_lossy(header.value).trim().to_owned());
    }
    buffer.advance(length);
    Ok(Some(head))
}

fn apply(head: &mut Head, header: &httparse::Header<'_>) -> Result<(), BadRequest> {
    let text = || String::from_utf8_lossy(header.value).trim().to_owned();
    let is = |value: &str| header.value.trim_ascii().eq_ignore_ascii_case(value.as_bytes());
    // The names differ in length: telling them apart by it first spares most comparisons.
    match header.name.len() {
        14 if header.name.eq_ignore_ascii_case("content-length") => {
            let length = text().parse().map_err(|_| BadRequest("Content-Length is not a number"))?;
            if head.body != BodyLength::Chunked {
                head.body = BodyLength::Exactly(length);
            }
        }
        17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
            if !is("chunked") {
                return Err(BadRequest("only the transfer encoding 'chunked' is supported"));
            }
            head.body = BodyLength::Chunked;
        }
        6 if header.name.eq_ignore_ascii_case("expect") => head.expects_continue = is("100-continue"),
        10 if header.name.eq_ignore_ascii_case("connection") => {
            if is("close") {
                head.keep_alive = false;
            } else if is("keep-alive") {
                head.keep_alive = true;
            }
        }
        13 if head.route == Route::Credentials && header.name.eq_ignore_ascii_case("authorization") => {
            head.authorization = Some(text());
        }
        34 if header.name.eq_ignore_ascii_case("lambda-runtime-function-error-type") => {
            head.error_type = Some(text());
        }
        _ if header.name.len() >= 21 && header.name[..16].eq_ignore_ascii_case("lambda-extension") => {
            head.extension.take(header.name, header.value);
        }
        37 if header.name.eq_ignore_ascii_case("lambda-runtime-function-response-mode") => {
            head.streaming = is("streaming");
        }
        _ => {}
    }
    Ok(())
}

fn route(method: &str, path: &str) -> Route {
    let path = path.split('?').next().unwrap_or_default();
    if let Some(wish) = extension_api::route(method, path) {
        return wish.map_or(Route::WrongMethod, Route::Extension);
    }
    let Some(rest) = path.strip_prefix("/2018-06-01/runtime/") else {
        return match path {
            CREDENTIALS_PATH if method == "GET" => Route::Credentials,
            CREDENTIALS_PATH => Route::WrongMethod,
            _ => Route::Unknown,
        };
    };
    let (expected, found) = match rest {
        "invocation/next" => ("GET", Route::Next),
        "init/error" => ("POST", Route::InitError),
        "restore/next" => ("GET", Route::RestoreNext),
        "restore/error" => ("POST", Route::RestoreError),
        _ => match rest.strip_prefix("invocation/").and_then(|rest| rest.split_once('/')) {
            Some((id, "response")) => ("POST", Route::Response { id: id.to_owned() }),
            Some((id, "error")) => ("POST", Route::Error { id: id.to_owned() }),
            _ => return Route::Unknown,
        },
    };
    if method == expected { found } else { Route::WrongMethod }
}

/// Writes the head of the answer that carries an event. The payload follows it.
pub(super) fn write_event_head(out: &mut BytesMut, event: &Event) {
    out.extend_from_slice(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: ",
    );
    out.extend_from_slice(event.request_id.as_str().as_bytes());
    push_number(out, "Lambda-Runtime-Deadline-Ms", u64::try_from(event.deadline_ms).unwrap_or(0));
    push_header(out, "Lambda-Runtime-Invoked-Function-Arn", &event.function_arn);
    push_header(out, "Lambda-Runtime-Trace-Id", &event.trace_id);
    if let Some(context) = &event.client_context {
        push_header(out, "Lambda-Runtime-Client-Context", context);
    }
    if let Some(tenant_id) = &event.tenant_id {
        push_header(out, "Lambda-Runtime-Aws-Tenant-Id", tenant_id);
    }
    push_number(out, "Content-Length", event.payload.len() as u64);
    out.extend_from_slice(b"\r\n\r\n");
}

fn push_header(out: &mut BytesMut, name: &str, value: &str) {
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    if value.bytes().any(|b| b < b' ') {
        // A line break would end the header; between JSON's tokens a blank means the same.
        let clean: Vec<u8> = value.bytes().map(|b| if b < b' ' { b' ' } else { b }).collect();
        out.extend_from_slice(&clean);
    } else {
        out.extend_from_slice(value.as_bytes());
    }
}

fn push_number(out: &mut BytesMut, name: &str, value: u64) {
    push_header(out, name, &value.to_string());
}

/// The answer to an accepted response or error.
pub(super) const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"status\":\"OK\"}\n";

/// An answer with a JSON document.
pub(super) fn json(document: &[u8]) -> Bytes {
    let mut out = BytesMut::from(&b"HTTP/1.1 200 OK\r\nContent-Type: application/json"[..]);
    push_number(&mut out, "Content-Length", document.len() as u64);
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(document);
    out.freeze()
}

/// The answer to `restore/next`.
pub(super) const RESTORED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// An error answer in the Runtime API's form.
pub(super) fn error(status: u16, error_type: &str, message: &str) -> Bytes {
    #[derive(serde::Serialize)]
    struct Body<'a> {
        #[serde(rename = "errorMessage")]
        message: &'a str,
        #[serde(rename = "errorType")]
        error_type: &'a str,
    }
    let reason = match status {
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Request Entity Too Large",
        500 => "Internal Server Error",
        _ => "Not Implemented",
    };
    let body = serde_json::to_string(&Body { message, error_type }).unwrap_or_default();
    let length = body.len();
    Bytes::from(format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
}

/// The answer to a request that the session refuses.
pub(super) fn refusal(refusal: &Refusal) -> Bytes {
    match refusal {
        Refusal::UnknownRequestId => error(400, "InvalidRequestID", "Invalid request ID"),
        Refusal::Transition { from, to } => error(
            403,
            "InvalidStateTransition",
            &format!(
                "State transition from {from} to {to} failed for runtime. Error: State transition is not allowed"
            ),
        ),
    }
}

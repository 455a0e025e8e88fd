//! The Extensions API's requests and answers, and the subscriptions of the Telemetry and Logs APIs: from a head and a
//! body to what is written back. The states are in [`super::extensions`], subscriptions in the fleet.
//!
//! API: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html>.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::extensions::{EventKind, Next, Refusal, Stage};
use super::http1;
use super::session::Session;

/// A registration or an error report is larger than this only by mistake. In bytes.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// What is asked of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Register,
    Next,
    InitError,
    ExitError,
    Subscribe(SubscriptionApi),
}

/// Through which API an extension subscribes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubscriptionApi {
    /// `PUT /2022-07-01/telemetry`.
    Telemetry,
    /// `PUT /2020-08-15/logs`.
    Logs,
}

impl SubscriptionApi {
    /// What its error types begin with.
    pub(crate) fn name(self) -> &'static str {
        match self {
            SubscriptionApi::Telemetry => "Telemetry",
            SubscriptionApi::Logs => "Logs",
        }
    }
}

/// Takes subscriptions.
pub(crate) trait Subscribe: Send + Sync {
    /// # Errors
    /// What is wrong with the request, for its author.
    fn subscribe(&self, extension: &Arc<str>, api: SubscriptionApi, body: &[u8]) -> Result<(), String>;
}

/// What the function looks like to its extensions.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) handler: String,
    pub(crate) account: String,
}

/// The headers of a request that matter here.
#[derive(Debug, Default)]
pub(super) struct Headers {
    /// `Lambda-Extension-Name`.
    pub(super) name: Option<String>,
    /// `Lambda-Extension-Identifier`.
    pub(super) id: Option<String>,
    /// `Lambda-Extension-Accept-Feature`.
    pub(super) features: Option<String>,
    /// `Lambda-Extension-Function-Error-Type`.
    pub(super) error_type: Option<String>,
}

impl Headers {
    /// Takes a header if it is one of these.
    pub(super) fn take(&mut self, name: &str, value: &[u8]) {
        let place = if name.eq_ignore_ascii_case("lambda-extension-name") {
            &mut self.name
        } else if name.eq_ignore_ascii_case("lambda-extension-identifier") {
            &mut self.id
        } else if name.eq_ignore_ascii_case("lambda-extension-accept-feature") {
            &mut self.features
        } else if name.eq_ignore_ascii_case("lambda-extension-function-error-type") {
            &mut self.error_type
        } else {
            return;
        };
        *place = Some(String::from_utf8_lossy(value).trim().to_owned());
    }
}

/// The route of a path, if it is of this API; `Err` when the method is another.
pub(super) fn route(method: &str, path: &str) -> Option<Result<Wish, ()>> {
    let (expected, wish) = match path.trim_end_matches('/') {
        "/2020-01-01/extension/register" => ("POST", Wish::Register),
        "/2020-01-01/extension/event/next" => ("GET", Wish::Next),
        "/2020-01-01/extension/init/error" => ("POST", Wish::InitError),
        "/2020-01-01/extension/exit/error" => ("POST", Wish::ExitError),
        "/2022-07-01/telemetry" => ("PUT", Wish::Subscribe(SubscriptionApi::Telemetry)),
        "/2020-08-15/logs" => ("PUT", Wish::Subscribe(SubscriptionApi::Logs)),
        _ => return None,
    };
    Some(if method == expected { Ok(wish) } else { Err(()) })
}

/// The answer, or what it waits for.
pub(super) enum Reply {
    Now(Bytes),
    /// An event, to be written by [`event`].
    Wait(oneshot::Receiver<Bytes>),
}

/// Answers a request. `None` for a body that was too large.
pub(super) fn answer(session: &Session, wish: Wish, headers: &Headers, body: Option<&[u8]>) -> Reply {
    let answered = match body {
        Some(body) if body.len() <= MAX_BODY_BYTES => serve(session, wish, headers, body),
        _ => Err(forbidden("InvalidRequestFormat", "The request body is too large")),
    };
    answered.unwrap_or_else(Reply::Now)
}

fn serve(session: &Session, wish: Wish, headers: &Headers, body: &[u8]) -> Result<Reply, Bytes> {
    let extensions = &session.extensions;
    if wish == Wish::Register {
        return register(session, headers, body).map(Reply::Now);
    }
    let id = identifier(headers)?;
    let refused = |refusal| refused(&refusal, id);
    match wish {
        Wish::Register => {}
        Wish::Next => {
            return match extensions.next(id).map_err(refused)? {
                Next::Event(body) => Ok(Reply::Now(event(&body))),
                Next::Wait(waiting) => Ok(Reply::Wait(waiting)),
            };
        }
        Wish::InitError => extensions.init_error(id, error_type(headers)?).map_err(refused)?,
        Wish::ExitError => extensions.exit_error(id, error_type(headers)?).map_err(refused)?,
        Wish::Subscribe(api) => return subscribe(session, api, id, body).map(Reply::Now),
    }
    Ok(Reply::Now(Bytes::from_static(http1::ACCEPTED)))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Registration {
    #[serde(default)]
    events: Vec<String>,
    #[serde(default)]
    configuration_keys: Vec<String>,
}

fn register(session: &Session, headers: &Headers, body: &[u8]) -> Result<Bytes, Bytes> {
    let name = headers.name.as_deref().unwrap_or_default();
    if name.is_empty() {
        return Err(forbidden("Extension.InvalidExtensionName", "Empty extension name"));
    }
    let wanted: Registration = serde_json::from_slice(body)
        .map_err(|error| forbidden("InvalidRequestFormat", &error.to_string()))?;
    if !wanted.configuration_keys.is_empty() {
        let message = "configurationKeys are deprecated; use environment variables instead";
        return Err(forbidden("InvalidRequestFormat", message));
    }
    let mut events = Vec::new();
    for event in &wanted.events {
        events.push(match event.as_str() {
            "INVOKE" => EventKind::Invoke,
            "SHUTDOWN" => EventKind::Shutdown,
            other => {
                let message = format!("{other}: ErrorInvalidEventType");
                return Err(forbidden("Extension.InvalidEventType", &message));
            }
        });
    }
    let id = session.extensions.register(name, &events).map_err(|refusal| refused(&refusal, name))?;
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Registered<'a> {
        function_name: &'a str,
        function_version: &'a str,
        handler: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        account_id: Option<&'a str>,
    }
    let about = session.about();
    let wants_account =
        headers.features.as_deref().is_some_and(|list| list.split(',').any(|one| one.trim() == "accountId"));
    let registered = Registered {
        function_name: &about.name,
        function_version: &about.version,
        handler: &about.handler,
        account_id: wants_account.then_some(about.account.as_str()),
    };
    let body = serde_json::to_string(&registered).unwrap_or_default();
    Ok(ok("Lambda-Extension-Identifier", &id, body.as_bytes()))
}

fn subscribe(session: &Session, api: SubscriptionApi, id: &str, body: &[u8]) -> Result<Bytes, Bytes> {
    let name = session.extensions.name_of(id);
    let name = name.ok_or_else(|| refused(&Refusal::UnknownExtension, id))?;
    let kind = api.name();
    let Some(subscriptions) = session.subscriptions().filter(|_| session.extensions.is_open()) else {
        let message = format!("{kind} API subscription is closed already");
        return Err(forbidden(&format!("{kind}.SubscriptionClosed"), &message));
    };
    match subscriptions.subscribe(&name, api, body) {
        Ok(()) => Ok(ok("Lambda-Extension-Identifier", id, b"\"OK\"")),
        Err(why) => Err(http1::error(400, &format!("{kind}.ValidationError"), &why)),
    }
}

fn identifier(headers: &Headers) -> Result<&str, Bytes> {
    match headers.id.as_deref() {
        None | Some("") => Err(forbidden(
            "Extension.MissingExtensionIdentifier",
            "Missing Lambda-Extension-Identifier header",
        )),
        Some(id) if uuid::Uuid::try_parse(id).is_err() => {
            Err(forbidden("Extension.InvalidExtensionIdentifier", "Invalid Lambda-Extension-Identifier"))
        }
        Some(id) => Ok(id),
    }
}

fn error_type(headers: &Headers) -> Result<String, Bytes> {
    headers
        .error_type
        .clone()
        .filter(|text| !text.is_empty())
        .ok_or_else(|| forbidden("Extension.MissingHeader", "Lambda-Extension-Function-Error-Type not found"))
}

/// The answer that carries an event.
pub(super) fn event(body: &Bytes) -> Bytes {
    let id = uuid::Uuid::new_v4().to_string();
    ok("Lambda-Extension-Event-Identifier", &id, body)
}

fn ok(header: &str, value: &str, body: &[u8]) -> Bytes {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{header}: {value}\r\nContent-Length: {length}\r\n\r\n"
    );
    Bytes::from([head.as_bytes(), body].concat())
}

fn forbidden(error_type: &str, message: &str) -> Bytes {
    http1::error(403, error_type, message)
}

/// A refusal; `who` is the identifier or the name it was asked with.
fn refused(refusal: &Refusal, who: &str) -> Bytes {
    match refusal {
        Refusal::Closed => forbidden("Extension.RegistrationClosed", "Extension registration closed already"),
        Refusal::TooMany => forbidden(
            "Extension.TooManyExtensions",
            &format!("Extension limit ({}) reached", super::extensions::MAX_EXTENSIONS),
        ),
        Refusal::NameTaken => {
            forbidden("Extension.InvalidExtensionState", "Extension with this name already registered")
        }
        Refusal::UnknownExtension => {
            forbidden("Extension.UnknownExtensionIdentifier", &format!("Unknown extension {who}"))
        }
        Refusal::NoShutdownForInternal => {
            forbidden("Extension.InvalidEventType", "SHUTDOWN: ShutdownEventNotSupportedForInternalExtension")
        }
        Refusal::Transition { from, to, name } => {
            let who = if *to == Stage::Registered { name } else { who };
            let (from, to) = (from.name(), to.name());
            forbidden(
                "Extension.InvalidExtensionState",
                &format!(
                    "State transition from {from} to {to} failed for extension {who}. Error: State transition is \
                     not allowed"
                ),
            )
        }
    }
}

//! Routing: which service and operation a request is for, and in which protocol it speaks.
//!
//! All services share one port. The marks, in this order: a smithy-rpc-v2 path, `X-Amz-Target`, `Action` (in the query
//! string or a form), the paths of the REST services. The name in the credential scope, where there is one, narrows the
//! choice; a request with neither mark nor scope is matched against every REST service, those whose paths are most
//! particular first.

// A request without a route is answered and forgotten: its error is large, rare and never passed on.
#![allow(clippy::result_large_err)]

use base::ApiError;
use bytes::Bytes;
use http::request::Parts;
use model::{Catalog, Operation, Protocol, ServiceEntry, ServiceModel};

use crate::ErrorForm;
use crate::text;

/// Where a request goes.
#[derive(Clone, Debug)]
pub struct Route {
    /// The service.
    pub service: &'static ServiceModel,
    /// The operation.
    pub operation: &'static Operation,
    /// The protocol the request speaks, and the answer will.
    pub protocol: Protocol,
    /// The client asks for the error codes of the service's `query` days.
    pub query_mode: bool,
    /// Names and decoded values of the path's labels.
    pub labels: Vec<(&'static str, String)>,
}

/// A request that cannot be routed: the answer and its form.
#[derive(Clone, Debug)]
pub struct WireError {
    /// What to answer.
    pub error: ApiError,
    /// In which form.
    pub form: ErrorForm,
}

impl Route {
    /// The form of this route's errors.
    #[must_use]
    pub fn error_form(&self) -> ErrorForm {
        ErrorForm {
            protocol: self.protocol,
            service: Some(self.service),
            operation: Some(self.operation),
            query_mode: self.query_mode,
        }
    }
}

/// Finds service and operation of a request. `signing_name` is the service in its credential scope.
///
/// # Errors
/// When no operation is meant: the error AWS gives, in the form the client understands.
pub fn route(
    catalog: &'static Catalog,
    parts: &Parts,
    body: &Bytes,
    signing_name: Option<&str>,
) -> Result<Route, WireError> {
    let request = Request { catalog, parts, body, signing_name };
    let path = parts.uri.path();
    if let Some((service, operation)) = rpc_path(parts, path) {
        return request.by_rpc_path(service, operation);
    }
    if let Some(target) = header(parts, "x-amz-target") {
        return request.by_target(target);
    }
    if let Some(action) = request.action() {
        return request.by_action(&action);
    }
    request.by_path(path)
}

fn header<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts.headers.get(name)?.to_str().ok()
}

fn rpc_path<'a>(parts: &Parts, path: &'a str) -> Option<(&'a str, &'a str)> {
    header(parts, "smithy-protocol").filter(|value| *value == "rpc-v2-cbor")?;
    // The path may carry a prefix before these four segments.
    let at = path.find("/service/")?;
    path[at + "/service/".len()..].split_once("/operation/")
}

struct Request<'a> {
    catalog: &'static Catalog,
    parts: &'a Parts,
    body: &'a Bytes,
    signing_name: Option<&'a str>,
}

impl Request<'_> {
    fn fail<T>(
        &self,
        service: Option<&'static ServiceModel>,
        protocol: Option<Protocol>,
        error: ApiError,
    ) -> Result<T, WireError> {
        let guess = ErrorForm::guess(self.parts);
        let form = ErrorForm { service, protocol: protocol.unwrap_or(guess.protocol), ..guess };
        Err(WireError { error, form })
    }

    /// The error for a request to a service that this platform does not have, when the credential scope names one.
    fn unknown_service<T>(&self, or: ApiError) -> Result<T, WireError> {
        let entries = self.catalog.entries();
        let error = match self.signing_name {
            Some(name) if !entries.iter().any(|entry| entry.signing_name == name) => {
                ApiError::new("UnsupportedOperationException", format!("service {name} is not supported yet"))
            }
            _ => or,
        };
        self.fail(None, None, error)
    }

    fn find(&self, wanted: impl Fn(&ServiceEntry) -> bool) -> Option<&'static ServiceModel> {
        let slot = self.catalog.entries().iter().position(wanted)?;
        self.catalog.at(slot)
    }

    fn operation(
        &self,
        service: &'static ServiceModel,
        name: &str,
        protocol: Protocol,
    ) -> Result<Route, WireError> {
        match service.operation(name) {
            Some(operation) => {
                let query_mode = service.query_compatible
                    && header(self.parts, "x-amzn-query-mode")
                        .is_some_and(|on| on.eq_ignore_ascii_case("true"));
                Ok(Route { service, operation, protocol, query_mode, labels: Vec::new() })
            }
            None => self.fail(Some(service), Some(protocol), unknown_operation(name)),
        }
    }

    fn by_rpc_path(&self, service: &str, operation: &str) -> Result<Route, WireError> {
        let found = self.find(|entry| entry.target_prefix == Some(service) || entry.id == service);
        match found {
            Some(service) => self.operation(service, operation, Protocol::RpcV2Cbor),
            None => self.unknown_service(unknown_operation(operation)),
        }
    }

    fn by_target(&self, target: &str) -> Result<Route, WireError> {
        let (prefix, operation) = target.rsplit_once('.').unwrap_or(("", target));
        let protocol = match header(self.parts, "content-type") {
            Some(kind) if kind.starts_with("application/x-amz-json-1.0") => Protocol::Json10,
            _ => Protocol::Json11,
        };
        match self.find(|entry| entry.target_prefix == Some(prefix)) {
            Some(service) => self.operation(service, operation, protocol),
            None => self.unknown_service(unknown_operation(operation)),
        }
    }

    /// `Action` and `Version` of a `query` request.
    fn action(&self) -> Option<Action> {
        let form = header(self.parts, "content-type")
            .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        let body = if form { std::str::from_utf8(self.body).unwrap_or("") } else { "" };
        let query = self.parts.uri.query().unwrap_or("");
        let parameter = |name: &str| {
            let mut pairs = query.split('&').chain(body.split('&'));
            pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).and_then(text::decode_form)
        };
        Some(Action { name: parameter("Action")?, version: parameter("Version") })
    }

    fn by_action(&self, action: &Action) -> Result<Route, WireError> {
        let version = action.version.as_deref();
        let by_name = self.signing_name.and_then(|name| self.find(|entry| entry.signing_name == name));
        let by_version = || {
            let speaks = |entry: &ServiceEntry| entry.protocols.contains(&Protocol::Query);
            self.find(|entry| speaks(entry) && Some(entry.api_version) == version)
        };
        if let (None, None) = (self.signing_name, version)
            && let Some(service) = self.by_link(action)
        {
            return self.operation(service, &action.name, Protocol::Query);
        }
        let Some(service) = by_name.or_else(by_version).or_else(|| self.by_own_url(action)) else {
            return self.unknown_service(action.unknown());
        };
        // Who writes such a request by hand, to a resource's own URL, may leave the version out.
        let is_version = version == Some(service.api_version)
            || (version.is_none() && service.url_member.is_some() && self.parts.uri.path() != "/");
        if !is_version || service.operation(&action.name).is_none() {
            return self.fail(Some(service), Some(Protocol::Query), action.unknown());
        }
        self.operation(service, &action.name, Protocol::Query)
    }

    /// The service of a link as messages have them: neither signature nor version, to the bare address. Only operations
    /// that are taken so are meant.
    fn by_link(&self, action: &Action) -> Option<&'static ServiceModel> {
        if self.parts.uri.path() != "/" {
            return None;
        }
        let speaks = |entry: &ServiceEntry| entry.has_unsigned && entry.protocols.contains(&Protocol::Query);
        let mut slots = (0..).zip(self.catalog.entries()).filter(|(_, entry)| speaks(entry));
        slots.find_map(|(slot, _)| {
            let service = self.catalog.at(slot)?;
            service.operation(&action.name).filter(|operation| operation.unsigned).map(|_| service)
        })
    }

    /// The service of a request without signature and version that goes to a path of its own: one whose resources have
    /// URLs, and which has the operation.
    fn by_own_url(&self, action: &Action) -> Option<&'static ServiceModel> {
        if action.version.is_some() || self.parts.uri.path() == "/" {
            return None;
        }
        let mut slots = (0..).zip(self.catalog.entries()).filter(|(_, entry)| entry.has_url_member);
        slots.find_map(|(slot, _)| {
            self.catalog.at(slot).filter(|service| service.operation(&action.name).is_some())
        })
    }

    fn by_path(&self, path: &str) -> Result<Route, WireError> {
        let method = self.parts.method.as_str();
        let query = self.parts.uri.query().unwrap_or("");
        let entries = self.catalog.entries();
        let named = |entry: &ServiceEntry| self.signing_name.is_none_or(|name| entry.signing_name == name);
        let mut last = None;
        for protocol in [Protocol::RestJson, Protocol::RestXml] {
            for (slot, entry) in entries.iter().enumerate() {
                if !entry.protocols.contains(&protocol) || !named(entry) {
                    continue;
                }
                let Some(service) = self.catalog.at(slot) else { continue };
                let has_header = |name: &str| self.parts.headers.contains_key(name);
                let Ok(found) = service.paths.find(method, path, query, &has_header) else {
                    last = Some((service, protocol));
                    continue;
                };
                let Some(operation) = service.operations.get(found.operation) else { continue };
                let decode = |(name, raw): (&'static str, &str)| Some((name, text::decode_percent(raw)?));
                let Some(labels) = found.labels.into_iter().map(decode).collect() else {
                    let error =
                        ApiError::new("SerializationException", "The request path is not valid UTF-8.");
                    return self.fail(Some(service), Some(protocol), error);
                };
                return Ok(Route { service, operation, protocol, query_mode: false, labels });
            }
        }
        let error =
            ApiError::new("UnknownOperationException", format!("No operation is known for {method} {path}."))
                .status(404);
        match last {
            Some((service, protocol)) if self.signing_name.is_some() => {
                self.fail(Some(service), Some(protocol), error)
            }
            _ => self.unknown_service(error),
        }
    }
}

fn unknown_operation(name: &str) -> ApiError {
    ApiError::new("UnknownOperationException", format!("Operation {name} is not known."))
}

struct Action {
    name: String,
    version: Option<String>,
}

impl Action {
    fn unknown(&self) -> ApiError {
        let version = self.version.as_deref().unwrap_or("NO_VERSION_SPECIFIED");
        ApiError::new(
            "InvalidAction",
            format!("Could not find operation {} for version {version}", self.name),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn go(parts: &Parts, body: &'static str, name: Option<&str>) -> Result<Route, WireError> {
        route(Catalog::embedded(), parts, &Bytes::from_static(body.as_bytes()), name)
    }

    const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");

    #[test]
    fn a_rest_path_with_an_encoded_arn() {
        let uri =
            "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Ahi/invocations";
        for name in [Some("lambda"), None] {
            let route = go(&parts("POST", uri, &[]), "{}", name).unwrap();
            assert_eq!((route.operation.name, route.protocol), ("Invoke", Protocol::RestJson));
            let arn = "arn:aws:lambda:us-east-1:000000000000:function:hi".to_owned();
            assert_eq!(route.labels, [("FunctionName", arn)]);
        }
    }

    #[test]
    fn a_target_and_its_json_version() {
        let target = ("x-amz-target", "Logs_20140328.CreateLogGroup");
        let route = go(&parts("POST", "/", &[target]), "{}", None).unwrap();
        assert_eq!((route.operation.name, route.protocol), ("CreateLogGroup", Protocol::Json11));
        let parts = parts("POST", "/", &[target, ("content-type", "application/x-amz-json-1.0")]);
        assert_eq!(go(&parts, "{}", None).unwrap().protocol, Protocol::Json10);
    }

    #[test]
    fn an_action_in_a_form_or_a_query_string() {
        let form = parts("POST", "/", &[FORM]);
        let body = "Action=GetCallerIdentity&Version=2011-06-15";
        for name in [Some("sts"), None] {
            assert_eq!(go(&form, body, name).unwrap().operation.name, "GetCallerIdentity");
        }
        let get = parts("GET", "/?Action=ListRoles&Version=2010-05-08", &[]);
        assert_eq!(go(&get, "", None).unwrap().service.id, "iam");
    }

    #[test]
    fn an_action_at_a_resource_of_its_own() {
        let form = parts("POST", "/000000000000/q", &[FORM]);
        let body = "Action=SendMessage&MessageBody=x";
        for name in [Some("sqs"), None] {
            let route = go(&form, body, name).unwrap();
            assert_eq!((route.operation.name, route.protocol), ("SendMessage", Protocol::Query));
        }
        let get = parts("GET", "/000000000000/q?Action=ReceiveMessage&Version=2012-11-05", &[]);
        assert_eq!(go(&get, "", None).unwrap().operation.name, "ReceiveMessage");
        // The bare address is no resource.
        assert!(go(&parts("POST", "/", &[FORM]), body, Some("sqs")).is_err());
        assert!(go(&form, "Action=Nonsense", None).is_err());
    }

    #[test]
    fn a_link_of_a_message() {
        let link = "/?Action=ConfirmSubscription&TopicArn=arn:aws:sns:us-east-1:000000000000:t&Token=abc";
        let route = go(&parts("GET", link, &[]), "", None).unwrap();
        assert_eq!((route.service.id, route.operation.name), ("sns", "ConfirmSubscription"));
        // What needs a signature needs a version, too.
        assert!(go(&parts("GET", "/?Action=ListTopics", &[]), "", None).is_err());
    }

    #[test]
    fn what_is_unknown_is_named() {
        let form = parts("POST", "/", &[FORM]);
        let failed = go(&form, "Action=Nonsense&Version=2011-06-15", Some("sts")).unwrap_err();
        assert_eq!(failed.error.message, "Could not find operation Nonsense for version 2011-06-15");
        assert_eq!((failed.error.code.as_ref(), failed.form.protocol), ("InvalidAction", Protocol::Query));
        let failed = go(&form, "Action=GetCallerIdentity", Some("sts")).unwrap_err();
        assert!(failed.error.message.ends_with("NO_VERSION_SPECIFIED"));
        let failed = go(&parts("GET", "/nowhere", &[]), "", Some("lambda")).unwrap_err();
        assert_eq!(failed.error.http_status(), 404);
        let failed = go(&parts("GET", "/bucket", &[]), "", Some("s3-object-lambda")).unwrap_err();
        assert_eq!(failed.error.message, "service s3-object-lambda is not supported yet");
        let target = parts("POST", "/", &[("x-amz-target", "Logs_20140328.Nonsense")]);
        assert_eq!(go(&target, "{}", None).unwrap_err().error.code, "UnknownOperationException");
    }

    #[test]
    fn an_rpc_path() {
        let parts = parts(
            "POST",
            "/service/Logs_20140328/operation/CreateLogGroup",
            &[("smithy-protocol", "rpc-v2-cbor")],
        );
        let route = go(&parts, "", None).unwrap();
        assert_eq!((route.operation.name, route.protocol), ("CreateLogGroup", Protocol::RpcV2Cbor));
    }
}

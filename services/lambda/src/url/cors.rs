//! Cross-origin requests to a function URL, as its own configuration says.
//!
//! With a configuration a preflight is answered here, without running the function, and the headers of the configuration
//! stand in the place of those that the function sends. Without one both are left to the function. A request of an
//! origin that is not allowed runs all the same: that its answer may not be read is the browser's affair.
//!
//! Where an answer may not say `*` because credentials are allowed, it names what was asked for instead.
//! <https://docs.aws.amazon.com/lambda/latest/api/API_Cors.html>.

use bytes::Bytes;
use gateway::Body;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue,
    ORIGIN, VARY,
};
use http::request::Parts;
use http::{Method, Response};

use super::record::Cors;

/// What a configuration may set: a function's own are removed.
const ALL: [HeaderName; 6] = [
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
];

/// The answer to a browser's question whether it may send a request; `None`: this is no such question.
pub(super) fn preflight(cors: &Cors, head: &Parts) -> Option<Response<Body>> {
    let method = head.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
    if head.method != Method::OPTIONS || !head.headers.contains_key(ORIGIN) {
        return None;
    }
    let mut response = Response::new(Body::from(Bytes::new()));
    let headers = response.headers_mut();
    if !allow_origin(cors, head, headers) {
        return Some(response);
    }
    if let Some(methods) = &cors.allow_methods {
        let any = methods.iter().any(|method| method == "*");
        let value = if any { Some(method.clone()) } else { joined(methods) };
        set(headers, ACCESS_CONTROL_ALLOW_METHODS, value);
    }
    if let Some(allowed) = &cors.allow_headers {
        let any = allowed.iter().any(|header| header == "*");
        let asked = head.headers.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        set(headers, ACCESS_CONTROL_ALLOW_HEADERS, if any { asked } else { joined(allowed) });
    }
    if let Some(max_age_s) = cors.max_age_s {
        set(headers, ACCESS_CONTROL_MAX_AGE, HeaderValue::try_from(max_age_s.to_string()).ok());
    }
    Some(response)
}

/// Puts the configuration's headers into an answer.
pub(super) fn apply(cors: &Cors, head: &Parts, headers: &mut HeaderMap) {
    for name in ALL {
        headers.remove(name);
    }
    if allow_origin(cors, head, headers)
        && let Some(exposed) = &cors.expose_headers
    {
        set(headers, ACCESS_CONTROL_EXPOSE_HEADERS, joined(exposed));
    }
}

/// Says whether the request's origin may read the answer, and to the browser if it may.
fn allow_origin(cors: &Cors, head: &Parts, headers: &mut HeaderMap) -> bool {
    let Some(origin) = head.headers.get(ORIGIN) else { return false };
    let origins = cors.allow_origins.as_deref().unwrap_or_default();
    let credentials = cors.allow_credentials.unwrap_or(false);
    let any = origins.iter().any(|allowed| allowed == "*");
    if !any || credentials {
        headers.append(VARY, HeaderValue::from_static("Origin"));
    }
    if !any && !origins.iter().any(|allowed| is_origin(allowed, origin)) {
        return false;
    }
    let shown = if any && !credentials { HeaderValue::from_static("*") } else { origin.clone() };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, shown);
    if credentials {
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    true
}

/// Schemes and hosts know no case; a slash at the end is forgiven.
fn is_origin(allowed: &str, origin: &HeaderValue) -> bool {
    origin.as_bytes().eq_ignore_ascii_case(allowed.strip_suffix('/').unwrap_or(allowed).as_bytes())
}

fn joined(items: &[String]) -> Option<HeaderValue> {
    HeaderValue::try_from(items.join(",")).ok().filter(|value| !value.is_empty())
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    if let Some(value) = value {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, headers: &[(&str, &str)]) -> Parts {
        let request =
            headers.iter().fold(http::Request::builder().method(method), |request, (name, value)| {
                request.header(*name, *value)
            });
        request.body(()).unwrap().into_parts().0
    }

    fn cors() -> Cors {
        let texts = |texts: &[&str]| Some(texts.iter().map(|&text| text.to_owned()).collect());
        Cors {
            allow_credentials: Some(true),
            allow_headers: texts(&["content-type", "x-own"]),
            allow_methods: texts(&["GET", "POST"]),
            allow_origins: texts(&["https://a.example", "http://localhost:3000/"]),
            expose_headers: texts(&["date"]),
            max_age_s: Some(60),
        }
    }

    fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
        headers.get(name).map(|value| value.to_str().unwrap())
    }

    #[test]
    fn a_preflight_is_answered_from_the_configuration() {
        let asked =
            head("OPTIONS", &[("origin", "https://A.example"), ("access-control-request-method", "POST")]);
        let response = preflight(&cors(), &asked).unwrap();
        let headers = response.headers();
        assert_eq!(response.status(), 200);
        assert_eq!(value(headers, "access-control-allow-origin"), Some("https://A.example"));
        assert_eq!(value(headers, "access-control-allow-methods"), Some("GET,POST"));
        assert_eq!(value(headers, "access-control-allow-headers"), Some("content-type,x-own"));
        assert_eq!(value(headers, "access-control-allow-credentials"), Some("true"));
        assert_eq!(value(headers, "access-control-max-age"), Some("60"));
        assert_eq!(value(headers, "vary"), Some("Origin"));
    }

    #[test]
    fn a_foreign_origin_is_told_nothing() {
        let asked =
            head("OPTIONS", &[("origin", "https://b.example"), ("access-control-request-method", "GET")]);
        let response = preflight(&cors(), &asked).unwrap();
        assert!(ALL.iter().all(|name| !response.headers().contains_key(name)));
    }

    #[test]
    fn other_options_requests_are_the_functions() {
        assert!(preflight(&cors(), &head("OPTIONS", &[])).is_none());
        assert!(preflight(&cors(), &head("OPTIONS", &[("origin", "https://a.example")])).is_none());
        let get = head("GET", &[("origin", "https://a.example"), ("access-control-request-method", "GET")]);
        assert!(preflight(&cors(), &get).is_none());
    }

    #[test]
    fn a_wildcard_names_what_was_asked_for_where_it_must() {
        let any = |credentials| Cors {
            allow_origins: Some(vec!["*".to_owned()]),
            allow_methods: Some(vec!["*".to_owned()]),
            allow_headers: Some(vec!["*".to_owned()]),
            allow_credentials: Some(credentials),
            ..Cors::default()
        };
        let asked = head(
            "OPTIONS",
            &[
                ("origin", "https://a.example"),
                ("access-control-request-method", "PUT"),
                ("access-control-request-headers", "x-a,x-b"),
            ],
        );
        let response = preflight(&any(false), &asked).unwrap();
        assert_eq!(value(response.headers(), "access-control-allow-origin"), Some("*"));
        assert_eq!(value(response.headers(), "access-control-allow-methods"), Some("PUT"));
        assert_eq!(value(response.headers(), "access-control-allow-headers"), Some("x-a,x-b"));
        let response = preflight(&any(true), &asked).unwrap();
        assert_eq!(value(response.headers(), "access-control-allow-origin"), Some("https://a.example"));
    }

    #[test]
    fn the_configuration_stands_in_the_place_of_the_functions_headers() {
        let mut headers = HeaderMap::new();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("DELETE"));
        apply(&cors(), &head("GET", &[("origin", "http://localhost:3000")]), &mut headers);
        assert_eq!(value(&headers, "access-control-allow-origin"), Some("http://localhost:3000"));
        assert_eq!(value(&headers, "access-control-expose-headers"), Some("date"));
        assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_METHODS));
        apply(&cors(), &head("GET", &[]), &mut headers);
        assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
    }
}

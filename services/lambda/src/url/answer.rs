//! From a function's answer to an HTTP response, when the answer is all there.
//!
//! JSON with a `statusCode` is a response as it describes itself. Any other JSON is the body of a 200. What is neither
//! fails the request with 502, as a function's error does; the client sees AWS's two words and nothing of the reason.
//! <https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html#urls-response-payload>.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gateway::Body;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, SET_COOKIE};
use http::{Response, StatusCode};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// What the head of an answer may say: of a whole one, or of a stream's prelude.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Head {
    status_code: Option<Scalar>,
    headers: Option<BTreeMap<String, Option<Scalar>>>,
    cookies: Option<Vec<String>>,
}

/// The rest of a whole answer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rest {
    body: Option<Content>,
    is_base64_encoded: Option<bool>,
}

/// A body: text, or JSON that the function forgot to write as text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    // Passed on as it is: the one place where the value's form does not matter.
    Json(serde_json::Value),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Number(serde_json::Number),
    Truth(bool),
}

impl Scalar {
    fn text(&self) -> String {
        match self {
            Scalar::Text(text) => text.clone(),
            Scalar::Number(number) => number.to_string(),
            Scalar::Truth(truth) => truth.to_string(),
        }
    }
}

/// Headers that belong to the connection or that follow from the body: what a function says of them is left out.
const NOT_THE_FUNCTIONS: [&str; 9] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-amzn-requestid",
];

/// The answer is no response.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Malformed(String);

/// A response from a function's whole answer.
pub(super) fn response(payload: Bytes) -> Result<Response<Body>, Malformed> {
    let malformed = |error: serde_json::Error| Malformed(format!("the answer is not JSON: {error}"));
    // Looked at twice, so that JSON that describes no response is passed on without a copy.
    let described = match payload.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => serde_json::from_slice::<HasStatus>(&payload).map_err(malformed)?.status_code.is_some(),
        _ => {
            serde_json::from_slice::<IgnoredAny>(&payload).map_err(malformed)?;
            false
        }
    };
    if !described {
        let mut response = Response::new(Body::from(payload));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        return Ok(response);
    }
    let head: Head = serde_json::from_slice(&payload).map_err(malformed)?;
    let rest: Rest = serde_json::from_slice(&payload).map_err(malformed)?;
    let mut response = head.response("application/json")?;
    *response.body_mut() = Body::from(rest.bytes()?);
    Ok(response)
}

#[derive(Deserialize)]
struct HasStatus {
    #[serde(rename = "statusCode")]
    status_code: Option<IgnoredAny>,
}

impl Rest {
    fn bytes(self) -> Result<Bytes, Malformed> {
        let text = match self.body {
            None => return Ok(Bytes::new()),
            Some(Content::Text(text)) => text,
            Some(Content::Json(value)) => value.to_string(),
        };
        if self.is_base64_encoded == Some(true) {
            let decoded = STANDARD.decode(text.trim_end());
            return decoded
                .map(Bytes::from)
                .map_err(|error| Malformed(format!("the body is not base64: {error}")));
        }
        Ok(Bytes::from(text))
    }
}

impl Head {
    /// A response without a body yet. `kind` is its content type unless the function names one.
    pub(super) fn response(&self, kind: &'static str) -> Result<Response<Body>, Malformed> {
        let mut response = Response::new(Body::empty());
        if let Some(code) = &self.status_code {
            *response.status_mut() = status_of(code)?;
        }
        let headers = response.headers_mut();
        let given = self.headers.iter().flatten();
        for (name, value) in given.filter_map(|(name, value)| Some((name, value.as_ref()?))) {
            let bad = || Malformed(format!("the header '{name}' cannot be sent"));
            let header = HeaderName::try_from(name.as_str()).map_err(|_| bad())?;
            if NOT_THE_FUNCTIONS.contains(&header.as_str()) {
                continue;
            }
            headers.append(header, HeaderValue::try_from(value.text()).map_err(|_| bad())?);
        }
        for cookie in self.cookies.iter().flatten() {
            let bad = |_| Malformed("a cookie cannot be sent".to_owned());
            headers.append(SET_COOKIE, HeaderValue::try_from(cookie.as_str()).map_err(bad)?);
        }
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(kind));
        Ok(response)
    }
}

fn status_of(code: &Scalar) -> Result<StatusCode, Malformed> {
    let text = code.text();
    let status = text.parse::<u16>().ok().and_then(|code| StatusCode::from_u16(code).ok());
    // Informational answers cannot be the last one.
    status
        .filter(|status| !status.is_informational() && status.as_u16() < 600)
        .ok_or_else(|| Malformed(format!("'{text}' is no status code")))
}

/// AWS's answer where a function failed, or answered what is no response.
pub(super) fn failed() -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::from_static(b"Internal Server Error")));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer of the platform's own: `{"Message": ".."}`.
pub(super) fn refusal(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let body = serde_json::json!({ "Message": message }).to_string();
    let mut response = Response::new(Body::from(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(code) = HeaderValue::try_from(code) {
        headers.insert("x-amzn-errortype", code);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(payload: &str) -> (u16, Vec<(String, String)>, String) {
        let response = response(Bytes::from(payload.to_owned())).unwrap();
        let headers = response.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        let body = response.body().whole().unwrap();
        (response.status().as_u16(), headers, String::from_utf8(body.to_vec()).unwrap())
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn json_without_a_status_is_the_body() {
        let json = pairs(&[("content-type", "application/json")]);
        for payload in ["\"hello\"", "{\"message\": 1}", "[1, 2]", "null", "7", " {}", "{\"body\":\"x\"}"] {
            assert_eq!(seen(payload), (200, json.clone(), payload.to_owned()), "{payload}");
        }
    }

    #[test]
    fn a_described_response_is_made_as_described() {
        let (status, headers, body) = seen(
            r#"{"statusCode":201,"headers":{"Content-Type":"text/plain","X-N":3,"X-B":true,"X-Nil":null,"Content-Length":"9"},
                "cookies":["a=1; Path=/","b=2"],"body":"hi","isBase64Encoded":false}"#,
        );
        assert_eq!((status, body.as_str()), (201, "hi"));
        assert_eq!(
            headers,
            pairs(&[
                ("content-type", "text/plain"),
                ("x-b", "true"),
                ("x-n", "3"),
                ("set-cookie", "a=1; Path=/"),
                ("set-cookie", "b=2")
            ])
        );
        assert_eq!(seen(r#"{"statusCode":200,"body":"aGk=","isBase64Encoded":true}"#).2, "hi");
        assert_eq!(seen(r#"{"statusCode":200,"body":{"a":1}}"#).2, r#"{"a":1}"#);
        assert_eq!(seen(r#"{"statusCode":"404"}"#).0, 404);
        assert_eq!(seen(r#"{"statusCode":204}"#).2, "");
    }

    #[test]
    fn what_is_no_response_is_malformed() {
        for bad in [
            "",
            "plain text",
            "{",
            r#"{"statusCode":"two"}"#,
            r#"{"statusCode":99}"#,
            r#"{"statusCode":101}"#,
            r#"{"statusCode":600}"#,
            r#"{"statusCode":{}}"#,
            r#"{"statusCode":200,"headers":"x"}"#,
            r#"{"statusCode":200,"headers":{"a b":"c"}}"#,
            r#"{"statusCode":200,"headers":{"a":"b\nc"}}"#,
            r#"{"statusCode":200,"headers":{"a":["b"]}}"#,
            r#"{"statusCode":200,"cookies":"a=b"}"#,
            r#"{"statusCode":200,"body":"%%%","isBase64Encoded":true}"#,
            r#"{"statusCode":200,"isBase64Encoded":"yes"}"#,
        ] {
            assert!(response(Bytes::from(bad)).is_err(), "{bad}");
        }
    }
}

//! The command line as a client of a running server: plain HTTP/1.1, signed as every AWS client signs.
//!
//! It speaks to one server for one or a few requests and so keeps no pool. Commands print what it returns; an error
//! answer becomes one line.

use std::time::Duration;

use base::Clock;
use bytes::Bytes;
use clap::Args;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wire::sigv4::{Signer, sign};

/// A function may run for 15 minutes; an answer takes no longer than that and a little.
const ANSWER_LIMIT: Duration = Duration::from_secs(960);

/// Which server, and as whom.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClientArgs {
    /// The server's address
    #[arg(
        long,
        global = true,
        env = "AWS_ENDPOINT_URL",
        default_value = "http://127.0.0.1:4566",
        value_name = "URL"
    )]
    endpoint: String,
    /// The region
    #[arg(long, global = true, env = "AWS_REGION", default_value = "us-east-1")]
    region: String,
    /// The access key id; a 12-digit one means that account
    #[arg(long, global = true, env = "AWS_ACCESS_KEY_ID", default_value = "test", hide_env_values = true)]
    access_key_id: String,
    /// The secret access key
    #[arg(
        long,
        global = true,
        env = "AWS_SECRET_ACCESS_KEY",
        default_value = "test",
        hide_env_values = true
    )]
    secret_access_key: String,
    /// The session token of temporary credentials
    #[arg(long, global = true, env = "AWS_SESSION_TOKEN", hide_env_values = true)]
    session_token: Option<String>,
}

impl ClientArgs {
    /// The account that the access key id names, if it does.
    pub(crate) fn account(&self) -> Option<&str> {
        let id = self.access_key_id.as_str();
        (id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_digit())).then_some(id)
    }

    /// The region.
    pub(crate) fn region(&self) -> &str {
        &self.region
    }
}

/// A client of one server.
pub(crate) struct Client {
    authority: String,
    region: String,
    signer: Signer,
    clock: Clock,
}

/// The error members that the protocols have in common.
#[derive(Deserialize)]
struct ErrorBody {
    #[serde(rename = "__type")]
    kind: Option<String>,
    #[serde(alias = "Message")]
    message: Option<String>,
}

impl Client {
    pub(crate) fn new(args: &ClientArgs) -> Result<Client, String> {
        let wrong = || format!("'{}' is not an address such as http://127.0.0.1:4566", args.endpoint);
        let uri: Uri = args.endpoint.parse().map_err(|_| wrong())?;
        if uri.scheme_str() != Some("http") {
            return Err(format!("{}; only http is supported", wrong()));
        }
        let host = uri.host().ok_or_else(wrong)?;
        Ok(Client {
            authority: format!("{host}:{}", uri.port_u16().unwrap_or(80)),
            region: args.region.clone(),
            signer: Signer {
                access_key_id: args.access_key_id.clone(),
                secret: args.secret_access_key.clone(),
                session_token: args.session_token.clone(),
            },
            clock: Clock::system(),
        })
    }

    /// Sends a signed request to a service, by its signing name. An error answer becomes the error line.
    pub(crate) async fn signed(
        &self,
        service: &str,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, String> {
        let (mut parts, body) = request.into_parts();
        self.address(&mut parts)?;
        // This machine's time, even if the server's clock was moved: signatures do not go by the moved one.
        sign(&mut parts, &body, &self.signer, &self.region, service, self.clock.now())
            .map_err(|error| error.to_string())?;
        let answer = self.send(Request::from_parts(parts, body)).await?;
        if answer.status().is_success() { Ok(answer) } else { Err(error_line(&answer)) }
    }

    /// Calls an operation of a service that speaks JSON 1.0, by its target, such as `AmazonSQS.ListQueues`.
    pub(crate) async fn json<Req: Serialize, Res: DeserializeOwned>(
        &self,
        service: &str,
        target: &str,
        input: &Req,
    ) -> Result<Res, String> {
        let body = serde_json::to_vec(input).map_err(|error| error.to_string())?;
        let request = Request::builder()
            .method(http::Method::POST)
            .uri("/")
            .header(header::CONTENT_TYPE, "application/x-amz-json-1.0")
            .header("x-amz-target", target)
            .body(Bytes::from(body))
            .map_err(|error| error.to_string())?;
        let answer = self.signed(service, request).await?;
        let body: &[u8] = if answer.body().is_empty() { b"{}" } else { answer.body() };
        serde_json::from_slice(body).map_err(|error| format!("not an answer of {target}: {error}"))
    }

    /// The region that is asked.
    pub(crate) fn region(&self) -> &str {
        &self.region
    }

    /// Visits a link of the server's, unsigned, as a browser does.
    pub(crate) async fn visit(&self, path: &str) -> Result<Bytes, String> {
        let request = Request::builder().method("GET").uri(path).body(Bytes::new());
        let (mut parts, body) = request.map_err(|error| error.to_string())?.into_parts();
        self.address(&mut parts)?;
        let answer = self.send(Request::from_parts(parts, body)).await?;
        if answer.status().is_success() { Ok(answer.into_body()) } else { Err(error_line(&answer)) }
    }

    /// Calls the private API of the server.
    pub(crate) async fn admin(&self, method: &str, path: &str, body: String) -> Result<Bytes, String> {
        let request = Request::builder()
            .method(method)
            .uri(format!("/_lamplighter/{path}"))
            .header("x-lamplighter", "1")
            .body(Bytes::from(body))
            .map_err(|error| error.to_string())?;
        let (mut parts, body) = request.into_parts();
        self.address(&mut parts)?;
        let answer = self.send(Request::from_parts(parts, body)).await?;
        if answer.status().is_success() { Ok(answer.into_body()) } else { Err(error_line(&answer)) }
    }

    fn address(&self, parts: &mut http::request::Parts) -> Result<(), String> {
        let host = HeaderValue::from_str(&self.authority).map_err(|error| error.to_string())?;
        parts.headers.insert(header::HOST, host);
        Ok(())
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, String> {
        let unreachable = |error: &dyn std::fmt::Display| {
            format!(
                "no server answers at http://{}: {error}; start one with `lamplighter start`",
                self.authority
            )
        };
        let stream =
            tokio::net::TcpStream::connect(&self.authority).await.map_err(|error| unreachable(&error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreachable(&error))?;
        let driver = tokio::spawn(connection);
        let exchange = async {
            let answer = sender.send_request(request.map(Full::new)).await?;
            let (parts, body) = answer.into_parts();
            Ok::<_, hyper::Error>(Response::from_parts(parts, body.collect().await?.to_bytes()))
        };
        let answer = tokio::time::timeout(ANSWER_LIMIT, exchange).await;
        driver.abort();
        match answer {
            Ok(answer) => answer.map_err(|error| unreachable(&error)),
            Err(_) => Err(format!("no answer within {ANSWER_LIMIT:?}")),
        }
    }
}

/// Percent-encodes one segment of a path.
pub(crate) fn encode_segment(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn error_line(answer: &Response<Bytes>) -> String {
    let header = answer.headers().get("x-amzn-errortype").and_then(|value| value.to_str().ok());
    match serde_json::from_slice::<ErrorBody>(answer.body()) {
        Ok(body) => format!(
            "{}: {}",
            header.map(str::to_owned).or(body.kind).unwrap_or_else(|| answer.status().to_string()),
            body.message.unwrap_or_default()
        ),
        Err(_) => format!("{}: {}", answer.status(), String::from_utf8_lossy(answer.body())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_is_one_segment() {
        assert_eq!(encode_segment("arn:aws:x/y"), "arn%3Aaws%3Ax%2Fy");
    }
}

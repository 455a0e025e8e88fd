//! What the tests stand on: services, keys, a listening gateway, and a plain HTTP/1.1 client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::{AccountId, ApiError, Clock, Principal, Region, Timestamp};
use bytes::Bytes;
use frontdoor::{Call, Credentials, FrontDoor, KnownKey, Service};
use gateway::{AuthMode, Gateway, GatewayConfig, SourceKind};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wire::Blob;

use crate::sign::Signer;

/// 2026-11-23T12:00:00Z: the tests' requests are signed at this moment.
pub(crate) const NOW: Timestamp = Timestamp(1_795_435_200_000);
/// Longer than anything here takes; reached only when something hangs.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Deserialize)]
struct Invoke {
    #[serde(rename = "FunctionName")]
    name: String,
    #[serde(rename = "Payload")]
    payload: Option<Blob>,
}

#[derive(Serialize)]
struct Invoked {
    #[serde(rename = "StatusCode")]
    status: i32,
    #[serde(rename = "Payload")]
    payload: Blob,
}

/// Echoes the payload.
async fn invoke(_: Arc<()>, _: Call, input: Invoke) -> Result<Invoked, ApiError> {
    match input.name.as_str() {
        "panic" => panic!("no paper"),
        "missing" => {
            Err(ApiError::new("ResourceNotFoundException", "Function not found: missing").status(404))
        }
        _ => Ok(Invoked { status: 200, payload: input.payload.unwrap_or_default() }),
    }
}

#[derive(Deserialize)]
struct Nothing {}

#[derive(Serialize)]
struct Identity {
    #[serde(rename = "Account")]
    account: String,
    #[serde(rename = "Arn")]
    arn: String,
    #[serde(rename = "UserId")]
    user_id: String,
}

/// Tells what it sees of the call.
async fn get_caller_identity(_: Arc<()>, call: Call, _: Nothing) -> Result<Identity, ApiError> {
    Ok(Identity {
        account: call.account().to_string(),
        arn: call.principal().arn(),
        user_id: format!("{:?} {}", call.source(), call.region()),
    })
}

#[derive(Deserialize)]
struct CreateLogGroup {
    #[serde(rename = "logGroupName")]
    _name: String,
}

async fn create_log_group(_: Arc<()>, _: Call, _: CreateLogGroup) -> Result<(), ApiError> {
    Ok(())
}

/// `test`/`test`, and a session key that ends at [`NOW`] plus one minute.
struct Keys;

impl Credentials for Keys {
    fn look_up(&self, id: &str, token: Option<&str>, now: Timestamp) -> Result<KnownKey, ApiError> {
        let account = AccountId::DEFAULT;
        match (id, token) {
            ("test", None) => {
                Ok(KnownKey { secret: "test".to_owned(), principal: Principal::Root { account }, account })
            }
            ("ASIASESSION", Some("token")) if now.0 > NOW.0 + 60_000 => {
                Err(ApiError::new("ExpiredToken", "over"))
            }
            ("ASIASESSION", Some("token")) => {
                let principal = Principal::AssumedRole { account, role: "r".into(), session: "s".into() };
                Ok(KnownKey { secret: "session".to_owned(), principal, account })
            }
            _ => Err(ApiError::new("InvalidClientTokenId", "no such key")),
        }
    }
}

pub(crate) struct House {
    pub(crate) gateway: Gateway,
    pub(crate) clock: Clock,
    pub(crate) address: SocketAddr,
}

impl House {
    pub(crate) async fn open(auth: AuthMode) -> House {
        House::with(auth, SourceKind::Outside, |_| {}).await
    }

    pub(crate) async fn with(
        auth: AuthMode,
        kind: SourceKind,
        change: impl FnOnce(&mut GatewayConfig),
    ) -> House {
        House::serving(Service::new("sqs", Arc::new(())).build(), auth, kind, change).await
    }

    /// The same with a further service.
    pub(crate) async fn serving(
        service: Service,
        auth: AuthMode,
        kind: SourceKind,
        change: impl FnOnce(&mut GatewayConfig),
    ) -> House {
        let clock = Clock::frozen(NOW);
        let front_door = FrontDoor::builder(clock.clone())
            .add(
                Service::new("lambda", Arc::new(()))
                    .on("Invoke", invoke)
                    .body_limit("Invoke", 1000, "Request must be smaller than 1000 bytes")
                    .build(),
            )
            .add(Service::new("sts", Arc::new(())).on("GetCallerIdentity", get_caller_identity).build())
            .add(Service::new("logs", Arc::new(())).on("CreateLogGroup", create_log_group).build())
            .add(service)
            .build();
        let mut config = GatewayConfig::new(auth, Region::default(), clock.clone());
        config.max_body_bytes = 2000;
        change(&mut config);
        let gateway = Gateway::new(front_door, Arc::new(Keys), config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        gateway.serve(listener, kind);
        House { gateway, clock, address }
    }

    pub(crate) async fn connect(&self) -> Client {
        Client { stream: TcpStream::connect(self.address).await.unwrap(), host: self.address.to_string() }
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, request: Ask) -> Answer {
        let mut client = self.connect().await;
        client.send(&request).await;
        client.answer().await
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }
}

/// A request to be sent.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) signer: Option<Signer>,
    /// Instead of the address that is connected to.
    pub(crate) host: Option<&'static str>,
}

impl Ask {
    pub(crate) fn new(method: &'static str, target: &str) -> Ask {
        Ask {
            method,
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            signer: None,
            host: None,
        }
    }

    /// Invoke, signed.
    pub(crate) fn invoke(name: &str, body: &[u8]) -> Ask {
        let target = format!("/2015-03-31/functions/{name}/invocations");
        Ask { body: body.to_vec(), signer: Some(Signer::new("lambda")), ..Ask::new("POST", &target) }
    }

    pub(crate) fn to(self, target: &str) -> Ask {
        Ask { target: target.to_owned(), ..self }
    }

    /// A query protocol's request, signed.
    pub(crate) fn query(body: &str) -> Ask {
        Ask { body: body.as_bytes().to_vec(), signer: Some(Signer::new("sts")), ..Ask::new("POST", "/") }
            .header("content-type", "application/x-www-form-urlencoded")
    }

    /// A JSON 1.1 protocol's request, signed.
    pub(crate) fn json(target: &str, body: &str) -> Ask {
        Ask { body: body.as_bytes().to_vec(), signer: Some(Signer::new("logs")), ..Ask::new("POST", "/") }
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", target)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Ask {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn host(mut self, host: &'static str) -> Ask {
        self.host = Some(host);
        self
    }

    pub(crate) fn signed(mut self, change: impl FnOnce(&mut Signer)) -> Ask {
        change(self.signer.as_mut().unwrap());
        self
    }

    pub(crate) fn unsigned(mut self) -> Ask {
        self.signer = None;
        self
    }
}

pub(crate) struct Client {
    stream: TcpStream,
    host: String,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    pub(crate) async fn send(&mut self, ask: &Ask) {
        let mut head = self.head(ask);
        head.push_str(&format!("content-length: {}\r\n\r\n", ask.body.len()));
        self.write(head.as_bytes()).await;
        self.write(&ask.body).await;
    }

    /// Request line and headers without a length and without the empty line.
    pub(crate) fn head(&self, ask: &Ask) -> String {
        let host = ask.host.unwrap_or(&self.host);
        let mut head = format!("{} {} HTTP/1.1\r\nhost: {host}\r\n", ask.method, ask.target);
        let signing = ask.signer.iter().flat_map(|signer| {
            signer.headers(ask.method, ask.target.split('?').next().unwrap(), host, &ask.body)
        });
        for (name, value) in ask.headers.iter().cloned().chain(signing) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head
    }

    /// A server that refuses a body may close before all of it is written; the answer tells.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let _ = tokio::time::timeout(PATIENCE, self.stream.write_all(bytes)).await.unwrap();
    }

    pub(crate) async fn answer(&mut self) -> Answer {
        tokio::time::timeout(PATIENCE, self.read_answer(true)).await.unwrap()
    }

    /// The answer to HEAD.
    pub(crate) async fn answer_without_body(&mut self) -> Answer {
        tokio::time::timeout(PATIENCE, self.read_answer(false)).await.unwrap()
    }

    /// Everything up to and with `end`, which must come.
    pub(crate) async fn read_until(&mut self, end: &[u8]) -> Vec<u8> {
        let mut seen = Vec::new();
        while !seen.ends_with(end) {
            let byte = tokio::time::timeout(PATIENCE, self.stream.read_u8()).await;
            seen.push(byte.unwrap().unwrap_or_else(|_| panic!("{:?}", String::from_utf8_lossy(&seen))));
        }
        seen
    }

    /// Whether the server has ended the connection.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        matches!(tokio::time::timeout(PATIENCE, self.stream.read(&mut byte)).await.unwrap(), Ok(0) | Err(_))
    }

    async fn read_answer(&mut self, with_body: bool) -> Answer {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(0, |(_, value)| value.parse().unwrap());
        let mut body = vec![0; if with_body { length } else { 0 }];
        self.stream.read_exact(&mut body).await.unwrap();
        Answer { status, headers, body: Bytes::from(body) }
    }
}

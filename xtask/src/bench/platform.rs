//! The platform under measurement: a `lamplighter` process of its own, and a client that signs as an SDK does.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base::Clock;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use wire::sigv4::{Signer, sign};

use super::functions::{EVENT, Function, MEMORY_MIB};
use super::http::Connection;
use crate::tools;

const REGION: &str = "us-east-1";
/// The start of every path of the API.
pub(super) const FUNCTIONS: &str = "/2015-03-31/functions";
/// Nothing that is waited for may take longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A `lamplighter` process. It is killed when it goes out of scope.
pub(super) struct Platform {
    child: Child,
    pub(super) address: SocketAddr,
}

/// The binary under measurement: `$LAMPLIGHTER_BIN`, or the release build.
pub(super) fn binary() -> PathBuf {
    let set = std::env::var_os("LAMPLIGHTER_BIN").map(PathBuf::from);
    set.unwrap_or_else(|| tools::target_dir().join("release/lamplighter"))
}

/// A command of the binary, with nothing in its environment that would steer it.
fn command(arguments: &[&str], data: &Path, address: &str) -> Result<Command, String> {
    let log = data.with_extension("log");
    let log = File::options()
        .create(true)
        .append(true)
        .open(&log)
        .map_err(|e| format!("{}: {e}", log.display()))?;
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("AWS_") || text.starts_with("LAMPLIGHTER_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).args(["--listen", address]).arg("--data").arg(data);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    Ok(command)
}

impl Platform {
    /// `lamplighter start`, with its defaults but for address and folder; returns when it says that it listens.
    pub(super) fn start(data: &Path) -> Result<Self, String> {
        Self::with(&["start"], data)
    }

    /// The same for any subcommand that serves.
    pub(super) fn with(arguments: &[&str], data: &Path) -> Result<Self, String> {
        let mut child = spawn(command(arguments, data, "127.0.0.1:0")?)?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let mut line = String::new();
        // The pipe stays open in a thread that reads on: the server must not meet a closed one.
        let mut reader = BufReader::new(stdout);
        let read = reader.read_line(&mut line);
        std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
        let address = line.trim().rsplit("http://").next().and_then(|text| text.parse().ok());
        match (read, address) {
            (Ok(_), Some(address)) => Ok(Platform { child, address }),
            _ => {
                let log = fs::read_to_string(data.with_extension("log")).unwrap_or_default();
                end(&mut child);
                Err(format!("lamplighter did not start: {line}{log}"))
            }
        }
    }

    /// Starts it and does not wait: for measuring how long that takes.
    pub(super) fn spawn(data: &Path) -> Result<Self, String> {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.map_err(|error| format!("no free port: {error}"))?;
        let child = spawn(command(&["start"], data, &address.to_string())?)?;
        Ok(Platform { child, address })
    }

    /// The process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as Ctrl-C does, so that its data is in order.
    pub(super) fn stop(mut self) -> Result<(), String> {
        tools::run("kill", &["-TERM".to_owned(), self.pid().to_string()])?;
        self.child.wait().map(|_| ()).map_err(|error| error.to_string())
    }

    /// A client of it.
    pub(super) fn client(&self) -> Result<Client, String> {
        let connection = Connection::open(self.address).map_err(|error| error.to_string())?;
        Ok(Client { address: self.address, connection })
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn spawn(mut command: Command) -> Result<Child, String> {
    command.spawn().map_err(|error| format!("{} cannot be started: {error}", binary().display()))
}

/// Kills a process. That it may be gone already is no matter.
pub(super) fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// A request to Lambda as it goes over the wire, signed now.
pub(super) fn signed(address: SocketAddr, method: &str, path: &str, body: &str) -> Vec<u8> {
    signed_for("lambda", address, method, path, &[("content-type", "application/json")], body)
}

/// A request to any service, with its own headers.
pub(super) fn signed_for(
    service: &str,
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Vec<u8> {
    let signer = Signer { access_key_id: "test".into(), secret: "test".into(), session_token: None };
    let body = Bytes::copy_from_slice(body.as_bytes());
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("host", address.to_string())
        .header("content-length", body.len().to_string());
    let request =
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).body(());
    // Every part is ours and plain ASCII; a request that failed here would be refused by the server and so be seen.
    let Ok((mut parts, ())) = request.map(http::Request::into_parts) else { return Vec::new() };
    if sign(&mut parts, &body, &signer, REGION, service, Clock::system().now()).is_err() {
        return Vec::new();
    }
    let mut text = format!("{method} {path} HTTP/1.1\r\n").into_bytes();
    for (name, value) in &parts.headers {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text.extend_from_slice(&body);
    text
}

/// A signed invoke of a function.
pub(super) fn invoke_request(address: SocketAddr, function: &str) -> Vec<u8> {
    signed(address, "POST", &format!("{FUNCTIONS}/{function}/invocations"), EVENT)
}

/// One connection to the platform.
pub(super) struct Client {
    address: SocketAddr,
    connection: Connection,
}

impl Client {
    /// A signed call; the answer as JSON.
    pub(super) fn call(&mut self, method: &str, path: &str, body: &str) -> Result<Value, String> {
        let request = signed(self.address, method, path, body);
        let answer =
            self.connection.exchange(&request).map_err(|error| format!("{method} {path}: {error}"))?;
        let body = answer.good_body().map_err(|error| format!("{method} {path}: {error}"))?;
        serde_json::from_slice(body).map_err(|error| format!("{method} {path}: no JSON: {error}"))
    }

    /// A signed call whose answer has no body.
    pub(super) fn send(&mut self, method: &str, path: &str, body: &str) -> Result<(), String> {
        let request = signed(self.address, method, path, body);
        let wrong = |error: std::io::Error| format!("{method} {path}: {error}");
        let answer = self.connection.exchange(&request).map_err(wrong)?;
        answer.good_body().map(|_| ()).map_err(|error| format!("{method} {path}: {error}"))
    }

    /// Creates a function and waits until it is active.
    pub(super) fn create(&mut self, function: Function, name: &str) -> Result<(), String> {
        let request = json!({
            "FunctionName": name,
            "Runtime": function.runtime(),
            "Handler": function.handler(),
            "Role": "arn:aws:iam::000000000000:role/bench",
            "MemorySize": MEMORY_MIB,
            "Timeout": 10,
            "Code": { "ZipFile": STANDARD.encode(function.package()?) },
        });
        self.call("POST", FUNCTIONS, &request.to_string())?;
        self.settled(name)
    }

    /// Changes its environment, so that no warm environment serves it any more, and waits until that is done.
    pub(super) fn make_cold(&mut self, name: &str, value: &str) -> Result<(), String> {
        let request = json!({ "Environment": { "Variables": { "ROUND": value } } });
        self.call("PUT", &format!("{FUNCTIONS}/{name}/configuration"), &request.to_string())?;
        self.settled(name)
    }

    fn settled(&mut self, name: &str) -> Result<(), String> {
        let started = Instant::now();
        while started.elapsed() < LIMIT {
            let answer = self.call("GET", &format!("{FUNCTIONS}/{name}/configuration"), "")?;
            if answer["State"] == "Active" && answer["LastUpdateStatus"] == "Successful" {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(format!("{name} did not become active"))
    }

    /// One invoke, checked; how long it took.
    pub(super) fn invoke(&mut self, name: &str, expected: &str) -> Result<Duration, String> {
        let request = invoke_request(self.address, name);
        let started = Instant::now();
        super::load::one(&mut self.connection, &request, expected)?;
        Ok(started.elapsed())
    }
}

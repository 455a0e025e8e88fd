//! The platform under measurement: a `lamplighter` process of its own, and a client that signs as an SDK does.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use base::Clock;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use wire::sigv4::{Signer, sign};

use super::functions::{EVENT, EXPECTED, Function, MEMORY_MIB};
use super::http::Connection;
use super::process;
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

/// What `--binary` says.
static BINARY: OnceLock<PathBuf> = OnceLock::new();

/// Sets the binary under measurement, once.
pub(super) fn use_binary(path: &Path) {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    // A second one does not come: there is one command line.
    let _ = BINARY.set(absolute);
}

/// The binary under measurement: what `--binary` or `$LAMPLIGHTER_BIN` says, or the release build.
pub(super) fn binary() -> PathBuf {
    let set = || std::env::var_os("LAMPLIGHTER_BIN").map(PathBuf::from);
    let built = || tools::target_dir().join("release/lamplighter");
    BINARY.get().cloned().or_else(set).unwrap_or_else(built)
}

/// Whether `lamplighter start` has an option.
pub(super) fn has_option(name: &str) -> bool {
    let output = Command::new(binary()).args(["start", "--help"]).stdin(Stdio::null()).output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(name))
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
        Self::with_env(arguments, &[], data)
    }

    /// The same with something in its environment.
    pub(super) fn with_env(arguments: &[&str], env: &[(&str, String)], data: &Path) -> Result<Self, String> {
        let mut command = command(arguments, data, "127.0.0.1:0")?;
        command.envs(env.iter().map(|(name, value)| (name, value)));
        let mut child = spawn(command)?;
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

    /// Waits until it does nothing: what has ended is gone, what it prepares ahead is ready.
    pub(super) fn settle(&self) {
        process::wait_until_quiet(self.pid());
    }

    /// Moves its clock on.
    pub(super) fn advance(&self, ms: u64) -> Result<(), String> {
        let body = json!({ "advance_ms": ms }).to_string();
        self.private("POST", "clock", &body).map(|_| ())
    }

    /// How many invocations after this one had a cold start, and the last of all.
    pub(super) fn cold_since(&self, since: u64) -> Result<(usize, u64), String> {
        let answer = self.private("GET", &format!("invocations?since={since}"), "")?;
        let records = answer["invocations"].as_array().ok_or("the records are no list")?;
        let cold = records.iter().filter(|record| record["cold"] == true).count();
        Ok((cold, answer["last"].as_u64().unwrap_or(since)))
    }

    /// The same when `count` more invocations have been recorded: records are written when the answers leave.
    pub(super) fn cold_among(&self, count: usize, since: u64) -> Result<usize, String> {
        let started = Instant::now();
        loop {
            let (cold, last) = self.cold_since(since)?;
            if last >= since + count as u64 {
                return Ok(cold);
            }
            if started.elapsed() > Duration::from_secs(5) {
                return Err(format!("{count} invocations were made, {} recorded", last - since));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// A call of the command line's own API.
    fn private(&self, method: &str, path: &str, body: &str) -> Result<Value, String> {
        let request = format!(
            "{method} /_lamplighter/{path} HTTP/1.1\r\nhost: {}\r\nx-lamplighter: 1\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let wrong = |error: &dyn std::fmt::Display| format!("{method} {path}: {error}");
        let mut connection = Connection::open(self.address).map_err(|error| wrong(&error))?;
        let answer = connection.exchange(request.as_bytes()).map_err(|error| wrong(&error))?;
        serde_json::from_slice(answer.good_body()?).map_err(|error| wrong(&error))
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
        self.create_with(function, name, &json!({}))
    }

    /// The same with more settings.
    pub(super) fn create_with(&mut self, function: Function, name: &str, more: &Value) -> Result<(), String> {
        let mut request = json!({
            "FunctionName": name,
            "Runtime": function.runtime(),
            "Handler": function.handler(),
            "Role": "arn:aws:iam::000000000000:role/bench",
            "MemorySize": MEMORY_MIB,
            "Timeout": 30,
            "Code": { "ZipFile": STANDARD.encode(function.package()?) },
        });
        if let (Some(request), Some(more)) = (request.as_object_mut(), more.as_object()) {
            request.extend(more.clone());
        }
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
            if answer["State"] == "Failed" {
                return Err(format!("{name}: {}", answer["StateReason"]));
            }
            if answer["State"] == "Active" && answer["LastUpdateStatus"] == "Successful" {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(format!("{name} did not become active"))
    }

    /// Publishes a version and waits until it is active; gives its number.
    pub(super) fn publish(&mut self, name: &str) -> Result<String, String> {
        let answer = self.call("POST", &format!("{FUNCTIONS}/{name}/versions"), "{}")?;
        let version = answer["Version"].as_str().ok_or("a version without a number")?.to_owned();
        let path = format!("{FUNCTIONS}/{name}/configuration?Qualifier={version}");
        let started = Instant::now();
        while started.elapsed() < LIMIT {
            let answer = self.call("GET", &path, "")?;
            match answer["State"].as_str() {
                Some("Active") => return Ok(version),
                Some("Pending") => std::thread::sleep(Duration::from_millis(5)),
                _ => return Err(format!("{name}:{version}: {}", answer["StateReason"])),
            }
        }
        Err(format!("{name}:{version} did not become active"))
    }

    /// One invoke, checked; how long it took.
    pub(super) fn invoke(&mut self, name: &str, expected: &str) -> Result<Duration, String> {
        let request = invoke_request(self.address, name);
        let started = Instant::now();
        super::load::one(&mut self.connection, &request, expected)?;
        Ok(started.elapsed())
    }

    /// One invoke of a version, checked; how long it took, and the end of the log.
    pub(super) fn invoke_with_log(
        &mut self,
        name: &str,
        version: &str,
    ) -> Result<(Duration, String), String> {
        let path = format!("{FUNCTIONS}/{name}/invocations?Qualifier={version}");
        let headers = [("content-type", "application/json"), ("x-amz-log-type", "Tail")];
        let request = signed_for("lambda", self.address, "POST", &path, &headers, EVENT);
        let started = Instant::now();
        let answer = self.connection.exchange(&request).map_err(|error| format!("invoke: {error}"))?;
        let time = started.elapsed();
        let body = String::from_utf8_lossy(answer.good_body()?).into_owned();
        if !body.contains(EXPECTED) {
            return Err(format!("unexpected body: {body}"));
        }
        let log = answer.header("x-amz-log-result").unwrap_or_default();
        let log = STANDARD.decode(log).map_err(|error| format!("x-amz-log-result: {error}"))?;
        Ok((time, String::from_utf8_lossy(&log).into_owned()))
    }
}

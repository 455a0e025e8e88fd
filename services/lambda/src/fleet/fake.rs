//! For tests: boxes without isolation, whose runtime is a task that speaks to the Runtime API over a real socket.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::{AccountId, ApiError, Clock, Region, RequestId, Timestamp};
use bytes::Bytes;
use frontdoor::{Call, FrontDoor, FrontDoorHandle, Service};
use sandbox::{Binding, BoxSpec, MemoryUse, SandboxError};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::boxes::{BoxParts, EnvBox, Later, Launcher, Waiting};
use super::host_memory::{MemoryReading, MemorySource};
use super::log_sink::{LogEvent, LogSink, StreamName};
use super::log_store::LogStore;
use super::{BoxGateway, Fleet, FleetDeps, FleetLimits};
use crate::function::{Architecture, CodeLocation, FunctionConfig, LogFormat, TracingMode};
use crate::invoke::{Invocation, Origin};
use crate::runtime_api::Departure;

/// What a fake runtime does; it ends with the process.
pub(crate) type Script = Arc<dyn Fn(Peer) -> Later<Departure> + Send + Sync>;

/// A script from an async function.
pub(crate) fn script<F, R>(run: F) -> Script
where
    F: Fn(Peer) -> R + Send + Sync + 'static,
    R: Future<Output = Departure> + Send + 'static,
{
    Arc::new(move |peer| Box::pin(run(peer)))
}

pub(crate) fn exit_code(code: i32) -> Departure {
    Departure { code: Some(code), ..Departure::default() }
}

/// Answers every event with the number of the box that ran it.
pub(crate) fn echo_box() -> Script {
    script(|mut peer| async move {
        loop {
            let event = peer.next().await;
            let number = peer.number;
            peer.respond(&event.id, format!("\"box {number}\"").as_bytes()).await;
        }
    })
}

/// The fake runtime's side: a client of the Runtime API, and the ends of the pipes that a process would write to.
pub(crate) struct Peer {
    pub(crate) number: usize,
    pub(crate) address: SocketAddr,
    stream: Option<TcpStream>,
    output: File,
    telemetry: File,
}

/// An event as the fake runtime got it.
pub(crate) struct Received {
    pub(crate) id: String,
    pub(crate) head: String,
    pub(crate) payload: Vec<u8>,
}

/// An answer of the Runtime API.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Peer {
    async fn stream(&mut self) -> &mut TcpStream {
        let address = self.address;
        if self.stream.is_none() {
            self.stream = Some(TcpStream::connect(address).await.unwrap());
        }
        self.stream.as_mut().unwrap()
    }

    pub(crate) async fn send(&mut self, request: &[u8]) -> Reply {
        let stream = self.stream().await;
        stream.write_all(request).await.unwrap();
        read_reply(stream).await
    }

    /// A part of a request.
    pub(crate) async fn write(&mut self, text: &str) {
        self.stream().await.write_all(text.as_bytes()).await.unwrap();
    }

    /// The next request goes on a connection of its own.
    pub(crate) fn disconnect(&mut self) {
        self.stream = None;
    }

    pub(crate) async fn next(&mut self) -> Received {
        let reply = self.send(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let id = header(&reply.head, "Lambda-Runtime-Aws-Request-Id").unwrap();
        Received { id, head: reply.head, payload: reply.body }
    }

    pub(crate) async fn post(&mut self, path: &str, headers: &str, body: &[u8]) -> Reply {
        let mut request = format!(
            "POST /2018-06-01/runtime/{path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.send(&request).await
    }

    pub(crate) async fn respond(&mut self, id: &str, body: &[u8]) {
        let reply = self.post(&format!("invocation/{id}/response"), "", body).await;
        assert_eq!((reply.status, reply.text().trim()), (202, r#"{"status":"OK"}"#));
    }

    pub(crate) fn print(&self, text: &str) {
        (&self.output).write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn telemetry(&self, text: &str) {
        let mut frame = vec![0xA5, 0x5A, 0, 3];
        frame.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
        frame.extend_from_slice(&[0; 8]);
        frame.extend_from_slice(text.as_bytes());
        (&self.telemetry).write_all(&frame).unwrap();
    }
}

pub(crate) async fn read_reply(stream: &mut TcpStream) -> Reply {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the Runtime API closed the connection");
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut body = bytes.split_off(end);
    let length: usize = header(&head, "Content-Length").unwrap().parse().unwrap();
    while body.len() < length {
        assert_ne!(stream.read_buf(&mut body).await.unwrap(), 0);
    }
    Reply { status: head[9..12].parse().unwrap(), head, body }
}

pub(crate) fn header(head: &str, name: &str) -> Option<String> {
    let line =
        head.lines().find(|line| line.to_lowercase().starts_with(&format!("{}:", name.to_lowercase())))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// What happened to the boxes.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) launched: AtomicUsize,
    pub(crate) killed: AtomicUsize,
    pub(crate) freezes: watch::Sender<usize>,
    pub(crate) thaws: AtomicUsize,
    pub(crate) specs: Mutex<Vec<BoxSpec>>,
    /// Boxes that were started ahead; told of each.
    pub(crate) prepared: watch::Sender<Vec<BoxSpec>>,
    pub(crate) bound: Mutex<Vec<Binding>>,
    /// How many of them wait.
    pub(crate) waiting: Arc<AtomicUsize>,
    /// From now on none that waits is of any use: it says so when it is asked, or only when it is bound.
    pub(crate) workers_are_dead: AtomicBool,
    pub(crate) workers_fail: AtomicBool,
}

pub(crate) struct FakeLauncher {
    pub(crate) script: Script,
    pub(crate) record: Arc<Record>,
    /// When set, a launch is finished only when so many are under way.
    pub(crate) gather: Option<Arc<tokio::sync::Barrier>>,
}

impl Launcher for FakeLauncher {
    fn launch(&self, spec: BoxSpec) -> Later<Result<Box<dyn EnvBox>, SandboxError>> {
        let (script, record, gather) = (self.script.clone(), self.record.clone(), self.gather.clone());
        Box::pin(async move {
            if let Some(gather) = gather {
                gather.wait().await;
            }
            record.specs.lock().unwrap().push(spec);
            let number = record.launched.fetch_add(1, Ordering::SeqCst) + 1;
            Ok(Box::new(FakeBox::start(number, &script, record)) as Box<dyn EnvBox>)
        })
    }

    fn prepare(&self, spec: BoxSpec) -> Later<Result<Box<dyn Waiting>, SandboxError>> {
        let (script, record) = (self.script.clone(), self.record.clone());
        Box::pin(async move {
            let waiting = FakeWaiting::new(script, record.clone());
            record.prepared.send_modify(|specs| specs.push(spec));
            Ok(Box::new(waiting) as Box<dyn Waiting>)
        })
    }
}

struct FakeWaiting {
    script: Script,
    record: Arc<Record>,
}

impl FakeWaiting {
    fn new(script: Script, record: Arc<Record>) -> Self {
        record.waiting.fetch_add(1, Ordering::SeqCst);
        FakeWaiting { script, record }
    }
}

impl Drop for FakeWaiting {
    fn drop(&mut self) {
        self.record.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Waiting for FakeWaiting {
    fn is_alive(&self) -> bool {
        !self.record.workers_are_dead.load(Ordering::SeqCst)
    }

    fn bind(self: Box<Self>, binding: Binding) -> Later<Result<Box<dyn EnvBox>, SandboxError>> {
        Box::pin(async move {
            if self.record.workers_fail.load(Ordering::SeqCst) {
                return Err(SandboxError::Gone { id: binding.id });
            }
            self.record.bound.lock().unwrap().push(binding);
            let number = self.record.launched.fetch_add(1, Ordering::SeqCst) + 1;
            Ok(Box::new(FakeBox::start(number, &self.script, self.record.clone())) as Box<dyn EnvBox>)
        })
    }
}

struct FakeBox {
    parts: Mutex<Option<BoxParts>>,
    exit: watch::Sender<Option<Departure>>,
    runtime: JoinHandle<()>,
    record: Arc<Record>,
    killed: std::sync::atomic::AtomicBool,
}

impl FakeBox {
    fn start(number: usize, script: &Script, record: Arc<Record>) -> Self {
        let listen = || {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            listener
        };
        let listeners = vec![listen(), listen()];
        let (output, output_end) = pipe::pipe().unwrap();
        let (telemetry, telemetry_end) = pipe::pipe().unwrap();
        let parts = BoxParts {
            output: output_end.into_nonblocking_fd().unwrap(),
            telemetry: telemetry_end.into_nonblocking_fd().unwrap(),
            listeners,
            companion_output: None,
        };
        let address = parts.listeners[0].local_addr().unwrap();
        let file = |end: pipe::Sender| File::from(end.into_blocking_fd().unwrap());
        let (output, telemetry) = (file(output), file(telemetry));
        let run = script(Peer { number, address, stream: None, output, telemetry });
        let exit = watch::Sender::new(None);
        let ended = exit.clone();
        let runtime = tokio::spawn(async move {
            let departure = run.await;
            ended.send_if_modified(|exit| exit.is_none() && exit.replace(departure).is_none());
        });
        FakeBox { parts: Mutex::new(Some(parts)), exit, runtime, record, killed: false.into() }
    }
}

impl EnvBox for FakeBox {
    fn take_parts(&self) -> BoxParts {
        self.parts.lock().unwrap().take().unwrap()
    }

    fn freeze(&self) -> Result<(), SandboxError> {
        self.record.freezes.send_modify(|count| *count += 1);
        Ok(())
    }

    fn thaw(&self) -> Result<(), SandboxError> {
        self.record.thaws.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn set_cpu_millis(&self, _: u32) -> Result<(), SandboxError> {
        Ok(())
    }

    fn exited(&self) -> Later<Departure> {
        let mut exit = self.exit.subscribe();
        Box::pin(async move {
            let exit = exit.wait_for(Option::is_some).await.ok().and_then(|exit| *exit);
            exit.unwrap_or_default()
        })
    }

    fn gone(&self) -> Later<()> {
        let exited = self.exited();
        Box::pin(async move {
            exited.await;
        })
    }

    fn ended(&self) -> watch::Receiver<sandbox::Ended> {
        watch::channel(sandbox::Ended::default()).1
    }

    fn start_command(&self) -> Result<(), SandboxError> {
        Ok(())
    }

    /// As if the runtime had no handler for the signal.
    fn signal_command(&self, _: bool) -> Result<(), SandboxError> {
        self.runtime.abort();
        let ended = Departure { signal: Some(15), ..Departure::default() };
        self.exit.send_if_modified(|exit| exit.is_none() && exit.replace(ended).is_none());
        Ok(())
    }

    fn socket(&self) -> Result<std::net::TcpStream, SandboxError> {
        Err(SandboxError::ShutDown)
    }

    fn memory(&self) -> MemoryUse {
        MemoryUse { current_bytes: 10 << 20, peak_bytes: 30 << 20 }
    }

    fn kill(&self) {
        if self.killed.swap(true, Ordering::SeqCst) {
            return;
        }
        self.record.killed.fetch_add(1, Ordering::SeqCst);
        self.runtime.abort();
        let killed = Departure { signal: Some(9), ..Departure::default() };
        self.exit.send_if_modified(|exit| exit.is_none() && exit.replace(killed).is_none());
    }
}

impl Drop for FakeBox {
    fn drop(&mut self) {
        self.kill();
    }
}

struct NoGateway;

impl BoxGateway for NoGateway {
    fn serve(&self, _: tokio::net::TcpListener, _: Arc<str>) -> JoinHandle<()> {
        tokio::spawn(async {})
    }
}

/// A log store in memory: events by stream.
#[derive(Default)]
pub(crate) struct MemoryLogs {
    pub(crate) streams: Mutex<BTreeMap<String, Vec<LogEvent>>>,
    pub(crate) created: Mutex<Vec<StreamName>>,
    pub(crate) batch_sizes: Mutex<Vec<usize>>,
    /// When set, every put waits for a permit.
    pub(crate) gate: Option<tokio::sync::Semaphore>,
    /// Answered, last first, instead of storing.
    pub(crate) failures: Mutex<Vec<ApiError>>,
}

impl MemoryLogs {
    /// All messages of all streams, in the order of each stream.
    pub(crate) fn text(&self) -> String {
        let streams = self.streams.lock().unwrap();
        streams.values().flatten().map(|event| event.message.as_str()).collect()
    }
}

impl LogStore for MemoryLogs {
    fn create<'a>(
        &'a self,
        name: &'a StreamName,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<(), ApiError>> + Send + 'a>> {
        self.created.lock().unwrap().push(name.clone());
        Box::pin(async { Ok(()) })
    }

    fn put<'a>(
        &'a self,
        name: &'a StreamName,
        events: Arc<[LogEvent]>,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<(), ApiError>> + Send + 'a>> {
        Box::pin(async move {
            if let Some(gate) = &self.gate {
                gate.acquire().await.unwrap().forget();
            }
            if let Some(failure) = self.failures.lock().unwrap().pop() {
                return Err(failure);
            }
            self.batch_sizes.lock().unwrap().push(events.len());
            let mut streams = self.streams.lock().unwrap();
            streams.entry(name.stream.clone()).or_default().extend(events.iter().cloned());
            Ok(())
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AssumeRole {
    role_arn: String,
    role_session_name: String,
    duration_seconds: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AssumedRole {
    credentials: Keys,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Keys {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    expiration: wire::Time,
}

async fn assume_role(
    count: Arc<AtomicUsize>,
    call: Call,
    input: AssumeRole,
) -> Result<AssumedRole, ApiError> {
    if input.role_arn.ends_with("/refused") {
        return Err(ApiError::new("AccessDenied", "no such trust"));
    }
    count.fetch_add(1, Ordering::SeqCst);
    let life = Duration::from_secs(input.duration_seconds.unwrap_or(3600).unsigned_abs());
    Ok(AssumedRole {
        credentials: Keys {
            access_key_id: "ASIAFAKEFAKEFAKEFAKE".to_owned(),
            secret_access_key: "secret".to_owned(),
            session_token: format!("token of {}", input.role_session_name),
            expiration: wire::Time(call.clock().now().after(life)),
        },
    })
}

/// A fleet over fake boxes.
pub(crate) struct World {
    pub(crate) fleet: Fleet,
    pub(crate) record: Arc<Record>,
    pub(crate) logs: Arc<MemoryLogs>,
    pub(crate) sink: LogSink,
    pub(crate) clock: Clock,
    pub(crate) assumed: Arc<AtomicUsize>,
    _front_door: FrontDoor,
    package: tempfile::TempDir,
}

/// How a [`World`] differs from the usual one.
pub(crate) struct Options {
    pub(crate) account_concurrency: u32,
    pub(crate) limits: FleetLimits,
    pub(crate) gather: Option<usize>,
    pub(crate) memory: Arc<FakeMemory>,
}

/// Says what it was told to say.
#[derive(Default)]
pub(crate) struct FakeMemory(pub(crate) Mutex<Option<MemoryReading>>);

impl MemorySource for FakeMemory {
    fn read(&self) -> Option<MemoryReading> {
        *self.0.lock().unwrap()
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            account_concurrency: 1000,
            limits: FleetLimits::default(),
            gather: None,
            memory: Arc::default(),
        }
    }
}

impl World {
    pub(crate) fn new(script: Script) -> Self {
        Self::with(script, Options::default())
    }

    pub(crate) fn with(script: Script, options: Options) -> Self {
        let clock = Clock::frozen(Timestamp(1_795_420_000_000));
        let assumed = Arc::new(AtomicUsize::new(0));
        let sts = Service::new("sts", Arc::clone(&assumed)).on("AssumeRole", assume_role).build();
        let handle = FrontDoorHandle::new();
        let front_door = FrontDoor::builder(clock.clone()).add(sts).handle(&handle).build();
        let logs = Arc::new(MemoryLogs::default());
        let sink = LogSink::with_store(logs.clone(), clock.clone(), 1 << 20);
        let record = Arc::new(Record::default());
        let package = tempfile::tempdir().unwrap();
        let deps = FleetDeps {
            sandbox: None,
            clock: clock.clone(),
            front_door: handle,
            logs: sink.clone(),
            runtime_map: runtimes::RuntimeMap::default(),
            runtimes_dir: package.path().join("runtimes"),
            images_dir: None,
            gateway: Arc::new(NoGateway),
            gateway_port: 4566,
            account_concurrency: options.account_concurrency,
            limits: options.limits,
            memory: Arc::clone(&options.memory) as Arc<dyn MemorySource>,
        };
        let gather = options.gather.map(|count| Arc::new(tokio::sync::Barrier::new(count)));
        let launcher = FakeLauncher { script, record: record.clone(), gather };
        let fleet = Fleet::with_launcher(deps, Some(Arc::new(launcher)));
        write_bootstrap(package.path());
        World { fleet, record, logs, sink, clock, assumed, _front_door: front_door, package }
    }

    /// A function `hello` of this generation.
    pub(crate) fn function(&self, generation: u64) -> FunctionConfig {
        let arn = "arn:aws:lambda:us-east-1:000000000000:function:hello".to_owned();
        FunctionConfig {
            key: FunctionConfig::key_of(&arn, "$LATEST"),
            arn,
            name: "hello".to_owned(),
            account: AccountId::DEFAULT,
            region: Region::default(),
            version: "$LATEST".to_owned(),
            generation,
            runtime: Some("provided.al2023".to_owned()),
            handler: Some("bootstrap".to_owned()),
            role: "arn:aws:iam::000000000000:role/test".to_owned(),
            memory_mib: 128,
            timeout_s: 3,
            tmp_mib: 512,
            environment: BTreeMap::new(),
            code: CodeLocation {
                sha256_base64: String::new(),
                unpacked_dir: self.package.path().to_owned(),
                size_bytes: 0,
            },
            architecture: Architecture::host(),
            log_group: "/aws/lambda/hello".to_owned(),
            log_format: LogFormat::Text,
            application_log_level: None,
            system_log_level: None,
            tenant_isolation: false,
            snap_start: false,
            tracing_mode: TracingMode::PassThrough,
            layers: Vec::new(),
            opt_dir: None,
            file_systems: Vec::new(),
            dead_letter_arn: None,
        }
    }

    pub(crate) fn launched(&self) -> usize {
        self.record.launched.load(Ordering::SeqCst)
    }

    pub(crate) fn killed(&self) -> usize {
        self.record.killed.load(Ordering::SeqCst)
    }

    /// Everything logged so far.
    pub(crate) async fn log_text(&self) -> String {
        self.sink.flush().await;
        self.logs.text()
    }

    pub(crate) fn remove_bootstrap(&self) {
        std::fs::remove_file(self.package.path().join("bootstrap")).unwrap();
    }
}

fn write_bootstrap(package: &Path) {
    let path = package.join("bootstrap");
    std::fs::write(&path, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// An event with the tail wanted.
pub(crate) fn invocation(payload: &'static str) -> Invocation {
    Invocation {
        request_id: RequestId::fresh(),
        invoked_arn: Arc::from("arn:aws:lambda:us-east-1:000000000000:function:hello"),
        payload: Bytes::from_static(payload.as_bytes()),
        client_context: None,
        want_tail: true,
        trace_header: None,
        origin: Origin::Request,
        queue_age_ms: None,
        tenant_id: None,
    }
}

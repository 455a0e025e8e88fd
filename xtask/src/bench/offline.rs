//! The reference from npm: `serverless-offline`, a plugin of the Serverless Framework (version 3, which needs no
//! account), with the same handlers and the same interpreters.
//!
//! It runs Python handlers in processes of their own, started for a request when none is free, and Node.js handlers in
//! worker threads; no box, no signature, no limit of memory.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::functions::{EVENT, Function, MEMORY_MIB};
use super::packages;
use super::platform::end;
use crate::tools::run_command;

/// The name in tables.
pub(super) const NAME: &str = "serverless-offline";
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running server.
pub(super) struct Offline {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Offline {
    /// Starts it with these functions; returns when it listens. None of them has run then.
    pub(super) fn start(functions: &[Function], folder: &Path) -> Result<Self, String> {
        let application = folder.join("offline");
        let wrong = |error: std::io::Error| format!("{}: {error}", application.display());
        fs::create_dir_all(&application).map_err(wrong)?;
        let ports = free_ports()?;
        fs::write(application.join("serverless.yml"), configuration(functions, ports)).map_err(wrong)?;
        for function in functions {
            function.unpack(&application)?;
        }
        // Without it, a tool of the framework looks for one in the folders above.
        fs::write(application.join("package.json"), "{}").map_err(wrong)?;
        let modules = application.join("node_modules");
        if !modules.exists() {
            symlink(packages::offline()?.join("node_modules"), &modules).map_err(wrong)?;
        }
        let log = File::create(folder.join("offline.log")).map_err(wrong)?;
        let child = Command::new(Function::Node.interpreter()?.executable)
            .args(["node_modules/serverless/bin/serverless.js", "offline"])
            .current_dir(&application)
            .env_clear()
            .env("PATH", path(&application)?)
            .env("HOME", &application)
            .env("SLS_TELEMETRY_DISABLED", "1")
            .env("SLS_INTERACTIVE_SETUP_ENABLE", "0")
            .env("SLS_NOTIFICATIONS_MODE", "off")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{NAME} cannot be started: {error}"))?;
        let mut server = Offline { child, address: SocketAddr::from(([127, 0, 0, 1], ports[0])) };
        server.wait(&folder.join("offline.log")).map(|()| server)
    }

    fn wait(&mut self, log: &Path) -> Result<(), String> {
        let started = Instant::now();
        loop {
            if TcpStream::connect(self.address).is_ok() {
                return Ok(());
            }
            let ended = self.child.try_wait().ok().flatten();
            if ended.is_some() || started.elapsed() > START_LIMIT {
                let log = fs::read_to_string(log).unwrap_or_default();
                return Err(format!("{NAME} did not start: {log}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Offline {
    fn drop(&mut self) {
        // Its Python processes are in its process group.
        let _ = run_command(Command::new("kill").args(["-KILL", "--", &format!("-{}", self.pid())]));
        end(&mut self.child);
    }
}

/// An invoke, which is taken unsigned.
pub(super) fn request(address: SocketAddr, function: Function) -> Vec<u8> {
    format!(
        "POST /2015-03-31/functions/{}/invocations HTTP/1.1\r\nHost: {address}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{EVENT}",
        function.name(),
        EVENT.len()
    )
    .into_bytes()
}

/// Ports that were free a moment ago: for Lambda, HTTP, web sockets, load balancers.
fn free_ports() -> Result<[u16; 4], String> {
    let wrong = |error: std::io::Error| format!("no free port: {error}");
    let mut listeners = Vec::new();
    for _ in 0..4 {
        listeners.push(TcpListener::bind("127.0.0.1:0").map_err(wrong)?);
    }
    let mut ports = [0; 4];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr().map_err(wrong)?.port();
    }
    Ok(ports)
}

fn configuration(functions: &[Function], [lambda, http, sockets, balancer]: [u16; 4]) -> String {
    let mut text = format!(
        "service: bench\nframeworkVersion: '3'\nprovider:\n  name: aws\n  region: us-east-1\n  \
         runtime: nodejs20.x\n  memorySize: {MEMORY_MIB}\n  timeout: 30\nplugins:\n  - serverless-offline\n\
         custom:\n  serverless-offline:\n    host: 127.0.0.1\n    lambdaPort: {lambda}\n    httpPort: {http}\n    \
         websocketPort: {sockets}\n    albPort: {balancer}\nfunctions:\n"
    );
    for function in functions {
        let (name, runtime, handler) = (function.name(), function.runtime(), function.handler());
        text +=
            &format!("  {name}:\n    name: {name}\n    runtime: {runtime}\n    handler: {name}/{handler}\n");
    }
    text
}

/// A `PATH` on which Python is the interpreter that we use, too.
fn path(application: &Path) -> Result<PathBuf, String> {
    let python = Function::Python.interpreter()?.executable;
    let folder = application.join("bin");
    let wrong = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(wrong)?;
    for name in ["python", "python3", Function::Python.runtime()] {
        let link = folder.join(name);
        if !link.exists() {
            symlink(&python, link).map_err(wrong)?;
        }
    }
    Ok(PathBuf::from(format!("{}:/usr/local/bin:/usr/bin:/bin", folder.display())))
}

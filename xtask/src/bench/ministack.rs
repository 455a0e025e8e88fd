//! The reference from PyPI for queues: MiniStack, an emulator in Python that keeps everything in memory.
//!
//! It takes requests in the same form and checks no signature.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::packages;
use super::platform::end;
use crate::tools::run_command;

/// The name in tables.
pub(super) const NAME: &str = "MiniStack";
/// It ends a connection after a thousand requests.
pub(super) const REQUESTS: usize = 1000;
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running server.
pub(super) struct MiniStack {
    child: Child,
    pub(super) address: SocketAddr,
}

impl MiniStack {
    /// Starts it; returns when it listens.
    pub(super) fn start(folder: &Path) -> Result<Self, String> {
        let wrong = |error: std::io::Error| format!("{NAME}: {error}");
        let program = packages::ministack()?.join("venv/bin/ministack");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.map_err(wrong)?;
        let home = folder.join("ministack");
        fs::create_dir_all(&home).map_err(wrong)?;
        let log = home.join("log");
        let output = File::create(&log).map_err(wrong)?;
        let child = Command::new(program)
            .current_dir(&home)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", &home)
            .env("TMPDIR", &home)
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", address.port().to_string())
            .env("LOG_LEVEL", "WARNING")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .map_err(|error| format!("{NAME} cannot be started: {error}"))?;
        let mut server = MiniStack { child, address };
        server.wait(&log).map(|()| server)
    }

    fn wait(&mut self, log: &Path) -> Result<(), String> {
        let started = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            let ended = self.child.try_wait().ok().flatten();
            if ended.is_some() || started.elapsed() > START_LIMIT {
                let log = fs::read_to_string(log).unwrap_or_default();
                return Err(format!("{NAME} did not start: {log}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for MiniStack {
    fn drop(&mut self) {
        let _ = run_command(Command::new("kill").args(["-KILL", "--", &format!("-{}", self.child.id())]));
        end(&mut self.child);
    }
}

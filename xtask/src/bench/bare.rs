//! The floor: the same function and the same runtime client, without a box and without a platform.
//!
//! A Runtime API that does only what one environment needs, and a plain HTTP front that hands each request to a free
//! environment: no signature, no logs, no limits, no state. Nobody can be faster with this runtime client.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use base::Clock;
use runtimes::Language;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::functions::{Bare, EVENT, EXPECTED, Function};
use super::http::Connection;
use super::platform::end;

/// How long a process may take until it asks for its first event.
const CONNECT_LIMIT_S: i64 = 30;
const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";

/// A function's process and the connection it asks for events on.
pub(super) struct Environment {
    child: Child,
    connection: Connection,
    /// Whether it asks for an event now.
    is_asking: bool,
    clock: Clock,
}

impl Environment {
    /// Starts the process; returns when it asks for its first event.
    pub(super) fn start(bare: &Bare) -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        let api = listener.local_addr().map_err(|error| error.to_string())?.to_string();
        let mut command = bare.command(&api)?;
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().map_err(|error| format!("{command:?} cannot be started: {error}"))?;
        let connection = accept(&listener);
        let connection = connection.map_err(|error| format!("{command:?} did not connect: {error}"))?;
        let mut environment = Environment { child, connection, is_asking: false, clock: Clock::system() };
        environment.asked().map_err(|error| error.to_string())?;
        Ok(environment)
    }

    /// The process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// One event, whose answer is checked.
    pub(super) fn greet(&mut self) -> Result<(), String> {
        let body = self.invoke(EVENT.as_bytes()).map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&body);
        if text.contains(EXPECTED) { Ok(()) } else { Err(format!("unexpected: {text}")) }
    }

    /// Waits until the function asks for an event.
    fn asked(&mut self) -> io::Result<()> {
        if !self.is_asking {
            expect(self.connection.read()?.has_method("GET"))?;
            self.is_asking = true;
        }
        Ok(())
    }

    /// One event; the function's answer.
    fn invoke(&mut self, event: &[u8]) -> io::Result<Vec<u8>> {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        self.asked()?;
        let mut message = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
             Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-{:012x}\r\n\
             Lambda-Runtime-Deadline-Ms: {}\r\n\
             Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:000000000000:function:bench\r\n\
             Content-Length: {}\r\n\r\n",
            COUNT.fetch_add(1, Ordering::Relaxed),
            self.clock.now().as_millis() + 10_000,
            event.len()
        )
        .into_bytes();
        message.extend_from_slice(event);
        self.connection.send(&message)?;
        self.is_asking = false;
        let answer = self.connection.read()?;
        expect(answer.has_method("POST"))?;
        let body = answer.body.to_vec();
        self.connection.send(ACCEPTED)?;
        Ok(body)
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn expect(holds: bool) -> io::Result<()> {
    if holds { Ok(()) } else { Err(io::Error::new(io::ErrorKind::InvalidData, "not the request expected")) }
}

/// The first connection to come.
fn accept(listener: &TcpListener) -> io::Result<Connection> {
    let mut wanted = [PollFd::new(listener, PollFlags::IN)];
    if poll(&mut wanted, Some(&Timespec { tv_sec: CONNECT_LIMIT_S, tv_nsec: 0 }))? == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Connection::over(listener.accept()?.0)
}

/// A start without a box: from the start of the process until its first answer.
pub(super) fn cold_start(bare: &Bare) -> Result<Duration, String> {
    let started = Instant::now();
    let mut environment = Environment::start(bare)?;
    environment.greet()?;
    Ok(started.elapsed())
}

/// The interpreter alone, doing nothing; `None` for a function that has none.
pub(super) fn interpreter_start(function: Function) -> Result<Option<Duration>, String> {
    let interpreter = function.interpreter()?;
    let arguments = match interpreter.language {
        Language::Python => ["-c", "pass"],
        Language::Node => ["-e", "0"],
        _ => return Ok(None),
    };
    let mut command = Command::new(&interpreter.executable);
    command.args(arguments).stdin(Stdio::null()).env_clear();
    let started = Instant::now();
    let status = command.status();
    let time = started.elapsed();
    match status {
        Ok(status) if status.success() => Ok(Some(time)),
        other => Err(format!("{command:?}: {other:?}")),
    }
}

/// A plain HTTP front with warm environments behind it. It serves until the process ends.
pub(super) struct Front {
    pub(super) address: SocketAddr,
    pool: Arc<Pool>,
}

struct Pool {
    free: Mutex<Vec<Environment>>,
    one_came_back: Condvar,
    /// The processes of all environments, free or not.
    pids: Mutex<Vec<u32>>,
    /// What a new environment is started from when none is free; without it a request waits.
    growth: Option<Bare>,
}

impl Front {
    /// Starts `environments` processes and serves.
    pub(super) fn start(function: Function, environments: usize, folder: &Path) -> Result<Self, String> {
        let bare = function.bare(folder)?;
        let front = Self::serve(None)?;
        for _ in 0..environments {
            let environment = front.pool.started(&bare)?;
            front.pool.put(environment);
        }
        Ok(front)
    }

    /// Starts none, but one for each request that finds none free.
    pub(super) fn growing(function: Function, folder: &Path) -> Result<Self, String> {
        Self::serve(Some(function.bare(folder)?))
    }

    fn serve(growth: Option<Bare>) -> Result<Self, String> {
        let pool = Arc::new(Pool {
            free: Mutex::default(),
            pids: Mutex::default(),
            one_came_back: Condvar::new(),
            growth,
        });
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let shared = Arc::clone(&pool);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), pool) = (stream, Arc::clone(&shared)) else { return };
                // A client that goes away ends its thread.
                thread::spawn(move || {
                    Connection::over(stream).and_then(|connection| serve(connection, &pool))
                });
            }
        });
        Ok(Front { address, pool })
    }

    /// Ends all environments, none of which may be in use.
    pub(super) fn clear(&self) {
        self.pool.free.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.pool.pids.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The processes of all environments.
    pub(super) fn pids(&self) -> Vec<u32> {
        self.pool.pids.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Pool {
    fn take(&self) -> io::Result<Environment> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(environment) = free.pop() {
                return Ok(environment);
            }
            if let Some(bare) = &self.growth {
                drop(free);
                return self.started(bare).map_err(io::Error::other);
            }
            free = self.one_came_back.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn started(&self, bare: &Bare) -> Result<Environment, String> {
        let environment = Environment::start(bare)?;
        self.pids.lock().unwrap_or_else(PoisonError::into_inner).push(environment.pid());
        Ok(environment)
    }

    fn put(&self, environment: Environment) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(environment);
        self.one_came_back.notify_one();
    }
}

fn serve(mut client: Connection, pool: &Pool) -> io::Result<()> {
    loop {
        let event = client.read()?.body.to_vec();
        let mut environment = pool.take()?;
        let answer = environment.invoke(&event)?;
        pool.put(environment);
        let mut message = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        )
        .into_bytes();
        message.extend_from_slice(&answer);
        client.send(&message)?;
    }
}

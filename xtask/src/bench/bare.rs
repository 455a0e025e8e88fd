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

use super::functions::{EVENT, EXPECTED, Function};
use super::http::Connection;
use super::platform::end;

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
    pub(super) fn start(function: Function, folder: &Path) -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        let api = listener.local_addr().map_err(|error| error.to_string())?.to_string();
        Self::launch(function.bare_command(folder, &api)?, &listener)
    }

    fn launch(mut command: Command, listener: &TcpListener) -> Result<Self, String> {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().map_err(|error| format!("{command:?} cannot be started: {error}"))?;
        let accepted = listener.accept().and_then(|(stream, _)| Connection::over(stream));
        let connection = accepted.map_err(|error| error.to_string())?;
        let mut environment = Environment { child, connection, is_asking: false, clock: Clock::system() };
        environment.asked().map_err(|error| error.to_string())?;
        Ok(environment)
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

/// A start without a box: from the start of the process until its first answer.
pub(super) fn cold_start(function: Function, folder: &Path) -> Result<Duration, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let api = listener.local_addr().map_err(|error| error.to_string())?.to_string();
    let command = function.bare_command(folder, &api)?;
    let started = Instant::now();
    let mut environment = Environment::launch(command, &listener)?;
    let body = environment.invoke(EVENT.as_bytes()).map_err(|error| error.to_string())?;
    let time = started.elapsed();
    if String::from_utf8_lossy(&body).contains(EXPECTED) {
        Ok(time)
    } else {
        Err(format!("unexpected: {body:?}"))
    }
}

/// A plain HTTP front with warm environments behind it. It serves until the process ends.
pub(super) struct Front {
    pub(super) address: SocketAddr,
    pool: Arc<Pool>,
}

#[derive(Default)]
struct Pool {
    free: Mutex<Vec<Environment>>,
    one_came_back: Condvar,
}

impl Front {
    /// Starts `environments` processes and serves.
    pub(super) fn start(function: Function, environments: usize, folder: &Path) -> Result<Self, String> {
        let pool = Arc::new(Pool::default());
        for _ in 0..environments {
            pool.put(Environment::start(function, folder)?);
        }
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
}

impl Drop for Front {
    fn drop(&mut self) {
        self.pool.free.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Pool {
    fn take(&self) -> Environment {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match free.pop() {
                Some(environment) => return environment,
                None => free = self.one_came_back.wait(free).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn put(&self, environment: Environment) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).push(environment);
        self.one_came_back.notify_one();
    }
}

fn serve(mut client: Connection, pool: &Pool) -> io::Result<()> {
    loop {
        let event = client.read()?.body.to_vec();
        let mut environment = pool.take();
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

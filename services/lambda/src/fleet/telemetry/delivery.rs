//! One subscriber's queue, and the task that delivers it into the box: over sockets of the box's own network.
//!
//! A batch leaves when it is full or its time is over. One that the subscriber does not take is tried again, with
//! growing pauses; meanwhile the queue fills, and what does not fit is dropped, counted, and told with the next batch.
//! Nothing is delivered into a frozen box.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::Clock;
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::subscription::{Buffering, Destination};
use crate::fleet::boxes::EnvBox;
use crate::invoke::events::{Event, Schema};

/// Between two tries, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(1_000);
/// An answer's head is longer only by mistake. In bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
const REASON: &str = "Consumer seems to have fallen behind as it has not acknowledged receipt of logs.";

#[derive(Default)]
struct Queue {
    records: VecDeque<String>,
    bytes: usize,
    /// When the oldest of them came.
    since: Option<Instant>,
    dropped: (u64, u64),
    hurry: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    filled: Notify,
    /// Everything there was has been delivered.
    settled: watch::Sender<bool>,
    buffering: Buffering,
}

/// One subscriber's deliveries; dropping it ends them.
pub(super) struct Delivery {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Delivery {
    pub(super) fn start(
        to: Destination,
        buffering: Buffering,
        inner_box: Arc<dyn EnvBox>,
        clock: Clock,
        awake: watch::Receiver<bool>,
    ) -> Self {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            filled: Notify::new(),
            settled: watch::Sender::new(true),
            buffering,
        });
        let carrier = Carrier { to, inner_box, clock, awake, connection: None };
        let task = tokio::spawn(deliver(Arc::clone(&shared), carrier));
        Delivery { shared, task }
    }

    /// Appends a record, or counts it as dropped.
    pub(super) fn push(&self, record: String) {
        let Shared { buffering, filled, .. } = &*self.shared;
        let mut queue = self.shared.lock();
        let fits = queue.records.len() < buffering.max_items
            && queue.bytes + record.len() <= buffering.max_bytes.saturating_mul(2);
        if !fits {
            queue.dropped.0 += 1;
            queue.dropped.1 += record.len() as u64;
            return;
        }
        queue.since.get_or_insert_with(Instant::now);
        queue.bytes += record.len();
        queue.records.push_back(record);
        let first_or_full = queue.records.len() == 1 || queue.is_full(buffering);
        if first_or_full {
            self.shared.settled.send_replace(false);
        }
        drop(queue);
        if first_or_full {
            filled.notify_one();
        }
    }

    pub(super) fn note_dropped(&self, records: u64, bytes: u64) {
        let mut queue = self.shared.lock();
        queue.dropped.0 += records;
        queue.dropped.1 += bytes;
    }

    /// When all that was pushed so far, or more, is delivered.
    pub(super) fn settled(&self) -> watch::Receiver<bool> {
        self.shared.settled.subscribe()
    }

    /// From now on nothing is gathered.
    pub(super) fn hurry(&self) {
        self.shared.lock().hurry = true;
        self.shared.filled.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn is_full(&self, buffering: &Buffering) -> bool {
        self.records.len() >= buffering.max_items || self.bytes >= buffering.max_bytes
    }

    /// A batch if one is due, or when it will be.
    fn take(&mut self, buffering: &Buffering) -> Result<Vec<String>, Option<Instant>> {
        let Some(since) = self.since else { return Err(None) };
        let due = since + buffering.timeout;
        if !(self.hurry || self.is_full(buffering) || Instant::now() >= due) {
            return Err(Some(due));
        }
        self.since = None;
        self.bytes = 0;
        Ok(std::mem::take(&mut self.records).into())
    }
}

async fn deliver(shared: Arc<Shared>, mut carrier: Carrier) {
    loop {
        let taken = shared.lock().take(&shared.buffering);
        let mut batch = match taken {
            Ok(batch) => batch,
            Err(due) => {
                let due = async {
                    match due {
                        Some(due) => tokio::time::sleep_until(due).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = shared.filled.notified() => {}
                    () = due => {}
                }
                continue;
            }
        };
        let dropped = std::mem::take(&mut shared.lock().dropped);
        if dropped.0 > 0 {
            let event = Event::LogsDropped { reason: REASON, records: dropped.0, bytes: dropped.1 };
            batch.extend(event.record(carrier.clock.now(), Schema::Telemetry));
        }
        carrier.carry(&batch).await;
        let queue = shared.lock();
        if queue.records.is_empty() {
            shared.settled.send_replace(true);
        }
        drop(queue);
    }
}

/// Brings batches to their place.
struct Carrier {
    to: Destination,
    inner_box: Arc<dyn EnvBox>,
    clock: Clock,
    awake: watch::Receiver<bool>,
    /// A TCP subscriber has one connection for all.
    connection: Option<TcpStream>,
}

impl Carrier {
    /// Until the batch is delivered.
    async fn carry(&mut self, batch: &[String]) {
        let mut pause = FIRST_PAUSE;
        loop {
            if self.awake.wait_for(|awake| *awake).await.is_err() {
                return std::future::pending().await;
            }
            match self.try_once(batch).await {
                Ok(()) => return,
                Err(error) => {
                    self.connection = None;
                    tracing::debug!(%error, "telemetry was not taken");
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn try_once(&mut self, batch: &[String]) -> io::Result<()> {
        match self.to.clone() {
            Destination::Http { method, port, path } => {
                let mut stream = self.connect(port).await?;
                stream.write_all(&request(method, port, &path, batch)).await?;
                let status = read_status(&mut stream).await?;
                if (200..300).contains(&status) {
                    Ok(())
                } else {
                    Err(io::Error::other(format!("the subscriber answered {status}")))
                }
            }
            Destination::Tcp { port } => {
                let mut stream = match self.connection.take() {
                    Some(stream) => stream,
                    None => self.connect(port).await?,
                };
                let mut lines = batch.join("\n");
                lines.push('\n');
                stream.write_all(lines.as_bytes()).await?;
                self.connection = Some(stream);
                Ok(())
            }
        }
    }

    async fn connect(&self, port: u16) -> io::Result<TcpStream> {
        let inner_box = Arc::clone(&self.inner_box);
        let socket = tokio::task::spawn_blocking(move || inner_box.socket()).await?;
        let socket = TcpSocket::from_std_stream(socket.map_err(io::Error::other)?);
        socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await
    }
}

fn request(method: &str, port: u16, path: &str, batch: &[String]) -> Vec<u8> {
    // A separator before each record but the first, and the two brackets.
    let length = batch.iter().map(|record| record.len() + 1).sum::<usize>() + 1;
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nHost: sandbox.localdomain:{port}\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {length}\r\n\r\n["
    );
    for (at, record) in batch.iter().enumerate() {
        if at > 0 {
            request.push(',');
        }
        request.push_str(record);
    }
    request.push(']');
    request.into_bytes()
}

/// The status of an answer. The rest of it does not matter.
async fn read_status(stream: &mut TcpStream) -> io::Result<u16> {
    let mut read = BytesMut::with_capacity(1024);
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(&read) {
            Ok(httparse::Status::Complete(_)) => return Ok(response.code.unwrap_or_default()),
            Ok(httparse::Status::Partial) if read.len() < MAX_ANSWER_BYTES => {}
            _ => return Err(io::Error::other("the subscriber's answer is no HTTP")),
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

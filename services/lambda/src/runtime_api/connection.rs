//! The Runtime API's connections: accepts them on an environment's listener and answers their requests in turn.
//!
//! A runtime usually keeps one connection alive for its whole life. An answer is one write; a payload is read once
//! into its own buffer and never copied again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use base::RequestId;
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::MAX_RESPONSE_BYTES;
use super::extension_api::{self, Headers, Reply, Wish};
use super::http1::{self, BodyLength, Head, Route};
use super::restore;
use super::session::{Answer, Event, Next, Session};

const READ_BYTES: usize = 8 * 1024;
/// Up to here an event is copied behind its head, so that it leaves in one plain write.
const INLINE_PAYLOAD_BYTES: usize = 16 * 1024;
/// Up to here an answer is copied out of the buffer that it was read into, so that the buffer is used again: a new one
/// would cost more.
const COPIED_BODY_BYTES: usize = 4 * 1024;
/// A runtime needs one connection, two for a moment. Each may hold a whole answer, so more than this of them wait in the
/// listener's queue: a function must not fill this process's memory, or use up its file descriptors.
pub(super) const MAX_CONNECTIONS: usize = 16;
/// An extension that runs as a process of its own needs as many more.
const CONNECTIONS_PER_EXTENSION: usize = 2;
/// How long after the end of a connection its reset may be heard of.
const LATE_RESET: Duration = Duration::from_millis(10);
/// What of an oversized answer is read and thrown away before the connection is closed instead.
const MAX_DISCARDED_BYTES: u64 = 64 * 1024 * 1024;

/// Serves the runtime of one environment until the task is aborted. Connections end with it.
pub(crate) async fn accept(listener: TcpListener, session: Arc<Session>) {
    let mut connections = tokio::task::JoinSet::new();
    let most = MAX_CONNECTIONS + CONNECTIONS_PER_EXTENSION * session.extensions.external();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < most => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, Arc::clone(&session)));
                }
                Err(error) => {
                    tracing::warn!(%error, "runtime api: accept failed");
                    // Out of descriptors, most likely: give others time to close theirs.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, session: Arc<Session>) {
    let _ = stream.set_nodelay(true);
    let mut connection = Connection {
        stream,
        read: BytesMut::with_capacity(READ_BYTES),
        write: BytesMut::new(),
        session,
        owes_accepted: false,
        broken_off: false,
        unanswered: None,
    };
    let ended = connection.run().await;
    if let Some(id) = &connection.unanswered {
        let mut was_reset = connection.was_reset(&ended);
        if ended.is_ok() && !was_reset {
            // It was closed before the event was written, or after it was read. In the first case the kernel says so once
            // it has seen that nobody is there, which is a moment later when the machine is busy.
            tokio::time::sleep(LATE_RESET).await;
            was_reset = connection.was_reset(&ended);
        }
        connection.session.connection_ended(id, was_reset);
    }
    if let Err(error) = ended {
        tracing::debug!(%error, "runtime api: connection ended");
    }
}

pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) read: BytesMut,
    write: BytesMut,
    pub(super) session: Arc<Session>,
    /// An answer was accepted, and the peer is told so together with the next event, which it asked for in the same
    /// breath: one write and one wake-up instead of two.
    owes_accepted: bool,
    /// The rest of what the peer sends is not worth reading: close after the answer.
    broken_off: bool,
    /// The event that was written last, as long as nothing was read after it.
    unanswered: Option<RequestId>,
}

/// A body, or why there is none.
pub(super) enum Body {
    Whole(Bytes),
    TooLarge,
}

impl Connection {
    /// Whether the peer ended without having read everything that was written. If it had closed its side before the
    /// write, only the socket's own error tells.
    fn was_reset(&self, ended: &io::Result<()>) -> bool {
        match ended {
            Err(error) => {
                matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
            }
            Ok(()) => matches!(self.stream.take_error(), Ok(Some(_))),
        }
    }

    async fn run(&mut self) -> io::Result<()> {
        loop {
            let head = http1::take_head(&mut self.read);
            if !matches!(&head, Ok(Some(head)) if head.asks_for_next()) {
                self.write_owed().await?;
            }
            let head = match head {
                Ok(Some(head)) => head,
                Ok(None) => {
                    self.read.reserve(READ_BYTES);
                    if self.stream.read_buf(&mut self.read).await? == 0 {
                        return Ok(());
                    }
                    self.unanswered = None;
                    continue;
                }
                Err(error) => {
                    let answer = http1::error(400, "InvalidRequestFormat", &error.to_string());
                    return self.stream.write_all(&answer).await;
                }
            };
            if head.expects_continue && head.body != BodyLength::Exactly(0) {
                self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            }
            let keep_alive = head.keep_alive;
            if let (Route::Response { id }, true) = (&head.route, head.streaming) {
                self.stream_response(id, head.body, head.content_type).await?;
            } else {
                let body = self.read_body(head.body).await?;
                self.answer(head, body).await?;
            }
            if !keep_alive || self.broken_off {
                self.write_owed().await?;
                return self.stream.shutdown().await;
            }
        }
    }

    async fn answer(&mut self, head: Head, body: Body) -> io::Result<()> {
        let done = match head.route {
            Route::Next => return self.next().await,
            Route::Response { id } => {
                let answer = match body {
                    Body::Whole(body) => Answer::Response(body),
                    Body::TooLarge => Answer::TooLarge,
                };
                return self.respond(&id, answer).await;
            }
            Route::Error { id } => {
                let answer = match body {
                    Body::Whole(body) => Answer::Error { body, error_type: head.error_type },
                    Body::TooLarge => Answer::TooLarge,
                };
                return self.respond(&id, answer).await;
            }
            Route::InitError => {
                let body = match body {
                    Body::Whole(body) => body,
                    Body::TooLarge => Bytes::new(),
                };
                self.session.fail_init(body, head.error_type)
            }
            Route::RestoreNext => {
                return match self.session.restore_next() {
                    Ok(()) => self.stream.write_all(http1::RESTORED).await,
                    Err(refusal) => self.stream.write_all(&http1::refusal(&refusal)).await,
                };
            }
            Route::RestoreError => {
                let body = match body {
                    Body::Whole(body) => body,
                    Body::TooLarge => Bytes::new(),
                };
                self.session.fail_restore(body, head.error_type)
            }
            Route::Credentials => {
                let answer = restore::credentials(self.session.snap(), head.authorization.as_deref()).await;
                return self.stream.write_all(&answer).await;
            }
            Route::Extension(wish) => return self.extension(wish, &head.extension, &body).await,
            Route::WrongMethod => {
                let message = "this path of the Runtime API is served for another method";
                return self.stream.write_all(&http1::error(405, "MethodNotAllowed", message)).await;
            }
            Route::Unknown => {
                let message = "no such path in the Runtime API (version 2018-06-01)";
                return self.stream.write_all(&http1::error(404, "NotFound", message)).await;
            }
        };
        match done {
            Ok(()) => self.stream.write_all(http1::ACCEPTED).await,
            Err(refusal) => self.stream.write_all(&http1::refusal(&refusal)).await,
        }
    }

    async fn respond(&mut self, id: &str, answer: Answer) -> io::Result<()> {
        let failure = match answer {
            Answer::TooLarge => Some(http1::error(
                413,
                "RequestEntityTooLarge",
                "Exceeded maximum allowed payload size (6291556 bytes).",
            )),
            _ => None,
        };
        match (self.session.respond(id, answer), failure) {
            (Ok(()), None) if !self.read.is_empty() => {
                self.owes_accepted = true;
                Ok(())
            }
            (Ok(()), None) => self.stream.write_all(http1::ACCEPTED).await,
            (Ok(()), Some(failure)) => self.stream.write_all(&failure).await,
            (Err(refusal), _) => self.stream.write_all(&http1::refusal(&refusal)).await,
        }
    }

    /// Tells the peer that its answer was accepted, if that is still to be done.
    async fn write_owed(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.owes_accepted) {
            self.stream.write_all(http1::ACCEPTED).await?;
        }
        Ok(())
    }

    async fn next(&mut self) -> io::Result<()> {
        let waiting = match self.session.next() {
            Ok(Next::Event(event)) => return self.write_event(event).await,
            Ok(Next::Wait(waiting)) => waiting,
            Err(refusal) => {
                self.write_owed().await?;
                return self.stream.write_all(&http1::refusal(&refusal)).await;
            }
        };
        match self.wait_for(waiting).await {
            Ok(event) => self.write_event(event).await,
            Err(error) => {
                // Another connection may ask in this one's place now; that its answer was accepted is true all the same.
                let _ = self.write_owed().await;
                Err(error)
            }
        }
    }

    async fn extension(&mut self, wish: Wish, headers: &Headers, body: &Body) -> io::Result<()> {
        let body = match body {
            Body::Whole(body) => Some(&body[..]),
            Body::TooLarge => None,
        };
        let answer = match extension_api::answer(&self.session, wish, headers, body) {
            Reply::Now(answer) => answer,
            Reply::Wait(waiting) => extension_api::event(&self.wait_for(waiting).await?),
        };
        self.stream.write_all(&answer).await
    }

    /// Waits for what this connection is told, or for its end.
    async fn wait_for<T>(&mut self, waiting: oneshot::Receiver<T>) -> io::Result<T> {
        tokio::pin!(waiting);
        let mut watch_peer = self.read.is_empty();
        loop {
            tokio::select! {
                biased;
                event = &mut waiting => {
                    // The sender is gone when another connection asks in this one's place, or the process has ended.
                    return event.map_err(|_| io::ErrorKind::ConnectionAborted.into());
                }
                // While it waits, a peer has nothing to say but that it is gone.
                read = self.stream.read_buf(&mut self.read), if watch_peer => {
                    if read? == 0 {
                        return Err(io::ErrorKind::ConnectionReset.into());
                    }
                    watch_peer = false;
                }
            }
        }
    }

    async fn write_event(&mut self, event: Event) -> io::Result<()> {
        self.write.clear();
        if std::mem::take(&mut self.owes_accepted) {
            self.write.extend_from_slice(http1::ACCEPTED);
        }
        http1::write_event_head(&mut self.write, &event);
        let written = if event.payload.len() <= INLINE_PAYLOAD_BYTES {
            self.write.extend_from_slice(&event.payload);
            self.stream.write_all(&self.write).await
        } else {
            self.stream.write_all_buf(&mut Buf::chain(&self.write[..], event.payload.clone())).await
        };
        if written.is_ok() {
            self.unanswered = Some(event.request_id);
        } else {
            self.session.give_back(event);
        }
        written
    }

    pub(super) async fn read_body(&mut self, length: BodyLength) -> io::Result<Body> {
        match length {
            BodyLength::Exactly(length) => match usize::try_from(length) {
                Ok(length) if length <= MAX_RESPONSE_BYTES => {
                    self.read_exactly(length).await.map(Body::Whole)
                }
                _ => self.discard(length).await.map(|()| Body::TooLarge),
            },
            BodyLength::Chunked => self.read_chunks().await,
        }
    }

    async fn read_exactly(&mut self, length: usize) -> io::Result<Bytes> {
        while self.read.len() < length {
            self.read.reserve(length - self.read.len());
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        if length > COPIED_BODY_BYTES {
            return Ok(self.read.split_to(length).freeze());
        }
        let body = Bytes::copy_from_slice(&self.read[..length]);
        self.read.advance(length);
        Ok(body)
    }

    async fn discard(&mut self, length: u64) -> io::Result<()> {
        if length > MAX_DISCARDED_BYTES {
            self.broken_off = true;
            return Ok(());
        }
        let mut left = usize::try_from(length).unwrap_or(usize::MAX);
        loop {
            let here = left.min(self.read.len());
            self.read.advance(here);
            left -= here;
            if left == 0 {
                return Ok(());
            }
            self.read.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn read_chunks(&mut self) -> io::Result<Body> {
        let mut body = BytesMut::new();
        let mut total: u64 = 0;
        loop {
            let size = self.read_chunk_size().await?;
            if size == 0 {
                // Trailers end with an empty line.
                while !self.read_line().await?.is_empty() {}
                let whole = total <= MAX_RESPONSE_BYTES as u64;
                return Ok(if whole { Body::Whole(body.freeze()) } else { Body::TooLarge });
            }
            total = total.saturating_add(size);
            if total > MAX_DISCARDED_BYTES {
                self.broken_off = true;
                return Ok(Body::TooLarge);
            }
            if total > MAX_RESPONSE_BYTES as u64 {
                body.clear();
                self.discard(size).await?;
            } else {
                let chunk = self.read_exactly(usize::try_from(size).unwrap_or(usize::MAX)).await?;
                body.extend_from_slice(&chunk);
            }
            if !self.read_line().await?.is_empty() {
                return Err(io::Error::other("a chunk longer than its size"));
            }
        }
    }

    pub(super) async fn read_chunk_size(&mut self) -> io::Result<u64> {
        let line = self.read_line().await?;
        let size = std::str::from_utf8(&line).ok().and_then(|line| line.split(';').next());
        let size = size.and_then(|size| u64::from_str_radix(size.trim(), 16).ok());
        size.ok_or_else(|| io::Error::other("a chunk without a size"))
    }

    pub(super) async fn read_line(&mut self) -> io::Result<Bytes> {
        self.read_line_of(http1::MAX_HEAD_BYTES).await
    }

    /// A line of at most about so many bytes, without its end.
    pub(super) async fn read_line_of(&mut self, max_bytes: usize) -> io::Result<Bytes> {
        loop {
            if let Some(end) = self.read.iter().position(|&b| b == b'\n') {
                let line = self.read.split_to(end + 1).freeze();
                let text = line.len() - if line.ends_with(b"\r\n") { 2 } else { 1 };
                return Ok(line.slice(..text));
            }
            if self.read.len() > max_bytes {
                return Err(io::Error::other("a line without end"));
            }
            self.read.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

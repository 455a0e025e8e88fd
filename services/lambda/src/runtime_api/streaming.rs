//! An answer that the runtime sends bit by bit (`Lambda-Runtime-Function-Response-Mode: streaming`): it is passed on as it
//! comes, and not looked into.
//!
//! The way to the caller has room for little. While it is full nothing is read, so that the runtime's own writes wait:
//! who reads slowly slows the function. When nobody reads any more the rest is read away, and the function goes on to
//! its end, as at AWS. An error on the way comes in the trailers.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming>.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

use super::MAX_STREAM_BYTES;
use super::connection::Connection;
use super::http1::{self, BodyLength};
use super::session::Answer;

/// How much is read at once, and the size of the largest piece that is passed on.
const PIECE_BYTES: usize = 64 * 1024;
/// Pieces on the way to the caller: 1 MiB at most.
const PIECES_ON_THE_WAY: usize = 16;
/// An error's document in the trailers, in base64, and the names around it.
const MAX_TRAILERS_BYTES: usize = 1024 * 1024;

const ERROR_TYPE: &[u8] = b"lambda-runtime-function-error-type";
const ERROR_BODY: &[u8] = b"lambda-runtime-function-error-body";

/// An answer that has begun.
#[derive(Debug)]
pub(crate) struct StreamedAnswer {
    /// What the runtime calls it.
    pub(crate) content_type: Option<String>,
    /// The bytes. Dropping it lets the rest be read away.
    pub(crate) chunks: mpsc::Receiver<Bytes>,
    /// How it ended, after the last byte. Dropped with the connection's task.
    pub(crate) end: oneshot::Receiver<StreamEnd>,
}

/// How a streamed answer ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    /// All of it came.
    Complete,
    /// The trailers tell of an error. The body is the runtime's own; empty when it sent none.
    Error { body: Bytes, error_type: Option<String> },
    /// It went on beyond [`MAX_STREAM_BYTES`]. What was within has been passed on.
    TooLarge,
    /// The connection ended before the answer did.
    Truncated,
}

impl Connection {
    /// Takes a streamed answer to event `id` to its end.
    pub(super) async fn stream_response(
        &mut self,
        id: &str,
        length: BodyLength,
        content_type: Option<String>,
    ) -> io::Result<()> {
        let (pieces, chunks) = mpsc::channel(PIECES_ON_THE_WAY);
        let (ended, end) = oneshot::channel();
        let answer = Answer::Stream(StreamedAnswer { content_type, chunks, end });
        if let Err(refusal) = self.session.respond(id, answer) {
            let _ = self.read_body(length).await?;
            return self.stream.write_all(&http1::refusal(&refusal)).await;
        }
        let passed = self.pass_on(length, &pieces).await;
        // From now on the runtime may ask for the next event.
        self.session.end_stream();
        drop(pieces);
        let too_large = matches!(passed, Ok(StreamEnd::TooLarge));
        let (told, broken) = match passed {
            Ok(end) => (end, None),
            Err(error) => (StreamEnd::Truncated, Some(error)),
        };
        // Nobody may be waiting for it any more.
        let _ = ended.send(told);
        match broken {
            Some(error) => Err(error),
            None if too_large => {
                let message = format!("Exceeded maximum allowed payload size ({MAX_STREAM_BYTES} bytes).");
                self.stream.write_all(&http1::error(413, "RequestEntityTooLarge", &message)).await
            }
            None => self.stream.write_all(http1::ACCEPTED).await,
        }
    }

    async fn pass_on(&mut self, length: BodyLength, pieces: &mpsc::Sender<Bytes>) -> io::Result<StreamEnd> {
        let mut way = Way { pieces, left: MAX_STREAM_BYTES, too_large: false };
        if let BodyLength::Exactly(length) = length {
            self.pass_on_bytes(length, &mut way).await?;
            return Ok(way.end(StreamEnd::Complete));
        }
        loop {
            let size = self.read_chunk_size().await?;
            if size == 0 {
                let end = self.read_trailers().await?;
                return Ok(way.end(end));
            }
            self.pass_on_bytes(size, &mut way).await?;
            if !self.read_line().await?.is_empty() {
                return Err(io::Error::other("a chunk longer than its size"));
            }
        }
    }

    /// Passes on so many bytes, each as soon as it is here.
    async fn pass_on_bytes(&mut self, length: u64, way: &mut Way<'_>) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            if self.read.is_empty() {
                self.read.reserve(PIECE_BYTES);
                if self.stream.read_buf(&mut self.read).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            let here = usize::try_from(left).unwrap_or(usize::MAX).min(self.read.len()).min(PIECE_BYTES);
            left -= here as u64;
            if way.pieces.is_closed() {
                way.count(here);
                self.read.advance(here);
            } else {
                way.send(self.read.split_to(here).freeze()).await;
            }
        }
        Ok(())
    }

    /// What follows the last chunk, up to its empty line.
    async fn read_trailers(&mut self) -> io::Result<StreamEnd> {
        let (mut body, mut error_type, mut seen) = (None, None, 0);
        loop {
            let line = self.read_line_of(MAX_TRAILERS_BYTES).await?;
            seen += line.len();
            if seen > MAX_TRAILERS_BYTES {
                return Err(io::Error::other("trailers without end"));
            }
            if line.is_empty() {
                break;
            }
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(ERROR_TYPE) {
                error_type = Some(String::from_utf8_lossy(value).into_owned());
            } else if name.eq_ignore_ascii_case(ERROR_BODY) {
                // What is no base64 is passed on as it came.
                body =
                    Some(STANDARD.decode(value).map_or_else(|_| Bytes::copy_from_slice(value), Bytes::from));
            }
        }
        Ok(match (body, error_type) {
            (None, None) => StreamEnd::Complete,
            (body, error_type) => StreamEnd::Error { body: body.unwrap_or_default(), error_type },
        })
    }
}

/// The way to the caller, and how much more may go along it.
struct Way<'a> {
    pieces: &'a mpsc::Sender<Bytes>,
    left: u64,
    too_large: bool,
}

impl Way<'_> {
    /// How many of so many bytes are still within the limit.
    fn count(&mut self, bytes: usize) -> usize {
        let within = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes);
        self.left -= within as u64;
        self.too_large |= within < bytes;
        within
    }

    /// Waits until there is room.
    async fn send(&mut self, mut piece: Bytes) {
        let within = self.count(piece.len());
        if within > 0 {
            piece.truncate(within);
            // Nobody may listen any more.
            let _ = self.pieces.send(piece).await;
        }
    }

    fn end(&self, end: StreamEnd) -> StreamEnd {
        if self.too_large { StreamEnd::TooLarge } else { end }
    }
}

//! The body of an answer: bytes that are all there, or a stream of them.
//!
//! A stream is asked for its next piece when the connection has room for it, so a slow client slows whatever makes the
//! pieces, and nothing piles up here. A client that goes away drops the stream.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use frontdoor::EventStream;
use futures_core::Stream;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use wire::{EventEncoder, Pieces};

/// What ends a body before its time. The client sees a broken answer, never a whole one.
pub type BodyFault = Box<dyn Error + Send + Sync>;

/// A piece of a streamed body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Bytes. None at all are left out.
    Data(Bytes),
    /// Headers after the body; nothing may follow. HTTP/1.1 clients get those that the answer's `Trailer` header names,
    /// if they sent `TE: trailers`.
    Trailers(HeaderMap),
}

type Source = Pin<Box<dyn Stream<Item = Result<Piece, BodyFault>> + Send>>;

/// The body of an answer.
#[derive(Default)]
pub struct Body(Inner);

#[derive(Default)]
enum Inner {
    /// All of it, then none.
    #[default]
    Empty,
    Whole(Bytes),
    Stream(Source),
    Events(Box<Events>),
}

impl Body {
    /// No bytes.
    #[must_use]
    pub fn empty() -> Self {
        Body(Inner::Empty)
    }

    /// A body that is made while it is sent, of bytes.
    ///
    /// An error breaks the answer off: on HTTP/1.1 the connection is closed before the last chunk, on HTTP/2 the stream
    /// is reset.
    pub fn stream<F>(data: impl Stream<Item = Result<Bytes, F>> + Send + Unpin + 'static) -> Self
    where
        F: Into<BodyFault> + 'static,
    {
        Body::pieces(Data(data))
    }

    /// The same, of bytes and, at the end, trailers.
    pub fn pieces(pieces: impl Stream<Item = Result<Piece, BodyFault>> + Send + 'static) -> Self {
        Body(Inner::Stream(Box::pin(pieces)))
    }

    /// A stream of an operation's events.
    pub(crate) fn events(encoder: EventEncoder, ready: Pieces, events: EventStream) -> Self {
        Body(Inner::Events(Box::new(Events { encoder, ready, events: Some(events) })))
    }

    /// The bytes, if they are all there.
    #[must_use]
    pub fn whole(&self) -> Option<&Bytes> {
        static NONE: Bytes = Bytes::new();
        match &self.0 {
            Inner::Empty => Some(&NONE),
            Inner::Whole(bytes) => Some(bytes),
            Inner::Stream(_) | Inner::Events(_) => None,
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Body(if bytes.is_empty() { Inner::Empty } else { Inner::Whole(bytes) })
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.whole() {
            Some(bytes) => f.debug_tuple("Body").field(&bytes.len()).finish(),
            None => f.write_str("Body(stream)"),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        match &mut self.0 {
            Inner::Empty => Poll::Ready(None),
            Inner::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                self.0 = Inner::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Inner::Stream(source) => loop {
                return Poll::Ready(match ready!(source.as_mut().poll_next(cx)) {
                    Some(Ok(Piece::Data(data))) if data.is_empty() => continue,
                    Some(Ok(Piece::Data(data))) => Some(Ok(Frame::data(data))),
                    Some(Ok(Piece::Trailers(trailers))) => Some(Ok(Frame::trailers(trailers))),
                    Some(Err(fault)) => Some(Err(fault)),
                    None => None,
                });
            },
            Inner::Events(events) => events.poll_next(cx).map(|next| next.map(|data| Ok(Frame::data(data)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Inner::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::Whole(bytes) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            Inner::Stream(_) | Inner::Events(_) => SizeHint::default(),
        }
    }
}

/// Bytes as pieces.
struct Data<S>(S);

impl<S, F> Stream for Data<S>
where
    S: Stream<Item = Result<Bytes, F>> + Unpin,
    F: Into<BodyFault>,
{
    type Item = Result<Piece, BodyFault>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(Pin::new(&mut self.0).poll_next(cx));
        Poll::Ready(next.map(|data| data.map(Piece::Data).map_err(Into::into)))
    }
}

/// Events and what is left of the last one to be sent.
struct Events {
    encoder: EventEncoder,
    ready: Pieces,
    /// `None` once they have ended.
    events: Option<EventStream>,
}

impl Events {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Poll::Ready(Some(piece));
            }
            let Some(events) = self.events.as_mut() else { return Poll::Ready(None) };
            match ready!(Pin::new(events).poll_next(cx)) {
                Some(Ok(event)) => self.encoder.event(event, &mut self.ready),
                Some(Err(error)) => {
                    if let Some(detail) = &error.detail {
                        tracing::error!(code = %error.code, detail, "a stream of events broke off");
                    }
                    self.encoder.failure(&error, &mut self.ready);
                    self.events = None;
                }
                None => self.events = None,
            }
        }
    }
}

//! What a handler answers: a document, or a head and a stream of events.
//!
//! Events are documents too: maps of one entry, the event's name in the model's union. A handler's own type for them is
//! an enum whose variants are those names. How they look on the wire is `wire`'s business.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base::ApiError;
use futures_core::Stream;
use model::Operation;
use serde::Serialize;
use wire::Doc;

use crate::guard;

/// The answer of an operation.
#[derive(Debug)]
pub enum Answer {
    /// All of it.
    Whole(Doc),
    /// Its members but the stream, and the stream.
    Stream {
        /// The members that are known before the first event.
        head: Doc,
        /// The events.
        events: EventStream,
    },
}

/// What a handler given to [`on_stream`](crate::ServiceBuilder::on_stream) returns.
#[derive(Debug)]
pub struct Streamed<H> {
    /// The answer's members but the stream.
    pub head: H,
    /// The events.
    pub events: EventStream,
}

impl<H> Streamed<H> {
    /// An answer with these events.
    pub fn new<E, X>(head: H, events: impl Stream<Item = Result<E, X>> + Send + Unpin + 'static) -> Self
    where
        E: Serialize,
        X: Into<ApiError>,
    {
        Streamed { head, events: EventStream::new(events) }
    }

    /// An answer without events.
    #[must_use]
    pub fn empty(head: H) -> Self {
        Streamed { head, events: EventStream { source: None, operation: None } }
    }
}

type Source = Pin<Box<dyn Stream<Item = Result<Doc, ApiError>> + Send>>;

/// Events, made when they are asked for. An error is the last one; a panic is an `InternalFailure`.
pub struct EventStream {
    /// `None` once it has ended.
    source: Option<Source>,
    /// Debug builds hold every event against this operation's model.
    operation: Option<&'static Operation>,
}

impl EventStream {
    /// Events from a stream of a handler's own type.
    pub fn new<E, X>(events: impl Stream<Item = Result<E, X>> + Send + Unpin + 'static) -> Self
    where
        E: Serialize,
        X: Into<ApiError>,
    {
        EventStream { source: Some(Box::pin(Documents { events })), operation: None }
    }

    pub(crate) fn checked_by(mut self, operation: &'static Operation) -> Self {
        self.operation = Some(operation);
        self
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").field("ended", &self.source.is_none()).finish_non_exhaustive()
    }
}

impl Stream for EventStream {
    type Item = Result<Doc, ApiError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(source) = self.source.as_mut() else { return Poll::Ready(None) };
        // Unwind safe in effect: a stream that panicked is dropped and never polled again.
        let next = match catch_unwind(AssertUnwindSafe(|| source.as_mut().poll_next(cx))) {
            Ok(next) => ready!(next),
            Err(panic) => Some(Err(ApiError::internal(format_args!("panic: {}", guard::text_of(&*panic))))),
        };
        let next = match (next, self.operation) {
            (Some(Ok(event)), Some(operation)) => Some(match wire::check_event(operation, &event) {
                Ok(()) => Ok(event),
                Err(why) => Err(ApiError::internal(format_args!("an event does not fit the model: {why}"))),
            }),
            (next, _) => next,
        };
        if !matches!(next, Some(Ok(_))) {
            self.source = None;
        }
        Poll::Ready(next)
    }
}

/// A handler's events as documents.
struct Documents<S> {
    events: S,
}

impl<S, E, X> Stream for Documents<S>
where
    S: Stream<Item = Result<E, X>> + Unpin,
    E: Serialize,
    X: Into<ApiError>,
{
    type Item = Result<Doc, ApiError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(ready!(Pin::new(&mut self.events).poll_next(cx)).map(|event| match event {
            Ok(event) => {
                wire::doc::to_doc(&event).map_err(|error| ApiError::internal(format_args!("event: {error}")))
            }
            Err(error) => Err(error.into()),
        }))
    }
}

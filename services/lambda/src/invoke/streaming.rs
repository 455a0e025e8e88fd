//! An answer that reaches its caller while the function is still making it.
//!
//! The bytes go from the connection of the Runtime API to the caller through one bounded channel: who reads slowly slows
//! the function, and no more than the channel's room is ever in memory. The function's time limit goes on meanwhile. AWS
//! slows streams to 2 MB/s after their first 6 MB; this is not imitated.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html>.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::Outcome;
use crate::runtime_api::{Answer, MAX_RESPONSE_BYTES, Session, StreamEnd, StreamedAnswer};

/// How long the last bytes of a process that has ended may take to get through.
const LAST_BYTES: Duration = Duration::from_secs(1);

/// A function's answer on its way. [`Invoker::invoke_streaming`](crate::invoker::Invoker::invoke_streaming) gives it when
/// the function has begun to answer, has answered, or has failed.
///
/// Read `chunks` to their end first, then `done`: the way from the function is closed while `chunks` is full. Dropping it
/// loses the answer and nothing else: as at AWS the function runs to its own end, whether or not anybody listens.
///
/// A function that answers as a whole gives one chunk. One that failed before its first byte gives none, and `done` tells
/// of the failure. One that fails in the middle gives what it had sent until then, and `done` tells of the failure.
#[derive(Debug)]
pub struct Streaming {
    /// The content type that the function set for its answer; `None` when it answered as a whole, or failed.
    /// `application/vnd.awslambda.http-integration-response` means that the chunks begin with a JSON object
    /// (`statusCode`, `headers`, `cookies`), which eight zero bytes end.
    pub content_type: Option<String>,
    /// The answer's bytes, in order. Their bounds mean nothing: a function's write may come in several chunks.
    pub chunks: mpsc::Receiver<Bytes>,
    /// The end, after the last chunk: `function_error` with its `payload` (the error's document) when the function failed;
    /// the payload is empty when it did not. It is never dropped without a value, but for a panic of ours.
    pub done: oneshot::Receiver<Outcome>,
}

impl Streaming {
    /// An answer that is all there.
    #[must_use]
    pub fn whole(mut outcome: Outcome) -> Streaming {
        let (sender, chunks) = mpsc::channel(1);
        if outcome.function_error.is_none() {
            let payload = std::mem::take(&mut outcome.payload);
            if !payload.is_empty() {
                // There is room for one, and the receiver is here.
                let _ = sender.try_send(payload);
            }
        }
        let (ended, done) = oneshot::channel();
        let _ = ended.send(outcome);
        Streaming { content_type: None, chunks, done }
    }
}

/// Where the bytes of a streamed answer go.
#[derive(Debug)]
pub(crate) enum Sink {
    /// Into one buffer: the caller wants the answer as a whole.
    Whole,
    /// To a caller who takes them as they come.
    Caller(oneshot::Sender<Opened>),
    /// They are on their way to the caller.
    Open,
}

/// A streamed answer's beginning.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) content_type: Option<String>,
    pub(crate) chunks: mpsc::Receiver<Bytes>,
}

/// Takes a streamed answer to its end, and waits until the runtime is ready for another event or has ended. What came of
/// it is told as of an answer that comes at once; its bytes are in there only if the caller wants them as a whole.
pub(crate) async fn follow(session: &Session, answer: StreamedAnswer, sink: &mut Sink) -> Answer {
    let StreamedAnswer { content_type, chunks, end } = answer;
    let (body, end) = match std::mem::replace(sink, Sink::Open) {
        Sink::Caller(caller) => {
            // Where nobody waits any more, the bytes go nowhere.
            let _ = caller.send(Opened { content_type, chunks });
            (Some(Bytes::new()), ended(session, end).await)
        }
        Sink::Whole | Sink::Open => tokio::join!(collect(chunks), ended(session, end)),
    };
    session.parked().await;
    match (end, body) {
        (StreamEnd::Truncated, _) => match session.departure() {
            Some(departure) => Answer::Gone { departure, delivered: true },
            None => Answer::Truncated,
        },
        (StreamEnd::Error { body, error_type }, _) => {
            let body = if body.is_empty() { document(error_type.as_deref()) } else { body };
            Answer::Error { body, error_type }
        }
        (_, None) => Answer::TooLarge,
        (StreamEnd::TooLarge, _) => Answer::StreamTooLarge,
        (StreamEnd::Complete, Some(body)) => Answer::Response(body),
    }
}

/// How the stream ended. When its process has ended, this is waited for only a little: a caller who reads slowly would
/// keep the request open.
async fn ended(session: &Session, mut end: oneshot::Receiver<StreamEnd>) -> StreamEnd {
    let end = tokio::select! {
        biased;
        end = &mut end => end,
        () = session.departed() => match timeout(LAST_BYTES, end).await {
            Ok(end) => end,
            Err(_) => return StreamEnd::Truncated,
        },
    };
    // Dropped: the connection's task is gone, and the environment with it.
    end.unwrap_or(StreamEnd::Truncated)
}

/// The answer as a whole; `None` when it is larger than an answer may be.
async fn collect(mut chunks: mpsc::Receiver<Bytes>) -> Option<Bytes> {
    let mut body = BytesMut::new();
    while let Some(chunk) = chunks.recv().await {
        if body.len() + chunk.len() > MAX_RESPONSE_BYTES {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body.freeze())
}

/// The document of an error of which the trailers give the type only.
fn document(error_type: Option<&str>) -> Bytes {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Document<'a> {
        error_type: &'a str,
        error_message: &'a str,
    }
    let document = Document { error_type: error_type.unwrap_or("Runtime.Unknown"), error_message: "" };
    Bytes::from(serde_json::to_vec(&document).unwrap_or_default())
}

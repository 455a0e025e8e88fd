//! An answer that reaches its caller while the function is still making it.
//!
//! The bytes go from the connection of the Runtime API to the caller through one bounded channel: who reads slowly slows
//! the function, and no more than the channel's room is ever in memory. The function's time limit goes on meanwhile. AWS
//! slows streams to 2 MB/s after their first 6 MB; this is not imitated.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html>.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::Outcome;

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

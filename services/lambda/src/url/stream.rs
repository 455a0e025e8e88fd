//! From a function's answer to an HTTP response, while the function is still making it.
//!
//! A stream of the type `application/vnd.awslambda.http-integration-response` begins with its head as JSON and eight zero
//! bytes; any other is the body of a 200 as it comes. Once the head is out, a function that fails can only break the
//! answer off: the client sees an answer without an end.
//! <https://docs.aws.amazon.com/lambda/latest/dg/response-streaming-tutorial.html>.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use gateway::Body;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;

use super::answer::{self, Head};
use crate::invoke::{Outcome, Streaming};

/// The type of streams that begin with a head.
const WITH_HEAD: &str = "application/vnd.awslambda.http-integration-response";
/// Between a stream's head and its body.
const SEPARATOR: [u8; 8] = [0; 8];
/// The largest head. AWS names no limit; no client takes headers of this size.
const MAX_HEAD_BYTES: usize = 256 * 1024;
/// The largest answer that is kept in memory: what a function may answer as a whole.
const MAX_WHOLE_BYTES: usize = 6_291_556;

/// Why a function's answer became no response; for the log.
#[derive(Debug)]
pub(super) struct Failure(pub(super) String);

impl From<answer::Malformed> for Failure {
    fn from(malformed: answer::Malformed) -> Self {
        Failure(malformed.to_string())
    }
}

/// A response that begins when the function's answer does.
pub(super) async fn streamed(streaming: Streaming) -> Result<Response<Body>, Failure> {
    let with_head = streaming.content_type.as_deref() == Some(WITH_HEAD);
    let Streaming { content_type, mut chunks, mut done } = streaming;
    if !with_head {
        // The first byte decides between an answer and an error.
        let body = match chunks.recv().await {
            Some(first) => rest(first, chunks, done),
            None => ended(&mut done).await.map(|()| Body::empty())?,
        };
        let mut response = Response::new(body);
        let kind = content_type.as_deref().unwrap_or("application/json");
        let kind =
            HeaderValue::try_from(kind).unwrap_or(HeaderValue::from_static("application/octet-stream"));
        response.headers_mut().insert(CONTENT_TYPE, kind);
        return Ok(response);
    }
    let mut seen = BytesMut::new();
    loop {
        let Some(chunk) = chunks.recv().await else {
            ended(&mut done).await?;
            return Err(Failure("the stream ended within its head".to_owned()));
        };
        // The separator may have begun in the chunk before.
        let from = seen.len().saturating_sub(SEPARATOR.len() - 1);
        seen.extend_from_slice(&chunk);
        if let Some(at) = memchr::memmem::find(&seen[from..], &SEPARATOR) {
            let head = seen.split_to(from + at);
            let body = seen.split_off(SEPARATOR.len()).freeze();
            let mut response = head_of(&head)?;
            *response.body_mut() = rest(body, chunks, done);
            return Ok(response);
        }
        if seen.len() > MAX_HEAD_BYTES {
            return Err(Failure(format!("the stream's head is longer than {MAX_HEAD_BYTES} bytes")));
        }
    }
}

/// A response once the function has answered all of it.
pub(super) async fn buffered(streaming: Streaming) -> Result<Response<Body>, Failure> {
    let with_head = streaming.content_type.as_deref() == Some(WITH_HEAD);
    let Streaming { mut chunks, mut done, .. } = streaming;
    // An answer that came in one piece is passed on without a copy.
    let mut whole = chunks.recv().await.unwrap_or_default();
    while let Some(chunk) = chunks.recv().await {
        if whole.len() + chunk.len() > MAX_WHOLE_BYTES {
            return Err(Failure(format!("the answer is larger than {MAX_WHOLE_BYTES} bytes")));
        }
        let mut more = BytesMut::from(whole);
        more.extend_from_slice(&chunk);
        whole = more.freeze();
    }
    ended(&mut done).await?;
    if !with_head {
        return Ok(answer::response(whole)?);
    }
    let Some(at) = memchr::memmem::find(&whole, &SEPARATOR) else {
        return Err(Failure("the stream ended within its head".to_owned()));
    };
    let mut response = head_of(&whole[..at])?;
    *response.body_mut() = Body::from(whole.slice(at + SEPARATOR.len()..));
    Ok(response)
}

fn head_of(bytes: &[u8]) -> Result<Response<Body>, Failure> {
    let head: Head = serde_json::from_slice(bytes)
        .map_err(|error| Failure(format!("the stream's head is not JSON: {error}")))?;
    Ok(head.response("application/octet-stream")?)
}

/// Waits for the end of an answer whose chunks are all read.
async fn ended(done: &mut oneshot::Receiver<Outcome>) -> Result<(), Failure> {
    match done.await {
        Ok(outcome) => failure_of(&outcome).map_or(Ok(()), Err),
        Err(_) => Err(Failure("the invoke ended without an outcome".to_owned())),
    }
}

fn failure_of(outcome: &Outcome) -> Option<Failure> {
    let kind = outcome.function_error?;
    Some(Failure(format!("{kind}: {}", String::from_utf8_lossy(&outcome.payload))))
}

fn rest(first: Bytes, chunks: Receiver<Bytes>, done: oneshot::Receiver<Outcome>) -> Body {
    Body::stream(Rest { first, chunks: Some(chunks), done })
}

/// What is left of an answer, and whether it ended well.
struct Rest {
    first: Bytes,
    /// `None` once they have ended.
    chunks: Option<Receiver<Bytes>>,
    done: oneshot::Receiver<Outcome>,
}

impl Stream for Rest {
    type Item = Result<Bytes, String>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.first.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.first))));
        }
        let Some(chunks) = self.chunks.as_mut() else { return Poll::Ready(None) };
        if let Some(chunk) = ready!(chunks.poll_recv(cx)) {
            return Poll::Ready(Some(Ok(chunk)));
        }
        let outcome = ready!(Pin::new(&mut self.done).poll(cx));
        self.chunks = None;
        let failure = match outcome {
            Ok(outcome) => failure_of(&outcome),
            Err(_) => Some(Failure("the invoke ended without an outcome".to_owned())),
        };
        Poll::Ready(failure.map(|failure| Err(failure.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use tokio::sync::mpsc;

    fn outcome(error: Option<&'static str>) -> Outcome {
        Outcome {
            payload: Bytes::from_static(b"{}"),
            function_error: error,
            log_tail_base64: None,
            executed_version: "$LATEST".to_owned(),
            duration_ms: 1.0,
            billed_ms: 1,
            init_ms: None,
            cold: false,
            max_memory_mib: 1,
        }
    }

    fn streaming(kind: Option<&str>, parts: &[&str], error: Option<&'static str>) -> Streaming {
        let (sender, chunks) = mpsc::channel(64);
        for part in parts {
            sender.try_send(Bytes::from((*part).to_owned())).unwrap();
        }
        let (end, done) = oneshot::channel();
        end.send(outcome(error)).unwrap();
        Streaming { content_type: kind.map(str::to_owned), chunks, done }
    }

    async fn text(response: Response<Body>) -> Result<String, String> {
        let collected = response.into_body().collect().await.map_err(|error| error.to_string())?;
        Ok(String::from_utf8(collected.to_bytes().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_head_is_found_wherever_it_is_cut() {
        let whole =
            "{\"statusCode\":418,\"headers\":{\"x-a\":\"b\"},\"cookies\":[\"c=d\"]}\0\0\0\0\0\0\0\0tea\0pot";
        for cut in 1..whole.len() {
            let parts = [&whole[..cut], &whole[cut..]];
            for way in 0..2 {
                let streaming = streaming(Some(WITH_HEAD), &parts, None);
                let response =
                    if way == 0 { streamed(streaming).await } else { buffered(streaming).await }.unwrap();
                assert_eq!(response.status(), 418);
                assert_eq!(response.headers()["x-a"], "b");
                assert_eq!(response.headers()["set-cookie"], "c=d");
                assert_eq!(response.headers()["content-type"], "application/octet-stream");
                assert_eq!(text(response).await.unwrap(), "tea\0pot", "{cut}");
            }
        }
    }

    #[tokio::test]
    async fn a_stream_without_a_head_is_a_body() {
        let response = streamed(streaming(Some("text/html"), &["<p>", "hi"], None)).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (200, &HeaderValue::from_static("text/html"))
        );
        assert_eq!(text(response).await.unwrap(), "<p>hi");
        let response = streamed(streaming(None, &["{\"statusCode\":201}"], None)).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(text(response).await.unwrap(), "{\"statusCode\":201}");
        let response = buffered(streaming(None, &["{\"statusCode\"", ":201}"], None)).await.unwrap();
        assert_eq!(response.status(), 201);
    }

    #[tokio::test]
    async fn a_failure_is_an_error_before_the_first_byte_and_a_broken_answer_after() {
        let nothing = streamed(streaming(Some("text/plain"), &[], None)).await.unwrap();
        assert_eq!(text(nothing).await.unwrap(), "");
        assert!(streamed(streaming(None, &[], Some("Unhandled"))).await.is_err());
        assert!(streamed(streaming(Some(WITH_HEAD), &["{}"], None)).await.is_err());
        assert!(buffered(streaming(Some("text/plain"), &["a"], Some("Unhandled"))).await.is_err());
        let response = streamed(streaming(Some("text/plain"), &["a"], Some("Unhandled"))).await.unwrap();
        assert!(text(response).await.unwrap_err().starts_with("Unhandled"));
    }
}

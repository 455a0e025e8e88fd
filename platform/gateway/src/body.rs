//! Reads a request's body, up to a limit.
//!
//! A body that came in one piece is passed on without a copy. When a body is too large the rest of it is read and
//! thrown away, within bounds: most clients send their whole body before they look at the answer, and would see a
//! broken connection instead of the error.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

/// The most bytes of a refused body that are read away.
const MAX_DRAIN_BYTES: u64 = 128 * 1024 * 1024;
/// The longest time that is spent on it.
const MAX_DRAIN: Duration = Duration::from_secs(10);

/// Why there is no body.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// It is larger than the limit.
    TooLarge,
    /// The client stopped sending.
    TimedOut,
    /// The sender has too much of it in flight.
    Busy,
    /// The connection broke, or the framing is wrong.
    Broken(hyper::Error),
}

/// Bytes that may be in memory at one time.
pub(crate) struct Budget {
    left: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Budget { left: AtomicUsize::new(bytes) }
    }
}

/// Bytes taken from a budget. They come back with the drop.
pub(crate) struct Taken<'a> {
    from: Option<&'a Budget>,
    bytes: usize,
}

impl<'a> Taken<'a> {
    pub(crate) fn nothing(from: Option<&'a Budget>) -> Self {
        Taken { from, bytes: 0 }
    }

    fn more(&mut self, bytes: usize) -> Result<(), BodyError> {
        let Some(budget) = self.from else { return Ok(()) };
        let less = |left: usize| left.checked_sub(bytes);
        budget.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).map_err(|_| BodyError::Busy)?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(budget) = self.from {
            budget.left.fetch_add(self.bytes, Ordering::Relaxed);
        }
    }
}

/// Reads all of `body`, which may have `limit_bytes` at most. `pause` is the longest wait for its next piece.
pub(crate) async fn read(
    mut body: Incoming,
    headers: &HeaderMap,
    limit_bytes: usize,
    pause: Duration,
    taken: &mut Taken<'_>,
) -> Result<Bytes, BodyError> {
    let announced = body.size_hint().exact();
    if announced == Some(0) {
        return Ok(Bytes::new());
    }
    let limit = u64::try_from(limit_bytes).unwrap_or(u64::MAX);
    if announced.is_some_and(|bytes| bytes > limit) {
        discard(body, headers).await;
        return Err(BodyError::TooLarge);
    }
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(piece) = next(&mut body, pause).await? {
        if first.len() + whole.len() + piece.len() > limit_bytes {
            drain(body).await;
            return Err(BodyError::TooLarge);
        }
        taken.more(piece.len())?;
        if whole.is_empty() && first.is_empty() {
            first = piece;
            continue;
        }
        if whole.is_empty() {
            let announced = usize::try_from(announced.unwrap_or(0)).unwrap_or(0);
            whole.reserve(announced.max(first.len() + piece.len()).min(limit_bytes));
            whole.extend_from_slice(&first);
            first = Bytes::new();
        }
        whole.extend_from_slice(&piece);
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

/// The next piece of data; trailers are skipped.
async fn next(body: &mut Incoming, pause: Duration) -> Result<Option<Bytes>, BodyError> {
    loop {
        match tokio::time::timeout(pause, body.frame()).await {
            Err(_) => return Err(BodyError::TimedOut),
            Ok(None) => return Ok(None),
            Ok(Some(Err(error))) => return Err(BodyError::Broken(error)),
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Ok(Some(data)),
                Err(_trailers) => {}
            },
        }
    }
}

/// Reads a body away that nobody wants, so that its sender gets to see why. A client that waits for "100 Continue" has
/// sent nothing yet and reads the answer first.
pub(crate) async fn discard(body: Incoming, headers: &HeaderMap) {
    if !body.is_end_stream() && !headers.contains_key(http::header::EXPECT) {
        drain(body).await;
    }
}

async fn drain(mut body: Incoming) {
    let away = async {
        let mut seen = 0_u64;
        while seen < MAX_DRAIN_BYTES
            && let Some(Ok(frame)) = body.frame().await
        {
            seen += frame.data_ref().map_or(0, |data| u64::try_from(data.len()).unwrap_or(0));
        }
    };
    // Whether it ended or not, the answer goes out now.
    let _ = tokio::time::timeout(MAX_DRAIN, away).await;
}

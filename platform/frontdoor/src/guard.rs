//! Runs a handler's future so that its panic becomes a value, and so that it ends even when nobody waits for it.
//!
//! A handler's panic must end its own call with an answer, and never the connection that other calls share. And a
//! client that goes away must not stop a handler between two of its steps: as at AWS, what was begun is carried out,
//! only the answer is lost.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio_util::sync::CancellationToken;

/// A boxed future, as handlers are kept.
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Resolves to the future's output, or to the text of its panic. Dropped after its first poll and before its end, it
/// leaves the future to the runtime to finish.
pub(crate) struct Guarded<T: Send + 'static> {
    /// `None` once it has ended.
    future: Option<BoxFuture<T>>,
    begun: bool,
    /// Cancelled when it is dropped before its end.
    gone: CancellationToken,
}

impl<T: Send + 'static> Guarded<T> {
    pub(crate) fn new(future: BoxFuture<T>, gone: CancellationToken) -> Self {
        Guarded { future: Some(future), begun: false, gone }
    }
}

impl<T: Send + 'static> Future for Guarded<T> {
    type Output = Result<T, String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.begun = true;
        let Some(future) = self.future.as_mut() else {
            return Poll::Ready(Err("a handler was asked again after its end".to_owned()));
        };
        // Unwind safe in effect: a future that panicked is never polled again, and what it shares with others is
        // behind locks that say when they are poisoned.
        let result = match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(panic) => Err(text_of(&*panic)),
        };
        self.future = None;
        Poll::Ready(result)
    }
}

impl<T: Send + 'static> Drop for Guarded<T> {
    fn drop(&mut self) {
        let (true, Some(future)) = (self.begun, self.future.take()) else { return };
        self.gone.cancel();
        // Outside of a runtime there is nobody to finish it: the process is ending.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _answer_for_nobody = future.await;
            });
        }
    }
}

pub(crate) fn text_of(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without text".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_was_begun_is_carried_out() {
        let (go, wait) = oneshot::channel::<()>();
        let (done, seen) = oneshot::channel::<()>();
        let handler: BoxFuture<()> = Box::pin(async move {
            wait.await.unwrap();
            done.send(()).unwrap();
        });
        let gone = CancellationToken::new();
        let client = tokio::spawn(Guarded::new(handler, gone.clone()));
        tokio::task::yield_now().await;
        assert!(!gone.is_cancelled());
        client.abort();
        assert!(client.await.unwrap_err().is_cancelled());
        assert!(gone.is_cancelled());
        go.send(()).unwrap();
        seen.await.unwrap();
    }

    #[tokio::test]
    async fn what_was_not_begun_is_not() {
        let (done, seen) = oneshot::channel::<()>();
        let handler: BoxFuture<()> = Box::pin(async move { done.send(()).unwrap() });
        drop(Guarded::new(handler, CancellationToken::new()));
        assert!(seen.await.is_err());
    }

    #[tokio::test]
    async fn a_panic_is_a_value() {
        let handler: BoxFuture<()> = Box::pin(async { panic!("no {}", "paper") });
        assert_eq!(Guarded::new(handler, CancellationToken::new()).await, Err("no paper".to_owned()));
    }
}

//! A future that wakes itself while it runs is run again at once, without a way through the scheduler.
//!
//! A connection's future holds both the reader of a request and the handler that waits for its body, so with every
//! request one part wakes the other. The scheduler takes that for new work: it queues the task again and wakes a sleeping
//! worker, two system calls and a context switch or two for nothing.
//!
//! Not here: fairness between tasks. After a few turns the scheduler has its way.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// How often a future is run again before the scheduler is asked.
const MAX_TURNS: usize = 16;

/// It does not run: who wakes it wakes the task.
const RESTING: u8 = 0;
const RUNNING: u8 = 1;
/// It was woken while it ran.
const WOKEN: u8 = 2;

/// See above.
pub(crate) struct Again<F> {
    future: Pin<Box<F>>,
    bell: Arc<Bell>,
    waker: Waker,
}

/// What the future wakes.
struct Bell {
    state: AtomicU8,
    /// The task's own waker.
    task: Mutex<Option<Waker>>,
}

impl<F: Future> Again<F> {
    pub(crate) fn new(future: F) -> Self {
        let bell = Arc::new(Bell { state: AtomicU8::new(RESTING), task: Mutex::new(None) });
        let waker = Waker::from(Arc::clone(&bell));
        Again { future: Box::pin(future), bell, waker }
    }

    /// The future itself. Who changes it must poll this afterwards.
    pub(crate) fn inner(&mut self) -> Pin<&mut F> {
        self.future.as_mut()
    }
}

impl Bell {
    fn remember(&self, task: &Waker) {
        let mut known = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *known {
            Some(known) if known.will_wake(task) => {}
            known => *known = Some(task.clone()),
        }
    }

    fn ring(&self) {
        let woken = self.state.compare_exchange(RUNNING, WOKEN, Ordering::AcqRel, Ordering::Acquire);
        if woken == Err(RESTING) {
            let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(task) = task {
                task.wake();
            }
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

impl<F: Future> Future for Again<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Again { future, bell, waker } = &mut *self;
        bell.remember(cx.waker());
        for _ in 0..MAX_TURNS {
            bell.state.store(RUNNING, Ordering::Release);
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(waker)) {
                bell.state.store(RESTING, Ordering::Release);
                return Poll::Ready(output);
            }
            let rests = bell.state.compare_exchange(RUNNING, RESTING, Ordering::AcqRel, Ordering::Acquire);
            if rests.is_ok() {
                return Poll::Pending;
            }
        }
        bell.state.store(RESTING, Ordering::Release);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Counts how often its task was woken.
    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn poll<F: Future>(again: &mut Again<F>, task: &Arc<Task>) -> Poll<F::Output> {
        Pin::new(again).poll(&mut Context::from_waker(&Waker::from(Arc::clone(task))))
    }

    /// Wakes itself so often before it is ready.
    fn restless(mut turns: usize) -> impl Future<Output = ()> {
        std::future::poll_fn(move |cx| {
            if turns == 0 {
                return Poll::Ready(());
            }
            turns -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }

    #[test]
    fn who_wakes_itself_needs_no_scheduler() {
        let task = Arc::<Task>::default();
        assert!(poll(&mut Again::new(restless(MAX_TURNS - 1)), &task).is_ready());
        assert_eq!(task.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn who_never_rests_goes_through_the_scheduler() {
        let task = Arc::<Task>::default();
        let mut again = Again::new(restless(MAX_TURNS));
        assert!(poll(&mut again, &task).is_pending());
        assert_eq!(task.0.load(Ordering::Relaxed), 1);
        assert!(poll(&mut again, &task).is_ready());
    }

    #[test]
    fn who_is_woken_by_others_is_polled_by_its_task() {
        let task = Arc::<Task>::default();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let mut again = Again::new(receiver);
        assert!(poll(&mut again, &task).is_pending());
        let other = Arc::<Task>::default();
        assert!(poll(&mut again, &other).is_pending());
        sender.send(7).unwrap();
        assert_eq!((task.0.load(Ordering::Relaxed), other.0.load(Ordering::Relaxed)), (0, 1));
        assert_eq!(poll(&mut again, &other), Poll::Ready(Ok(7)));
    }
}

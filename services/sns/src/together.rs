//! Many deliveries at once, in the task of who publishes, so that their transactions share one commit.
//!
//! All are begun before any is waited for; a delivery that is woken is looked at again, and no other.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Who waits for all of them.
#[derive(Default)]
struct Parent(Mutex<Option<Waker>>);

/// Whether one of them was woken.
struct Bell {
    rung: AtomicBool,
    parent: Arc<Parent>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        if self.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        let parent = self.parent.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(parent) = parent {
            parent.wake();
        }
    }
}

struct Slot<F: Future> {
    /// `None` once it has ended.
    future: Option<Pin<Box<F>>>,
    outcome: Option<F::Output>,
    bell: Arc<Bell>,
}

/// Waits for all of them; their outcomes in order. `begun` is dropped when each of them was begun.
pub(crate) async fn all<F: Future, B>(futures: Vec<F>, begun: B) -> Vec<F::Output> {
    let parent = Arc::<Parent>::default();
    let slot = |future| Slot {
        future: Some(Box::pin(future)),
        outcome: None,
        bell: Arc::new(Bell { rung: AtomicBool::new(true), parent: Arc::clone(&parent) }),
    };
    let mut slots: Vec<Slot<F>> = futures.into_iter().map(slot).collect();
    let (mut left, mut begun) = (slots.len(), Some(begun));
    let wait = std::future::poll_fn(|context| {
        *parent.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.waker().clone());
        for slot in &mut slots {
            if slot.bell.rung.swap(false, Ordering::AcqRel) && look(slot) {
                left -= 1;
            }
        }
        begun = None;
        if left == 0 { Poll::Ready(()) } else { Poll::Pending }
    });
    // The runtime would have them take turns after some steps; they are to be begun together.
    tokio::task::unconstrained(wait).await;
    slots.into_iter().filter_map(|slot| slot.outcome).collect()
}

/// Whether it has ended now.
fn look<F: Future>(slot: &mut Slot<F>) -> bool {
    let Some(future) = &mut slot.future else { return false };
    let waker = Waker::from(Arc::clone(&slot.bell));
    match future.as_mut().poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(outcome) => {
            slot.outcome = Some(outcome);
            slot.future = None;
            true
        }
        Poll::Pending => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_are_begun_before_one_is_waited_for() {
        let gate = Arc::new(tokio::sync::Barrier::new(300));
        let one = |number: usize| {
            let gate = Arc::clone(&gate);
            async move {
                gate.wait().await;
                tokio::task::yield_now().await;
                number
            }
        };
        let outcomes = all((0..300).map(one).collect(), ()).await;
        assert_eq!(outcomes, (0..300).collect::<Vec<_>>());
        assert!(all(Vec::<std::future::Ready<()>>::new(), ()).await.is_empty());
    }
}

//! Asynchronous invokes: an event is on disk before it is answered, and goes from there to its function.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `record` | an event as it is stored |
//! | `queue` | the rows of one function's events: written, read, moved, removed |
//! | `accept` | from a request to rows |
//! | `drain` | one task per queue that has events: reads, starts, settles |
//! | `index` | what of a queue is in memory, bounded however long the queue is |
//! | `pace` | how many of a function's events may run at a time |
//! | `attempt` | one event, one invoke, and what becomes of the event |
//! | `ending` | destinations and dead letters of an event that came to its end |
//! | `config` | what FunctionEventInvokeConfig holds |
//!
//! An event is removed after it was handled and its record was delivered, never before: a server that is killed
//! between the two hands it to the function again. So events arrive at least once, in no promised order.
//!
//! One process has the store, so what is being worked on is known in memory alone and nothing is claimed on disk.
//! Queues do not wait for one another: each has its own task, pace and pauses.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/invocation-async.html>.

mod accept;
mod attempt;
pub(crate) mod config;
mod counts;
mod drain;
mod ending;
mod index;
mod pace;
mod queue;
mod record;
mod retry;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::Timestamp;
use service_delivery::Delivery;
use tokio::sync::{Notify, watch};

pub(crate) use accept::check_size;
pub use counts::EventCounts;

use self::counts::Counts;
use self::drain::Drainer;
use self::queue::{Queue, QueueId};
use crate::Lambda;
use crate::error::LambdaError;
use crate::name::Target;

/// The queues at work, and the way out for what they have to hand on.
pub(crate) struct Events {
    delivery: Delivery,
    counts: Counts,
    working: Mutex<HashMap<QueueId, Working>>,
    /// How many queues are at work.
    count: watch::Sender<usize>,
    stop: watch::Sender<bool>,
}

/// A queue with a task.
struct Working {
    wake: Arc<Notify>,
    news: News,
}

/// What was accepted since the task last looked.
#[derive(Clone, Copy, Debug, Default)]
struct News {
    /// There may be new events to run at once.
    ready: bool,
    /// The earliest moment of new events that are to wait.
    due: Option<Timestamp>,
}

impl Events {
    pub(crate) fn new(delivery: Delivery) -> Self {
        Events {
            delivery,
            counts: Counts::default(),
            working: Mutex::default(),
            count: watch::Sender::new(0),
            stop: watch::Sender::new(false),
        }
    }

    pub(crate) fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    fn working(&self) -> MutexGuard<'_, HashMap<QueueId, Working>> {
        self.working.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Takes what was accepted since the last call.
    fn take_news(&self, queue: &QueueId) -> News {
        self.working().get_mut(queue).map(|working| std::mem::take(&mut working.news)).unwrap_or_default()
    }

    /// Ends the work on a queue that has nothing to do. `false`: there is news.
    fn leave(&self, queue: &QueueId) -> bool {
        let mut working = self.working();
        if working.get(queue).is_some_and(|working| working.news.ready || working.news.due.is_some()) {
            return false;
        }
        working.remove(queue);
        self.count.send_replace(working.len());
        true
    }

    /// Ends the work on a queue whatever there is.
    fn abandon(&self, queue: &QueueId) {
        let mut working = self.working();
        working.remove(queue);
        self.count.send_replace(working.len());
    }
}

impl Lambda {
    /// What became of asynchronous events since the server started, by the function's ARN with version or alias.
    #[must_use]
    pub fn event_counts(&self) -> BTreeMap<String, EventCounts> {
        self.events.counts.all()
    }

    /// Goes on with the events that an earlier process left, and removes those of functions that are gone; reads on for
    /// event source mappings. To be called once, when calls of services to one another work and before the first request.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn start_events(self: &Arc<Self>) -> Result<(), LambdaError> {
        for id in queue::all(&self.store)? {
            let queue = Queue::new(self.store.clone(), id);
            if queue.is_live()? {
                let lambda = Arc::clone(self);
                let unfinished = queue.unfinished()?;
                tokio::spawn(async move {
                    if let Err(error) = queue.remove_unfinished(unfinished).await {
                        tracing::warn!(%error, "what a killed accept left cannot be removed");
                    }
                    lambda.wake_queue(queue.id(), None);
                });
            } else {
                tokio::spawn(clear(queue));
            }
        }
        self.start_mappings()
    }

    /// Starts no further events, and waits a while for those that run. What did not end stays in its queue.
    pub async fn stop_events(&self) {
        /// Most functions end within this; the others are cut off with their environments.
        const LIMIT: Duration = Duration::from_secs(3);
        self.events.stop.send_replace(true);
        let mut count = self.events.count.subscribe();
        // The sender lives in `self`; the limit passing is what is expected of long functions.
        let events = count.wait_for(|count| *count == 0);
        let _ = tokio::time::timeout(LIMIT, async { tokio::join!(events, self.stop_mappings()) }).await;
    }

    /// Says that a queue has new events: now, or to be run at `due`.
    fn wake_queue(self: &Arc<Self>, queue: &QueueId, due: Option<Timestamp>) {
        if self.events.is_stopping() {
            return;
        }
        let mut working = self.events.working();
        let is_new = !working.contains_key(queue);
        let entry = working
            .entry(queue.clone())
            .or_insert_with(|| Working { wake: Arc::default(), news: News::default() });
        match due {
            None => entry.news.ready = true,
            Some(due) => entry.news.due = Some(entry.news.due.map_or(due, |before| before.min(due))),
        }
        if is_new {
            // A new task looks at everything that is there.
            let drainer = Drainer::new(Arc::clone(self), queue.clone(), Arc::clone(&entry.wake));
            tokio::spawn(drainer.run());
            self.events.count.send_replace(working.len());
        } else {
            entry.wake.notify_one();
        }
    }

    /// Removes the events of a function that was deleted. Returns at once; a new function of the same name has a queue
    /// of its own.
    pub(crate) fn forget_events(&self, target: &Target) {
        let queues = match queue::all_of(&self.store, target) {
            Ok(queues) => queues,
            Err(error) => {
                tracing::warn!(%error, function = %target.arn(), "events of a deleted function stay until the next start");
                return;
            }
        };
        for id in queues {
            let queue = Queue::new(self.store.clone(), id);
            if queue.is_live().is_ok_and(|live| !live) {
                tokio::spawn(clear(queue));
            }
        }
    }
}

async fn clear(queue: Queue) {
    match queue.clear().await {
        Ok(rows) => tracing::info!(function = %queue.id(), rows, "events of a deleted function removed"),
        Err(error) => {
            tracing::warn!(function = %queue.id(), %error, "events of a deleted function cannot be removed")
        }
    }
}

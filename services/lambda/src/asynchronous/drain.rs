//! One task per queue that has events: it reads them, starts them at the queue's pace, and settles what came of them.
//!
//! It sleeps until something wakes it: a new event, an attempt that ended, a moment that came. What came of attempts
//! is committed in batches, while others run. When the queue is empty the task ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base::Timestamp;
use store::StoreError;
use tokio::sync::{Notify, mpsc, watch};

use super::attempt::{self, Ran, Verdict};
use super::index::{Entry, Index};
use super::pace::Pace;
use super::queue::{Change, Queue, QueueId};
use super::retry;
use crate::Lambda;
use crate::error::LambdaError;

/// Signals that may wait; an attempt with one more waits for room.
const SIGNALS: usize = 1024;
/// Attempts that ended and are still handing on their record.
const MOST_DELIVERING: usize = 64;
/// With more changes than this not on disk, nothing more is started.
const MOST_UNSETTLED: usize = 4096;
/// Changes that are committed together, and their size: half of what a transaction may write.
const BATCH_CHANGES: usize = 512;
const BATCH_BYTES: usize = 512 * 1024;

/// What a task hears of its attempts and commits.
enum Signal {
    /// The invoke is over: another one may start.
    Ran(Ran),
    /// All is done for the event.
    Done(Entry, Verdict),
    /// Changes are on disk, or cannot be.
    Settled(Result<Vec<Change>, StoreError>),
}

/// The task of one queue.
pub(super) struct Drainer {
    lambda: Arc<Lambda>,
    queue: Queue,
    wake: Arc<Notify>,
    stop: watch::Receiver<bool>,
    index: Index,
    pace: Pace,
    running: usize,
    /// Attempts whose invoke is over.
    finishing: usize,
    /// Throttles and errors of the platform since the function was last reached.
    refusals: u32,
    paused_until: Option<Timestamp>,
    unsettled: Vec<Change>,
    settling: bool,
    signals: mpsc::Sender<Signal>,
    heard: mpsc::Receiver<Signal>,
}

impl Drainer {
    pub(super) fn new(lambda: Arc<Lambda>, queue: QueueId, wake: Arc<Notify>) -> Self {
        let (signals, heard) = mpsc::channel(SIGNALS);
        Drainer {
            queue: Queue::new(lambda.store.clone(), queue),
            stop: lambda.events.stop.subscribe(),
            lambda,
            wake,
            index: Index::new(),
            pace: Pace::new(Instant::now()),
            running: 0,
            finishing: 0,
            refusals: 0,
            paused_until: None,
            unsettled: Vec::new(),
            settling: false,
            signals,
            heard,
        }
    }

    /// Works until the queue is empty or the server stops.
    pub(super) async fn run(mut self) {
        if let Err(error) = self.work().await {
            tracing::error!(function = %self.queue.id(), %error, "asynchronous events wait: the store cannot be used");
            self.lambda.events.abandon(self.queue.id());
        }
    }

    async fn work(&mut self) -> Result<(), LambdaError> {
        let mut wake_to_grow = None;
        loop {
            if !self.is_stopping() {
                self.look()?;
                wake_to_grow = self.start();
            }
            self.settle();
            if self.is_at_rest() {
                if self.is_stopping() {
                    self.lambda.events.abandon(self.queue.id());
                    return Ok(());
                }
                if self.index.is_empty() && self.lambda.events.leave(self.queue.id()) {
                    return Ok(());
                }
            }
            self.wait(wake_to_grow).await?;
        }
    }

    fn is_stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Nothing runs, and all is on disk.
    fn is_at_rest(&self) -> bool {
        self.running == 0 && self.finishing == 0 && self.unsettled.is_empty() && !self.settling
    }

    /// What ended before is not too far behind.
    fn has_room(&self) -> bool {
        self.finishing < MOST_DELIVERING && self.unsettled.len() < MOST_UNSETTLED
    }

    /// Takes in what was accepted, and reads on.
    fn look(&mut self) -> Result<(), LambdaError> {
        let news = self.lambda.events.take_news(self.queue.id());
        if news.ready {
            self.index.ready_came();
        }
        if let Some(due) = news.due {
            self.index.delayed_came(due);
        }
        self.index.refill(&self.queue, self.lambda.clock.now())
    }

    /// Starts what may be started. Gives the moment at which more may be, when that is the pace's doing.
    fn start(&mut self) -> Option<Instant> {
        let now = self.lambda.clock.now();
        if self.paused_until.is_some_and(|until| until > now) {
            return None;
        }
        self.paused_until = None;
        while self.has_room() {
            if self.running >= self.pace.limit() {
                if !self.index.has_next(now) {
                    return None;
                }
                if let Some(moment) = self.pace.wants_more(Instant::now()) {
                    return Some(moment);
                }
            }
            let entry = self.index.next(now)?;
            self.running += 1;
            tokio::spawn(one(
                Arc::clone(&self.lambda),
                self.queue.clone(),
                entry,
                self.signals.clone(),
                self.stop.clone(),
            ));
        }
        None
    }

    /// Waits for anything to do, and takes in what is heard.
    async fn wait(&mut self, wake_to_grow: Option<Instant>) -> Result<(), LambdaError> {
        let can_start = self.running < self.pace.limit() && self.has_room() && !self.is_stopping();
        let moment = if can_start { self.next_moment() } else { None };
        let clock = self.lambda.clock.clone();
        let moment_comes = async {
            match moment {
                Some(moment) => clock.sleep_until(moment).await,
                None => std::future::pending().await,
            }
        };
        let pace_allows = async {
            match wake_to_grow {
                Some(moment) => tokio::time::sleep_until(moment.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            signal = self.heard.recv() => {
                // The sender is in `self`, so there is always a signal.
                let mut next = signal;
                while let Some(signal) = next {
                    self.hear(signal)?;
                    next = self.heard.try_recv().ok();
                }
            }
            () = self.wake.notified() => {}
            () = moment_comes => {}
            () = pace_allows => {}
            _ = self.stop.changed(), if !*self.stop.borrow() => {}
        }
        Ok(())
    }

    fn next_moment(&self) -> Option<Timestamp> {
        match (self.paused_until, self.index.next_moment()) {
            (Some(paused), Some(next)) => Some(paused.max(next)),
            (Some(paused), None) => Some(paused),
            (None, next) => next,
        }
    }

    fn hear(&mut self, signal: Signal) -> Result<(), LambdaError> {
        match signal {
            Signal::Ran(ran) => {
                self.running -= 1;
                self.finishing += 1;
                match ran {
                    Ran::Warm(took) => self.pace.ran(took),
                    Ran::Cold | Ran::Not => {}
                    Ran::Refused => self.pace.refused(self.running, Instant::now()),
                }
                if matches!(ran, Ran::Warm(_) | Ran::Cold) {
                    self.refusals = 0;
                }
            }
            Signal::Done(entry, verdict) => {
                self.finishing -= 1;
                self.judge(entry, verdict);
            }
            Signal::Settled(result) => {
                self.settling = false;
                for change in result? {
                    self.index.gone(change.place());
                    if let Some(due) = change.due() {
                        self.index.delayed_came(due);
                    }
                }
            }
        }
        Ok(())
    }

    fn judge(&mut self, mut entry: Entry, verdict: Verdict) {
        let place = entry.place;
        match verdict {
            Verdict::Handled { chunks } => self.unsettled.push(Change::Remove { place, chunks }),
            Verdict::Again { due, row } => self.unsettled.push(Change::Move { from: place, due, row }),
            Verdict::Refused { expires } => {
                entry.refusals += 1;
                self.refusals += 1;
                let now = self.lambda.clock.now();
                let until = now.after(retry::after_refusal(entry.refusals, retry::lot())).min(expires);
                if self.running == 0 {
                    // Nothing gets through at the moment: the others would only be refused, too.
                    self.paused_until = Some(now.after(self.pause()));
                }
                self.index.park(entry, until);
            }
            // It stays in the queue for the next process, or is gone already.
            Verdict::Left => self.index.gone(place),
        }
    }

    /// Short against an event's own back-off: it says when somebody tries again, not when a certain event does.
    fn pause(&self) -> Duration {
        const LONGEST: Duration = Duration::from_secs(10);
        retry::after_refusal(self.refusals, 0.0).min(LONGEST)
    }

    /// Commits what came of attempts, one batch at a time.
    fn settle(&mut self) {
        if self.settling || self.unsettled.is_empty() {
            return;
        }
        let mut bytes = 0;
        let fits = self.unsettled.iter().take(BATCH_CHANGES).take_while(|change| {
            bytes += change.bytes();
            bytes <= BATCH_BYTES
        });
        let count = fits.count().max(1);
        let batch: Vec<Change> = self.unsettled.drain(..count).collect();
        self.settling = true;
        let (queue, signals) = (self.queue.clone(), self.signals.clone());
        tokio::spawn(async move {
            let settled = queue.settle(batch).await;
            // The task ends only when nothing is being settled, so it hears this.
            let _ = signals.send(Signal::Settled(settled)).await;
        });
    }
}

/// One attempt and its signals.
async fn one(
    lambda: Arc<Lambda>,
    queue: Queue,
    entry: Entry,
    signals: mpsc::Sender<Signal>,
    stop: watch::Receiver<bool>,
) {
    let mut report = Report { signals, ran: false, entry: Some(entry.clone()) };
    let attempt = attempt::invoke(&lambda, &queue, &entry, &stop).await;
    report.ran(attempt.ran()).await;
    let verdict = attempt.conclude(&lambda, stop).await;
    report.done(verdict).await;
}

/// The two signals of an attempt. It sends them even when the attempt panics, so that the count of those that run stays
/// right; the event then stays in the queue for the next process.
struct Report {
    signals: mpsc::Sender<Signal>,
    ran: bool,
    entry: Option<Entry>,
}

impl Report {
    async fn ran(&mut self, ran: Ran) {
        self.ran = true;
        // The task hears until it has heard both signals of every attempt.
        let _ = self.signals.send(Signal::Ran(ran)).await;
    }

    async fn done(mut self, verdict: Verdict) {
        if let Some(entry) = self.entry.take() {
            let _ = self.signals.send(Signal::Done(entry, verdict)).await;
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let Some(entry) = self.entry.take() else { return };
        tracing::error!("an attempt of an asynchronous event ended in a panic");
        if !self.ran {
            let _ = self.signals.try_send(Signal::Ran(Ran::Not));
        }
        let _ = self.signals.try_send(Signal::Done(entry, Verdict::Left));
    }
}

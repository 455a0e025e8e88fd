//! The one thread that runs transactions, and the group commit.
//!
//! Closures wait in a bounded queue. The thread takes what is there, runs one closure after another over a view and a
//! shared overlay, hands the overlay to the engine as one commit with one sync, and only then answers all of them.
//! A closure that fails or panics takes its own writes back and nobody else's. When a commit fails nobody knows what
//! reached the disk: all of its transactions get the error, and so does every later one until the store is opened
//! again.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, oneshot};

use crate::engine::{Engine, View};
use crate::error::{EngineError, StoreError, TxError};
use crate::limits;
use crate::tx::{Overlay, TxState};
use crate::watch::Watches;

/// What becomes of a transaction whose closure came to an end.
pub(crate) enum Fate {
    Commit,
    RollBack,
}

/// A transaction in the queue.
pub(crate) trait Job: Send {
    /// Runs the closure and remembers its result.
    fn run(&mut self, tx: &mut TxState<'_>) -> Result<Fate, TxError>;
    /// Answers the caller: the remembered result, or the error.
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
}

/// What the caller of a transaction waits for.
pub(crate) type Reply<T, E> = oneshot::Receiver<Result<Result<T, E>, StoreError>>;

struct Closure<T, E, F> {
    work: F,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<Result<T, E>, StoreError>>,
}

/// A closure as a job, and where its answer comes out.
pub(crate) fn job<T, E, F>(work: F) -> (Box<dyn Job>, Reply<T, E>)
where
    T: Send + 'static,
    E: Send + 'static,
    F: FnMut(&mut TxState<'_>) -> Result<Result<T, E>, TxError> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    (Box::new(Closure { work, result: None, reply }), answer)
}

impl<T, E, F> Job for Closure<T, E, F>
where
    T: Send,
    E: Send,
    F: FnMut(&mut TxState<'_>) -> Result<Result<T, E>, TxError> + Send,
{
    fn run(&mut self, tx: &mut TxState<'_>) -> Result<Fate, TxError> {
        let result = (self.work)(tx)?;
        let fate = if result.is_ok() { Fate::Commit } else { Fate::RollBack };
        self.result = Some(result);
        Ok(fate)
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let answer = match (outcome, self.result) {
            (Ok(()), Some(result)) => Ok(result),
            (Ok(()), None) => Err(StoreError::Closed),
            (Err(error), _) => Err(error),
        };
        // A caller that no longer waits does not want to know.
        let _ = self.reply.send(answer);
    }
}

/// The committer's queue and thread. Dropping it lets the thread finish what is queued, and waits for that.
pub(crate) struct Committer {
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    gathering: Arc<Gathering>,
}

/// How many callers are about to send more.
#[derive(Default)]
struct Gathering {
    count: AtomicUsize,
    ended: Notify,
}

impl Gathering {
    fn is_on(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }
}

/// While it is there, the committer waits a little for further transactions before it syncs. See [`crate::Store::gather`].
#[must_use = "transactions are gathered as long as it is there"]
pub struct Gather {
    gathering: Arc<Gathering>,
}

impl Drop for Gather {
    fn drop(&mut self) {
        if self.gathering.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.gathering.ended.notify_waiters();
        }
    }
}

/// What the thread needs to start.
pub(crate) struct Start {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) watches: Arc<Watches>,
    pub(crate) overlay: Overlay,
    pub(crate) time_limit: Duration,
}

impl Committer {
    pub(crate) fn start(start: Start) -> std::io::Result<Self> {
        let (queue, jobs) = mpsc::channel(limits::QUEUE_LENGTH);
        let gathering = Arc::<Gathering>::default();
        let worker = Worker {
            gathering: Arc::clone(&gathering),
            engine: start.engine,
            watches: start.watches,
            overlay: start.overlay,
            time_limit: start.time_limit,
            poisoned: None,
        };
        let thread =
            std::thread::Builder::new().name("store-committer".into()).spawn(move || worker.run(jobs))?;
        Ok(Committer { queue: Some(queue), thread: Some(thread), gathering })
    }

    pub(crate) fn gather(&self) -> Gather {
        self.gathering.count.fetch_add(1, Ordering::AcqRel);
        Gather { gathering: Arc::clone(&self.gathering) }
    }

    /// Waits until nobody gathers, for a bounded time.
    pub(crate) async fn gathered(&self) {
        if !self.gathering.is_on() {
            return;
        }
        let mut ended = std::pin::pin!(self.gathering.ended.notified());
        ended.as_mut().enable();
        if self.gathering.is_on() {
            // Whoever gathers for longer gets a commit more.
            let _ = tokio::time::timeout(limits::GATHER_TIME, ended).await;
        }
    }

    /// Queues a transaction; waits while the queue is full.
    pub(crate) async fn send(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.send(job).await.map_err(|_| StoreError::Closed)
    }

    /// The same for threads that are not part of an async runtime.
    pub(crate) fn send_blocking(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.blocking_send(job).map_err(|_| StoreError::Closed)
    }
}

#[cfg(test)]
impl Committer {
    /// How many transactions the queue has room for.
    pub(crate) fn room(&self) -> usize {
        self.queue.as_ref().map_or(0, mpsc::Sender::capacity)
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take()
            // A closure may own the last handle of the store: the thread cannot wait for itself.
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

/// A transaction that has run, and what to tell its caller if the commit succeeds.
type Ran = (Box<dyn Job>, Result<(), StoreError>);

struct Worker {
    engine: Arc<dyn Engine>,
    watches: Arc<Watches>,
    overlay: Overlay,
    time_limit: Duration,
    poisoned: Option<Arc<str>>,
    gathering: Arc<Gathering>,
}

impl Worker {
    fn run(mut self, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
        while let Some(first) = jobs.blocking_recv() {
            if let Some(cause) = &self.poisoned {
                first.answer(Err(StoreError::Poisoned { cause: Arc::clone(cause) }));
                continue;
            }
            match self.engine.view() {
                Ok(view) => self.batch(view, first, &mut jobs),
                Err(error) => first.answer(Err(StoreError::Engine(error))),
            }
        }
    }

    fn batch(&mut self, view: Arc<dyn View>, first: Box<dyn Job>, jobs: &mut mpsc::Receiver<Box<dyn Job>>) {
        let started = Instant::now();
        let mut ran: Vec<Ran> = Vec::new();
        let mut next = Some(first);
        while let Some(mut job) = next {
            let outcome = self.run_one(&*view, &mut *job);
            ran.push((job, outcome));
            let gathering = self.gathering.is_on();
            let time = if gathering { limits::GATHER_TIME } else { limits::BATCH_TIME };
            let room = ran.len() < limits::BATCH_JOBS
                && self.overlay.bytes < limits::BATCH_BYTES
                && started.elapsed() < time;
            next = if room { self.next(jobs, started) } else { None };
        }
        // The view goes before the commit: an engine may want to clean up behind its last reader.
        drop(view);
        let committed = self.commit();
        for (job, outcome) in ran {
            job.answer(match &committed {
                Ok(()) => outcome,
                Err(cause) => Err(StoreError::Poisoned { cause: Arc::clone(cause) }),
            });
        }
    }

    /// The next transaction of this batch: what is queued, or what comes while somebody gathers.
    fn next(&self, jobs: &mut mpsc::Receiver<Box<dyn Job>>, started: Instant) -> Option<Box<dyn Job>> {
        loop {
            // In this order: what was sent before the gathering ended is seen.
            let gathering = self.gathering.is_on();
            match jobs.try_recv() {
                Ok(job) => return Some(job),
                Err(_) if gathering && started.elapsed() < limits::GATHER_TIME => {
                    std::thread::sleep(limits::GATHER_STEP);
                }
                Err(_) => return None,
            }
        }
    }

    fn run_one(&mut self, view: &dyn View, job: &mut dyn Job) -> Result<(), StoreError> {
        let mut tx = TxState::new(view, &mut self.overlay, self.time_limit);
        let ended = catch_unwind(AssertUnwindSafe(|| {
            let fate = job.run(&mut tx)?;
            tx.check_time()?;
            Ok(fate)
        }));
        match ended {
            Ok(Ok(Fate::Commit)) => {
                tx.keep();
                Ok(())
            }
            Ok(Ok(Fate::RollBack)) => {
                tx.take_back();
                Ok(())
            }
            Ok(Err(error)) => {
                tx.take_back();
                Err(StoreError::Tx(error))
            }
            Err(panic) => {
                tx.take_back();
                Err(StoreError::Panicked { message: panic_message(&*panic) })
            }
        }
    }

    fn commit(&mut self) -> Result<(), Arc<str>> {
        let writes = std::mem::take(&mut self.overlay.writes);
        self.overlay.bytes = 0;
        if writes.is_empty() {
            return Ok(());
        }
        // An engine that panics in the middle of a commit has failed as surely as one that says so.
        let result = catch_unwind(AssertUnwindSafe(|| self.engine.commit(&writes)))
            .unwrap_or_else(|panic| Err(EngineError::new(panic_message(&*panic))));
        match result {
            Ok(()) => {
                self.watches.wake(&writes);
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "store_poisoned");
                let cause: Arc<str> = error.to_string().into();
                self.poisoned = Some(Arc::clone(&cause));
                Err(cause)
            }
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

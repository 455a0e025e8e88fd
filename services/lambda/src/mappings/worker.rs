//! One task per mapping that is switched on: it reads the queue, and hands batches out as the mapping's pace allows.
//!
//! Without messages it waits in one long poll, which the queue ends when a message arrives. There is one reader, whatever
//! the pace: reading in process costs little beside running a function, and one reader fills batches best.
//!
//! It follows its mapping: what was changed counts for the next batch. When it is to stop, batches that run come to their
//! end, and what was read beyond them is given back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use service_sources::sqs::Queue;
use service_sources::{Reader, SourceError};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::gather::{Gatherer, Item, Plan};
use super::pace::Pace;
use super::record::Mapping;
use super::run::Job;
use super::status::Status;
use crate::Lambda;
use crate::error::LambdaError;
use crate::functions::space_of;
use crate::name::Target;
use crate::version::Named;

/// How long to wait after the queue could not be read once, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// A long poll that comes back with nothing sooner than this was cut off: the queue is deleted, or the server stops.
const SHORTEST_POLL: Duration = Duration::from_millis(50);

/// The task of one mapping.
pub(super) struct Worker {
    lambda: Arc<Lambda>,
    id: String,
    config: watch::Receiver<Option<Arc<Mapping>>>,
    stop: watch::Receiver<bool>,
    status: Arc<Status>,
    pace: Arc<Mutex<Pace>>,
    running: JoinSet<()>,
    pause: Duration,
}

/// What interrupts reading.
enum Interrupt {
    /// The mapping changed, or the server stops.
    Changed,
    /// The moment came, or a batch ended.
    Over,
}

impl Worker {
    pub(super) fn new(
        lambda: Arc<Lambda>,
        mapping: &Mapping,
        config: watch::Receiver<Option<Arc<Mapping>>>,
        status: Arc<Status>,
    ) -> Self {
        Worker {
            id: mapping.id.clone(),
            config,
            stop: lambda.mappings.stopping(),
            status,
            pace: Arc::new(Mutex::new(Pace::new(&mapping.settings, Instant::now()))),
            running: JoinSet::new(),
            pause: FIRST_PAUSE,
            lambda,
        }
    }

    /// Works until the mapping is switched off or gone, or the server stops.
    pub(super) async fn run(mut self) {
        loop {
            let mapping = self.config.borrow_and_update().clone();
            match mapping {
                Some(mapping) if !*self.stop.borrow() => {
                    self.pace().set(&mapping.settings, Instant::now());
                    self.serve(&mapping).await;
                }
                _ if self.running.is_empty() => {
                    if *self.stop.borrow() || self.lambda.mappings.leave(&self.id) {
                        self.lambda.mappings.left();
                        return;
                    }
                }
                _ => {
                    tokio::select! {
                        ended = self.running.join_next() => told(ended),
                        changed = self.config.changed() => {
                            if changed.is_err() {
                                // Nobody can switch it on again.
                                while self.running.join_next().await.is_some() {}
                            }
                        }
                    }
                }
            }
        }
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads and hands out until the mapping changes.
    async fn serve(&mut self, mapping: &Arc<Mapping>) {
        let plan = Plan::of(mapping);
        let mut gatherer = Gatherer::new(self.lambda.clock.clone(), Arc::clone(&self.status));
        let mut last_queue: Option<Queue> = None;
        loop {
            let queue = match self.queue(mapping, last_queue.take()).await {
                Ok(queue) => queue,
                Err(interrupt) => {
                    if matches!(interrupt, Interrupt::Changed) {
                        return;
                    }
                    continue;
                }
            };
            let interrupted = self.room().await.is_err();
            let began = Instant::now();
            let batch = if interrupted { None } else { self.batch(&mut gatherer, &queue, &plan).await };
            match batch {
                None => {
                    gatherer.give_back(&queue).await;
                    return;
                }
                Some(Ok(batch)) if batch.is_empty() => {
                    if self.running.is_empty() {
                        self.pace().idle(Instant::now());
                    }
                    if began.elapsed() < SHORTEST_POLL {
                        tokio::time::sleep(SHORTEST_POLL).await;
                    }
                }
                Some(Ok(batch)) => self.start(mapping, &queue, &plan, batch),
                Some(Err(error)) => {
                    self.status.problem(&problem_of(&error));
                    tracing::warn!(mapping = self.id, source = mapping.source_arn, %error, "a queue cannot be read");
                    if matches!(self.rest().await, Interrupt::Changed) {
                        gatherer.give_back(&queue).await;
                        return;
                    }
                }
            }
            last_queue = Some(queue);
        }
    }

    /// The queue as the function's role reads it. Waits while there is no function.
    async fn queue(&mut self, mapping: &Mapping, last: Option<Queue>) -> Result<Queue, Interrupt> {
        let target = mapping.target();
        let mut resolved = self.lambda.resolve(&target).await;
        if matches!(resolved, Err(LambdaError::NotFound(_))) {
            // Watched before it is looked at again, so that nothing is missed.
            let watched = self.lambda.store.watch(&*watched_key(&target));
            resolved = self.lambda.resolve(&target).await;
            if let Err(LambdaError::NotFound(why)) = &resolved {
                self.status.problem(why);
                return Err(self.wait_for(watched).await);
            }
        }
        let reader = match resolved {
            Ok(resolved) => Reader {
                account: target.account,
                role_arn: resolved.function.role.clone(),
                session: target.name.clone(),
            },
            Err(error) => {
                tracing::error!(mapping = self.id, %error, "a mapping's function cannot be read");
                return Err(self.rest().await);
            }
        };
        if let Some(last) = last.filter(|last| *last.reader() == reader) {
            return Ok(last);
        }
        match self.lambda.mappings.sources.queue(&mapping.source_arn, reader) {
            Some(queue) => Ok(queue),
            None => {
                self.status.problem("the event source is no queue");
                Err(self.rest().await)
            }
        }
    }

    /// Waits for something to appear.
    async fn wait_for(&mut self, mut watched: store::Watch) -> Interrupt {
        tokio::select! {
            _ = self.config.changed() => Interrupt::Changed,
            _ = self.stop.changed() => Interrupt::Changed,
            () = watched.changed() => Interrupt::Over,
        }
    }

    /// Waits until one more batch may run.
    async fn room(&mut self) -> Result<(), ()> {
        loop {
            while let Some(ended) = self.running.try_join_next() {
                told(Some(ended));
            }
            let moment = {
                let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
                if self.running.len() < pace.limit() {
                    return Ok(());
                }
                match pace.wants_more(Instant::now()) {
                    Some(moment) => moment,
                    None => continue,
                }
            };
            tokio::select! {
                _ = self.config.changed() => return Err(()),
                _ = self.stop.changed() => return Err(()),
                ended = self.running.join_next() => told(ended),
                () = tokio::time::sleep_until(moment.into()) => {}
            }
        }
    }

    /// The next batch; `None` when the mapping changed meanwhile.
    async fn batch(
        &mut self,
        gatherer: &mut Gatherer,
        queue: &Queue,
        plan: &Plan,
    ) -> Option<Result<Vec<Item>, SourceError>> {
        let mut next = std::pin::pin!(gatherer.next(queue, plan));
        loop {
            tokio::select! {
                // A change counts before what arrives after it.
                biased;
                _ = self.config.changed() => return None,
                _ = self.stop.changed() => return None,
                batch = &mut next => {
                    if batch.is_ok() {
                        self.pause = FIRST_PAUSE;
                    }
                    return Some(batch);
                }
                ended = self.running.join_next(), if !self.running.is_empty() => told(ended),
            }
        }
    }

    fn start(&mut self, mapping: &Arc<Mapping>, queue: &Queue, plan: &Plan, batch: Vec<Item>) {
        let job = Job {
            lambda: Arc::clone(&self.lambda),
            mapping: Arc::clone(mapping),
            config: self.config.clone(),
            stop: self.stop.clone(),
            queue: queue.clone(),
            status: Arc::clone(&self.status),
            pace: Arc::clone(&self.pace),
            fifo: plan.fifo,
        };
        self.running.spawn(job.run(batch));
    }

    /// Pauses after something went wrong, longer each time.
    async fn rest(&mut self) -> Interrupt {
        let until = self.lambda.clock.now().after(self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        let clock = self.lambda.clock.clone();
        tokio::select! {
            _ = self.config.changed() => Interrupt::Changed,
            _ = self.stop.changed() => Interrupt::Changed,
            () = clock.sleep_until(until) => Interrupt::Over,
        }
    }
}

/// A batch that panicked leaves its messages in flight.
fn told(ended: Option<Result<(), tokio::task::JoinError>>) {
    if let Some(Err(error)) = ended {
        tracing::error!(%error, "a batch was cut off");
    }
}

/// The row that must be there for the target to be found.
fn watched_key(target: &Target) -> store::Key {
    let space = space_of(target);
    match target.named() {
        Named::Alias(alias) => space.alias(&target.name, alias),
        Named::Version(_) => match target.qualifier.as_deref().and_then(|number| number.parse().ok()) {
            Some(number) => space.version(&target.name, number),
            None => space.function(&target.name),
        },
    }
}

fn problem_of(error: &SourceError) -> String {
    match error {
        SourceError::Gone(_) => "The queue does not exist".to_owned(),
        SourceError::Denied(_) => "The function's role may not read the queue".to_owned(),
        SourceError::Failed(error) => format!("The queue cannot be read: {}", error.message),
        SourceError::Closed => "The platform is shutting down".to_owned(),
    }
}

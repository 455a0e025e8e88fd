//! Event source mappings: a function is fed from a queue.
//!
//! | room | what is in it |
//! | --- | --- |
//! | `record`, `rows`, `keys` | mappings as records, their rules, and where they lie in the store |
//! | `operations`, `shapes` | the API over them |
//! | `worker` | one task per mapping: reads, and hands batches out |
//! | `pace` | how many batches run at a time |
//! | `gather` | from messages to batches |
//! | `filter` | which messages are meant |
//! | `run` | one batch, one invoke, and what becomes of the messages |
//! | `event`, `answer` | what the function gets, and what it says of single messages |
//! | `failures` | why messages failed |
//! | `status` | counts, and how it went lastly |
//!
//! The function is invoked as Invoke with `RequestResponse` does, without any queue between. How a source is read is
//! `services/sources`' business.
//!
//! A mapping outlives its function and its queue: it waits until they are there again, as at AWS.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html>.

mod answer;
mod event;
mod failures;
mod filter;
mod gather;
mod keys;
pub(crate) mod operations;
mod pace;
mod record;
mod rows;
mod run;
mod shapes;
mod status;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use service_sources::Sources;
use store::Store;
use tokio::sync::watch;

pub use failures::Failure;
pub use status::MappingCounts;

use self::failures::Failures;
use self::record::Mapping;
pub(crate) use self::rows::{Rows, no_mapping};
use self::status::Status;
use self::worker::Worker;
use crate::Lambda;
use crate::error::LambdaError;
use crate::keys::Space;

const CREATE: &str = "CreateEventSourceMapping";
const UPDATE: &str = "UpdateEventSourceMapping";
/// What the support table says of members that only other sources have.
pub(crate) const OF_OTHERS: &str = "of other sources; refused for a queue, as AWS does";
/// These members.
pub(crate) const MEMBERS_OF_OTHERS: [(&[&str], &str); 16] = [
    (&[CREATE], "SelfManagedEventSource"),
    (&[CREATE], "StartingPosition"),
    (&[CREATE], "StartingPositionTimestamp"),
    (&[CREATE], "Topics"),
    (&[CREATE], "Queues"),
    (&[CREATE, UPDATE], "ParallelizationFactor"),
    (&[CREATE, UPDATE], "DestinationConfig"),
    (&[CREATE, UPDATE], "MaximumRecordAgeInSeconds"),
    (&[CREATE, UPDATE], "BisectBatchOnFunctionError"),
    (&[CREATE, UPDATE], "MaximumRetryAttempts"),
    (&[CREATE, UPDATE], "TumblingWindowInSeconds"),
    (&[CREATE, UPDATE], "SourceAccessConfigurations"),
    (&[CREATE, UPDATE], "AmazonManagedKafkaEventSourceConfig"),
    (&[CREATE, UPDATE], "SelfManagedKafkaEventSourceConfig"),
    (&[CREATE, UPDATE], "DocumentDBEventSourceConfig"),
    (&[CREATE, UPDATE], "LoggingConfig"),
];

/// The mappings at work.
pub(crate) struct Mappings {
    pub(crate) rows: Rows,
    failures: Failures,
    sources: Sources,
    table: Mutex<HashMap<String, Entry>>,
    /// How many tasks there are.
    count: watch::Sender<usize>,
    stop: watch::Sender<bool>,
}

/// What is known of one mapping.
#[derive(Default)]
struct Entry {
    status: Arc<Status>,
    /// The task's end of it is alive as long as this is here. What is in it is `None` when the task is to end.
    worker: Option<watch::Sender<Option<Arc<Mapping>>>>,
    /// The mapping is deleted.
    is_gone: bool,
}

impl Mappings {
    pub(crate) fn new(store: Store, sources: Sources) -> Self {
        Mappings {
            rows: Rows::new(store.clone()),
            failures: Failures::new(store),
            sources,
            table: Mutex::default(),
            count: watch::Sender::new(0),
            stop: watch::Sender::new(false),
        }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// A task is about to end, because its mapping is off and nothing runs. `false`: it was switched on meanwhile.
    fn leave(&self, id: &str) -> bool {
        let mut table = self.table();
        let Some(entry) = table.get_mut(id) else { return true };
        if entry.worker.as_ref().is_some_and(|worker| worker.borrow().is_some()) {
            return false;
        }
        entry.worker = None;
        if entry.is_gone {
            table.remove(id);
        }
        true
    }

    /// A task ended.
    fn left(&self) {
        self.count.send_modify(|count| *count -= 1);
    }

    /// Whether batches of a mapping may still run, and how it went lastly.
    fn seen(&self, id: &str) -> (bool, Option<String>) {
        let table = self.table();
        table.get(id).map_or((false, None), |entry| (entry.worker.is_some(), entry.status.result()))
    }
}

impl Lambda {
    /// Starts the tasks of all mappings that are switched on.
    pub(crate) fn start_mappings(self: &Arc<Self>) -> Result<(), LambdaError> {
        for mapping in self.mappings.rows.all()? {
            self.follow_mapping(&mapping.space(), &mapping.id);
        }
        Ok(())
    }

    /// Reads no further messages, and waits until the batches that run have come to their end.
    pub(crate) async fn stop_mappings(&self) {
        self.mappings.stop.send_replace(true);
        let mut count = self.mappings.count.subscribe();
        // The sender lives in `self`.
        let _ = count.wait_for(|count| *count == 0).await;
    }

    /// Has the task of a mapping do what the store says. To be called after every change of it.
    pub(crate) fn follow_mapping(self: &Arc<Self>, space: &Space, id: &str) {
        if *self.mappings.stop.borrow() {
            return;
        }
        let mut table = self.mappings.table();
        // Read under the lock: so the last one to look has the newest.
        let mapping = match self.mappings.rows.get(space, id) {
            Ok(mapping) => mapping,
            Err(error) => {
                tracing::error!(mapping = id, %error, "a mapping cannot be read; its task goes on as before");
                return;
            }
        };
        let is_gone = mapping.is_none();
        let wanted = mapping.filter(|mapping| mapping.enabled).map(Arc::new);
        let entry = table.entry(id.to_owned()).or_default();
        entry.is_gone = is_gone;
        match (&entry.worker, wanted) {
            (Some(worker), wanted) => {
                worker.send_replace(wanted);
            }
            (None, Some(mapping)) => {
                let (sender, receiver) = watch::channel(Some(Arc::clone(&mapping)));
                entry.worker = Some(sender);
                let worker = Worker::new(Arc::clone(self), &mapping, receiver, Arc::clone(&entry.status));
                self.mappings.count.send_modify(|count| *count += 1);
                tokio::spawn(worker.run());
            }
            (None, None) => {}
        }
        if is_gone && entry.worker.is_none() {
            table.remove(id);
        }
    }

    /// What happened to the records of a mapping since the server started; `None` when it did not work since.
    #[must_use]
    pub fn mapping_counts(&self, mapping_id: &str) -> Option<MappingCounts> {
        self.mappings.table().get(mapping_id).map(|entry| entry.status.counts())
    }

    /// Why messages failed, of those of which something is known.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn message_failures(&self, message_ids: &[&str]) -> Result<Vec<Failure>, LambdaError> {
        message_ids.iter().filter_map(|id| self.mappings.failures.get(id).transpose()).collect()
    }
}

//! The queues of an account: found by their names, and remembered.
//!
//! Every operation on messages begins with the queue's record, so a record is decoded once and then shared. What changes
//! records goes through [`Sqs::change_queue`]: a record that is being changed is read from the store until the change
//! is over, and only then remembered again. So whoever asks after a change was answered sees it.
//!
//! **Invariant:** no other code writes the keys of [`keys::queue`].

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use frontdoor::Call;
use store::{StoreError, Tx, TxError, value};

use crate::Sqs;
use crate::access;
use crate::address::Address;
use crate::errors::SqsError;
use crate::keys::{self, Scope, VERSION};
use crate::messages::Grave;
use crate::queue::Queue;

/// More records than this are not remembered: then it forgets all, and begins anew.
const MAX_REMEMBERED: usize = 20_000;

/// The records that were read lately.
#[derive(Default)]
pub(crate) struct Remembered {
    table: RwLock<Table>,
}

#[derive(Default)]
struct Table {
    /// By name; queues of one name in several accounts and regions stand side by side.
    queues: HashMap<String, Vec<Arc<Queue>>>,
    count: usize,
    /// Changes that have begun and not ended.
    changing: usize,
    /// Counts the ends of changes.
    changed: u64,
}

impl Remembered {
    // The table is whole between any two statements.
    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record, and what to give to [`Remembered::remember`] when it has to be read.
    fn find(&self, scope: &Scope, name: &str) -> Result<Arc<Queue>, Option<u64>> {
        let table = self.read();
        let same = |queue: &&Arc<Queue>| queue.account == scope.account && queue.region == scope.region;
        match table.queues.get(name).and_then(|queues| queues.iter().find(same)) {
            Some(queue) => Ok(Arc::clone(queue)),
            None => Err((table.changing == 0).then_some(table.changed)),
        }
    }

    /// Remembers a record, unless anything has changed or begun to since `at`.
    fn remember(&self, at: Option<u64>, queue: &Arc<Queue>) {
        let Some(at) = at else { return };
        let mut table = self.write();
        if table.changing > 0 || table.changed != at {
            return;
        }
        if table.count >= MAX_REMEMBERED {
            table.queues.clear();
            table.count = 0;
        }
        let queues = table.queues.entry(queue.name.clone()).or_default();
        if !queues.iter().any(|known| known.account == queue.account && known.region == queue.region) {
            queues.push(Arc::clone(queue));
            table.count += 1;
        }
    }

    /// Forgets a record whose change begins here and ends when the guard goes.
    fn change(self: &Arc<Self>, scope: &Scope, name: &str) -> Changing {
        let mut table = self.write();
        table.changing += 1;
        let same = |queue: &Arc<Queue>| queue.account == scope.account && queue.region == scope.region;
        let table = &mut *table;
        if let Some(queues) = table.queues.get_mut(name) {
            let before = queues.len();
            queues.retain(|queue| !same(queue));
            table.count -= before - queues.len();
            if queues.is_empty() {
                table.queues.remove(name);
            }
        }
        Changing(Arc::clone(self))
    }
}

/// A change under way.
struct Changing(Arc<Remembered>);

impl Drop for Changing {
    fn drop(&mut self) {
        let mut table = self.0.write();
        table.changing -= 1;
        table.changed += 1;
    }
}

impl Sqs {
    /// A queue as it is now.
    ///
    /// # Errors
    /// `QueueDoesNotExist`.
    pub(crate) fn find(&self, scope: &Scope, name: &str) -> Result<Arc<Queue>, SqsError> {
        let at = match self.remembered.find(scope, name) {
            Ok(queue) => return Ok(queue),
            Err(at) => at,
        };
        let row = self.store.get(&keys::queue(scope, name))?.ok_or(SqsError::NoQueue)?;
        let queue = Arc::new(decode(&row)?);
        self.remembered.remember(at, &queue);
        Ok(queue)
    }

    /// The queue that a request names by its URL, for a caller that may do `action` to it.
    ///
    /// # Errors
    /// `InvalidAddress`, `QueueDoesNotExist`, `AccessDenied`.
    pub(crate) fn queue_for(
        &self,
        call: &Call,
        url: &str,
        action: &'static str,
    ) -> Result<Arc<Queue>, SqsError> {
        let Address { scope, name } = Address::parse(call, url)?;
        let queue = self.find(&scope, &name)?;
        access::permit(call, &queue, action)?;
        Ok(queue)
    }

    /// As [`Sqs::queue_for`], for an operation that a policy can't open to other accounts.
    ///
    /// # Errors
    /// As [`Sqs::queue_for`].
    pub(crate) fn own_queue_for(
        &self,
        call: &Call,
        url: &str,
        action: &'static str,
    ) -> Result<Arc<Queue>, SqsError> {
        let queue = self.queue_for(call, url, action)?;
        if call.account() != queue.account {
            return Err(SqsError::AccessDenied { resource: queue.arn() });
        }
        Ok(queue)
    }

    /// Runs a transaction that writes the record of the queue `name`. It runs to its end even if nobody waits for it.
    ///
    /// # Errors
    /// The closure's error, which leaves everything as it was; or the store's.
    pub(crate) async fn change_queue<T, F>(&self, scope: &Scope, name: &str, work: F) -> Result<T, SqsError>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Tx) -> Result<Result<T, SqsError>, TxError> + Send + 'static,
    {
        let changing = self.remembered.change(scope, name);
        let store = self.store.clone();
        let done = tokio::spawn(async move {
            let outcome = store.transact_with(work).await;
            drop(changing);
            outcome
        });
        done.await.map_err(|_| SqsError::Store(StoreError::Closed))??
    }

    /// Changes the record of a queue that is there.
    ///
    /// # Errors
    /// `QueueDoesNotExist`, and as [`Sqs::change_queue`].
    pub(crate) async fn update_queue<T, F>(&self, queue: &Queue, mut work: F) -> Result<T, SqsError>
    where
        T: Send + 'static,
        F: FnMut(&mut dyn Tx, &mut Queue) -> Result<Result<T, SqsError>, TxError> + Send + 'static,
    {
        let (scope, name, uid) = (queue.scope(), queue.name.clone(), queue.uid);
        let key = keys::queue(&scope, &name);
        self.change_queue(&scope, &name, move |tx| {
            let Some(row) = tx.get(&key)? else { return Ok(Err(SqsError::NoQueue)) };
            let mut queue: Queue = value::decode(VERSION, &row)?;
            if queue.uid != uid {
                return Ok(Err(SqsError::NoQueue));
            }
            let done = match work(tx, &mut queue)? {
                Ok(done) => done,
                Err(error) => return Ok(Err(error)),
            };
            tx.put(key.clone(), value::encode(VERSION, &queue))?;
            Ok(Ok(done))
        })
        .await
    }
}

pub(crate) fn decode(row: &[u8]) -> Result<Queue, SqsError> {
    value::decode(VERSION, row).map_err(|error| SqsError::Store(TxError::from(error).into()))
}

impl Sqs {
    /// Where messages of this queue go that are received too often. A dead-letter queue that does not exist is none: the
    /// messages stay where they are.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) fn grave_of(&self, queue: &Queue) -> Result<Option<Grave>, SqsError> {
        let Some(redrive) = &queue.attributes.redrive else { return Ok(None) };
        let Some((scope, name)) = Scope::of_arn(&redrive.dead_letter_target_arn) else { return Ok(None) };
        match self.find(&scope, name) {
            Ok(target) => Ok(Some(Grave {
                queue: target.uid,
                is_fifo: target.is_fifo(),
                max_receive_count: redrive.max_receive_count,
                source_arn: queue.arn().into(),
            })),
            Err(SqsError::NoQueue) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{AccountId, Region, Timestamp};

    fn scope() -> Scope {
        Scope { account: AccountId::DEFAULT, region: Region::default() }
    }

    fn queue(uid: u64) -> Arc<Queue> {
        Arc::new(Queue::new(&scope(), "q", uid, Timestamp(0)))
    }

    #[test]
    fn what_was_read_before_a_change_is_not_remembered_after_it() {
        let remembered = Arc::new(Remembered::default());
        let at = remembered.find(&scope(), "q").unwrap_err();
        remembered.remember(at, &queue(1));
        assert_eq!(remembered.find(&scope(), "q").unwrap().uid, 1);
        let other = Scope { region: "eu-west-1".parse().unwrap(), ..scope() };
        assert!(remembered.find(&other, "q").is_err());

        let changing = remembered.change(&scope(), "q");
        let during = remembered.find(&scope(), "q").unwrap_err();
        assert_eq!(during, None);
        drop(changing);
        remembered.remember(during, &queue(1));
        remembered.remember(at, &queue(1));
        let after = remembered.find(&scope(), "q").unwrap_err();
        remembered.remember(after, &queue(2));
        assert_eq!(remembered.find(&scope(), "q").unwrap().uid, 2);
    }

    /// `cargo test -p lamplighter-service-sqs -- --ignored --nocapture measure`
    #[tokio::test]
    #[ignore = "a measurement"]
    #[allow(clippy::print_stdout)]
    async fn measure() {
        const ROUNDS: u32 = 100_000;
        let store = store::Store::in_memory().unwrap();
        let clock = base::Clock::frozen(Timestamp(0));
        let sqs = Sqs::new(crate::SqsDeps { store: store.clone(), clock, endpoint: String::new() });
        let (key, row) = (keys::queue(&scope(), "q"), value::encode(VERSION, &*queue(1)));
        store.transact(move |tx| tx.put(key.clone(), row.clone())).await.unwrap();
        let time = |what: &str, work: &dyn Fn()| {
            let start = std::time::Instant::now();
            (0..ROUNDS).for_each(|_| work());
            println!("{what}: {:?}", start.elapsed() / ROUNDS);
        };
        time("remembered", &|| drop(sqs.find(&scope(), "q").unwrap()));
        time("read and decoded", &|| drop(decode(&store.get(&keys::queue(&scope(), "q")).unwrap().unwrap())));
    }

    #[test]
    fn it_stays_bounded() {
        let remembered = Arc::new(Remembered::default());
        for n in 0..MAX_REMEMBERED + 10 {
            let queue = Arc::new(Queue::new(&scope(), &n.to_string(), 1, Timestamp(0)));
            remembered.remember(remembered.find(&scope(), &queue.name).unwrap_err(), &queue);
        }
        assert_eq!(remembered.read().count, 10);
        drop(remembered.change(&scope(), &MAX_REMEMBERED.to_string()));
        assert_eq!((remembered.read().count, remembered.read().queues.len()), (9, 9));
    }
}

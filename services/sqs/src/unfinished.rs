//! What begins with a queue's record and ends with its messages: purges and deletions.
//!
//! The transaction that changes the record also notes what is left to do. The note goes when that is done, before the
//! request is answered. A note that is found at a start is of a request that a crash cut off; it is carried out before
//! the first request, so that no message sent later is lost to it.

use serde::{Deserialize, Serialize};
use store::{Tx, TxError, value};

use crate::Sqs;
use crate::errors::SqsError;
use crate::keys::{self, VERSION};
use crate::queue::Queue;

/// What is left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Task {
    Purge,
    Forget,
}

/// Notes what is left to do. Part of the transaction that changes the record.
pub(crate) fn note(tx: &mut dyn Tx, queue: &Queue, task: Task) -> Result<(), TxError> {
    tx.put(keys::unfinished(queue.uid), value::encode(VERSION, &(task, queue)))
}

impl Sqs {
    /// Does what was noted.
    ///
    /// # Errors
    /// When it cannot be written: the note stays.
    pub(crate) async fn finish(&self, queue: &Queue, task: Task) -> Result<(), SqsError> {
        match task {
            Task::Purge => self.messages.purge(queue).await?,
            Task::Forget => self.messages.forget(queue).await?,
        }
        let key = keys::unfinished(queue.uid);
        self.store
            .transact(move |tx| {
                let Some(row) = tx.get(&key)? else { return Ok(()) };
                let (noted, _): (Task, Queue) = value::decode(VERSION, &row)?;
                // The queue may have been deleted while it was purged.
                if noted == task { tx.delete(&key) } else { Ok(()) }
            })
            .await?;
        Ok(())
    }

    /// Does what the last process left.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub(crate) async fn finish_all(&self) -> Result<(), SqsError> {
        for (_, row) in self.store.range(keys::all_unfinished())? {
            let (task, queue): (Task, Queue) = value::decode(VERSION, &row).map_err(TxError::from)?;
            self.finish(&queue, task).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use base::{AccountId, Clock, Region, Timestamp};
    use store::Store;

    use super::*;
    use crate::SqsDeps;
    use crate::keys::Scope;
    use crate::messages::send::NewMessage;

    #[tokio::test]
    async fn what_a_crash_cut_off_is_done_at_the_next_start() {
        let store = Store::in_memory().unwrap();
        let deps = || SqsDeps {
            store: store.clone(),
            clock: Clock::frozen(Timestamp(1_000_000)),
            endpoint: "http://localhost".to_owned(),
        };
        let sqs = Sqs::new(deps());
        let scope = Scope { account: AccountId::DEFAULT, region: Region::default() };
        for (uid, task) in [(1, Task::Purge), (2, Task::Forget)] {
            let queue = Queue::new(&scope, &uid.to_string(), uid, Timestamp(0));
            let key = keys::queue(&scope, &queue.name);
            let row = value::encode(VERSION, &queue);
            store.transact(move |tx| tx.put(key.clone(), row.clone())).await.unwrap();
            let message = NewMessage { body: "x".to_owned(), ..NewMessage::default() };
            sqs.messages.send(&queue, vec![message]).await.unwrap().pop().unwrap().unwrap();
            assert_eq!(sqs.messages.counts(&queue).await.unwrap().visible, 1);
            store.transact(move |tx| note(tx, &queue, task)).await.unwrap();
        }
        sqs.stop();

        let next = Sqs::new(deps());
        next.start().await.unwrap();
        let purged = Queue::new(&scope, "1", 1, Timestamp(0));
        assert_eq!(next.messages.counts(&purged).await.unwrap().visible, 0);
        assert_eq!(store.range(keys::all_unfinished()).unwrap(), []);
    }
}

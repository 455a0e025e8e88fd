//! What is gone leaves the disk: messages below a purge, those of deleted queues, those past their retention.
//!
//! A purge or a deletion only notes what is to be cleared; the rows go afterwards, in steps, and a server that was stopped
//! in between goes on at its next start. Retention is looked at when a queue is used, and here every quarter of an hour, so
//! that also queues that nobody uses get empty.

use std::sync::{Arc, Weak};
use std::time::Duration;

use store::value;

use super::{Messages, keys, locked};
use crate::errors::SqsError;
use crate::keys::VERSION;
use crate::queue::Queue;

/// How often queues are looked through, by the platform's clock.
const PERIOD: Duration = Duration::from_secs(15 * 60);
/// Queues that are read at once.
const QUEUES: usize = 500;

impl Messages {
    /// Starts what goes on in the background: it ends with [`Messages::stop`], or when the messages are dropped.
    pub(crate) fn start(self: &Arc<Self>) {
        let (messages, stopping) = (Arc::downgrade(self), self.stopping.clone());
        tokio::spawn(stopping.run_until_cancelled_owned(sweep(messages)));
    }

    /// Clears what was purged from a queue.
    pub(super) fn clear_soon(self: &Arc<Self>, queue: u64) {
        let (messages, stopping) = (Arc::clone(self), self.stopping.clone());
        tokio::spawn(stopping.run_until_cancelled_owned(async move {
            if let Err(error) = messages.clear(queue).await {
                tracing::warn!(%error, queue, "sqs_purged_messages_not_cleared");
            }
        }));
    }

    async fn clear(&self, queue: u64) -> Result<(), SqsError> {
        let key = keys::clearing(queue).build();
        let Some(row) = self.store.get(&key)? else { return Ok(()) };
        let below: u64 = value::decode(VERSION, &row).map_err(store::TxError::from)?;
        for (from, to) in keys::below(queue, below) {
            self.store.clear_in_steps(from, to).await?;
        }
        self.store
            .transact(move |tx| {
                // Another purge may have come meanwhile: it clears for itself.
                if tx.get(&key)?.as_ref() == Some(&row) {
                    tx.delete(&key)?;
                    if below == u64::MAX {
                        tx.delete(&keys::ledger(queue))?;
                    }
                }
                Ok(())
            })
            .await?;
        Ok(())
    }

    /// What an earlier run of the server did not get to.
    async fn clear_left_over(&self) -> Result<(), SqsError> {
        for (key, _) in self.store.range(keys::clearings())? {
            self.clear(keys::seq_of(&key)).await?;
        }
        Ok(())
    }

    /// Looks through all queues once.
    pub(super) async fn sweep(self: &Arc<Self>) -> Result<(), SqsError> {
        self.drop_idle();
        let mut range = crate::keys::all_queues().limit(QUEUES);
        loop {
            let rows = self.store.range(range.clone())?;
            for (_, row) in &rows {
                let queue: Queue = value::decode(crate::keys::VERSION, row).map_err(store::TxError::from)?;
                if self.ledger(queue.uid)?.total > 0 {
                    let picture = self.picture(&queue);
                    self.load(queue.uid, &picture).await?;
                    self.expire(&queue, &picture).await?;
                }
            }
            let Some((last, _)) = rows.last().filter(|_| rows.len() == QUEUES) else { break };
            range.from = last.to_vec();
            range.from.push(0);
        }
        self.drop_idle();
        Ok(())
    }

    /// Forgets the pictures that nobody uses: they can be made anew.
    fn drop_idle(&self) {
        locked(&self.pictures)
            .retain(|_, picture| Arc::strong_count(picture) > 1 || !locked(&picture.state).is_idle());
    }
}

async fn sweep(messages: Weak<Messages>) {
    if let Some(messages) = messages.upgrade()
        && let Err(error) = messages.clear_left_over().await
    {
        tracing::warn!(%error, "sqs_purged_messages_not_cleared");
    }
    loop {
        let Some((clock, next)) = messages.upgrade().map(|messages| {
            let clock = messages.clock.clone();
            let next = clock.now().after(PERIOD);
            (clock, next)
        }) else {
            return;
        };
        clock.sleep_until(next).await;
        let Some(messages) = messages.upgrade() else { return };
        if let Err(error) = messages.sweep().await {
            tracing::warn!(%error, "sqs_sweep_failed");
        }
    }
}

//! The running of move tasks: one tokio task each, as long as it lasts, and none when nothing moves.

use std::sync::Arc;
use std::time::Duration;

use base::{AccountId, Region};
use store::{KeyReader, StoreError, TxError, value};
use tokio::sync::Notify;

use crate::Sqs;
use crate::errors::SqsError;
use crate::keys::{self, Scope, VERSION};
use crate::messages::manage::Moved;
use crate::moves::{MoveTask, State};

/// How many messages one step moves when no pace was asked for.
const STEP: usize = 100;
/// How many steps a second has when a pace was asked for that allows for it.
const STEPS_PER_SECOND: u32 = 10;
/// After a step that failed, for a reason that may pass.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// What AWS answers for a destination that is gone, and for messages that name no queue to go back to.
const NO_QUEUE: &str = "AWS.SimpleQueueService.NonExistentQueue";
const NO_SOURCE: &str = "CouldNotDetermineMessageSource";

impl Sqs {
    /// Goes on with the tasks that the last process left.
    pub(crate) fn resume_moves(self: &Arc<Self>) -> Result<(), SqsError> {
        for (moving, key) in self.store.range(keys::all_moving())? {
            let scope = scope_of(&moving).map_err(TxError::from)?;
            self.run_move(scope, key.to_vec());
        }
        Ok(())
    }

    pub(super) fn run_move(self: &Arc<Self>, scope: Scope, key: Vec<u8>) {
        let wake = Arc::new(Notify::new());
        self.moves.running().insert(key.clone(), Arc::clone(&wake));
        let sqs = Arc::clone(self);
        tokio::spawn(async move {
            tokio::select! {
                () = sqs.moves.stop.cancelled() => {}
                () = carry_out(&sqs, &scope, &key, &wake) => {}
            }
            sqs.moves.running().remove(&key);
        });
    }

    fn move_task(&self, key: &[u8]) -> Result<Option<MoveTask>, SqsError> {
        let row = self.store.get(key)?;
        Ok(row.map(|row| value::decode(VERSION, &row).map_err(TxError::from)).transpose()?)
    }
}

/// Runs a task to its end.
async fn carry_out(sqs: &Arc<Sqs>, scope: &Scope, key: &[u8], wake: &Notify) {
    loop {
        let wait = match step(sqs, scope, key).await {
            Ok(Next::Done) => return,
            Ok(Next::After(wait)) => wait,
            // The store is being closed; the next process goes on.
            Err(SqsError::Store(StoreError::Closed | StoreError::Poisoned { .. })) => return,
            Err(error) => {
                tracing::warn!(%error, "a step of a move task failed; it is tried again");
                AGAIN_AFTER
            }
        };
        if !wait.is_zero() {
            let until = sqs.clock.now().after(wait);
            tokio::select! {
                () = sqs.clock.sleep_until(until) => {}
                () = wake.notified() => {}
            }
        }
    }
}

enum Next {
    /// The task has ended, or its queue is gone.
    Done,
    /// The next step is to come after this time.
    After(Duration),
}

async fn step(sqs: &Arc<Sqs>, scope: &Scope, key: &[u8]) -> Result<Next, SqsError> {
    let Some(task) = sqs.move_task(key)? else { return Ok(Next::Done) };
    if task.state == State::Cancelling {
        return settle(sqs, scope, key, 0, Some(State::Cancelled)).await;
    }
    let source = match sqs.find(scope, &task.source) {
        Ok(source) if source.uid == task.source_uid => source,
        Ok(_) | Err(SqsError::NoQueue) => return Ok(Next::Done),
        Err(error) => return Err(error),
    };
    let destination = match &task.destination_arn {
        None => None,
        Some(arn) => match sqs.by_arn(scope, "DestinationArn", arn) {
            Ok(queue) => Some(queue),
            Err(SqsError::Other { .. }) => {
                return settle(sqs, scope, key, 0, Some(State::Failed(NO_QUEUE.to_owned()))).await;
            }
            Err(error) => return Err(error),
        },
    };
    let nowhere = if destination.is_some() { NO_QUEUE } else { NO_SOURCE };
    let limit = task.max_per_second.map_or(STEP, |pace| step_length(pace) as usize);
    let step = sqs.messages.move_messages(&source, destination.as_deref(), limit).await;
    let Moved { moved, left } = match step {
        Ok(step) => step,
        Err(SqsError::NoQueue) => {
            return settle(sqs, scope, key, 0, Some(State::Failed(nowhere.to_owned()))).await;
        }
        Err(error) => return Err(error),
    };
    let end = match (moved, left) {
        (_, 0) => Some(State::Completed),
        (0, _) => Some(State::Failed(nowhere.to_owned())),
        _ => None,
    };
    match settle(sqs, scope, key, moved, end).await? {
        Next::After(_) => Ok(Next::After(task.max_per_second.map_or(Duration::ZERO, pause))),
        Next::Done => Ok(Next::Done),
    }
}

fn step_length(pace: u32) -> u32 {
    (pace / STEPS_PER_SECOND).max(1)
}

fn pause(pace: u32) -> Duration {
    Duration::from_secs(1) * step_length(pace) / pace.max(1)
}

/// Writes down what a step did; with an end, that the task is over.
async fn settle(
    sqs: &Sqs,
    scope: &Scope,
    key: &[u8],
    moved: u64,
    end: Option<State>,
) -> Result<Next, SqsError> {
    let (scope, key) = (scope.clone(), key.to_vec());
    let over = sqs.store.transact(move |tx| {
        let Some(row) = tx.get(&key)? else { return Ok(true) };
        let mut task: MoveTask = value::decode(VERSION, &row)?;
        task.moved += moved;
        if let Some(end) = &end {
            task.state = end.clone();
            tx.delete(&keys::moving(&scope, &task.source))?;
        }
        tx.put(key.clone(), value::encode(VERSION, &task))?;
        Ok(end.is_some())
    });
    Ok(if over.await? { Next::Done } else { Next::After(Duration::ZERO) })
}

/// The account and region of a running task's key.
fn scope_of(moving: &[u8]) -> Result<Scope, store::KeyError> {
    let mut reader = KeyReader::new(moving);
    let (_, _) = (reader.str()?, reader.str()?);
    let (account, region) = (reader.str()?, reader.str()?);
    let no_form = store::KeyError { at: 0 };
    let account: AccountId = account.parse().map_err(|_| no_form)?;
    let region: Region = region.parse().map_err(|_| no_form)?;
    Ok(Scope { account, region })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_kept_over_a_second() {
        for pace in 1..=500 {
            let steps = Duration::from_secs(1).as_micros() / pause(pace).as_micros();
            let moved = steps * u128::from(step_length(pace));
            assert!(moved <= u128::from(pace) + u128::from(step_length(pace)), "{pace}: {moved}");
            assert!(moved + u128::from(step_length(pace)) >= u128::from(pace), "{pace}: {moved}");
        }
    }
}

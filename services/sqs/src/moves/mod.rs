//! Move tasks: messages on their way out of a dead-letter queue.
//!
//! A task is a row from before it is answered; what it has done is written after each step, so a task goes on after a
//! restart. The steps themselves are the messages' business ([`crate::messages`]), the running of them the [`worker`]'s.
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html>.

mod worker;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{Arn, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use frontdoor::Call;
use serde::{Deserialize, Serialize};
use store::{Tx, TxError, value};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::Sqs;
use crate::access;
use crate::errors::SqsError;
use crate::keys::{self, Scope, VERSION};
use crate::queue::Queue;

/// How many tasks of a queue are kept and shown.
pub(crate) const MAX_KEPT: usize = 10;

/// A move task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MoveTask {
    pub(crate) id: String,
    /// The dead-letter queue's name, and its uid: a queue made anew is another one.
    pub(crate) source: String,
    pub(crate) source_uid: u64,
    pub(crate) source_arn: String,
    /// `None`: each message goes back to the queue that it came from.
    pub(crate) destination_arn: Option<String>,
    /// 1 to 500; `None`: as fast as it goes.
    pub(crate) max_per_second: Option<u32>,
    pub(crate) started_at: Timestamp,
    pub(crate) state: State,
    pub(crate) moved: u64,
    /// How many messages there were when it was started.
    pub(crate) to_move: u64,
}

/// Where a task stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    Running,
    Cancelling,
    Completed,
    Cancelled,
    /// Why: an error code.
    Failed(String),
}

impl MoveTask {
    /// The status as clients read it.
    pub(crate) fn status(&self) -> &'static str {
        match self.state {
            State::Running => "RUNNING",
            State::Cancelling => "CANCELLING",
            State::Completed => "COMPLETED",
            State::Cancelled => "CANCELLED",
            State::Failed(_) => "FAILED",
        }
    }

    /// What clients name the task by.
    pub(crate) fn handle(&self) -> String {
        let handle = Handle { task_id: self.id.clone(), source_arn: self.source_arn.clone() };
        STANDARD.encode(serde_json::to_vec(&handle).unwrap_or_default())
    }
}

/// What a task handle says.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Handle {
    task_id: String,
    source_arn: String,
}

/// The tasks that run in this process, by their keys.
#[derive(Default)]
pub(crate) struct Moves {
    running: Mutex<HashMap<Vec<u8>, Arc<Notify>>>,
    stop: CancellationToken,
}

impl Moves {
    // The map is whole between any two statements.
    fn running(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Arc<Notify>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }
}

/// What StartMessageMoveTask asks for, its queues found.
pub(crate) struct Wanted {
    pub(crate) source: Arc<Queue>,
    pub(crate) destination_arn: Option<String>,
    pub(crate) max_per_second: Option<u32>,
}

impl Sqs {
    /// Starts a task. It is durable when this returns.
    ///
    /// # Errors
    /// `InvalidParameterValue` when the source is no dead-letter queue or has a task that runs.
    pub(crate) async fn start_move(self: &Arc<Self>, wanted: Wanted) -> Result<MoveTask, SqsError> {
        let Wanted { source, destination_arn, max_per_second } = wanted;
        let task = MoveTask {
            id: uuid::Uuid::new_v4().to_string(),
            source: source.name.clone(),
            source_uid: source.uid,
            source_arn: source.arn(),
            destination_arn,
            max_per_second,
            started_at: self.clock.now(),
            state: State::Running,
            moved: 0,
            to_move: self.messages.counts(&source).await?.visible,
        };
        let scope = source.scope();
        let key = keys::move_task(&scope, &task.source, task.started_at, &task.id);
        let row = (scope.clone(), task.clone(), key.clone());
        self.store.transact_with(move |tx| put_new(tx, &row.0, &row.1, &row.2)).await??;
        self.run_move(scope, key);
        Ok(task)
    }

    /// Asks a task to stop, and says how many messages it has moved so far.
    ///
    /// # Errors
    /// `InvalidParameterValue` for what is no handle, `ResourceNotFoundException` for a task that does not run,
    /// `AccessDenied`.
    pub(crate) async fn cancel_move(
        &self,
        call: &Call,
        scope: &Scope,
        handle: &str,
    ) -> Result<u64, SqsError> {
        let (source, id) = self.read_handle(scope, handle)?;
        access::permit(call, &source, "sqs:CancelMessageMoveTask")?;
        let (moving, wanted) = (keys::moving(scope, &source.name), id);
        let (key, moved) = self
            .store
            .transact_with(move |tx| {
                let absent = || Ok(Err(SqsError::no_resource("Task does not exist.")));
                let Some(key) = tx.get(&moving)? else { return absent() };
                let Some(row) = tx.get(&key)? else { return absent() };
                let mut task: MoveTask = value::decode(VERSION, &row)?;
                if task.id != wanted || task.state != State::Running {
                    return absent();
                }
                task.state = State::Cancelling;
                tx.put(key.to_vec(), value::encode(VERSION, &task))?;
                Ok(Ok((key, task.moved)))
            })
            .await??;
        if let Some(wake) = self.moves.running().get(&*key) {
            wake.notify_one();
        }
        Ok(moved)
    }

    fn read_handle(&self, scope: &Scope, handle: &str) -> Result<(Arc<Queue>, String), SqsError> {
        let read = || -> Option<Handle> { serde_json::from_slice(&STANDARD.decode(handle).ok()?).ok() };
        let Handle { task_id, source_arn } =
            read().ok_or_else(|| SqsError::invalid("Value for parameter TaskHandle is invalid."))?;
        Ok((self.by_arn(scope, "SourceArn", &source_arn)?, task_id))
    }

    /// The newest tasks of a queue, the newest first.
    pub(crate) fn moves_of(&self, source: &Queue, limit: usize) -> Result<Vec<MoveTask>, SqsError> {
        let range = keys::move_tasks(&source.scope(), &source.name).reversed().limit(limit);
        let decode = |(_, row): &(_, bytes::Bytes)| value::decode(VERSION, row).map_err(TxError::from);
        Ok(self.store.range(range)?.iter().map(decode).collect::<Result<_, _>>()?)
    }

    /// The queue of this account and region that a request names by its ARN.
    ///
    /// # Errors
    /// `InvalidParameterValue` for what is no ARN, `ResourceNotFoundException`.
    pub(crate) fn by_arn(&self, scope: &Scope, name: &str, arn: &str) -> Result<Arc<Queue>, SqsError> {
        let read: Arn = arn.parse().map_err(|_| {
            SqsError::invalid(format!(
                "You must use this format to specify the {name}: arn:<partition>:<service>:<region>:<account-id>:<resource-id>"
            ))
        })?;
        let here = read.service == "sqs"
            && read.region == scope.region.as_str()
            && read.account == scope.account.to_string();
        let absent = || {
            SqsError::no_resource(format!(
                "The resource that you specified for the {name} parameter doesn't exist."
            ))
        };
        if !here {
            return Err(absent());
        }
        self.find(scope, &read.resource).map_err(|error| match error {
            SqsError::NoQueue => absent(),
            error => error,
        })
    }
}

fn put_new(
    tx: &mut dyn Tx,
    scope: &Scope,
    task: &MoveTask,
    key: &[u8],
) -> Result<Result<(), SqsError>, TxError> {
    if tx.range(keys::sources(scope, &task.source).limit(1))?.is_empty() {
        return Ok(Err(SqsError::invalid("Source queue must be configured as a Dead Letter Queue.")));
    }
    let moving = keys::moving(scope, &task.source);
    if tx.get(&moving)?.is_some() {
        return Ok(Err(SqsError::invalid(
            "There is already a task running. Only one active task is allowed for a source queue arn at a given time.",
        )));
    }
    let kept = tx.range(keys::move_tasks(scope, &task.source))?;
    for (old, _) in kept.iter().take((kept.len() + 1).saturating_sub(MAX_KEPT)) {
        tx.delete(old)?;
    }
    tx.put(key.to_vec(), value::encode(VERSION, task))?;
    tx.put(moving, key.to_vec())?;
    Ok(Ok(()))
}

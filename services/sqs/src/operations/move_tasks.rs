//! StartMessageMoveTask, CancelMessageMoveTask, ListMessageMoveTasks.

use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};

use crate::Sqs;
use crate::access;
use crate::errors::SqsError;
use crate::keys::Scope;
use crate::moves::{MAX_KEPT, MoveTask, State, Wanted};

const MAX_PACE: u32 = 500;

fn scope_of(call: &Call) -> Scope {
    Scope { account: call.account(), region: call.region().clone() }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StartMessageMoveTask {
    source_arn: String,
    destination_arn: Option<String>,
    max_number_of_messages_per_second: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Started {
    task_handle: String,
}

pub(crate) async fn start_message_move_task(
    sqs: Arc<Sqs>,
    call: Call,
    request: StartMessageMoveTask,
) -> Result<Started, SqsError> {
    let scope = scope_of(&call);
    let source = sqs.by_arn(&scope, "SourceArn", &request.source_arn)?;
    access::permit(&call, &source, "sqs:StartMessageMoveTask")?;
    if let Some(arn) = &request.destination_arn {
        let destination = sqs.by_arn(&scope, "DestinationArn", arn)?;
        access::permit(&call, &destination, "sqs:SendMessage")?;
        if destination.uid == source.uid {
            return Err(SqsError::invalid("Source queue arn and destination queue arn cannot be the same."));
        }
        if destination.is_fifo() != source.is_fifo() {
            return Err(SqsError::invalid("Source queue and destination queue must be of the same type."));
        }
    }
    let max_per_second = match request.max_number_of_messages_per_second {
        None => None,
        Some(asked) => {
            let pace = u32::try_from(asked).ok().filter(|pace| (1..=MAX_PACE).contains(pace));
            Some(pace.ok_or_else(|| {
                SqsError::value(
                    "MaxNumberOfMessagesPerSecond",
                    asked,
                    "Must be between 1 and 500, if provided.",
                )
            })?)
        }
    };
    let wanted = Wanted { source, destination_arn: request.destination_arn, max_per_second };
    Ok(Started { task_handle: sqs.start_move(wanted).await?.handle() })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CancelMessageMoveTask {
    task_handle: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Cancelled {
    approximate_number_of_messages_moved: u64,
}

pub(crate) async fn cancel_message_move_task(
    sqs: Arc<Sqs>,
    call: Call,
    request: CancelMessageMoveTask,
) -> Result<Cancelled, SqsError> {
    let moved = sqs.cancel_move(&call, &scope_of(&call), &request.task_handle).await?;
    Ok(Cancelled { approximate_number_of_messages_moved: moved })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListMessageMoveTasks {
    source_arn: String,
    max_results: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct MoveTasks {
    results: Vec<Shown>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    #[serde(skip_serializing_if = "Option::is_none")]
    task_handle: Option<String>,
    status: &'static str,
    source_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_number_of_messages_per_second: Option<u32>,
    approximate_number_of_messages_moved: u64,
    approximate_number_of_messages_to_move: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<String>,
    started_timestamp: i64,
}

impl From<MoveTask> for Shown {
    fn from(task: MoveTask) -> Self {
        Shown {
            // Only what can be cancelled has a handle.
            task_handle: (task.state == State::Running).then(|| task.handle()),
            status: task.status(),
            failure_reason: match task.state {
                State::Failed(reason) => Some(reason),
                _ => None,
            },
            source_arn: task.source_arn,
            destination_arn: task.destination_arn,
            max_number_of_messages_per_second: task.max_per_second,
            approximate_number_of_messages_moved: task.moved,
            approximate_number_of_messages_to_move: task.to_move,
            started_timestamp: task.started_at.0,
        }
    }
}

pub(crate) async fn list_message_move_tasks(
    sqs: Arc<Sqs>,
    call: Call,
    request: ListMessageMoveTasks,
) -> Result<MoveTasks, SqsError> {
    let source = sqs.by_arn(&scope_of(&call), "SourceArn", &request.source_arn)?;
    access::permit(&call, &source, "sqs:ListMessageMoveTasks")?;
    let limit = match request.max_results {
        None => 1,
        Some(asked) => usize::try_from(asked)
            .ok()
            .filter(|asked| (1..=MAX_KEPT).contains(asked))
            .ok_or_else(|| SqsError::value("MaxResults", asked, "Must be between 1 and 10, if provided."))?,
    };
    Ok(MoveTasks { results: sqs.moves_of(&source, limit)?.into_iter().map(Shown::from).collect() })
}

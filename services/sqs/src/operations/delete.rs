//! DeleteMessage and DeleteMessageBatch.

use std::sync::Arc;

use frontdoor::Call;
use serde::{Deserialize, Serialize};

use super::batch::{self, Failure};
use crate::Sqs;
use crate::errors::SqsError;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeleteMessage {
    queue_url: String,
    receipt_handle: String,
}

pub(crate) async fn delete_message(
    sqs: Arc<Sqs>,
    call: Call,
    request: DeleteMessage,
) -> Result<(), SqsError> {
    let queue = sqs.queue_for(&call, &request.queue_url, "sqs:DeleteMessage")?;
    let answers = sqs.messages.delete(&queue, &[request.receipt_handle]).await?;
    answers.into_iter().collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DeleteMessageBatch {
    queue_url: String,
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    id: String,
    receipt_handle: String,
}

/// What became of each entry of a batch that answers nothing else.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Settled {
    // AWS leaves an empty list out, and clients ask whether there is one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    successful: Vec<Success>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<Failure>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Success {
    id: String,
}

impl Settled {
    pub(super) fn of(ids: Vec<String>, answers: Vec<Result<(), SqsError>>) -> Self {
        let mut settled = Settled { successful: Vec::new(), failed: Vec::new() };
        for (id, answer) in ids.into_iter().zip(answers) {
            match answer {
                Ok(()) => settled.successful.push(Success { id }),
                Err(error) => settled.failed.push(Failure::new(id, error)),
            }
        }
        settled
    }
}

pub(crate) async fn delete_message_batch(
    sqs: Arc<Sqs>,
    call: Call,
    request: DeleteMessageBatch,
) -> Result<Settled, SqsError> {
    let queue = sqs.queue_for(&call, &request.queue_url, "sqs:DeleteMessage")?;
    batch::check("DeleteMessageBatchRequestEntry", request.entries.iter().map(|entry| entry.id.as_str()))?;
    let (ids, handles): (Vec<_>, Vec<_>) =
        request.entries.into_iter().map(|entry| (entry.id, entry.receipt_handle)).unzip();
    let answers = sqs.messages.delete(&queue, &handles).await?;
    Ok(Settled::of(ids, answers))
}

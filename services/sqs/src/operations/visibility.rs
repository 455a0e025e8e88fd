//! ChangeMessageVisibility and ChangeMessageVisibilityBatch.

use std::sync::Arc;

use frontdoor::Call;
use serde::Deserialize;

use super::batch;
use super::delete::Settled;
use crate::Sqs;
use crate::errors::SqsError;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ChangeMessageVisibility {
    queue_url: String,
    receipt_handle: String,
    visibility_timeout: i64,
}

pub(crate) async fn change_message_visibility(
    sqs: Arc<Sqs>,
    call: Call,
    request: ChangeMessageVisibility,
) -> Result<(), SqsError> {
    let queue = sqs.queue_for(&call, &request.queue_url, "sqs:ChangeMessageVisibility")?;
    let wishes = [(request.receipt_handle, request.visibility_timeout)];
    let answers = sqs.messages.change_visibility(&queue, &wishes).await?;
    answers.into_iter().collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ChangeMessageVisibilityBatch {
    queue_url: String,
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    id: String,
    receipt_handle: String,
    visibility_timeout: Option<i64>,
}

pub(crate) async fn change_message_visibility_batch(
    sqs: Arc<Sqs>,
    call: Call,
    request: ChangeMessageVisibilityBatch,
) -> Result<Settled, SqsError> {
    let queue = sqs.queue_for(&call, &request.queue_url, "sqs:ChangeMessageVisibility")?;
    let ids = request.entries.iter().map(|entry| entry.id.as_str());
    batch::check("ChangeMessageVisibilityBatchRequestEntry", ids)?;
    let wish = |entry: Entry| {
        // AWS's model does not require it; without it there is nothing to change to.
        let timeout_s = entry.visibility_timeout.ok_or_else(|| SqsError::missing("VisibilityTimeout"))?;
        Ok((entry.id, (entry.receipt_handle, timeout_s)))
    };
    let (ids, wishes): (Vec<_>, Vec<_>) =
        request.entries.into_iter().map(wish).collect::<Result<Vec<_>, SqsError>>()?.into_iter().unzip();
    let answers = sqs.messages.change_visibility(&queue, &wishes).await?;
    Ok(Settled::of(ids, answers))
}

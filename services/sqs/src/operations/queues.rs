//! CreateQueue and GetQueueUrl.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::AccountId;
use frontdoor::Call;
use serde::{Deserialize, Serialize};
use store::value;

use crate::Sqs;
use crate::access;
use crate::errors::SqsError;
use crate::keys::{self, Scope, VERSION};
use crate::queue::{Attributes, Fifo, Queue};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateQueue {
    queue_name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct QueueUrl {
    queue_url: String,
}

pub(crate) async fn create_queue(
    sqs: Arc<Sqs>,
    call: Call,
    request: CreateQueue,
) -> Result<QueueUrl, SqsError> {
    let name = request.queue_name;
    let scope = Scope { account: call.account(), region: call.region().clone() };
    let now = sqs.clock.now();
    let fifo = name.ends_with(".fifo").then(Fifo::default);
    let queue = Queue {
        uid: uuid::Uuid::new_v4().as_u64_pair().0,
        account: scope.account,
        region: scope.region.clone(),
        name: name.clone(),
        created_at: now,
        modified_at: now,
        attributes: Attributes { fifo, ..Attributes::default() },
        tags: BTreeMap::new(),
    };
    let key = keys::queue(&scope, &name);
    sqs.store
        .transact(move |tx| {
            if tx.get(&key)?.is_none() {
                tx.put(key.clone(), value::encode(VERSION, &queue))?;
            }
            Ok(())
        })
        .await?;
    Ok(QueueUrl { queue_url: sqs.url(&call, scope.account, &name) })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct GetQueueUrl {
    queue_name: String,
    #[serde(rename = "QueueOwnerAWSAccountId")]
    owner: Option<String>,
}

pub(crate) async fn get_queue_url(
    sqs: Arc<Sqs>,
    call: Call,
    request: GetQueueUrl,
) -> Result<QueueUrl, SqsError> {
    let account = match request.owner {
        Some(owner) => owner.parse::<AccountId>().map_err(|_| SqsError::NoQueue)?,
        None => call.account(),
    };
    let scope = Scope { account, region: call.region().clone() };
    let queue = sqs.find(&scope, &request.queue_name)?;
    access::permit(&call, &queue, "sqs:GetQueueUrl")?;
    Ok(QueueUrl { queue_url: sqs.url(&call, account, &queue.name) })
}

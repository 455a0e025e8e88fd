//! CreateQueue, DeleteQueue, PurgeQueue.
//!
//! A name is free again a minute after its queue was deleted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base::Timestamp;
use frontdoor::Call;
use serde::{Deserialize, Serialize};
use store::{Tx, TxError, value};

use crate::Sqs;
use crate::attributes::{self, Given};
use crate::dead_letters;
use crate::errors::SqsError;
use crate::keys::{self, Scope, VERSION};
use crate::messages::Messages;
use crate::operations::tags;
use crate::queue::{Fifo, Queue};
use crate::unfinished::{self, Task};

const NAME_RULE: &str =
    "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length";
const FIFO_NAME_RULE: &str = "The name of a FIFO queue can only include alphanumeric characters, hyphens, or \
                              underscores, must end with .fifo suffix and be 1 to 80 in length.";
/// How long a deleted queue's name stays taken.
const NAME_REST: Duration = Duration::from_secs(60);
/// Between two purges of one queue.
const PURGE_REST: Duration = Duration::from_secs(60);
/// How many stale notes about deleted queues are removed in passing.
const SWEEP: usize = 100;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CreateQueue {
    queue_name: String,
    #[serde(default)]
    attributes: Given,
    #[serde(default, rename = "tags")]
    tags: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct QueueUrl {
    pub(crate) queue_url: String,
}

pub(crate) async fn create_queue(
    sqs: Arc<Sqs>,
    call: Call,
    request: CreateQueue,
) -> Result<QueueUrl, SqsError> {
    let CreateQueue { queue_name: name, attributes: given, tags } = request;
    let is_fifo = check_name(&name, &given)?;
    tags::check(&tags, &name)?;
    let scope = Scope { account: call.account(), region: call.region().clone() };
    let now = sqs.clock.now();
    let mut queue = Queue::new(&scope, &name, uuid::Uuid::new_v4().as_u64_pair().0, now);
    queue.attributes.fifo = is_fifo.then(Fifo::default);
    queue.tags = tags;
    attributes::set(&mut queue.attributes, &given, &name)?;
    let key = keys::queue(&scope, &name);
    let place = scope.clone();
    sqs.change_queue(&scope, &name, move |tx| {
        if let Some(row) = tx.get(&key)? {
            let known: Queue = value::decode(VERSION, &row)?;
            return Ok(same_attributes(&known, &given, &queue));
        }
        let deleted = keys::deleted(&place, &queue.name);
        if let Some(row) = tx.get(&deleted)? {
            let at: Timestamp = value::decode(VERSION, &row)?;
            if now < at.after(NAME_REST) {
                return Ok(Err(SqsError::other(
                    "QueueDeletedRecently",
                    "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
                )));
            }
            tx.delete(&deleted)?;
        }
        let given = given.get("RedrivePolicy").and_then(Option::as_deref);
        if let Err(error) = dead_letters::link(tx, &queue, None, given)? {
            return Ok(Err(error));
        }
        tx.put(key.clone(), value::encode(VERSION, &queue))?;
        Ok(Ok(()))
    })
    .await?;
    Ok(QueueUrl { queue_url: sqs.url(&call, scope.account, &name) })
}

/// Whether the name is one that a queue may have, and whether the queue is to be a FIFO queue.
fn check_name(name: &str, given: &Given) -> Result<bool, SqsError> {
    let is_plain = |text: &str| {
        !text.is_empty() && text.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_'))
    };
    let wanted = given.get("FifoQueue").and_then(Option::as_deref);
    let is_fifo = wanted.is_some_and(|wanted| wanted.eq_ignore_ascii_case("true"));
    let fits = name.len() <= 80;
    if is_fifo {
        return match name.strip_suffix(".fifo") {
            Some(stem) if fits && is_plain(stem) => Ok(true),
            _ => Err(SqsError::invalid(FIFO_NAME_RULE)),
        };
    }
    if fits && is_plain(name) { Ok(false) } else { Err(SqsError::invalid(NAME_RULE)) }
}

/// A queue of that name may be made again, with the attributes that it has.
fn same_attributes(known: &Queue, given: &Given, wanted: &Queue) -> Result<(), SqsError> {
    match attributes::difference(given, &known.attributes, &wanted.attributes) {
        None => Ok(()),
        Some(name) => Err(SqsError::other(
            "QueueNameExists",
            format!("A queue already exists with the same name and a different value for attribute {name}"),
        )),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct OneQueue {
    queue_url: String,
}

pub(crate) async fn delete_queue(sqs: Arc<Sqs>, call: Call, request: OneQueue) -> Result<(), SqsError> {
    let queue = sqs.own_queue_for(&call, &request.queue_url, "sqs:DeleteQueue")?;
    let now = sqs.clock.now();
    let gone = Arc::clone(&queue);
    sqs.change_queue(&queue.scope(), &queue.name, move |tx| remove(tx, &gone, now)).await?;
    sqs.finish(&queue, Task::Forget).await
}

fn remove(tx: &mut dyn Tx, queue: &Queue, now: Timestamp) -> Result<Result<(), SqsError>, TxError> {
    let scope = queue.scope();
    let key = keys::queue(&scope, &queue.name);
    let Some(row) = tx.get(&key)? else { return Ok(Err(SqsError::NoQueue)) };
    let known: Queue = value::decode(VERSION, &row)?;
    if known.uid != queue.uid {
        return Ok(Err(SqsError::NoQueue));
    }
    if let Some(target) = known.attributes.redrive.as_ref().and_then(dead_letters::target_name) {
        tx.delete(&keys::source(&scope, target, &queue.name))?;
    }
    for (key, row) in tx.range(keys::all_deleted(&scope).limit(SWEEP))? {
        let at: Timestamp = value::decode(VERSION, &row)?;
        if now >= at.after(NAME_REST) {
            tx.delete(&key)?;
        }
    }
    for (key, _) in tx.range(keys::move_tasks(&scope, &queue.name))? {
        tx.delete(&key)?;
    }
    tx.delete(&keys::moving(&scope, &queue.name))?;
    Messages::note_forgotten(tx, queue)?;
    tx.delete(&key)?;
    unfinished::note(tx, &known, Task::Forget)?;
    tx.put(keys::deleted(&scope, &queue.name), value::encode(VERSION, &now))?;
    Ok(Ok(()))
}

pub(crate) async fn purge_queue(sqs: Arc<Sqs>, call: Call, request: OneQueue) -> Result<(), SqsError> {
    let queue = sqs.queue_for(&call, &request.queue_url, "sqs:PurgeQueue")?;
    let now = sqs.clock.now();
    sqs.update_queue(&queue, move |tx, queue| {
        if queue.purged_at.is_some_and(|at| now < at.after(PURGE_REST)) {
            let name = &queue.name;
            return Ok(Err(SqsError::other(
                "PurgeQueueInProgress",
                format!("Only one PurgeQueue operation on {name} is allowed every 60 seconds."),
            )));
        }
        queue.purged_at = Some(now);
        unfinished::note(tx, queue, Task::Purge)?;
        Ok(Ok(()))
    })
    .await?;
    sqs.finish(&queue, Task::Purge).await
}

//! The operations, one file per group, and their table of handlers.
//!
//! Handlers are thin: check what the model does not say, call the domain, shape the answer.

mod attributes;
mod batch;
mod delete;
mod lists;
mod move_tasks;
mod queues;
mod receive;
mod send;
mod sender;
mod tags;
mod visibility;

use std::sync::Arc;

use frontdoor::Service;

pub(crate) use self::sender::Senders;
use crate::Sqs;

pub(crate) fn table(sqs: Arc<Sqs>) -> Service {
    Service::new("sqs", sqs)
        .on("AddPermission", attributes::add_permission)
        .on("CancelMessageMoveTask", move_tasks::cancel_message_move_task)
        .on("CreateQueue", queues::create_queue)
        .on("DeleteQueue", queues::delete_queue)
        .on("GetQueueAttributes", attributes::get_queue_attributes)
        .on("GetQueueUrl", lists::get_queue_url)
        .on("ListDeadLetterSourceQueues", lists::list_dead_letter_source_queues)
        .on("ListMessageMoveTasks", move_tasks::list_message_move_tasks)
        .on("ListQueueTags", tags::list_queue_tags)
        .on("ListQueues", lists::list_queues)
        .on("PurgeQueue", queues::purge_queue)
        .on("RemovePermission", attributes::remove_permission)
        .on("SetQueueAttributes", attributes::set_queue_attributes)
        .on("StartMessageMoveTask", move_tasks::start_message_move_task)
        .on("TagQueue", tags::tag_queue)
        .on("UntagQueue", tags::untag_queue)
        .on("SendMessage", send::send_message)
        .on("SendMessageBatch", send::send_message_batch)
        .on("ReceiveMessage", receive::receive_message)
        .on("DeleteMessage", delete::delete_message)
        .on("DeleteMessageBatch", delete::delete_message_batch)
        .on("ChangeMessageVisibility", visibility::change_message_visibility)
        .on("ChangeMessageVisibilityBatch", visibility::change_message_visibility_batch)
        .build()
}

//! The operations, one file per group, and their table of handlers.
//!
//! Handlers are thin: check what the model does not say, call the domain, shape the answer.

mod queues;

use std::sync::Arc;

use frontdoor::Service;

use crate::Sqs;

pub(crate) fn table(sqs: Arc<Sqs>) -> Service {
    Service::new("sqs", sqs)
        .on("CreateQueue", queues::create_queue)
        .on("GetQueueUrl", queues::get_queue_url)
        .build()
}

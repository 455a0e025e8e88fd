//! The operations, one file per group, and their table of handlers.
//!
//! Handlers are thin: check what the model does not say, call the domain, shape the answer.

mod filter_events;
mod get_events;
mod groups;
mod put_events;
mod retention;
mod streams;
mod tags;

use std::sync::Arc;

use frontdoor::{Call, Service};
use serde::Serialize;

use crate::Logs;
use crate::keys::Scope;

/// The largest body of a batch: 1 MiB of messages can be six times that as escaped JSON.
const MAX_BATCH_BODY_BYTES: usize = 8 * 1024 * 1024;

pub(crate) fn table(logs: Arc<Logs>) -> Service {
    Service::new("logs", logs)
        .on("CreateLogGroup", groups::create_log_group)
        .on("DeleteLogGroup", groups::delete_log_group)
        .on("DescribeLogGroups", groups::describe_log_groups)
        .on("CreateLogStream", streams::create_log_stream)
        .on("DeleteLogStream", streams::delete_log_stream)
        .on("DescribeLogStreams", streams::describe_log_streams)
        .on("PutLogEvents", put_events::put_log_events)
        .on("GetLogEvents", get_events::get_log_events)
        .on("FilterLogEvents", filter_events::filter_log_events)
        .on("PutRetentionPolicy", retention::put_retention_policy)
        .on("DeleteRetentionPolicy", retention::delete_retention_policy)
        .on("TagResource", tags::tag_resource)
        .on("UntagResource", tags::untag_resource)
        .on("ListTagsForResource", tags::list_tags_for_resource)
        .on("TagLogGroup", tags::tag_log_group)
        .on("UntagLogGroup", tags::untag_log_group)
        .on("ListTagsLogGroup", tags::list_tags_log_group)
        .body_limit("PutLogEvents", MAX_BATCH_BODY_BYTES, "Upload too large")
        .build()
}

/// An answer without members.
#[derive(Serialize)]
pub(crate) struct Done {}

fn scope_of(call: &Call) -> Scope {
    Scope { account: call.account(), region: call.region().clone() }
}

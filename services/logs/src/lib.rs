//! CloudWatch Logs: groups of streams of time-stamped lines.
//!
//! It takes batches of events, keeps them durably, and gives them back by time, filtered if asked. It is not a place
//! where logs are turned into metrics or queried with a language, and it does not know who writes to it: a function's
//! output arrives as PutLogEvents like any other client's.
//! API: <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/Welcome.html>.
//!
//! Operations: CreateLogGroup, DeleteLogGroup, DescribeLogGroups; CreateLogStream, DeleteLogStream,
//! DescribeLogStreams; PutLogEvents, GetLogEvents, FilterLogEvents; PutRetentionPolicy, DeleteRetentionPolicy;
//! TagResource, UntagResource, ListTagsForResource, TagLogGroup, UntagLogGroup, ListTagsLogGroup.
//!
//! **How it works.** A batch becomes a few *chunks*: runs of events that are close in time, packed into one value
//! each, under a key that sorts by stream and time ([`chunk`], [`keys`]). A read is a range scan that keeps the
//! events nearest to its cursor and no others ([`window`]), so memory is bounded however long a stream is. Groups
//! and streams have a number of their own ([`keys`]): deleting one removes its record at once, and a worker clears
//! its events later ([`sweep`]).
//!
//! **Limits** (AWS's)
//! - a batch: 10,000 events, 1,048,576 bytes counting 26 for each event, 24 hours, in order of time
//! - an event: 1,048,576 bytes with its 26; not older than 14 days or its group's retention, not more than 2 hours
//!   in the future
//! - an answer: 10,000 events, 1 MiB; a FilterLogEvents page also ends after reading about 64 MiB
//! - 50 tags for each group
//!
//! **Not supported yet, and what happens instead**
//! - `kmsKeyId`, `entity`, deletion protection and cross-account listing are refused by name; so are the group
//!   classes INFREQUENT_ACCESS and DELIVERY.
//! - Filter patterns with fields in brackets (`[ip, user, ...]`) or regular expressions (`%...%`) are refused.
//! - Metric filters, subscription filters, Insights queries and Live Tail have no operations yet.
//! - A stream's `storedBytes` is always 0, as on AWS since 2019; a group's is exact.

mod batch;
mod chunk;
mod errors;
mod group;
mod identifier;
mod keys;
mod operations;
mod pattern;
mod position;
mod read;
mod state;
mod stream;
mod sweep;
mod token;
mod window;

use std::sync::Arc;

use base::Clock;
use store::Store;

pub use crate::state::Logs;

/// What the service needs.
pub struct LogsDeps {
    /// Where groups, streams and events live.
    pub store: Store,
    /// What "too old", "too new" and retention go by.
    pub clock: Clock,
}

/// The table of handlers, for the front door.
#[must_use]
pub fn service(logs: Arc<Logs>) -> frontdoor::Service {
    operations::table(logs)
}

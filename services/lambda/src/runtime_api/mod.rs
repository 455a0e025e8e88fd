//! The Runtime API, served into each environment: `127.0.0.1:9001` inside a box is a socket of this process.
//!
//! [`session`] is the state machine of one environment's runtime (what it may ask for, and when); [`connection`] speaks
//! HTTP/1.1 on the connections the runtime opens. [`extensions`] and `extension_api` are the same for extensions. None
//! of them knows functions, pools, limits or logs.
//!
//! [`restore`] is what SnapStart adds.
//!
//! API: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.

mod connection;
mod extension_api;
pub(crate) mod extensions;
mod http1;
pub(crate) mod restore;
mod session;
mod streaming;

pub(crate) use connection::accept;
pub(crate) use extension_api::{About, Subscribe, SubscriptionApi};
pub(crate) use session::{Answer, Departure, Event, InitResult, Session};
pub(crate) use streaming::{StreamEnd, StreamedAnswer};

/// The largest answer of a function in bytes: 6 MiB and what AWS grants on top.
pub(crate) const MAX_RESPONSE_BYTES: usize = 6_291_556;

/// The largest answer of a function that streams it, in bytes: 200 MiB.
pub(crate) const MAX_STREAM_BYTES: u64 = 200 * 1024 * 1024;

#[cfg(test)]
mod tests;

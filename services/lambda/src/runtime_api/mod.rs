//! The Runtime API, served into each environment: `127.0.0.1:9001` inside a box is a socket of this process.
//!
//! [`session`] is the state machine of one environment's runtime (what it may ask for, and when); [`connection`] speaks
//! HTTP/1.1 on the connections the runtime opens. Neither knows functions, pools, limits or logs.
//!
//! Not here: the Extensions, Logs and Telemetry APIs and `/runtime/restore` (SnapStart). They answer with a clear
//! error. Response streaming is refused by name.
//!
//! API: <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>.

mod connection;
mod http1;
mod session;

pub(crate) use connection::accept;
pub(crate) use session::{Answer, Departure, Event, InitResult, Session};

/// The largest answer of a function in bytes: 6 MiB and what AWS grants on top.
pub(crate) const MAX_RESPONSE_BYTES: usize = 6_291_556;

#[cfg(test)]
mod tests;

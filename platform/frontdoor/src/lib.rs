//! The front door: the one way into a service, for HTTP requests and for other services alike.
//!
//! A [`Call`] says who calls, from where, under which id; an input is a [`wire::Doc`]. [`FrontDoor::enter`] finds the
//! operation in its service's model, validates the input, authorises the caller and runs the handler. Handlers are
//! typed: a struct lists exactly the members that are supported, and what the model has beyond it is refused by name.
//!
//! It knows no HTTP and no service by name: the gateway brings requests, the assembly brings services.
//!
//! **Invariant:** nothing reaches a handler but through [`FrontDoor::enter`].
//! **Invariant:** a panic in a handler is an `InternalFailure` of that call, and of no other.
//! **Invariant:** a handler that has begun ends, also when its client is gone.

mod answer;
mod call;
mod conditions;
mod credentials;
mod door;
mod guard;
mod lenient;
mod service;
mod support;

pub use answer::{Answer, EventStream, Streamed};
pub use call::{Call, Caller, OnBehalf, Source};
pub use credentials::{Credentials, KnownKey};
pub use door::{Authorise, FrontDoor, FrontDoorBuilder, FrontDoorHandle};
pub use service::{BodyLimit, Service, ServiceBuilder};
pub use support::{OperationSupport, ServiceSupport};

#[cfg(test)]
mod tests;

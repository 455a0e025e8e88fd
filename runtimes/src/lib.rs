//! What runs a managed function: the runtime clients (Python, Node.js, Ruby and Java, embedded in the binary) and the
//! interpreters of this host that they run on.
//!
//! - [`files`]: the runtime client of a language. [`install`] makes it ready to be mounted at `/var/runtime`.
//! - [`find`]: the interpreter for an AWS runtime id (`python3.12`), what to mount, and the command to start.
//! - [`RuntimeMap`]: the user's wish to serve one runtime id with the interpreter of another.
//! - [`known`]: every runtime id of AWS, and whether it is served here.
//! - [`survey`]: what this host offers, for `lamplighter doctor`.
//!
//! This crate starts no function and knows no box: it only says what to mount and what to start. It installs
//! nothing. The AWS SDKs that AWS's own images carry (boto3, AWS SDK for JavaScript v3) are not brought along:
//! a function sees what the host's interpreter has installed, what its package holds, and its layers.
//!
//! Defined by: <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html>

mod catalog;
mod client;
mod find;
mod host;
mod java;
mod map;
mod probe;
mod survey;

pub use catalog::{KnownRuntime, Language, Status, known, lookup};
pub use client::{UnpackError, files, install, unpack};
pub use find::{Interpreter, MissingRuntime, find};
pub use map::{InvalidRuntimeMap, RuntimeMap};
pub use survey::{FoundRuntime, Survey, survey};

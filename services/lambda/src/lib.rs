//! AWS Lambda: functions as records in the store, their packages on disk, and the API over both.
//!
//! The control plane (this crate's `operations`, `function`, `record`, `package`) decides what a function *is*;
//! `fleet`, `runtime_api` and `invoke` run it. The two meet in [`function::FunctionConfig`], an immutable snapshot
//! of one version, and in [`invoker::Invoker`].
//!
//! It is not: asynchronous invokes, versions, aliases, layers, event source mappings, URLs. Those answer with a
//! clear "not supported" error.
//!
//! API: <https://docs.aws.amazon.com/lambda/latest/api/welcome.html>.
//!
//! **Invariant:** truth is in the store. What is in memory (the cache of configurations) can be rebuilt from it.

pub mod fleet;
pub mod function;
pub mod invoke;
pub mod invoker;
pub mod runtime_api;

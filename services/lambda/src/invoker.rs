//! The seam between the API and what runs functions: a trait, so that the API is tested without a sandbox.
//!
//! [`crate::fleet::Fleet`] is the implementation that counts.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::capacity::{Capacity, ProvisionedState};
use crate::function::FunctionConfig;
use crate::invoke::{Invocation, InvokeError, Outcome, Streaming};

/// What an invoke gives back, later.
pub type Invoking<'a> = Pin<Box<dyn Future<Output = Result<Outcome, InvokeError>> + Send + 'a>>;

/// What a streaming invoke gives back, when the answer begins.
pub type Opening<'a> = Pin<Box<dyn Future<Output = Result<Streaming, InvokeError>> + Send + 'a>>;

/// What a snapshot comes to, later.
pub type Snapshotting<'a> = Pin<Box<dyn Future<Output = SnapshotOutcome> + Send + 'a>>;

/// What came of the wish for a snapshot of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotOutcome {
    /// It is on disk.
    Made {
        /// Its size.
        bytes: u64,
        /// How long it took, the function's own initialisation included.
        took_ms: u64,
    },
    /// There can be none of this version on this host, and why.
    NotPossible(String),
    /// The function's initialisation failed.
    Failed {
        /// `StateReasonCode`.
        code: &'static str,
        /// `StateReason`.
        reason: String,
    },
    /// The process is going.
    Interrupted,
}

/// Runs functions.
pub trait Invoker: Send + Sync {
    /// Runs `function` once with an environment of exactly its generation.
    fn invoke(&self, function: Arc<FunctionConfig>, invocation: Invocation) -> Invoking<'_>;

    /// The same, giving the answer while the function makes it: see [`Streaming`]. Whatever kind of answer the function
    /// gives, this takes it. Once begun the function runs to its end, also if this future is dropped.
    fn invoke_streaming(&self, function: Arc<FunctionConfig>, invocation: Invocation) -> Opening<'_>;

    /// Lets go of every environment of the version with this key ([`FunctionConfig::key`]) that is older than `before_generation`. Returns at once.
    fn retire(&self, key: &str, before_generation: u64);

    /// The function is new, or has changed, and will be invoked: what its starts need may be made ready. Returns at once.
    fn foresee(&self, function: Arc<FunctionConfig>) {
        let _ = function;
    }

    /// Sets apart concurrency for a function, instead of what was before. Returns at once.
    fn set_capacity(&self, capacity: Capacity) {
        let _ = capacity;
    }

    /// How far the provisioned environments of the version with this key are.
    fn provisioned_state(&self, key: &str) -> ProvisionedState {
        let _ = key;
        ProvisionedState::default()
    }

    /// Makes the snapshot of a version with SnapStart, instead of one that is there.
    fn make_snapshot(&self, function: Arc<FunctionConfig>) -> Snapshotting<'_> {
        let _ = function;
        Box::pin(std::future::ready(SnapshotOutcome::NotPossible("nothing runs functions here".to_owned())))
    }

    /// The version with this key is gone, or nobody uses it: its snapshot goes. Returns at once.
    fn forget_snapshot(&self, key: &str) {
        let _ = key;
    }

    /// These versions have snapshots: what is missing is made again in the background, all others go. Returns at once.
    fn keep_snapshots(&self, functions: Vec<Arc<FunctionConfig>>) {
        let _ = functions;
    }
}

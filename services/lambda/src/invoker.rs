//! The seam between the API and what runs functions: a trait, so that the API is tested without a sandbox.
//!
//! [`crate::fleet::Fleet`] is the implementation that counts.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::function::FunctionConfig;
use crate::invoke::{Invocation, InvokeError, Outcome};

/// What an invoke gives back, later.
pub type Invoking<'a> = Pin<Box<dyn Future<Output = Result<Outcome, InvokeError>> + Send + 'a>>;

/// Runs functions.
pub trait Invoker: Send + Sync {
    /// Runs `function` once with an environment of exactly its generation.
    fn invoke(&self, function: Arc<FunctionConfig>, invocation: Invocation) -> Invoking<'_>;

    /// Lets go of every environment of the version with this key ([`FunctionConfig::key`]) that is older than `before_generation`. Returns at once.
    fn retire(&self, key: &str, before_generation: u64);
}

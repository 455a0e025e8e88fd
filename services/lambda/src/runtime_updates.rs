//! When the runtime of a version may be replaced: what `operations::runtime_updates` keeps.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-update.html>.

use serde::{Deserialize, Serialize};

use crate::aspects::Aspect;

/// When the runtime of a version may be replaced. Without a row it is `Auto`. A version that is published has what
/// `$LATEST` has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RuntimeUpdates {
    /// Whenever there is a newer one.
    #[default]
    Auto,
    /// When the function is changed.
    FunctionUpdate,
    /// Never; the ARN of the runtime version to keep.
    Manual(String),
}

impl Aspect for RuntimeUpdates {
    const KIND: &'static str = "runtime";
}

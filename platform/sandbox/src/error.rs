//! What can go wrong with a box, in words for the operator.
//!
//! It knows no HTTP and no AWS error code: the caller decides what its own client sees.

use std::io;
use std::path::PathBuf;

/// Why the sandbox, or one box, could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The specification itself is wrong: nothing was started.
    #[error("the box specification is not valid: {0}")]
    InvalidSpec(String),
    /// This machine cannot run boxes at all.
    #[error("this host cannot run boxes: {0} (see `lamplighter doctor`)")]
    Unsupported(String),
    /// The spawner process could not be started or does not answer.
    #[error("the spawner process {action}: {source}")]
    Spawner {
        /// What was being done.
        action: &'static str,
        /// The operating system's answer.
        source: io::Error,
    },
    /// One step of building the box failed.
    #[error("box {id}: {step} failed: {source}")]
    Launch {
        /// The box's identifier.
        id: String,
        /// The step that failed, with the path or name it worked on.
        step: String,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The box died while it was being built, for example because its memory limit is too small.
    #[error("box {id} died before its command could start")]
    DiedAtStart {
        /// The box's identifier.
        id: String,
    },
    /// The box was not ready in time.
    #[error("box {id} was not ready after {limit_ms} ms")]
    LaunchTimeout {
        /// The box's identifier.
        id: String,
        /// The time it was given.
        limit_ms: u64,
    },
    /// The box is gone already.
    #[error("box {id} has exited")]
    Gone {
        /// The box's identifier.
        id: String,
    },
    /// A control operation (freeze, thaw, limits, measurement) failed.
    #[error("box {id}: cannot {operation}: {source}")]
    Control {
        /// The box's identifier.
        id: String,
        /// What was asked.
        operation: &'static str,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A path of our own (state directory, executable) cannot be used.
    #[error("{path}: {source}", path = path.display())]
    Path {
        /// The path.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The sandbox was shut down.
    #[error("the sandbox was shut down")]
    ShutDown,
}

//! A folder's SAM application: read the template, build the functions, package them, deploy them with their queues and
//! topics, each resource after those it needs.
//!
//! From text to platform: `node` (YAML) -> `template` (sections) -> `expand` (SAM's short forms become resources) ->
//! `graph` (order) -> `intrinsics` (values) -> a room for each kind of resource, which reads its properties and brings it up.
//!
//! It refuses by name whatever else a template asks for: a resource that is skipped in
//! silence is a bug found three hours later. It is not CloudFormation: there are no stacks, no change sets and no
//! deletions; those come with the CloudFormation service, which will take over all up to `intrinsics`.
//!
//! Specification: <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/>.

mod access_policy;
pub(crate) mod alias;
pub(crate) mod bring_up;
pub(crate) mod build;
pub(crate) mod deploy;
mod event_invoke;
mod events;
mod expand;
pub(crate) mod function;
mod graph;
mod intrinsics;
pub(crate) mod layer;
mod mapping;
mod node;
pub(crate) mod package;
mod permission;
mod policies;
mod queue;
pub(crate) mod resource;
mod role;
mod subscription;
mod tags;
pub(crate) mod template;
mod topic;
mod url;
pub(crate) mod watch;

pub(crate) use function::FunctionSpec;
pub(crate) use layer::LayerSpec;
pub(crate) use template::Template;

/// Why a template, a build or a package was refused. The message names the place and the remedy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SamError {
    /// The template says something that is wrong or not supported.
    #[error("template line {line}: {message}")]
    Template {
        /// 1-based.
        line: usize,
        /// What is wrong, and what to do.
        message: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {cause}")]
    File {
        /// The file or folder.
        path: String,
        /// The system's reason.
        cause: std::io::Error,
    },
    /// A function could not be built.
    #[error("{function}: {message}")]
    Build {
        /// The function's logical id.
        function: String,
        /// What went wrong, with the end of the tool's output.
        message: String,
    },
}

impl SamError {
    pub(crate) fn at(line: usize, message: impl Into<String>) -> Self {
        SamError::Template { line, message: message.into() }
    }

    pub(crate) fn file(path: &std::path::Path, cause: std::io::Error) -> Self {
        SamError::File { path: path.display().to_string(), cause }
    }
}

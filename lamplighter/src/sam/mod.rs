//! A folder's SAM application: read the template, build the functions, package them, deploy them.
//!
//! It reads functions and layers only, and refuses by name whatever else a template asks for: a resource that is skipped in
//! silence is a bug found three hours later. It is not CloudFormation: there are no stacks, no change sets and no
//! deletions; those come with the CloudFormation service, which will take over `template.rs`.
//!
//! Specification: <https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/>.

pub(crate) mod alias;
pub(crate) mod build;
pub(crate) mod deploy;
pub(crate) mod function;
pub(crate) mod intrinsics;
pub(crate) mod layer;
pub(crate) mod node;
pub(crate) mod package;
pub(crate) mod template;
pub(crate) mod url;
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

//! What a function is to those who run it: an immutable snapshot of one version's configuration and code.
//!
//! It is not the stored record (that is `record`), and it knows no API shape. A change of a function never changes
//! a snapshot: it makes a new one with a higher generation.
//!
//! Members: <https://docs.aws.amazon.com/lambda/latest/api/API_FunctionConfiguration.html>.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use base::{AccountId, Region};
use serde::{Deserialize, Serialize};

/// One version of a function, as it is run. Shared as `Arc<FunctionConfig>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionConfig {
    /// The unqualified ARN: `arn:aws:lambda:us-east-1:000000000000:function:hello`.
    pub arn: String,
    /// 1 to 64 characters of `[a-zA-Z0-9-_]`.
    pub name: String,
    /// The account that owns the function.
    pub account: AccountId,
    /// The function's region.
    pub region: Region,
    /// `$LATEST`, or the number of a published version.
    pub version: String,
    /// [`FunctionConfig::key_of`] this version: what environments are kept and retired by. Each version has its own.
    pub key: Arc<str>,
    /// Grows with every change of code or configuration; a re-created function starts above its predecessor.
    pub generation: u64,
    /// `python3.12`, `provided.al2023`...
    pub runtime: Option<String>,
    /// `module.function`, in the runtime's own form.
    pub handler: Option<String>,
    /// The execution role's ARN.
    pub role: String,
    /// 128 to 10,240 MiB.
    pub memory_mib: u32,
    /// 1 to 900 seconds.
    pub timeout_s: u32,
    /// Size of `/tmp`: 512 to 10,240 MiB.
    pub tmp_mib: u32,
    /// The user's environment variables, at most 4 KiB in all.
    pub environment: BTreeMap<String, String>,
    /// Where the unpacked code lies.
    pub code: CodeLocation,
    /// The instruction set; always this host's.
    pub architecture: Architecture,
    /// The log group, `/aws/lambda/<name>` unless configured.
    pub log_group: String,
    /// Plain text or one JSON object a line.
    pub log_format: LogFormat,
    /// The lowest level of the function's own log lines; only with [`LogFormat::Json`].
    pub application_log_level: Option<String>,
    /// The lowest level of the platform's log lines; only with [`LogFormat::Json`].
    pub system_log_level: Option<String>,
    /// Whether each tenant has environments of its own; then every invoke names one.
    pub tenant_isolation: bool,
    /// Whether it starts from a snapshot where that is possible: a published version with SnapStart.
    pub snap_start: bool,
    /// X-Ray tracing.
    pub tracing_mode: TracingMode,
    /// The ARN of the queue or topic for asynchronous events that the function cannot handle.
    pub dead_letter_arn: Option<String>,
    /// The layers, in the order in which they are merged.
    pub layers: Vec<LayerUse>,
    /// The directory to mount at `/opt`: the merged layers, written by nobody. `None` without layers.
    pub opt_dir: Option<PathBuf>,
    /// Folders of the host that the function may write to.
    pub file_systems: Vec<HostFolder>,
}

/// One layer of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerUse {
    /// The ARN of the layer version.
    pub arn: String,
    /// The size of its zip in bytes.
    pub size_bytes: u64,
}

/// A folder of the host that a function sees: an access point of a file system, on AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFolder {
    /// The folder.
    pub host: PathBuf,
    /// Where it is in the box, below `/mnt`.
    pub inside: PathBuf,
}

impl FunctionConfig {
    /// The ARN and version of a function as one text: `arn:aws:lambda:...:function:hello:$LATEST`.
    #[must_use]
    pub fn key_of(arn: &str, version: &str) -> Arc<str> {
        Arc::from(format!("{arn}:{version}"))
    }
}

/// A function's code on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeLocation {
    /// `CodeSha256`: base64 of the SHA-256 of the zip.
    pub sha256_base64: String,
    /// The directory to mount at `/var/task`: readable by everyone, written by nobody.
    pub unpacked_dir: PathBuf,
    /// The zip's size in bytes.
    pub size_bytes: u64,
}

/// An instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Architecture {
    /// 64-bit x86.
    X86_64,
    /// 64-bit ARM.
    Arm64,
}

impl Architecture {
    /// AWS's name: `x86_64` or `arm64`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Architecture::X86_64 => "x86_64",
            Architecture::Arm64 => "arm64",
        }
    }

    /// The architecture of AWS's name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "x86_64" => Some(Architecture::X86_64),
            "arm64" => Some(Architecture::Arm64),
            _ => None,
        }
    }

    /// This host's architecture. Hosts other than x86-64 and ARM64 are not built for.
    #[must_use]
    pub fn host() -> Self {
        if cfg!(target_arch = "aarch64") { Architecture::Arm64 } else { Architecture::X86_64 }
    }
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogFormat {
    /// Lines as the function writes them, START/END/REPORT as text.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// AWS's name: `Text` or `JSON`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            LogFormat::Text => "Text",
            LogFormat::Json => "JSON",
        }
    }
}

/// The tracing mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TracingMode {
    /// A trace header of the caller is handed to the function.
    #[default]
    PassThrough,
    /// Requests without the caller's decision are sampled here, and sampled ones get a segment of the function's own.
    /// Nothing records the segments yet.
    Active,
}

impl TracingMode {
    /// AWS's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            TracingMode::PassThrough => "PassThrough",
            TracingMode::Active => "Active",
        }
    }
}

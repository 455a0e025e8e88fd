//! From a runtime id to the interpreter that serves it: what to mount, what to start.
//!
//! The first search for a runtime asks candidates for their version (a few tens of milliseconds, blocking), so
//! call it from a blocking task; the result is remembered. A missing interpreter is not remembered: the user may
//! be installing it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{OnceLock, PoisonError, RwLock};

use crate::catalog::{KnownRuntime, Language, Status, lookup, served_list};
use crate::host::Host;
use crate::map::RuntimeMap;
use crate::probe::{self, Probe};

/// An interpreter of this host, ready to be started in a box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreter {
    /// The runtime id that was asked for.
    pub runtime: String,
    /// The runtime id whose interpreter serves it: another one only if the user mapped it.
    pub served_by: String,
    /// The language.
    pub language: Language,
    /// The real executable (no symlink), the same inside and outside. For a `provided` runtime the `bootstrap`
    /// inside.
    pub executable: PathBuf,
    /// What must be mounted read-only besides the host's `/usr`, `/lib`, `/lib64`, `/bin`: (host path, path
    /// inside). Both are the same today. A path may be a single file.
    pub mounts: Vec<(PathBuf, PathBuf)>,
    /// The command as seen inside. Expects the runtime client at `/var/runtime`.
    pub command: Vec<String>,
    /// Environment that the interpreter itself needs.
    pub env: Vec<(String, String)>,
    /// Full version, for example `3.12.1`. Empty for a `provided` runtime.
    pub version: String,
}

impl Interpreter {
    /// The command for a function with `memory_mib`. Node.js is told its heap limits as on AWS, because it would
    /// otherwise size its heap by the machine and be killed before it ever collects; other languages need nothing.
    #[must_use]
    pub fn command_for(&self, memory_mib: u32) -> Vec<String> {
        let mut command = self.command.clone();
        if self.language == Language::Node {
            let share = |percent: u32| (u64::from(memory_mib) * u64::from(percent) / 100).max(1);
            let flags = [
                "--expose-gc".to_owned(),
                format!("--max-semi-space-size={}", share(5)),
                format!("--max-old-space-size={}", share(90)),
            ];
            command.splice(1..1, flags);
        }
        command
    }
}

/// There is no interpreter for a runtime. The message says what was looked for, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MissingRuntime {
    /// The runtime id that was asked for.
    pub runtime: String,
    /// What happened and what to do.
    pub message: String,
}

/// Finds the interpreter for `runtime` on this host, as seen through `map`.
///
/// # Errors
/// The runtime is unknown, not served, or its interpreter is not installed: the message has the remedy.
pub fn find(runtime: &str, map: &RuntimeMap) -> Result<Interpreter, MissingRuntime> {
    static FOUND: OnceLock<RwLock<HashMap<String, Interpreter>>> = OnceLock::new();
    let found = FOUND.get_or_init(RwLock::default);
    let served_by = map.resolve(runtime);
    let remembered = found.read().unwrap_or_else(PoisonError::into_inner).get(served_by).cloned();
    if let Some(mut interpreter) = remembered
        && (interpreter.language == Language::Provided || interpreter.executable.exists())
    {
        interpreter.runtime = runtime.to_owned();
        return Ok(interpreter);
    }
    let interpreter = find_on(&Host::from_environment(), runtime, map)?;
    tracing::debug!(runtime, executable = %interpreter.executable.display(), version = %interpreter.version, "interpreter found");
    found.write().unwrap_or_else(PoisonError::into_inner).insert(served_by.to_owned(), interpreter.clone());
    Ok(interpreter)
}

/// [`find`] on a described host, without memory.
pub(crate) fn find_on(host: &Host, runtime: &str, map: &RuntimeMap) -> Result<Interpreter, MissingRuntime> {
    let missing = |message: String| MissingRuntime { runtime: runtime.to_owned(), message };
    let known = lookup(runtime).ok_or_else(|| {
        missing(format!(
            "runtime '{runtime}' is not a runtime of AWS Lambda (served here: {})",
            served_list()
        ))
    })?;
    match known.status {
        Status::Supported => {}
        Status::NotYet => {
            return Err(missing(format!(
                "runtime '{runtime}' is not supported yet (served: {})",
                served_list()
            )));
        }
        Status::Deprecated => {
            return Err(missing(format!(
                "runtime '{runtime}' is deprecated by AWS (served: {})",
                served_list()
            )));
        }
    }
    if known.language == Language::Provided {
        return Ok(provided(runtime));
    }
    let served_by = lookup(map.resolve(runtime)).unwrap_or(known);
    let mut refused = Vec::new();
    for candidate in host.candidates(served_by) {
        match probe::ask(served_by.language, &candidate) {
            Ok(probe) if serves(&probe.version, served_by) => {
                return Ok(interpreter(host, runtime, served_by, probe));
            }
            Ok(_) => {}
            Err(reason) => refused.push(format!("{} ({reason})", candidate.display())),
        }
    }
    Err(missing(explain(host, runtime, served_by, &refused)))
}

/// Whether an interpreter of `version` (`3.12.1`, `22.11.0`) is the one of `runtime`.
pub(crate) fn serves(version: &str, runtime: &KnownRuntime) -> bool {
    version.strip_prefix(runtime.interpreter_version()).is_some_and(|rest| rest.starts_with('.'))
}

fn interpreter(host: &Host, runtime: &str, served_by: &KnownRuntime, probe: Probe) -> Interpreter {
    let executable = probe.executable.to_string_lossy().into_owned();
    let command = match served_by.language {
        // -u: what a function prints is on its way to the log when print() returns, even if it is killed next.
        Language::Python => vec![executable, "-u".to_owned(), "/var/runtime/bootstrap.py".to_owned()],
        _ => vec![executable, "/var/runtime/bootstrap.cjs".to_owned()],
    };
    let mut mounts = Vec::new();
    for path in probe.needs(host.home.as_deref()) {
        add_mount(&mut mounts, &path);
    }
    Interpreter {
        runtime: runtime.to_owned(),
        served_by: served_by.id.to_owned(),
        language: served_by.language,
        executable: probe.executable,
        mounts,
        command,
        env: Vec::new(),
        version: probe.version,
    }
}

fn add_mount(mounts: &mut Vec<(PathBuf, PathBuf)>, path: &Path) {
    if !mounts.iter().any(|(host, _)| path.starts_with(host)) {
        mounts.retain(|(host, _)| !host.starts_with(path));
        mounts.push((path.to_owned(), path.to_owned()));
    }
}

/// A `provided` runtime has no interpreter: the package (or, if it has none, a layer at `/opt`) brings
/// `bootstrap`. Which of the two it is, the caller knows.
fn provided(runtime: &str) -> Interpreter {
    Interpreter {
        runtime: runtime.to_owned(),
        served_by: runtime.to_owned(),
        language: Language::Provided,
        executable: PathBuf::from("/var/task/bootstrap"),
        mounts: Vec::new(),
        command: vec!["/var/task/bootstrap".to_owned()],
        env: Vec::new(),
        version: String::new(),
    }
}

fn explain(host: &Host, runtime: &str, served_by: &KnownRuntime, refused: &[String]) -> String {
    let version = served_by.interpreter_version();
    let (name, install) = match served_by.language {
        Language::Python => (
            format!("python{version}"),
            format!(
                "install python{version} (apt install python{version}, pyenv install {version}, uv python install {version})"
            ),
        ),
        _ => (
            format!("Node.js {version}"),
            format!("install Node.js {version} (nvm install {version}, fnm install {version})"),
        ),
    };
    let mut message = format!("runtime '{runtime}' needs {name}, which was not found");
    if served_by.id != runtime {
        message =
            format!("runtime '{runtime}' is mapped to '{}', which needs {name}: not found", served_by.id);
    }
    message.push_str(&format!(" (looked in {})", host.places(served_by.language)));
    if !refused.is_empty() {
        message.push_str(&format!("; did not answer: {}", refused.join(", ")));
    }
    message.push_str(&format!("; {install}, or name a directory that holds it in LAMPLIGHTER_RUNTIMES"));
    let others = crate::survey::others(host, served_by);
    if let Some(best) = others.last() {
        let found: Vec<_> =
            others.iter().map(|other| format!("{} {}", other.executable.display(), other.version)).collect();
        message.push_str(&format!(
            ", or start with --runtime-map {runtime}={} (found: {})",
            best.runtime,
            found.join(", ")
        ));
    }
    message
}

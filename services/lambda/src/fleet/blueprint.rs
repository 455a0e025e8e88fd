//! From a function to the box that runs it: interpreter, mounts, command, limits.

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use runtimes::{Interpreter, Language, RuntimeMap};
use sandbox::{BoxSpec, ReadOnlyMount, SandboxError, SharedFolder};

use super::credentials::RoleCredentials;
use super::environ::{self, Surroundings};
use super::generic::{Generic, ImageStarts};
use super::images::{IMAGES_INSIDE, ImageFile};
use super::opt_extensions::{self, NOT_FOR_EXTENSIONS, PLACE};
use super::worker::{self, Unusual};
use crate::function::{FunctionConfig, HostFolder};
use crate::invoke::InvokeError;
use crate::runtime_api::Departure;
use crate::runtime_api::extensions::Fault;

/// The kernel's number for a file that is no program.
pub(super) const ENOEXEC: i32 = 8;
/// The Runtime API's port inside every box.
pub(crate) const RUNTIME_API_PORT: u16 = 9001;
/// AWS's limits per environment.
pub(super) const MAX_PROCESSES: u32 = 1024;
pub(super) const MAX_FILES: u32 = 1024;
/// AWS gives one virtual processor per 1,769 MiB.
const MIB_PER_CPU: u64 = 1769;
/// What an environment has while it initialises, however small the function: AWS does the same.
const INIT_CPU_MILLIS: u32 = 2000;
/// With less, an interpreter's start alone takes seconds.
const MIN_CPU_MILLIS: u32 = 70;

/// Names a script that starts the runtime.
pub(super) const WRAPPER_VARIABLE: &str = "AWS_LAMBDA_EXEC_WRAPPER";

/// Options of the virtual machine, which it reads itself.
const JAVA_OPTIONS_VARIABLE: &str = "JAVA_TOOL_OPTIONS";

/// What never changes while the server runs.
pub(crate) struct Workshop {
    pub(crate) runtime_map: RuntimeMap,
    /// Runtime clients are unpacked below it, one directory a language.
    pub(crate) runtimes_dir: PathBuf,
    pub(crate) gateway_port: u16,
    /// Images of interpreters. `None`: every start is plain.
    generic: Option<Arc<Generic>>,
    installing: Mutex<()>,
}

/// Why there is no box for a function.
#[derive(Debug)]
pub(crate) enum NoBox {
    /// The function's own fault: its `bootstrap` is missing or cannot be run. AWS's words.
    Entrypoint(String),
    /// The fault of an extension: it cannot be run.
    Extension(Fault),
    /// Ours, or the host's.
    Invoke(InvokeError),
}

impl From<InvokeError> for NoBox {
    fn from(error: InvokeError) -> Self {
        NoBox::Invoke(error)
    }
}

impl Workshop {
    pub(crate) fn new(
        runtime_map: RuntimeMap,
        runtimes_dir: PathBuf,
        gateway_port: u16,
        generic: Option<Arc<Generic>>,
    ) -> Self {
        Workshop { runtime_map, runtimes_dir, gateway_port, generic, installing: Mutex::default() }
    }

    /// Finds the interpreter and makes its runtime client ready, once per server start and interpreter.
    pub(crate) async fn prepare(self: &Arc<Self>, function: &Arc<FunctionConfig>) -> Result<Prepared, NoBox> {
        let (workshop, function) = (Arc::clone(self), Arc::clone(function));
        // Both may touch the disk or ask an interpreter for its version.
        tokio::task::spawn_blocking(move || workshop.prepare_blocking(&function))
            .await
            .map_err(|error| NoBox::Invoke(InvokeError::Internal(error.to_string())))?
    }

    fn prepare_blocking(&self, function: &FunctionConfig) -> Result<Prepared, NoBox> {
        let runtime = function.runtime.as_deref().unwrap_or_default();
        let interpreter = runtimes::find(runtime, &self.runtime_map)
            .map_err(|missing| NoBox::Invoke(InvokeError::RuntimeMissing(missing.message)))?;
        let extensions = function.opt_dir.as_deref().map_or(Ok(Vec::new()), opt_extensions::list);
        let extensions = extensions.map_err(NoBox::Extension)?;
        if interpreter.language == Language::Provided {
            let places = [(&function.code.unpacked_dir, "/var/task")]
                .into_iter()
                .chain(function.opt_dir.iter().map(|layers| (layers, "/opt")));
            let bootstrap = find_bootstrap(places).map_err(NoBox::Entrypoint)?;
            let interpreter = Interpreter { command: vec![bootstrap], ..interpreter };
            return Ok(Prepared {
                interpreter,
                client_dir: None,
                extensions,
                image: None,
                boots: AtomicBool::new(false),
            });
        }
        // One at a time: two first functions shall not compile the same client twice.
        let _one = self.installing.lock().unwrap_or_else(PoisonError::into_inner);
        let client_dir = runtimes::install(&interpreter, &self.runtimes_dir)
            .map_err(|error| NoBox::Invoke(InvokeError::Internal(error.to_string())))?;
        let image = client_dir.as_deref().and_then(|dir| self.image(function, &interpreter, dir));
        Ok(Prepared { interpreter, client_dir, extensions, image, boots: AtomicBool::new(false) })
    }

    /// Counts a start.
    pub(crate) fn count(&self, prepared: &Prepared) {
        if let (Some(generic), Language::Python) = (&self.generic, prepared.language()) {
            generic.count(prepared.image().is_some());
        }
    }

    /// How functions started; `None` without images.
    pub(crate) fn image_starts(&self) -> Option<ImageStarts> {
        Some(self.generic.as_ref()?.starts())
    }

    /// What the function starts from, if there is something and it may.
    fn image(
        &self,
        function: &FunctionConfig,
        interpreter: &Interpreter,
        client_dir: &Path,
    ) -> Option<Arc<ImageFile>> {
        if interpreter.language != Language::Python {
            return None;
        }
        match self.generic.as_ref()?.choose(function, interpreter, client_dir) {
            Ok(image) => Some(image),
            Err(why) => {
                tracing::debug!(function = function.arn, why, "plain start");
                None
            }
        }
    }

    /// A process has ended before its first event. Whether it was started from an image, and that may be the reason: then
    /// the next start with `prepared` is plain.
    pub(crate) fn blame(&self, prepared: &Prepared, function: &FunctionConfig, end: &Departure) -> bool {
        let (Some(generic), Some(image)) = (&self.generic, prepared.image()) else { return false };
        let is_to_blame = generic.blame(image, prepared.runtime_mounts(), function, end);
        prepared.boots.store(is_to_blame, Ordering::Relaxed);
        is_to_blame
    }
}

/// What a function's boxes share.
pub(crate) struct Prepared {
    interpreter: Interpreter,
    client_dir: Option<PathBuf>,
    extensions: Vec<Arc<str>>,
    /// What the process starts from, instead of booting.
    image: Option<Arc<ImageFile>>,
    /// Its image has failed: it boots.
    boots: AtomicBool,
}

impl Prepared {
    /// What it starts from, unless it boots.
    fn image(&self) -> Option<&Arc<ImageFile>> {
        self.image.as_ref().filter(|_| !self.boots.load(Ordering::Relaxed))
    }

    pub(crate) fn language(&self) -> Language {
        self.interpreter.language
    }

    pub(crate) fn interpreter(&self) -> &Interpreter {
        &self.interpreter
    }

    /// Where the runtime client is on the host.
    pub(crate) fn client_dir(&self) -> Option<&Path> {
        self.client_dir.as_deref()
    }

    /// The names of its external extensions.
    pub(crate) fn extensions(&self) -> &[Arc<str>] {
        &self.extensions
    }

    /// The specification of one box.
    pub(crate) fn spec(
        &self,
        function: &FunctionConfig,
        id: String,
        credentials: &RoleCredentials,
        log_stream: &str,
        gateway_port: u16,
    ) -> BoxSpec {
        let around = Surroundings {
            language: self.interpreter.language,
            interpreter: &self.interpreter.env,
            credentials,
            log_stream,
            gateway_port,
        };
        let env = environ::variables(function, &around).into_iter();
        let env: Vec<(OsString, OsString)> = env.map(|(name, value)| (name.into(), value.into())).collect();
        let mut companion_env = Vec::new();
        if !self.extensions.is_empty() {
            let theirs = env.iter().filter(|(name, _)| !NOT_FOR_EXTENSIONS.iter().any(|not| name == not));
            companion_env.extend(theirs.cloned());
        }
        let mount = |host: &Path, inside: &str| ReadOnlyMount {
            host: host.to_owned(),
            inside: PathBuf::from(inside),
        };
        let mut mounts = vec![mount(&function.code.unpacked_dir, "/var/task")];
        mounts.extend(self.layer_mounts(function));
        mounts.extend(self.runtime_mounts());
        let mut command = self.command(function);
        if let Some(image) = self.image() {
            let (shown, restore) = image.shown();
            mounts.extend(shown);
            command = restore;
        }
        BoxSpec {
            id,
            memory_mib: function.memory_mib,
            cpu_millis: cpu_millis(function.memory_mib).max(INIT_CPU_MILLIS),
            tmp_mib: function.tmp_mib,
            max_processes: MAX_PROCESSES,
            max_files: MAX_FILES,
            mounts,
            folders: function.file_systems.iter().map(shared).collect(),
            command,
            env,
            cwd: PathBuf::from("/var/task"),
            listeners: listeners(gateway_port),
            companions: self.extensions.iter().map(|name| vec![format!("{PLACE}/{name}").into()]).collect(),
            companion_env,
        }
    }
}

/// Where our process listens inside every box: the Runtime API, then the platform's API.
pub(super) fn listeners(gateway_port: u16) -> Vec<SocketAddrV4> {
    [RUNTIME_API_PORT, gateway_port].map(|port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).to_vec()
}

fn shared(folder: &HostFolder) -> SharedFolder {
    SharedFolder { host: folder.host.clone(), inside: folder.inside.clone() }
}

impl Prepared {
    /// Makes a box that would start from an image of the interpreter boot one.
    pub(super) fn without_image(&self, function: &FunctionConfig, spec: &mut BoxSpec) {
        spec.mounts.retain(|mount| !mount.inside.starts_with(IMAGES_INSIDE));
        spec.command = self.command(function);
    }

    /// What every box of this interpreter sees.
    fn runtime_mounts(&self) -> Vec<ReadOnlyMount> {
        let client = self.client_dir.iter().map(|dir| (dir.clone(), PathBuf::from("/var/runtime")));
        let all = client.chain(self.interpreter.mounts.iter().cloned());
        all.map(|(host, inside)| ReadOnlyMount { host, inside }).collect()
    }

    /// The kind of waiting worker that could take the function over, or why none could.
    pub(crate) fn worker_kind(
        &self,
        function: &FunctionConfig,
        gateway_port: u16,
    ) -> Result<worker::Kind, Unusual> {
        let around = worker::Surroundings {
            interpreter: &self.interpreter,
            client_dir: self.client_dir.as_deref().ok_or(Unusual::Language)?,
            has_extensions: !self.extensions.is_empty(),
            gateway_port,
        };
        worker::Kind::of(function, &around)
    }

    /// The layers as `/opt`; beside an interpreter that itself lies below `/opt`, entry by entry.
    fn layer_mounts(&self, function: &FunctionConfig) -> Vec<ReadOnlyMount> {
        let Some(dir) = &function.opt_dir else { return Vec::new() };
        let opt = PathBuf::from("/opt");
        if !self.interpreter.mounts.iter().any(|(_, inside)| inside.starts_with(&opt)) {
            return vec![ReadOnlyMount { host: dir.clone(), inside: opt }];
        }
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries
            .map(|entry| ReadOnlyMount { host: entry.path(), inside: opt.join(entry.file_name()) })
            .collect()
    }

    /// What runs in the box: the interpreter with our client, handed to the function's wrapper script if it has one.
    /// As on AWS the wrapper gets the command as its arguments and runs it; a `provided` runtime has no wrapper.
    /// <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-modify.html#runtime-wrapper>
    fn command(&self, function: &FunctionConfig) -> Vec<OsString> {
        let java_options = function.environment.get(JAVA_OPTIONS_VARIABLE).map_or("", String::as_str);
        let client_dir = self.client_dir.as_deref();
        let own = self.interpreter.command_for(function.memory_mib, java_options, client_dir);
        let wrapper = function.environment.get(WRAPPER_VARIABLE).filter(|path| !path.is_empty());
        let wrapped = wrapper.filter(|_| self.interpreter.language != Language::Provided).map(|path| {
            // Through a shell, so that a wrapper which is missing ends with its words in the log, and with 127.
            ["/bin/sh", "-c", "exec \"$0\" \"$@\"", path.as_str()].map(OsString::from)
        });
        wrapped.into_iter().flatten().chain(own.into_iter().map(OsString::from)).collect()
    }
}

/// The CPU share that AWS gives a memory size.
pub(crate) fn cpu_millis(memory_mib: u32) -> u32 {
    let millis = u64::from(memory_mib) * 1000 / MIB_PER_CPU;
    u32::try_from(millis).unwrap_or(u32::MAX).max(MIN_CPU_MILLIS)
}

/// What a failed launch means: a `bootstrap` or an extension that the kernel cannot run is the function's fault.
pub(super) fn launch_failed(function: &FunctionConfig, error: &SandboxError) -> NoBox {
    let is_provided = function.runtime.as_deref().is_some_and(|runtime| runtime.starts_with("provided"));
    match error {
        SandboxError::Launch { step, source, .. } if step.starts_with("run ") => {
            if let Some(name) = step.strip_prefix("run ").and_then(|path| path.strip_prefix(PLACE)) {
                return NoBox::Extension(opt_extensions::launch_fault(name.trim_start_matches('/'), source));
            }
            if !is_provided {
                return NoBox::Invoke(InvokeError::LaunchFailed(error.to_string()));
            }
            let why = match source.kind() {
                io::ErrorKind::NotFound => "no such file or directory".to_owned(),
                io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
                _ if source.raw_os_error() == Some(ENOEXEC) => "exec format error".to_owned(),
                _ => source.to_string(),
            };
            NoBox::Entrypoint(format!("fork/exec {}: {why}", step.trim_start_matches("run ")))
        }
        other => NoBox::Invoke(InvokeError::LaunchFailed(other.to_string())),
    }
}

/// The `bootstrap` to start, as seen inside: the package's own, or the layers' if it has none. `places` are directories
/// of the host and where they are inside.
///
/// # Errors
/// Why there is none that could be started, in AWS's words.
fn find_bootstrap<'a>(places: impl Iterator<Item = (&'a PathBuf, &'static str)>) -> Result<String, String> {
    use std::os::unix::fs::PermissionsExt;
    for (dir, inside) in places {
        match std::fs::metadata(dir.join("bootstrap")) {
            Ok(file) if file.is_file() && file.permissions().mode() & 0o111 != 0 => {
                return Ok(format!("{inside}/bootstrap"));
            }
            Ok(file) if file.is_file() => {
                return Err(format!("fork/exec {inside}/bootstrap: permission denied"));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(format!("{inside}/bootstrap: {error}"));
            }
            _ => {}
        }
    }
    Err("Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]".to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_cpu_share_follows_the_memory() {
        assert_eq!(cpu_millis(128), 72);
        assert_eq!(cpu_millis(1769), 1000);
        assert_eq!(cpu_millis(10_240), 5788);
    }

    #[test]
    fn a_bootstrap_must_be_there_and_executable() {
        let dir = tempfile::tempdir().unwrap();
        let layers = tempfile::tempdir().unwrap();
        let find = || {
            let (task, opt) = (dir.path().to_owned(), layers.path().to_owned());
            find_bootstrap([(&task, "/var/task"), (&opt, "/opt")].into_iter())
        };
        let missing = find().unwrap_err();
        assert_eq!(missing, "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]");
        let bootstrap = dir.path().join("bootstrap");
        std::fs::write(&bootstrap, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&bootstrap, std::fs::Permissions::from_mode(0o644)).unwrap();
        let denied = find().unwrap_err();
        assert_eq!(denied, "fork/exec /var/task/bootstrap: permission denied");
        std::fs::set_permissions(&bootstrap, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find().unwrap(), "/var/task/bootstrap");
        std::fs::copy(&bootstrap, layers.path().join("bootstrap")).unwrap();
        assert_eq!(find().unwrap(), "/var/task/bootstrap");
        std::fs::remove_file(&bootstrap).unwrap();
        assert_eq!(find().unwrap(), "/opt/bootstrap");
    }
}

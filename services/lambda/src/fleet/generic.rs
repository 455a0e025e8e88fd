//! Images of interpreters, ready for any function: who may start from one, and how they are made.
//!
//! One for each interpreter, with the AWS SDK where the host has it, and one without for functions that bring their
//! own. An image is made in the background, in an ordinary box that holds nothing of any function: no code, no
//! environment, no credentials. It is made when the first function that could use it is created or started, tried out
//! once, and kept across server starts.
//!
//! **Invariant:** a function cannot tell a start from an image from a plain one, except by its speed. Where that could
//! be otherwise (a variable that the interpreter reads as it boots, a module of the function's own that is in the image
//! already) the start is plain; so it is while there is no image. The reason is logged at level debug.
//!
//! Not here: images of functions (SnapStart); what is in an image is the runtime client's part (`image.py`).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runtimes::{Interpreter, Language};
use sandbox::{BoxSpec, ReadOnlyMount};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::time::timeout;

use super::boxes::Launcher;
use super::environ;
use super::images::{Draft, ImageFile, Images, fingerprint};
use crate::function::FunctionConfig;
use crate::runtime_api::Departure;

/// Tells a runtime client what it is started for.
pub(crate) const PURPOSE_VARIABLE: &str = "LAMPLIGHTER_IMAGE";
/// To restore, and to end at once.
const PURPOSE_CHECK: &str = "check";
/// What an interpreter with the SDK has is some 50 MiB.
const MAX_IMAGE_BYTES: u64 = 512 << 20;
/// What the client tells of an image is some tens of kilobytes.
const MAX_OUTPUT_BYTES: u64 = 4 << 20;
/// How long it may take to make one, with little of a busy machine.
const MAKING_LIMIT: Duration = Duration::from_secs(120);
/// Making one must not be felt: half a processor.
const MAKING_CPU_MILLIS: u32 = 500;
const MAKING_MEMORY_MIB: u32 = 1024;
/// So many functions are remembered as ending early. Beyond, they are found out once more.
const MAX_FRAGILE: usize = 10_000;
/// How a process ends that was put together wrongly: SIGILL, SIGTRAP, SIGBUS, SIGSEGV, SIGSYS.
const BROKEN: &[i32] = &[4, 5, 7, 11, 31];

/// Variables that an interpreter, or a library in an image, reads once as it boots.
const READ_AT_BOOT: &[&str] =
    &["PYTHON", "LD_", "MALLOC_", "GLIBC_", "LC_", "LOCPATH", "NLSPATH", "GCONV_", "OPENSSL_"];
/// Modules that an interpreter loads as it boots wherever it finds them.
const AT_BOOT: &[&str] = &["sitecustomize", "usercustomize"];

/// What is in an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// With the AWS SDK, if the host has it.
    Full,
    /// For functions that bring the SDK, or a part of it, along.
    Bare,
}

impl Kind {
    fn purpose(self) -> &'static str {
        match self {
            Kind::Full => "generic",
            Kind::Bare => "generic-bare",
        }
    }
}

/// What the runtime client tells of the image it has written, on its standard output.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Told {
    /// The version of the SDK in it.
    pub(super) sdk: Option<String>,
    /// Modules that a plain start has loaded, too, before it looks at the function.
    pub(super) early: BTreeSet<String>,
    /// All modules that it holds, or has looked for and not found: names of the first level.
    pub(super) names: BTreeSet<String>,
    /// Files that it maps, and directories that its modules come from.
    #[serde(skip_serializing, default)]
    pub(super) always: Vec<PathBuf>,
    /// The files of its modules.
    #[serde(skip_serializing, default)]
    pub(super) at_first: Vec<PathBuf>,
}

/// Why a start is plain.
pub(crate) type WhyPlain = String;

/// The images of interpreters.
pub(crate) struct Generic {
    images: Arc<Images>,
    launcher: Arc<dyn Launcher>,
    /// Those that are being made, or wait for it.
    in_work: Mutex<HashSet<String>>,
    /// One at a time.
    turn: tokio::sync::Mutex<()>,
    told: Mutex<HashMap<String, Arc<Told>>>,
    /// Generations of functions that ended early when they were started from an image which is good.
    fragile: Mutex<HashSet<(Arc<str>, u64)>>,
    number: AtomicU64,
    from_image: AtomicU64,
    plain: AtomicU64,
}

/// How functions started that images are for: those of Python.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ImageStarts {
    /// From the image of their interpreter.
    pub from_image: u64,
    /// By booting it. The log tells why, at level debug.
    pub plain: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Generic {
    pub(crate) fn new(images: Arc<Images>, launcher: Arc<dyn Launcher>) -> Self {
        Generic {
            images,
            launcher,
            in_work: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            told: Mutex::default(),
            fragile: Mutex::default(),
            number: AtomicU64::new(0),
            from_image: AtomicU64::new(0),
            plain: AtomicU64::new(0),
        }
    }

    /// Counts a start.
    pub(crate) fn count(&self, from_image: bool) {
        let kind = if from_image { &self.from_image } else { &self.plain };
        kind.fetch_add(1, Ordering::Relaxed);
    }

    /// The starts since the server's.
    pub(crate) fn starts(&self) -> ImageStarts {
        let count = |kind: &AtomicU64| kind.load(Ordering::Relaxed);
        ImageStarts { from_image: count(&self.from_image), plain: count(&self.plain) }
    }

    /// The image from which the function starts. One that should be there and is not is made from now on. Touches the
    /// disk; needs a Tokio runtime.
    ///
    /// # Errors
    /// Why the function starts plainly.
    pub(crate) fn choose(
        self: &Arc<Self>,
        function: &FunctionConfig,
        interpreter: &Interpreter,
        client_dir: &Path,
    ) -> Result<Arc<ImageFile>, WhyPlain> {
        if lock(&self.fragile).contains(&(Arc::clone(&function.key), function.generation)) {
            return Err("its process ended early when it was started from an image".to_owned());
        }
        let places = Places::of(function, interpreter)?;
        let mut clash = None;
        // The SDK looks for its home as it is loaded.
        let kinds =
            [Kind::Full, Kind::Bare].into_iter().skip(usize::from(function.environment.contains_key("HOME")));
        for kind in kinds {
            let image = self.get(kind, interpreter, client_dir)?;
            let told = self.told(&image, client_dir)?;
            match places.clash(&told) {
                None => return Ok(image),
                Some(name) if told.sdk.is_none() => return Err(format!("it brings its own module '{name}'")),
                Some(name) => clash = Some(name),
            }
        }
        Err(format!("it brings its own module '{}'", clash.unwrap_or_default()))
    }

    fn get(
        self: &Arc<Self>,
        kind: Kind,
        interpreter: &Interpreter,
        client_dir: &Path,
    ) -> Result<Arc<ImageFile>, WhyPlain> {
        let key = key(kind, interpreter).ok_or("the interpreter cannot be looked at")?;
        match self.images.find(&key) {
            Ok(Some(image)) => return Ok(image),
            Ok(None) => {}
            Err(why) => return Err(format!("there is no image: {why}")),
        }
        if lock(&self.in_work).insert(key.clone()) {
            let (generic, interpreter) = (Arc::clone(self), interpreter.clone());
            let client_dir = client_dir.to_owned();
            tokio::spawn(async move {
                let _turn = generic.turn.lock().await;
                let made = timeout(MAKING_LIMIT, generic.make(kind, &key, &interpreter, &client_dir)).await;
                let made = made.unwrap_or_else(|_| Err("it took too long".to_owned()));
                if let Err(why) = made {
                    tracing::info!(interpreter = %interpreter.executable.display(), why, "no image, starts are plain");
                    generic.images.give_up(&key, &why);
                }
                lock(&generic.in_work).remove(&key);
            });
        }
        Err("its image is being made".to_owned())
    }

    /// What is in an image. When that is asked for the first time, makes sure that the library is there which it maps.
    fn told(&self, image: &ImageFile, client_dir: &Path) -> Result<Arc<Told>, WhyPlain> {
        if let Some(told) = lock(&self.told).get(image.key()) {
            return Ok(Arc::clone(told));
        }
        Images::equip(client_dir).map_err(|error| error.to_string())?;
        let told: Told = serde_json::from_str(image.about()).map_err(|error| error.to_string())?;
        let told = Arc::new(told);
        lock(&self.told).insert(image.key().to_owned(), Arc::clone(&told));
        Ok(told)
    }

    /// A process ended before it asked for an event. Whether that may have been the image's fault; then the next start
    /// shall be plain. Finds out in the background whether the image or the function is to blame. `around`: what boxes
    /// that start from it see of the runtime.
    pub(crate) fn blame(
        self: &Arc<Self>,
        image: &Arc<ImageFile>,
        around: Vec<ReadOnlyMount>,
        function: &FunctionConfig,
        end: &Departure,
    ) -> bool {
        let is_broken = end.code == Some(sandbox::image::RESTORE_FAILED)
            || end.signal.is_some_and(|signal| BROKEN.contains(&signal));
        if !is_broken {
            return false;
        }
        let why = format!("a process from it ended with code {:?}, signal {:?}", end.code, end.signal);
        tracing::warn!(function = function.arn, why, "start from an image failed, starting plainly");
        let mut fragile = lock(&self.fragile);
        if fragile.len() >= MAX_FRAGILE {
            fragile.clear();
        }
        fragile.insert((Arc::clone(&function.key), function.generation));
        drop(fragile);
        let (generic, image) = (Arc::clone(self), Arc::clone(image));
        tokio::spawn(async move {
            let _turn = generic.turn.lock().await;
            if generic.try_out(image.shown(), &around).await.is_err() {
                generic.images.give_up(image.key(), &why);
            }
        });
        true
    }

    async fn make(
        &self,
        kind: Kind,
        key: &str,
        interpreter: &Interpreter,
        client_dir: &Path,
    ) -> Result<(), WhyPlain> {
        Images::equip(client_dir).map_err(|error| error.to_string())?;
        let mut mounts = vec![mount(client_dir, "/var/runtime")];
        mounts.extend(
            interpreter
                .mounts
                .iter()
                .map(|(host, inside)| ReadOnlyMount { host: host.clone(), inside: inside.clone() }),
        );
        let mut env = environ::generic(interpreter);
        env.push((PURPOSE_VARIABLE.to_owned(), kind.purpose().to_owned()));
        let command = interpreter.command.iter().map(OsString::from).collect();
        let spec = self.spec(mounts.clone(), command, env).map_err(|error| error.to_string())?;
        let (draft, told) = self.write(key, spec).await?;
        self.try_out(draft.shown(), &mounts).await?;
        let told: Told =
            serde_json::from_slice(&told).map_err(|error| format!("it is not described: {error}"))?;
        let about = serde_json::to_string(&told).map_err(|error| error.to_string())?;
        let outside = |paths: &[PathBuf]| -> Vec<PathBuf> {
            paths.iter().filter_map(|path| outside(interpreter, path)).collect()
        };
        let (always, at_first) = (outside(&told.always), outside(&told.at_first));
        let images = Arc::clone(&self.images);
        let sdk = told.sdk;
        let image = tokio::task::spawn_blocking(move || images.keep(draft, about, &always, &at_first));
        let image = image.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        tracing::info!(
            interpreter = %interpreter.executable.display(), sdk, key = image.key(), "an image was made"
        );
        Ok(())
    }

    /// Runs the client that writes the image; gives what it told on its output, too.
    async fn write(&self, key: &str, spec: BoxSpec) -> Result<(Draft, Vec<u8>), WhyPlain> {
        let writer = self.launcher.launch(spec).await.map_err(|error| error.to_string())?;
        let parts = writer.take_parts();
        let mut told = Vec::new();
        let listening = async {
            let mut output = pipe::Receiver::from_owned_fd(parts.output)?.take(MAX_OUTPUT_BYTES);
            output.read_to_end(&mut told).await
        };
        let taking = self.images.receive(key, parts.telemetry, MAX_IMAGE_BYTES);
        let (draft, heard, end) = tokio::join!(taking, listening, writer.exited());
        heard.map_err(|error| error.to_string())?;
        if end.code != Some(0) {
            let words = String::from_utf8_lossy(&told);
            let last = words.trim_end().lines().last().unwrap_or_default();
            return Err(format!(
                "its process ended with code {:?}, signal {:?}: {last}",
                end.code, end.signal
            ));
        }
        Ok((draft.map_err(|error| error.to_string())?, told))
    }

    /// Starts a process from an image, which ends at once.
    async fn try_out(
        &self,
        (shown, command): (Vec<ReadOnlyMount>, Vec<OsString>),
        mounts: &[ReadOnlyMount],
    ) -> Result<(), WhyPlain> {
        let mounts = [shown, mounts.to_vec()].concat();
        let env = vec![(PURPOSE_VARIABLE.to_owned(), PURPOSE_CHECK.to_owned())];
        let spec = self.spec(mounts, command, env).map_err(|error| error.to_string())?;
        let tried = self.launcher.launch(spec).await.map_err(|error| error.to_string())?;
        let parts = tried.take_parts();
        let end = timeout(MAKING_LIMIT, tried.exited()).await.map_err(|error| error.to_string())?;
        if end.code == Some(0) {
            return Ok(());
        }
        let mut words = vec![0; 1000];
        let output = pipe::Receiver::from_owned_fd(parts.output).map_err(|error| error.to_string())?;
        let len = output.try_read(&mut words).unwrap_or(0);
        let words = String::from_utf8_lossy(&words[..len]);
        Err(format!("it cannot be restored: code {:?}, signal {:?}: {words}", end.code, end.signal))
    }

    /// A box without a function. What the linker remembers of directories must hold for functions: so they are there.
    fn spec(
        &self,
        mut mounts: Vec<ReadOnlyMount>,
        command: Vec<OsString>,
        env: Vec<(String, String)>,
    ) -> io::Result<BoxSpec> {
        let stand_in = self.images.stand_in()?;
        mounts.push(mount(&stand_in, "/var/task"));
        if !mounts.iter().any(|mount| mount.inside.starts_with("/opt")) {
            mounts.push(mount(&stand_in, "/opt"));
        }
        Ok(BoxSpec {
            id: format!("image-{}", self.number.fetch_add(1, Ordering::Relaxed)),
            memory_mib: MAKING_MEMORY_MIB,
            cpu_millis: MAKING_CPU_MILLIS,
            tmp_mib: 512,
            max_processes: 64,
            max_files: 1024,
            mounts,
            folders: Vec::new(),
            command,
            env: env.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            cwd: PathBuf::from("/var/task"),
            listeners: Vec::new(),
            companions: Vec::new(),
            companion_env: Vec::new(),
        })
    }
}

fn mount(host: &Path, inside: &str) -> ReadOnlyMount {
    ReadOnlyMount { host: host.to_owned(), inside: PathBuf::from(inside) }
}

/// Names an image by all that it depends on and that can be told without looking into it: kernel and processor are in the name of
/// its file, the files it was made from beside it.
fn key(kind: Kind, interpreter: &Interpreter) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let file = fs::metadata(&interpreter.executable).ok()?;
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(fingerprint().as_bytes());
    part(kind.purpose().as_bytes());
    part(interpreter.executable.as_os_str().as_encoded_bytes());
    part(format!("{} {} {} {}", file.len(), file.mtime(), file.mtime_nsec(), file.ino()).as_bytes());
    for word in &interpreter.command {
        part(word.as_bytes());
    }
    for (host, inside) in &interpreter.mounts {
        part(host.as_os_str().as_encoded_bytes());
        part(inside.as_os_str().as_encoded_bytes());
    }
    for (name, value) in environ::generic(interpreter) {
        part(name.as_bytes());
        part(value.as_bytes());
    }
    for (name, content) in runtimes::files(interpreter.language) {
        part(name.as_bytes());
        part(content);
    }
    Some(hash.finalize()[..12].iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Where a file of a box is on the host; none of our own, which the key stands for.
fn outside(interpreter: &Interpreter, inside: &Path) -> Option<PathBuf> {
    if ["/var/runtime", "/var/task", "/var/lib/lamplighter"].iter().any(|own| inside.starts_with(own)) {
        return None;
    }
    let mounted =
        interpreter.mounts.iter().find_map(|(host, at)| Some(host.join(inside.strip_prefix(at).ok()?)));
    Some(mounted.unwrap_or_else(|| inside.to_owned()))
}

/// Where a function's modules come from before those of the interpreter: directories of the host.
pub(super) struct Places {
    /// Searched from the function's first line on.
    late: Vec<PathBuf>,
    /// Searched by the booting interpreter, too.
    early: Vec<PathBuf>,
}

impl Places {
    /// # Errors
    /// Why the function cannot start from an image at all.
    pub(super) fn of(function: &FunctionConfig, interpreter: &Interpreter) -> Result<Places, WhyPlain> {
        debug_assert_eq!(interpreter.language, Language::Python);
        let usual = environ::generic(interpreter);
        for (name, value) in &function.environment {
            if usual.iter().any(|(known, usual)| known == name && usual == value) || name == "PYTHONPATH" {
                continue;
            }
            if READ_AT_BOOT.iter().any(|start| name.starts_with(start)) || name == "LANG" {
                return Err(format!("the interpreter reads '{name}' as it boots"));
            }
            if name == super::blueprint::WRAPPER_VARIABLE && !value.is_empty() {
                return Err("it has a wrapper script".to_owned());
            }
            // Where a user's own packages would be.
            if name == "HOME" && host_dir(function, value) != HostDir::None {
                return Err("its home directory is in its code".to_owned());
            }
        }
        let version = interpreter.version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
        let mut late = vec![function.code.unpacked_dir.clone()];
        if let Some(opt) = &function.opt_dir {
            late.push(opt.join("python"));
            late.push(opt.join(format!("python/lib/python{version}/site-packages")));
        }
        let mut early = Vec::new();
        let path = function.environment.get("PYTHONPATH").map_or("", String::as_str);
        for entry in path.split(':').filter(|_| !path.is_empty() && path != "/var/runtime") {
            match host_dir(function, if entry.is_empty() { "/var/task" } else { entry }) {
                HostDir::Some(dir) => early.push(dir),
                _ => return Err(format!("PYTHONPATH names '{entry}', which is not in its code")),
            }
        }
        Ok(Places { late, early })
    }

    /// A module of the function that would be found before one that the image holds, or looked for.
    pub(super) fn clash(&self, told: &Told) -> Option<String> {
        let late = self.late.iter().flat_map(|dir| modules(dir));
        let late = { late }.find(|name| told.names.contains(name) && !told.early.contains(name));
        let mut early = self.early.iter().flat_map(|dir| modules(dir));
        late.or_else(|| early.find(|name| told.names.contains(name) || AT_BOOT.contains(&name.as_str())))
    }
}

#[derive(PartialEq, Eq)]
enum HostDir {
    /// Not the function's.
    None,
    Some(PathBuf),
    /// The function's, but it is not known what is in it.
    Elsewhere,
}

/// What a path of the box means on the host, as far as it is the function's.
fn host_dir(function: &FunctionConfig, inside: &str) -> HostDir {
    let path = Path::new(inside);
    if path.is_relative()
        || path.components().any(|part| part.as_os_str() == "..")
        || path.starts_with("/mnt")
    {
        return HostDir::Elsewhere;
    }
    if let Ok(rest) = path.strip_prefix("/var/task") {
        return HostDir::Some(function.code.unpacked_dir.join(rest));
    }
    match (path.strip_prefix("/opt"), &function.opt_dir) {
        (Ok(rest), Some(opt)) => HostDir::Some(opt.join(rest)),
        _ => HostDir::None,
    }
}

/// The names of the modules in a directory. A directory without `__init__` is none: whatever comes later wins over it.
fn modules(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let name = |entry: fs::DirEntry| {
        let file = entry.file_name().into_string().ok()?;
        let (name, ending) = file.split_once('.').unwrap_or((&file, ""));
        let is_module = match ending {
            "" => ["py", "pyc", "so"].iter().any(|end| entry.path().join(format!("__init__.{end}")).exists()),
            ending => ["py", "pyc", "so"].contains(&ending) || ending.ends_with(".so"),
        };
        is_module.then(|| name.to_owned())
    };
    entries.filter_map(name).collect()
}

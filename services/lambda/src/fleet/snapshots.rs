//! Snapshots of functions (SnapStart): made in an ordinary box of the function, restored in others.
//!
//! The template is an environment like any other of that version: its code, its role's credentials, its limits, its
//! filters. It initialises, runs its before-snapshot hooks, and then the process writes its own image
//! (`sandbox::image`) into a pipe and ends. We carry the bytes to a file, at most [`limit_bytes`] of them, and look at
//! nothing but the length that the head claims. Environments of the same version see the file, read-only, and start
//! from it; environments of nothing else do.
//!
//! **Why a template gains nothing.** All that a hostile function can do in it, it could do in any environment of its
//! own; and an image that lies makes a strange process in a box of the function itself, after that box's rights were
//! taken, where the function could have run the same instructions without a lie. So the server trusts nothing in an
//! image, and need not.
//!
//! **Invariant:** an image is shown to boxes of the version that wrote it, and to no other.
//! **Invariant:** a version whose image is missing, stale or broken starts plainly; with its hooks, and slower.
//!
//! What it is not: it does not know the states of versions (that is `snapstart`), nor what a Python process does
//! before and after its image is written (that is the runtime client's `snapshot.py`).

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use runtimes::{Interpreter, Language};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::blueprint::{RUNTIME_API_PORT, WRAPPER_VARIABLE};
use super::generic::PURPOSE_VARIABLE;
use super::images::{Draft, ImageFile, Images};
use super::ledger::FIRST_GUESS_BYTES;
use super::{Environment, Inner, Later, NoBox, Prepared};
use crate::function::FunctionConfig;
use crate::invoke::{self, InvokeError};
use crate::invoker::SnapshotOutcome;
use crate::runtime_api::Departure;
use crate::runtime_api::restore::{CREDENTIALS_PATH, Vend};

const PURPOSE_SNAPSHOT: &str = "snap-start";
/// To restore, and to end at once.
const PURPOSE_CHECK: &str = "check";
/// The exit code of a client that cannot write its image.
const NO_IMAGE: i32 = 75;
/// How a process ends that was put together wrongly: SIGILL, SIGTRAP, SIGBUS, SIGSEGV, SIGSYS.
const BROKEN: &[i32] = &[4, 5, 7, 11, 31];
/// How long a process may take to write its image.
const WRITING_LIMIT: Duration = Duration::from_secs(60);
/// How long the first restoring of an image may take.
const TRIAL_LIMIT: Duration = Duration::from_secs(20);
/// Room in an image for what is no memory of the process: its head.
const HEAD_BYTES: u64 = 16 << 20;
/// An image that breaks more often than this is not made again.
const MAX_STRIKES: u32 = 2;
/// While a snapshot is taken, credentials seem to end so soon: whoever got them in the initialisation asks again after
/// the restore. SDKs ask again from fifteen minutes before the end on.
const TEMPLATE_CREDENTIALS_TTL: Duration = Duration::from_secs(5 * 60);
/// How many snapshots are made at a time.
const MADE_AT_ONCE: usize = 2;
/// Reasons are shown to people.
const MAX_REASON_CHARS: usize = 300;

/// Variables that a snapshot must not have: they would be its maker's.
const KEYS: &[&str] = &["AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];

/// The snapshots of this server's functions.
pub(super) struct Snapshots {
    /// `None`: no image is made, every start is plain.
    images: Option<Arc<Images>>,
    /// Where the key for tokens is.
    dir: Option<PathBuf>,
    state: Mutex<State>,
    secret: OnceLock<[u8; 32]>,
    /// For each template: it takes a processor, and memory as the function has it.
    turns: tokio::sync::Semaphore,
}

#[derive(Default)]
struct State {
    /// Versions that have snapshots: a missing one is made again.
    wanted: HashSet<Arc<str>>,
    in_work: HashSet<Arc<str>>,
    /// How often the image of a version was broken.
    strikes: HashMap<Arc<str>, u32>,
}

/// Where an image comes out of a template.
pub(crate) type ImagePipe = oneshot::Sender<OwnedFd>;

impl Snapshots {
    /// Snapshots as images, which are below a directory.
    pub(super) fn new(place: Option<(Arc<Images>, PathBuf)>) -> Self {
        let (images, dir) = place.unzip();
        let turns = tokio::sync::Semaphore::new(MADE_AT_ONCE);
        Snapshots { images, dir, state: Mutex::default(), secret: OnceLock::new(), turns }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What requests for credentials carry in environments of the version. It is in the image's memory, so it is the same
    /// in all of them, and after a restart of the server.
    fn token(&self, function: &FunctionConfig) -> String {
        let secret = self.secret.get_or_init(|| {
            // Without images nothing outlives the process that would know an old one.
            let kept = self.dir.as_deref().map_or_else(|| Ok(fresh_secret()), read_secret);
            kept.unwrap_or_else(|error| {
                tracing::warn!(%error, "the key for credential tokens cannot be kept");
                fresh_secret()
            })
        });
        hex(&Sha256::new().chain_update(secret).chain_update(&*function.key).finalize())
    }

    /// Makes the environment of a box what it is with SnapStart.
    pub(super) fn adapt(&self, function: &FunctionConfig, env: &mut Vec<(OsString, OsString)>) {
        env.retain(|(name, _)| !KEYS.iter().any(|key| name == key));
        super::environ::set(env, "AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start");
        let uri = format!("http://127.0.0.1:{RUNTIME_API_PORT}{CREDENTIALS_PATH}");
        env.push(("AWS_CONTAINER_CREDENTIALS_FULL_URI".into(), uri.into()));
        env.push(("AWS_CONTAINER_AUTHORIZATION_TOKEN".into(), self.token(function).into()));
    }

    /// The version's image, if it has a good one.
    fn find(&self, function: &FunctionConfig, interpreter: &Interpreter) -> Option<Arc<ImageFile>> {
        let key = image_key(function, interpreter)?;
        self.images.as_ref()?.find(&key).unwrap_or_default()
    }

    /// The version is gone, or is to have no snapshot for now.
    pub(super) fn forget(&self, key: &str) {
        let mut state = self.state();
        state.wanted.remove(key);
        state.strikes.remove(key);
        drop(state);
        let prefix = prefix(key);
        if let Some(images) = &self.images {
            images.sweep(|name| !name.starts_with(&prefix));
        }
    }

    /// Only these versions have snapshots.
    fn keep_only(&self, functions: &[Arc<FunctionConfig>]) {
        let mut state = self.state();
        state.wanted.extend(functions.iter().map(|function| Arc::clone(&function.key)));
        let prefixes: Vec<String> =
            state.wanted.iter().chain(&state.in_work).map(|key| prefix(key)).collect();
        drop(state);
        if let Some(images) = &self.images {
            images
                .sweep(|name| !name.starts_with(PREFIX) || prefixes.iter().any(|own| name.starts_with(own)));
        }
    }
}

/// Whether the function is run as SnapStart has it, with a snapshot or without.
pub(super) fn is_snap_start(function: &FunctionConfig, prepared: &Prepared) -> bool {
    function.snap_start && prepared.language() == Language::Python
}

/// Why there can be no snapshot of this function, if there can be none.
fn obstacle(function: &FunctionConfig, prepared: &Prepared) -> Option<&'static str> {
    let has_wrapper = function.environment.get(WRAPPER_VARIABLE).is_some_and(|path| !path.is_empty());
    if prepared.language() != Language::Python {
        Some("snapshots are taken of Python functions only on this host")
    } else if sandbox::image::restore_program().is_none() {
        Some("snapshots are taken on x86-64 only")
    } else if !prepared.extensions().is_empty() {
        Some("the function has external extensions")
    } else if has_wrapper {
        Some("the function has a wrapper script")
    } else {
        None
    }
}

/// An image may be so long.
fn limit_bytes(function: &FunctionConfig) -> u64 {
    (u64::from(function.memory_mib) << 20) + HEAD_BYTES
}

impl Inner {
    /// The image from which an environment of the function is restored. One that is missing is made again, and the
    /// environment starts plainly.
    pub(crate) fn snapshot_of(
        self: &Arc<Self>,
        function: &Arc<FunctionConfig>,
        prepared: &Prepared,
    ) -> Option<Arc<ImageFile>> {
        if !is_snap_start(function, prepared) {
            return None;
        }
        let found = self.snapshots.find(function, prepared.interpreter());
        if found.is_none() {
            self.remake_snapshot(function);
        }
        found
    }

    /// Makes a snapshot again that should be there, in the background.
    fn remake_snapshot(self: &Arc<Self>, function: &Arc<FunctionConfig>) {
        let mut state = self.snapshots.state();
        if !state.wanted.contains(&function.key) || !state.in_work.insert(Arc::clone(&function.key)) {
            return;
        }
        drop(state);
        let (fleet, function) = (Arc::downgrade(self), Arc::clone(function));
        tokio::spawn(async move {
            let Some(fleet) = fleet.upgrade() else { return };
            match fleet.make_snapshot(&function).await {
                SnapshotOutcome::Made { bytes, took_ms } => {
                    tracing::info!(function = &*function.key, bytes, took_ms, "snapshot made again");
                }
                SnapshotOutcome::Interrupted => {}
                SnapshotOutcome::NotPossible(why) | SnapshotOutcome::Failed { reason: why, .. } => {
                    tracing::warn!(function = &*function.key, why, "snapshot not made again: plain starts");
                    fleet.snapshots.state().wanted.remove(&function.key);
                }
            }
        });
    }

    /// A process from an image ended before it asked for an event. Whether that may have been the image's fault: then
    /// the next start shall be plain.
    pub(crate) fn blame_snapshot(
        self: &Arc<Self>,
        function: &Arc<FunctionConfig>,
        image: &ImageFile,
        end: &Departure,
    ) -> bool {
        let is_broken = !end.oom_killed
            && (end.code == Some(sandbox::image::RESTORE_FAILED)
                || end.signal.is_some_and(|signal| BROKEN.contains(&signal)));
        if !is_broken {
            return false;
        }
        let why = format!("a process from it ended with code {:?}, signal {:?}", end.code, end.signal);
        tracing::warn!(function = &*function.key, why, "a snapshot cannot be restored, starting plainly");
        let Some(images) = &self.snapshots.images else { return true };
        let mut state = self.snapshots.state();
        let strikes = state.strikes.entry(Arc::clone(&function.key)).or_default();
        *strikes += 1;
        let is_last = *strikes > MAX_STRIKES;
        drop(state);
        if is_last {
            images.give_up(image.key(), &why);
        } else {
            images.remove(image);
        }
        true
    }

    /// These versions have snapshots; see [`crate::invoker::Invoker::keep_snapshots`].
    pub(super) fn keep_snapshots(self: &Arc<Self>, functions: Vec<Arc<FunctionConfig>>) {
        let fleet = Arc::clone(self);
        tokio::spawn(async move {
            fleet.snapshots.keep_only(&functions);
            for function in functions {
                if let Ok(prepared) = fleet.prepare(&function).await {
                    fleet.snapshot_of(&function, &prepared);
                }
            }
        });
    }

    /// Makes the snapshot of a version.
    pub(super) async fn make_snapshot(self: &Arc<Self>, function: &Arc<FunctionConfig>) -> SnapshotOutcome {
        let Some(images) = &self.snapshots.images else {
            return not_possible("this server makes no images (see --images)");
        };
        let key = Arc::clone(&function.key);
        self.snapshots.state().in_work.insert(Arc::clone(&key));
        // The semaphore is never closed; if it were, a template more at a time would do no harm.
        let _turn = self.snapshots.turns.acquire().await.ok();
        let began = Instant::now();
        let made = self.try_snapshot(images, function).await;
        let mut state = self.snapshots.state();
        state.in_work.remove(&key);
        match made {
            Ok(bytes) => {
                state.wanted.insert(key);
                let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                SnapshotOutcome::Made { bytes, took_ms }
            }
            // Its box was killed with all others.
            Err(_) if self.closing.load(Ordering::Acquire) => SnapshotOutcome::Interrupted,
            Err(outcome) => outcome,
        }
    }

    async fn try_snapshot(
        self: &Arc<Self>,
        images: &Arc<Images>,
        function: &Arc<FunctionConfig>,
    ) -> Result<u64, SnapshotOutcome> {
        let prepared = self.prepare(function).await.map_err(no_box)?;
        if let Some(why) = obstacle(function, &prepared) {
            return Err(SnapshotOutcome::NotPossible(why.to_owned()));
        }
        let key = image_key(function, prepared.interpreter());
        let key = key.ok_or_else(|| not_possible("the interpreter cannot be looked at"))?;
        if let Some(dir) = prepared.client_dir() {
            Images::equip(dir).map_err(not_possible)?;
        }
        let (pipe, image) = oneshot::channel();
        let images = Arc::clone(images);
        let limit = limit_bytes(function);
        let receiving = tokio::spawn({
            let (key, images) = (key.clone(), Arc::clone(&images));
            async move {
                let pipe = image.await.map_err(io::Error::other)?;
                images.receive(&key, pipe, limit).await
            }
        });
        let share = self.ledger.share(FIRST_GUESS_BYTES);
        let template = match invoke::start_template(self, function, &prepared, pipe, share).await {
            Ok(Ok(template)) => template,
            Ok(Err((code, reason))) => return Err(SnapshotOutcome::Failed { code, reason }),
            Err(no) => return Err(no_box(no)),
        };
        let draft = written(&template, receiving).await;
        template.kill();
        let draft = draft.map_err(not_possible)?;
        self.try_out(function, &prepared, &draft).await.map_err(not_possible)?;
        let stamped = stamped(prepared.interpreter());
        let about = function.key.to_string();
        let kept = tokio::task::spawn_blocking(move || images.keep(draft, about, &stamped, &[])).await;
        let kept = kept.map_err(not_possible)?.map_err(not_possible)?;
        Ok(kept.len_bytes())
    }

    /// Restores an image once, in a box of the function, where it ends before it does anything.
    async fn try_out(
        &self,
        function: &FunctionConfig,
        prepared: &Prepared,
        draft: &Draft,
    ) -> Result<(), String> {
        let launcher = self.launcher.as_ref().ok_or("there is no sandbox")?;
        let nobody = crate::fleet::credentials::RoleCredentials::none();
        let mut spec = prepared.spec(function, self.next_box_id(), &nobody, "", self.workshop.gateway_port);
        prepared.without_image(function, &mut spec);
        let (mounts, command) = draft.shown();
        spec.mounts.extend(mounts);
        spec.command = command;
        spec.env = vec![(PURPOSE_VARIABLE.into(), PURPOSE_CHECK.into())];
        let tried = launcher.launch(spec).await.map_err(|error| error.to_string())?;
        let end = timeout(TRIAL_LIMIT, tried.exited()).await;
        let end = end.map_err(|_| "its image was not restored in time".to_owned())?;
        match end.code {
            Some(0) => Ok(()),
            _ => Err(format!("its image cannot be restored: {}", invoke::exit_words(end.code, end.signal))),
        }
    }
}

/// Waits for the end of the template and of its image.
async fn written(
    template: &Arc<Environment>,
    receiving: tokio::task::JoinHandle<io::Result<Draft>>,
) -> Result<Draft, String> {
    let ended = async {
        let draft = receiving.await;
        template.session.departed().await;
        draft
    };
    let draft =
        timeout(WRITING_LIMIT, ended).await.map_err(|_| "its image was not written in time".to_owned())?;
    let end = template.session.departure().unwrap_or_default();
    if end.code == Some(NO_IMAGE)
        && let Some(why) = template.session.why_no_image()
    {
        return Err(reason(&why));
    }
    if end.code != Some(0) {
        let words = invoke::exit_words(end.code, end.signal);
        return Err(format!("its process ended while it wrote its image: {words}"));
    }
    draft.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

/// What a runtime client says of why there is no image, for people.
fn reason(told: &Bytes) -> String {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Told {
        error_message: String,
    }
    let told = serde_json::from_slice::<Told>(told)
        .map_or_else(|_| "no reason is given".to_owned(), |t| t.error_message);
    told.chars().filter(|letter| !letter.is_control()).take(MAX_REASON_CHARS).collect()
}

fn not_possible(why: impl std::fmt::Display) -> SnapshotOutcome {
    SnapshotOutcome::NotPossible(why.to_string())
}

fn no_box(no: NoBox) -> SnapshotOutcome {
    let failed = |code, reason| SnapshotOutcome::Failed { code, reason };
    match no {
        NoBox::Entrypoint(why) => failed("FunctionError.InvalidEntryPoint", why),
        NoBox::Extension(fault) => failed("FunctionError.ExtensionInitError", format!("{fault:?}")),
        NoBox::Invoke(InvokeError::ShuttingDown) => SnapshotOutcome::Interrupted,
        NoBox::Invoke(error @ InvokeError::RuntimeMissing(_)) => failed("InvalidRuntime", error.to_string()),
        NoBox::Invoke(error @ InvokeError::RoleNotAssumed { .. }) => {
            failed("InsufficientRolePermissions", error.to_string())
        }
        NoBox::Invoke(error @ InvokeError::SandboxUnavailable) => not_possible(error),
        NoBox::Invoke(error) => failed("InternalError", error.to_string()),
    }
}

/// Makes the environment of a template one.
pub(super) fn as_template(env: &mut Vec<(OsString, OsString)>) {
    env.push((PURPOSE_VARIABLE.into(), PURPOSE_SNAPSHOT.into()));
}

/// What the names of all snapshots begin with.
const PREFIX: &str = "snap-";

fn prefix(key: &str) -> String {
    format!("{PREFIX}{}-", hex(&Sha256::digest(key)[..12]))
}

/// Names the image of a version with this interpreter and our client as it is.
fn image_key(function: &FunctionConfig, interpreter: &Interpreter) -> Option<String> {
    let file = fs::metadata(&interpreter.executable).ok()?;
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(interpreter.executable.as_os_str().as_encoded_bytes());
    part(format!("{} {} {} {}", file.len(), file.mtime(), file.mtime_nsec(), file.ino()).as_bytes());
    for word in &interpreter.command {
        part(word.as_bytes());
    }
    for (name, content) in runtimes::files(interpreter.language) {
        part(name.as_bytes());
        part(content);
    }
    part(&function.generation.to_le_bytes());
    Some(format!("{}{}", prefix(&function.key), hex(&hash.finalize()[..8])))
}

/// Where on the host an image's libraries come from: directories, whose time tells when a file in them was replaced. The
/// image is not asked: it is the function's.
fn stamped(interpreter: &Interpreter) -> Vec<PathBuf> {
    let version = interpreter.version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    let python = format!("lib/python{version}");
    let mut roots: Vec<PathBuf> = ["/usr", "/usr/local"].iter().map(PathBuf::from).collect();
    roots.extend(interpreter.mounts.iter().map(|(host, _)| host.clone()));
    let below = [
        "lib".to_owned(),
        "lib64".to_owned(),
        format!("lib/{}-linux-gnu", std::env::consts::ARCH),
        format!("{python}/lib-dynload"),
        format!("{python}/site-packages"),
        format!("{python}/dist-packages"),
        "lib/python3/dist-packages".to_owned(),
        python,
    ];
    let all = roots.iter().flat_map(|root| below.iter().map(move |dir| root.join(dir)));
    all.chain([interpreter.executable.clone()]).filter(|path| path.exists()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn fresh_secret() -> [u8; 32] {
    let mut secret = [0; 32];
    secret[..16].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    secret[16..].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    secret
}

/// The key from which tokens are made: lives as long as the images.
fn read_secret(dir: &Path) -> io::Result<[u8; 32]> {
    fs::create_dir_all(dir)?;
    let path = dir.join("tokens.key");
    if let Ok(kept) = fs::read(&path)
        && let Ok(secret) = <[u8; 32]>::try_from(kept)
    {
        return Ok(secret);
    }
    let secret = fresh_secret();
    let draft = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(&secret)?;
    file.sync_all()?;
    fs::rename(&draft, &path)?;
    Ok(secret)
}

/// The credentials of one environment's function, for its SDKs.
pub(super) struct Vendor {
    pub(super) fleet: Weak<Inner>,
    pub(super) function: Arc<FunctionConfig>,
    pub(super) token: String,
    /// Whether a snapshot is taken from the environment.
    pub(super) is_template: bool,
}

impl Vendor {
    pub(super) fn new(fleet: &Arc<Inner>, function: &Arc<FunctionConfig>, is_template: bool) -> Arc<Self> {
        let token = fleet.snapshots.token(function);
        Arc::new(Vendor { fleet: Arc::downgrade(fleet), function: Arc::clone(function), token, is_template })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Document<'a> {
    access_key_id: &'a str,
    secret_access_key: &'a str,
    token: &'a str,
    expiration: String,
}

impl Vend for Vendor {
    fn token(&self) -> &str {
        &self.token
    }

    fn credentials(&self) -> Later<Result<Bytes, String>> {
        let (fleet, function, is_template) =
            (self.fleet.clone(), Arc::clone(&self.function), self.is_template);
        Box::pin(async move {
            let fleet = fleet.upgrade().ok_or("the server is shutting down")?;
            let got = fleet.credentials.get(&function, Duration::ZERO).await;
            let got = got.map_err(|error| error.to_string())?;
            let mut ends = got.ends();
            if is_template {
                ends = ends.min(fleet.clock.now().after(TEMPLATE_CREDENTIALS_TTL));
            }
            // Processes compare it with the host's clock, which the platform's may be ahead of.
            let offset_ms = i64::try_from(fleet.clock.offset().as_millis()).unwrap_or(0);
            let document = Document {
                access_key_id: &got.access_key_id,
                secret_access_key: &got.secret_access_key,
                token: &got.session_token,
                expiration: base::Timestamp(ends.as_millis().saturating_sub(offset_ms)).iso8601(),
            };
            serde_json::to_vec(&document).map(Bytes::from).map_err(|error| error.to_string())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_is_shortened_for_people() {
        assert_eq!(reason(&Bytes::from_static(b"{\"errorMessage\":\"threads\\n\"}")), "threads");
        assert_eq!(reason(&Bytes::from_static(b"\xff")), "no reason is given");
        let long = format!("{{\"errorMessage\":\"{}\"}}", "x".repeat(9000));
        assert_eq!(reason(&Bytes::from(long)).len(), MAX_REASON_CHARS);
    }

    #[test]
    fn the_key_for_tokens_stays() {
        let dir = tempfile::tempdir().unwrap();
        let first = read_secret(dir.path()).unwrap();
        assert_eq!(read_secret(dir.path()).unwrap(), first);
        fs::write(dir.path().join("tokens.key"), "short").unwrap();
        assert_ne!(read_secret(dir.path()).unwrap(), first);
    }
}

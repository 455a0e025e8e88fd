//! The runtime clients, embedded: what a box sees as `/var/runtime`.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::catalog::Language;
use crate::find::Interpreter;
use crate::java;

/// A file of a client: path relative to `/var/runtime`, and content.
type File = (&'static str, &'static [u8]);

static PYTHON: &[File] = &[
    ("bootstrap.py", include_bytes!("../python/bootstrap.py")),
    ("snapshot_restore_py.py", include_bytes!("../python/snapshot_restore_py.py")),
    ("lamplighter_runtime/snapshot.py", include_bytes!("../python/lamplighter_runtime/snapshot.py")),
    ("lamplighter_runtime/__init__.py", include_bytes!("../python/lamplighter_runtime/__init__.py")),
    ("lamplighter_runtime/http.py", include_bytes!("../python/lamplighter_runtime/http.py")),
    ("lamplighter_runtime/codec.py", include_bytes!("../python/lamplighter_runtime/codec.py")),
    ("lamplighter_runtime/context.py", include_bytes!("../python/lamplighter_runtime/context.py")),
    ("lamplighter_runtime/errors.py", include_bytes!("../python/lamplighter_runtime/errors.py")),
    ("lamplighter_runtime/logs.py", include_bytes!("../python/lamplighter_runtime/logs.py")),
    ("lamplighter_runtime/image.py", include_bytes!("../python/lamplighter_runtime/image.py")),
    ("lamplighter_runtime/rehearsal.py", include_bytes!("../python/lamplighter_runtime/rehearsal.py")),
    ("lamplighter_runtime/pages.py", include_bytes!("../python/lamplighter_runtime/pages.py")),
];

static NODE: &[File] = &[
    ("bootstrap.cjs", include_bytes!("../node/bootstrap.cjs")),
    ("lib/client.cjs", include_bytes!("../node/lib/client.cjs")),
    ("lib/context.cjs", include_bytes!("../node/lib/context.cjs")),
    ("lib/errors.cjs", include_bytes!("../node/lib/errors.cjs")),
    ("lib/handler.cjs", include_bytes!("../node/lib/handler.cjs")),
    ("lib/logs.cjs", include_bytes!("../node/lib/logs.cjs")),
    ("lib/rehearsal-module.mjs", include_bytes!("../node/lib/rehearsal-module.mjs")),
    ("lib/rehearsal.cjs", include_bytes!("../node/lib/rehearsal.cjs")),
    ("lib/stream.cjs", include_bytes!("../node/lib/stream.cjs")),
    ("lib/worker.cjs", include_bytes!("../node/lib/worker.cjs")),
];

static RUBY: &[File] = &[
    ("bootstrap.rb", include_bytes!("../ruby/bootstrap.rb")),
    ("lamplighter_runtime/api.rb", include_bytes!("../ruby/lamplighter_runtime/api.rb")),
    ("lamplighter_runtime/context.rb", include_bytes!("../ruby/lamplighter_runtime/context.rb")),
    ("lamplighter_runtime/errors.rb", include_bytes!("../ruby/lamplighter_runtime/errors.rb")),
    ("lamplighter_runtime/gems.rb", include_bytes!("../ruby/lamplighter_runtime/gems.rb")),
    ("lamplighter_runtime/handler.rb", include_bytes!("../ruby/lamplighter_runtime/handler.rb")),
    ("lamplighter_runtime/logs.rb", include_bytes!("../ruby/lamplighter_runtime/logs.rb")),
    ("lamplighter_runtime/worker.rb", include_bytes!("../ruby/lamplighter_runtime/worker.rb")),
];

/// The files of a language's runtime client: path relative to `/var/runtime`, and content. Empty for a language
/// without one (a `provided` runtime brings its own).
#[must_use]
pub fn files(language: Language) -> &'static [(&'static str, &'static [u8])] {
    match language {
        Language::Python => PYTHON,
        Language::Node => NODE,
        Language::Ruby => RUBY,
        Language::Java => java::FILES,
        _ => &[],
    }
}

/// The runtime client could not be written to disk.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the runtime client to {path}: {source}", path = path.display())]
pub struct UnpackError {
    /// The file or directory.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Writes the files of `language` into `dir` (created if missing), world-readable. Files that already hold the
/// right content are left alone, so it is cheap to call at every start; a running box never sees a half file,
/// because a changed one is replaced by rename.
///
/// # Errors
/// The first file or directory that could not be written.
pub fn unpack(language: Language, dir: &Path) -> Result<(), UnpackError> {
    let create = |dir: &Path| fs::create_dir_all(dir).map_err(|source| at(dir, source));
    create(dir)?;
    for (name, content) in files(language) {
        let path = dir.join(name);
        if fs::read(&path).is_ok_and(|present| present == *content) {
            continue;
        }
        if let Some(parent) = path.parent() {
            create(parent)?;
        }
        let fresh = path.with_extension(format!("new.{}", std::process::id()));
        fs::write(&fresh, content)
            .and_then(|()| fs::rename(&fresh, &path))
            .map_err(|source| at(&path, source))?;
    }
    Ok(())
}

/// Makes the runtime client of `interpreter` ready below `root` and gives the directory to mount at `/var/runtime`.
/// `None` for a `provided` runtime, which brings its own.
///
/// Python files are compiled for exactly this interpreter: a box sees `/var/runtime` read-only, so without this every
/// cold start would compile them anew. For Java the loaded classes are archived, for the same reason. Blocking (tens of
/// milliseconds, a second for Java) the first time ever, a few files read once per process, then nothing but a look-up.
///
/// # Errors
/// The client could not be written. That it could not be compiled is no error, only slower, and is logged.
pub fn install(interpreter: &Interpreter, root: &Path) -> Result<Option<PathBuf>, UnpackError> {
    static READY: Mutex<BTreeSet<(PathBuf, PathBuf)>> = Mutex::new(BTreeSet::new());
    let dir = match interpreter.language {
        Language::Python => root.join("python"),
        Language::Node => root.join("node"),
        Language::Ruby => root.join("ruby"),
        Language::Java => java::client_dir(root, &interpreter.executable),
        _ => return Ok(None),
    };
    let key = (interpreter.executable.clone(), dir.clone());
    let is_ready = READY.lock().unwrap_or_else(PoisonError::into_inner).contains(&key);
    if is_ready && dir.is_dir() {
        return Ok(Some(dir));
    }
    unpack(interpreter.language, &dir)?;
    match interpreter.language {
        Language::Python => {
            prepare_once(&interpreter.executable, &dir, PYTHON, |executable| compile(executable, &dir));
        }
        Language::Java if java::can_archive(&interpreter.version) => {
            prepare_once(&interpreter.executable, &dir, java::FILES, |executable| {
                java::archive(executable, &interpreter.version, &dir)
            });
        }
        _ => {}
    }
    READY.lock().unwrap_or_else(PoisonError::into_inner).insert(key);
    Ok(Some(dir))
}

/// Does `prepare` unless an earlier process did so with the same interpreter and the same files.
fn prepare_once(executable: &Path, dir: &Path, files: &[File], prepare: impl FnOnce(&Path) -> bool) {
    let name: String = executable
        .to_string_lossy()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    let mark = dir.join(format!(".compiled{name}"));
    let state = compiled_state(executable, files);
    if state.is_some() && fs::read_to_string(&mark).ok() == state {
        return;
    }
    let _ = fs::remove_file(&mark);
    if prepare(executable)
        && let Some(state) = state
    {
        // Without the mark it is done again next time, no more.
        let _ = fs::write(&mark, state);
    }
}

/// What a compilation depends on: the interpreter's file and our own. `None` when the file cannot be looked at.
fn compiled_state(executable: &Path, files: &[File]) -> Option<String> {
    let metadata = fs::metadata(executable).ok()?;
    let mut hasher = DefaultHasher::new();
    files.hash(&mut hasher);
    (metadata.len(), metadata.modified().ok()?).hash(&mut hasher);
    Some(format!("{:016x}", hasher.finish()))
}

/// Compiles the Python files in `dir`, and tells whether that went well. The result names no host path and is not compared with the source at start:
/// checked by hash now, trusted later.
fn compile(executable: &Path, dir: &Path) -> bool {
    let outcome = Command::new(executable)
        .args(["-I", "-S", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "-f"])
        .args(["-s".as_ref(), dir.as_os_str(), "-p".as_ref(), "/var/runtime".as_ref(), dir.as_os_str()])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !matches!(&outcome, Ok(status) if status.success()) {
        // What an earlier version of this program compiled would be trusted: away with it.
        let _ = fs::remove_dir_all(dir.join("lamplighter_runtime/__pycache__"));
    }
    match outcome {
        Ok(status) if status.success() => return true,
        Ok(status) => {
            tracing::warn!(%status, executable = %executable.display(), "runtime client not compiled");
        }
        Err(error) => {
            tracing::warn!(%error, executable = %executable.display(), "runtime client not compiled");
        }
    }
    false
}

fn at(path: &Path, source: io::Error) -> UnpackError {
    UnpackError { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacking_twice_leaves_exactly_the_files() {
        let dir = tempfile::tempdir().unwrap();
        for language in [Language::Python, Language::Node, Language::Ruby, Language::Java] {
            let dir = dir.path().join(format!("{language:?}"));
            unpack(language, &dir).unwrap();
            fs::write(dir.join(files(language)[0].0), "damaged").unwrap();
            unpack(language, &dir).unwrap();
            for (name, content) in files(language) {
                assert_eq!(fs::read(dir.join(name)).unwrap(), *content);
            }
        }
        assert!(files(Language::Provided).is_empty());
    }
}

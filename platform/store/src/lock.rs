//! The data directory: one server at a time, and a format that is written down.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `lock` | nothing; whoever runs on the directory holds an exclusive lock on it. The system lets go of it when the process ends, however it ends |
//! | `format` | `lamplighter-store 1 fjall`: the format's number and the engine |
//! | `format.new` | the same, while the engine makes its data for the first time |

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::StoreError;

/// The format this version writes, and the newest that it reads.
pub(crate) const FORMAT: u32 = 1;
const MAGIC: &str = "lamplighter-store";

/// Holds the data directory until it is dropped.
pub(crate) struct DirLock {
    _file: File,
}

impl DirLock {
    /// Makes the directory if needed, and takes it.
    pub(crate) fn take(dir: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(dir).map_err(|cause| StoreError::unreadable(dir, cause))?;
        let path = dir.join("lock");
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let file = file.map_err(|cause| StoreError::unreadable(&path, cause))?;
        match file.try_lock() {
            Ok(()) => Ok(DirLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { dir: dir.to_owned() }),
            Err(TryLockError::Error(cause)) => Err(StoreError::unreadable(path, cause)),
        }
    }
}

/// Whether the engine's data is there, or is to be made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The data is there.
    Made,
    /// There is none yet: make it, then call [`finish`].
    New,
}

/// Checks that the directory has a format and an engine that can be opened, or prepares a new one. What a server left
/// that was killed while it made the data is removed: nothing can have been committed to it.
pub(crate) fn prepare(dir: &Path, engine: &'static str, data: &[PathBuf]) -> Result<Place, StoreError> {
    let path = dir.join("format");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return prepare_new(dir, engine, data),
        Err(cause) => return Err(StoreError::unreadable(path, cause)),
    };
    let mut words = text.split_whitespace();
    let (magic, number) = (words.next(), words.next().and_then(|word| word.parse::<u32>().ok()));
    let (Some(MAGIC), Some(found)) = (magic, number) else { return Err(StoreError::DamagedFormat { path }) };
    if found > FORMAT {
        return Err(StoreError::NewerFormat { dir: dir.to_owned(), found, supported: FORMAT });
    }
    match words.next() {
        Some(found) if found == engine => Ok(Place::Made),
        Some(found) => {
            Err(StoreError::OtherEngine { dir: dir.to_owned(), found: found.to_owned(), asked: engine })
        }
        None => Err(StoreError::DamagedFormat { path }),
    }
}

fn prepare_new(dir: &Path, engine: &str, data: &[PathBuf]) -> Result<Place, StoreError> {
    let unfinished = dir.join("format.new");
    if unfinished.exists() {
        for path in data {
            remove(path).map_err(|cause| StoreError::unreadable(path, cause))?;
        }
    } else if data.iter().any(|path| path.exists()) {
        // Data without a format: somebody removed the file, and we do not guess.
        return Err(StoreError::DamagedFormat { path: dir.join("format") });
    }
    let write = || {
        let mut file = File::create(&unfinished)?;
        writeln!(file, "{MAGIC} {FORMAT} {engine}")?;
        file.sync_all()?;
        sync_dir(dir)
    };
    write().map_err(|cause| StoreError::unreadable(&unfinished, cause))?;
    Ok(Place::New)
}

/// Notes that the engine has made its data.
pub(crate) fn finish(dir: &Path) -> Result<(), StoreError> {
    let path = dir.join("format");
    let renamed = fs::rename(dir.join("format.new"), &path)
        .and_then(|()| sync_dir(dir))
        .and_then(|()| sync_parent(dir));
    renamed.map_err(|cause| StoreError::unreadable(path, cause))
}

/// Makes the name of a directory durable.
pub(crate) fn sync_parent(dir: &Path) -> io::Result<()> {
    match dir.parent() {
        Some(parent) if parent.as_os_str().is_empty() => sync_dir(Path::new(".")),
        Some(parent) => sync_dir(parent),
        None => Ok(()),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.or_else(|cause| if cause.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(cause) })
}

/// Makes names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

//! The data directory: one server at a time, and a format that is written down.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `lock` | nothing; whoever runs on the directory holds an exclusive lock on it. The system lets go of it when the process ends, however it ends |
//! | `format` | `lamplighter-store 1 fjall`: the format's number and the engine |

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

/// Checks that the directory has a format and an engine that can be opened; writes both down in a new one.
pub(crate) fn check_format(dir: &Path, engine: &'static str) -> Result<(), StoreError> {
    let path = dir.join("format");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            return write_format(dir, engine).map_err(|cause| StoreError::unreadable(path, cause));
        }
        Err(cause) => return Err(StoreError::unreadable(path, cause)),
    };
    let mut words = text.split_whitespace();
    let (magic, number) = (words.next(), words.next().and_then(|word| word.parse::<u32>().ok()));
    let (Some(MAGIC), Some(found)) = (magic, number) else { return Err(StoreError::DamagedFormat { path }) };
    if found > FORMAT {
        return Err(StoreError::NewerFormat { dir: dir.to_owned(), found, supported: FORMAT });
    }
    match words.next() {
        Some(found) if found == engine => Ok(()),
        Some(found) => {
            Err(StoreError::OtherEngine { dir: dir.to_owned(), found: found.to_owned(), asked: engine })
        }
        None => Err(StoreError::DamagedFormat { path }),
    }
}

fn write_format(dir: &Path, engine: &str) -> io::Result<()> {
    let unfinished: PathBuf = dir.join("format.new");
    let mut file = File::create(&unfinished)?;
    writeln!(file, "{MAGIC} {FORMAT} {engine}")?;
    file.sync_all()?;
    fs::rename(&unfinished, dir.join("format"))?;
    sync_dir(dir)
}

/// Makes names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

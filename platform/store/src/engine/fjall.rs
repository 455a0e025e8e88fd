//! The default engine: fjall, a log-structured merge tree in Rust.
//!
//! One keyspace holds everything. A commit is one journal batch with one `fdatasync`. The sizes are those of a server
//! that idles in little memory and replays little at its start, not those of a database machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable};

use super::{Engine, View, Visitor, Writes};
use crate::error::EngineError;

/// Blocks read from disk and kept, in bytes.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// What is gathered in memory before it is written out as a table, in bytes.
const MEMTABLE_BYTES: u64 = 4 * 1024 * 1024;
/// Journal files kept before tables are forced out, in bytes: the least that fjall takes.
const JOURNAL_BYTES: u64 = 64 * 1024 * 1024;
/// Table files kept open.
const OPEN_FILES: usize = 64;

impl From<fjall::Error> for EngineError {
    fn from(error: fjall::Error) -> Self {
        EngineError::new(error)
    }
}

pub(crate) struct Fjall {
    database: Database,
    entries: Keyspace,
    dir: PathBuf,
}

impl Fjall {
    pub(crate) fn open(dir: &Path) -> Result<Self, EngineError> {
        let database = Database::builder(dir)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES)
            .max_cached_files(Some(OPEN_FILES))
            .worker_threads(1)
            .open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let entries = database.keyspace("entries", options)?;
        Ok(Fjall { database, entries, dir: dir.to_owned() })
    }
}

impl Fjall {
    /// A table or journal could not be written by fjall's own thread, which does not tell why: say what can be seen.
    fn background_failure(&self) -> EngineError {
        let room =
            rustix::fs::statvfs(&self.dir).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) / 1024);
        EngineError::new(match room {
            Ok(kib) => {
                format!("a table could not be written in the background; {kib} KiB are left on the disk")
            }
            Err(error) => format!("a table could not be written in the background; the disk says: {error}"),
        })
    }
}

impl Engine for Fjall {
    fn view(&self) -> Result<Arc<dyn View>, EngineError> {
        Ok(Arc::new(FjallView { snapshot: self.database.snapshot(), entries: self.entries.clone() }))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(self.entries.get(key)?.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn commit(&self, writes: &Writes) -> Result<(), EngineError> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for (key, value) in writes {
            match value {
                Some(value) => batch.insert(&self.entries, key.as_slice(), &value[..]),
                None => batch.remove(&self.entries, key.as_slice()),
            }
        }
        batch.commit().map_err(|error| match error {
            fjall::Error::Poisoned => self.background_failure(),
            other => other.into(),
        })
    }
}

struct FjallView {
    snapshot: fjall::Snapshot,
    entries: Keyspace,
}

impl View for FjallView {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(self.snapshot.get(&self.entries, key)?.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(&self, from: &[u8], to: &[u8], reverse: bool, visit: Visitor<'_>) -> Result<(), EngineError> {
        let mut entries = self.snapshot.range(&self.entries, from..to);
        loop {
            let Some(entry) = (if reverse { entries.next_back() } else { entries.next() }) else {
                return Ok(());
            };
            let (key, value) = entry.into_inner()?;
            if visit(Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value)).is_break() {
                return Ok(());
            }
        }
    }
}

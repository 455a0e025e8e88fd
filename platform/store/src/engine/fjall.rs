//! The default engine: fjall, a log-structured merge tree in Rust.
//!
//! One keyspace holds everything. A commit is one journal batch with one `fdatasync`. The sizes are those of a server
//! that idles in little memory and replays little at its start, not those of a database machine.
//!
//! fjall starts a new journal file only after 64 MB, and reads the whole file at its start, whatever is in the tables
//! already: up to 0.3 s. So whoever closes the store brings everything into tables and empties the file. After a kill
//! there is nothing but the journal, and the next start takes the time it takes.
//!
//! Known gap: a killed process leaves a journal that is whole but for its end, which fjall cuts off. A power failure
//! may leave a last batch with a hole in it (a page that did not reach the disk, of a commit that nobody was told of).
//! fjall 3.1 then refuses to open (`ChecksumMismatch`) instead of cutting that batch off. SQLite does not have this.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fjall::{
    AbstractTree, CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable,
};

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
/// A journal that is not larger, in bytes, is left as it is when the store is closed: it is read in no time.
const SMALL_JOURNAL_BYTES: u64 = 512 * 1024;
/// The longest that closing waits for the tables.
const CLOSING_TIME: Duration = Duration::from_secs(2);

impl From<fjall::Error> for EngineError {
    fn from(error: fjall::Error) -> Self {
        EngineError::new(error)
    }
}

pub(crate) struct Fjall {
    database: Database,
    entries: Keyspace,
    // Goes after the database: it works on the closed files.
    journal: ClosedJournal,
}

impl Fjall {
    pub(crate) fn open(dir: &Path) -> Result<Self, EngineError> {
        let database = Database::builder(dir)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES)
            // So that the journal's length tells how long reading it takes.
            .journal_compression(CompressionType::None)
            .max_cached_files(Some(OPEN_FILES))
            .worker_threads(1)
            .open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let entries = database.keyspace("entries", options)?;
        let journal = ClosedJournal { dir: dir.to_owned(), failed: AtomicBool::new(false), needless: false };
        Ok(Fjall { database, entries, journal })
    }

    /// A table or journal could not be written by fjall's own thread, which does not tell why: say what can be seen.
    fn background_failure(&self) -> EngineError {
        let disk = rustix::fs::statvfs(&self.journal.dir);
        let room = disk.map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) / 1024);
        EngineError::new(match room {
            Ok(kib) => {
                format!("a table could not be written in the background; {kib} KiB are left on the disk")
            }
            Err(error) => format!("a table could not be written in the background; the disk says: {error}"),
        })
    }

    /// Brings everything into tables. Says whether it is all there.
    fn write_tables(&self) -> bool {
        if self.entries.rotate_memtable().is_err() {
            return false;
        }
        let started = Instant::now();
        while self.entries.tree.get_highest_memtable_seqno().is_some() {
            if started.elapsed() > CLOSING_TIME {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }
}

impl Drop for Fjall {
    fn drop(&mut self) {
        let failed = self.journal.failed.load(Ordering::Acquire);
        if !failed && self.journal.only_file().is_ok_and(|file| file.is_some()) {
            self.journal.needless = self.write_tables();
        }
    }
}

/// Empties the journal when the database is closed and does not need it.
struct ClosedJournal {
    dir: PathBuf,
    /// Set by a commit that failed: then nobody knows what needs the journal.
    failed: AtomicBool,
    /// Whether all that is in the journal is in tables too.
    needless: bool,
}

impl ClosedJournal {
    /// The journal's file, if there is but one and it is worth emptying. With several, an older one would be read as
    /// if it were the newest.
    fn only_file(&self) -> io::Result<Option<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "jnl") {
                files.push(path);
            }
        }
        let [file] = files.as_slice() else { return Ok(None) };
        // A new file is as long as it will ever be, but takes only the blocks that were written.
        let worth_it = fs::metadata(file)?.blocks() * 512 > SMALL_JOURNAL_BYTES;
        Ok(worth_it.then(|| file.clone()))
    }

    fn empty(&self) -> io::Result<()> {
        // Whoever gets fjall's own lock knows that it has let go of its files.
        if File::open(self.dir.join("lock"))?.try_lock().is_err() {
            return Ok(());
        }
        match self.only_file()? {
            Some(file) => OpenOptions::new().write(true).open(file).and_then(|file| {
                file.set_len(0)?;
                file.sync_all()
            }),
            None => Ok(()),
        }
    }
}

impl Drop for ClosedJournal {
    fn drop(&mut self) {
        if self.needless
            && let Err(error) = self.empty()
        {
            tracing::warn!(%error, dir = %self.dir.display(), "store_journal_not_emptied");
        }
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
        batch.commit().map_err(|error| {
            self.journal.failed.store(true, Ordering::Release);
            match error {
                fjall::Error::Poisoned => self.background_failure(),
                other => other.into(),
            }
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

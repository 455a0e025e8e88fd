//! The second engine: SQLite in WAL mode, every commit synced.
//!
//! One table holds everything. The committer has a connection of its own; views and reads take one from a small pool
//! and hold a read transaction on it. A view that lives long keeps the WAL from starting over.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{Engine, View, Visitor, Writes};
use crate::error::EngineError;

/// Connections kept for readers when nobody reads.
const IDLE_READERS: usize = 4;
/// Pages cached by each connection, in KiB.
const CACHE_KIB: u32 = 2048;

const GET: &str = "SELECT value FROM entries WHERE key = ?1";
const PUT: &str =
    "INSERT INTO entries (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2";
const DELETE: &str = "DELETE FROM entries WHERE key = ?1";
const SCAN_UP: &str = "SELECT key, value FROM entries WHERE key >= ?1 AND key < ?2 ORDER BY key";
const SCAN_DOWN: &str = "SELECT key, value FROM entries WHERE key >= ?1 AND key < ?2 ORDER BY key DESC";

impl From<rusqlite::Error> for EngineError {
    fn from(error: rusqlite::Error) -> Self {
        EngineError::new(error)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) struct Sqlite {
    readers: Arc<Readers>,
    writer: Mutex<Connection>,
}

struct Readers {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Sqlite {
    pub(crate) fn open(file: &Path) -> Result<Self, EngineError> {
        let writer = Connection::open(file)?;
        writer.execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -{CACHE_KIB};
             PRAGMA journal_size_limit = 16777216;
             CREATE TABLE IF NOT EXISTS entries (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
        ))?;
        let readers = Arc::new(Readers { file: file.to_owned(), idle: Mutex::default() });
        Ok(Sqlite { readers, writer: Mutex::new(writer) })
    }
}

impl Readers {
    fn take(&self) -> Result<Connection, EngineError> {
        if let Some(idle) = lock(&self.idle).pop() {
            return Ok(idle);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let reader = Connection::open_with_flags(&self.file, flags)?;
        reader.execute_batch(&format!("PRAGMA query_only = 1; PRAGMA cache_size = -{CACHE_KIB};"))?;
        Ok(reader)
    }

    fn give_back(&self, reader: Connection) {
        let mut idle = lock(&self.idle);
        if idle.len() < IDLE_READERS {
            idle.push(reader);
        }
    }
}

fn get(connection: &Connection, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
    let mut statement = connection.prepare_cached(GET)?;
    let value = statement
        .query_row([key], |row| row.get_ref(0)?.as_blob().map(Bytes::copy_from_slice).map_err(Into::into));
    Ok(value.optional()?)
}

impl Engine for Sqlite {
    fn view(&self) -> Result<Arc<dyn View>, EngineError> {
        let reader = self.readers.take()?;
        // A deferred transaction begins with its first read.
        reader.execute_batch("BEGIN; SELECT 1 FROM entries LIMIT 1;")?;
        Ok(Arc::new(SqliteView { readers: Arc::clone(&self.readers), reader: Mutex::new(Some(reader)) }))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let reader = self.readers.take()?;
        let value = get(&reader, key)?;
        self.readers.give_back(reader);
        Ok(value)
    }

    fn commit(&self, writes: &Writes) -> Result<(), EngineError> {
        let mut writer = lock(&self.writer);
        let transaction = writer.transaction()?;
        {
            let mut put = transaction.prepare_cached(PUT)?;
            let mut delete = transaction.prepare_cached(DELETE)?;
            for (key, value) in writes {
                match value {
                    Some(value) => put.execute((key.as_slice(), &value[..]))?,
                    None => delete.execute([key.as_slice()])?,
                };
            }
        }
        Ok(transaction.commit()?)
    }
}

struct SqliteView {
    readers: Arc<Readers>,
    /// Always there until the view is dropped.
    reader: Mutex<Option<Connection>>,
}

impl SqliteView {
    fn with<T>(&self, read: impl FnOnce(&Connection) -> Result<T, EngineError>) -> Result<T, EngineError> {
        match &*lock(&self.reader) {
            Some(reader) => read(reader),
            None => Err(EngineError::new("the view is closed")),
        }
    }
}

impl Drop for SqliteView {
    fn drop(&mut self) {
        if let Some(reader) = lock(&self.reader).take()
            && reader.execute_batch("ROLLBACK").is_ok()
        {
            self.readers.give_back(reader);
        }
    }
}

impl View for SqliteView {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.with(|reader| get(reader, key))
    }

    fn scan(&self, from: &[u8], to: &[u8], reverse: bool, visit: Visitor<'_>) -> Result<(), EngineError> {
        self.with(|reader| {
            let mut statement = reader.prepare_cached(if reverse { SCAN_DOWN } else { SCAN_UP })?;
            let mut rows = statement.query((from, to))?;
            while let Some(row) = rows.next()? {
                let blob = |column| {
                    row.get_ref(column)?.as_blob().map(Bytes::copy_from_slice).map_err(EngineError::new)
                };
                if visit(blob(0)?, blob(1)?).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }
}

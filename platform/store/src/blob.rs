//! Blobs: content-addressed files.
//!
//! A blob is named by the SHA-256 of its content and lies in `<first two hex digits>/<next two>/<hash>`. It is written
//! beside its place, synced, renamed, and the directory is synced before its name is told: so a name that was told
//! survives a crash, and a file under a name is whole. Who needs a blob is not known here: a [`Sweep`] is told.
//!
//! It is not part of a transaction. Put first, then commit the key that names the blob.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::error::StoreError;
use crate::lock::{sync_dir, sync_parent};

/// Read and written at a time, in bytes.
const CHUNK_BYTES: usize = 256 * 1024;

/// A blob's name: the SHA-256 of its content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlobId(pub [u8; 32]);

impl BlobId {
    /// The name that content has, whether it is stored or not.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        BlobId(Sha256::digest(content).into())
    }

    /// The 32 bytes of the hash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobId({self})")
    }
}

impl FromStr for BlobId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text} is no blob id: it must be 64 hexadecimal digits");
        if text.len() != 64 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(wrong());
        }
        let mut hash = [0; 32];
        for (at, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(BlobId(hash))
    }
}

/// A directory of blobs. Cheap to clone.
#[derive(Clone)]
pub struct BlobStore {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    /// Where unfinished blobs are. Nothing in it outlives the process that wrote it.
    unfinished: PathBuf,
    recent: Mutex<Recent>,
}

/// Blobs put by this process, which nobody may have named yet, with the sweep they were last put before.
#[derive(Default)]
struct Recent {
    sweep: u64,
    blobs: HashMap<BlobId, u64>,
}

/// What a sweep removed and kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Blobs removed.
    pub removed: u64,
    /// Their size in bytes.
    pub removed_bytes: u64,
    /// Blobs that are still there.
    pub kept: u64,
}

impl BlobStore {
    /// Opens a directory of blobs; makes it if it is not there, and removes what a killed process left unfinished.
    /// One process at a time: the [`crate::Store`] beside it sees to that.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`].
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let dir = dir.into();
        let unfinished = dir.join("unfinished");
        let is_new = !unfinished.exists();
        let made = fs::create_dir_all(&unfinished);
        let made = made.and_then(|()| if is_new { sync_parent(&dir) } else { Ok(()) });
        made.map_err(|cause| StoreError::unreadable(&unfinished, cause))?;
        let store = BlobStore { inner: Arc::new(Inner { dir, unfinished, recent: Mutex::default() }) };
        store.remove_unfinished()?;
        Ok(store)
    }

    /// Starts a blob that is written piece by piece. Blocks: for async code there is [`BlobStore::put_stream`].
    ///
    /// # Errors
    /// [`StoreError::Unreadable`].
    pub fn writer(&self) -> Result<BlobWriter, StoreError> {
        let dir = &self.inner.unfinished;
        let file = NamedTempFile::new_in(dir).map_err(|cause| StoreError::unreadable(dir, cause))?;
        Ok(BlobWriter { store: self.clone(), file, hash: Sha256::new(), bytes: 0 })
    }

    /// Stores bytes. They are on disk when this returns.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when they cannot be written: a full disk, for example.
    pub async fn put_bytes(&self, content: Bytes) -> Result<BlobId, StoreError> {
        let store = self.clone();
        blocking(move || store.put_bytes_blocking(&content)).await
    }

    /// As [`BlobStore::put_bytes`], for threads that may wait for the disk.
    ///
    /// # Errors
    /// As [`BlobStore::put_bytes`].
    pub fn put_bytes_blocking(&self, content: &[u8]) -> Result<BlobId, StoreError> {
        let id = BlobId::of(content);
        if self.is_whole(&id, content.len() as u64)? {
            return Ok(id);
        }
        let mut writer = self.writer()?;
        writer.write(content)?;
        writer.finish()
    }

    /// Stores a copy of a file.
    ///
    /// # Errors
    /// As [`BlobStore::put_bytes`]; also when the file cannot be read.
    pub async fn put_file(&self, path: impl Into<PathBuf>) -> Result<BlobId, StoreError> {
        let (store, path) = (self.clone(), path.into());
        blocking(move || {
            let unreadable = |cause| StoreError::unreadable(&path, cause);
            let mut source = File::open(&path).map_err(unreadable)?;
            let mut writer = store.writer()?;
            let mut chunk = vec![0; CHUNK_BYTES];
            loop {
                match source.read(&mut chunk) {
                    Ok(0) => return writer.finish(),
                    Ok(length) => writer.write(&chunk[..length])?,
                    Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                    Err(cause) => return Err(unreadable(cause)),
                }
            }
        })
        .await
    }

    /// Stores a stream in constant memory.
    ///
    /// # Errors
    /// As [`BlobStore::put_bytes`]; [`StoreError::Source`] when the stream fails.
    pub async fn put_stream(&self, mut source: impl AsyncRead + Unpin + Send) -> Result<BlobId, StoreError> {
        let store = self.clone();
        let mut writer = blocking(move || store.writer()).await?;
        loop {
            let mut chunk = bytes::BytesMut::with_capacity(CHUNK_BYTES);
            while chunk.len() < CHUNK_BYTES {
                if source.read_buf(&mut chunk).await.map_err(StoreError::Source)? == 0 {
                    break;
                }
            }
            let end = chunk.is_empty();
            let step = blocking(move || writer.write(&chunk).map(|()| writer)).await?;
            writer = step;
            if end {
                return blocking(move || writer.finish()).await;
            }
        }
    }

    /// Where a blob lies, or would lie. The file must not be changed.
    #[must_use]
    pub fn get_path(&self, id: &BlobId) -> PathBuf {
        let name = id.to_string();
        self.inner.dir.join(&name[..2]).join(&name[2..4]).join(name)
    }

    /// Whether a blob is there.
    #[must_use]
    pub fn contains(&self, id: &BlobId) -> bool {
        self.get_path(id).is_file()
    }

    /// Opens a blob for reading.
    ///
    /// # Errors
    /// [`StoreError::NoBlob`], [`StoreError::Unreadable`].
    pub fn open_blob(&self, id: &BlobId) -> Result<File, StoreError> {
        let path = self.get_path(id);
        File::open(&path).map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound => StoreError::NoBlob { id: id.to_string() },
            _ => StoreError::unreadable(path, cause),
        })
    }

    /// Reads a whole blob, and checks it against its name.
    ///
    /// # Errors
    /// [`StoreError::NoBlob`]; [`StoreError::Unreadable`], also when the content is damaged.
    pub async fn get_bytes(&self, id: &BlobId) -> Result<Bytes, StoreError> {
        let (store, id) = (self.clone(), *id);
        blocking(move || {
            let unreadable = |cause| StoreError::unreadable(store.get_path(&id), cause);
            let mut content = Vec::new();
            store.open_blob(&id)?.read_to_end(&mut content).map_err(unreadable)?;
            if BlobId::of(&content) != id {
                return Err(unreadable(io::Error::new(io::ErrorKind::InvalidData, "its content is damaged")));
            }
            Ok(Bytes::from(content))
        })
        .await
    }

    /// Removes the blobs that are not `live`, and leftovers of unfinished ones. Read the live set from the store
    /// first, then sweep. A blob that this process put is spared by the first sweep after it, because its name may
    /// not be committed yet: so leave more time between two sweeps than anybody takes from put to commit.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`].
    pub async fn sweep(&self, live: HashSet<BlobId>) -> Result<Sweep, StoreError> {
        let store = self.clone();
        blocking(move || store.sweep_blocking(&live)).await
    }

    fn sweep_blocking(&self, live: &HashSet<BlobId>) -> Result<Sweep, StoreError> {
        let mut swept = Sweep::default();
        self.begin_sweep();
        for first in hex_dirs(&self.inner.dir)? {
            for second in hex_dirs(&first)? {
                for path in list(&second)? {
                    let id =
                        path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
                    // What is not named as a blob is not ours to remove.
                    let Some(id) = id else { continue };
                    match self.sweep_one(&path, &id, live)? {
                        Some(bytes) => {
                            swept.removed += 1;
                            swept.removed_bytes += bytes;
                        }
                        None => swept.kept += 1,
                    }
                }
            }
        }
        Ok(swept)
    }

    /// Blobs put before the sweep that came last are recent no longer.
    fn begin_sweep(&self) {
        let mut recent = self.recent();
        recent.sweep += 1;
        let sweep = recent.sweep;
        recent.blobs.retain(|_, put| *put + 1 >= sweep);
    }

    /// The size of the blob if it was removed. Looked at under the lock, so that a put of the same blob comes before
    /// or after.
    fn sweep_one(&self, path: &Path, id: &BlobId, live: &HashSet<BlobId>) -> Result<Option<u64>, StoreError> {
        if live.contains(id) {
            return Ok(None);
        }
        let recent = self.recent();
        if recent.blobs.contains_key(id) {
            return Ok(None);
        }
        let unreadable = |cause| StoreError::unreadable(path, cause);
        let bytes = fs::metadata(path).map_err(unreadable)?.len();
        fs::remove_file(path).map_err(unreadable)?;
        Ok(Some(bytes))
    }

    fn remove_unfinished(&self) -> Result<(), StoreError> {
        for path in list(&self.inner.unfinished)? {
            fs::remove_file(&path).map_err(|cause| StoreError::unreadable(path, cause))?;
        }
        Ok(())
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.inner.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the blob is there with its full size. If so it is recent from now on, and durable.
    fn is_whole(&self, id: &BlobId, bytes: u64) -> Result<bool, StoreError> {
        let path = self.get_path(id);
        let known = {
            let mut recent = self.recent();
            match fs::metadata(&path) {
                Ok(found) if found.is_file() && found.len() == bytes => {}
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::unreadable(path, cause));
                }
                _ => return Ok(false),
            }
            let sweep = recent.sweep;
            recent.blobs.insert(*id, sweep).is_some()
        };
        if !known {
            // Put by an earlier process, which may have been killed before it synced the names.
            self.sync_place(&path).map_err(|cause| StoreError::unreadable(&path, cause))?;
        }
        Ok(true)
    }

    /// Syncs the directories that lead to a blob.
    fn sync_place(&self, path: &Path) -> io::Result<()> {
        for dir in path.ancestors().skip(1).take(3) {
            sync_dir(dir)?;
        }
        Ok(())
    }
}

/// A blob that is being written. Dropped before [`BlobWriter::finish`], it leaves nothing.
pub struct BlobWriter {
    store: BlobStore,
    file: NamedTempFile,
    hash: Sha256,
    bytes: u64,
}

impl BlobWriter {
    /// Adds to the blob.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`]: a full disk, for example.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        let written = self.file.write_all(bytes);
        written.map_err(|cause| StoreError::unreadable(self.file.path(), cause))
    }

    /// How much was written, in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Brings the blob to disk and into its place, and tells its name. If it was there already, nothing changes;
    /// if what was there has another size, it is replaced.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`].
    pub fn finish(self) -> Result<BlobId, StoreError> {
        let id = BlobId(self.hash.finalize().into());
        if self.store.is_whole(&id, self.bytes)? {
            return Ok(id);
        }
        let path = self.store.get_path(&id);
        let unreadable = |cause| StoreError::unreadable(&path, cause);
        self.file.as_file().sync_all().map_err(unreadable)?;
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(unreadable)?;
        }
        {
            let mut recent = self.store.recent();
            let sweep = recent.sweep;
            self.file.persist(&path).map_err(|error| unreadable(error.error))?;
            recent.blobs.insert(id, sweep);
        }
        self.store.sync_place(&path).map_err(unreadable)?;
        Ok(id)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime shuts down.
            Err(_) => Err(StoreError::Closed),
        },
    }
}

fn list(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = fs::read_dir(dir).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    entries.map_err(|cause| StoreError::unreadable(dir, cause))
}

/// The directories named by two hexadecimal digits.
fn hex_dirs(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut dirs = list(dir)?;
    dirs.retain(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.len() == 2 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) && path.is_dir()
    });
    Ok(dirs)
}

//! Deployment packages: each zip once as a blob, and once unpacked for the boxes to mount.
//!
//! | where | what |
//! | --- | --- |
//! | blob store | the zip, under its SHA-256: the truth |
//! | `packages/<sha256>/` | the same, unpacked: a cache, shared by every function with this zip |
//! | `packages/<sha256 of several>/` | several packages one over the other, for `/opt`: hard links ([`merge`]) |
//! | `packages/.new-*`, `packages/.old-*` | on its way in or out; removed at the next start |
//! | `packages/.boot` | the boot of the machine under which the directories were written |
//!
//! Unpacked files are not synced one by one, which would make a large package slow. A process that is killed
//! loses none of them; a machine that crashes may. So directories of an earlier boot are dropped and unpacked again
//! from the blobs, each when it is first needed.
//!
//! It knows no function: who uses which package is the store's to say.

mod digest;
mod links;
mod merge;
mod unpack;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use store::{BlobId, BlobStore};
use tokio::sync::OnceCell;

use crate::record::CodeRecord;

pub(crate) use digest::Digest;
pub(crate) use unpack::MAX_UNPACKED_BYTES;
use unpack::UnpackError;

/// How long a package that no function uses stays: longer than any invoke, so that no box loses its code.
const GRACE: Duration = Duration::from_secs(30 * 60);

/// Why there is no package.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The zip is at fault. The text is for the client.
    #[error("{0}")]
    Refused(String),
    /// The platform is at fault. The text is for the log.
    #[error("{0}")]
    Failed(String),
}

impl From<UnpackError> for PackageError {
    fn from(error: UnpackError) -> Self {
        match error {
            UnpackError::Disk { .. } => PackageError::Failed(error.to_string()),
            refused => PackageError::Refused(refused.to_string()),
        }
    }
}

fn failed(what: impl std::fmt::Display) -> impl FnOnce(io::Error) -> PackageError {
    move |error| PackageError::Failed(format!("{what}: {error}"))
}

/// The packages of this host. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Packages {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    blobs: BlobStore,
    known: Mutex<HashMap<Digest, Known>>,
}

#[derive(Default)]
struct Known {
    /// Set when the directory is there. Who unpacks it first fills it; the others wait for that.
    unpacked: Arc<OnceCell<()>>,
    /// Requests between upload and commit: their package has no user in the store yet.
    pins: usize,
    /// The bytes of all its files, once somebody asked.
    unpacked_bytes: Option<u64>,
    /// Since when the sweeper finds no user.
    unused_since: Option<Instant>,
}

/// Keeps a package from being swept until the function that uses it is committed.
pub(crate) struct Pinned {
    packages: Packages,
    /// Which package.
    pub(crate) digest: Digest,
    /// Size of the zip.
    pub(crate) size_bytes: u64,
    /// The bytes of all its files.
    pub(crate) unpacked_bytes: u64,
}

impl Pinned {
    /// What a record says of it.
    pub(crate) fn record(&self) -> CodeRecord {
        CodeRecord { digest: self.digest, size_bytes: self.size_bytes, unpacked_bytes: self.unpacked_bytes }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let mut known = self.packages.known();
        let Some(entry) = known.get_mut(&self.digest) else { return };
        entry.pins -= 1;
        // A zip that was refused leaves no trace.
        if entry.pins == 0 && !entry.unpacked.initialized() {
            known.remove(&self.digest);
        }
    }
}

impl Packages {
    /// Opens the packages under `data_dir`, and removes what an earlier process left half done.
    pub(crate) fn open(data_dir: &Path, blobs: BlobStore) -> Result<Self, PackageError> {
        let dir = data_dir.join("packages");
        fs::create_dir_all(&dir).map_err(failed(format!("cannot create {}", dir.display())))?;
        let left_over = prepare(&dir).map_err(failed(format!("cannot tidy {}", dir.display())))?;
        // Old packages may be large, and the start shall be fast. What a kill leaves is found at the next start.
        let _ = std::thread::Builder::new().name("old-packages".to_owned()).spawn(move || {
            for path in left_over {
                if let Err(error) = fs::remove_dir_all(&path) {
                    tracing::warn!(path = %path.display(), %error, "an old package cannot be removed");
                }
            }
        });
        Ok(Packages { inner: Arc::new(Inner { dir, blobs, known: Mutex::default() }) })
    }

    /// Where the package is, or would be, unpacked.
    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        self.inner.dir.join(digest.hex())
    }

    /// Checks and unpacks an uploaded zip and keeps it. On success both forms are on disk, the blob synced.
    pub(crate) async fn add(&self, zip: Bytes) -> Result<Pinned, PackageError> {
        let size_bytes = zip.len() as u64;
        let hashed = zip.clone();
        let digest = blocking(move || Ok(Digest::of(&hashed))).await?;
        let mut pinned = self.pin(digest, size_bytes);
        self.unpack_once(&digest, Some(zip.clone())).await?;
        pinned.unpacked_bytes = self.unpacked_bytes(&digest).await?;
        self.inner
            .blobs
            .put_bytes(zip)
            .await
            .map_err(|error| PackageError::Failed(format!("blob: {error}")))?;
        Ok(pinned)
    }

    /// Checks a zip as [`Packages::add`] does and keeps nothing. Its name comes back, and the bytes of all its files.
    pub(crate) async fn check(&self, zip: Bytes) -> Result<(Digest, u64), PackageError> {
        let packages = self.clone();
        blocking(move || {
            let temporary = packages.temporary()?;
            let unpacked_bytes = unpack::unpack(&zip, temporary.path())?;
            Ok((Digest::of(&zip), unpacked_bytes))
        })
        .await
    }

    /// The bytes of all files of a package that is unpacked.
    async fn unpacked_bytes(&self, digest: &Digest) -> Result<u64, PackageError> {
        if let Some(bytes) = self.known().get(digest).and_then(|known| known.unpacked_bytes) {
            return Ok(bytes);
        }
        let path = self.path(digest);
        let counted = blocking(move || {
            merge::count_bytes(&path).map_err(failed(format!("cannot read {}", path.display())))
        });
        let bytes = counted.await?;
        if let Some(known) = self.known().get_mut(digest) {
            known.unpacked_bytes = Some(bytes);
        }
        Ok(bytes)
    }

    /// The package's directory, unpacked again if it is gone. Immediate when it is there.
    pub(crate) async fn ensure(&self, digest: &Digest) -> Result<PathBuf, PackageError> {
        self.unpack_once(digest, None).await?;
        Ok(self.path(digest))
    }

    /// The name of what these layers are at `/opt`, the later ones over the earlier ones.
    pub(crate) fn stack(layers: &[Digest]) -> Option<Digest> {
        match layers {
            [] => None,
            [one] => Some(*one),
            several => Some(Digest::of_merged(several)),
        }
    }

    /// The directory to mount at `/opt`: a single layer's own, or one that is made once for each ordered list. `None`
    /// without layers. Immediate when it is there.
    ///
    /// # Errors
    /// `Refused` when links of several layers together would lead out of `/opt`.
    pub(crate) async fn ensure_stack(&self, layers: &[Digest]) -> Result<Option<PathBuf>, PackageError> {
        let Some(stack) = Self::stack(layers) else { return Ok(None) };
        if let [one] = layers {
            return self.ensure(one).await.map(Some);
        }
        let cell = self.cell(&stack);
        let fill = async || {
            if self.path(&stack).is_dir() {
                return Ok(());
            }
            let mut parts = Vec::new();
            for layer in layers {
                parts.push(self.ensure(layer).await?);
            }
            let packages = self.clone();
            blocking(move || {
                let temporary = packages.temporary()?;
                merge::merge(&parts, temporary.path())?;
                packages.settle(temporary, &stack)
            })
            .await
        };
        cell.get_or_try_init(fill).await?;
        Ok(Some(self.path(&stack)))
    }

    /// The file of the zip.
    pub(crate) fn zip_path(&self, digest: &Digest) -> PathBuf {
        self.inner.blobs.get_path(&BlobId(*digest.as_bytes()))
    }

    /// Removes the packages for which `is_used` says no, and returns how many. What this process has touched (a box
    /// may still run it) stays until it was found unused for a while. Blocks.
    pub(crate) fn sweep<E>(
        &self,
        now: Instant,
        mut is_used: impl FnMut(&Digest) -> Result<bool, E>,
    ) -> Result<usize, E> {
        let mut removed = 0;
        for digest in self.unpacked() {
            // The lock is held over a look into the store and a rename: a request that pins this package comes
            // either before (then it stays) or after (then it is unpacked anew).
            let mut known = self.known();
            let used = is_used(&digest)?;
            if let Some(entry) = known.get_mut(&digest) {
                if used || entry.pins > 0 {
                    entry.unused_since = None;
                    continue;
                }
                let since = *entry.unused_since.get_or_insert(now);
                if now.saturating_duration_since(since) < GRACE {
                    continue;
                }
            } else if used {
                continue;
            }
            known.remove(&digest);
            let away = away(&self.inner.dir);
            let renamed = fs::rename(self.path(&digest), &away);
            drop(known);
            match renamed.and_then(|()| fs::remove_dir_all(&away)) {
                Ok(()) => removed += 1,
                Err(error) => {
                    tracing::warn!(package = ?digest, %error, "an unused package cannot be removed")
                }
            }
        }
        Ok(removed)
    }

    /// The packages that have a directory.
    fn unpacked(&self) -> HashSet<Digest> {
        let entries = fs::read_dir(&self.inner.dir).into_iter().flatten().flatten();
        entries.filter_map(|entry| Digest::from_hex(entry.file_name().to_str()?)).collect()
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Known>> {
        // Nothing panics while it holds the lock half-way through a change.
        self.inner.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pin(&self, digest: Digest, size_bytes: u64) -> Pinned {
        self.known().entry(digest).or_default().pins += 1;
        Pinned { packages: self.clone(), digest, size_bytes, unpacked_bytes: 0 }
    }

    async fn unpack_once(&self, digest: &Digest, zip: Option<Bytes>) -> Result<(), PackageError> {
        let cell = self.cell(digest);
        if cell.initialized() {
            return Ok(());
        }
        let fill = async || {
            let zip = match zip {
                Some(zip) => zip,
                None if self.path(digest).is_dir() => return Ok(()),
                None => {
                    let blob = self.inner.blobs.get_bytes(&BlobId(*digest.as_bytes())).await;
                    blob.map_err(|error| PackageError::Failed(format!("blob: {error}")))?
                }
            };
            let (packages, digest) = (self.clone(), *digest);
            blocking(move || packages.unpack(&digest, &zip)).await
        };
        cell.get_or_try_init(fill).await?;
        Ok(())
    }

    fn cell(&self, digest: &Digest) -> Arc<OnceCell<()>> {
        Arc::clone(&self.known().entry(*digest).or_default().unpacked)
    }

    fn unpack(&self, digest: &Digest, zip: &[u8]) -> Result<(), PackageError> {
        let path = self.path(digest);
        if path.is_dir() {
            return Ok(());
        }
        let temporary = self.temporary()?;
        let unpacked_bytes = unpack::unpack(zip, temporary.path())?;
        self.settle(temporary, digest)?;
        if let Some(known) = self.known().get_mut(digest) {
            known.unpacked_bytes = Some(unpacked_bytes);
        }
        Ok(())
    }

    /// Gives a finished directory its name.
    fn settle(&self, temporary: tempfile::TempDir, digest: &Digest) -> Result<(), PackageError> {
        let path = self.path(digest);
        let temporary = temporary.keep();
        fs::rename(&temporary, &path).map_err(failed(format!("cannot move a package to {}", path.display())))
    }

    fn temporary(&self) -> Result<tempfile::TempDir, PackageError> {
        let dir = &self.inner.dir;
        tempfile::Builder::new()
            .prefix(".new-")
            .tempdir_in(dir)
            .map_err(failed(format!("cannot create a directory in {}", dir.display())))
    }
}

/// Runs what reads or writes much on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PackageError> + Send + 'static,
) -> Result<T, PackageError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(PackageError::Failed(format!("unpacking stopped: {error}"))))
}

/// Moves away everything unpacked under an earlier boot, and says what is to be removed.
fn prepare(dir: &Path) -> io::Result<Vec<PathBuf>> {
    // A system without boot ids: take every start for a new boot.
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let mark = dir.join(".boot");
    let same_boot = !boot.is_empty() && fs::read_to_string(&mark).is_ok_and(|marked| marked == boot);
    let mut left_over = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        if entry.file_name().to_str().is_none_or(|name| name.starts_with('.')) {
            left_over.push(entry.path());
        } else if !same_boot {
            let away = away(dir);
            fs::rename(entry.path(), &away)?;
            left_over.push(away);
        }
    }
    if !same_boot {
        fs::write(&mark, boot)?;
    }
    Ok(left_over)
}

/// A name for a package that is on its way out.
fn away(dir: &Path) -> PathBuf {
    dir.join(format!(".old-{}", uuid::Uuid::new_v4().simple()))
}

#[cfg(test)]
#[path = "package_tests.rs"]
mod tests;

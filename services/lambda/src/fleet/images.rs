//! Process images as files: received from the box that made one, kept across server starts, shown to boxes.
//!
//! An image is a started process, written by itself; what it is good for is `sandbox::image`'s story. Here is its life
//! as a file: it comes over a pipe into a [`Draft`], which becomes an [`ImageFile`] once it was looked through and tried
//! out, and which is of use as long as the kernel is the same and none of the files has changed that it was made from.
//!
//! What it is not: it does not know who makes an image and for whom. That is `generic`'s part for images of
//! interpreters, and SnapStart's for those of functions.
//!
//! **Invariant:** a name that ends with `.image` is a whole image, synced, with its `.json` beside it.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use sandbox::{ReadOnlyMount, image};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, BufReader};
use tokio::net::unix::pipe;

/// Where both are in a box.
pub(super) const IMAGES_INSIDE: &str = "/var/lib/lamplighter";
/// Where the program that restores is in a box, and the image.
const RESTORE_INSIDE: &str = "/var/lib/lamplighter/restore";
const IMAGE_INSIDE: &str = "/var/lib/lamplighter/image";
/// The library with which a runtime client writes its image, within the client's directory: an image maps it, so it
/// must be at the same place in every box.
const LIBRARY: &str = "libcheckpoint.so";
/// What a file is called before it is whole.
const DRAFT: &str = "draft-";
/// What is read of an image at a time: as much as a pipe holds.
const PIECE_BYTES: usize = 64 * 1024;

/// All images of this server. Nothing is touched on disk before the first one is wanted.
pub(crate) struct Images {
    dir: PathBuf,
    /// By key: those that were looked at, and why there is none.
    known: Mutex<HashMap<String, Known>>,
    ready: OnceLock<Result<(), String>>,
}

enum Known {
    Good(Arc<ImageFile>),
    /// It could not be made, or not be restored: not tried again by this process.
    Bad(Arc<str>),
}

/// An image, whole and on disk.
#[derive(Debug)]
pub(crate) struct ImageFile {
    key: String,
    path: PathBuf,
    restore: PathBuf,
    aside: Aside,
}

/// What is kept beside an image.
#[derive(Debug, Serialize, Deserialize)]
struct Aside {
    /// In the words of whoever made it.
    about: String,
    /// Files and directories that must be what they were whenever it is used: those that it maps above all.
    always: Vec<Stamp>,
    /// Those that are looked at once per server start.
    at_first: Vec<Stamp>,
}

/// What a file was like.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    path: PathBuf,
    len: u64,
    modified_ns: i64,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Stamp> {
        let now = fs::metadata(path)?;
        Ok(Stamp {
            path: path.to_owned(),
            len: now.len(),
            modified_ns: now.mtime().saturating_mul(1_000_000_000).saturating_add(now.mtime_nsec()),
            inode: now.ino(),
        })
    }

    fn holds(&self) -> bool {
        Stamp::of(&self.path).is_ok_and(|now| now == *self)
    }
}

impl ImageFile {
    /// What its maker said of it.
    pub(crate) fn about(&self) -> &str {
        &self.aside.about
    }

    /// Its length.
    pub(crate) fn len_bytes(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |file| file.len())
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// What a box that starts from it sees besides, and its command.
    pub(crate) fn shown(&self) -> (Vec<ReadOnlyMount>, Vec<OsString>) {
        shown(&self.restore, &self.path)
    }
}

fn shown(restore: &Path, image: &Path) -> (Vec<ReadOnlyMount>, Vec<OsString>) {
    let mount =
        |host: &Path, inside: &str| ReadOnlyMount { host: host.to_owned(), inside: PathBuf::from(inside) };
    let mounts = vec![mount(restore, RESTORE_INSIDE), mount(image, IMAGE_INSIDE)];
    (mounts, vec![RESTORE_INSIDE.into(), IMAGE_INSIDE.into()])
}

impl Images {
    /// Images below `dir`, which need not exist.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Images { dir, known: Mutex::default(), ready: OnceLock::new() }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The image with this key, if there is one and nothing has changed that it was made from. Touches the disk.
    ///
    /// # Errors
    /// Why there will be none, if that is known.
    pub(crate) fn find(&self, key: &str) -> Result<Option<Arc<ImageFile>>, Arc<str>> {
        let known = match self.known().get(key) {
            Some(Known::Good(image)) => Some(Arc::clone(image)),
            Some(Known::Bad(why)) => return Err(Arc::clone(why)),
            None => None,
        };
        let image = match known {
            Some(image) => image,
            None => {
                let Some(image) = self.load(key) else { return Ok(None) };
                let image = Arc::new(image);
                self.known().insert(key.to_owned(), Known::Good(Arc::clone(&image)));
                image
            }
        };
        if image.aside.always.iter().all(Stamp::holds) {
            return Ok(Some(image));
        }
        tracing::info!(key, "an image is made anew: what it was made from has changed");
        self.remove(&image);
        Ok(None)
    }

    /// One of an earlier server start.
    fn load(&self, key: &str) -> Option<ImageFile> {
        let path = self.path(key);
        let text = fs::read(path.with_extension("json")).ok()?;
        let aside: Aside = serde_json::from_slice(&text).ok()?;
        let is_whole = image::check(&path).is_ok() && aside.at_first.iter().all(Stamp::holds);
        let image = ImageFile { key: key.to_owned(), path, restore: self.restore().ok()?, aside };
        if !is_whole {
            self.remove(&image);
            return None;
        }
        Some(image)
    }

    /// Takes an image from a pipe, at most `limit_bytes` of it. The key is letters, digits and `-`.
    ///
    /// # Errors
    /// The pipe or the disk failed, it was longer, or what came is no image.
    pub(crate) async fn receive(&self, key: &str, from: OwnedFd, limit_bytes: u64) -> io::Result<Draft> {
        let restore = self.restore()?;
        let file = tempfile::Builder::new().prefix(DRAFT).tempfile_in(&self.dir)?;
        let mut to = tokio::fs::File::from_std(file.reopen()?);
        let from = pipe::Receiver::from_owned_fd_unchecked(from)?.take(limit_bytes.saturating_add(1));
        // Each piece goes to a thread for files and back: small ones would keep the server busy with that.
        let mut from = BufReader::with_capacity(PIECE_BYTES, from);
        let len = tokio::io::copy_buf(&mut from, &mut to).await?;
        if len > limit_bytes {
            return Err(io::Error::other(format!("the image is longer than {limit_bytes} bytes")));
        }
        to.sync_all().await?;
        image::check(file.path())?;
        // Read through a mount, by the users of boxes; nobody else comes into the folder.
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o444))?;
        Ok(Draft { key: key.to_owned(), file, restore })
    }

    /// Makes a draft an image that is found from now on. `about` is kept with it. Touches the disk.
    ///
    /// # Errors
    /// The disk failed, or one of the files that it is made from is missing.
    pub(crate) fn keep(
        &self,
        draft: Draft,
        about: String,
        always: &[PathBuf],
        at_first: &[PathBuf],
    ) -> io::Result<Arc<ImageFile>> {
        let stamps = |paths: &[PathBuf]| paths.iter().map(|path| Stamp::of(path)).collect::<io::Result<_>>();
        let aside = Aside { about, always: stamps(always)?, at_first: stamps(at_first)? };
        let path = self.path(&draft.key);
        let mut beside = tempfile::Builder::new().prefix(DRAFT).tempfile_in(&self.dir)?;
        serde_json::to_writer(&mut beside, &aside)?;
        beside.as_file().sync_all()?;
        // The image last: with it, both are there.
        beside.persist(path.with_extension("json"))?;
        draft.file.persist(&path)?;
        fs::File::open(&self.dir)?.sync_all()?;
        let image = Arc::new(ImageFile { key: draft.key, path, restore: draft.restore, aside });
        self.known().insert(image.key.clone(), Known::Good(Arc::clone(&image)));
        Ok(image)
    }

    /// There is no image with this key, and there will be none while this process runs.
    pub(crate) fn give_up(&self, key: &str, why: &str) {
        if let Some(Known::Good(image)) = self.known().insert(key.to_owned(), Known::Bad(Arc::from(why))) {
            self.remove_files(&image.path);
        }
    }

    /// An image is not needed any more. Boxes that run from it go on.
    pub(crate) fn remove(&self, image: &ImageFile) {
        let mut known = self.known();
        if let Some(Known::Good(_)) = known.get(&image.key) {
            known.remove(&image.key);
        }
        drop(known);
        self.remove_files(&image.path);
    }

    /// Removes the images whose keys are not to stay.
    pub(crate) fn sweep(&self, stays: impl Fn(&str) -> bool) {
        self.known().retain(|key, _| stays(key));
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let key = name.to_str().and_then(|name| name.strip_suffix(".image"));
            let key = key.and_then(|name| name.strip_prefix(fingerprint())?.strip_prefix('-'));
            if key.is_some_and(|key| !stays(key)) {
                self.remove_files(&entry.path());
            }
        }
    }

    fn remove_files(&self, path: &Path) {
        for path in [path.to_owned(), path.with_extension("json")] {
            if let Err(error) = fs::remove_file(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "an old image was not removed");
            }
        }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.dir.join(format!("{}-{key}.image", fingerprint()))
    }

    /// An empty folder as the code's and the layers' stand-in while an image without any function is made.
    pub(crate) fn stand_in(&self) -> io::Result<PathBuf> {
        let dir = self.dir.join("empty");
        fs::create_dir_all(dir.join("lib"))?;
        Ok(dir)
    }

    /// Puts the library beside a runtime client.
    pub(crate) fn equip(client_dir: &Path) -> io::Result<()> {
        let Some(library) = image::checkpoint_library() else { return Ok(()) };
        put(&client_dir.join(LIBRARY), library, 0o644)
    }

    /// The program that restores. Makes the folder ready, and removes what is of no use in it, at the first call.
    fn restore(&self) -> io::Result<PathBuf> {
        let ready = self.ready.get_or_init(|| self.make_ready().map_err(|error| error.to_string()));
        ready.clone().map_err(io::Error::other)?;
        Ok(self.dir.join("restore"))
    }

    fn make_ready(&self) -> io::Result<()> {
        let Some(program) = image::restore_program() else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "no images on this architecture"));
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        fs::set_permissions(&self.dir, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&self.dir)?.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let is_image = name.ends_with(".image") || name.ends_with(".json");
            if name.starts_with(DRAFT) || (is_image && !name.starts_with(fingerprint())) {
                let _ = fs::remove_file(entry.path()); // the next start tries again
            }
        }
        put(&self.dir.join("restore"), program, 0o755)
    }
}

/// An image that is not yet known to be any good. Gone when it is dropped.
pub(crate) struct Draft {
    key: String,
    file: NamedTempFile,
    restore: PathBuf,
}

impl Draft {
    /// As [`ImageFile::shown`], for trying it out.
    pub(crate) fn shown(&self) -> (Vec<ReadOnlyMount>, Vec<OsString>) {
        shown(&self.restore, self.file.path())
    }
}

/// The kernel and processor that run.
pub(crate) fn fingerprint() -> &'static str {
    static FINGERPRINT: OnceLock<String> = OnceLock::new();
    FINGERPRINT.get_or_init(image::fingerprint)
}

/// Writes a file unless it is there already: by rename, since boxes may have it mapped.
pub(super) fn put(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    if fs::read(path).is_ok_and(|present| present == content) {
        return Ok(());
    }
    let dir = path.parent().unwrap_or(Path::new("/"));
    let file = tempfile::Builder::new().prefix(DRAFT).tempfile_in(dir)?;
    fs::write(file.path(), content)?;
    fs::set_permissions(file.path(), fs::Permissions::from_mode(mode))?;
    file.persist(path)?;
    Ok(())
}

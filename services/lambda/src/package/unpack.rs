//! A deployment package on its way from a zip to a directory, believed in nothing.
//!
//! The sizes in the zip's headers are claims: bytes are counted as they are inflated. Every directory and file is
//! made before the first symbolic link, so no entry is ever written through a link, wherever it points. Links are
//! followed on paper ([`super::links`]), never on this host's disk.
//!
//! It does not decide where packages lie or how long; that is the parent module.
//!
//! Limits: <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Cursor, Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use super::links;

/// An unpacked package must stay below this many bytes.
pub(crate) const MAX_UNPACKED_BYTES: u64 = 262_144_000;
/// More entries than this are refused: every one costs an inode. AWS documents no number.
const MAX_ENTRIES: usize = 100_000;
/// Central directory headers a zip may hold at all, before its directory is read into memory. Zips inside the zip
/// count too when they are stored uncompressed, hence the room.
const MAX_DIRECTORY_HEADERS: usize = 4 * MAX_ENTRIES;
/// The target of a symbolic link, in bytes.
const MAX_LINK_BYTES: u64 = 1024;

const FILE_TYPE_MASK: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

/// Why a zip did not become a package.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnpackError {
    /// The zip has no entry, or no byte.
    #[error("Uploaded file must be a non-empty zip")]
    Empty,
    /// Not a zip, a damaged one, or one with an entry that has no place in a package.
    #[error("Could not unzip uploaded file. Please check your file, then try to upload again.{}", reason(.0))]
    Invalid(Option<String>),
    /// The content is larger than AWS takes.
    #[error("Unzipped size must be smaller than {MAX_UNPACKED_BYTES} bytes")]
    TooLarge,
    /// This host could not write it.
    #[error("cannot unpack a package to {path}: {source}")]
    Disk {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn reason(detail: &Option<String>) -> String {
    detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default()
}

impl UnpackError {
    fn entry(name: &str, what: &str) -> Self {
        let shown: String = name.chars().take(200).collect();
        UnpackError::Invalid(Some(format!("entry '{}' {what}", shown.escape_debug())))
    }

    fn disk(path: &Path, source: io::Error) -> Self {
        UnpackError::Disk { path: path.to_owned(), source }
    }
}

/// Unpacks `zip` into the existing, empty directory `root`. Files get mode 0644, or 0755 when anyone may execute
/// them; directories 0755. On an error `root` holds a part, which the caller removes. The bytes of all files come back.
///
/// # Errors
/// What the zip is not, or the disk's error.
pub(crate) fn unpack(zip: &[u8], root: &Path) -> Result<u64, UnpackError> {
    let mut archive = open(zip)?;
    let mut writer = Writer { root, made: HashSet::new(), left_bytes: MAX_UNPACKED_BYTES - 1 };
    let mut symlinks = BTreeMap::new();
    for index in 0..archive.len() {
        let mut entry =
            archive.by_index(index).map_err(|error| UnpackError::Invalid(Some(error.to_string())))?;
        let name = entry.name().map_err(|error| UnpackError::Invalid(Some(error.to_string())))?.into_owned();
        let path = inner_path(&name)?;
        let mode = entry.unix_mode();
        match kind(&name, entry.is_dir(), mode)? {
            Kind::Directory => writer.directory(&name, &path)?,
            Kind::File { executable } => writer.file(&name, &path, executable, &mut entry)?,
            Kind::Link => {
                writer.parent(&name, &path)?;
                symlinks.insert(path, writer.link_target(&name, &mut entry)?);
            }
        }
    }
    links::check(&symlinks).map_err(|(name, what)| UnpackError::entry(&name, what))?;
    for (path, target) in &symlinks {
        let at = root.join(path);
        symlink(target, &at).map_err(|error| create_error(path, &at, error))?;
    }
    fs::set_permissions(root, Permissions::from_mode(0o755))
        .map_err(|error| UnpackError::disk(root, error))?;
    Ok(MAX_UNPACKED_BYTES - 1 - writer.left_bytes)
}

/// Reads the central directory, and refuses what would not fit memory or any package.
fn open(zip: &[u8]) -> Result<ZipArchive<Cursor<&[u8]>>, UnpackError> {
    if zip.is_empty() {
        return Err(UnpackError::Empty);
    }
    if memchr::memmem::find_iter(zip, b"PK\x01\x02").nth(MAX_DIRECTORY_HEADERS).is_some() {
        return Err(too_many_entries());
    }
    let archive = ZipArchive::new(Cursor::new(zip)).map_err(|_| UnpackError::Invalid(None))?;
    if archive.is_empty() {
        return Err(UnpackError::Empty);
    }
    if archive.len() > MAX_ENTRIES {
        return Err(too_many_entries());
    }
    // A claim, but one that saves inflating: no honest zip claims more than it holds.
    if archive.decompressed_size().is_some_and(|claimed| claimed >= u128::from(MAX_UNPACKED_BYTES)) {
        return Err(UnpackError::TooLarge);
    }
    Ok(archive)
}

fn too_many_entries() -> UnpackError {
    UnpackError::Invalid(Some(format!("it has more than {MAX_ENTRIES} entries")))
}

enum Kind {
    Directory,
    File { executable: bool },
    Link,
}

fn kind(name: &str, named_as_directory: bool, mode: Option<u32>) -> Result<Kind, UnpackError> {
    let mode = mode.unwrap_or(0);
    match mode & FILE_TYPE_MASK {
        LINK => Ok(Kind::Link),
        DIRECTORY => Ok(Kind::Directory),
        REGULAR | 0 if named_as_directory => Ok(Kind::Directory),
        REGULAR | 0 => Ok(Kind::File { executable: mode & 0o111 != 0 }),
        _ => Err(UnpackError::entry(name, "is a device, pipe or socket")),
    }
}

/// The entry's path inside the package, without `.` and empty parts.
fn inner_path(name: &str) -> Result<String, UnpackError> {
    if name.starts_with('/') {
        return Err(UnpackError::entry(name, "has an absolute path"));
    }
    if name.contains('\0') {
        return Err(UnpackError::entry(name, "has a zero byte in its name"));
    }
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(UnpackError::entry(name, "leaves the package")),
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

struct Writer<'a> {
    root: &'a Path,
    /// Directories made so far, relative to the root: each is a real one, because links come last.
    made: HashSet<String>,
    left_bytes: u64,
}

impl Writer<'_> {
    fn directory(&mut self, name: &str, path: &str) -> Result<(), UnpackError> {
        if path.is_empty() { Ok(()) } else { self.parent(name, &format!("{path}/")) }
    }

    fn parent(&mut self, name: &str, path: &str) -> Result<(), UnpackError> {
        if path.is_empty() {
            return Err(UnpackError::entry(name, "has no name"));
        }
        // One level at a time and without recursion: a path may be 65,535 bytes deep.
        for (at, _) in path.match_indices('/') {
            let parent = &path[..at];
            if !self.made.contains(parent) {
                let full = self.root.join(parent);
                fs::create_dir(&full).map_err(|error| create_error(name, &full, error))?;
                fs::set_permissions(&full, Permissions::from_mode(0o755))
                    .map_err(|error| UnpackError::disk(&full, error))?;
                self.made.insert(parent.to_owned());
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        name: &str,
        path: &str,
        executable: bool,
        content: &mut impl Read,
    ) -> Result<(), UnpackError> {
        self.parent(name, path)?;
        let at = self.root.join(path);
        let mut file = create_file(name, &at)?;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => return Err(UnpackError::entry(name, &format!("is damaged: {error}"))),
            };
            self.left_bytes = self.left_bytes.checked_sub(count as u64).ok_or(UnpackError::TooLarge)?;
            file.write_all(&buffer[..count]).map_err(|error| UnpackError::disk(&at, error))?;
        }
        let mode = if executable { 0o755 } else { 0o644 };
        file.set_permissions(Permissions::from_mode(mode)).map_err(|error| UnpackError::disk(&at, error))
    }

    fn link_target(&mut self, name: &str, content: &mut impl Read) -> Result<String, UnpackError> {
        let mut target = Vec::new();
        content
            .take(MAX_LINK_BYTES + 1)
            .read_to_end(&mut target)
            .map_err(|error| UnpackError::entry(name, &format!("is damaged: {error}")))?;
        if target.is_empty() || target.len() as u64 > MAX_LINK_BYTES || target.contains(&0) {
            return Err(UnpackError::entry(name, "is a symbolic link without a usable target"));
        }
        String::from_utf8(target)
            .map_err(|_| UnpackError::entry(name, "is a symbolic link to a name that is not UTF-8"))
    }
}

/// Of two entries with one name the last wins, as with `unzip`.
fn create_file(name: &str, at: &Path) -> Result<File, UnpackError> {
    let create = || OpenOptions::new().write(true).create_new(true).open(at);
    match create() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(at).and_then(|()| create()).map_err(|error| create_error(name, at, error))
        }
        other => other.map_err(|error| create_error(name, at, error)),
    }
}

/// Is it the name's fault (a file where a directory must be, a name too long) or the disk's?
fn create_error(name: &str, at: &Path, error: io::Error) -> UnpackError {
    match error.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            UnpackError::entry(name, "collides with another entry")
        }
        io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput => {
            UnpackError::entry(name, "has a name that this file system cannot hold")
        }
        _ => UnpackError::disk(at, error),
    }
}

#[cfg(test)]
#[path = "unpack_tests.rs"]
mod tests;

//! A folder as a deployment package: a zip archive that is the same for the same files, whenever it is made.
//!
//! Entries are sorted, times fixed and nothing is compressed: the archive travels inside one process, and an
//! unchanged folder must give an unchanged CodeSha256, so that a second `run` updates nothing.

use std::fs::File;
use std::io::{Cursor, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::SamError;

/// Folders that are never part of a package: ours, version control's, and tools' caches.
const LEFT_OUT: [&str; 5] = [".lamplighter", ".aws-sam", ".git", "__pycache__", ".venv"];

/// Packages one file's text under a name, for `InlineCode`.
pub(crate) fn inline(name: &str, text: &str) -> Result<Bytes, SamError> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let path = Path::new(name);
    archive.start_file(name, options(0o644)).map_err(|error| failed(path, error))?;
    archive.write_all(text.as_bytes()).map_err(|cause| SamError::file(path, cause))?;
    finish(archive, path)
}

/// Packages a folder, or reads a `.zip` as it is.
pub(crate) fn package(path: &Path) -> Result<Bytes, SamError> {
    if path.is_file() {
        return std::fs::read(path).map(Bytes::from).map_err(|cause| SamError::file(path, cause));
    }
    let mut files = Vec::new();
    collect(path, Path::new(""), &mut files)?;
    files.sort();
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let mut content = Vec::new();
    for relative in &files {
        add(&mut archive, path, relative, &mut content)?;
    }
    finish(archive, path)
}

fn add(
    archive: &mut ZipWriter<Cursor<Vec<u8>>>,
    root: &Path,
    relative: &Path,
    content: &mut Vec<u8>,
) -> Result<(), SamError> {
    let path = root.join(relative);
    let name = relative.to_string_lossy();
    let kind = path.symlink_metadata().map_err(|cause| SamError::file(&path, cause))?;
    if kind.is_symlink() {
        let target = std::fs::read_link(&path).map_err(|cause| SamError::file(&path, cause))?;
        return archive
            .add_symlink(name, target.to_string_lossy(), options(0o777))
            .map_err(|error| failed(&path, error));
    }
    // Only the executable bit counts: a checkout's umask must not change the package.
    let mode = if kind.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
    content.clear();
    File::open(&path)
        .and_then(|mut file| file.read_to_end(content))
        .map_err(|cause| SamError::file(&path, cause))?;
    archive.start_file(name, options(mode)).map_err(|error| failed(&path, error))?;
    archive.write_all(content).map_err(|cause| SamError::file(&path, cause))
}

fn collect(root: &Path, relative: &Path, files: &mut Vec<PathBuf>) -> Result<(), SamError> {
    let folder = root.join(relative);
    let entries = std::fs::read_dir(&folder).map_err(|cause| SamError::file(&folder, cause))?;
    for entry in entries {
        let entry = entry.map_err(|cause| SamError::file(&folder, cause))?;
        let name = entry.file_name();
        if LEFT_OUT.iter().any(|left_out| name == *left_out) {
            continue;
        }
        let relative = relative.join(&name);
        let kind = entry.file_type().map_err(|cause| SamError::file(&folder, cause))?;
        if kind.is_dir() {
            collect(root, &relative, files)?;
        } else if kind.is_file() || kind.is_symlink() {
            files.push(relative);
        }
    }
    Ok(())
}

fn options(mode: u32) -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(CompressionMethod::Stored).unix_permissions(mode)
}

fn finish(archive: ZipWriter<Cursor<Vec<u8>>>, path: &Path) -> Result<Bytes, SamError> {
    Ok(Bytes::from(archive.finish().map_err(|error| failed(path, error))?.into_inner()))
}

fn failed(path: &Path, error: zip::result::ZipError) -> SamError {
    SamError::file(path, std::io::Error::other(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_give_the_same_package() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("lib/__pycache__")).unwrap();
        std::fs::write(folder.path().join("app.py"), "x").unwrap();
        std::fs::write(folder.path().join("lib/a.py"), "y").unwrap();
        let first = package(folder.path()).unwrap();
        std::fs::write(folder.path().join("lib/__pycache__/a.pyc"), "cache").unwrap();
        std::fs::write(folder.path().join("app.py"), "x").unwrap();
        assert_eq!(first, package(folder.path()).unwrap());
        std::fs::set_permissions(folder.path().join("app.py"), PermissionsExt::from_mode(0o755)).unwrap();
        assert_ne!(first, package(folder.path()).unwrap());
    }
}

//! The runtime clients, embedded: what a box sees as `/var/runtime`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::catalog::Language;

static PYTHON: &[(&str, &str)] = &[
    ("bootstrap.py", include_str!("../python/bootstrap.py")),
    ("lamplighter_runtime/__init__.py", include_str!("../python/lamplighter_runtime/__init__.py")),
    ("lamplighter_runtime/http.py", include_str!("../python/lamplighter_runtime/http.py")),
    ("lamplighter_runtime/codec.py", include_str!("../python/lamplighter_runtime/codec.py")),
    ("lamplighter_runtime/context.py", include_str!("../python/lamplighter_runtime/context.py")),
    ("lamplighter_runtime/errors.py", include_str!("../python/lamplighter_runtime/errors.py")),
    ("lamplighter_runtime/logs.py", include_str!("../python/lamplighter_runtime/logs.py")),
];

static NODE: &[(&str, &str)] = &[
    ("bootstrap.mjs", include_str!("../node/bootstrap.mjs")),
    ("lib/client.cjs", include_str!("../node/lib/client.cjs")),
    ("lib/context.cjs", include_str!("../node/lib/context.cjs")),
    ("lib/errors.cjs", include_str!("../node/lib/errors.cjs")),
    ("lib/handler.cjs", include_str!("../node/lib/handler.cjs")),
    ("lib/logs.cjs", include_str!("../node/lib/logs.cjs")),
    ("lib/loop.cjs", include_str!("../node/lib/loop.cjs")),
];

/// The files of a language's runtime client: path relative to `/var/runtime`, and content. Empty for a language
/// without one (a `provided` runtime brings its own).
#[must_use]
pub fn files(language: Language) -> &'static [(&'static str, &'static str)] {
    match language {
        Language::Python => PYTHON,
        Language::Node => NODE,
        _ => &[],
    }
}

/// The runtime client could not be written to disk.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the runtime client to {path}: {source}", path = path.display())]
pub struct UnpackError {
    /// The file or directory.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// Writes the files of `language` into `dir` (created if missing), world-readable. Files that already hold the
/// right content are left alone, so it is cheap to call at every start; a running box never sees a half file,
/// because a changed one is replaced by rename.
///
/// # Errors
/// The first file or directory that could not be written.
pub fn unpack(language: Language, dir: &Path) -> Result<(), UnpackError> {
    let create = |dir: &Path| fs::create_dir_all(dir).map_err(|source| at(dir, source));
    create(dir)?;
    for (name, content) in files(language) {
        let path = dir.join(name);
        if fs::read(&path).is_ok_and(|present| present == content.as_bytes()) {
            continue;
        }
        if let Some(parent) = path.parent() {
            create(parent)?;
        }
        let fresh = path.with_extension(format!("new.{}", std::process::id()));
        fs::write(&fresh, content).and_then(|()| fs::rename(&fresh, &path)).map_err(|source| at(&path, source))?;
    }
    Ok(())
}

fn at(path: &Path, source: io::Error) -> UnpackError {
    UnpackError { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacking_twice_leaves_exactly_the_files() {
        let dir = tempfile::tempdir().unwrap();
        for language in [Language::Python, Language::Node] {
            let dir = dir.path().join(format!("{language:?}"));
            unpack(language, &dir).unwrap();
            fs::write(dir.join(files(language)[0].0), "damaged").unwrap();
            unpack(language, &dir).unwrap();
            for (name, content) in files(language) {
                assert_eq!(fs::read_to_string(dir.join(name)).unwrap(), *content);
            }
        }
        assert!(files(Language::Provided).is_empty());
    }
}

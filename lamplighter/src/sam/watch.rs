//! `run --watch`: which saved files mean which functions.
//!
//! The kernel tells what changed (inotify, through `notify`); changes that come together are taken together. It
//! decides nothing about how to deploy.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{ErrorKind, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

/// How long the folder must be quiet before a change is acted on. Editors write a file in two or three steps.
const QUIET: Duration = Duration::from_millis(15);

/// Folders whose changes mean nothing: our own build results, version control, caches.
const IGNORED: [&str; 6] = [".lamplighter", ".aws-sam", ".git", "__pycache__", "node_modules", "target"];

/// Changes below a folder.
pub(crate) struct Changes {
    events: mpsc::UnboundedReceiver<PathBuf>,
    _watcher: RecommendedWatcher,
}

impl Changes {
    /// Watches a folder and all below it.
    ///
    /// # Errors
    /// The system's watch limit is reached, or the folder is gone.
    pub(crate) fn below(folder: &Path) -> Result<Changes, notify::Error> {
        let root = folder.canonicalize().map_err(notify::Error::io)?;
        let (sender, events) = mpsc::unbounded_channel();
        let base = root.clone();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            if matches!(event.kind, EventKind::Access(_)) {
                return;
            }
            for path in event.paths {
                if !is_ignored(&base, &path) {
                    // The receiver is gone only when `run` is ending.
                    let _ = sender.send(path);
                }
            }
        })?;
        watcher.watch(&root, RecursiveMode::Recursive)?;
        Ok(Changes { events, _watcher: watcher })
    }

    /// The next changed paths, once the folder is quiet again. `None` when watching has ended.
    pub(crate) async fn next(&mut self) -> Option<BTreeSet<PathBuf>> {
        let mut paths = BTreeSet::from([self.events.recv().await?]);
        while let Ok(Some(path)) = tokio::time::timeout(QUIET, self.events.recv()).await {
            paths.insert(path);
        }
        Some(paths)
    }
}

/// Why watching failed and, where the system's own words mislead, what to do.
pub(crate) fn explain(error: &notify::Error) -> String {
    let limit = match &error.kind {
        // EMFILE, which inotify gives for its own limit as well.
        ErrorKind::Io(cause) if cause.raw_os_error() == Some(24) => "fs.inotify.max_user_instances",
        ErrorKind::MaxFilesWatch => "fs.inotify.max_user_watches",
        _ => return error.to_string(),
    };
    format!(
        "too many files or folders are watched on this host: close a watching program, or raise the kernel's {limit} (sysctl)"
    )
}

fn is_ignored(base: &Path, path: &Path) -> bool {
    let relative = path.strip_prefix(base).unwrap_or(path);
    relative.components().any(|part| IGNORED.iter().any(|ignored| part.as_os_str() == *ignored))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_the_kernel_is_named() {
        let error = notify::Error::io(std::io::Error::from_raw_os_error(24));
        assert!(explain(&error).contains("fs.inotify.max_user_instances"));
        let error = notify::Error::new(ErrorKind::MaxFilesWatch);
        assert!(explain(&error).contains("fs.inotify.max_user_watches"));
    }

    #[tokio::test]
    async fn a_saved_file_is_seen_and_a_cache_is_not() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("__pycache__")).unwrap();
        let mut changes = Changes::below(folder.path()).unwrap();
        std::fs::write(folder.path().join("__pycache__/x.pyc"), "").unwrap();
        std::fs::write(folder.path().join("app.py"), "x").unwrap();
        let paths = tokio::time::timeout(Duration::from_secs(10), changes.next()).await.unwrap().unwrap();
        assert_eq!(
            paths.into_iter().collect::<Vec<_>>(),
            [folder.path().canonicalize().unwrap().join("app.py")]
        );
    }
}

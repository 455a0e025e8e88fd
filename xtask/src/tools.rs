//! What the subcommands share: running a program, and where downloads and installations are kept.
//!
//! The cache stands outside the checkout, so that a fresh clone on the same machine starts warm.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a subcommand returns; the error is the line to print.
pub(crate) type Outcome = Result<(), String>;

/// The checkout's root.
pub(crate) fn root() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().map(Path::to_owned).unwrap_or(manifest)
}

/// `$LAMPLIGHTER_CACHE`, or `lamplighter` in the user's cache folder.
pub(crate) fn cache() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("LAMPLIGHTER_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("lamplighter")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/lamplighter")))
        .unwrap_or_else(|| std::env::temp_dir().join("lamplighter"))
}

/// Where cargo builds.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Says what is going on.
pub(crate) fn say(text: &str) {
    eprintln!("==> {text}");
}

/// Runs a program from the checkout's root with its output shown; an exit code other than 0 is an error.
pub(crate) fn run<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, arguments: &[S]) -> Outcome {
    run_command(Command::new(program).args(arguments).current_dir(root()))
}

/// The same for a command that has its own folder or environment.
pub(crate) fn run_command(command: &mut Command) -> Outcome {
    let shown = format!("{command:?}");
    let status = command.status().map_err(|error| format!("{shown} could not be started: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{shown} failed: {status}")) }
}

/// Whether a program answers to `--version`.
pub(crate) fn has(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Does `work` in a folder of the cache unless it was done before for the same `inputs`. The folder is made anew when
/// the inputs changed; a run that was broken off leaves no mark and is done again.
pub(crate) fn once(name: &str, inputs: &str, work: impl FnOnce(&Path) -> Outcome) -> Result<PathBuf, String> {
    let folder = cache().join(name);
    let mark = folder.join(".done");
    let wrong = |error: std::io::Error| format!("{}: {error}", folder.display());
    if fs::read_to_string(&mark).is_ok_and(|known| known == inputs) {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(wrong)?;
    }
    fs::create_dir_all(&folder).map_err(wrong)?;
    work(&folder)?;
    fs::write(&mark, inputs).map_err(wrong)?;
    Ok(folder)
}

//! Landlock, where the kernel has it: a second opinion on the file system, after the mounts.
//!
//! Read and execute below `/`, anything below `/tmp` and the shared folders, writing to `/dev` and `/proc` (where the mounts and the owner
//! of a file still decide). Also no signals and no abstract sockets to processes outside, where supported.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use landlock::{ABI, Access, AccessFs, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, Scope};

/// The newest version whose rights we know how to give.
const KNOWN: ABI = ABI::V6;

/// For this process and all that come from it.
pub(crate) fn restrict<'a>(folders: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
    let refused = |error: landlock::RulesetError| io::Error::other(error);
    let path = |path: &str| PathFd::new(path).map_err(io::Error::other);
    let all = AccessFs::from_all(KNOWN);
    let write_files = AccessFs::WriteFile | AccessFs::Truncate | AccessFs::IoctlDev;
    let ruleset = Ruleset::default()
        .handle_access(all)
        .and_then(|ruleset| ruleset.scope(Scope::from_all(KNOWN)))
        .and_then(Ruleset::create)
        .map_err(refused)?
        .add_rule(PathBeneath::new(path("/")?, AccessFs::from_read(KNOWN)))
        .map_err(refused)?
        .add_rule(PathBeneath::new(path("/tmp")?, all))
        .map_err(refused)?
        .add_rule(PathBeneath::new(path("/dev")?, AccessFs::from_read(KNOWN) | write_files))
        .map_err(refused)?
        .add_rule(PathBeneath::new(path("/proc")?, AccessFs::from_read(KNOWN) | write_files))
        .map_err(refused)?;
    folders
        .map(|folder| PathFd::new(OsStr::from_bytes(folder)).map_err(io::Error::other))
        .try_fold(ruleset, |ruleset, folder| {
            ruleset.add_rule(PathBeneath::new(folder?, all)).map_err(refused)
        })?
        .restrict_self()
        .map(drop)
        .map_err(refused)
}

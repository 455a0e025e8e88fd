//! The box's view of the file system: built in a private mount namespace, then pivoted into; the host's view goes.
//!
//! The root is a small tmpfs: the host's `/usr` and its companions, our own `/etc` and `/dev` (prepared once by the
//! spawner, see `spawner::base`), the caller's mounts, everything read-only, without set-uid; `/proc` of the box's
//! own process namespace; a disk (or a tmpfs) as `/tmp`; the shared folders, which can be written to. No `/sys`, no `/dev/shm`, no `/home`, no `/root`, no `/var` of the host.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_bind,
    mount_bind_recursive, mount_change, move_mount, open_tree, unmount,
};

use super::identity::{self, DiskOwner};
use super::{Step, StepError};
use crate::sys::{ATTR_NO_DEV, ATTR_NO_SUID, ATTR_READ_ONLY, map_owner, mount_setattr};

/// What of the host's root a box sees, if it is there.
const HOST_PARTS: &[&str] = &["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"];
/// Places that always exist in a box.
const PLACES: &[&str] = &["etc", "dev", "proc", "tmp", "opt", "var/task", "var/runtime", "var/lang"];
/// Parts of `/proc` that tell about the whole machine. Only root could read them: this is the second lock.
const HIDDEN_IN_PROC: &[&str] = &["kcore", "keys", "timer_list", "sysrq-trigger", "latency_stats"];

/// Builds the part of the root that all boxes have, and moves this process into it. Later mounts go into it from there.
pub(crate) fn enter(base: &Path) -> Result<(), StepError> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .step("make the mounts private")?;
    let root = base.join("root");
    let no_suid = MountFlags::NOSUID;
    mount("box", &root, "tmpfs", no_suid | MountFlags::NODEV, c"size=1m,nr_inodes=4k,mode=755")
        .step("mount the root")?;
    for part in HOST_PARTS {
        show_host_part(&root, part)?;
    }
    for place in PLACES {
        fs::create_dir_all(root.join(place)).step_at("make", &root.join(place))?;
    }
    mount_bind_recursive(base.join("etc"), root.join("etc")).step("bind /etc")?;
    mount_bind_recursive(base.join("dev"), root.join("dev")).step("bind /dev")?;
    // While the host's /proc can still be seen: without root rights the kernel asks for that.
    let flags = no_suid | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", root.join("proc"), "proc", flags, None).step("mount /proc")?;

    rustix::process::chdir(&root).step("enter the root")?;
    rustix::process::pivot_root(".", ".").step("pivot the root")?;
    unmount(".", UnmountFlags::DETACH).step("leave the host's root")?;
    rustix::process::chdir("/").step("enter the root")?;

    guard_proc()?;
    // The others are read-only already, or must not be.
    for path in ["/etc", "/dev"] {
        set_attributes(Path::new(path), ATTR_READ_ONLY | ATTR_NO_SUID)?;
    }
    Ok(())
}

/// What is mounted into the root of one box.
pub(crate) struct Furniture<'a> {
    /// Cut out of the host's tree by the spawner: the mounts, then the folders.
    pub(crate) trees: Vec<OwnedFd>,
    /// Paths inside.
    pub(crate) mounts: &'a [Vec<u8>],
    /// The same, to be written to.
    pub(crate) folders: &'a [Vec<u8>],
    pub(crate) tmp_mib: u32,
    /// What becomes `/tmp`; `None`: a tmpfs.
    pub(crate) disk: Option<OwnedFd>,
    /// The owner of `/tmp`, as this process's user namespace names it.
    pub(crate) owner: u32,
    /// If that is an id of its own, which no file on the host has: the id that all boxes have in folders of root.
    pub(crate) stranger: Option<u32>,
}

/// Mounts what belongs to this box and makes the root read-only.
pub(crate) fn furnish(furniture: Furniture<'_>) -> Result<(), StepError> {
    let Furniture { trees, mounts, folders, tmp_mib, disk, owner, stranger } = furniture;
    if trees.len() != mounts.len() + folders.len() {
        return Err(io::Error::from(io::ErrorKind::InvalidData)).step("take the mounts");
    }
    let mut trees = trees.into_iter();
    for (inside, tree) in mounts.iter().zip(&mut trees) {
        place(Path::new(OsStr::from_bytes(inside)), &tree, Path::new("/"))?;
    }
    for (inside, tree) in folders.iter().zip(trees) {
        place_folder(Path::new(OsStr::from_bytes(inside)), &tree, owner, stranger)?;
    }
    mount_tmp(tmp_mib, disk, owner)?;
    let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount_remount("/", flags, "").step("make the root read-only")
}

/// The root as it is before it becomes read-only, mounted nowhere: through it mount points can still be made.
pub(crate) fn writable_root() -> Result<OwnedFd, StepError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    open_tree(rustix::fs::CWD, "/", flags).step("keep the root")
}

/// Mounts more, into a root that is read-only already.
pub(crate) fn add(writable: &OwnedFd, trees: Vec<OwnedFd>, mounts: &[Vec<u8>]) -> Result<(), StepError> {
    if trees.len() != mounts.len() {
        return Err(io::Error::from(io::ErrorKind::InvalidData)).step("take the mounts");
    }
    let through = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(writable)));
    for (inside, tree) in mounts.iter().zip(&trees) {
        place(Path::new(OsStr::from_bytes(inside)), tree, &through)?;
    }
    Ok(())
}

/// Cuts a read-only mount out of the tree of this process.
pub(crate) fn cut(host: &[u8]) -> Result<OwnedFd, StepError> {
    let host = Path::new(OsStr::from_bytes(host));
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(rustix::fs::CWD, host, flags).step_at("open the mount source", host)?;
    mount_setattr(&tree, ATTR_READ_ONLY | ATTR_NO_SUID | ATTR_NO_DEV).step_at("restrict the mount", host)?;
    Ok(tree)
}

/// Cuts a folder to write to.
pub(crate) fn cut_folder(host: &[u8]) -> Result<OwnedFd, StepError> {
    let host = Path::new(OsStr::from_bytes(host));
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(rustix::fs::CWD, host, flags).step_at("open the shared folder", host)?;
    mount_setattr(&tree, ATTR_NO_SUID | ATTR_NO_DEV).step_at("restrict the shared folder", host)?;
    let mode = rustix::fs::fstat(&tree).step_at("look at", host)?.st_mode;
    if !rustix::fs::FileType::from_raw_mode(mode).is_dir() {
        return Err(io::Error::from(rustix::io::Errno::NOTDIR)).step_at("open the shared folder", host);
    }
    Ok(tree)
}

/// What the folder's owner has there, the box's user has: what the box makes belongs to that owner on the host. If that
/// is root, who must not own what strangers make, all boxes are one stranger. Not every file system can do it.
fn place_folder(inside: &Path, tree: &OwnedFd, owner: u32, stranger: Option<u32>) -> Result<(), StepError> {
    if let Some(stranger) = stranger {
        let found = rustix::fs::fstat(tree).step_at("look at", inside)?;
        let stands_for = match found.st_uid {
            0 => DiskOwner::Stranger(stranger),
            uid => DiskOwner::User { uid, gid: found.st_gid },
        };
        // Here, where `/proc` knows the processes of the box.
        if let Some(space) = identity::owner_map(&stands_for, owner)? {
            match map_owner(tree, &space) {
                // This file system cannot.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
                mapped => mapped.step_at("map the owner of", inside)?,
            }
        }
    }
    place(inside, tree, Path::new("/"))
}

/// Runs in the new root: no link can lead out of it. `writable` is where mount points can be made.
fn place(inside: &Path, tree: &OwnedFd, writable: &Path) -> Result<(), StepError> {
    if !inside.exists() {
        let mode = rustix::fs::fstat(tree).step_at("look at", inside)?.st_mode;
        let is_dir = rustix::fs::FileType::from_raw_mode(mode).is_dir();
        let point = writable.join(inside.strip_prefix("/").unwrap_or(inside));
        let parent = if is_dir { Some(point.as_path()) } else { point.parent() };
        if let Some(parent) = parent {
            fs::create_dir_all(parent).step_at("make the mount point", inside)?;
        }
        if !is_dir {
            fs::File::create_new(&point).step_at("make the mount point", inside)?;
        }
    }
    move_mount(tree, "", rustix::fs::CWD, inside, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .step_at("mount", inside)
}

/// A directory is bound, a link (as in merged `/usr`) is copied.
fn show_host_part(root: &Path, part: &str) -> Result<(), StepError> {
    let host = Path::new("/").join(part);
    let inside = root.join(part);
    let Ok(kind) = fs::symlink_metadata(&host).map(|found| found.file_type()) else { return Ok(()) };
    if kind.is_symlink() {
        let target = fs::read_link(&host).step_at("read the link", &host)?;
        return std::os::unix::fs::symlink(target, &inside).step_at("copy the link", &host);
    }
    fs::create_dir(&inside).step_at("make", &inside)?;
    mount_bind_recursive(&host, &inside).step_at("bind", &host)?;
    set_attributes(&inside, ATTR_READ_ONLY | ATTR_NO_SUID | ATTR_NO_DEV)
}

fn set_attributes(path: &Path, attributes: u64) -> Result<(), StepError> {
    let flags = OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let fd = open_tree(rustix::fs::CWD, path, flags).step_at("open the mount", path)?;
    mount_setattr(&fd, attributes).step_at("restrict the mount", path)
}

fn guard_proc() -> Result<(), StepError> {
    mount_bind("/proc/sys", "/proc/sys").step("bind /proc/sys")?;
    set_attributes(Path::new("/proc/sys"), ATTR_READ_ONLY)?;
    for hidden in HIDDEN_IN_PROC {
        let path = Path::new("/proc").join(hidden);
        if path.exists() {
            mount_bind("/dev/null", &path).step_at("hide", &path)?;
        }
    }
    Ok(())
}

fn mount_tmp(tmp_mib: u32, disk: Option<OwnedFd>, owner: u32) -> Result<(), StepError> {
    if let Some(disk) = disk {
        move_mount(&disk, "", rustix::fs::CWD, "/tmp", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .step("mount /tmp")?;
        let owner = Some(owner);
        return std::os::unix::fs::chown("/tmp", owner, owner).step("give /tmp its owner");
    }
    // Many small files must not eat the kernel's memory: one inode per 4 KiB of the size.
    let (size, inodes) = (tmp_mib, u64::from(tmp_mib) * 256);
    let options = format!("size={size}m,nr_inodes={inodes},mode=700,uid={owner},gid={owner}");
    let options = std::ffi::CString::new(options).map_err(io::Error::from).step("mount /tmp")?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmp", "/tmp", "tmpfs", flags, options.as_c_str()).step("mount /tmp")
}

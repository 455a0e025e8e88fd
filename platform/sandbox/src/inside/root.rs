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

/// What the root is made from.
pub(crate) struct RootPlan<'a> {
    /// The spawner's prepared pieces; see `spawner::base`.
    pub(crate) base: &'a Path,
    /// Host path, path inside.
    pub(crate) mounts: &'a [(Vec<u8>, Vec<u8>)],
    /// The same, to be written to.
    pub(crate) folders: &'a [(Vec<u8>, Vec<u8>)],
    pub(crate) tmp_mib: u32,
    /// What becomes `/tmp`; `None`: a tmpfs.
    pub(crate) disk: Option<OwnedFd>,
    /// The owner of `/tmp`, as this process's user namespace names it.
    pub(crate) owner: u32,
    /// If that is an id of its own, which no file on the host has: the id that all boxes have in folders of root.
    pub(crate) stranger: Option<u32>,
}

/// A caller's mount, already cut out of the host's tree.
struct Cut {
    tree: OwnedFd,
    inside: PathBuf,
    is_dir: bool,
    /// For whom the box's user stands in this mount.
    stands_for: Option<DiskOwner>,
}

/// Builds the root and moves this process into it.
pub(crate) fn enter(plan: &RootPlan<'_>) -> Result<(), StepError> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .step("make the mounts private")?;
    let mounts = plan.mounts.iter().map(|(host, inside)| cut(host, inside));
    let folders = plan.folders.iter().map(|(host, inside)| cut_folder(plan, host, inside));
    let cuts = mounts.chain(folders).collect::<Result<Vec<_>, _>>()?;

    let root = plan.base.join("root");
    let no_suid = MountFlags::NOSUID;
    mount("box", &root, "tmpfs", no_suid | MountFlags::NODEV, c"size=1m,nr_inodes=4k,mode=755")
        .step("mount the root")?;
    for part in HOST_PARTS {
        show_host_part(&root, part)?;
    }
    for place in PLACES {
        fs::create_dir_all(root.join(place)).step_at("make", &root.join(place))?;
    }
    mount_bind_recursive(plan.base.join("etc"), root.join("etc")).step("bind /etc")?;
    mount_bind_recursive(plan.base.join("dev"), root.join("dev")).step("bind /dev")?;
    // While the host's /proc can still be seen: without root rights the kernel asks for that.
    let flags = no_suid | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", root.join("proc"), "proc", flags, None).step("mount /proc")?;

    rustix::process::chdir(&root).step("enter the root")?;
    rustix::process::pivot_root(".", ".").step("pivot the root")?;
    unmount(".", UnmountFlags::DETACH).step("leave the host's root")?;
    rustix::process::chdir("/").step("enter the root")?;

    guard_proc()?;
    for cut in &cuts {
        place(cut, plan.owner)?;
    }
    // The root itself and the prepared pieces; the others are read-only already, or must not be.
    for path in ["/etc", "/dev"] {
        set_attributes(Path::new(path), ATTR_READ_ONLY | ATTR_NO_SUID)?;
    }
    mount_tmp(plan)?;
    rustix::mount::mount_remount("/", MountFlags::BIND | MountFlags::RDONLY | no_suid | MountFlags::NODEV, "")
        .step("make the root read-only")
}

fn cut(host: &[u8], inside: &[u8]) -> Result<Cut, StepError> {
    let host = Path::new(OsStr::from_bytes(host));
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(rustix::fs::CWD, host, flags).step_at("open the mount source", host)?;
    mount_setattr(&tree, ATTR_READ_ONLY | ATTR_NO_SUID | ATTR_NO_DEV).step_at("restrict the mount", host)?;
    let mode = rustix::fs::fstat(&tree).step_at("look at", host)?.st_mode;
    let is_dir = rustix::fs::FileType::from_raw_mode(mode).is_dir();
    Ok(Cut { tree, inside: PathBuf::from(OsStr::from_bytes(inside)), is_dir, stands_for: None })
}

/// A folder to write to. What its owner has there, the box's user has: what the box makes belongs to that owner on the
/// host. If that is root, who must not own what strangers make, all boxes are one stranger. Not every file system can do
/// it.
fn cut_folder(plan: &RootPlan<'_>, host: &[u8], inside: &[u8]) -> Result<Cut, StepError> {
    let host = Path::new(OsStr::from_bytes(host));
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(rustix::fs::CWD, host, flags).step_at("open the shared folder", host)?;
    mount_setattr(&tree, ATTR_NO_SUID | ATTR_NO_DEV).step_at("restrict the shared folder", host)?;
    let found = rustix::fs::fstat(&tree).step_at("look at", host)?;
    if !rustix::fs::FileType::from_raw_mode(found.st_mode).is_dir() {
        return Err(io::Error::from(rustix::io::Errno::NOTDIR)).step_at("open the shared folder", host);
    }
    let stands_for = plan.stranger.map(|stranger| match found.st_uid {
        0 => DiskOwner::Stranger(stranger),
        uid => DiskOwner::User { uid, gid: found.st_gid },
    });
    Ok(Cut { tree, inside: PathBuf::from(OsStr::from_bytes(inside)), is_dir: true, stands_for })
}

/// Runs in the new root: no link can lead out of it.
fn place(cut: &Cut, owner: u32) -> Result<(), StepError> {
    let inside = &cut.inside;
    if let Some(stands_for) = &cut.stands_for {
        // Here, where `/proc` knows the processes of the box.
        if let Some(space) = identity::owner_map(stands_for, owner)? {
            match map_owner(&cut.tree, &space) {
                // This file system cannot.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
                mapped => mapped.step_at("map the owner of", inside)?,
            }
        }
    }
    if !inside.exists() {
        let parent = if cut.is_dir { Some(inside.as_path()) } else { inside.parent() };
        if let Some(parent) = parent {
            fs::create_dir_all(parent).step_at("make the mount point", inside)?;
        }
        if !cut.is_dir {
            fs::File::create_new(inside).step_at("make the mount point", inside)?;
        }
    }
    move_mount(&cut.tree, "", rustix::fs::CWD, inside, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
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

fn mount_tmp(plan: &RootPlan<'_>) -> Result<(), StepError> {
    if let Some(disk) = &plan.disk {
        move_mount(disk, "", rustix::fs::CWD, "/tmp", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .step("mount /tmp")?;
        let owner = Some(plan.owner);
        return std::os::unix::fs::chown("/tmp", owner, owner).step("give /tmp its owner");
    }
    // Many small files must not eat the kernel's memory: one inode per 4 KiB of the size.
    let (size, inodes, owner) = (plan.tmp_mib, u64::from(plan.tmp_mib) * 256, plan.owner);
    let options = format!("size={size}m,nr_inodes={inodes},mode=700,uid={owner},gid={owner}");
    let options = std::ffi::CString::new(options).map_err(io::Error::from).step("mount /tmp")?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("tmp", "/tmp", "tmpfs", flags, options.as_c_str()).step("mount /tmp")
}

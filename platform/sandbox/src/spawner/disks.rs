//! Disks for `/tmp`: an ext4 file system in a sparse file on a loop device, so that what a function writes there takes
//! room on the host's disk and not of the function's memory.
//!
//! An empty file system is made once for each size and then copied, which takes the few hundred kilobytes that are not
//! holes. The file has no name and the device clears itself, so a disk is gone with its last mount, however its box or
//! the server ends. Some disks wait in stock, made in the spawner's idle moments; half-built boxes have made their own, as
//! do launches that find none. Where there are no loop devices or no `mkfs.ext4` boxes have a tmpfs.
//!
//! What it is not: durable. There is no journal, and nothing is synced.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{AtFlags, Mode, OFlags, SeekFrom};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen,
};

use crate::sys;

/// How many of one size wait, for boxes that nobody expected; others bring their own.
const STOCK: usize = 3;
/// How many sizes have a stock: the last ones asked for.
const MAX_SHELVES: usize = 4;
/// The size that AWS gives a function which asks for none, in MiB.
const USUAL_MIB: u32 = 512;
/// Where `mkfs.ext4` may be; the spawner has no `PATH`.
const MAKERS: &[&str] =
    &["/usr/sbin/mkfs.ext4", "/sbin/mkfs.ext4", "/usr/bin/mkfs.ext4", "/usr/local/sbin/mkfs.ext4"];
/// While a file system is made it has this name in the spawner's directory.
pub(super) const NEW_NAME: &str = "disk.new";
/// Another process may take the free device first.
const ATTEMPTS: usize = 64;

/// The disks of one spawner.
pub(crate) struct Disks {
    dir: PathBuf,
    maker: Option<PathBuf>,
    /// The last one asked for comes first.
    shelves: Vec<Shelf>,
    /// Why no more disks are made.
    broken: Option<String>,
}

struct Shelf {
    size_mib: u32,
    /// `None` until the file system was made once.
    template: Option<Template>,
    ready: Vec<OwnedFd>,
}

/// An empty file system, to be copied.
pub(crate) struct Template {
    dir: PathBuf,
    image: File,
}

impl Disks {
    /// Nothing is made yet. `dir` is the spawner's own.
    pub(crate) fn new(dir: PathBuf, privileged: bool, wanted: bool) -> Self {
        let maker = MAKERS.iter().map(PathBuf::from).find(|maker| maker.exists());
        let broken = match () {
            () if !wanted => Some("not wanted".to_owned()),
            () if !privileged => Some("loop devices need root".to_owned()),
            () if maker.is_none() => Some("mkfs.ext4 is not installed".to_owned()),
            () => sys::free_loop_device().err().map(|error| format!("no loop devices: {error}")),
        };
        let usual = Shelf { size_mib: USUAL_MIB, template: None, ready: Vec::new() };
        Disks { dir, maker, shelves: vec![usual], broken }
    }

    /// Why boxes have a tmpfs instead.
    pub(crate) fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    pub(crate) fn wants_more(&self) -> bool {
        self.broken.is_none() && self.shelves.iter().any(|shelf| shelf.ready.len() < STOCK)
    }

    /// Makes one more of a size that has too few.
    pub(crate) fn make(&mut self) {
        let Some(at) = self.shelves.iter().position(|shelf| shelf.ready.len() < STOCK) else { return };
        let made = self.template(at).and_then(Template::disk);
        match made {
            Ok(disk) => self.shelves[at].ready.push(disk),
            Err(error) => self.give_up(&error),
        }
    }

    /// A box with a `/tmp` of this size is about to be made. Whether that is a disk; else it is a tmpfs, whose pages
    /// count as the box's memory.
    pub(crate) fn note(&mut self, size_mib: u32) -> bool {
        if self.broken.is_some() {
            return false;
        }
        match self.shelves.iter().position(|shelf| shelf.size_mib == size_mib) {
            Some(at) => self.shelves[..=at].rotate_right(1),
            None => {
                self.shelves.insert(0, Shelf { size_mib, template: None, ready: Vec::new() });
                self.shelves.truncate(MAX_SHELVES);
            }
        }
        if self.shelves[0].ready.is_empty()
            && let Err(error) = self.template(0).map(drop)
        {
            self.give_up(&error);
        }
        self.broken.is_none()
    }

    /// One of the size that was just noted. Without one the box makes its own.
    pub(crate) fn take(&mut self) -> Option<OwnedFd> {
        self.shelves.first_mut()?.ready.pop()
    }

    /// The size that boxes lately have, if they have disks and there is a template.
    pub(crate) fn usual_mib(&self) -> Option<u32> {
        let shelf = self.shelves.first().filter(|_| self.broken.is_none())?;
        shelf.template.as_ref().map(|_| shelf.size_mib)
    }

    /// What disks of a size that was just asked for are copied from.
    pub(crate) fn template_of(&self, size_mib: u32) -> Option<&Template> {
        self.shelves.iter().find(|shelf| shelf.size_mib == size_mib)?.template.as_ref()
    }

    fn give_up(&mut self, error: &io::Error) {
        self.broken = Some(error.to_string());
    }

    /// The template of a shelf, made if this is its first use.
    fn template(&mut self, at: usize) -> io::Result<&Template> {
        let shelf = &mut self.shelves[at];
        if shelf.template.is_none() {
            let maker = self.maker.as_deref().ok_or(io::ErrorKind::NotFound)?;
            shelf.template = Some(Template::make(&self.dir, maker, shelf.size_mib)?);
        }
        shelf.template.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Template {
    fn make(dir: &Path, maker: &Path, size_mib: u32) -> io::Result<Self> {
        let path = dir.join(NEW_NAME);
        let _ = std::fs::remove_file(&path);
        let image = File::options().read(true).write(true).create_new(true).open(&path)?;
        let made = image.set_len(image_bytes(size_mib)).and_then(|()| run_maker(maker, &path));
        std::fs::remove_file(&path)?;
        made?;
        let template = Template { dir: dir.to_owned(), image };
        // Mounted once, to leave nothing in it; unmounted, and so written, when the descriptor is closed.
        let mount = mount(&template.image)?;
        rustix::fs::unlinkat(&mount, "lost+found", AtFlags::REMOVEDIR)?;
        rustix::fs::chmodat(&mount, ".", Mode::from_raw_mode(0o700), AtFlags::empty())?;
        drop(mount);
        Ok(template)
    }

    /// A copy, mounted nowhere yet.
    pub(crate) fn disk(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        let image = File::from(rustix::fs::open(&self.dir, flags, Mode::from_raw_mode(0o600))?);
        copy_sparsely(&self.image, &image)?;
        mount(&image)
    }
}

/// Room for `size_mib` of files, and for what the file system needs itself: inodes (256 bytes for each 16 KiB), what
/// ext4 keeps back (two per cent, 16 MiB at most), and some blocks.
fn image_bytes(size_mib: u32) -> u64 {
    let size = u64::from(size_mib) << 20;
    size + size / 56 + (size / 50).min(16 << 20) + (3 << 19)
}

fn run_maker(maker: &Path, image: &Path) -> io::Result<()> {
    let output = Command::new(maker)
        .args(["-q", "-F", "-m", "0", "-b", "4096", "-i", "16384"])
        .args(["-O", "^has_journal,^resize_inode", "-E", "lazy_itable_init=1,nodiscard"])
        .arg(image)
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("mkfs.ext4: {}", said.lines().next().unwrap_or("it failed"))))
}

fn copy_sparsely(from: &File, to: &File) -> io::Result<()> {
    let length = from.metadata()?.len();
    to.set_len(length)?;
    let mut buffer = vec![0; 128 * 1024];
    let mut at = 0;
    // At the end there is no more data, or there is no more file.
    while let Ok(start) = rustix::fs::seek(from, SeekFrom::Data(at)) {
        at = rustix::fs::seek(from, SeekFrom::Hole(start))?;
        let mut position = start;
        while position < at {
            let wanted = buffer.len().min(usize::try_from(at - position).unwrap_or(usize::MAX));
            let count = from.read_at(&mut buffer[..wanted], position)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            to.write_all_at(&buffer[..count], position)?;
            position += count as u64;
        }
    }
    Ok(())
}

/// Mounts an image, in no place yet.
fn mount(image: &File) -> io::Result<OwnedFd> {
    let (device, path) = attach(image)?;
    let context = fsopen("ext4", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), "source", &path)?;
    for flag in ["noinit_itable", "nobarrier"] {
        fsconfig_set_flag(context.as_fd(), flag)?;
    }
    fsconfig_create(context.as_fd()).map_err(|error| told("mount", error.into()))?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOATIME;
    let mount = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    // From here on the mount keeps the device.
    drop(device);
    Ok(mount)
}

fn told(step: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{step}: {error}"))
}

/// Puts an image on a free loop device, which lets go of it when nobody has it open.
fn attach(image: &File) -> io::Result<(File, String)> {
    let mut last = io::Error::from(io::ErrorKind::WouldBlock);
    for _ in 0..ATTEMPTS {
        let path = format!("/dev/loop{}", sys::free_loop_device()?);
        let device = File::options().read(true).write(true).open(&path);
        let device = device.map_err(|error| told(&path, error))?;
        match sys::configure_loop(device.as_raw_fd(), image.as_raw_fd()) {
            Ok(()) => return Ok((device, path)),
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => last = error,
            Err(error) => return Err(told(&path, error)),
        }
    }
    Err(last)
}

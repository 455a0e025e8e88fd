//! Process images: a process that has started, kept as a file, from which others start in a millisecond.
//!
//! A process with one thread writes its own image through a small library ([`checkpoint_library`]); a small program
//! ([`restore_program`]) becomes that process again, in another box. Both run *inside* boxes, as what they belong to,
//! and need no right that an ordinary box lacks. Nothing here is done by the server, or by anybody with more rights
//! than the function itself: the server only carries bytes from a pipe to a file, and shows that file, read-only, to
//! boxes.
//!
//! **Why an image leaks nothing.** A restored process is an ordinary command in an ordinary box, with an own user id,
//! own namespaces, groups and filters, which were all in force before its first instruction. The file is mapped
//! privately: what a process writes stays its own (copy on write), and the file itself cannot be written through any
//! box. So two boxes can share only what was in the image when it was made. An image for everybody is made before any
//! function's code, environment or credentials come near it; an image of a function is shown to boxes of that function
//! only. An image that lies (a function can write what it likes) makes a strange process in the function's own box,
//! which the function could have had without it.
//!
//! What an image does share, and what the runtime clients therefore renew or the documents tell: the layout of
//! addresses, stack canaries, seeds of hash functions and of random generators.
//!
//! What it is not: it is no CRIU. It takes no threads, no pipes, no event loops, nothing shared; such a process says
//! so and starts the ordinary way. It knows no Lambda API. The programs are in `image/`, compiled by `build.rs`.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

#[path = "../image/layout.rs"]
#[allow(unreachable_pub, missing_docs)]
mod layout;

use layout::{Header, MAGIC, PAGE, VERSION};

#[cfg(process_images)]
static RESTORE: Option<&[u8]> = Some(include_bytes!(concat!(env!("OUT_DIR"), "/restore")));
#[cfg(process_images)]
static CHECKPOINT: Option<&[u8]> = Some(include_bytes!(concat!(env!("OUT_DIR"), "/checkpoint")));
#[cfg(process_images)]
static BIND: Option<&[u8]> = Some(include_bytes!(concat!(env!("OUT_DIR"), "/bind")));
#[cfg(not(process_images))]
static RESTORE: Option<&[u8]> = None;
#[cfg(not(process_images))]
static CHECKPOINT: Option<&[u8]> = None;
#[cfg(not(process_images))]
static BIND: Option<&[u8]> = None;

/// The exit code of `restore` when an image cannot be mapped; standard error says why.
pub const RESTORE_FAILED: i32 = 71;

/// The program that becomes the process of an image: `restore IMAGE`. Its own environment and working directory are
/// what the process finds. `None` where there are no images (other architectures than x86-64).
pub fn restore_program() -> Option<&'static [u8]> {
    RESTORE
}

/// The library with the function `long lamplighter_checkpoint(int fd, const char **why)`: 0 after the image was written
/// to `fd`; below 0 if the process can't be imaged, and `*why` says why; above 0 in the restored process: the address
/// of its new `argc`, `argv` and `envp`, as the kernel lays them out.
pub fn checkpoint_library() -> Option<&'static [u8]> {
    CHECKPOINT
}

/// The library with which a waiting Java takes over its function's directory and variables: the native part of the
/// class `lamplighter.runtime.Worker`. No image has to do with it; it is made the same way.
pub fn bind_library() -> Option<&'static [u8]> {
    BIND
}

/// What an image depends on besides the process: the kernel that runs, since when, its processor, and this format. An
/// image with another fingerprint is of no use.
pub fn fingerprint() -> String {
    let uname = rustix::system::uname();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let mut hasher = DefaultHasher::new();
    (uname.release().to_bytes(), uname.version().to_bytes(), boot.trim(), VERSION).hash(&mut hasher);
    (RESTORE, CHECKPOINT).hash(&mut hasher);
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    processor.lines().find(|line| line.starts_with("flags")).hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// What an image says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageInfo {
    /// Length of the file in bytes.
    pub len_bytes: u64,
    /// Mappings of the process.
    pub mappings: u64,
}

/// Whether a file is a whole image of this format: made to its end, not cut. What is in it is not looked at: that is
/// the business of the boxes that may see it.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] if it is none; others if it cannot be read.
pub fn check(path: &Path) -> io::Result<ImageInfo> {
    let invalid = |why| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let word = |at: usize| -> io::Result<u64> {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, at as u64)?;
        Ok(u64::from_ne_bytes(bytes))
    };
    if len < size_of::<Header>() as u64
        || word(std::mem::offset_of!(Header, magic))? != MAGIC
        || word(std::mem::offset_of!(Header, version))? != VERSION
    {
        return invalid("no image of this version");
    }
    let head_len = word(std::mem::offset_of!(Header, head_len))?;
    if word(std::mem::offset_of!(Header, len))? != len || head_len > len || len % PAGE as u64 != 0 {
        return invalid("the image is not whole");
    }
    Ok(ImageInfo { len_bytes: len, mappings: word(std::mem::offset_of!(Header, area_count))? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_whole_image_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(check(file.path()).unwrap_err().kind(), io::ErrorKind::InvalidData);
        std::fs::write(file.path(), [7; 8192]).unwrap();
        assert_eq!(check(file.path()).unwrap_err().kind(), io::ErrorKind::InvalidData);
        let mut bytes = vec![0; 2 * PAGE];
        let put = |bytes: &mut Vec<u8>, at: usize, word: u64| {
            bytes[at..at + 8].copy_from_slice(&word.to_ne_bytes());
        };
        put(&mut bytes, std::mem::offset_of!(Header, magic), MAGIC);
        put(&mut bytes, std::mem::offset_of!(Header, version), VERSION);
        put(&mut bytes, std::mem::offset_of!(Header, head_len), 2000);
        put(&mut bytes, std::mem::offset_of!(Header, len), 2 * PAGE as u64);
        std::fs::write(file.path(), &bytes).unwrap();
        assert_eq!(check(file.path()).unwrap(), ImageInfo { len_bytes: 8192, mappings: 0 });
        bytes.truncate(PAGE);
        std::fs::write(file.path(), &bytes).unwrap();
        assert_eq!(check(file.path()).unwrap_err().to_string(), "the image is not whole");
    }

    #[test]
    fn the_fingerprint_stays() {
        assert_eq!(fingerprint(), fingerprint());
    }
}

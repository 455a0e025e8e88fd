//! What all boxes share: `/etc` and `/dev`, prepared once on a tmpfs in the spawner's own mount namespace.
//!
//! `/etc` is ours: a user, a host name, no secrets; of the host's only what programs need to find libraries,
//! certificates and their own defaults. Copied, not bound: what the host changes is seen after the next start.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};
use rustix::thread::UnshareFlags;

use crate::inside::{INSIDE_GID, INSIDE_UID, INSIDE_USER};

/// Device files that a box has.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];
/// What of the host's `/etc` a box sees; `*` at the end: everything that starts so.
const ETC_FROM_HOST: &[&str] = &[
    "alternatives",
    "ca-certificates",
    "crypto-policies",
    "java*",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "mime.types",
    "pki/ca-trust/extracted",
    "pki/java",
    "pki/tls",
    "protocols",
    "services",
    "ssl/cert.pem",
    "ssl/certs",
    "ssl/openssl.cnf",
];
/// Private keys live here on some hosts.
const NEVER: &[&str] = &["private"];
/// More than this of the host's `/etc` is a mistake.
const ETC_SIZE: &std::ffi::CStr = c"size=16m,mode=755";

/// Without root rights: a user namespace in which we are root, and in which all boxes live.
pub(crate) fn become_root_of_own_namespace() -> io::Result<()> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    // SAFETY: an own user namespace changes nothing in memory; there is one thread.
    #[allow(unsafe_code)]
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER) }?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1\n"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1\n"))
}

/// Mounts the pieces at `base`.
pub(crate) fn build(base: &Path) -> io::Result<()> {
    // What the host mounts later is seen here; what is mounted here is not seen there.
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    mount("lamplighter", base, "tmpfs", MountFlags::NOSUID, ETC_SIZE)?;
    mount_change(base, MountPropagationFlags::PRIVATE)?;
    for dir in ["root", "etc", "dev"] {
        fs::create_dir(base.join(dir))?;
    }
    // The places of the device files are mounts, and must be there before they are bound as a whole.
    mount_bind(base.join("etc"), base.join("etc"))?;
    mount_bind(base.join("dev"), base.join("dev"))?;
    build_dev(&base.join("dev"))?;
    build_etc(&base.join("etc"))
}

fn build_dev(dev: &Path) -> io::Result<()> {
    for device in DEVICES {
        let host = Path::new("/dev").join(device);
        if host.exists() {
            fs::File::create(dev.join(device))?;
            mount_bind(&host, dev.join(device))?;
        }
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(target, dev.join(name))?;
    }
    Ok(())
}

fn build_etc(etc: &Path) -> io::Result<()> {
    for wanted in ETC_FROM_HOST {
        match wanted.strip_suffix('*') {
            None => {
                let to = etc.join(wanted);
                if let Some(parent) = to.parent() {
                    fs::create_dir_all(parent)?;
                }
                copy_public(&Path::new("/etc").join(wanted), &to)?;
            }
            Some(prefix) => {
                for entry in fs::read_dir("/etc")?.flatten() {
                    if entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()) {
                        copy_public(&entry.path(), &etc.join(entry.file_name()))?;
                    }
                }
            }
        }
    }
    let user = format!("{INSIDE_USER}:x:{INSIDE_UID}:{INSIDE_GID}::/tmp:/sbin/nologin\n");
    let files = [
        (
            "passwd",
            format!("root:x:0:0:root:/root:/sbin/nologin\n{user}nobody:x:65534:65534::/:/sbin/nologin\n"),
        ),
        ("group", format!("root:x:0:\n{INSIDE_USER}:x:{INSIDE_GID}:\nnogroup:x:65534:\n")),
        ("hosts", "127.0.0.1 localhost sandbox sandbox.localdomain\n::1 localhost\n".to_owned()),
        ("hostname", "localhost\n".to_owned()),
        ("resolv.conf", "# This network has no way out, and so no name server.\n".to_owned()),
        ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n".to_owned()),
        ("host.conf", "multi on\n".to_owned()),
    ];
    for (name, text) in files {
        fs::write(etc.join(name), text)?;
    }
    Ok(())
}

/// Copies what everybody on the host may read; what is missing or private is left out.
fn copy_public(from: &Path, to: &Path) -> io::Result<()> {
    let Ok(metadata) = fs::symlink_metadata(from) else { return Ok(()) };
    if from.file_name().is_some_and(|name| NEVER.iter().any(|never| name == *never)) {
        return Ok(());
    }
    let kind = metadata.file_type();
    if kind.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    if metadata.permissions().mode() & 0o004 == 0 {
        return Ok(());
    }
    if kind.is_dir() {
        fs::create_dir(to)?;
        let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
        for entry in entries.flatten() {
            let name = entry.file_name();
            // `/etc/alternatives` also names hundreds of manual pages.
            if Path::new(&name).extension().is_none_or(|end| end != "gz") {
                copy_public(&entry.path(), &to.join(name))?;
            }
        }
    } else if kind.is_file() {
        fs::copy(from, to)?;
    }
    Ok(())
}

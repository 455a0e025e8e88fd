//! A disk that fills up: the error is clear, what was acknowledged stays, and the store goes on once there is room.
//!
//! The child has a mount namespace of its own with a small disk in memory, which goes away with it.

use std::fs;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use lamplighter_store::{BlobId, BlobStore, EngineKind, Range, StoreError};

use crate::{child_command, open};

const DISK: &str = "12m";
/// Freed later, in bytes.
const BALLAST_BYTES: usize = 3 * 1024 * 1024;

#[test]
fn fjall_survives_a_full_disk() {
    run(EngineKind::Fjall);
}

#[test]
fn sqlite_survives_a_full_disk() {
    run(EngineKind::Sqlite);
}

fn run(engine: EngineKind) {
    let dir = tempfile::tempdir().unwrap();
    // Root in a user namespace of its own is enough to mount a disk in memory.
    let unshare = ["unshare", "--user", "--map-root-user", "--mount"];
    let mut probe = Command::new(unshare[0]);
    probe.args(&unshare[1..]).args(["mount", "-t", "tmpfs", "tmpfs"]).arg(dir.path());
    if !probe.status().is_ok_and(|status| status.success()) {
        eprintln!("not tested: this machine gives no mount namespace of one's own");
        return;
    }
    let mount = format!("mount -t tmpfs -o size={DISK} tmpfs '{}' && exec \"$@\"", dir.path().display());
    let wrapper = [&unshare[..], &["sh", "-c", &mount, "sh"]].concat();
    let status = child_command(&wrapper, "fill", engine, dir.path(), 0).status().unwrap();
    assert!(status.success(), "the child failed: {status}");
}

/// What the child does, on the small disk.
pub(crate) fn fill(engine: EngineKind, dir: &Path) {
    let ballast = dir.join("ballast");
    fs::write(&ballast, vec![1; BALLAST_BYTES]).unwrap();
    let store = open(engine, dir);
    let put = |n: u32| {
        store.transact_blocking(move |tx| tx.put(n.to_be_bytes().to_vec(), vec![n as u8; 16 * 1024]))
    };
    let (acknowledged, error) = (0..).find_map(|n| put(n).err().map(|error| (n, error))).unwrap();
    assert!(acknowledged > 100, "{acknowledged}");
    let StoreError::Poisoned { cause } = &error else { panic!("{error}") };
    eprintln!("{} after {acknowledged} items: {error}", engine.name());
    let told = ["database or disk is full", "No space left on device", "KiB are left on the disk"];
    assert!(told.iter().any(|text| cause.contains(text)), "{cause}");
    assert!(matches!(put(acknowledged), Err(StoreError::Poisoned { .. })));
    // Reading goes on.
    let there = |store: &lamplighter_store::Store| store.range(Range::between([0], [])).unwrap().len() as u32;
    assert_eq!(there(&store), acknowledged);
    blobs_are_refused(dir);

    drop(store);
    fs::remove_file(ballast).unwrap();
    let store = open(engine, dir);
    // The one that failed may be there as well: nobody was told that it is not.
    let found = there(&store);
    assert!((acknowledged..=acknowledged + 1).contains(&found), "{found} of {acknowledged}");
    for (n, (key, value)) in (0_u32..).zip(store.range(Range::between([0], [])).unwrap()) {
        assert_eq!((&key[..], &value[..]), (&n.to_be_bytes()[..], &vec![n as u8; 16 * 1024][..]));
    }
    store.transact_blocking(|tx| tx.put(vec![b'z'], vec![1; 1024])).unwrap();
}

fn blobs_are_refused(dir: &Path) {
    let blobs = BlobStore::open(dir.join("blobs")).unwrap();
    let content = Bytes::from(vec![7; 16 * 1024 * 1024]);
    let error = blobs.put_bytes_blocking(&content).unwrap_err();
    assert!(
        matches!(&error, StoreError::Unreadable { cause, .. } if cause.kind() == std::io::ErrorKind::StorageFull)
    );
    assert!(!blobs.contains(&BlobId::of(&content)));
    assert_eq!(fs::read_dir(dir.join("blobs/unfinished")).unwrap().count(), 0);
}

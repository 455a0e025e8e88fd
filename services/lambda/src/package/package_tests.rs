//! Packages on a real disk, with a blob store beside them.

use std::io::{Cursor, Write};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

fn zip_of(content: &str) -> Bytes {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("index.py", SimpleFileOptions::default()).unwrap();
    writer.write_all(content.as_bytes()).unwrap();
    writer.finish().unwrap().into_inner().into()
}

fn open(dir: &Path) -> Packages {
    Packages::open(dir, BlobStore::open(dir.join("blobs")).unwrap()).unwrap()
}

fn content(packages: &Packages, digest: &Digest) -> String {
    fs::read_to_string(packages.path(digest).join("index.py")).unwrap()
}

fn sweep(packages: &Packages, now: Instant, used: bool) -> usize {
    packages.sweep(now, |_| Ok::<bool, ()>(used)).unwrap()
}

/// Packages that are there to be used.
fn entries(dir: &Path) -> usize {
    let names = fs::read_dir(dir.join("packages")).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| !name.to_str().unwrap().starts_with('.')).count()
}

#[tokio::test]
async fn equal_zips_share_a_directory_and_bad_ones_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let packages = open(dir.path());
    let (one, two) = tokio::join!(packages.add(zip_of("x = 1")), packages.add(zip_of("x = 1")));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.digest, two.digest);
    assert_eq!(content(&packages, &one.digest), "x = 1");
    let refused = packages.add(Bytes::from_static(b"no zip")).await.err().unwrap();
    assert!(matches!(refused, PackageError::Refused(message) if message.starts_with("Could not unzip")));
    packages.check(zip_of("x = 2")).await.unwrap();
    assert_eq!(entries(dir.path()), 1);
    assert_eq!(packages.known().len(), 1);
}

#[tokio::test]
async fn a_directory_that_is_gone_comes_back_from_the_blob() {
    let dir = tempfile::tempdir().unwrap();
    let digest = open(dir.path()).add(zip_of("x = 1")).await.unwrap().digest;

    // Another boot of the machine: directories are not trusted.
    fs::write(dir.path().join("packages/.boot"), "another boot").unwrap();
    fs::create_dir(dir.path().join("packages/.new-left-over")).unwrap();
    let packages = open(dir.path());
    assert_eq!(entries(dir.path()), 0);
    let (one, two) = tokio::join!(packages.ensure(&digest), packages.ensure(&digest));
    assert_eq!(one.unwrap(), two.unwrap());
    assert_eq!(content(&packages, &digest), "x = 1");

    // The same boot: they are.
    fs::write(packages.path(&digest).join("mark"), "").unwrap();
    let packages = open(dir.path());
    packages.ensure(&digest).await.unwrap();
    assert!(packages.path(&digest).join("mark").exists());
    let unknown = packages.ensure(&Digest::of(b"never put")).await.unwrap_err();
    assert!(matches!(unknown, PackageError::Failed(_)));
}

#[tokio::test]
async fn unused_packages_go_after_a_while_and_pinned_ones_stay() {
    let dir = tempfile::tempdir().unwrap();
    let packages = open(dir.path());
    let pinned = packages.add(zip_of("x = 1")).await.unwrap();
    let start = Instant::now();
    assert_eq!(sweep(&packages, start, false) + sweep(&packages, start + 2 * GRACE, false), 0);
    drop(pinned);
    assert_eq!(sweep(&packages, start, false), 0);
    assert_eq!(sweep(&packages, start + 2 * GRACE, true), 0);
    assert_eq!(sweep(&packages, start, false), 0);
    assert_eq!(sweep(&packages, start + GRACE / 2, false), 0);
    assert_eq!(sweep(&packages, start + GRACE, false), 1);
    assert_eq!(entries(dir.path()), 0);

    // A process that never touched it removes it at once.
    drop(packages.add(zip_of("x = 2")).await.unwrap());
    let packages = open(dir.path());
    assert_eq!(sweep(&packages, start, true), 0);
    assert_eq!(sweep(&packages, start, false), 1);
}

//! Blobs: whole or not there, stored once, and swept only when nobody needs them.
#![allow(clippy::unwrap_used, clippy::expect_used)] // in a test a panic is the report

use std::collections::HashSet;
use std::fs;
use std::io::{Cursor, Read};
use std::path::Path;

use bytes::Bytes;
use lamplighter_store::{BlobId, BlobStore, StoreError, Sweep};

fn files(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

#[tokio::test]
async fn every_way_in_gives_the_same_blob() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = BlobStore::open(dir.path().join("blobs")).unwrap();
    // Larger than one chunk, and no multiple of it.
    let content = Bytes::from((0..1_000_003_u32).map(|n| n.to_le_bytes()[0]).collect::<Vec<u8>>());
    let source = dir.path().join("source");
    fs::write(&source, &content).unwrap();

    let id = blobs.put_bytes(content.clone()).await.unwrap();
    assert_eq!(id, BlobId::of(&content));
    assert_eq!(blobs.put_bytes(content.clone()).await.unwrap(), id);
    assert_eq!(blobs.put_file(&source).await.unwrap(), id);
    assert_eq!(blobs.put_stream(Cursor::new(content.to_vec())).await.unwrap(), id);
    let mut writer = blobs.writer().unwrap();
    content.chunks(7_777).for_each(|chunk| writer.write(chunk).unwrap());
    assert_eq!(writer.len(), 1_000_003);
    assert_eq!(writer.finish().unwrap(), id);
    assert_eq!(files(dir.path()), 2);

    assert_eq!(blobs.get_bytes(&id).await.unwrap(), content);
    let mut read = Vec::new();
    blobs.open_blob(&id).unwrap().read_to_end(&mut read).unwrap();
    assert_eq!(read, content);
    let name = id.to_string();
    assert_eq!(blobs.get_path(&id), dir.path().join("blobs").join(&name[..2]).join(&name[2..4]).join(&name));
    assert_eq!(name.parse::<BlobId>().unwrap(), id);
}

#[tokio::test]
async fn an_empty_blob_is_a_blob() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = BlobStore::open(dir.path()).unwrap();
    let id = blobs.put_stream(tokio::io::empty()).await.unwrap();
    assert_eq!(id.to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(blobs.put_bytes(Bytes::new()).await.unwrap(), id);
    assert_eq!(blobs.get_bytes(&id).await.unwrap(), "");
}

#[tokio::test]
async fn what_is_not_there_or_damaged_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = BlobStore::open(dir.path()).unwrap();
    let id = BlobId::of(b"hello");
    assert!(!blobs.contains(&id));
    assert!(matches!(blobs.open_blob(&id), Err(StoreError::NoBlob { id: named }) if named == id.to_string()));
    assert!(matches!(blobs.get_bytes(&id).await, Err(StoreError::NoBlob { .. })));
    assert!(blobs.put_file(dir.path().join("absent")).await.is_err());
    for text in
        ["", "abc", &id.to_string().to_uppercase(), &format!("{id}0"), &"g".repeat(64), &"é".repeat(32)]
    {
        assert!(text.parse::<BlobId>().is_err(), "{text}");
    }

    blobs.put_bytes(Bytes::from("hello")).await.unwrap();
    fs::write(blobs.get_path(&id), "hellO").unwrap();
    let error = blobs.get_bytes(&id).await.unwrap_err().to_string();
    assert!(error.ends_with("its content is damaged"), "{error}");
}

#[tokio::test]
async fn a_truncated_blob_is_mended_by_the_next_put() {
    let dir = tempfile::tempdir().unwrap();
    let content = Bytes::from("all of it");
    let id = BlobStore::open(dir.path()).unwrap().put_bytes(content.clone()).await.unwrap();
    let blobs = BlobStore::open(dir.path()).unwrap();
    for left in ["", "all", "all of it, and more"] {
        fs::write(blobs.get_path(&id), left).unwrap();
        assert_eq!(blobs.put_bytes(content.clone()).await.unwrap(), id);
        assert_eq!(blobs.get_bytes(&id).await.unwrap(), content);
    }
}

#[tokio::test]
async fn a_sweep_spares_the_living_and_the_new() {
    let dir = tempfile::tempdir().unwrap();
    let old = BlobStore::open(dir.path()).unwrap();
    let live = old.put_bytes(Bytes::from("live")).await.unwrap();
    let dead = old.put_bytes(Bytes::from("dead")).await.unwrap();
    let back = old.put_bytes(Bytes::from("put again")).await.unwrap();
    fs::write(dir.path().join("README"), "not a blob").unwrap();

    // A new process: what it has put itself may not be named in the store yet.
    let blobs = BlobStore::open(dir.path()).unwrap();
    blobs.put_bytes(Bytes::from("put again")).await.unwrap();
    let new = blobs.put_bytes(Bytes::from("new")).await.unwrap();
    let swept = blobs.sweep(HashSet::from([live])).await.unwrap();
    assert_eq!(swept, Sweep { removed: 1, removed_bytes: 4, kept: 3 });
    assert_eq!([live, dead, back, new].map(|id| blobs.contains(&id)), [true, false, true, true]);

    // Two sweeps later they have had their time.
    let swept = blobs.sweep(HashSet::from([live, new])).await.unwrap();
    assert_eq!(swept, Sweep { removed: 1, removed_bytes: 9, kept: 2 });
    assert_eq!([live, dead, back, new].map(|id| blobs.contains(&id)), [true, false, false, true]);
    assert!(dir.path().join("README").exists());
    // A blob that was swept can come back.
    blobs.put_bytes(Bytes::from("dead")).await.unwrap();
    assert!(blobs.contains(&dead));
}

#[tokio::test]
async fn unfinished_blobs_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = BlobStore::open(dir.path()).unwrap();
    let mut writer = blobs.writer().unwrap();
    writer.write(b"half").unwrap();
    assert_eq!(files(dir.path()), 1);
    drop(writer);
    assert_eq!(files(dir.path()), 0);
    // A killed process cannot clean up behind itself; the next one does.
    fs::write(dir.path().join("unfinished/.tmpAbCdEf"), "half").unwrap();
    BlobStore::open(dir.path()).unwrap();
    assert_eq!(files(dir.path()), 0);
}

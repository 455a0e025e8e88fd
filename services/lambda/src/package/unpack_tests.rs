//! Hostile and friendly archives, built here.

use std::io::Write;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;

pub(super) fn archive(build: impl FnOnce(&mut ZipWriter<Cursor<Vec<u8>>>)) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    build(&mut writer);
    writer.finish().unwrap().into_inner()
}

fn options(mode: u32) -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(CompressionMethod::Deflated).unix_permissions(mode)
}

fn with_file(name: &str, content: &[u8]) -> Vec<u8> {
    archive(|zip| {
        zip.start_file(name, options(0o644)).unwrap();
        zip.write_all(content).unwrap();
    })
}

fn unpacked(zip: &[u8]) -> Result<tempfile::TempDir, String> {
    let dir = tempfile::tempdir().unwrap();
    unpack(zip, dir.path()).map(|_| dir).map_err(|error| error.to_string())
}

/// The same zip with one name changed for another of equal length, which no writer would write.
fn renamed(zip: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut zip = zip.to_vec();
    let places: Vec<usize> = memchr::memmem::find_iter(&zip, from).collect();
    for at in places {
        zip[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    zip
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn files_directories_and_links_arrive_with_their_modes() {
    let dir = unpacked(&archive(|zip| {
        zip.add_directory("lib/", options(0o700)).unwrap();
        zip.start_file("lib/private.py", options(0o600)).unwrap();
        zip.write_all(b"x = 1").unwrap();
        zip.start_file("bootstrap", options(0o755)).unwrap();
        zip.write_all(b"#!/bin/sh").unwrap();
        zip.start_file("deep/er/./still", options(0o4711)).unwrap();
        zip.add_symlink("current", "lib/private.py", options(0o777)).unwrap();
    }))
    .unwrap();
    let at = |path: &str| dir.path().join(path);
    assert_eq!(mode(&at("lib")), 0o755);
    assert_eq!(mode(&at("lib/private.py")), 0o644);
    assert_eq!(mode(&at("bootstrap")), 0o755);
    assert_eq!(mode(&at("deep/er/still")), 0o755);
    assert_eq!(fs::read_to_string(at("current")).unwrap(), "x = 1");
}

#[test]
fn what_is_no_zip_is_refused() {
    let could_not = "Could not unzip uploaded file. Please check your file, then try to upload again.";
    assert_eq!(unpacked(b"this is no zip").unwrap_err(), could_not);
    assert_eq!(unpacked(b"PK\x03\x04 neither is this").unwrap_err(), could_not);
    assert_eq!(unpacked(b"").unwrap_err(), "Uploaded file must be a non-empty zip");
    assert_eq!(unpacked(&archive(|_| {})).unwrap_err(), "Uploaded file must be a non-empty zip");
    let whole = with_file("a.py", &[7; 4000]);
    assert!(unpacked(&whole[..whole.len() / 2]).unwrap_err().starts_with(could_not));
}

#[test]
fn a_damaged_entry_is_refused() {
    let mut zip = archive(|zip| {
        zip.start_file("a", options(0o644).compression_method(CompressionMethod::Stored)).unwrap();
        zip.write_all(b"precious content").unwrap();
    });
    let at = memchr::memmem::find(&zip, b"precious").unwrap();
    zip[at] ^= 1;
    assert!(unpacked(&zip).unwrap_err().contains("entry 'a' is damaged"));
}

#[test]
fn paths_that_leave_the_package_are_refused() {
    let zip = with_file("xx/evil", b"x");
    assert!(unpacked(&renamed(&zip, "xx/evil", "../evil")).unwrap_err().contains("leaves the package"));
    assert!(unpacked(&renamed(&zip, "xx/evil", "/x/evil")).unwrap_err().contains("absolute"));
    assert!(unpacked(&renamed(&zip, "xx/evil", "x/../ev")).unwrap_err().contains("leaves the package"));
    assert!(unpacked(&renamed(&zip, "xx/evil", "xx/ev\0l")).unwrap_err().contains("zero byte"));
}

#[test]
fn links_cannot_be_used_to_write_or_point_outside() {
    let link =
        |name: &str, target: &str| archive(|zip| zip.add_symlink(name, target, options(0o777)).unwrap());
    assert!(unpacked(&link("a", "../../etc/passwd")).unwrap_err().contains("leaves the package"));
    assert!(unpacked(&link("a", "/etc/passwd")).unwrap_err().contains("leaves the package"));

    let outside = tempfile::tempdir().unwrap();
    let through = archive(|zip| {
        zip.add_symlink("door", outside.path().to_str().unwrap(), options(0o777)).unwrap();
        zip.start_file("door/evil", options(0o644)).unwrap();
        zip.write_all(b"x").unwrap();
    });
    assert!(unpacked(&through).is_err());
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn devices_are_refused() {
    // External attributes hold the mode in their upper half: turn the regular file into a character device.
    let mut zip = with_file("null", b"");
    let central = memchr::memmem::find(&zip, b"PK\x01\x02").unwrap();
    let attributes = &mut zip[central + 38..central + 42];
    attributes.copy_from_slice(&(0o020_666_u32 << 16).to_le_bytes());
    assert!(unpacked(&zip).unwrap_err().contains("device"));
}

#[test]
fn a_bomb_stops_at_the_limit_even_when_its_headers_lie() {
    let size = usize::try_from(MAX_UNPACKED_BYTES).unwrap();
    let mut zip = archive(|zip| {
        zip.start_file("zeros", options(0o644)).unwrap();
        let chunk = vec![0; 1 << 20];
        for _ in 0..=size / chunk.len() {
            zip.write_all(&chunk).unwrap();
        }
    });
    assert!(zip.len() < 1 << 20);
    let too_large = "Unzipped size must be smaller than 262144000 bytes";
    assert_eq!(unpacked(&zip).unwrap_err(), too_large);

    let central = memchr::memmem::find(&zip, b"PK\x01\x02").unwrap();
    zip[central + 24..central + 28].copy_from_slice(&10_u32.to_le_bytes());
    let lying = unpacked(&zip).unwrap_err();
    assert!(lying == too_large || lying.contains("damaged"), "{lying}");
}

#[test]
fn entries_that_collide_are_refused_and_doubles_end_with_the_last() {
    let collision = archive(|zip| {
        zip.start_file("a", options(0o644)).unwrap();
        zip.start_file("a/b", options(0o644)).unwrap();
    });
    assert!(unpacked(&collision).unwrap_err().contains("collides"));

    let double = archive(|zip| {
        zip.start_file("aa", options(0o644)).unwrap();
        zip.write_all(b"first").unwrap();
        zip.start_file("ab", options(0o644)).unwrap();
        zip.write_all(b"last").unwrap();
    });
    let dir = unpacked(&renamed(&double, "ab", "aa")).unwrap();
    assert_eq!(fs::read(dir.path().join("aa")).unwrap(), b"last");
}

#[test]
fn names_the_file_system_cannot_hold_are_the_callers_fault() {
    let error = unpacked(&with_file(&"n".repeat(300), b"x")).unwrap_err();
    assert!(error.contains("cannot hold"), "{error}");
}

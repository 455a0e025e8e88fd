//! Several unpacked packages as one directory, the later ones over the earlier ones: what `/opt` is with more than
//! one layer.
//!
//! What is where is decided on paper first, without following a link; then directories are made, files are linked to
//! the ones that are there already (no bytes are copied), and symbolic links come last. A file, link or directory of a
//! later layer takes the place of what an earlier one has under its name; two directories become one.
//!
//! Order: <https://docs.aws.amazon.com/lambda/latest/dg/packaging-layers.html>.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::{PackageError, failed, links};

/// What stands under one name.
enum Item {
    Directory,
    /// The file to link to.
    File(PathBuf),
    Link(String),
}

/// Makes the existing, empty directory `root` what `layers` are together. Links across file systems become copies.
///
/// # Errors
/// `Refused` when links of different layers together would lead out of the root; `Failed` when the disk fails.
pub(super) fn merge(layers: &[PathBuf], root: &Path) -> Result<(), PackageError> {
    let mut items = BTreeMap::new();
    for layer in layers {
        lay_over(&mut items, layer, "").map_err(failed(format!("cannot read {}", layer.display())))?;
    }
    let targets = items.iter().filter_map(|(path, item)| match item {
        Item::Link(target) => Some((path.clone(), target.clone())),
        _ => None,
    });
    links::check(&targets.collect()).map_err(|(path, what)| {
        PackageError::Refused(format!(
            "The layers cannot be merged into /opt: '{}' {what}. Change the order of the layers, or leave one out.",
            path.escape_debug()
        ))
    })?;
    let made = make(&items, root);
    made.map_err(failed(format!("cannot merge layers in {}", root.display())))
}

/// The bytes of all files below a directory.
pub(super) fn count_bytes(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            bytes += count_bytes(&entry.path())?;
        } else if kind.is_file() {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}

/// `at` is empty, or a path inside the layer with a slash at its end.
fn lay_over(items: &mut BTreeMap<String, Item>, layer: &Path, at: &str) -> io::Result<()> {
    for entry in fs::read_dir(layer.join(at))? {
        let entry = entry?;
        let name = entry.file_name();
        // Packages hold UTF-8 only.
        let name = name.to_str().ok_or(io::ErrorKind::InvalidData)?;
        let path = format!("{at}{name}");
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !matches!(items.get(&path), Some(Item::Directory)) {
                items.insert(path.clone(), Item::Directory);
            }
            lay_over(items, layer, &format!("{path}/"))?;
            continue;
        }
        if matches!(items.get(&path), Some(Item::Directory)) {
            let below = format!("{path}/");
            let inside = items.range(below.clone()..).take_while(|(other, _)| other.starts_with(&below));
            let inside: Vec<String> = inside.map(|(other, _)| other.clone()).collect();
            inside.iter().for_each(|other| drop(items.remove(other)));
        }
        let item = if kind.is_symlink() {
            let target = fs::read_link(entry.path())?;
            Item::Link(target.to_str().ok_or(io::ErrorKind::InvalidData)?.to_owned())
        } else {
            Item::File(entry.path())
        };
        items.insert(path, item);
    }
    Ok(())
}

/// A directory sorts before what is in it, so each parent is there in time; links are made when nothing is written
/// any more.
fn make(items: &BTreeMap<String, Item>, root: &Path) -> io::Result<()> {
    let open = Permissions::from_mode(0o755);
    for (path, item) in items {
        let at = root.join(path);
        match item {
            Item::Directory => {
                fs::create_dir(&at)?;
                fs::set_permissions(&at, open.clone())?;
            }
            Item::File(source) => link_or_copy(source, &at)?,
            Item::Link(_) => {}
        }
    }
    for (path, item) in items {
        if let Item::Link(target) = item {
            symlink(target, root.join(path))?;
        }
    }
    fs::set_permissions(root, open)
}

/// A file has a limited number of names, and none on another file system.
fn link_or_copy(source: &Path, at: &Path) -> io::Result<()> {
    match fs::hard_link(source, at) {
        Err(error) if matches!(error.kind(), io::ErrorKind::TooManyLinks | io::ErrorKind::CrossesDevices) => {
            fs::copy(source, at).map(drop)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn layer(files: &[(&str, &str)], links: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let at = dir.path().join(path);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            fs::write(at, content).unwrap();
        }
        for (path, target) in links {
            let at = dir.path().join(path);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            symlink(target, at).unwrap();
        }
        dir
    }

    fn merged(layers: &[&tempfile::TempDir]) -> Result<tempfile::TempDir, PackageError> {
        let root = tempfile::tempdir().unwrap();
        let layers: Vec<PathBuf> = layers.iter().map(|layer| layer.path().to_owned()).collect();
        merge(&layers, root.path()).map(|()| root)
    }

    #[test]
    fn the_later_layer_wins_and_directories_become_one() {
        let one = layer(&[("python/a.py", "1"), ("python/b.py", "1"), ("bin/tool", "1")], &[]);
        let two = layer(&[("python/b.py", "2"), ("lib/x.so", "2")], &[("bin/link", "tool")]);
        let root = merged(&[&one, &two]).unwrap();
        let read = |path: &str| fs::read_to_string(root.path().join(path)).unwrap();
        assert_eq!(
            [read("python/a.py"), read("python/b.py"), read("lib/x.so"), read("bin/link")],
            ["1", "2", "2", "1"]
        );
        let inode = |path: PathBuf| fs::metadata(path).unwrap().ino();
        assert_eq!(inode(root.path().join("bin/tool")), inode(one.path().join("bin/tool")), "no copy");
        assert_eq!(count_bytes(root.path()).unwrap(), 4);
        let other_way = merged(&[&two, &one]).unwrap();
        assert_eq!(fs::read_to_string(other_way.path().join("python/b.py")).unwrap(), "1");
    }

    #[test]
    fn a_name_is_one_thing_the_later_one() {
        let dir = layer(&[("x/deep/file", "1"), ("x-y", "1")], &[]);
        let file = layer(&[("x", "2")], &[]);
        let link = layer(&[("z", "3")], &[("x", "z")]);
        let root = merged(&[&dir, &file]).unwrap();
        assert_eq!(fs::read_to_string(root.path().join("x")).unwrap(), "2");
        assert_eq!(fs::read_to_string(root.path().join("x-y")).unwrap(), "1");
        let root = merged(&[&file, &dir]).unwrap();
        assert_eq!(fs::read_to_string(root.path().join("x/deep/file")).unwrap(), "1");
        // The directory is not written through the link.
        let root = merged(&[&link, &dir]).unwrap();
        assert_eq!(fs::read_to_string(root.path().join("x/deep/file")).unwrap(), "1");
        assert_eq!(fs::read_to_string(root.path().join("z")).unwrap(), "3");
    }

    #[test]
    fn links_that_leave_only_together_are_refused() {
        // Alone, `d/l` is a directory and `z` stays inside; with the second layer `d/l` is the root itself.
        let one = layer(&[("d/l/file", "1")], &[("z", "d/l/..")]);
        let two = layer(&[("d/other", "2")], &[("d/l", "..")]);
        assert!(merged(&[&one]).is_ok());
        assert!(matches!(merged(&[&one, &two]), Err(PackageError::Refused(why)) if why.contains("/opt")));
    }
}

//! Where this host lets us make control groups.
//!
//! Found by the spawner once, at its start: mounts from `/proc/self/mountinfo`, own group from `/proc/self/cgroup`,
//! then by trying. v1 groups and groups in the real v2 root go to `lamplighter/<instance>` at the top; inside a
//! container, or without root in a systemd unit with `Delegate=yes`, v2 groups go below our own group, whose processes
//! then have to move into a leaf (v2 forbids processes in inner groups).

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::write_file;
use crate::ControlGroups;

/// A directory below which each box gets its group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Place {
    /// In a v1 hierarchy.
    V1(PathBuf),
    /// In the v2 tree.
    V2(PathBuf),
}

impl Place {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::V1(path) | Self::V2(path) => path,
        }
    }
}

/// The place of each thing we need; `None`: not to be had here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Layout {
    pub(crate) memory: Option<Place>,
    pub(crate) cpu: Option<Place>,
    pub(crate) pids: Option<Place>,
    /// v2: also `cgroup.kill`. v1: the freezer.
    pub(crate) freeze: Option<Place>,
    /// Why something is missing, for the doctor.
    pub(crate) notes: Vec<String>,
}

impl Layout {
    /// The places there are; one directory may be several of them.
    pub(crate) fn places(&self) -> Vec<&Place> {
        [&self.memory, &self.cpu, &self.pids, &self.freeze].into_iter().flatten().collect()
    }

    /// Every directory once, of the places that `wanted` wants.
    pub(crate) fn parents(&self, wanted: impl Fn(&&Place) -> bool) -> Vec<&Path> {
        let mut parents: Vec<&Path> = Vec::with_capacity(4);
        for place in self.places().into_iter().filter(wanted) {
            if !parents.contains(&place.path()) {
                parents.push(place.path());
            }
        }
        parents
    }

    /// `v2`, `hybrid`, `v1` or `none`.
    pub(crate) fn mode(&self) -> &'static str {
        let is_v1 = |place: &Option<Place>| matches!(place, Some(Place::V1(_)));
        let is_v2 = |place: &Option<Place>| matches!(place, Some(Place::V2(_)));
        match (is_v2(&self.memory), is_v1(&self.memory), is_v2(&self.freeze)) {
            (true, ..) => "v2",
            (false, true, true) => "hybrid",
            (false, true, false) => "v1",
            _ if self.places().is_empty() => "none",
            _ => "partial",
        }
    }
}

/// One mounted hierarchy.
#[derive(Debug, PartialEq, Eq)]
struct Hierarchy {
    mount_point: PathBuf,
    /// What part of the hierarchy is mounted.
    root: String,
    /// v1: its controllers; v2: `None`.
    controllers: Option<Vec<String>>,
}

/// Looks at this host and prepares the directories of `instance`.
pub(crate) fn prepare(instance: &str, wanted: ControlGroups) -> Layout {
    let mut layout = Layout::default();
    if wanted == ControlGroups::Nothing {
        layout.notes.push("switched off".to_owned());
        return layout;
    }
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let hierarchies = parse_mountinfo(&mountinfo);
    let v2 = hierarchies.iter().find(|hierarchy| hierarchy.controllers.is_none());
    let v2 = v2.filter(|_| wanted == ControlGroups::Best);
    if let Some(v2) = v2 {
        match prepare_v2(v2, instance) {
            Ok((path, controllers)) => {
                let has = |name: &str| controllers.iter().any(|one| one == name);
                let place = |wanted: bool| wanted.then(|| Place::V2(path.clone()));
                layout.memory = place(has("memory"));
                layout.cpu = place(has("cpu"));
                layout.pids = place(has("pids"));
                layout.freeze = place(path.join("cgroup.freeze").exists());
            }
            Err(error) => layout.notes.push(format!("control groups v2: {error}")),
        }
    }
    let v1 = |name: &str, notes: &mut Vec<String>| {
        let of = |hierarchy: &&Hierarchy| {
            hierarchy.controllers.as_ref().is_some_and(|list| list.iter().any(|one| one == name))
        };
        let hierarchy = hierarchies.iter().find(of)?;
        let path = hierarchy.mount_point.join("lamplighter").join(instance);
        match fs::create_dir_all(&path) {
            Ok(()) => Some(Place::V1(path)),
            Err(error) => {
                notes.push(format!("control group {}: {error}", path.display()));
                None
            }
        }
    };
    let notes = &mut layout.notes;
    layout.memory = layout.memory.take().or_else(|| v1("memory", notes));
    layout.cpu = layout.cpu.take().or_else(|| v1("cpu", notes));
    layout.pids = layout.pids.take().or_else(|| v1("pids", notes));
    layout.freeze = layout.freeze.take().or_else(|| v1("freezer", notes));
    if let Some(cpu) = &layout.cpu {
        weigh_in(cpu);
    }
    layout
}

/// Lets all boxes together weigh as much as sixteen ordinary programs. By default they would weigh as much as one
/// thread of the server, and would wait for it under load; with all the weight there is, the server would wait for
/// them. Their limits are the quotas of each.
fn weigh_in(cpu: &Place) {
    let (file, weight) = match cpu {
        Place::V1(_) => ("cpu.shares", "16384"),
        Place::V2(_) => ("cpu.weight", "1600"),
    };
    for group in [Some(cpu.path()), cpu.path().parent()].into_iter().flatten() {
        // A host that does not let us keeps its own weights: slower, not wrong.
        let _ = write_file(&group.join(file), weight);
    }
}

/// Returns the directory for our boxes and the controllers that are on in it.
fn prepare_v2(hierarchy: &Hierarchy, instance: &str) -> io::Result<(PathBuf, Vec<String>)> {
    let top = &hierarchy.mount_point;
    // Only the real root of the tree has no `cgroup.type`.
    let is_real_root = !top.join("cgroup.type").exists();
    let base = if is_real_root && rustix::process::geteuid().is_root() && may_write(top) {
        top.clone()
    } else {
        let base = own_group(hierarchy)?;
        leave_inner_group(&base)?;
        base
    };
    let parent = base.join("lamplighter");
    enable(&base)?;
    make_dir(&parent)?;
    enable(&parent)?;
    let path = parent.join(instance);
    make_dir(&path)?;
    enable(&path)?;
    Ok((path.clone(), words(&path.join("cgroup.subtree_control"))?))
}

fn make_dir(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(io::Error::new(error.kind(), format!("{}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}

fn may_write(group: &Path) -> bool {
    fs::File::options().write(true).open(group.join("cgroup.procs")).is_ok()
}

/// The group of this process, as a directory.
fn own_group(hierarchy: &Hierarchy) -> io::Result<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup")?;
    let own = text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let relative = own.strip_prefix(hierarchy.root.as_str()).unwrap_or(own).trim_start_matches('/');
    let path = hierarchy.mount_point.join(relative);
    let owner = fs::metadata(&path)?.uid();
    let euid = rustix::process::geteuid();
    let is_ours = owner == euid.as_raw() || euid.is_root();
    if is_ours && may_write(&path) {
        return Ok(path);
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!(
            "{} is not delegated to us; start the server with `systemd-run --user --scope -p Delegate=yes ...`",
            path.display()
        ),
    ))
}

/// Moves the processes of `base` (the server, this one, in a container also its siblings) into a leaf, so that
/// `base` may have controllers for its children.
fn leave_inner_group(base: &Path) -> io::Result<()> {
    if wanted_controllers(base)?.is_empty() {
        return Ok(());
    }
    let leaf = base.join("lamplighter-server");
    make_dir(&leaf)?;
    let to = leaf.join("cgroup.procs");
    // A few rounds: a process may fork meanwhile. One that cannot be moved makes `enable` fail, with its reason.
    for _ in 0..5 {
        let members = words(&base.join("cgroup.procs"))?;
        if members.is_empty() {
            break;
        }
        for pid in members {
            let _ = write_file(&to, &pid);
        }
    }
    Ok(())
}

/// Of what we use, what `group` can give its children.
fn wanted_controllers(group: &Path) -> io::Result<Vec<String>> {
    let mut available = words(&group.join("cgroup.controllers"))?;
    available.retain(|name| ["memory", "cpu", "pids"].contains(&name.as_str()));
    Ok(available)
}

fn enable(group: &Path) -> io::Result<()> {
    for controller in wanted_controllers(group)? {
        write_file(&group.join("cgroup.subtree_control"), &format!("+{controller}"))?;
    }
    Ok(())
}

fn words(path: &Path) -> io::Result<Vec<String>> {
    Ok(fs::read_to_string(path)?.split_whitespace().map(str::to_owned).collect())
}

fn parse_mountinfo(text: &str) -> Vec<Hierarchy> {
    text.lines().filter_map(parse_mount).collect()
}

/// `36 35 98:0 /root /mount/point rw,noatime shared:1 - cgroup cgroup rw,memory`
fn parse_mount(line: &str) -> Option<Hierarchy> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(3);
    let (root, mount_point) = (left.next()?, left.next()?);
    let mut right = right.split(' ');
    let kind = right.next()?;
    let options = right.nth(1)?;
    let controllers = match kind {
        "cgroup2" => None,
        "cgroup" => Some(options.split(',').map(str::to_owned).collect()),
        _ => return None,
    };
    Some(Hierarchy { mount_point: PathBuf::from(mount_point), root: root.to_owned(), controllers })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_lines_tell_hierarchy_and_controllers() {
        let text = "40 30 0:30 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                    41 30 0:31 /x /sys/fs/cgroup/unified rw,relatime shared:4 - cgroup2 cgroup2 rw\n\
                    42 30 0:32 / /sys rw - sysfs sysfs rw\n";
        let found = parse_mountinfo(text);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].controllers.as_deref(), Some(&["rw".to_owned(), "memory".to_owned()][..]));
        assert_eq!(found[1].controllers, None);
        assert_eq!(found[1].root, "/x");
    }

    #[test]
    fn the_mode_follows_from_the_places() {
        let v1 = || Some(Place::V1("/a".into()));
        let v2 = || Some(Place::V2("/b".into()));
        let all = |memory: Option<Place>, freeze: Option<Place>| Layout {
            memory: memory.clone(),
            cpu: memory.clone(),
            pids: memory,
            freeze,
            notes: vec![],
        };
        assert_eq!(all(v2(), v2()).mode(), "v2");
        assert_eq!(all(v1(), v2()).mode(), "hybrid");
        assert_eq!(all(v1(), v1()).mode(), "v1");
        assert_eq!(all(None, None).mode(), "none");
        assert_eq!(all(v1(), v2()).parents(|_| true).len(), 2);
    }
}

//! Who a box is: its own user namespace, one user id, no capability, no way to get one.

use std::fs;
use std::os::fd::AsFd;

use rustix::process::{Gid, Signal, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets, LinkNameSpaceType};

use super::{Step, StepError};
use crate::sys;

/// User and group ids inside, and the user's name: as on AWS.
pub(crate) const INSIDE_UID: u32 = 993;
pub(crate) const INSIDE_GID: u32 = 990;
pub(crate) const INSIDE_USER: &str = "sbx_user1051";

/// Makes a user namespace in which `owner` (an id of the present one) is the only user. Needs `/proc`.
///
/// The namespace is the box's last: all its others belong to the one outside, so even full capabilities in here
/// would rule over nothing.
pub(crate) fn make_space(owner: u32, may_set_groups: bool) -> Result<fs::File, StepError> {
    let borrowed = may_set_groups && owner != 0;
    if borrowed {
        borrow_owner(owner)?;
    }
    // Only the parent namespace can say whom a user namespace holds: a child makes it, this process (still outside)
    // writes the maps.
    let holder = sys::spawn_namespace_holder(libc::CLONE_NEWUSER).step("make a user namespace")?;
    let space = describe(holder.as_raw_nonzero().get(), owner);
    let _ = rustix::process::kill_process(holder, Signal::KILL);
    let _ = rustix::process::waitpid(Some(holder), rustix::process::WaitOptions::empty());
    if borrowed {
        rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).step("give the user back")?;
    }
    space
}

/// Enters the namespace and becomes its user, without any capability and for good.
pub(crate) fn become_owner(space: &fs::File, may_set_groups: bool) -> Result<(), StepError> {
    if may_set_groups {
        rustix::thread::set_thread_groups(&[]).step("leave all groups")?;
    }
    // Allowed only to a process with one thread that shares its working directory with nobody: that is us.
    let kind = Some(LinkNameSpaceType::User);
    rustix::thread::move_into_link_name_space(space.as_fd(), kind).step("enter the user namespace")?;
    let gid = Gid::from_raw(INSIDE_GID);
    rustix::thread::set_thread_res_gid(gid, gid, gid).step("become the group")?;
    let uid = Uid::from_raw(INSIDE_UID);
    rustix::thread::set_thread_res_uid(uid, uid, uid).step("become the user")?;
    sys::drop_bounding_set().step("drop the capability bounding set")?;
    rustix::thread::clear_ambient_capability_set().step("drop the ambient capabilities")?;
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(
        None,
        CapabilitySets { effective: none, permitted: none, inheritable: none },
    )
    .step("drop the capabilities")?;
    rustix::thread::set_no_new_privs(true).step("set no_new_privs")
}

/// Lets the owner make the namespace, with our capabilities. The kernel counts what a namespace uses of scarce things
/// (file watches, waiting signals) also for its maker: that must not be the host's root.
///
/// Becoming root again, and entering the namespace, end the state that this leaves.
fn borrow_owner(owner: u32) -> Result<(), StepError> {
    use rustix::thread::{CapabilitiesSecureBits, set_capabilities_secure_bits};
    let keep = CapabilitiesSecureBits::NO_SETUID_FIXUP;
    set_capabilities_secure_bits(keep).step("keep the capabilities")?;
    rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::from_raw(owner), Uid::ROOT).step("borrow the user")?;
    // A changed user hides the process, from itself too. Nobody else is in its namespaces.
    let visible = rustix::process::DumpableBehavior::Dumpable;
    rustix::process::set_dumpable_behavior(visible).step("stay visible to itself")
}

/// Who owns on a disk what a box makes in a shared folder.
pub(crate) enum DiskOwner {
    /// The folder's own owner.
    User { uid: u32, gid: u32 },
    /// The id that all boxes have in folders of root.
    Stranger(u32),
}

/// A user namespace that says: what `disk` owns on the disk, `owner` owns in a mount. `None`: this host has too few ids
/// for that.
pub(crate) fn owner_map(disk: &DiskOwner, owner: u32) -> Result<Option<fs::File>, StepError> {
    let (users, groups, must) = match disk {
        DiskOwner::User { uid, gid } => (format!("{uid} {owner} 1\n"), format!("{gid} {owner} 1\n"), true),
        DiskOwner::Stranger(stranger) => {
            // The two change places. All others stay what they are: what has no id in a mount cannot be written to.
            let (from, to) = (owner + 1, stranger + 1);
            let map = format!(
                "0 0 {owner}\n{owner} {stranger} 1\n{from} {from} {between}\n{stranger} {owner} 1\n{to} {to} {above}\n",
                between = stranger - from,
                above = u32::MAX - to,
            );
            (map.clone(), map, false)
        }
    };
    let holder = sys::spawn_namespace_holder(libc::CLONE_NEWUSER).step("make a user namespace")?;
    let process = holder.as_raw_nonzero();
    let space = fs::write(format!("/proc/{process}/uid_map"), users)
        .and_then(|()| fs::write(format!("/proc/{process}/gid_map"), groups))
        .and_then(|()| fs::File::open(format!("/proc/{process}/ns/user")));
    let _ = rustix::process::kill_process(holder, Signal::KILL);
    match space {
        Err(_) if !must => Ok(None),
        space => space.map(Some).step("map the owner of a shared folder"),
    }
}

fn describe(holder: i32, owner: u32) -> Result<fs::File, StepError> {
    let write = |file: &str, map: String| fs::write(format!("/proc/{holder}/{file}"), map);
    write("uid_map", format!("{INSIDE_UID} {owner} 1\n")).step("write the user map")?;
    write("gid_map", format!("{INSIDE_GID} {owner} 1\n")).step("write the group map")?;
    fs::File::open(format!("/proc/{holder}/ns/user")).step("open the user namespace")
}

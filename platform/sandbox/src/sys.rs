//! The system calls that `rustix` does not offer safely: thin, typed, one reason per `unsafe`.
//!
//! Everything here is for the spawner and the boxes, which have one thread each, except [`landlock_abi`].
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_int};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// What [`fork`] returns.
pub(crate) enum Forked {
    Child,
    Parent(rustix::process::Pid),
}

/// Makes a child process, in new namespaces if `flags` say so. Unlike `fork` of the C library it runs no handlers.
///
/// # Safety
/// The process must have one thread only: a lock that another thread held would stay locked in the child. The child
/// must end by [`exit_now`] or by exec, never by returning into its parent's code.
pub(crate) unsafe fn fork(flags: c_int) -> io::Result<Forked> {
    // Not clone3: the boxes' filter does not know it, and init forks behind that filter. Flags are bits: no sign.
    let flags = (flags | libc::SIGCHLD).cast_unsigned() as libc::c_ulong;
    let none = 0_usize;
    // SAFETY: without CLONE_VM the child has a copy of the memory and, as no stack is given, goes on with the same
    // one, as after fork. No other pointer is given.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone, flags, none, none, none, none) })?;
    match rustix::process::Pid::from_raw(pid as i32) {
        Some(pid) => Ok(Forked::Parent(pid)),
        None => Ok(Forked::Child),
    }
}

/// [`fork`], with the child born in a v2 control group.
///
/// # Safety
/// As for [`fork`].
pub(crate) unsafe fn fork_into(flags: c_int, group: Option<&OwnedFd>) -> io::Result<Forked> {
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let Some(group) = group else {
        // SAFETY: the caller's promise.
        return unsafe { fork(flags) };
    };
    #[repr(C)]
    #[derive(Default)]
    struct CloneArgs {
        flags: u64,
        pidfd: u64,
        child_tid: u64,
        parent_tid: u64,
        exit_signal: u64,
        stack: u64,
        stack_size: u64,
        tls: u64,
        set_tid: u64,
        set_tid_size: u64,
        cgroup: u64,
    }
    let args = CloneArgs {
        flags: u64::from(flags.cast_unsigned()) | CLONE_INTO_CGROUP,
        exit_signal: libc::SIGCHLD as u64,
        cgroup: group.as_raw_fd() as u64,
        ..CloneArgs::default()
    };
    // SAFETY: `args` is the kernel's structure, version 2, and lives through the call; for the rest see `fork`.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &args, size_of::<CloneArgs>()) })?;
    match rustix::process::Pid::from_raw(pid as i32) {
        Some(pid) => Ok(Forked::Parent(pid)),
        None => Ok(Forked::Child),
    }
}

/// Starts a process that does nothing but to keep new namespaces alive until it is killed.
pub(crate) fn spawn_namespace_holder(flags: c_int) -> io::Result<rustix::process::Pid> {
    extern "C" fn hold(_: *mut libc::c_void) -> c_int {
        loop {
            // SAFETY: it has no preconditions. It only returns after a signal handler: there is none.
            unsafe { libc::pause() };
        }
    }
    // Shared memory (no copy of the page tables), but a stack of its own, never freed: the child may live on.
    let stack = Box::leak(vec![0_u8; 32 * 1024].into_boxed_slice()).as_mut_ptr_range().end;
    // SAFETY: the stack is big enough, aligned by the C library, and lives as long as the memory. The child touches
    // no other memory: `pause` never comes back.
    let pid = unsafe {
        libc::clone(hold, stack.cast(), libc::CLONE_VM | flags | libc::SIGCHLD, std::ptr::null_mut())
    };
    check(libc::c_long::from(pid))?;
    rustix::process::Pid::from_raw(pid).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Runs `child` in a new process that shares this one's memory; this one stands still until the child runs another
/// program or ends. That copies no page tables, and faults no pages in: most of what a fork costs.
///
/// # Safety
/// The process must have one thread only. `child` must leave everything in memory as this process may find it.
pub(crate) unsafe fn spawn_and_wait_for_exec(child: &mut dyn FnMut()) -> io::Result<rustix::process::Pid> {
    extern "C" fn begin(child: *mut libc::c_void) -> c_int {
        // SAFETY: it is the pointer below; its owner stands still.
        let child = unsafe { &mut *child.cast::<&mut dyn FnMut()>() };
        child();
        exit_now(127)
    }
    const STACK_BYTES: usize = 128 * 1024;
    let mut child = child;
    let mut stack = vec![0_u8; STACK_BYTES];
    let top = stack.as_mut_ptr_range().end;
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the stack is aligned by the C library, big enough, and outlives the child's use of it, as `child` does:
    // CLONE_VFORK.
    let pid = unsafe { libc::clone(begin, top.cast(), flags, (&raw mut child).cast()) };
    check(libc::c_long::from(pid))?;
    rustix::process::Pid::from_raw(pid).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Ends this process without running anything that its parent registered.
pub(crate) fn exit_now(code: c_int) -> ! {
    // SAFETY: it has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Flags of [`mount_setattr`].
pub(crate) const ATTR_READ_ONLY: u64 = 0x1;
pub(crate) const ATTR_NO_SUID: u64 = 0x2;
pub(crate) const ATTR_NO_DEV: u64 = 0x4;

/// Sets attributes of the mount that `fd` refers to, and of all below it.
pub(crate) fn mount_setattr(fd: &impl AsRawFd, attributes: u64) -> io::Result<()> {
    set_mount_attributes(fd, attributes, 0, libc::AT_EMPTY_PATH | libc::AT_RECURSIVE)
}

fn set_mount_attributes(fd: &impl AsRawFd, attributes: u64, userns_fd: u64, flags: c_int) -> io::Result<()> {
    #[repr(C)]
    struct MountAttr {
        set: u64,
        clear: u64,
        propagation: u64,
        userns_fd: u64,
    }
    let attr = MountAttr { set: attributes, clear: 0, propagation: 0, userns_fd };
    // SAFETY: the path is an empty C string, `attr` is the kernel's structure of the given size; both outlive the
    // call, which keeps neither.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &attr,
            size_of::<MountAttr>(),
        )
    })?;
    Ok(())
}

/// Lets the user `outside` (an id of this user namespace) own in the mount that `fd` refers to what `inside` owns on
/// the disk. The mount must be nowhere yet.
pub(crate) fn map_owner(fd: &impl AsRawFd, space: &impl AsRawFd) -> io::Result<()> {
    const ATTR_IDMAP: u64 = 0x10_0000;
    set_mount_attributes(fd, ATTR_IDMAP, space.as_raw_fd() as u64, libc::AT_EMPTY_PATH)
}

/// The number of a loop device that nobody uses at this moment.
pub(crate) fn free_loop_device() -> io::Result<u32> {
    const LOOP_CTL_GET_FREE: u64 = 0x4C82;
    let control = std::fs::File::options().read(true).write(true).open("/dev/loop-control")?;
    // SAFETY: this request takes no argument and only returns a number.
    let number =
        check(libc::c_long::from(unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE as _) }))?;
    u32::try_from(number).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Puts a file on a loop device that lets go of it when the device is closed for the last time.
pub(crate) fn configure_loop(device: RawFd, image: RawFd) -> io::Result<()> {
    const LOOP_CONFIGURE: u64 = 0x4C0A;
    const LO_FLAGS_AUTOCLEAR: u32 = 4;
    #[repr(C)]
    struct LoopConfig {
        fd: u32,
        block_size: u32,
        /// `loop_info64` up to its flags: two numbers of devices, an inode, offset and size limit.
        numbers: [u64; 5],
        number: u32,
        encrypt_type: u32,
        encrypt_key_size: u32,
        flags: u32,
        /// Names, key and the rest of `loop_info64`, then reserved words.
        names: [u8; 160],
        init: [u64; 2],
        reserved: [u64; 8],
    }
    let config = LoopConfig {
        fd: image.cast_unsigned(),
        block_size: 0,
        numbers: [0; 5],
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: LO_FLAGS_AUTOCLEAR,
        names: [0; 160],
        init: [0; 2],
        reserved: [0; 8],
    };
    // SAFETY: `config` is the kernel's `loop_config` (304 bytes); it outlives the call, which copies it.
    check(libc::c_long::from(unsafe { libc::ioctl(device, LOOP_CONFIGURE as _, &config) })).map(drop)
}

/// Moves `fd` to the number `to`, closed on exec, and takes it over under the new number.
pub(crate) fn move_fd(fd: OwnedFd, to: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: `dup3` only touches the descriptor table. The caller chose `to`: nothing it still needs is there.
    check(libc::c_long::from(unsafe { libc::dup3(fd.as_raw_fd(), to, libc::O_CLOEXEC) }))?;
    // SAFETY: `to` is open now, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(to) })
}

/// Copies `fd` to the number `to`, kept open on exec. If it is there already, it only stays open on exec.
pub(crate) fn place_fd(fd: &impl AsRawFd, to: RawFd) -> io::Result<()> {
    let result = if fd.as_raw_fd() == to {
        // SAFETY: `fcntl` with F_SETFD touches one flag of one descriptor.
        unsafe { libc::fcntl(to, libc::F_SETFD, 0) }
    } else {
        // SAFETY: `dup2` only touches the descriptor table.
        unsafe { libc::dup2(fd.as_raw_fd(), to) }
    };
    check(libc::c_long::from(result)).map(drop)
}

/// Closes every descriptor from `first` to `last`.
///
/// # Safety
/// No live object may own one of them: a later drop would close a stranger's descriptor.
pub(crate) unsafe fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: it only touches the descriptor table; the rest is the caller's promise.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) }).map(drop)
}

/// Blocks SIGCHLD and returns a descriptor that is readable when a child changed state.
pub(crate) fn child_signal_fd() -> io::Result<OwnedFd> {
    // SAFETY: a zeroed `sigset_t` is a valid place for `sigemptyset`; all pointers outlive their calls.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGCHLD);
        check(libc::c_long::from(libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut())))?;
        let fd = libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        check(libc::c_long::from(fd))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Blocks no signal, and gives every signal its default action.
pub(crate) fn reset_signals() {
    // SAFETY: default actions run none of our code; the pointers outlive their calls. Numbers without a signal, and
    // the two that cannot be changed, are refused by the kernel without harm.
    unsafe {
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
    }
}

/// Sends a signal to every process of this PID namespace but the caller and init.
pub(crate) fn signal_all(signal: c_int) -> io::Result<()> {
    // SAFETY: it has no preconditions.
    check(libc::c_long::from(unsafe { libc::kill(-1, signal) })).map(drop)
}

/// Drops every capability from the bounding set.
pub(crate) fn drop_bounding_set() -> io::Result<()> {
    for capability in 0..64_u64 {
        // SAFETY: PR_CAPBSET_DROP takes a number and touches only this process's credentials.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } != 0 {
            let error = io::Error::last_os_error();
            // Past the last capability that this kernel knows.
            return if error.raw_os_error() == Some(libc::EINVAL) { Ok(()) } else { Err(error) };
        }
    }
    Ok(())
}

/// Brings the loopback interface of this network namespace up.
pub(crate) fn loopback_up() -> io::Result<()> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType};
    let socket =
        rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: a zeroed `ifreq` is valid; the name fits with its terminator; the kernel reads flags only.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        check(libc::c_long::from(libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &request)))
            .map(drop)
    }
}

/// Runs `path`. Returns only if that fails.
pub(crate) fn execve(path: &CStr, arguments: &[CString], environment: &[CString]) -> io::Error {
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter().map(|word| word.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    // SAFETY: both lists end with a null pointer and point to C strings that outlive the call.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// Landlock's version on this kernel; 0 if it is not compiled in or not switched on.
pub(crate) fn landlock_abi() -> u32 {
    const LANDLOCK_CREATE_RULESET_VERSION: u32 = 1;
    let (no_attr, no_size) = (std::ptr::null::<u8>(), 0_usize);
    let flags = LANDLOCK_CREATE_RULESET_VERSION;
    // SAFETY: with this flag the call takes no structure and only returns a number.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, no_attr, no_size, flags) };
    u32::try_from(abi).unwrap_or(0)
}

//! The system calls a box may use.
//!
//! An allow list that is broad enough for CPython, Node, the JVM, Go, Rust, Ruby and .NET. What is not on it does
//! not exist (`ENOSYS`), so that libraries fall back to older calls; what is on the deny list is known and refused
//! (`EPERM`). `clone3` hides its flags behind a pointer, so it "does not exist": the C libraries then use `clone`,
//! whose flags are checked. Two filters, compiled once by the spawner; where both object, the last installed speaks.

use std::collections::BTreeMap;
use std::io;

use libc as c;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Cmp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// Flags of `clone` that make namespaces.
const NAMESPACE_FLAGS: [i32; 7] = [
    c::CLONE_NEWNS,
    c::CLONE_NEWCGROUP,
    c::CLONE_NEWUTS,
    c::CLONE_NEWIPC,
    c::CLONE_NEWUSER,
    c::CLONE_NEWPID,
    c::CLONE_NEWNET,
];

/// The compiled filters.
pub(crate) struct Filters {
    allow: BpfProgram,
    deny: BpfProgram,
}

impl Filters {
    pub(crate) fn compile() -> io::Result<Self> {
        let invalid = |error: seccompiler::BackendError| io::Error::new(io::ErrorKind::InvalidData, error);
        let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(invalid)?;
        let errno = |errno: i32| SeccompAction::Errno(errno.cast_unsigned());
        let filter = |rules, mismatch, matched| -> io::Result<BpfProgram> {
            SeccompFilter::new(rules, mismatch, matched, arch).and_then(TryInto::try_into).map_err(invalid)
        };
        let allow = filter(allowed().map_err(invalid)?, errno(c::ENOSYS), SeccompAction::Allow)?;
        let deny = filter(denied().map_err(invalid)?, SeccompAction::Allow, errno(c::EPERM))?;
        Ok(Self { allow, deny })
    }

    /// For this process and all that come from it, for good. Needs `no_new_privs`.
    pub(crate) fn install(&self) -> io::Result<()> {
        for program in [&self.allow, &self.deny] {
            seccompiler::apply_filter(program).map_err(io::Error::other)?;
        }
        Ok(())
    }
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn allowed() -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = ALLOWED.iter().chain(ALLOWED_BY_ARCH).map(|number| (*number, vec![])).collect();
    let rule = |argument, length, operator, value| {
        SeccompRule::new(vec![SeccompCondition::new(argument, length, operator, value)?])
    };
    // Its flags are looked at by the deny list.
    rules.insert(c::SYS_clone, vec![]);
    // Local, IPv4, IPv6; netlink only for routes and addresses (`getifaddrs`).
    let mut sockets = Vec::new();
    for family in [c::AF_UNIX, c::AF_INET, c::AF_INET6] {
        sockets.push(rule(0, Len::Dword, Cmp::Eq, family as u64)?);
    }
    sockets.push(SeccompRule::new(vec![
        SeccompCondition::new(0, Len::Dword, Cmp::Eq, c::AF_NETLINK as u64)?,
        SeccompCondition::new(2, Len::Dword, Cmp::Eq, c::NETLINK_ROUTE as u64)?,
    ])?);
    rules.insert(c::SYS_socket, sockets);
    // Ask, the default, and no address randomisation.
    let personalities = [0, 0xffff_ffff, c::ADDR_NO_RANDOMIZE as u64];
    let personalities: Result<_, _> =
        personalities.iter().map(|value| rule(0, Len::Dword, Cmp::Eq, *value)).collect();
    rules.insert(c::SYS_personality, personalities?);
    // No typing into a terminal. The number's type depends on the C library.
    #[allow(clippy::unnecessary_cast)]
    rules.insert(c::SYS_ioctl, vec![rule(1, Len::Dword, Cmp::Ne, c::TIOCSTI as u64)?]);
    Ok(rules)
}

fn denied() -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = DENIED.iter().map(|number| (*number, vec![])).collect();
    let with = |flag: i32| {
        let flag = u64::from(flag.cast_unsigned());
        SeccompRule::new(vec![SeccompCondition::new(0, Len::Dword, Cmp::MaskedEq(flag), flag)?])
    };
    rules.insert(c::SYS_clone, NAMESPACE_FLAGS.into_iter().map(with).collect::<Result<_, _>>()?);
    Ok(rules)
}

/// Known, and refused: the kernel's set-up, other namespaces, other processes, and what has often been a hole.
#[rustfmt::skip]
const DENIED: &[i64] = &[
    c::SYS_mount, c::SYS_umount2, c::SYS_pivot_root, c::SYS_chroot, c::SYS_open_tree, c::SYS_move_mount,
    c::SYS_fsopen, c::SYS_fsconfig, c::SYS_fsmount, c::SYS_fspick, c::SYS_mount_setattr,
    c::SYS_unshare, c::SYS_setns,
    c::SYS_ptrace, c::SYS_process_vm_readv, c::SYS_process_vm_writev, c::SYS_kcmp, c::SYS_pidfd_getfd,
    c::SYS_process_madvise,
    c::SYS_bpf, c::SYS_perf_event_open, c::SYS_userfaultfd, c::SYS_io_uring_setup, c::SYS_io_uring_enter,
    c::SYS_io_uring_register,
    c::SYS_keyctl, c::SYS_add_key, c::SYS_request_key,
    c::SYS_open_by_handle_at, c::SYS_name_to_handle_at, c::SYS_quotactl, c::SYS_acct, c::SYS_swapon, c::SYS_swapoff,
    c::SYS_kexec_load, c::SYS_kexec_file_load, c::SYS_init_module, c::SYS_finit_module, c::SYS_delete_module,
    c::SYS_reboot, c::SYS_syslog, c::SYS_vhangup, c::SYS_nfsservctl, c::SYS_lookup_dcookie,
    c::SYS_settimeofday, c::SYS_clock_settime, c::SYS_adjtimex, c::SYS_clock_adjtime,
    c::SYS_sethostname, c::SYS_setdomainname, c::SYS_fanotify_init, c::SYS_move_pages, c::SYS_migrate_pages,
];

/// On every architecture. The calls with a condition are in [`allowed`].
#[rustfmt::skip]
const ALLOWED: &[i64] = &[
    // files
    c::SYS_read, c::SYS_write, c::SYS_readv, c::SYS_writev, c::SYS_pread64, c::SYS_pwrite64, c::SYS_preadv,
    c::SYS_pwritev, c::SYS_preadv2, c::SYS_pwritev2, c::SYS_openat, c::SYS_openat2, c::SYS_close, c::SYS_close_range,
    c::SYS_lseek, c::SYS_fstat, c::SYS_newfstatat, c::SYS_statx, c::SYS_statfs, c::SYS_fstatfs, c::SYS_faccessat,
    c::SYS_faccessat2, c::SYS_getdents64, c::SYS_getcwd, c::SYS_chdir, c::SYS_fchdir, c::SYS_mkdirat, c::SYS_unlinkat,
    c::SYS_renameat, c::SYS_renameat2, c::SYS_linkat, c::SYS_symlinkat, c::SYS_readlinkat, c::SYS_mknodat,
    c::SYS_fchmod, c::SYS_fchmodat, c::SYS_fchown, c::SYS_fchownat, c::SYS_umask, c::SYS_utimensat, c::SYS_truncate,
    c::SYS_ftruncate, c::SYS_fallocate, c::SYS_fsync, c::SYS_fdatasync, c::SYS_sync, c::SYS_syncfs,
    c::SYS_sync_file_range, c::SYS_flock, c::SYS_fcntl, c::SYS_dup, c::SYS_dup3, c::SYS_pipe2, c::SYS_splice,
    c::SYS_tee, c::SYS_vmsplice, c::SYS_sendfile, c::SYS_copy_file_range, c::SYS_readahead, c::SYS_fadvise64,
    c::SYS_memfd_create, c::SYS_inotify_init1, c::SYS_inotify_add_watch, c::SYS_inotify_rm_watch,
    c::SYS_setxattr, c::SYS_lsetxattr, c::SYS_fsetxattr, c::SYS_getxattr, c::SYS_lgetxattr, c::SYS_fgetxattr,
    c::SYS_listxattr, c::SYS_llistxattr, c::SYS_flistxattr, c::SYS_removexattr, c::SYS_lremovexattr,
    c::SYS_fremovexattr,
    // waiting
    c::SYS_ppoll, c::SYS_pselect6, c::SYS_epoll_create1, c::SYS_epoll_ctl, c::SYS_epoll_pwait, c::SYS_epoll_pwait2,
    c::SYS_eventfd2, c::SYS_signalfd4, c::SYS_timerfd_create, c::SYS_timerfd_settime, c::SYS_timerfd_gettime,
    c::SYS_io_setup, c::SYS_io_submit, c::SYS_io_getevents, c::SYS_io_cancel, c::SYS_io_destroy,
    // memory
    c::SYS_mmap, c::SYS_munmap, c::SYS_mremap, c::SYS_mprotect, c::SYS_madvise, c::SYS_mincore, c::SYS_msync,
    c::SYS_mlock, c::SYS_mlock2, c::SYS_mlockall, c::SYS_munlock, c::SYS_munlockall, c::SYS_brk, c::SYS_membarrier,
    c::SYS_pkey_alloc, c::SYS_pkey_free, c::SYS_pkey_mprotect, c::SYS_mbind, c::SYS_get_mempolicy,
    c::SYS_set_mempolicy, c::SYS_shmget, c::SYS_shmat, c::SYS_shmdt, c::SYS_shmctl,
    // processes and threads
    c::SYS_execve, c::SYS_execveat, c::SYS_exit, c::SYS_exit_group, c::SYS_wait4, c::SYS_waitid, c::SYS_getpid,
    c::SYS_getppid, c::SYS_gettid, c::SYS_getpgid, c::SYS_setpgid, c::SYS_getsid, c::SYS_setsid,
    c::SYS_set_tid_address, c::SYS_set_robust_list, c::SYS_get_robust_list, c::SYS_rseq, c::SYS_futex,
    c::SYS_futex_waitv, c::SYS_prctl, c::SYS_seccomp, c::SYS_pidfd_open, c::SYS_pidfd_send_signal,
    c::SYS_getuid, c::SYS_geteuid, c::SYS_getgid, c::SYS_getegid, c::SYS_getresuid, c::SYS_getresgid,
    c::SYS_getgroups, c::SYS_setuid, c::SYS_setgid, c::SYS_setreuid, c::SYS_setregid, c::SYS_setresuid,
    c::SYS_setresgid, c::SYS_setgroups, c::SYS_setfsuid, c::SYS_setfsgid, c::SYS_capget, c::SYS_capset,
    c::SYS_getrlimit, c::SYS_setrlimit, c::SYS_prlimit64, c::SYS_getrusage, c::SYS_times, c::SYS_getpriority,
    c::SYS_setpriority, c::SYS_ioprio_get, c::SYS_ioprio_set, c::SYS_sched_yield, c::SYS_sched_getaffinity,
    c::SYS_sched_setaffinity, c::SYS_sched_getparam, c::SYS_sched_setparam, c::SYS_sched_getscheduler,
    c::SYS_sched_setscheduler, c::SYS_sched_getattr, c::SYS_sched_setattr, c::SYS_sched_get_priority_max,
    c::SYS_sched_get_priority_min, c::SYS_sched_rr_get_interval, c::SYS_getcpu,
    c::SYS_landlock_create_ruleset, c::SYS_landlock_add_rule, c::SYS_landlock_restrict_self,
    // signals
    c::SYS_rt_sigaction, c::SYS_rt_sigprocmask, c::SYS_rt_sigreturn, c::SYS_rt_sigpending, c::SYS_rt_sigsuspend,
    c::SYS_rt_sigtimedwait, c::SYS_rt_sigqueueinfo, c::SYS_rt_tgsigqueueinfo, c::SYS_sigaltstack, c::SYS_kill,
    c::SYS_tkill, c::SYS_tgkill, c::SYS_restart_syscall,
    // time
    c::SYS_clock_gettime, c::SYS_clock_getres, c::SYS_clock_nanosleep, c::SYS_nanosleep, c::SYS_gettimeofday,
    c::SYS_getitimer, c::SYS_setitimer, c::SYS_timer_create, c::SYS_timer_settime, c::SYS_timer_gettime,
    c::SYS_timer_getoverrun, c::SYS_timer_delete,
    // network
    c::SYS_socketpair, c::SYS_bind, c::SYS_listen, c::SYS_accept, c::SYS_accept4, c::SYS_connect, c::SYS_shutdown,
    c::SYS_getsockname, c::SYS_getpeername, c::SYS_setsockopt, c::SYS_getsockopt, c::SYS_sendto, c::SYS_recvfrom,
    c::SYS_sendmsg, c::SYS_recvmsg, c::SYS_sendmmsg, c::SYS_recvmmsg,
    // between processes of the box
    c::SYS_semget, c::SYS_semop, c::SYS_semctl, c::SYS_semtimedop, c::SYS_msgget, c::SYS_msgsnd, c::SYS_msgrcv,
    c::SYS_msgctl, c::SYS_mq_open, c::SYS_mq_unlink, c::SYS_mq_timedsend, c::SYS_mq_timedreceive, c::SYS_mq_notify,
    c::SYS_mq_getsetattr,
    // about the system
    c::SYS_uname, c::SYS_sysinfo, c::SYS_getrandom,
];

/// The old forms of x86-64, which new architectures never had.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const ALLOWED_BY_ARCH: &[i64] = &[
    c::SYS_open, c::SYS_creat, c::SYS_stat, c::SYS_lstat, c::SYS_access, c::SYS_getdents, c::SYS_mkdir, c::SYS_rmdir,
    c::SYS_unlink, c::SYS_rename, c::SYS_link, c::SYS_symlink, c::SYS_readlink, c::SYS_chmod, c::SYS_chown,
    c::SYS_lchown, c::SYS_mknod, c::SYS_utime, c::SYS_utimes, c::SYS_futimesat, c::SYS_dup2, c::SYS_pipe, c::SYS_poll,
    c::SYS_select, c::SYS_epoll_create, c::SYS_epoll_wait, c::SYS_eventfd, c::SYS_signalfd, c::SYS_inotify_init,
    c::SYS_fork, c::SYS_vfork, c::SYS_getpgrp, c::SYS_alarm, c::SYS_pause, c::SYS_time, c::SYS_arch_prctl,
];
/// Nothing more on other architectures.
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_BY_ARCH: &[i64] = &[];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_compile_for_this_machine_and_fit_the_kernels_limit() {
        let filters = Filters::compile().unwrap();
        assert!(filters.allow.len() < 4096 && filters.deny.len() < 4096);
    }

    #[test]
    fn nothing_is_both_allowed_and_denied() {
        let rules = allowed().unwrap();
        for number in DENIED {
            assert!(!rules.contains_key(number), "system call {number}");
        }
    }
}

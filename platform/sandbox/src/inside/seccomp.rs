//! The system calls a box may use.
//!
//! An allow list that is broad enough for CPython, Node, the JVM, Go, Rust, Ruby and .NET. What is not on it does
//! not exist (`ENOSYS`), so that libraries fall back to older calls; what is known and dangerous is refused
//! (`EPERM`). `clone3` hides its flags behind a pointer, so it "does not exist": the C libraries then use `clone`,
//! whose flags are checked.
//!
//! What the start from an image (`crate::image`) needs is allowed to everybody, because it concerns the caller alone:
//! `mmap`, `mremap` and `munmap` its own address space, `arch_prctl`, `set_tid_address`, `set_robust_list` and `rseq`
//! where its own memory has what the kernel reads for it, `sigaltstack` and `rt_sigaction` its own handlers,
//! `personality(0)` its return to the default, `prctl(PR_SET_MM, PR_SET_MM_MAP)` what its own `/proc/self` says of its
//! sections (the kernel checks that they lie in its memory, and leaves the link to its program alone without a right that
//! nobody has). What `prctl` can do to others needs capabilities, so its options are not looked at.
//!
//! The program is a binary search over ranges of numbers: some 250 instructions, seven steps for a call. (A chain of
//! comparisons, as filter libraries make it, took a fifth of a box's start to load.)

use std::io;

use libc as c;
use seccompiler::sock_filter;

/// Flags of `clone` that make namespaces.
const NAMESPACE_FLAGS: i32 = c::CLONE_NEWNS
    | c::CLONE_NEWCGROUP
    | c::CLONE_NEWUTS
    | c::CLONE_NEWIPC
    | c::CLONE_NEWUSER
    | c::CLONE_NEWPID
    | c::CLONE_NEWNET;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Allow,
    Refuse,
    DoesNotExist,
    /// Look at the arguments.
    Check(Check),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    /// `clone`: no namespaces.
    Clone,
    /// `socket`: local; IPv4 and IPv6 with the usual protocols (others would load rarely used parts of the kernel);
    /// netlink only for routes and addresses (`getifaddrs`).
    Socket,
    /// `personality`: ask, the default, and no address randomisation.
    Personality,
    /// `ioctl`: no typing into a terminal.
    Ioctl,
    /// Calls that change a process: not the box's init, which has the same user and may be the memory watchdog.
    NotInit,
    /// `setpriority`: not the init, alone or among all processes of the user.
    Priority,
}

/// The compiled filter.
pub(crate) struct Filter {
    program: Vec<sock_filter>,
}

impl Filter {
    /// Once per spawner.
    pub(crate) fn compile() -> io::Result<Self> {
        let mut program = vec![
            load(OFFSET_ARCH),
            jump(c::BPF_JEQ, AUDIT_ARCH, 1, 0),
            answer(c::SECCOMP_RET_KILL_PROCESS),
            load(OFFSET_NUMBER),
        ];
        program.extend(search(&ranges()));
        if program.len() > c::BPF_MAXINSNS as usize {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the filter is too long"));
        }
        Ok(Self { program })
    }

    /// For this process and all that come from it, for good. Needs `no_new_privs`.
    pub(crate) fn install(&self) -> io::Result<()> {
        seccompiler::apply_filter(&self.program).map_err(io::Error::other)
    }
}

// The kernel's `struct seccomp_data`: number, architecture, instruction pointer, six arguments of 8 bytes. Both
// architectures are little-endian: the lower half of an argument comes first.
const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCH: u32 = 4;
const OFFSET_ARGUMENTS: u32 = 16;
#[cfg(target_arch = "x86_64")]
const AUDIT_ARCH: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const AUDIT_ARCH: u32 = 0xc000_00b7;

fn load(offset: u32) -> sock_filter {
    sock_filter { code: (c::BPF_LD | c::BPF_W | c::BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}

/// The lower 32 bits of an argument: every argument we look at is an `int` (or has its flags there).
fn load_argument(index: u32) -> sock_filter {
    load(OFFSET_ARGUMENTS + 8 * index)
}

fn jump(test: u32, value: u32, if_true: u8, if_false: u8) -> sock_filter {
    sock_filter { code: (c::BPF_JMP | test | c::BPF_K) as u16, jt: if_true, jf: if_false, k: value }
}

fn answer(value: u32) -> sock_filter {
    sock_filter { code: (c::BPF_RET | c::BPF_K) as u16, jt: 0, jf: 0, k: value }
}

/// Every number from 0 up, as the starts of ranges with the same verdict; the last goes on for ever (and so holds
/// x86's 32-bit calls, which have a high bit).
fn ranges() -> Vec<(u32, Verdict)> {
    let mut listed: Vec<(u32, Verdict)> = Vec::new();
    let mut add = |numbers: &[i64], verdict| {
        listed.extend(numbers.iter().map(|number| (*number as u32, verdict)));
    };
    add(ALLOWED, Verdict::Allow);
    add(ALLOWED_BY_ARCH, Verdict::Allow);
    add(DENIED, Verdict::Refuse);
    add(&[c::SYS_clone], Verdict::Check(Check::Clone));
    add(&[c::SYS_socket], Verdict::Check(Check::Socket));
    add(&[c::SYS_personality], Verdict::Check(Check::Personality));
    add(&[c::SYS_ioctl], Verdict::Check(Check::Ioctl));
    add(NOT_ON_INIT, Verdict::Check(Check::NotInit));
    add(&[c::SYS_setpriority], Verdict::Check(Check::Priority));
    listed.sort_unstable_by_key(|(number, _)| *number);

    let mut ranges = vec![(0, Verdict::DoesNotExist)];
    let mut next = 0;
    let mut start = |number, verdict| match ranges.last_mut() {
        Some((begin, last)) if *begin == number => *last = verdict,
        Some((_, last)) if *last == verdict => {}
        _ => ranges.push((number, verdict)),
    };
    for (number, verdict) in listed {
        if number > next {
            start(next, Verdict::DoesNotExist);
        }
        start(number, verdict);
        next = number + 1;
    }
    start(next, Verdict::DoesNotExist);
    ranges
}

/// Finds the range of the number that is loaded. `ranges` is not empty.
fn search(ranges: &[(u32, Verdict)]) -> Vec<sock_filter> {
    if let [(_, verdict)] = ranges {
        return decide(*verdict);
    }
    let (lower, upper) = ranges.split_at(ranges.len() / 2);
    let (first, lower, upper) = (upper[0].0, search(lower), search(upper));
    let mut program = Vec::with_capacity(lower.len() + upper.len() + 2);
    match u8::try_from(lower.len()) {
        Ok(distance) => program.push(jump(c::BPF_JGE, first, distance, 0)),
        Err(_) => {
            // Too far for a condition: jump over an unconditional jump.
            program.push(jump(c::BPF_JGE, first, 0, 1));
            let code = (c::BPF_JMP | c::BPF_JA) as u16;
            program.push(sock_filter { code, jt: 0, jf: 0, k: lower.len() as u32 });
        }
    }
    program.extend(lower);
    program.extend(upper);
    program
}

fn decide(verdict: Verdict) -> Vec<sock_filter> {
    let allow = answer(c::SECCOMP_RET_ALLOW);
    let refuse = answer(c::SECCOMP_RET_ERRNO | c::EPERM as u32);
    match verdict {
        Verdict::Allow => vec![allow],
        Verdict::Refuse => vec![refuse],
        Verdict::DoesNotExist => vec![answer(c::SECCOMP_RET_ERRNO | c::ENOSYS as u32)],
        Verdict::Check(Check::Clone) => {
            vec![load_argument(0), jump(c::BPF_JSET, NAMESPACE_FLAGS.cast_unsigned(), 1, 0), allow, refuse]
        }
        Verdict::Check(Check::Socket) => vec![
            load_argument(0),
            jump(c::BPF_JEQ, c::AF_UNIX as u32, 11, 0),
            jump(c::BPF_JEQ, c::AF_INET as u32, 4, 0),
            jump(c::BPF_JEQ, c::AF_INET6 as u32, 3, 0),
            jump(c::BPF_JEQ, c::AF_NETLINK as u32, 0, 9),
            load_argument(2),
            jump(c::BPF_JEQ, c::NETLINK_ROUTE as u32, 6, 7),
            load_argument(2),
            jump(c::BPF_JEQ, 0, 4, 0),
            jump(c::BPF_JEQ, c::IPPROTO_TCP as u32, 3, 0),
            jump(c::BPF_JEQ, c::IPPROTO_UDP as u32, 2, 0),
            jump(c::BPF_JEQ, c::IPPROTO_ICMP as u32, 1, 0),
            jump(c::BPF_JEQ, c::IPPROTO_ICMPV6 as u32, 0, 1),
            allow,
            answer(c::SECCOMP_RET_ERRNO | c::EAFNOSUPPORT as u32),
        ],
        Verdict::Check(Check::Personality) => vec![
            load_argument(0),
            jump(c::BPF_JEQ, 0, 2, 0),
            jump(c::BPF_JEQ, u32::MAX, 1, 0),
            jump(c::BPF_JEQ, c::ADDR_NO_RANDOMIZE as u32, 0, 1),
            allow,
            refuse,
        ],
        Verdict::Check(Check::Ioctl) => {
            vec![load_argument(1), jump(c::BPF_JEQ, c::TIOCSTI as u32, 1, 0), allow, refuse]
        }
        Verdict::Check(Check::NotInit) => {
            vec![load_argument(0), jump(c::BPF_JEQ, INIT, 1, 0), allow, refuse]
        }
        Verdict::Check(Check::Priority) => vec![
            load_argument(0),
            jump(c::BPF_JEQ, PRIO_USER, 3, 0),
            load_argument(1),
            jump(c::BPF_JEQ, INIT, 1, 0),
            allow,
            refuse,
        ],
    }
}

/// The number of a box's init in its process namespace.
const INIT: u32 = 1;
/// `setpriority` for all processes of a user: the same on every architecture.
const PRIO_USER: u32 = 2;

/// Allowed, but for the init. The process is the first argument.
const NOT_ON_INIT: &[i64] = &[
    c::SYS_prlimit64,
    c::SYS_sched_setaffinity,
    c::SYS_sched_setparam,
    c::SYS_sched_setscheduler,
    c::SYS_sched_setattr,
];

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
    c::SYS_kexec_load, c::SYS_init_module, c::SYS_finit_module, c::SYS_delete_module,
    c::SYS_reboot, c::SYS_syslog, c::SYS_vhangup, c::SYS_nfsservctl, c::SYS_lookup_dcookie,
    c::SYS_settimeofday, c::SYS_clock_settime, c::SYS_adjtimex, c::SYS_clock_adjtime,
    c::SYS_sethostname, c::SYS_setdomainname, c::SYS_fanotify_init, c::SYS_move_pages, c::SYS_migrate_pages,
];

/// On every architecture. The calls with a condition are in [`ranges`].
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
    c::SYS_getrlimit, c::SYS_setrlimit, c::SYS_getrusage, c::SYS_times, c::SYS_getpriority,
    c::SYS_ioprio_get, c::SYS_ioprio_set, c::SYS_sched_yield, c::SYS_sched_getaffinity,
    c::SYS_sched_getparam, c::SYS_sched_getscheduler, c::SYS_sched_getattr, c::SYS_sched_get_priority_max,
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

    /// Runs the program as the kernel would.
    fn run(program: &[sock_filter], number: i64, arguments: [u64; 6]) -> u32 {
        let mut data = Vec::new();
        data.extend((number as u32).to_le_bytes());
        data.extend(AUDIT_ARCH.to_le_bytes());
        data.extend(0_u64.to_le_bytes());
        arguments.iter().for_each(|argument| data.extend(argument.to_le_bytes()));
        let (mut at, mut accumulator) = (0, 0_u32);
        loop {
            let step = &program[at];
            let code = u32::from(step.code);
            at += 1;
            let jump = |condition: bool| usize::from(if condition { step.jt } else { step.jf });
            match code & 0x07 {
                c::BPF_LD => {
                    let offset = step.k as usize;
                    accumulator = u32::from_le_bytes(data[offset..offset + 4].try_into().unwrap());
                }
                c::BPF_RET => return step.k,
                _ if code & 0xf0 == c::BPF_JA => at += step.k as usize,
                _ if code & 0xf0 == c::BPF_JEQ => at += jump(accumulator == step.k),
                _ if code & 0xf0 == c::BPF_JGE => at += jump(accumulator >= step.k),
                _ if code & 0xf0 == c::BPF_JSET => at += jump(accumulator & step.k != 0),
                _ => panic!("{code}"),
            }
        }
    }

    #[test]
    fn every_number_gets_the_verdict_of_its_list() {
        let filter = Filter::compile().unwrap();
        let refused = c::SECCOMP_RET_ERRNO | c::EPERM as u32;
        let missing = c::SECCOMP_RET_ERRNO | c::ENOSYS as u32;
        let mut conditional =
            vec![c::SYS_clone, c::SYS_socket, c::SYS_personality, c::SYS_ioctl, c::SYS_setpriority];
        conditional.extend(NOT_ON_INIT);
        for number in (0..1000).chain([0x4000_0000, 0xffff_ffff]) {
            let expected = match number {
                n if conditional.contains(&n) => continue,
                n if DENIED.contains(&n) => refused,
                n if ALLOWED.contains(&n) || ALLOWED_BY_ARCH.contains(&n) => c::SECCOMP_RET_ALLOW,
                _ => missing,
            };
            assert_eq!(run(&filter.program, number, [0; 6]), expected, "system call {number}");
        }
    }

    #[test]
    #[allow(clippy::unnecessary_cast)] // the type of ioctl numbers depends on the C library
    fn arguments_are_looked_at() {
        let filter = Filter::compile().unwrap();
        let allow = c::SECCOMP_RET_ALLOW;
        let first = |number, argument: u64| run(&filter.program, number, [argument, 0, 0, 0, 0, 0]);
        assert_eq!(first(c::SYS_clone, (c::CLONE_VM | c::CLONE_THREAD) as u64), allow);
        for flag in [c::CLONE_NEWUSER, c::CLONE_NEWNS, c::CLONE_NEWNET, c::CLONE_NEWPID | c::SIGCHLD] {
            assert_ne!(first(c::SYS_clone, flag as u64), allow);
        }
        for (family, protocol, allowed) in [
            (c::AF_UNIX, 0, true),
            (c::AF_INET, c::IPPROTO_TCP, true),
            (c::AF_INET, 0, true),
            (c::AF_INET, c::IPPROTO_SCTP, false),
            (c::AF_INET, 262, false), // MPTCP
            (c::AF_INET6, 0, true),
            (c::AF_INET6, c::IPPROTO_UDP, true),
            (c::AF_NETLINK, c::NETLINK_ROUTE, true),
            (c::AF_NETLINK, c::NETLINK_AUDIT, false),
            (c::AF_PACKET, 0, false),
            (c::AF_VSOCK, 0, false),
        ] {
            let arguments = [family as u64, 0, protocol as u64, 0, 0, 0];
            assert_eq!(run(&filter.program, c::SYS_socket, arguments) == allow, allowed, "family {family}");
        }
        assert_eq!(first(c::SYS_personality, 0xffff_ffff), allow);
        assert_ne!(first(c::SYS_personality, 0x0040_0000), allow);
        for number in NOT_ON_INIT {
            assert_ne!(first(*number, 1), allow);
            assert!(first(*number, 0) == allow && first(*number, 2) == allow);
        }
        let priority =
            |which: u64, who: u64| run(&filter.program, c::SYS_setpriority, [which, who, 0, 0, 0, 0]);
        assert!(priority(0, 0) == allow && priority(0, 7) == allow);
        assert!(priority(0, 1) != allow && priority(1, 1) != allow && priority(2, 0) != allow);
        let ioctl = |request: u64| run(&filter.program, c::SYS_ioctl, [0, request, 0, 0, 0, 0]);
        assert_eq!(ioctl(c::FIONREAD as u64), allow);
        assert_ne!(ioctl(c::TIOCSTI as u64), allow);
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn what_images_need_is_allowed() {
        let filter = Filter::compile().unwrap();
        for number in [
            c::SYS_mmap,
            c::SYS_mremap,
            c::SYS_munmap,
            c::SYS_arch_prctl,
            c::SYS_set_tid_address,
            c::SYS_set_robust_list,
            c::SYS_rseq,
            c::SYS_sigaltstack,
            c::SYS_rt_sigaction,
            c::SYS_prctl,
            c::SYS_personality,
        ] {
            assert_eq!(run(&filter.program, number, [0; 6]), c::SECCOMP_RET_ALLOW, "system call {number}");
        }
    }

    #[test]
    fn nothing_is_both_allowed_and_denied() {
        for number in DENIED {
            assert!(!ALLOWED.contains(number) && !ALLOWED_BY_ARCH.contains(number), "system call {number}");
        }
    }
}

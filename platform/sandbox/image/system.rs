//! System calls without a C library, for the two programs of this folder.

// Each of the two programs uses a part.
#![allow(dead_code)]

use core::arch::asm;

pub const READ: usize = 0;
pub const WRITE: usize = 1;
pub const OPEN: usize = 2;
pub const CLOSE: usize = 3;
pub const LSEEK: usize = 8;
pub const MMAP: usize = 9;
pub const MUNMAP: usize = 11;
pub const RT_SIGACTION: usize = 13;
pub const RT_SIGPROCMASK: usize = 14;
pub const MREMAP: usize = 25;
pub const MADVISE: usize = 28;
pub const DUP3: usize = 292;
pub const SOCKETPAIR: usize = 53;
pub const FCNTL: usize = 72;
pub const READLINK: usize = 89;
pub const SIGALTSTACK: usize = 131;
pub const PERSONALITY: usize = 135;
pub const PRCTL: usize = 157;
pub const ARCH_PRCTL: usize = 158;
pub const GETDENTS64: usize = 217;
pub const SET_TID_ADDRESS: usize = 218;
pub const EXIT_GROUP: usize = 231;
pub const SET_ROBUST_LIST: usize = 273;
pub const GET_ROBUST_LIST: usize = 274;
pub const RSEQ: usize = 334;

pub const MADV_WIPEONFORK: u64 = 18;
pub const PROT_READ: u64 = 1;
pub const PROT_WRITE: u64 = 2;
pub const PROT_EXEC: u64 = 4;
pub const MAP_PRIVATE: u64 = 2;
pub const MAP_FIXED: u64 = 0x10;
pub const MAP_ANONYMOUS: u64 = 0x20;
pub const MAP_GROWSDOWN: u64 = 0x100;
pub const MAP_NORESERVE: u64 = 0x4000;
pub const MAP_STACK: u64 = 0x20000;
pub const MAP_FIXED_NOREPLACE: u64 = 0x10_0000;

/// One call; a result from -4095 to -1 is an error number.
///
/// # Safety
/// What the call does to memory is the caller's business.
#[inline(always)]
pub unsafe fn call6(number: usize, a: u64, b: u64, c: u64, d: u64, e: u64, f: u64) -> isize {
    let result: isize;
    // SAFETY: the kernel's calling convention; it keeps all registers but these three.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c,
             in("r10") d, in("r8") e, in("r9") f, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// As [`call6`], with three arguments.
///
/// # Safety
/// As for [`call6`].
#[inline(always)]
pub unsafe fn call(number: usize, a: u64, b: u64, c: u64) -> isize {
    // SAFETY: the caller's.
    unsafe { call6(number, a, b, c, 0, 0, 0) }
}

//! A program that becomes the process whose image it is given: `restore IMAGE`.
//!
//! It maps the image over itself, privately, and goes on where `checkpoint.rs` stopped. It is linked to a fixed place
//! that no image uses, has no C library, and runs in an ordinary box: it has no right that the process it becomes
//! would lack. Its own arguments and environment are what the restored process finds as its new ones.

#![no_std]
#![no_main]
#![allow(unsafe_code)]

mod layout;
mod system;

use core::arch::{asm, global_asm};
use core::mem::size_of;

use layout::*;
use system::*;

/// A range that neither programs, nor libraries, nor the kernel's own choices use.
const ROOM: u64 = 0x2_4000_0000;
/// Where the kernel's pages wait meanwhile.
const KERNEL_ROOM: u64 = 0x2_8000_0000;
/// `ADDR_NO_RANDOMIZE`, under which we may have been started, is not for the process's own children.
const PERSONALITY_DEFAULT: u64 = 0;
const SIGNATURE_OF_RSEQ: u64 = 0x5305_3053;
const AT_SYSINFO_EHDR: u64 = 33;

global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "lea rsp, [rip + {stack} + {stack_len}]",
    "and rsp, -16",
    "call {main}",
    "ud2",
    stack = sym STACK,
    stack_len = const STACK_LEN,
    main = sym main,
);

const STACK_LEN: usize = 64 * 1024;
#[repr(align(16))]
struct Stack(#[allow(dead_code)] core::cell::UnsafeCell<[u8; STACK_LEN]>);
// SAFETY: only the assembler code above uses it, once.
unsafe impl Sync for Stack {}
static STACK: Stack = Stack(core::cell::UnsafeCell::new([0; STACK_LEN]));

/// `struct prctl_mm_map`.
#[repr(C)]
struct MemoryMap {
    start_code: u64,
    end_code: u64,
    start_data: u64,
    end_data: u64,
    start_brk: u64,
    brk: u64,
    start_stack: u64,
    arg_start: u64,
    arg_end: u64,
    env_start: u64,
    env_end: u64,
    auxv: u64,
    auxv_size: u32,
    exe_fd: u32,
}

extern "C" fn main(start: *const u64) -> ! {
    // SAFETY: what the kernel put on the first stack.
    unsafe { become_image(start) }
}

unsafe fn become_image(start: *const u64) -> ! {
    // SAFETY: as the kernel lays a program's start out: argc, argv, NULL, envp, NULL, auxiliary vector.
    unsafe {
        let argc = *start;
        if argc < 2 {
            fail(b"usage: restore IMAGE\n");
        }
        let path = *start.add(2);
        let image = check(call(OPEN, path, 0x80000, 0), b"restore: can't open the image\n") as u64;
        let first = check(
            call6(MMAP, 0, PAGE as u64, PROT_READ, MAP_PRIVATE, image, 0),
            b"restore: can't read the image\n",
        ) as u64;
        let header = first as *const Header;
        if (*header).magic != MAGIC || (*header).version != VERSION {
            fail(b"restore: this is no image of this version\n");
        }
        let head_len = ((*header).head_len).next_multiple_of(PAGE as u64);
        // The head, in a room that the image does not use; then the arguments.
        check(
            call6(MMAP, ROOM, head_len, PROT_READ, MAP_PRIVATE | MAP_FIXED_NOREPLACE, image, 0),
            b"restore: can't map the head\n",
        );
        call(MUNMAP, first, PAGE as u64, 0);
        let (arguments, vdso, env_start, env_end) = keep_arguments(start, ROOM + head_len);
        let header = &*(ROOM as *const Header);
        let kernel_len = header.kernel_end - header.kernel_start;
        let from = vdso - (header.vdso_start - header.kernel_start);
        move_pages(from, KERNEL_ROOM, kernel_len, header);
        // Nothing else of this program is left but the room and its own code: the old stack goes.
        let stack = start as u64 & !(PAGE as u64 - 1);
        let top = 0x7fff_ffff_f000_u64;
        call(MUNMAP, stack - (256 << 10), top - (stack - (256 << 10)), 0);
        let areas =
            core::slice::from_raw_parts((ROOM + header.area_at) as *const Area, header.area_count as usize);
        map_areas(areas, image);
        let runs =
            core::slice::from_raw_parts((ROOM + header.run_at) as *const Run, header.run_count as usize);
        map_runs(runs, image);
        move_pages(KERNEL_ROOM, header.kernel_start, kernel_len, header);
        let files = core::slice::from_raw_parts(
            (ROOM + header.file_at) as *const OpenFile,
            header.file_count as usize,
        );
        call(CLOSE, image, 0, 0);
        reopen(files);
        adopt(header, env_start, env_end);
        let (stack_pointer, resume) = (header.stack_pointer, header.resume);
        asm!(
            "mov rsp, {stack}",
            "cld",
            "jmp {resume}",
            stack = in(reg) stack_pointer,
            resume = in(reg) resume,
            in("rax") arguments,
            options(noreturn),
        );
    }
}

/// Copies argc, argv and envp with their strings to `to`. Also tells where the kernel's vDSO is.
unsafe fn keep_arguments(start: *const u64, to: u64) -> (u64, u64, u64, u64) {
    // SAFETY: as the kernel laid it out; the copy has room for all of it.
    unsafe {
        let argc = *start as usize;
        let mut words = 1 + argc + 1;
        while *start.add(words) != 0 {
            words += 1;
        }
        words += 1;
        let mut vdso = 0;
        let mut auxiliary = start.add(words);
        while *auxiliary != 0 {
            if *auxiliary == AT_SYSINFO_EHDR {
                vdso = *auxiliary.add(1);
            }
            auxiliary = auxiliary.add(2);
        }
        if vdso == 0 {
            fail(b"restore: there is no vDSO\n");
        }
        let strings = |at: usize| at > 0 && *start.add(at) != 0;
        let mut bytes = 0;
        for at in (1..words).filter(|at| strings(*at)) {
            bytes += length(*start.add(at)) + 1;
        }
        let size = ((words * 8 + bytes) as u64).next_multiple_of(PAGE as u64);
        check(
            call6(
                MMAP,
                to,
                size,
                PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
                u64::MAX,
                0,
            ),
            b"restore: no memory for the arguments\n",
        );
        let (table, mut string) = (to as *mut u64, (to as usize + words * 8) as *mut u8);
        let mut env_start = 0;
        *table = *start;
        for at in 1..words {
            if at == 2 + argc {
                env_start = string as u64;
            }
            if !strings(at) {
                *table.add(at) = 0;
                continue;
            }
            let len = length(*start.add(at)) + 1;
            core::ptr::copy_nonoverlapping(*start.add(at) as *const u8, string, len);
            *table.add(at) = string as u64;
            string = string.add(len);
        }
        (to, vdso, env_start, string as u64)
    }
}

unsafe fn length(string: u64) -> usize {
    let mut len = 0;
    // SAFETY: a string that ends with a NUL.
    while unsafe { *(string as *const u8).add(len) } != 0 {
        len += 1;
    }
    len
}

/// Moves the kernel's pages, each mapping by itself: a call moves one mapping at most.
unsafe fn move_pages(from: u64, to: u64, len: u64, header: &Header) {
    const FIXED_AND_MOVE: u64 = 3;
    // SAFETY: these ranges hold the kernel's pages and nothing else.
    unsafe {
        let moved = call6(MREMAP, from, len, len, FIXED_AND_MOVE, to, 0);
        if moved >= 0 {
            return;
        }
        let vdso = header.vdso_start - header.kernel_start;
        // One page after the other where several mappings lie there, the vDSO (always the last) as a whole.
        let mut at = 0;
        while at < vdso {
            // Longest first: a mapping may not be cut.
            let mut size = vdso - at;
            while size > 0 && call6(MREMAP, from + at, size, size, FIXED_AND_MOVE, to + at, 0) < 0 {
                size -= PAGE as u64;
            }
            if size == 0 {
                fail(b"restore: can't move the kernel's pages\n");
            }
            at += size;
        }
        check(
            call6(MREMAP, from + vdso, len - vdso, len - vdso, FIXED_AND_MOVE, to + vdso, 0),
            b"restore: can't move the vDSO\n",
        );
    }
}

unsafe fn map_areas(areas: &[Area], image: u64) {
    let (mut last_path, mut last_fd) = (0, 0_u64);
    let _ = image;
    for area in areas.iter().filter(|area| area.covered == 0) {
        let len = area.end - area.start;
        // SAFETY: the image's ranges replace whatever was there; this program lies elsewhere.
        unsafe {
            let (mut fd, mut flags) = (u64::MAX, area.flags | MAP_ANONYMOUS);
            if area.path_at != 0 {
                let path = ROOM + area.path_at;
                // Parts of one file follow each other.
                if last_path == 0 || !same(last_path, path) {
                    if last_path != 0 {
                        call(CLOSE, last_fd, 0, 0);
                    }
                    last_fd =
                        check(call(OPEN, path, 0x80000, 0), b"restore: a mapped file is missing\n") as u64;
                    last_path = path;
                }
                (fd, flags) = (last_fd, area.flags);
            }
            let offset = if area.path_at == 0 { 0 } else { area.file_offset };
            check(
                call6(MMAP, area.start, len, area.protection, flags | MAP_PRIVATE | MAP_FIXED, fd, offset),
                b"restore: can't map memory\n",
            );
            if area.wiped != 0 {
                call(MADVISE, area.start, len, MADV_WIPEONFORK);
            }
        }
    }
    if last_path != 0 {
        // SAFETY: opened above.
        unsafe { call(CLOSE, last_fd, 0, 0) };
    }
}

unsafe fn same(one: u64, other: u64) -> bool {
    // SAFETY: both end with a NUL.
    unsafe {
        let mut at = 0;
        loop {
            let (a, b) = (*(one as *const u8).add(at), *(other as *const u8).add(at));
            if a != b || a == 0 {
                return a == b;
            }
            at += 1;
        }
    }
}

unsafe fn map_runs(runs: &[Run], image: u64) {
    for run in runs {
        // SAFETY: as in `map_areas`. A stack must be able to grow, which a mapped file can't: it is read.
        unsafe {
            if run.flags & MAP_GROWSDOWN != 0 {
                call(LSEEK, image, run.data_at, 0);
                let mut done = 0;
                while done < run.len {
                    let got = call(READ, image, run.start + done, run.len - done);
                    if got <= 0 {
                        fail(b"restore: can't read the stack\n");
                    }
                    done += got as u64;
                }
                continue;
            }
            check(
                call6(
                    MMAP,
                    run.start,
                    run.len,
                    run.protection,
                    run.flags | MAP_PRIVATE | MAP_FIXED,
                    image,
                    run.data_at,
                ),
                b"restore: can't map memory\n",
            );
        }
    }
}

unsafe fn reopen(files: &[OpenFile]) {
    for file in files {
        // SAFETY: numbers that the image used; nothing else is open but 0 to 3.
        unsafe {
            let close_on_exec = file.flags & 0x80000;
            let fd = if file.kind == KIND_FILE {
                let fd = check(
                    call(OPEN, ROOM + file.path_at, file.flags, 0),
                    b"restore: an open file is missing\n",
                );
                call(LSEEK, fd as u64, file.position, 0);
                fd as u64
            } else {
                // A connection whose peer is gone.
                let mut pair = [0_i32; 2];
                check(call6(SOCKETPAIR, 1, 1, 0, pair.as_mut_ptr() as u64, 0, 0), b"restore: no socket\n");
                call(CLOSE, pair[1] as u64, 0, 0);
                // F_SETFL: whether it blocks.
                call(FCNTL, pair[0] as u64, 4, file.flags & 0x800);
                pair[0] as u64
            };
            if fd != file.number {
                check(call(DUP3, fd, file.number, close_on_exec), b"restore: can't place an open file\n");
                call(CLOSE, fd, 0, 0);
            }
        }
    }
}

/// Tells the kernel what it knew of the process.
unsafe fn adopt(header: &Header, env_start: u64, env_end: u64) {
    // SAFETY: addresses of the image, which is mapped by now.
    unsafe {
        let map = MemoryMap {
            start_code: header.start_code,
            end_code: header.end_code,
            start_data: header.start_data,
            end_data: header.end_data,
            start_brk: header.start_brk,
            brk: header.brk,
            start_stack: header.start_stack,
            arg_start: header.arg_start,
            arg_end: header.arg_end,
            env_start,
            env_end,
            auxv: 0,
            auxv_size: 0,
            exe_fd: u32::MAX,
        };
        // Without it the heap can't grow in its place, and grows elsewhere.
        call6(PRCTL, 35, 14, &raw const map as u64, size_of::<MemoryMap>() as u64, 0, 0);
        call(PRCTL, 15, header.name.as_ptr() as u64, 0);
        call(ARCH_PRCTL, 0x1002, header.thread_pointer, 0);
        call(SET_ROBUST_LIST, header.robust_list, header.robust_list_len, 0);
        let thread_id = call(SET_TID_ADDRESS, header.thread_id_at, 0, 0);
        // The C library keeps it there.
        *(header.thread_id_at as *mut u32) = thread_id as u32;
        if header.rseq_at != 0 {
            // Number and state of the processor it was on are stale until the kernel writes them.
            *(header.rseq_at as *mut u64) = 0xffff_fffe_0000_0000;
            *((header.rseq_at + 8) as *mut u64) = 0;
            call6(RSEQ, header.rseq_at, 32, 0, SIGNATURE_OF_RSEQ, 0, 0);
        }
        for (at, action) in header.actions.iter().enumerate() {
            if action.handler != 0 {
                call6(RT_SIGACTION, at as u64 + 1, &raw const *action as u64, 0, 8, 0, 0);
            }
        }
        // SS_DISABLE: there was none.
        if header.signal_stack[1] as u32 & 2 == 0 {
            call(SIGALTSTACK, header.signal_stack.as_ptr() as u64, 0, 0);
        }
        call6(RT_SIGPROCMASK, 2, &raw const header.signal_mask as u64, 0, 8, 0, 0);
        call(PERSONALITY, PERSONALITY_DEFAULT, 0, 0);
    }
}

fn check(result: isize, message: &[u8]) -> isize {
    if result < 0 {
        fail(message);
    }
    result
}

fn fail(message: &[u8]) -> ! {
    loop {
        // SAFETY: a constant; then the end.
        unsafe {
            call(WRITE, 2, message.as_ptr() as u64, message.len() as u64);
            call(EXIT_GROUP, 71, 0, 0);
        }
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    fail(b"restore: panicked\n");
}

/// The compiler's own calls; there is no C library.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: the caller's; `rep movsb` is no call.
    unsafe { asm!("rep movsb", inout("rcx") len => _, inout("rdi") to => _, inout("rsi") from => _) };
    to
}

/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memset(to: *mut u8, value: i32, len: usize) -> *mut u8 {
    // SAFETY: the caller's.
    unsafe { asm!("rep stosb", inout("rcx") len => _, inout("rdi") to => _, in("al") value as u8) };
    to
}

/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strlen(string: *const u8) -> usize {
    let left: usize;
    // SAFETY: the caller's.
    unsafe { asm!("repne scasb", inout("rcx") usize::MAX => left, inout("rdi") string => _, in("al") 0_u8) };
    !left - 1
}

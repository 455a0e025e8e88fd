//! A library for processes that wait for their function and cannot take over its environment by themselves: Java's
//! can neither change its working directory nor its variables.
//!
//! It reads a descriptor to its end, "cwd\0NAME=value\0NAME=value\0...", closes it, changes to the directory, and puts the
//! variables where the kernel put those that the process began with: so `/proc/PID/environ` and children show them, too.
//! The process must have been started with at least as many bytes of variables, and with one thread in its C code.
#![no_std]
#![no_main]

use core::ffi::{c_char, c_int, c_void};
use core::ptr;

unsafe extern "C" {
    static mut environ: *mut *mut c_char;
    fn chdir(path: *const c_char) -> c_int;
    fn close(fd: c_int) -> c_int;
    fn free(memory: *mut c_void);
    fn malloc(bytes: usize) -> *mut c_void;
    fn memchr(memory: *const c_void, byte: c_int, bytes: usize) -> *mut c_void;
    fn memcpy(to: *mut c_void, from: *const c_void, bytes: usize) -> *mut c_void;
    fn memset(to: *mut c_void, byte: c_int, bytes: usize) -> *mut c_void;
    fn read(fd: c_int, to: *mut c_void, most: usize) -> isize;
    fn strlen(text: *const c_char) -> usize;
}

/// More is never sent.
const MOST: usize = 128 * 1024;
/// A call that was interrupted says this; whoever is interrupted more often than this is not waiting.
const RETRIES: u32 = 1000;

const BOUND: c_int = 1;
const NOBODY: c_int = 0;
const NO_MEMORY: c_int = -1;
const NO_DIRECTORY: c_int = -2;
const NO_ROOM: c_int = -3;

/// What `native int await(int)` of the class `lamplighter.runtime.Worker` is: 1 when the process is bound, 0 when nobody
/// wants it, below 0 when it cannot be bound.
///
/// # Safety
/// Nobody else may be looking at the variables of the process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn Java_lamplighter_runtime_Worker_await(
    _jni: *mut c_void,
    _class: *mut c_void,
    fd: c_int,
) -> c_int {
    // SAFETY: the buffer is as long as is said, and ends in a zero byte.
    unsafe {
        let told = malloc(MOST + 1).cast::<u8>();
        if told.is_null() {
            return NO_MEMORY;
        }
        let length = read_all(fd, told);
        close(fd);
        *told.add(length) = 0;
        let result = match length {
            0 => NOBODY,
            _ if chdir(told.cast()) != 0 => NO_DIRECTORY,
            _ => {
                let cwd = strlen(told.cast()) + 1;
                replace(told.add(cwd.min(length)), length.saturating_sub(cwd))
            }
        };
        free(told.cast());
        result
    }
}

/// Reads to the end, or to [`MOST`] bytes.
unsafe fn read_all(fd: c_int, to: *mut u8) -> usize {
    let (mut length, mut retries) = (0, 0);
    while length < MOST {
        // SAFETY: `to` has room for `MOST` bytes.
        match unsafe { read(fd, to.add(length).cast(), MOST - length) } {
            0 => break,
            count if count > 0 => length += count.unsigned_abs(),
            _ if retries < RETRIES => retries += 1,
            _ => break,
        }
    }
    length
}

/// Puts the `bytes` of variables at `block`, each with its zero byte, in the place of those that are there.
unsafe fn replace(block: *const u8, bytes: usize) -> c_int {
    // SAFETY: `environ` is as the kernel laid it out, because nobody set a variable yet: one string after the other, the
    // first and the last of which its entries name.
    unsafe {
        let mut old = 0;
        while !(*environ.add(old)).is_null() {
            old += 1;
        }
        if old == 0 {
            return NO_ROOM;
        }
        let (first, last) = (*environ, *environ.add(old - 1));
        let room = (last as usize + strlen(last) + 1).wrapping_sub(first as usize);
        if room < bytes || room > 2 * MOST {
            return NO_ROOM;
        }
        let mut count = 0;
        let mut at = 0;
        while let Some(next) = after_zero(block, at, bytes) {
            (count, at) = (count + 1, next);
        }
        let list = malloc((count + 1) * size_of::<*mut c_char>()).cast::<*mut c_char>();
        if list.is_null() {
            return NO_MEMORY;
        }
        memset(first.cast(), 0, room);
        memcpy(first.cast(), block.cast(), bytes);
        let (mut number, mut at) = (0, 0);
        while let Some(next) = after_zero(block, at, bytes) {
            *list.add(number) = first.add(at);
            (number, at) = (number + 1, next);
        }
        *list.add(count) = ptr::null_mut();
        environ = list;
        BOUND
    }
}

/// Where the string at `at` is over.
unsafe fn after_zero(block: *const u8, at: usize, bytes: usize) -> Option<usize> {
    // SAFETY: what is searched is within the block.
    let zero = unsafe { memchr(block.add(at).cast(), 0, bytes.checked_sub(at)?) };
    (!zero.is_null()).then(|| zero as usize - block as usize + 1)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

//! Writes the image of the process that calls it: memory, registers, signal handlers, open files.
//!
//! A shared library without dependencies, loaded by a runtime client (Python through `ctypes`). It needs no right that
//! an ordinary box lacks: a process reads itself. Only for processes with one thread. `restore.rs` maps the image.
//!
//! `long lamplighter_checkpoint(int fd, const char **why)` answers
//! - 0 after it has written the image to `fd`,
//! - below 0 when it can't be written, and `*why` says why,
//! - above 0 in the restored process: the address of the new process's `argc`, `argv` and `envp`, as the kernel
//!   laid them out.

#![no_std]
// Dependencies of such programs are the kernel's interface alone.
#![allow(unsafe_code)]

mod layout;
mod system;

use core::arch::{asm, naked_asm};
use core::mem::size_of;

use layout::*;
use system::*;

/// Keeps what a called function must keep on the stack, and that stack pointer in the image. A restored process goes on
/// behind the call with the same stack, and the answer in `rax`.
///
/// # Safety
/// `why` is null or a place for a string, which is a constant.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lamplighter_checkpoint(out: i32, why: *mut *const u8) -> isize {
    naked_asm!(
        "push rbx", "push rbp", "push r12", "push r13", "push r14", "push r15",
        "sub rsp, 24",
        "stmxcsr [rsp]",
        "fnstcw [rsp + 8]",
        "mov rdx, rsp",
        "lea rcx, [rip + 2f]",
        "call {write}",
        "2:",
        "ldmxcsr [rsp]",
        "fldcw [rsp + 8]",
        "add rsp, 24",
        "pop r15", "pop r14", "pop r13", "pop r12", "pop rbp", "pop rbx",
        "ret",
        write = sym write_image,
    )
}

/// The core library was compiled for unwinding, which never happens here.
#[unsafe(no_mangle)]
pub extern "C" fn rust_eh_personality() {}

/// Where everything is put together: larger than any process's list of mappings is likely to be. Not part of the image.
const SCRATCH: usize = 16 << 20;
const MAX_AREAS: usize = 8192;
const MAX_RUNS: usize = 65536;
const MAX_FILES: usize = 256;
const NAMES: usize = 1 << 20;
/// Pages between two runs that are written along rather than mapped apart.
const GAP: usize = 16;

struct Image {
    out: u64,
    header: Header,
    areas: &'static mut [Area],
    runs: &'static mut [Run],
    files: &'static mut [OpenFile],
    names: &'static mut [u8],
    names_len: usize,
    scratch: u64,
}

#[derive(Clone, Copy)]
struct Refused(&'static [u8]);
type Done<T = ()> = Result<T, Refused>;

macro_rules! refuse {
    ($why:literal) => {
        return Err(Refused(concat!($why, "\0").as_bytes()))
    };
}

extern "C" fn write_image(out: i32, why: *mut *const u8, stack_pointer: u64, resume: u64) -> isize {
    match image(out as u64, stack_pointer, resume) {
        Ok(()) => 0,
        Err(Refused(reason)) => {
            // SAFETY: the caller gives a place for the reason, or none.
            if !why.is_null() {
                unsafe { *why = reason.as_ptr() };
            }
            -1
        }
    }
}

fn image(out: u64, stack_pointer: u64, resume: u64) -> Done {
    only_thread()?;
    // SAFETY: fresh memory of our own.
    let scratch = unsafe {
        call6(
            MMAP,
            0,
            SCRATCH as u64,
            PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
            u64::MAX,
            0,
        )
    };
    if scratch < 0 {
        refuse!("no memory to write the image");
    }
    let scratch = scratch as u64;
    let mut at = scratch;
    // SAFETY: each piece lies in the fresh, zeroed memory, apart from the others; all zeros is a value of each type.
    let image = unsafe {
        let mut image = Image {
            out,
            header: core::mem::zeroed(),
            areas: piece(&mut at, MAX_AREAS),
            runs: piece(&mut at, MAX_RUNS),
            files: piece(&mut at, MAX_FILES),
            names: piece(&mut at, NAMES),
            names_len: 0,
            scratch,
        };
        image.header.stack_pointer = stack_pointer;
        image.header.resume = resume;
        let page_flags: &'static mut [u64] = piece(&mut at, 32768);
        let text: &'static mut [u8] = piece(&mut at, 4 << 20);
        if at > scratch + SCRATCH as u64 {
            refuse!("the library's own room is too small");
        }
        image.write(text, page_flags)
    };
    // SAFETY: nothing points into it any more; reasons are constants.
    unsafe { call(MUNMAP, scratch, SCRATCH as u64, 0) };
    image
}

unsafe fn piece<T>(at: &mut u64, count: usize) -> &'static mut [T] {
    let start = *at;
    *at += ((count * size_of::<T>() + 63) & !63) as u64;
    // SAFETY: the caller's.
    unsafe { core::slice::from_raw_parts_mut(start as *mut T, count) }
}

/// Other threads would be lost.
fn only_thread() -> Done {
    let mut buffer = [0_u8; 1024];
    let count = entries(b"/proc/self/task\0", &mut buffer, |_, _| Ok(()))?;
    if count != 1 {
        refuse!("the process has more than one thread");
    }
    Ok(())
}

/// Goes through the names of a directory, which is open meanwhile as the given descriptor.
fn entries(path: &[u8], buffer: &mut [u8], mut each: impl FnMut(u64, &[u8]) -> Done) -> Done<usize> {
    let dir = open(path)?;
    let mut count = 0;
    loop {
        // SAFETY: a buffer of ours.
        let length = unsafe { call(GETDENTS64, dir, buffer.as_mut_ptr() as u64, buffer.len() as u64) };
        if length <= 0 {
            break;
        }
        let mut at = 0;
        while at < length as usize {
            // `struct linux_dirent64`: inode, offset, length, type, name.
            let size = u16::from_ne_bytes([buffer[at + 16], buffer[at + 17]]) as usize;
            let name = &buffer[at + 19..at + size];
            let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
            let name = &name[..end];
            if name != b"." && name != b".." {
                each(dir, name)?;
                count += 1;
            }
            at += size;
        }
    }
    // SAFETY: opened above.
    unsafe { call(CLOSE, dir, 0, 0) };
    Ok(count)
}

fn open(path: &[u8]) -> Done<u64> {
    // SAFETY: the path ends with a NUL; 0x80000: closed on exec.
    let fd = unsafe { call(OPEN, path.as_ptr() as u64, 0x80000, 0) };
    if fd < 0 {
        refuse!("a file of /proc can't be opened");
    }
    Ok(fd as u64)
}

fn read_all<'a>(path: &[u8], into: &'a mut [u8]) -> Done<&'a [u8]> {
    let fd = open(path)?;
    let mut length = 0;
    loop {
        // SAFETY: the rest of a buffer of ours.
        let got = unsafe { call(READ, fd, into[length..].as_mut_ptr() as u64, (into.len() - length) as u64) };
        if got < 0 {
            refuse!("a file of /proc can't be read");
        }
        if got == 0 {
            break;
        }
        length += got as usize;
    }
    // SAFETY: opened above.
    unsafe { call(CLOSE, fd, 0, 0) };
    if length == into.len() {
        refuse!("a file of /proc is too long");
    }
    Ok(&into[..length])
}

fn number(text: &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    if text.is_empty() {
        return None;
    }
    for byte in text {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
    }
    Some(value)
}

fn hex(text: &[u8]) -> u64 {
    text.iter().fold(0, |value, byte| (value << 4) | (*byte as char).to_digit(16).unwrap_or(0) as u64)
}

/// Whether a mapping has a flag; each is two letters.
fn has_flag(flags: &[u8], wanted: &[u8]) -> bool {
    flags.split(|byte| *byte == b' ').any(|flag| flag == wanted)
}

/// The line of one mapping.
struct Line<'a> {
    start: u64,
    end: u64,
    protection: u64,
    shared: bool,
    offset: u64,
    inode: &'a [u8],
    path: &'a [u8],
}

impl<'a> Line<'a> {
    fn of(line: &'a [u8]) -> Done<Self> {
        let mut words = [&line[..0]; 5];
        let mut rest = line;
        for word in &mut words {
            let Some(end) = rest.iter().position(|byte| *byte == b' ') else {
                refuse!("a mapping can't be read")
            };
            *word = &rest[..end];
            rest = &rest[end + 1..];
        }
        let start = rest.iter().position(|byte| *byte != b' ').unwrap_or(rest.len());
        let path = &rest[start..];
        let [range, rights, offset, _device, inode] = words;
        let Some(dash) = range.iter().position(|byte| *byte == b'-') else {
            refuse!("a mapping can't be read")
        };
        let mut protection = 0;
        for (at, (letter, bit)) in
            [(b'r', PROT_READ), (b'w', PROT_WRITE), (b'x', PROT_EXEC)].iter().enumerate()
        {
            if rights[at] == *letter {
                protection |= bit;
            }
        }
        Ok(Line {
            start: hex(&range[..dash]),
            end: hex(&range[dash + 1..]),
            protection,
            shared: rights[3] == b's',
            offset: hex(offset),
            inode,
            path,
        })
    }
}

impl Image {
    fn write(&mut self, text: &mut [u8], page_flags: &mut [u64]) -> Done {
        self.header.magic = MAGIC;
        self.header.version = VERSION;
        self.memory_layout(text)?;
        self.thread()?;
        self.signals();
        self.open_files(text)?;
        let maps = read_all(b"/proc/self/smaps\0", text)?;
        let pagemap = open(b"/proc/self/pagemap\0")?;
        let mut line = None;
        for text in maps.split(|byte| *byte == b'\n') {
            // Each mapping's line, and its figures below it; the last of them are its flags.
            if text.first().is_some_and(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
                line = Some(Line::of(text)?);
            } else if let Some(flags) = text.strip_prefix(b"VmFlags:") {
                let Some(line) = line.take() else { refuse!("a mapping can't be read") };
                self.area(&line, flags, pagemap, page_flags)?;
            }
        }
        if line.is_some() {
            refuse!("the kernel does not tell the flags of mappings");
        }
        // SAFETY: opened above.
        unsafe { call(CLOSE, pagemap, 0, 0) };
        if self.header.vdso_start == 0 {
            refuse!("there is no vDSO");
        }
        self.place();
        self.send()
    }

    fn name(&mut self, name: &[u8]) -> Done<u64> {
        let at = self.names_len;
        if at + name.len() + 1 > self.names.len() {
            refuse!("too many names of files");
        }
        self.names[at..at + name.len()].copy_from_slice(name);
        self.names_len += name.len() + 1;
        // From the start of the names; `place` knows where they start. Never 0.
        Ok(at as u64 + 1)
    }

    /// What the kernel tells of code, data, heap and stack.
    fn memory_layout(&mut self, text: &mut [u8]) -> Done {
        let stat = read_all(b"/proc/self/stat\0", text)?;
        let Some(end) = stat.iter().rposition(|byte| *byte == b')') else {
            refuse!("/proc/self/stat can't be read")
        };
        // Numbered from 1 in the manual; the first word after the name is the third.
        let word = |wanted: usize| {
            stat[end + 2..]
                .split(|byte| matches!(byte, b' ' | b'\n'))
                .nth(wanted - 3)
                .and_then(number)
                .unwrap_or(0)
        };
        let header = &mut self.header;
        (header.start_code, header.end_code, header.start_stack) = (word(26), word(27), word(28));
        (header.start_data, header.end_data, header.start_brk) = (word(45), word(46), word(47));
        (header.arg_start, header.arg_end) = (word(48), word(49));
        // SAFETY: asks for the present end only.
        header.brk = unsafe { call(12, 0, 0, 0) } as u64;
        // SAFETY: PR_GET_NAME writes 16 bytes.
        unsafe { call(PRCTL, 16, header.name.as_mut_ptr() as u64, 0) };
        Ok(())
    }

    /// What the kernel and the C library know of the thread.
    fn thread(&mut self) -> Done {
        let header = &mut self.header;
        let offset_of_rseq: *const isize;
        // SAFETY: reads the thread pointer; asks the kernel for addresses, which it writes into the header. The weak
        // symbol's address is 0 where the C library has none.
        let told = unsafe {
            asm!(".weak __rseq_offset", "mov {}, [rip + __rseq_offset@GOTPCREL]", out(reg) offset_of_rseq);
            call(ARCH_PRCTL, 0x1003, &raw mut header.thread_pointer as u64, 0)
                | call6(PRCTL, 40, &raw mut header.thread_id_at as u64, 0, 0, 0, 0)
                | call(
                    GET_ROBUST_LIST,
                    0,
                    &raw mut header.robust_list as u64,
                    &raw mut header.robust_list_len as u64,
                )
        };
        if told != 0 || header.thread_id_at == 0 {
            refuse!("the kernel does not tell of the thread");
        }
        if !offset_of_rseq.is_null() {
            // SAFETY: the C library's own variable.
            header.rseq_at = header.thread_pointer.wrapping_add_signed(unsafe { *offset_of_rseq } as i64);
        }
        Ok(())
    }

    fn signals(&mut self) {
        let header = &mut self.header;
        for (at, action) in header.actions.iter_mut().enumerate() {
            // SAFETY: reads the present action.
            unsafe { call6(RT_SIGACTION, at as u64 + 1, 0, &raw mut *action as u64, 8, 0, 0) };
        }
        // SAFETY: reads the present mask and stack.
        unsafe {
            call6(RT_SIGPROCMASK, 0, 0, &raw mut header.signal_mask as u64, 8, 0, 0);
            call(SIGALTSTACK, 0, header.signal_stack.as_mut_ptr() as u64, 0);
        }
    }

    /// Descriptors above the standard ones (0 to 3); the one we write to is not part of the image.
    fn open_files(&mut self, text: &mut [u8]) -> Done {
        let (buffer, text) = text.split_at_mut(65536);
        entries(b"/proc/self/fd\0", buffer, |dir, name| {
            let Some(fd) = number(name) else { return Ok(()) };
            if fd <= 3 || fd == self.out || fd == dir {
                return Ok(());
            }
            self.open_file(fd, name, text)
        })?;
        Ok(())
    }

    fn open_file(&mut self, fd: u64, name: &[u8], text: &mut [u8]) -> Done {
        let count = self.header.file_count as usize;
        if count == MAX_FILES {
            refuse!("too many open files");
        }
        let mut path = [0_u8; 64];
        path[..14].copy_from_slice(b"/proc/self/fd/");
        path[14..14 + name.len()].copy_from_slice(name);
        // SAFETY: a path of ours that ends with a NUL; a buffer of ours.
        let length = unsafe { call(READLINK, path.as_ptr() as u64, text.as_mut_ptr() as u64, 4096) };
        // SAFETY: F_GETFL, and the present position.
        let (flags, position) = unsafe { (call(FCNTL, fd, 3, 0), call(LSEEK, fd, 0, 1)) };
        if length <= 0 || flags < 0 {
            refuse!("an open file can't be looked at");
        }
        let target = &text[..length as usize];
        // SAFETY: F_GETFD.
        let close_on_exec = if unsafe { call(FCNTL, fd, 1, 0) } & 1 != 0 { 0x80000 } else { 0 };
        let mut file = OpenFile {
            number: fd,
            kind: KIND_SOCKET,
            flags: flags as u64 | close_on_exec,
            position: 0,
            path_at: 0,
        };
        if target.starts_with(b"socket:") {
        } else if target.starts_with(b"/") {
            let is_read_only = flags & 3 == 0;
            if !is_read_only && target != b"/dev/null"
                || target.starts_with(b"/tmp/")
                || target.starts_with(b"/proc/")
            {
                refuse!("a file is open for writing, or in /tmp");
            }
            file.kind = KIND_FILE;
            file.position = position.max(0) as u64;
            file.path_at = self.name(target)?;
        } else {
            refuse!("a pipe, an event loop or the like is open");
        }
        self.files[count] = file;
        self.header.file_count += 1;
        Ok(())
    }

    fn area(&mut self, line: &Line<'_>, flags: &[u8], pagemap: u64, page_flags: &mut [u64]) -> Done {
        let header = &mut self.header;
        if line.path.starts_with(b"[vvar") || line.path == b"[vdso]" {
            if header.kernel_start == 0 {
                header.kernel_start = line.start;
            } else if header.kernel_end != line.start {
                refuse!("the kernel's pages do not lie together");
            }
            header.kernel_end = line.end;
            if line.path == b"[vdso]" {
                header.vdso_start = line.start;
            }
            return Ok(());
        }
        if line.path == b"[vsyscall]" || line.start == self.scratch {
            return Ok(());
        }
        if line.start < ROOM_END && line.end > ROOM_START {
            refuse!("the process was itself restored from an image");
        }
        if line.start <= self.scratch && line.end > self.scratch {
            // The kernel merged our room with a neighbour: then it can't be told apart.
            refuse!("the library's own room has merged with other memory");
        }
        let is_file = line.inode != b"0";
        if line.shared && line.protection & PROT_WRITE != 0 {
            refuse!("memory is shared with other processes");
        }
        let count = header.area_count as usize;
        if count == MAX_AREAS {
            refuse!("too many mappings");
        }
        if is_file && line.path.starts_with(b"/proc/") {
            refuse!("a file of /proc is mapped");
        }
        let mut area = Area {
            start: line.start,
            end: line.end,
            protection: line.protection,
            flags: 0,
            path_at: 0,
            file_offset: line.offset,
            covered: 0,
            wiped: 0,
        };
        if line.path == b"[stack]" {
            area.flags = MAP_GROWSDOWN | MAP_STACK;
        }
        let deleted = line.path.ends_with(b" (deleted)");
        if is_file && !deleted {
            area.path_at = self.name(line.path)?;
        }
        let (first, covered) = (self.header.run_count, line.end - line.start);
        // What a child must not inherit (keys of random generators, say) is empty in a restored process too.
        if has_flag(flags, b"wf") || has_flag(flags, b"dp") {
            area.wiped = 1;
        } else {
            self.runs_of(&area, is_file, deleted, pagemap, page_flags)?;
        }
        if line.protection & PROT_READ == 0 && self.header.run_count > first {
            refuse!("there is memory that can't be read");
        }
        let runs = &self.runs[first as usize..self.header.run_count as usize];
        if runs.iter().map(|run| run.len).sum::<u64>() == covered && area.flags == 0 {
            area.covered = 1;
        }
        self.areas[count] = area;
        self.header.area_count += 1;
        Ok(())
    }

    /// Which pages of an area are its own.
    fn runs_of(
        &mut self,
        area: &Area,
        is_file: bool,
        deleted: bool,
        pagemap: u64,
        page_flags: &mut [u64],
    ) -> Done {
        let mut start = area.start;
        while start < area.end {
            let pages = (((area.end - start) as usize) / PAGE).min(page_flags.len());
            let wanted = pages * 8;
            // SAFETY: positions and reads into a buffer of ours.
            let got = unsafe {
                call(LSEEK, pagemap, start / PAGE as u64 * 8, 0);
                call(READ, pagemap, page_flags.as_mut_ptr() as u64, wanted as u64)
            };
            if got != wanted as isize {
                refuse!("/proc/self/pagemap can't be read");
            }
            let own = |flags: u64| {
                let is_there = flags >> 62 != 0;
                // A page of a file that nobody has changed has bit 61.
                // One that was deleted can't be mapped again.
                deleted || is_there && (!is_file || (flags >> 61) & 1 == 0)
            };
            let mut page = 0;
            while page < pages {
                if !own(page_flags[page]) {
                    page += 1;
                    continue;
                }
                let mut end = page + 1;
                let mut look = end;
                while look < pages && look - end < GAP {
                    if own(page_flags[look]) {
                        end = look + 1;
                    }
                    look += 1;
                }
                self.run(area, start + (page * PAGE) as u64, ((end - page) * PAGE) as u64)?;
                page = end;
            }
            start += (pages * PAGE) as u64;
        }
        Ok(())
    }

    fn run(&mut self, area: &Area, start: u64, len: u64) -> Done {
        let count = self.header.run_count as usize;
        if count == MAX_RUNS {
            refuse!("too many changed pages apart from each other");
        }
        self.runs[count] = Run { start, len, protection: area.protection, flags: area.flags, data_at: 0 };
        self.header.run_count += 1;
        Ok(())
    }

    /// Says where everything is in the file.
    fn place(&mut self) {
        let header = &mut self.header;
        header.area_at = size_of::<Header>() as u64;
        header.run_at = header.area_at + header.area_count * size_of::<Area>() as u64;
        header.file_at = header.run_at + header.run_count * size_of::<Run>() as u64;
        let names_at = header.file_at + header.file_count * size_of::<OpenFile>() as u64;
        header.head_len = names_at + self.names_len as u64;
        let place = |at: &mut u64| *at += if *at == 0 { 0 } else { names_at - 1 };
        self.areas[..header.area_count as usize].iter_mut().for_each(|area| place(&mut area.path_at));
        self.files[..header.file_count as usize].iter_mut().for_each(|file| place(&mut file.path_at));
        let mut at = header.head_len.next_multiple_of(PAGE as u64);
        for run in &mut self.runs[..header.run_count as usize] {
            run.data_at = at;
            at += run.len;
        }
        header.len = at;
    }

    fn send(&mut self) -> Done {
        let header = self.header;
        let (areas, runs, files) =
            (header.area_count as usize, header.run_count as usize, header.file_count as usize);
        self.put(&raw const header as u64, size_of::<Header>())?;
        self.put(self.areas.as_ptr() as u64, areas * size_of::<Area>())?;
        self.put(self.runs.as_ptr() as u64, runs * size_of::<Run>())?;
        self.put(self.files.as_ptr() as u64, files * size_of::<OpenFile>())?;
        self.put(self.names.as_ptr() as u64, self.names_len)?;
        let rest = header.head_len.next_multiple_of(PAGE as u64) - header.head_len;
        let zeros = [0_u8; PAGE];
        self.put(zeros.as_ptr() as u64, rest as usize)?;
        for at in 0..runs {
            let run = self.runs[at];
            self.put(run.start, run.len as usize)?;
        }
        Ok(())
    }

    fn put(&self, mut start: u64, mut len: usize) -> Done {
        while len > 0 {
            // SAFETY: mapped and readable: it comes from the list of mappings, or is ours.
            let written = unsafe { call(WRITE, self.out, start, len as u64) };
            match written {
                -4 => {}
                written if written > 0 => {
                    start += written as u64;
                    len -= written as usize;
                }
                _ => refuse!("the image can't be written"),
            }
        }
        Ok(())
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        // SAFETY: ends the process.
        unsafe { call(EXIT_GROUP, 70, 0, 0) };
    }
}

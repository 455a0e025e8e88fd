//! The file that a process image is, shared by the program that writes it and the one that maps it.
//!
//! Not a file format for others: both ends are built together, and an image is thrown away when `VERSION` or the
//! kernel changes. All numbers are in the machine's own byte order; every offset of page data is a multiple of a page.

// Each of the two programs uses a part.
#![allow(dead_code)]

/// First bytes of an image.
pub const MAGIC: u64 = 0x4547_414d_4950_4d4c;
/// Changes with every change of this file.
pub const VERSION: u64 = 1;
/// The architecture's smallest page.
pub const PAGE: usize = 4096;
/// The range that belongs to `restore` while it works, and that no process to be imaged may use.
pub const ROOM_START: u64 = 0x2_0000_0000;
/// The end of that range.
pub const ROOM_END: u64 = 0x3_0000_0000;
/// Signals that a process may handle, 1 to 64.
pub const SIGNALS: usize = 64;

/// The first bytes of the file.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Header {
    pub magic: u64,
    pub version: u64,
    /// Bytes of the file up to the page data: header, areas, runs, files, names.
    pub head_len: u64,
    /// Bytes of the whole file.
    pub len: u64,
    pub area_count: u64,
    pub area_at: u64,
    pub run_count: u64,
    pub run_at: u64,
    pub file_count: u64,
    pub file_at: u64,
    /// The stack pointer at which the process goes on, and where.
    pub stack_pointer: u64,
    pub resume: u64,
    /// The thread pointer, and what the C library has told the kernel of the thread.
    pub thread_pointer: u64,
    pub thread_id_at: u64,
    pub robust_list: u64,
    pub robust_list_len: u64,
    /// 0: none.
    pub rseq_at: u64,
    pub signal_mask: u64,
    pub signal_stack: [u64; 3],
    pub actions: [Action; SIGNALS],
    /// What the kernel knows of the memory's layout, as in `struct prctl_mm_map`.
    pub start_code: u64,
    pub end_code: u64,
    pub start_data: u64,
    pub end_data: u64,
    pub start_brk: u64,
    pub brk: u64,
    pub start_stack: u64,
    pub arg_start: u64,
    pub arg_end: u64,
    /// The kernel's own pages, which are moved and not copied: start and end of all of them, and of the vDSO.
    pub kernel_start: u64,
    pub kernel_end: u64,
    pub vdso_start: u64,
    /// The thread's name.
    pub name: [u8; 16],
}

/// How a signal is handled: the kernel's `struct sigaction`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Action {
    pub handler: u64,
    pub flags: u64,
    pub restorer: u64,
    pub mask: u64,
}

/// One mapping: what lies under its runs.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Area {
    pub start: u64,
    pub end: u64,
    pub protection: u64,
    /// Flags for `mmap` beside `MAP_FIXED | MAP_PRIVATE`.
    pub flags: u64,
    /// Where in the image the path of its file is, ended by a NUL; 0: no file.
    pub path_at: u64,
    pub file_offset: u64,
    /// 1: runs cover all of it, so that there is nothing to map under them.
    pub covered: u64,
    /// 1: it is empty in every new process, and in the children of that.
    pub wiped: u64,
}

/// Pages that differ from what the area alone would show.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Run {
    pub start: u64,
    pub len: u64,
    pub protection: u64,
    pub flags: u64,
    /// Where in the image the pages are.
    pub data_at: u64,
}

/// An open descriptor above the standard ones.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct OpenFile {
    pub number: u64,
    pub kind: u64,
    pub flags: u64,
    pub position: u64,
    /// Where in the image its path is, ended by a NUL.
    pub path_at: u64,
}

/// A file or directory, opened for reading.
pub const KIND_FILE: u64 = 1;
/// A connection: after a restore it is one whose peer has gone.
pub const KIND_SOCKET: u64 = 2;

//! Execution environments ("boxes"): isolation, limits, freezing, and their end.
//!
//! A box is a process tree behind Linux namespaces, control groups, a seccomp filter and (where the kernel has it)
//! Landlock, with its own user id, its own read-only root and its own network. It shares the host's kernel: it is
//! not a virtual machine. This crate knows no AWS service: what runs inside, and what it is told, is the caller's
//! business.
//!
//! How it works: the server never forks. It starts one single-threaded *spawner* (our own binary again, see
//! [`child_entry`]), sends it a [`BoxSpec`] over a socket, and gets file descriptors back. The process that builds
//! a box becomes the box's *init* (pid 1) and stays a few hundred kilobytes small; the command is its child. Each
//! party dies with its parent: server gone, spawner gone, init gone, box gone.
//!
//! **Invariant:** nothing of a box is visible on the host but its processes and its control groups. All mounts live
//! in the box's own mount namespace and vanish with it.
//! **Invariant:** `unsafe` lives in this crate only, each use with its reason.

mod backend;
mod cgroup;
mod channel;
mod doctor;
mod error;
mod fdpass;
pub mod image;
mod inside;
mod namespaces;
mod protocol;
mod running;
mod sandbox;
mod spawner;
mod spec;
mod sys;
mod waiting;

pub use backend::{Ended, Exit, MemoryUse, ProcessEnd};
pub use doctor::{DoctorReport, Finding, Health};
pub use error::SandboxError;
pub use running::RunningBox;
pub use sandbox::{ControlGroups, Sandbox, SandboxConfig};
pub use spawner::child_entry;
pub use spec::{BoxSpec, MAX_COMPANIONS, MAX_LISTENERS, MAX_SPEC_BYTES, ReadOnlyMount, SharedFolder};
pub use waiting::{Binding, WaitingBox};

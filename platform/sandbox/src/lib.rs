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
//! # Boxes before they are needed
//!
//! Most of a launch is the same for every box. So the spawner keeps *half-built* boxes while launches are frequent, and
//! a caller can [`prepare`](Sandbox::prepare) a box whose command runs already and waits for what it is for. Why neither
//! can carry anything from one function to another:
//!
//! - **Nothing of a function is there before.** A half-built box is a fork of the spawner, which never looks into a
//!   launch: what follows its own few words (serial number, paths to open, size of `/tmp`) it passes on and wipes. A
//!   worker that waits was started from a specification that names no function, and has never been told of one.
//! - **A box is for one launch.** It is taken out of the stock for good, and it ends with its function: nothing ever goes
//!   back. User id, namespaces, control groups, root and disk are made for this box and for no other; the user id is
//!   given to another box only after this one is gone, as late as possible.
//! - **There is one way to build a box.** One from the stock has waited between two steps; one built at once finds its
//!   launch there already. So they cannot differ, and tests compare what can be seen from inside.
//! - **Who waits can do nothing, or is nobody's.** A half-built box has the spawner's rights and runs our code only; no
//!   function can see it, signal it or connect to it, as it can no other box. A worker has no rights from its first
//!   instruction: its own user namespace, no capability, the filters, Landlock, the limits. Its init keeps the rights to
//!   mount until the one word that says what the box is for; it gives them up before the worker hears of it, and so
//!   before any code of a function runs. From then on the box is like any other. (Its init is outside the worker's
//!   Landlock domain, so the worker cannot even send it a signal; init itself opens no files and runs our code only.)
//! - **What fails is replaced.** A half-built box that died or hangs when its launch comes is killed, and the launch gets
//!   one that is built for it. All are in control groups of the spawner and die with their parent: the sweep after a
//!   crash knows no difference.
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
